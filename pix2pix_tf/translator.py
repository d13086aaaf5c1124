"""A trained generator as a function from image to image, the same picture in every process.

Everything that paints goes through here: the sample sheets of training, ``pix2pix predict`` and Python.
It runs in float32 from the float32 weights, one image at a time, so that an image's output depends on
nothing but the image and the weights.
"""

from __future__ import annotations

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
    from collections.abc import Mapping


class Translator:
    """Translates images of any size with a generator.

    Args:
        config: the generator's, its channels resolved.
        levels: the generator's.
        precision: 'float32' gives the same picture everywhere; a mixed precision is faster and differs
            by a few levels of 255.
        seed: decides the noise of a stochastic generator.

    Attributes:
        generator: the Keras model, for whoever wants it bare.
        input_channels: 1 (grey) or 3 (RGB).
        output_channels: 1 or 3.

    Example:
        >>> translate = Translator.load("runs/facades")
        >>> photo = translate(labels)          # uint8 [height, width, 3] in and out
    """

    def __init__(self, config: NetworkConfig, levels: int, precision: Precision = "float32", seed: int = 0):
        if config.input_channels is None or config.output_channels is None:
            raise ConfigError("a translator needs to know --input-channels and --output-channels")
        self.input_channels = config.input_channels
        self.output_channels = config.output_channels
        self.generator = build_generator(config, levels, dtype=resolve_precision(precision))
        self._stochastic = config.stochastic
        self._seed = seed
        signature = [tf.TensorSpec((1, None, None, self.input_channels), tf.float32)]
        self._paint = tf.function(self._generate, input_signature=signature)
        # GPUs would otherwise round float32 products to ten bits, and paint another picture than processors.
        tf.config.experimental.enable_tensor_float_32_execution(False)

    @classmethod
    def load(
        cls,
        run: str | Path,
        *,
        step: int | None = None,
        precision: Precision = "float32",
        stochastic: bool | None = None,
        seed: int = 0,
    ) -> Translator:
        """Loads the generator of a run.

        Args:
            run: a run directory.
            step: of which checkpoint; the newest by default.
            precision: see the class.
            stochastic: keep dropout; by default as the run was trained.
            seed: see the class.

        Raises:
            RunError: there is no run, or no such checkpoint, or it is damaged.
        """
        directory = RunDirectory(Path(run))
        config = directory.read_config()
        if stochastic is not None:
            config = replace(config, stochastic=stochastic)
        translator = cls.for_run(config, precision, seed)
        names = [f"generator/{variable.path}" for variable in translator._weights()]
        stored = read_checkpoint(directory.existing_checkpoint(step), names)
        translator.set_weights({name.removeprefix("generator/"): value for name, value in stored.items()})
        return translator

    @classmethod
    def for_run(cls, config: TrainConfig, precision: Precision = "float32", seed: int = 0) -> Translator:
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

    def __call__(self, image: np.ndarray | tf.Tensor) -> np.ndarray:
        """Translates one image.

        Args:
            image: ``uint8`` or ``uint16``, [height, width, channels] or [height, width]; grey and RGB are
                converted to what the generator takes, a fourth channel is alpha and laid over white.

        Returns:
            uint8 [height, width, output channels], of the image's height and width.

        Raises:
            DataError: the array is no image.
        """
        pixels = convert_channels(_as_image(np.asarray(image)), self.input_channels)
        return to_uint8(self.paint(to_unit_range(pixels))).numpy()

    def paint(self, image: tf.Tensor) -> tf.Tensor:
        """Translates one image from and to float32 [height, width, channels] in [-1, 1]."""
        try:
            return self._paint(image[tf.newaxis])[0]
        except tf.errors.ResourceExhaustedError as error:
            height, width = image.shape[:2]
            raise SystemFault(
                f"not enough memory for an image of {width}x{height} pixels; make it smaller"
            ) from error

    def translate_file(self, path: str | Path) -> np.ndarray:
        """Translates an image file.

        Args:
            path: JPEG, PNG, BMP, GIF or WebP.

        Returns:
            uint8 [height, width, output channels], of the image's height and width as a viewer shows it.

        Raises:
            DataError: the file is missing or no image that can be read.
        """
        return self(self.load_input(Path(path)))

    def load_input(self, path: Path) -> np.ndarray:
        """Reads an image file as the generator takes it: [height, width, input channels], full depth."""
        dtype = tf.uint16 if read_header(path).bits == 16 else tf.uint8
        return load_image(path, self.input_channels, dtype).numpy()

    def _generate(self, image: tf.Tensor) -> tf.Tensor:
        if not self._stochastic:
            return self.generator(image, training=False)
        dropouts = [layer for layer in self.generator.layers if isinstance(layer, keras.layers.Dropout)]
        seeds = [
            (layer.seed_generator.state, tf.constant([self._seed, number], tf.uint32))
            for number, layer in enumerate(dropouts)
        ]
        with keras.StatelessScope(state_mapping=seeds):
            return self.generator(image, training=True)


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
