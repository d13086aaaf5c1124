"""A SavedModel that ``pix2pix export`` wrote, used by its signatures alone, as any other client would."""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from pix2pix_tf.data.pixels import encode_png, to_levels, to_unit_range
from pix2pix_tf.data.rasters import MOST_BANDS
from pix2pix_tf.errors import ConfigError, DataError, SystemFault
from pix2pix_tf.files import first_line
from pix2pix_tf.formats.translator import Translator, brief, out_of_memory, refusal, refusing_damaged_facts


def find(model: str | Path) -> Path | None:
    """Returns the directory of the SavedModel that is meant: ``model``, or its highest version."""
    path = Path(model).expanduser()
    if not path.is_dir():
        return None
    if (path / "saved_model.pb").exists() or (path / "variables").is_dir():
        return path
    versions = [child for child in path.iterdir() if child.is_dir() and re.fullmatch(r"\d+", child.name)]
    # A server would take the highest as well, so an older one must not stand in for a damaged one.
    return max(versions, key=lambda child: int(child.name), default=None)


class SavedModelTranslator(Translator):
    """A SavedModel that ``pix2pix export`` wrote, in this process: images of any size, or images from noise.

    Noise and images of 8 bits go through the signature ``serving_default``; images of 16 through
    ``float``, which keeps their depth.

    Args:
        path: the directory with saved_model.pb.

    Raises:
        ConfigError: it is damaged, or another model.
    """

    def __init__(self, path: Path):
        _check_files(path)
        tf.config.experimental.enable_tensor_float_32_execution(False)  # as GeneratorTranslator
        try:
            self._model = tf.saved_model.load(str(path))  # kept, because it owns the variables
        except (MemoryError, tf.errors.ResourceExhaustedError) as error:
            raise SystemFault(f"{path}: not enough memory to load the model") from error
        except Exception as error:  # a damaged file fails in as many ways as it has parts
            raise ConfigError(
                f"{path}: the SavedModel can't be loaded ({brief(first_line(error))}); export it again"
            ) from error
        levels, floats = (_signature(path, self._model, *each) for each in _EXPECTED)
        self._key, source, result = levels.key, levels.source, levels.result
        self._levels, self._floats = levels.function, floats.function
        self.noise = source[1] if self._key == "z" else 0
        self.input_channels = 0 if self.noise else source[3]
        self.output_channels = result.shape[3]
        if (path / PIXEL_FACTS).is_file():  # earlier exports don't have it
            with refusing_damaged_facts(path):
                self._take_pixel_facts(json.loads((path / PIXEL_FACTS).read_text()))
        self.output_bits = 16 if result.dtype == tf.uint16 else 8

    def _translate(self, given: tf.Tensor) -> np.ndarray:
        try:
            if given.dtype == tf.uint16:
                return self._by_floats(given)
            return self._levels(**{self._key: given[tf.newaxis]})["images"][0].numpy()
        except tf.errors.ResourceExhaustedError as error:
            raise out_of_memory(given) from error
        except tf.errors.InvalidArgumentError as error:
            raise DataError(f"the model refuses the image: {refusal(str(error))}") from error

    def _by_floats(self, given: tf.Tensor) -> np.ndarray:
        values = given if self.noise else to_unit_range(given)
        floats = self._floats(**{self._key: values[tf.newaxis]})["images"][0]
        return to_levels(floats, self.levels).numpy()

    def ways(self) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
        """Each signature; ``serving_default`` stands for what images of 16 bits go through, too."""

        def by_bytes(given: np.ndarray) -> np.ndarray:
            key = "z" if self.noise else "image_bytes"
            value = tf.constant(given) if self.noise else encode_png(tf.constant(given))
            files = self._model.signatures["bytes"](**{key: value[tf.newaxis]})["image_bytes"]
            return tf.io.decode_png(files[0], dtype=self.levels).numpy()

        ways: dict[str, Callable[[np.ndarray], np.ndarray]] = {"serving_default": self}
        if "bytes" in self._model.signatures:
            ways["bytes"] = by_bytes
        return {**ways, "float": lambda given: self._by_floats(tf.constant(given))}


def _check_files(path: Path) -> None:
    if glob.has_magic(str(path.absolute())):
        raise ConfigError(f"{path}: TensorFlow can't read files below a name with *, ? or [; rename it")
    for name in ("saved_model.pb", "variables/variables.index"):
        if not (path / name).is_file():
            raise ConfigError(
                f"{path} is half a SavedModel: it has no {name}; copy it whole, or export again"
            )


class _Signature(NamedTuple):
    """A signature: what it is called with by ``key``, and the shapes of what it takes and gives."""

    function: Callable[..., Mapping[str, tf.Tensor]]
    key: str
    source: tf.TensorShape
    result: tf.TensorSpec


PIXEL_FACTS = Path("assets.extra") / "pixels.json"
_EXPECTED = (("serving_default", tf.uint8, (tf.uint8, tf.uint16)), ("float", tf.float32, (tf.float32,)))


def _signature(path: Path, model: Any, name: str, taken: tf.DType, given: tuple[tf.DType, ...]) -> _Signature:
    """Returns a signature from images, or from noise, to images.

    Raises:
        ConfigError: it isn't there, or takes or gives something else.
    """
    function = model.signatures.get(name)
    if function is not None:
        sources, results = function.structured_input_signature[1], function.structured_outputs
        if len(sources) == 1 and list(results) == ["images"] and _is_image_batch(results["images"], *given):
            [(key, source)] = sources.items()
            if (key == "images" and _is_image_batch(source, taken)) or (
                key == "z" and _is_noise_batch(source)
            ):
                return _Signature(function, key, source.shape, results["images"])
    raise ConfigError(
        f"{path}: not a SavedModel that pix2pix export wrote: expected a signature '{name}' from images to "
        f"images, {taken.name} [batch, height, width, channels], or from z, float32 [batch, numbers]; "
        f"its signatures are {', '.join(model.signatures) or 'none'}"
    )


def _is_image_batch(spec: tf.TensorSpec, *dtypes: tf.DType) -> bool:
    return spec.dtype in dtypes and spec.shape.rank == 4 and spec.shape[3] in range(1, MOST_BANDS + 1)


def _is_noise_batch(spec: tf.TensorSpec) -> bool:
    return spec.dtype == tf.float32 and spec.shape.rank == 2 and spec.shape[1] is not None
