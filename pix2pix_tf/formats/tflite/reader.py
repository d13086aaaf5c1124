"""Loads .tflite files that ``pix2pix export`` wrote, with LiteRT's interpreter."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from pix2pix_tf.data.pixels import from_unit_range, to_uint8, to_unit_range
from pix2pix_tf.errors import ConfigError, DataError
from pix2pix_tf.formats.tflite.metadata import IMAGE, NOISE, SIGNATURE, read_metadata
from pix2pix_tf.formats.translator import Translator, cant_load, read_model
from pix2pix_tf.quiet import silenced_stderr


class TFLiteTranslator(Translator):
    """A .tflite model for images of a fixed size, float32 in [-1, 1] or uint8."""

    size: tuple[int, int]

    def __init__(self, path: Path):
        self._path = path
        content = read_model(path)
        if content[4:8] != b"TFL3":
            raise ConfigError(f"{path}: not a TensorFlow Lite model, despite its name")
        try:
            with silenced_stderr():  # the interpreter prints its delegate
                self._interpreter = Interpreter(model_content=content, num_threads=os.cpu_count())
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise cant_load(
                f"{path}: damaged, or uses operators that this interpreter lacks", error
            ) from error
        found = self._interpreter.get_signature_list()
        if not self._take_signature(found.get(SIGNATURE)):
            raise ConfigError(
                f"{path}: not a .tflite that pix2pix export wrote: expected a signature '{SIGNATURE}' from "
                f"'{IMAGE}' (or '{NOISE}', float32 [1, numbers]) to '{IMAGE}', float32 or uint8 "
                f"[1, height, width, channels]; its signatures are {', '.join(found) or 'none'}"
            )
        self._read_pixel_facts(path, lambda: read_metadata(content))
        self._lock = threading.Lock()  # an interpreter is not thread-safe

    def _take_signature(self, names: Mapping[str, list[str]] | None) -> bool:
        """Uses the signature with these inputs and outputs; returns False if no export has it."""
        if names not in ({"inputs": [IMAGE], "outputs": [IMAGE]}, {"inputs": [NOISE], "outputs": [IMAGE]}):
            return False
        self._run = self._interpreter.get_signature_runner(SIGNATURE)
        [source], [result] = self._run.get_input_details().values(), self._run.get_output_details().values()
        types = (np.float32, np.uint8) if names["inputs"] == [IMAGE] else (np.float32,)
        if source["dtype"] not in types or result["dtype"] not in (np.float32, np.uint8):
            return False
        shape, made = source["shape"].tolist(), result["shape"].tolist()
        self._takes_uint8, self.size = source["dtype"] == np.uint8, tuple(made[1:3])
        fits = shape[0] == made[0] == 1 and (len(shape) == 2 or shape[1:3] == made[1:3])
        return fits and self._take_shapes(names["inputs"] == [NOISE], shape, made)

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
                f"{self._path} takes images of {self.size[1]}x{self.size[0]} pixels; this one has "
                f"{width}x{height}; give --fit-input to resize it and the output, or export a .tflite for it"
            )
        floats = to_unit_range(image)
        if not self._takes_uint8:
            return floats
        return image if image.dtype == tf.uint8 else to_uint8(floats)
