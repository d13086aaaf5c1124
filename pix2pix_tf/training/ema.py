"""Moving averages of weights, which are shown and published because they lack the noise of single steps."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

# Updating the averages takes a tenth of a step's time. Weights change so little in ten steps that an update
# every ten steps is enough.
INTERVAL = 10


class MovingAverages:
    """Exponential moving averages of variables, which take the memory of another copy.

    As in TensorFlow's ``ExponentialMovingAverage``, the decay at step n is at most (n + 1) / (n + 10), so
    that short runs benefit too and initial weights are forgotten.

    Args:
        variables: float32 variables by name; the averages start with their values.
        decay: per step, in (0, 1).

    Attributes:
        variables: averages by the same names, created in the current distribution strategy.
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
        """Sets the averages to the current values of the variables."""
        for name, average in self.variables.items():
            average.assign(self._followed[name].read_value())

    def update(self, done: tf.Tensor) -> None:
        """Updates this device's copies, at every one of the first ten steps and then at every tenth.

        ``done`` is the number of steps including this one, an int64 scalar.
        """
        first = done < INTERVAL
        covered = tf.where(done <= INTERVAL, 1.0, float(INTERVAL))  # steps since the last update
        warm = tf.cast(done + 1, tf.float32) / tf.cast(done + 10, tf.float32)
        weight = 1.0 - tf.minimum(self._decay, warm) ** covered

        def follow() -> None:
            for name, average in self.variables.items():
                # `assign_sub` on the variable would need an aggregation over devices. The copies are equal on
                # all devices, so the handle is enough.
                behind = weight * (average.read_value() - self._followed[name].read_value())
                tf.raw_ops.AssignSubVariableOp(resource=average.handle, value=behind)

        tf.cond(first | (done % INTERVAL == 0), follow, lambda: None)
