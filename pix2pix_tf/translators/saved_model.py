"""A SavedModel that ``pix2pix export`` wrote, used by its signatures alone, as any other client would."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from pix2pix_tf.data.images import encode_png, to_uint8, to_unit_range
from pix2pix_tf.errors import ConfigError, DataError, SystemFault
from pix2pix_tf.files import first_line
from pix2pix_tf.translators.base import Translator, brief, out_of_memory, refusal


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
    """A SavedModel that ``pix2pix export`` wrote, in this process: images of any size.

    Images of 8 bits go through the signature ``serving_default``; those of 16 through ``float``, which
    keeps their depth.

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
        self._levels, self.input_channels, self.output_channels = _signature(
            path, self._model, "serving_default", tf.uint8
        )
        self._floats, *_ = _signature(path, self._model, "float", tf.float32)

    def _translate(self, image: tf.Tensor) -> np.ndarray:
        try:
            if image.dtype == tf.uint8:
                return self._levels(images=image[tf.newaxis])["images"][0].numpy()
            output = self._floats(images=to_unit_range(image)[tf.newaxis])["images"][0]
            return to_uint8(output).numpy()
        except tf.errors.ResourceExhaustedError as error:
            raise out_of_memory(image) from error
        except tf.errors.InvalidArgumentError as error:
            raise DataError(f"the model refuses the image: {refusal(str(error))}") from error

    def ways(self) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
        """Each signature; ``serving_default`` stands for what images of 16 bits go through, too."""
        signatures = self._model.signatures

        def by_bytes(image: np.ndarray) -> np.ndarray:
            files = encode_png(tf.constant(image))[tf.newaxis]
            return tf.io.decode_png(signatures["bytes"](image_bytes=files)["image_bytes"][0]).numpy()

        def by_floats(image: np.ndarray) -> np.ndarray:
            images = to_unit_range(tf.constant(image))[tf.newaxis]
            return to_uint8(signatures["float"](images=images)["images"][0]).numpy()

        return {"serving_default": self, "bytes": by_bytes, "float": by_floats}


def _check_files(path: Path) -> None:
    if glob.has_magic(str(path.absolute())):
        raise ConfigError(f"{path}: TensorFlow can't read files below a name with *, ? or [; rename it")
    for name in ("saved_model.pb", "variables/variables.index"):
        if not (path / name).is_file():
            raise ConfigError(
                f"{path} is half a SavedModel: it has no {name}; copy it whole, or export again"
            )


def _signature(
    path: Path, model: Any, name: str, dtype: tf.DType
) -> tuple[Callable[..., Mapping[str, tf.Tensor]], int, int]:
    """Returns a signature and its input's and output's channels.

    Raises:
        ConfigError: it isn't there, or takes or gives something else.
    """
    function = model.signatures.get(name)
    if function is not None:
        given = (function.structured_input_signature[1], function.structured_outputs)
        specs = [spec.get("images") for spec in given]
        if all(len(spec) == 1 for spec in given) and all(_is_image_batch(spec, dtype) for spec in specs):
            return function, specs[0].shape[3], specs[1].shape[3]
    raise ConfigError(
        f"{path}: not a SavedModel that pix2pix export wrote: expected a signature '{name}' from images to "
        f"images, {dtype.name} [batch, height, width, 1 or 3 channels]; its signatures are "
        f"{', '.join(model.signatures) or 'none'}"
    )


def _is_image_batch(spec: tf.TensorSpec | None, dtype: tf.DType) -> bool:
    return spec is not None and spec.dtype == dtype and spec.shape.rank == 4 and spec.shape[3] in (1, 3)
