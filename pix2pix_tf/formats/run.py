"""Runs the published generators of a run in this process."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pix2pix_tf.config import Precision
from pix2pix_tf.data.pixels import from_unit_range, to_unit_range
from pix2pix_tf.devices import resolve_precision
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.formats.translator import Translate, Translator, out_of_memory
from pix2pix_tf.models.base import Model, PublishedGenerator
from pix2pix_tf.models.registry import model_for
from pix2pix_tf.networks import with_task_layers
from pix2pix_tf.networks.phases import in_phases, set_phases
from pix2pix_tf.networks.statistics import (
    moments,
    normalizations,
    probe,
    set_statistics,
    with_fixed_statistics,
)
from pix2pix_tf.runs import OpenedRun
from pix2pix_tf.runs.checkpoints import restore_published, stored_weights


class GeneratorTranslator(Translator):
    """A generator of a run, for images of any size.

    Args:
        precision: 'float32' gives the same output everywhere; a mixed precision is faster and differs
            by a few 8-bit values.
        seed: random seed for the noise of a stochastic generator.

    Attributes:
        network: the Keras model to publish, with untrained weights at first. After changing its weights,
            call :meth:`take_changed_weights`.
    """

    def __init__(
        self, model: Model, generator: PublishedGenerator, precision: Precision = "float32", seed: int = 0
    ):
        self.generator = generator
        self.noise, self.stochastic = generator.noise, generator.stochastic
        self.input, self.output = generator.input, generator.output
        self.inpaints, self.enlarges = generator.task.inpaints, generator.task.enlarges
        network = model.networks()[generator.network](resolve_precision(precision))
        self.network = with_task_layers(network, generator.task)
        if generator.stochastic:
            # Training mode, which dropout needs, would change batch normalization too.
            kinds = {type(layer) for layer in self.network.layers}
            has_dropout = any(issubclass(kind, keras.layers.Dropout) for kind in kinds)
            if not has_dropout or keras.layers.BatchNormalization in kinds:
                raise ConfigError("--stochastic needs a network with dropout and without batch normalization")
        # The network that is called: the same layers, some rewritten to compute faster.
        self._fast = in_phases(self.network)
        self.take_changed_weights()
        self._seed = seed
        self._generate = tf.function(self.generate, input_signature=self._signature())
        # TensorFloat-32 rounds factors to ten bits, so GPU outputs would differ from CPU outputs.
        tf.config.experimental.enable_tensor_float_32_execution(False)

    @classmethod
    def load(
        cls,
        run: OpenedRun,
        *,
        step: int | None = None,
        direction: str | None = None,
        precision: Precision = "float32",
        stochastic: bool | None = None,
        raw_weights: bool = False,
        seed: int = 0,
    ) -> GeneratorTranslator:
        """Loads a generator of a run; see `pix2pix_tf.load` for the options."""
        checkpoint = run.checkpoint(step)
        config = run.config_for(direction)
        described = model_for(config)
        generator = published_generator(described, direction)
        if stochastic is not None:
            generator = dataclasses.replace(generator, stochastic=stochastic)
        translator = cls(described, generator, precision, seed)
        has_averages = config.optimization.ema_decay > 0
        if raw_weights and not has_averages:
            raise ConfigError(
                f"--raw-weights has no effect with {run}, which has no averages (--ema-decay 0)"
            )
        averaged = has_averages and not raw_weights
        restore_published(checkpoint, generator.network, translator.network, averaged)
        translator.take_changed_weights()
        return translator

    def set_weights(self, weights: Mapping[str, np.ndarray | tf.Tensor]) -> None:
        """Sets the network's weights by their checkpoint names; ignores weights of other networks."""
        for name, variable in stored_weights(self.generator.network, self.network).items():
            variable.assign(weights[name])
        self.take_changed_weights()

    def take_changed_weights(self) -> None:
        """Copies the current weights of ``network`` to the fast network."""
        set_phases(self._fast, self.network)

    def _signature(self) -> list[tf.TensorSpec]:
        shape = (1, self.noise) if self.noise else (1, None, None, self.input.channels)
        return [tf.TensorSpec(shape, tf.float32)]

    def for_tiles(self, sample: Iterable[np.ndarray]) -> Translate:
        """See `Translator`: instance normalization uses the sample's statistics for all tiles."""
        if not normalizations(self.network):
            return self
        of_tiles = []
        for tile in sample:
            floats = to_unit_range(tf.constant(tile))
            try:
                of_tiles.append(self._moments(floats[tf.newaxis]))
            except tf.errors.ResourceExhaustedError as error:
                raise out_of_memory(floats) from error
        found = {name: tf.reduce_mean([of_tile[name] for of_tile in of_tiles], 0) for name in of_tiles[0]}
        set_statistics(self._of_tiles.network, self.network, found)
        set_phases(self._of_tiles._fast, self.network)
        return self._of_tiles

    @functools.cached_property
    def _moments(self) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
        """Computes the moments of each normalization's input for a tile, by layer name."""
        probed = probe(self.network)
        return tf.function(
            lambda tile: {name: moments(x) for name, x in self._run(probed, tile).items()},
            input_signature=self._signature(),
        )

    @functools.cached_property
    def _of_tiles(self) -> GeneratorTranslator:
        """A copy that normalizes with fixed statistics."""
        fixed = copy.copy(self)
        fixed.network = with_fixed_statistics(self.network)
        fixed._fast = in_phases(fixed.network)
        fixed._generate = tf.function(fixed.generate, input_signature=self._signature())
        return fixed

    def _translate(self, given: tf.Tensor) -> np.ndarray:
        return from_unit_range(
            self.translate_floats(given if self.noise else to_unit_range(given)), self.output.dtype
        ).numpy()

    def translate_floats(self, given: tf.Tensor) -> tf.Tensor:
        """Translates noise or an image; images are float32 [height, width, channels] in [-1, 1]."""
        try:
            return self._generate(given[tf.newaxis])[0]
        except tf.errors.ResourceExhaustedError as error:
            raise out_of_memory(given) from error

    def generate(self, inputs: tf.Tensor) -> tf.Tensor:
        """Runs the network, eagerly or while a graph is traced.

        Args:
            inputs: float32 [1, height, width, input channels] in [-1, 1], or noise [1, numbers].

        Returns:
            float32 [1, height, width, output channels] in [-1, 1]. A stochastic network's noise depends only
            on the seed and is the same for every image.
        """
        return self._run(self._fast, inputs)

    def _run(self, network: keras.Model, inputs: tf.Tensor) -> Any:
        """Calls ``network``, or a probe of it, with seeded dropout if the generator is stochastic."""
        if not self.generator.stochastic:
            return network(inputs, training=False)
        dropouts = [layer for layer in network.layers if isinstance(layer, keras.layers.Dropout)]
        seeds = [
            (layer.seed_generator.state, tf.constant([self._seed, number], tf.uint32))
            for number, layer in enumerate(dropouts)
        ]
        with keras.StatelessScope(state_mapping=seeds):
            return network(inputs, training=True)


def translators_for(
    model: Model, precision: Precision = "float32", seed: int = 0
) -> dict[str, GeneratorTranslator]:
    """Returns an untrained translator for each published generator, by name."""
    return {
        name: GeneratorTranslator(model, generator, precision, seed)
        for name, generator in model.published_generators().items()
    }


def published_generator(model: Model, direction: str | None) -> PublishedGenerator:
    """Returns the generator for a direction, the first by default."""
    generators = model.published_generators()
    name = next(iter(generators)) if direction is None else direction
    if name not in generators:
        raise ConfigError(f"--direction {name}: the run has {' and '.join(generators)}")
    return generators[name]
