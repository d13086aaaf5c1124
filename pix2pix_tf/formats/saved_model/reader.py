"""Loads a SavedModel that ``pix2pix export`` wrote, and calls its public signatures."""

from __future__ import annotations

import dataclasses
import glob
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from pix2pix_tf.data.pixels import from_unit_range, to_unit_range
from pix2pix_tf.errors import ConfigError, DataError, SystemFault
from pix2pix_tf.formats.translator import Translate, Translator, cant_load, out_of_memory, refusal

PIXEL_FACTS = Path("assets.extra") / "pixels.json"


class SavedModelTranslator(Translator):
    """A SavedModel in this process.

    Noise and 8-bit images use the signature ``serving_default``; 16-bit images use ``float``, which keeps
    their depth.
    """

    def __init__(self, path: Path):
        _check_files(path)
        tf.config.experimental.enable_tensor_float_32_execution(False)  # see GeneratorTranslator
        try:
            self._model = tf.saved_model.load(str(path))  # owns the variables
        except (MemoryError, tf.errors.ResourceExhaustedError) as error:
            raise SystemFault(f"{path}: not enough memory to load the model") from error
        except Exception as error:  # damaged files raise many types
            raise cant_load(f"{path}: the SavedModel can't be loaded", error) from error
        self._floats = self._signature(path, "float", tf.float32, (tf.float32,))
        self._pixels = self._signature(path, "serving_default", tf.uint8, (tf.uint8, tf.uint16))
        self._key = "z" if self.noise else "images"
        if (path / PIXEL_FACTS).is_file():
            self._read_pixel_facts(path, lambda: json.loads((path / PIXEL_FACTS).read_text()))
        bits: Literal[8, 16] = 16 if self._pixels.structured_outputs["images"].dtype == tf.uint16 else 8
        self.output = dataclasses.replace(self.output, bits=bits)

    def _signature(self, path: Path, name: str, taken: tf.DType, given: tuple[tf.DType, ...]) -> Any:
        """Returns a signature and sets the channels; raises `ConfigError` if it isn't an export's."""
        function = self._model.signatures.get(name)
        if function is not None:
            sources, results = function.structured_input_signature[1], function.structured_outputs
            if list(sources) in (["images"], ["z"]) and list(results) == ["images"]:
                [(key, source)], result = sources.items(), results["images"]
                has_types = source.dtype == (tf.float32 if key == "z" else taken) and result.dtype in given
                # A shape of unknown rank is falsy.
                shapes = list(source.shape or ()), list(result.shape or ())
                if has_types and self._take_shapes(key == "z", *shapes):
                    return function
        raise ConfigError(
            f"{path}: not a SavedModel that pix2pix export wrote: expected a signature '{name}' from images "
            f"to images, {taken.name} [batch, height, width, channels], or from z, float32 [batch, numbers]; "
            f"its signatures are {', '.join(self._model.signatures) or 'none'}"
        )

    def _translate(self, given: tf.Tensor) -> np.ndarray:
        try:
            if given.dtype == tf.uint16:
                return self._by_floats(given)
            return self._pixels(**{self._key: given[tf.newaxis]})["images"][0].numpy()
        except tf.errors.ResourceExhaustedError as error:
            raise out_of_memory(given) from error
        except tf.errors.InvalidArgumentError as error:
            raise DataError(f"the model refuses the image: {refusal(str(error))}") from error

    def _by_floats(self, given: tf.Tensor) -> np.ndarray:
        values = given if self.noise else to_unit_range(given)
        floats = self._floats(**{self._key: values[tf.newaxis]})["images"][0]
        return from_unit_range(floats, self.output.dtype).numpy()

    def signatures(self) -> dict[str, Translate]:
        """Returns each signature; ``serving_default`` sends 16-bit images to ``float``."""

        def by_bytes(given: np.ndarray) -> np.ndarray:
            key = "z" if self.noise else "image_bytes"
            value = tf.constant(given) if self.noise else tf.io.encode_png(tf.constant(given))
            files = self._model.signatures["bytes"](**{key: value[tf.newaxis]})["image_bytes"]
            return tf.io.decode_png(files[0], dtype=self.output.dtype).numpy()

        found: dict[str, Translate] = {"serving_default": self}
        if "bytes" in self._model.signatures:
            found["bytes"] = by_bytes
        return {**found, "float": lambda given: self._by_floats(tf.constant(given))}


def _check_files(path: Path) -> None:
    if glob.has_magic(str(path.absolute())):
        raise ConfigError(
            f"{path}: TensorFlow can't read from a path with *, ? or [; rename the file or folder"
        )
    for name in ("saved_model.pb", "variables/variables.index"):
        if not (path / name).is_file():
            raise ConfigError(
                f"{path} is an incomplete SavedModel: it has no {name}; copy all of it, or export again"
            )
