"""The generator of a run, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf

from pix2pix_tf.checkpoints import read_checkpoint
from pix2pix_tf.config import NetworkConfig, Precision, TrainConfig, replace
from pix2pix_tf.data.images import to_uint8, to_unit_range
from pix2pix_tf.devices import resolve_precision
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.networks import build_generator
from pix2pix_tf.networks.generators import unet_levels
from pix2pix_tf.runs import RunDirectory
from pix2pix_tf.translators.base import Translator, out_of_memory

if TYPE_CHECKING:
    from collections.abc import Mapping


def find(model: str | Path) -> Path | None:
    """Returns the run directory that is meant, None where the model is no run."""
    path = Path(model).expanduser()
    return path if RunDirectory(path).exists() else None


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
