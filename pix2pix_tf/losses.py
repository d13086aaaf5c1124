"""Losses, as pure functions of float32 tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from pix2pix_tf.config import GanLoss, PixelLoss


class GanLosses(NamedTuple):
    """The losses of both networks for float32 logits of any shape; positive logits mean real images."""

    discriminator: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # function of real and fake logits
    generator: Callable[[tf.Tensor], tf.Tensor]  # function of fake logits
    undecided_logit: float = 0.0  # accuracies count logits above it as real


_mean = tf.reduce_mean

# A new loss is an entry here and its name in `config.GanLoss`. 'vanilla' and 'lsgan' are halved for the
# discriminator, which slows it relative to the generator (Isola et al. 2017, section 3.3; CycleGAN too).
GAN_LOSSES: dict[GanLoss, GanLosses] = {
    "vanilla": GanLosses(  # Goodfellow et al. 2014: cross entropy; G minimizes -log D
        lambda real, fake: 0.5 * (_mean(tf.nn.softplus(-real)) + _mean(tf.nn.softplus(fake))),
        lambda fake: _mean(tf.nn.softplus(-fake)),
    ),
    "lsgan": GanLosses(  # Mao et al. 2017
        lambda real, fake: 0.5 * (_mean(tf.square(real - 1.0)) + _mean(tf.square(fake))),
        lambda fake: _mean(tf.square(fake - 1.0)),
        undecided_logit=0.5,
    ),
    "hinge": GanLosses(  # Lim and Ye 2017
        lambda real, fake: _mean(tf.nn.relu(1.0 - real)) + _mean(tf.nn.relu(1.0 + fake)),
        lambda fake: -_mean(fake),
    ),
    "wgan-gp": GanLosses(  # Gulrajani et al. 2017; see `gradient_penalty` for its penalty
        lambda real, fake: _mean(fake) - _mean(real), lambda fake: -_mean(fake)
    ),
}

PIXEL_LOSSES: dict[PixelLoss, Callable[[tf.Tensor], tf.Tensor]] = {"l1": tf.abs, "l2": tf.square}


def premultiplied(image: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
    """Multiplies colors by alpha; images are float32 [batch, height, width, channels] in [-1, 1]."""
    colors = (image[..., :-1] + 1.0) * (alpha + 1.0) / 2.0 - 1.0
    return tf.concat([colors, image[..., -1:]], axis=-1)


def pixel_loss(
    kind: PixelLoss, fake: tf.Tensor, target: tf.Tensor, weight: tf.Tensor | None = None
) -> tf.Tensor:
    """Returns the mean of |target - fake| ('l1') or its square ('l2') per image, averaged over the images.

    ``weight`` has pixel weights, [batch, height, width, 1] in [0, 1]. An image without weight has loss 0.
    """
    distance = PIXEL_LOSSES[kind](target - fake)
    if weight is None:
        return tf.reduce_mean(distance)
    # Normalized per image, so that the loss doesn't depend on how devices divide a batch.
    weights = tf.reduce_sum(weight, axis=[1, 2, 3]) * distance.shape[-1]
    return tf.reduce_mean(tf.math.divide_no_nan(tf.reduce_sum(weight * distance, axis=[1, 2, 3]), weights))


def feature_distance(real: Sequence[tf.Tensor], fake: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns the mean absolute difference of a discriminator's features, averaged over its layers.

    This is feature matching (Wang et al. 2018, pix2pixHD, equation 4), which sums over the layers.
    """
    differences = [
        tf.reduce_mean(tf.abs(tf.cast(a, tf.float32) - tf.cast(b, tf.float32)))
        for a, b in zip(real, fake, strict=True)
    ]
    return tf.add_n(differences) / len(differences)


def gradient_penalty(
    critic: Callable[[tf.Tensor], tf.Tensor], real: tf.Tensor, fake: tf.Tensor, mix: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the means of (‖∇‖₂ - 1)² and of ‖∇‖₂ of a critic's gradients (Gulrajani et al. 2017).

    The penalty is differentiable with respect to the critic's variables. The logits of an image must only
    depend on that image. ``mix``, [batch, 1, 1, 1], is uniform in [0, 1]: the share of the real image.
    """
    images = fake + mix * (real - fake)
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = critic(images)
    # Differentiates the sum and divides later: the gradients of a mean would underflow in float16 layers.
    logits_per_image = tf.cast(tf.size(logits) / tf.shape(logits)[0], tf.float32)
    gradients = tf.cast(tape.gradient(logits, images), tf.float32) / logits_per_image
    squares = tf.reduce_sum(tf.square(gradients), axis=[1, 2, 3])
    norms = tf.sqrt(squares + 1e-12)  # the gradient of sqrt is infinite at 0
    return tf.reduce_mean(tf.square(norms - 1.0)), tf.reduce_mean(norms)
