"""An .onnx file that ``pix2pix export`` wrote, in ONNX Runtime, which is in the extra ``onnx``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from pix2pix_tf.data.pixels import to_levels, to_unit_range
from pix2pix_tf.data.rasters import MOST_BANDS
from pix2pix_tf.errors import ConfigError, SystemFault
from pix2pix_tf.files import first_line
from pix2pix_tf.formats.translator import Translator, brief, refusing_damaged_facts

INPUT, NOISE, OUTPUT = "images", "z", "translated"  # in ONNX no two values may have one name
METADATA = "pix2pix"


def find(model: str | Path) -> Path | None:
    """Returns the .onnx file that is meant, None where the model is another kind's."""
    path = Path(model).expanduser()
    return path if path.suffix.lower() == ".onnx" and path.is_file() else None


class OnnxTranslator(Translator):
    """An .onnx file that ``pix2pix export`` wrote: images of any size, or images from noise.

    Args:
        path: the file.

    Raises:
        ConfigError: ONNX Runtime is not installed, or the file is damaged or another model.
        SystemFault: the file can't be read.
    """

    def __init__(self, path: Path):
        try:
            import onnxruntime
        except ImportError as error:
            raise ConfigError(
                f"{path} needs the extra 'onnx' ({error}); install it: pip install -e \".[onnx]\""
            ) from error
        try:
            content = path.read_bytes()
        except OSError as error:
            raise SystemFault(f"{path}: can't be read ({error.strerror}); check its permissions") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = os.cpu_count() or 0
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has an error of its own for each part of a file
            raise ConfigError(
                f"{path}: ONNX Runtime can't load it ({brief(first_line(error))}); export it again"
            ) from error
        sources, results = self._session.get_inputs(), self._session.get_outputs()
        takes_noise = len(sources) == 1 and _is_noise_batch(sources[0])
        if not (
            len(sources) == len(results) == 1
            and (takes_noise or _is_image_batch(sources[0], INPUT))
            and _is_image_batch(results[0], OUTPUT)
        ):
            raise ConfigError(
                f"{path}: not an .onnx that pix2pix export wrote: expected '{INPUT}' (or '{NOISE}', float32 "
                f"[batch, numbers]) to '{OUTPUT}', float32 [batch, height, width, channels]"
            )
        self.noise = sources[0].shape[1] if takes_noise else 0
        self.input_channels = 0 if takes_noise else sources[0].shape[3]
        self.output_channels = results[0].shape[3]
        facts = self._session.get_modelmeta().custom_metadata_map
        with refusing_damaged_facts(path):
            self._take_pixel_facts(json.loads(facts.get(METADATA, "{}")))

    def _translate(self, given: tf.Tensor) -> np.ndarray:
        values = given if self.noise else to_unit_range(given)
        given_as = {NOISE if self.noise else INPUT: values[tf.newaxis].numpy()}
        return to_levels(tf.constant(self._session.run([OUTPUT], given_as)[0][0]), self.levels).numpy()


def _is_noise_batch(value: Any) -> bool:
    shape = value.shape
    return (
        value.name == NOISE
        and value.type == "tensor(float)"
        and len(shape) == 2
        and isinstance(shape[1], int)
    )


def _is_image_batch(value: Any, name: str) -> bool:
    shape = value.shape
    return (
        value.name == name
        and value.type == "tensor(float)"
        and len(shape) == 4
        and shape[3] in range(1, MOST_BANDS + 1)
    )
