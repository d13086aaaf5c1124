"""The losses of Isola et al. 2017, as pure functions of float32 tensors."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf


class GeneratorLoss(NamedTuple):
    """What the generator minimises: ``total`` = ``gan`` + λ ``l1``, float32 scalars."""

    total: tf.Tensor
    gan: tf.Tensor
    l1: tf.Tensor


def adversarial_loss(logits: tf.Tensor, real: bool) -> tf.Tensor:
    """Mean cross entropy of the discriminator's logits against one verdict (paper, equation 1).

    Args:
        logits: float32 of any shape; positive means real.
        real: the verdict that costs nothing.

    Returns:
        float32 scalar, at least 0; log 2 where the discriminator is undecided.
    """
    return tf.reduce_mean(tf.nn.softplus(-logits if real else logits))


def generator_loss(
    fake_logits: tf.Tensor, fake: tf.Tensor, target: tf.Tensor, l1_weight: float
) -> GeneratorLoss:
    """The generator's loss: to be taken for real, and to be close to the target (paper, equation 4).

    Args:
        fake_logits: the discriminator's logits on (input, fake), float32 [batch, rows, columns, 1].
        fake: the generator's output, float32 [batch, height, width, channels] in [-1, 1].
        target: of the same shape and range.
        l1_weight: λ.
    """
    gan = adversarial_loss(fake_logits, real=True)
    l1 = tf.reduce_mean(tf.abs(target - fake))
    return GeneratorLoss(gan + l1_weight * l1, gan, l1)


def discriminator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """The discriminator's loss, halved to slow it down against the generator (paper, section 3.3).

    Args:
        real_logits: logits on (input, target), float32 [batch, rows, columns, 1].
        fake_logits: logits on (input, generated), of the same shape.

    Returns:
        float32 scalar, at least 0; log 2 where the discriminator is undecided.
    """
    return 0.5 * (adversarial_loss(real_logits, real=True) + adversarial_loss(fake_logits, real=False))
