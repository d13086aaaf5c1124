"""Adam with one fused kernel per variable, and the loss scale for float16."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

EPSILON = 1e-8


class Adam:
    """Adam (Kingma & Ba 2015) on TensorFlow's fused kernel.

    Keras' Adam makes a dozen passes over weights and moments; the fused kernel makes one. Bias correction
    uses the number of updates, so the moments are the only state.

    Attributes:
        moments: (mean gradient, mean squared gradient) of each variable, created in the current distribution
            strategy.
    """

    def __init__(self, variables: Sequence[tf.Variable], beta_1: float, beta_2: float):
        self.variables = list(variables)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.moments = [
            tuple(tf.Variable(tf.zeros_like(variable), trainable=False, name=name) for name in ("m", "v"))
            for variable in self.variables
        ]

    def apply(self, gradients: Sequence[tf.Tensor], learning_rate: tf.Tensor, updates: tf.Tensor) -> None:
        """Updates the variables in place.

        ``gradients`` are float32, summed over all devices. ``updates`` counts this update too, an integer
        scalar.
        """
        updates = tf.cast(updates, tf.float32)
        beta_1_power = tf.pow(self.beta_1, updates)
        beta_2_power = tf.pow(self.beta_2, updates)
        for variable, (m, v), gradient in zip(self.variables, self.moments, gradients, strict=True):
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=m.handle,
                v=v.handle,
                beta1_power=beta_1_power,
                beta2_power=beta_2_power,
                lr=learning_rate,
                beta1=self.beta_1,
                beta2=self.beta_2,
                epsilon=EPSILON,
                grad=gradient,
            )


class LossScale:
    """Dynamic loss scale of float16 training (Micikevicius et al. 2018, section 3.2).

    Small gradients underflow in float16, so losses are multiplied and gradients divided by ``scale``. After
    an overflow, the update is skipped and the scale halved; after ``patience`` good updates, it is doubled.
    """

    def __init__(self, initial: float = 2.0**15, patience: int = 2000):
        self.patience = patience
        self.scale = tf.Variable(initial, trainable=False, dtype=tf.float32, name="scale")
        self.good_updates = tf.Variable(0, trainable=False, dtype=tf.int32, name="good_updates")

    def unscale(self, gradients: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        factor = 1.0 / self.scale
        return [gradient * factor for gradient in gradients]

    def update(self, finite: tf.Tensor) -> None:
        """Adapts the scale; ``finite`` is whether all gradients were finite."""
        good = tf.where(finite, self.good_updates + 1, 0)
        grown = good >= self.patience
        scale = tf.where(finite, tf.where(grown, self.scale * 2.0, self.scale), self.scale * 0.5)
        self.scale.assign(tf.clip_by_value(scale, 1.0, 2.0**24))
        self.good_updates.assign(tf.where(grown, 0, good))


def all_finite(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns a boolean scalar: whether no tensor has NaN or infinity."""
    # A sum is finite only if all terms are, and needs no boolean copy of the tensor.
    return tf.reduce_all([tf.math.is_finite(tf.reduce_sum(tensor)) for tensor in tensors])
