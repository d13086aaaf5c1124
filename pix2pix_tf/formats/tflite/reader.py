"""A .tflite file that ``pix2pix export`` wrote, in LiteRT's interpreter."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from pix2pix_tf.data.pixel_format import MOST_BANDS, PixelFormat
from pix2pix_tf.data.pixels import from_unit_range, to_uint8, to_unit_range
from pix2pix_tf.errors import ConfigError, DataError
from pix2pix_tf.formats.tflite.metadata import IMAGE, NOISE, SIGNATURE, read_metadata
from pix2pix_tf.formats.translator import Translator, cant_load, read_model
from pix2pix_tf.quiet import silenced_stderr


class TFLiteTranslator(Translator):
    """A .tflite file that ``pix2pix export`` wrote, for images of one size.

    Its images are float32 in [-1, 1], or uint8.
    """

    size: tuple[int, int]

    def __init__(self, path: Path):
        self._path = path
        content = read_model(path)
        if content[4:8] != b"TFL3":
            raise ConfigError(f"{path}: not a TensorFlow Lite model, whatever its name says")
        try:
            with silenced_stderr():  # it prints which delegate it uses
                self._interpreter = Interpreter(model_content=content, num_threads=os.cpu_count())
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise cant_load(f"{path}: damaged, or needs what this interpreter lacks", error) from error
        self._run = _only_signature(self._interpreter, path)
        [source], result = self._run.get_input_details().values(), self._run.get_output_details()[IMAGE]
        self.size = (int(result["shape"][1]), int(result["shape"][2]))
        takes_noise = len(source["shape"]) == 2
        self.noise = int(source["shape"][1]) if takes_noise else 0
        self.input = PixelFormat(0 if takes_noise else int(source["shape"][3]))
        self.output = PixelFormat(int(result["shape"][3]))
        self._read_pixel_facts(path, lambda: read_metadata(content))
        self._takes_levels = source["dtype"] == np.uint8
        self._lock = threading.Lock()  # an interpreter has one set of tensors

    def _translate(self, given: tf.Tensor) -> np.ndarray:
        values = given if self.noise else self._values(given)
        with self._lock:
            output = self._run(**{NOISE if self.noise else IMAGE: values.numpy()[np.newaxis]})[IMAGE][0]
        if output.dtype == np.uint8 and self.output.bits == 8:
            return output
        floats = to_unit_range(tf.constant(output)) if output.dtype == np.uint8 else tf.constant(output)
        return from_unit_range(floats, self.output.dtype).numpy()

    def _values(self, image: tf.Tensor) -> tf.Tensor:
        height, width = image.shape[:2]
        if (height, width) != self.size:
            raise DataError(
                f"{self._path} takes images of {self.size[1]}x{self.size[0]} pixels, this one has "
                f"{width}x{height}; give --fit-input to resize it and back, or export a .tflite for its size"
            )
        floats = to_unit_range(image)
        if not self._takes_levels:
            return floats
        return image if image.dtype == tf.uint8 else to_uint8(floats)


def _only_signature(interpreter: Interpreter, path: Path) -> Any:
    """Returns a function that runs ``serving_default``; raises `ConfigError` if it isn't one of ours."""
    found = interpreter.get_signature_list()
    signature = found.get(SIGNATURE)
    if signature in ({"inputs": [IMAGE], "outputs": [IMAGE]}, {"inputs": [NOISE], "outputs": [IMAGE]}):
        run = interpreter.get_signature_runner(SIGNATURE)
        source, result = next(iter(run.get_input_details().values())), run.get_output_details()[IMAGE]
        is_noise = (
            signature["inputs"] == [NOISE] and source["dtype"] == np.float32 and len(source["shape"]) == 2
        )
        is_fit = is_noise or (_is_image(source) and list(source["shape"][1:3]) == list(result["shape"][1:3]))
        if _is_image(result) and source["shape"][0] == 1 and is_fit:
            return run
    raise ConfigError(
        f"{path}: not a .tflite that pix2pix export wrote: expected a signature '{SIGNATURE}' from "
        f"'{IMAGE}' (or '{NOISE}', float32 [1, numbers]) to '{IMAGE}', float32 or uint8 "
        f"[1, height, width, channels]; its signatures are {', '.join(found) or 'none'}"
    )


def _is_image(tensor: Mapping[str, Any]) -> bool:
    shape = tensor["shape"]
    return (
        tensor["dtype"] in (np.float32, np.uint8)
        and len(shape) == 4
        and shape[0] == 1
        and shape[3] in range(1, MOST_BANDS + 1)
    )
