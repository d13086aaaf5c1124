"""The settings, discriminator and adversarial loss shared by pix2pix and CycleGAN."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pix2pix_tf.config import GanLoss, ModelSettings, Normalization, TrainConfig, Upsampling
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.models.base import Metric
from pix2pix_tf.models.pool import create_pool, from_pool
from pix2pix_tf.validation import COMMON, Limits

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from pix2pix_tf.models.forward import ForwardPass

GeneratorKind = Literal["unet", "encoder_decoder", "resnet", "unet_of_pytorch", "resnet_of_pytorch"]
Patch = Literal[1, 16, 70, 286]


@dataclasses.dataclass(frozen=True)
class AdversarialSettings(ModelSettings):
    """Settings of the generator, the discriminator and the adversarial loss."""

    generator: GeneratorKind = "unet"
    """U-Net, the same without skip connections, or CycleGAN's residual network (9 blocks from 256 pixels on,
    6 below). The variants 'of_pytorch' match the authors' PyTorch code, for imported weights."""
    base_filters: Annotated[int, Limits(1, 512), COMMON] = 64
    """Filters of the first convolution; the other layers scale with it (64 in the paper)."""
    norm: Normalization = "instance"
    """Normalization: 'instance' treats each image alone, 'batch' uses running averages after training."""
    upsampling: Upsampling = "nearest"
    """Method of the generator's last four upsampling steps: 'nearest' and 'resize' interpolate before a 3×3
    convolution; 'transposed' is the papers' convolution, which leaves checkerboard artifacts."""
    last_convolution: bool = True
    """End a U-Net with a 3×3 convolution at full size instead of its last upsampling step."""
    discriminator_filters: Annotated[int | None, Limits(1, 512)] = None
    """Filters of the discriminator's first convolution; the same as --base-filters by default."""
    patch: Patch = 70
    """Side in pixels of the patch that each discriminator output sees; 286 covers a 256×256 image."""
    spectral_norm: bool = False
    """Divide the discriminator's kernels by their largest singular value (Miyato et al. 2018)."""
    gan_loss: GanLoss = "vanilla"
    """Adversarial loss: cross entropy, least squares, hinge, or Wasserstein with gradient penalty."""
    gan_weight: Annotated[float, Limits(0.0)] = 1.0
    """Weight of the adversarial loss; 0 trains without a discriminator."""
    feature_matching: Annotated[float, Limits(0.0)] = 0.0
    """Weight of the distance between the discriminator's features of real and generated images (Wang et al.
    2018); 0 disables it."""
    gradient_penalty: Annotated[float, Limits(0.0)] = 10.0
    """Weight of wgan-gp's penalty on gradients with a norm other than 1 (Gulrajani et al. 2017)."""
    critic_steps: Annotated[int, Limits(1, 100)] = 1
    """Number of discriminator updates per generator update."""
    diff_augment: bool = False
    """Augment real and generated images for the discriminator by color, translation and cutout (Zhao et al.
    2020). Prevents it from memorizing small data sets in long runs."""
    pool_size: Annotated[int, Limits(0, 10_000)] = 0
    """Size of the pool of earlier generated images for the discriminator; 0 shows it new images only."""

    def check(self, config: TrainConfig) -> None:
        if self.gan_loss == "wgan-gp" and self.norm == "batch":
            raise ConfigError(
                "--gan-loss wgan-gp needs --norm instance or none: it penalizes each image alone"
            )
        if self.diff_augment and self.feature_matching:
            raise ConfigError(
                "--feature-matching compares features by position, and --diff-augment translates images "
                "differently; use only one of them"
            )
        if (
            self.gan_weight and self.patch == 286 and min(config.data.size) < 65
        ):  # smaller images have no logits
            raise ConfigError("--patch 286 needs --image-size 65 or more")


def generator_builder(
    settings: AdversarialSettings, config: TrainConfig, channels: Sequence[int], name: str = "generator"
) -> Callable[[str], keras.Model]:
    """Returns a function that builds a generator for a Keras dtype policy.

    ``channels`` are the numbers of input and output channels.
    """

    def build(dtype: str) -> keras.Model:
        from pix2pix_tf.networks import build_generator

        return build_generator(
            settings.generator,
            image_size=config.data.size,
            base_filters=settings.base_filters,
            norm=settings.norm,
            upsampling=settings.upsampling,
            last_convolution=settings.last_convolution,
            input_channels=channels[0],
            output_channels=channels[1],
            dtype=dtype,
            name=name,
        )

    return build


class AdversarialLoss:
    """A discriminator with its pool of generated images, losses and metrics.

    Args:
        condition_channels: Channels of the condition image; ``None`` for an unconditional discriminator.
        image_channels: Channels of real and generated images.
        side: CycleGAN's side, 'a' or 'b', which is a suffix of all names.
    """

    def __init__(
        self,
        settings: AdversarialSettings,
        config: TrainConfig,
        condition_channels: int | None,
        image_channels: int,
        side: str = "",
    ):
        self._settings, self._size = settings, config.data.size
        self._channels = (condition_channels, image_channels)
        suffix = f"_{side}" if side else ""
        self.name, self._metric = f"discriminator{suffix}", f"disc{suffix}"
        self._bar = f"D {side.upper()}".strip()

    def build(self, dtype: str) -> keras.Model:
        from pix2pix_tf.networks import build_discriminator

        condition_channels, image_channels = self._channels
        return build_discriminator(
            patch=self._settings.patch,
            base_filters=self._settings.discriminator_filters or self._settings.base_filters,
            norm=self._settings.norm,
            condition_channels=condition_channels,
            image_channels=image_channels,
            image_size=self._size,
            spectral_norm=self._settings.spectral_norm,
            dtype=dtype,
            name=self.name,
        )

    def pool(self) -> dict[str, tf.Variable]:
        """Creates the pool's variables, by checkpoint name; empty if the pool size is 0."""
        if not self._settings.pool_size:
            return {}
        condition_channels, image_channels = self._channels
        shape = (*self._size, (condition_channels or 0) + image_channels)
        return create_pool(f"{self.name}_pool", self._settings.pool_size, shape)

    def metrics(self) -> Sequence[Metric]:
        """Returns the metrics that :meth:`compute` measures."""
        settings, name, tag = self._settings, self._metric, self.name
        undecided = (math.log(2), "log 2: undecided") if settings.gan_loss == "vanilla" else None
        metrics = [Metric(name, f"{tag}/loss", bar=self._bar, plot=tag.replace("_", " "), level=undecided)]
        if settings.gan_loss == "wgan-gp":
            goal = (1.0, "1: the goal")
            norm = f"{tag}/gradient_norm"
            metrics.append(Metric(f"{name}_gradient_norm", norm, plot="gradient norm", level=goal))
        else:
            metrics.append(Metric(f"{name}_real_accuracy", f"{tag}/accuracy_on_real"))
            metrics.append(Metric(f"{name}_fake_accuracy", f"{tag}/accuracy_on_fake"))
        if settings.feature_matching:
            metrics.append(Metric(f"{name}_features", f"{tag}/feature_distance"))
        return metrics

    def compute(
        self, forward: ForwardPass, real: tf.Tensor, fake: tf.Tensor, condition: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor, dict[str, tf.Tensor]]:
        """Computes the losses of the generator and of the discriminator, and the metrics.

        Images are float32 [batch, height, width, channels]. ``condition`` is the generator's input; an
        unconditional discriminator ignores it.
        """
        import tensorflow as tf

        from pix2pix_tf import losses
        from pix2pix_tf.models.augmentation import augmented

        settings, metric = self._settings, self._metric
        conditions = [] if condition is None or self._channels[0] is None else [condition]

        def discriminate(inputs: Sequence[tf.Tensor]) -> list[tf.Tensor]:
            """Returns the logits, followed by the features if feature matching needs them."""
            if settings.diff_augment:
                inputs = augmented(forward, inputs)
            given = inputs if conditions else inputs[0]
            if settings.feature_matching:
                return forward.run_with_features(self.name, given)
            return [forward.run(self.name, given)]

        real_logits, *real_features = discriminate([*conditions, real])
        fake_logits, *fake_features = discriminate([*conditions, fake])
        pooled, pooled_logits = [*conditions, fake], fake_logits
        if settings.pool_size:
            drawn = from_pool(forward, f"{self.name}_pool", tf.concat(pooled, axis=-1))
            pooled = tf.split(drawn, [each.shape[-1] for each in pooled], axis=-1)
            pooled_logits = discriminate(pooled)[0]

        gan = losses.GAN_LOSSES[settings.gan_loss]
        generator_loss, loss = gan.generator(fake_logits), gan.discriminator(real_logits, pooled_logits)
        metrics = {}
        if settings.gan_loss == "wgan-gp":
            mix = forward.uniform([real.shape[0], 1, 1, 1])
            penalty, metrics[f"{metric}_gradient_norm"] = losses.gradient_penalty(
                lambda images: discriminate([*conditions, images])[0], real, tf.stop_gradient(pooled[-1]), mix
            )
            loss += settings.gradient_penalty * penalty
        else:
            correct = {"real": real_logits > gan.undecided_logit, "fake": pooled_logits < gan.undecided_logit}
            for kind, is_correct in correct.items():
                metrics[f"{metric}_{kind}_accuracy"] = tf.reduce_mean(tf.cast(is_correct, tf.float32))
        if settings.feature_matching:
            distance = losses.feature_distance(real_features, fake_features)
            generator_loss += settings.feature_matching * distance
            metrics[f"{metric}_features"] = distance
        return generator_loss, loss, {metric: loss, **metrics}
