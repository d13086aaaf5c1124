"""The losses of the papers, as pure functions of float32 tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import tensorflow as tf

GanLoss = Literal["vanilla", "lsgan", "hinge", "wgan-gp"]
PixelLoss = Literal["l1", "l2"]


class _Adversarial(NamedTuple):
    discriminator: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # of real and fake logits
    generator: Callable[[tf.Tensor], tf.Tensor]  # of fake logits


def _mean(values: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(values)


# Where a loss is halved for the discriminator, that slows it down against the generator (Isola et al. 2017,
# section 3.3); the authors of CycleGAN do the same.
GAN_LOSSES: dict[GanLoss, _Adversarial] = {
    "vanilla": _Adversarial(  # Goodfellow et al. 2014: cross entropy, G minimising -log D
        lambda real, fake: 0.5 * (_mean(tf.nn.softplus(-real)) + _mean(tf.nn.softplus(fake))),
        lambda fake: _mean(tf.nn.softplus(-fake)),
    ),
    "lsgan": _Adversarial(  # Mao et al. 2017
        lambda real, fake: 0.5 * (_mean(tf.square(real - 1.0)) + _mean(tf.square(fake))),
        lambda fake: _mean(tf.square(fake - 1.0)),
    ),
    "hinge": _Adversarial(  # Lim and Ye 2017
        lambda real, fake: _mean(tf.nn.relu(1.0 - real)) + _mean(tf.nn.relu(1.0 + fake)),
        lambda fake: -_mean(fake),
    ),
    "wgan-gp": _Adversarial(  # Gulrajani et al. 2017; its gradient penalty is a function of its own
        lambda real, fake: _mean(fake) - _mean(real),
        lambda fake: -_mean(fake),
    ),
}

_PIXEL_LOSSES: dict[PixelLoss, Callable[[tf.Tensor], tf.Tensor]] = {"l1": tf.abs, "l2": tf.square}


def discriminator_loss(kind: GanLoss, real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """What the discriminator minimizes, to tell real images from generated ones.

    Args:
        kind: one of ``GAN_LOSSES``.
        real_logits: of real images, float32 of any shape, often [batch, rows, columns, 1]; positive means
            real.
        fake_logits: of generated images.

    Returns:
        float32 scalar. At least 0, but for 'wgan-gp', which has no bound and lacks the gradient penalty.
    """
    return GAN_LOSSES[kind].discriminator(real_logits, fake_logits)


def generator_loss(kind: GanLoss, fake_logits: tf.Tensor) -> tf.Tensor:
    """What the generator minimizes, to have its images taken for real.

    Args:
        kind: one of ``GAN_LOSSES``.
        fake_logits: the discriminator's on generated images, float32 of any shape; positive means real.

    Returns:
        float32 scalar. At least 0 for 'vanilla' and 'lsgan', without bound for the others.
    """
    return GAN_LOSSES[kind].generator(fake_logits)


def pixel_loss(
    kind: PixelLoss, fake: tf.Tensor, target: tf.Tensor, weight: tf.Tensor | None = None
) -> tf.Tensor:
    """The mean over images of the mean distance of an image's values from those of another.

    Args:
        kind: 'l1', the mean of |target - fake|, or 'l2', of its square.
        fake: float32 [batch, height, width, channels] in [-1, 1].
        target: of the same shape and range.
        weight: of each pixel, float32 [batch, height, width, 1] in [0, 1]; 1 by default.

    Returns:
        float32 scalar, 0 to 2 ('l1') or 4 ('l2'). An image without any weight adds 0 to the mean.
    """
    distance = _PIXEL_LOSSES[kind](target - fake)
    if weight is None:
        return tf.reduce_mean(distance)
    # Each image by its own weight, so that the loss doesn't depend on how a batch is divided.
    weights = tf.reduce_sum(weight, axis=[1, 2, 3]) * distance.shape[-1]
    return tf.reduce_mean(tf.math.divide_no_nan(tf.reduce_sum(weight * distance, axis=[1, 2, 3]), weights))


def feature_distance(real: Sequence[tf.Tensor], fake: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns how far apart a discriminator's features are: mean absolute difference, mean over its layers.

    Feature matching (Wang et al. 2018, pix2pixHD, equation 4), there as a sum over the layers.

    Args:
        real: of the real images, each [batch, height, width, channels].
        fake: of the generated ones.

    Returns:
        A float32 scalar.
    """
    apart = [
        tf.reduce_mean(tf.abs(tf.cast(a, tf.float32) - tf.cast(b, tf.float32)))
        for a, b in zip(real, fake, strict=True)
    ]
    return tf.add_n(apart) / len(apart)


def gradient_penalty(
    critic: Callable[[tf.Tensor], tf.Tensor], real: tf.Tensor, fake: tf.Tensor, mix: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """How far a critic's gradients with respect to images are from length 1 (Gulrajani et al. 2017).

    To be differentiated once more, with respect to the critic's variables. The papers weigh it by 10.

    Args:
        critic: from images to logits [batch, …], whose mean is an image's score. Every image's score must
            depend on that image only, so batch normalization is out of place.
        real: float32 [batch, height, width, channels].
        fake: generated images of the same shape.
        mix: float32 [batch, 1, 1, 1] in [0, 1], drawn uniformly: how much of an image is real.

    Returns:
        The penalty, mean (‖∇‖₂ - 1)², and the mean of ‖∇‖₂, float32 scalars.
    """
    images = fake + mix * (real - fake)
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = critic(images)
    # Of the sum, divided afterwards: on the way through float16 layers a mean's gradients would vanish.
    logits_per_image = tf.cast(tf.size(logits) / tf.shape(logits)[0], tf.float32)
    gradients = tf.cast(tape.gradient(logits, images), tf.float32) / logits_per_image
    squares = tf.reduce_sum(tf.square(gradients), axis=[1, 2, 3])
    norms = tf.sqrt(squares + 1e-12)  # whose own gradient at 0 would be infinite
    return tf.reduce_mean(tf.square(norms - 1.0)), tf.reduce_mean(norms)
