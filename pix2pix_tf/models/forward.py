"""The forward pass of one update on one device, with all its randomness."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence

import keras
import tensorflow as tf

from pix2pix_tf.networks.layers import drawn_for_part, part_of_batch

# Offsets of the numbers folded into seeds, so that no two draws share a seed. Layers start at 0.
_LATER_RUNS = 1 << 16
_DRAWS = 1 << 17
_LATER_UPDATES = 1 << 20


def _fold(seed: tf.Tensor, number: int | tf.Tensor) -> tf.Tensor:
    # With an int32 number, only 32 bits of the seed would be used.
    return tf.random.experimental.stateless_fold_in(seed, tf.cast(number, tf.int64))


class ForwardPass:
    """Runs networks in training mode and draws random numbers for a model's losses.

    All randomness is a pure function of the seed, the step, the update and the position in the batch. It is
    independent of the number of devices and of the parts that a batch is split into.

    Args:
        networks: Networks by name.
        state: The model's extra state.
        seed: Seed of the run.
        step: Number of completed steps, an int64 scalar.
        update: Number of the update in the step.
        part: Index of the part of the batch, and number of parts that are computed one after the other.
    """

    def __init__(
        self,
        networks: Mapping[str, keras.Model],
        state: Mapping[str, tf.Variable],
        seed: int,
        step: tf.Tensor,
        update: int = 0,
        part: tuple[int, int] = (0, 1),
    ):
        self.networks = networks
        self.state = state
        self._part = part
        context = tf.distribute.get_replica_context()
        devices = context.num_replicas_in_sync
        # Each part of a batch is split over the devices.
        self._place = (part[0] * devices + context.replica_id_in_sync_group, part[1] * devices)
        root = tf.stack([tf.constant(seed, tf.int64), step])
        key = _fold(root, tf.constant(0, tf.int64))
        self._seed = _fold(key, _LATER_UPDATES + update) if update else key
        self._shared_seed = _fold(root, _LATER_UPDATES + update)
        self._runs = self._draws = 0

    def run(self, name: str, inputs: tf.Tensor | Sequence[tf.Tensor]) -> tf.Tensor:
        """Returns a network's output in training mode; inputs are float32 [batch, ...]."""
        network = self.networks[name]
        dropouts = [layer for layer in network.layers if isinstance(layer, keras.layers.Dropout)]
        if not dropouts:
            return network(inputs, training=True)
        key = _fold(self._seed, _LATER_RUNS + self._runs) if self._runs else self._seed
        self._runs += 1
        seeds = [
            (layer.seed_generator.state, tf.bitcast(_fold(_fold(key, number), 0)[0], tf.uint32))
            for number, layer in enumerate(dropouts)
        ]
        with part_of_batch(*self._place), keras.StatelessScope(state_mapping=seeds) as scope:
            output = network(inputs, training=True)
        for variable in non_trainable_weights(network):
            variable.assign(scope.get_current_value(variable))
        return output

    def run_with_features(self, name: str, inputs: tf.Tensor | Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Returns the output of a network without dropout, followed by its leaky ReLUs' outputs."""
        network = self.networks[name]
        features = [layer.output for layer in network.layers if isinstance(layer, keras.layers.LeakyReLU)]
        return keras.Model(network.inputs, [network.output, *features])(inputs, training=True)

    def infer(self, name: str, inputs: tf.Tensor) -> tf.Tensor:
        """Returns a network's output in inference mode, without gradients."""
        return tf.stop_gradient(self.networks[name](inputs, training=False))

    def normal(self, shape: Sequence[int]) -> tf.Tensor:
        """Draws standard normal numbers, float32 [batch, ...], different for each call and image."""
        draw = functools.partial(tf.random.stateless_normal, seed=self._next_seed(self._seed))
        return drawn_for_part(shape, draw, *self._place)

    def uniform(self, shape: Sequence[int], shared: bool = False, batch_axis: int = 0) -> tf.Tensor:
        """Draws float32 numbers from [0, 1), different for each call and image.

        Args:
            shape: Shape of the result; the batch is this device's, or if ``shared`` that of all devices.
            shared: Whether all devices draw the same numbers.
            batch_axis: Axis of the batch.
        """
        seed = self._shared_seed if shared else self._seed
        draw = functools.partial(tf.random.stateless_uniform, seed=self._next_seed(seed))
        index, count = self._part if shared else self._place
        return drawn_for_part(shape, draw, index, count, batch_axis)

    def _next_seed(self, seed: tf.Tensor) -> tf.Tensor:
        self._draws += 1
        return _fold(seed, _DRAWS + self._draws)


def non_trainable_weights(network: keras.Model) -> Iterator[keras.Variable]:
    """Yields the weights that training changes without gradients: running averages and singular vectors."""
    return (each for each in network.non_trainable_variables if "seed_generator" not in each.path)
