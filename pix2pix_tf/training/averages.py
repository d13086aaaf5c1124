"""Moving averages of weights: what is shown and published, and what no single step's noise is in."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

# An average's own pass over the weights takes as long as a tenth of a step. Weights change so little in ten
# steps that it may be made then only.
INTERVAL = 10


class Averages:
    """Exponential moving averages of variables, one more copy of them in memory.

    After ``n`` steps the decay is that of the last ``n / 9`` steps or so, until it reaches its own: short
    runs gain, too, and the first weights are forgotten (as in TensorFlow's ``ExponentialMovingAverage``).

    Args:
        variables: by name, float32; the averages begin as what they are.
        decay: a step, in (0, 1).

    Attributes:
        variables: the averages by the same names, created in the current distribution strategy.
    """

    def __init__(self, variables: Mapping[str, tf.Variable], decay: float):
        self._followed = dict(variables)
        self._decay = decay
        self.variables = {
            name: tf.Variable(tf.zeros_like(variable), trainable=False, name="average")
            for name, variable in variables.items()
        }
        self.reset()

    def reset(self) -> None:
        """Begins anew with the variables as they are."""
        for name, average in self.variables.items():
            average.assign(self._followed[name].read_value())

    def update(self, done: tf.Tensor) -> None:
        """Follows the variables, on this device's copies.

        Args:
            done: steps done with this one, an int64 scalar: the first ten count one by one, the others by
                tens.
        """
        first = done < INTERVAL
        covered = tf.where(done <= INTERVAL, 1.0, float(INTERVAL))  # steps since the last update
        warm = tf.cast(done + 1, tf.float32) / tf.cast(done + 10, tf.float32)
        weight = 1.0 - tf.minimum(self._decay, warm) ** covered

        def follow() -> None:
            for name, average in self.variables.items():
                # On the handle, as `assign_sub` asks how devices are to agree. They need not: all follow the
                # same weights.
                behind = weight * (average.read_value() - self._followed[name].read_value())
                tf.raw_ops.AssignSubVariableOp(resource=average.handle, value=behind)

        tf.cond(first | (done % INTERVAL == 0), follow, lambda: None)
