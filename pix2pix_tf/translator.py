"""A trained model as a function from image to image, the same picture wherever it was loaded from.

Everything that paints goes through here: the sample sheets of training, ``pix2pix predict`` and Python.
`Translator` is what they all see; `GeneratorTranslator` has the generator of a run in this process, and
the exported models are in `pix2pix_tf.artifacts`.
"""

from __future__ import annotations

import abc
import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from pix2pix_tf.checkpoints import read_checkpoint
from pix2pix_tf.config import NetworkConfig, Precision, TrainConfig, replace
from pix2pix_tf.data.images import convert_channels, load_image, read_header, to_uint8, to_unit_range
from pix2pix_tf.devices import resolve_precision
from pix2pix_tf.errors import ConfigError, DataError, SystemFault
from pix2pix_tf.networks import build_generator
from pix2pix_tf.networks.generators import unet_levels
from pix2pix_tf.runs import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Translator(abc.ABC):
    """Translates images, one at a time: an output depends on nothing but the image and the model.

    Attributes:
        input_channels: 1 (grey) or 3 (RGB).
        output_channels: 1 or 3.

    Example:
        >>> translate = Translator.load("runs/facades")
        >>> photo = translate(labels)          # uint8 [height, width, 3] in and out
    """

    input_channels: int
    output_channels: int

    @staticmethod
    def load(
        model: str | Path,
        *,
        step: int | None = None,
        precision: Precision = "float32",
        stochastic: bool | None = None,
        seed: int = 0,
    ) -> Translator:
        """Loads a trained model.

        Args:
            model: a run directory; a directory with a SavedModel, or with several versions of one, of
                which the highest is taken; a .tflite file; or the URL of a model that TensorFlow Serving
                serves, http://host:8501/v1/models/NAME or .../NAME/versions/N.
            step: as in :meth:`GeneratorTranslator.load`, and for runs only, like the following.
            precision: likewise.
            stochastic: likewise.
            seed: likewise.

        Raises:
            RunError: there is no model, no such checkpoint, or the run is damaged.
            ConfigError: the artifact is damaged, not one of ours, or has no such option.
            SystemFault: it can't be read, or the server can't be reached.
        """
        if is_run(model):
            return GeneratorTranslator.load(
                model, step=step, precision=precision, stochastic=stochastic, seed=seed
            )
        from pix2pix_tf.artifacts import find_artifact  # here, because it needs this module

        load = find_artifact(model)
        changed = {
            "step": step is not None,
            "precision": precision != "float32",
            "stochastic": stochastic is not None,
            "seed": seed != 0,
        }
        if any(changed.values()):
            flags = " and ".join(f"--{name}" for name, is_changed in changed.items() if is_changed)
            raise ConfigError(
                f"{flags} can be chosen for a run only, not for {model}: what was exported is one "
                "checkpoint, in one precision and with its own noise, or none"
            )
        return load()

    def __call__(self, image: np.ndarray | tf.Tensor) -> np.ndarray:
        """Translates one image.

        Args:
            image: ``uint8`` or ``uint16``, [height, width, channels] or [height, width]; grey and RGB are
                converted to what the model takes, a fourth channel is alpha and laid over white.

        Returns:
            uint8 [height, width, output channels], of the image's height and width.

        Raises:
            DataError: the array is no image, or the model takes none of its size.
            SystemFault: there is not enough memory, or a server failed.
        """
        pixels = convert_channels(_as_image(np.asarray(image)), self.input_channels)
        return self._translate(pixels)

    @abc.abstractmethod
    def _translate(self, image: tf.Tensor) -> np.ndarray:
        """Translates ``uint8`` or ``uint16`` [height, width, input channels] to uint8."""

    def translate_file(self, path: str | Path) -> np.ndarray:
        """Translates an image file.

        Args:
            path: JPEG, PNG, BMP, GIF or WebP.

        Returns:
            uint8 [height, width, output channels], of the image's height and width as a viewer shows it.

        Raises:
            DataError: the file is missing or no image that can be read.
        """
        path = Path(path)
        image = self.load_input(path)
        with naming(path):
            return self(image)

    def load_input(self, path: Path) -> np.ndarray:
        """Reads an image file as the model takes it: [height, width, input channels], full depth."""
        dtype = tf.uint16 if read_header(path).bits == 16 else tf.uint8
        return load_image(path, self.input_channels, dtype).numpy()


class GeneratorTranslator(Translator):
    """The generator of a run, in this process: images of any size, in float32 from the float32 weights.

    Args:
        config: the generator's, its channels resolved.
        levels: the generator's.
        precision: 'float32' gives the same picture everywhere; a mixed precision is faster and differs
            by a few levels of 255.
        seed: decides the noise of a stochastic generator.

    Attributes:
        generator: the Keras model, for whoever wants it bare.
        stochastic: whether dropout is kept as noise.
    """

    def __init__(self, config: NetworkConfig, levels: int, precision: Precision = "float32", seed: int = 0):
        if config.input_channels is None or config.output_channels is None:
            raise ConfigError("a translator needs to know --input-channels and --output-channels")
        self.input_channels = config.input_channels
        self.output_channels = config.output_channels
        self.generator = build_generator(config, levels, dtype=resolve_precision(precision))
        self.stochastic = config.stochastic
        self._seed = seed
        signature = [tf.TensorSpec((1, None, None, self.input_channels), tf.float32)]
        self._paint = tf.function(self.generate, input_signature=signature)
        # GPUs would otherwise round float32 products to ten bits, and paint another picture than processors.
        tf.config.experimental.enable_tensor_float_32_execution(False)

    @classmethod
    def load(
        cls,
        model: str | Path,
        *,
        step: int | None = None,
        precision: Precision = "float32",
        stochastic: bool | None = None,
        seed: int = 0,
    ) -> GeneratorTranslator:
        """Loads the generator of a run.

        Args:
            model: a run directory.
            step: of which checkpoint; the newest by default.
            precision: see the class.
            stochastic: keep dropout; by default as the run was trained.
            seed: see the class.

        Raises:
            RunError: there is no run, or no such checkpoint, or it is damaged.
        """
        directory = RunDirectory(Path(model))
        config = directory.read_config()
        if stochastic is not None:
            config = replace(config, stochastic=stochastic)
        translator = cls.for_run(config, precision, seed)
        names = [f"generator/{variable.path}" for variable in translator._weights()]
        stored = read_checkpoint(directory.existing_checkpoint(step), names)
        translator.set_weights({name.removeprefix("generator/"): value for name, value in stored.items()})
        return translator

    @classmethod
    def for_run(
        cls, config: TrainConfig, precision: Precision = "float32", seed: int = 0
    ) -> GeneratorTranslator:
        """Builds a translator for a run's configuration, its weights still to be set."""
        return cls(config.network, unet_levels(config.data.size), precision, seed)

    def _weights(self) -> list[keras.Variable]:
        """The variables that a checkpoint holds: all but the dropout's random state."""
        return [variable for variable in self.generator.weights if "seed_generator" not in variable.path]

    def set_weights(self, weights: Mapping[str, np.ndarray | tf.Tensor]) -> None:
        """Sets the generator's weights.

        Args:
            weights: float32, by the paths of the generator's variables.
        """
        for variable in self._weights():
            variable.assign(weights[variable.path])

    def _translate(self, image: tf.Tensor) -> np.ndarray:
        return to_uint8(self.paint(to_unit_range(image))).numpy()

    def paint(self, image: tf.Tensor) -> tf.Tensor:
        """Translates one image from and to float32 [height, width, channels] in [-1, 1]."""
        try:
            return self._paint(image[tf.newaxis])[0]
        except tf.errors.ResourceExhaustedError as error:
            raise out_of_memory(image) from error

    def generate(self, images: tf.Tensor) -> tf.Tensor:
        """Runs the generator, eagerly or inside whatever graph is being built.

        Args:
            images: float32 [1, height, width, input channels] in [-1, 1].

        Returns:
            float32 [1, height, width, output channels] in [-1, 1]. A stochastic generator's noise is the
            seed's, the same for every image.
        """
        if not self.stochastic:
            return self.generator(images, training=False)
        dropouts = [layer for layer in self.generator.layers if isinstance(layer, keras.layers.Dropout)]
        seeds = [
            (layer.seed_generator.state, tf.constant([self._seed, number], tf.uint32))
            for number, layer in enumerate(dropouts)
        ]
        with keras.StatelessScope(state_mapping=seeds):
            return self.generator(images, training=True)


def is_url(model: str | Path) -> bool:
    """Whether a model is named by a URL, not by a path."""
    return isinstance(model, str) and re.match(r"https?://", model, re.IGNORECASE) is not None


def is_run(model: str | Path) -> bool:
    """Whether a run directory is meant, and not an exported model."""
    return not is_url(model) and RunDirectory(Path(model)).exists()


def refuse_missing(model: str | Path) -> None:
    """Checks, without the cost of loading, that a model is there.

    Raises:
        RunError: there is no model, or the run is damaged.
        ConfigError: what is there is no whole model.
    """
    if is_run(model):
        RunDirectory(Path(model)).read_config()
    else:
        from pix2pix_tf.artifacts import find_artifact  # here, because it needs this module

        find_artifact(model)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Puts the file's name before what is said against the image in it."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def out_of_memory(image: tf.Tensor) -> SystemFault:
    """Returns what to raise where there is not enough memory for an image [height, width, channels]."""
    height, width = image.shape[:2]
    return SystemFault(f"not enough memory for an image of {width}x{height} pixels; make it smaller")


def _as_image(array: np.ndarray) -> tf.Tensor:
    """Returns an array as [height, width, channels] on the processor.

    Raises:
        DataError: it is no image.
    """
    if array.ndim == 2:
        array = array[..., np.newaxis]
    is_image = array.ndim == 3 and array.shape[-1] in (1, 2, 3, 4) and 0 not in array.shape
    if not is_image or array.dtype not in (np.uint8, np.uint16):
        raise DataError(
            "an image is uint8 or uint16 [height, width, 1 to 4 channels]; got "
            f"{array.dtype} {list(array.shape)}"
        )
    return tf.constant(array)
