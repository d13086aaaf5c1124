"""One forward pass of a training step on one device, with all its randomness."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence

import keras
import tensorflow as tf

from pix2pix_tf.networks.layers import drawn_for_part, part_of_batch

# Where the numbers that seeds are folded with begin, so that no two draws share one; below are the layers.
_LATER_RUNS = 1 << 16
_DRAWS = 1 << 17
_LATER_UPDATES = 1 << 20


def _fold(seed: tf.Tensor, number: int | tf.Tensor) -> tf.Tensor:
    # An int32 number would leave 32 bits of the seed.
    return tf.random.experimental.stateless_fold_in(seed, tf.cast(number, tf.int64))


class ForwardPass:
    """What a model's losses are computed with: networks in training, its own state, and random numbers.

    Everything random is a pure function of the seed, the step, the update in the step and the place in the
    batch: it doesn't matter on how many devices and in how many parts the batch is computed.

    Args:
        networks: by name.
        state: the model's extra state.
        seed: the run's.
        step: steps done before this one, an int64 scalar.
        update: which update of the step this is.
        part: which part of the batch, where it is computed in parts, one after the other, and of how many.
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
        # Each part of a batch is laid out over the devices.
        self._place = (part[0] * devices + context.replica_id_in_sync_group, part[1] * devices)
        root = tf.stack([tf.constant(seed, tf.int64), step])
        key = _fold(root, tf.constant(0, tf.int64))
        self._seed = _fold(key, _LATER_UPDATES + update) if update else key
        self._shared_seed = _fold(root, _LATER_UPDATES + update)
        self._runs = self._draws = 0

    def run(self, name: str, inputs: tf.Tensor | Sequence[tf.Tensor]) -> tf.Tensor:
        """Returns a network's output in training; inputs are float32 [batch, ...] each."""
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
        for variable in changing_weights(network):
            variable.assign(scope.get_current_value(variable))
        return output

    def recall(self, name: str, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the output of a network that isn't trained here, as it is after its training."""
        return tf.stop_gradient(self.networks[name](inputs, training=False))

    def run_with_features(self, name: str, inputs: tf.Tensor | Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Returns the output of a network without dropout, and behind it the outputs of its leaky ReLUs."""
        network = self.networks[name]
        inside = [layer.output for layer in network.layers if isinstance(layer, keras.layers.LeakyReLU)]
        return keras.Model(network.inputs, [network.output, *inside])(inputs, training=True)

    def normal(self, shape: Sequence[int]) -> tf.Tensor:
        """Returns standard normal numbers, float32 [batch, ...], other ones at each call and each image."""
        draw = functools.partial(tf.random.stateless_normal, seed=self._next_seed(self._seed))
        return drawn_for_part(shape, draw, *self._place)

    def uniform(self, shape: Sequence[int], shared: bool = False, batch_axis: int = 0) -> tf.Tensor:
        """Returns numbers in [0, 1), float32, other ones at each call and for each image.

        Args:
            shape: with an axis for the batch: of this device, or of all devices if shared.
            shared: the same on all devices.
            batch_axis: which axis that is.
        """
        seed = self._shared_seed if shared else self._seed
        draw = functools.partial(tf.random.stateless_uniform, seed=self._next_seed(seed))
        index, count = self._part if shared else self._place
        return drawn_for_part(shape, draw, index, count, batch_axis)

    def _next_seed(self, seed: tf.Tensor) -> tf.Tensor:
        self._draws += 1
        return _fold(seed, _DRAWS + self._draws)


def changing_weights(network: keras.Model) -> Iterator[keras.Variable]:
    """The weights that are not trained but change in training: running averages, singular vectors."""
    return (each for each in network.non_trainable_variables if "seed_generator" not in each.path)
