"""A .tflite file that ``pix2pix export`` wrote, in LiteRT's interpreter."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from pix2pix_tf.data.images import to_uint8, to_unit_range
from pix2pix_tf.errors import ConfigError, DataError, SystemFault
from pix2pix_tf.files import first_line
from pix2pix_tf.quiet import hushed
from pix2pix_tf.translators.base import Translator, brief


def find(model: str | Path) -> Path | None:
    """Returns the .tflite file that is meant, None where the model is another kind's."""
    path = Path(model).expanduser()
    return path if path.suffix.lower() == ".tflite" and path.is_file() else None


class TFLiteTranslator(Translator):
    """A .tflite file that ``pix2pix export`` wrote: images of one size.

    Where it takes or gives floats, those are in [-1, 1]; where uint8, the levels of the image.

    Args:
        path: the file.

    Attributes:
        size: height and width of the images that it takes.

    Raises:
        ConfigError: the file is damaged or another model.
        SystemFault: the file can't be read.
    """

    def __init__(self, path: Path):
        self._path = path
        self._interpreter = _interpreter(path)
        self._run = _only_signature(self._interpreter, path)
        source = self._run.get_input_details()["image"]
        result = self._run.get_output_details()["image"]
        self.size = (int(source["shape"][1]), int(source["shape"][2]))
        self.input_channels, self.output_channels = int(source["shape"][3]), int(result["shape"][3])
        self._takes_levels = source["dtype"] == np.uint8
        self._lock = threading.Lock()  # an interpreter has one set of tensors

    def _translate(self, image: tf.Tensor) -> np.ndarray:
        height, width = image.shape[:2]
        if (height, width) != self.size:
            raise DataError(
                f"{self._path} takes images of {self.size[1]}x{self.size[0]} pixels (width x height), this "
                f"one has {width}x{height}; resize it, or export a .tflite for its size"
            )
        given = to_unit_range(image)
        if self._takes_levels:
            given = image if image.dtype == tf.uint8 else to_uint8(given)
        with self._lock:
            output = self._run(image=given.numpy()[np.newaxis])["image"][0]
        return output if output.dtype == np.uint8 else to_uint8(tf.constant(output)).numpy()


def _interpreter(path: Path) -> Interpreter:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SystemFault(f"{path}: can't be read ({error.strerror}); check its permissions") from error
    if content[4:8] != b"TFL3":
        raise ConfigError(f"{path}: not a TensorFlow Lite model, whatever its name says")
    try:
        with hushed():  # it tells which delegate it takes
            interpreter = Interpreter(model_content=content, num_threads=os.cpu_count())
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ConfigError(
            f"{path}: damaged, or needs what this interpreter lacks ({brief(first_line(error))}); "
            "export it again"
        ) from error
    return interpreter


def _only_signature(interpreter: Interpreter, path: Path) -> Any:
    """Returns the runner of ``serving_default``; raises ``ConfigError`` where the model is another."""
    found = interpreter.get_signature_list()
    if found.get("serving_default") == {"inputs": ["image"], "outputs": ["image"]}:
        run = interpreter.get_signature_runner("serving_default")
        details = run.get_input_details()["image"], run.get_output_details()["image"]
        shapes = [list(map(int, tensor["shape"])) for tensor in details]
        if (
            all(len(shape) == 4 and shape[0] == 1 and shape[3] in (1, 3) for shape in shapes)
            and shapes[0][1:3] == shapes[1][1:3]
            and all(tensor["dtype"] in (np.float32, np.uint8) for tensor in details)
        ):
            return run
    raise ConfigError(
        f"{path}: not a .tflite that pix2pix export wrote: expected a signature 'serving_default' from image "
        "to image, float32 or uint8 [1, height, width, 1 or 3 channels]; its signatures are "
        f"{', '.join(found) or 'none'}"
    )
