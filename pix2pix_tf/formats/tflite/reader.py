"""A .tflite file that ``pix2pix export`` wrote, in LiteRT's interpreter."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from pix2pix_tf.data.pixels import to_levels, to_uint8, to_unit_range
from pix2pix_tf.data.rasters import MOST_BANDS
from pix2pix_tf.errors import ConfigError, DataError, SystemFault
from pix2pix_tf.files import first_line
from pix2pix_tf.formats.shipped import shipped_file
from pix2pix_tf.formats.translator import Translator, brief, refusing_damaged_facts
from pix2pix_tf.quiet import hushed

SIGNATURE, IMAGE, NOISE = "serving_default", "image", "z"
METADATA = "pix2pix"


def find(model: str | Path) -> Path | None:
    """Returns the .tflite file that is meant, None where the model is another kind's."""
    path = shipped_file(model) or Path(model).expanduser()
    return path if path.suffix.lower() == ".tflite" and path.is_file() else None


def read_metadata(model: bytes) -> dict[str, Any]:
    """Returns what a .tflite file written by ``pix2pix export`` says of itself; {} where it is another's.

    Example:
        >>> read_metadata(Path("facades_256x256_int8.tflite").read_bytes())["input"]["dtype"]
        'uint8'
    """
    content = schema.Model.GetRootAs(model, 0)
    for entry in (content.Metadata(number) for number in range(content.MetadataLength())):
        if entry.Name() == METADATA.encode():
            return json.loads(content.Buffers(entry.Buffer()).DataAsNumpy().tobytes())
    return {}


class TFLiteTranslator(Translator):
    """A .tflite file that ``pix2pix export`` wrote: images of one size, from images or from noise.

    Where its images are floats, those are in [-1, 1]; where uint8, the levels of the image.

    Args:
        path: the file.

    Raises:
        ConfigError: the file is damaged or another model.
        SystemFault: the file can't be read.
    """

    size: tuple[int, int]

    def __init__(self, path: Path):
        self._path = path
        content = _content(path)
        self._interpreter = _interpreter(path, content)
        self._run = _only_signature(self._interpreter, path)
        source, result = (
            next(iter(self._run.get_input_details().values())),
            self._run.get_output_details()[IMAGE],
        )
        self.size = (int(result["shape"][1]), int(result["shape"][2]))
        takes_noise = len(source["shape"]) == 2
        self.noise = int(source["shape"][1]) if takes_noise else 0
        self.input_channels = 0 if takes_noise else int(source["shape"][3])
        self.output_channels = int(result["shape"][3])
        with refusing_damaged_facts(path):
            self._take_pixel_facts(read_metadata(content))
        self._takes_levels = source["dtype"] == np.uint8
        self._lock = threading.Lock()  # an interpreter has one set of tensors

    def _translate(self, given: tf.Tensor) -> np.ndarray:
        values = given if self.noise else self._values(given)
        with self._lock:
            output = self._run(**{NOISE if self.noise else IMAGE: values.numpy()[np.newaxis]})[IMAGE][0]
        if output.dtype == np.uint8 and self.output_bits == 8:
            return output
        floats = to_unit_range(tf.constant(output)) if output.dtype == np.uint8 else tf.constant(output)
        return to_levels(floats, self.levels).numpy()

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


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SystemFault(f"{path}: can't be read ({error.strerror}); check its permissions") from error
    if content[4:8] != b"TFL3":
        raise ConfigError(f"{path}: not a TensorFlow Lite model, whatever its name says")
    return content


def _interpreter(path: Path, content: bytes) -> Interpreter:
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
