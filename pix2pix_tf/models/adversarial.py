"""What the models with a discriminator share: its settings, its network and the adversarial loss."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pix2pix_tf.config import GanLoss, ModelSettings, Normalization, TrainConfig, Upsampling
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.models.base import Metric
from pix2pix_tf.models.pool import create_pool, from_pool
from pix2pix_tf.validation import limited

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from pix2pix_tf.models.forward import ForwardPass

GeneratorKind = Literal["unet", "encoder_decoder", "resnet", "unet_of_pytorch", "resnet_of_pytorch"]
Patch = Literal[1, 16, 70, 286]

_SMALLEST_SIDE: dict[Patch, int] = {286: 65}  # below it, no logit is left


@dataclasses.dataclass(frozen=True)
class AdversarialSettings(ModelSettings):
    """Settings of the networks, and of the adversarial loss."""

    generator: GeneratorKind = "unet"
    """The U-Net, the same without skip connections, or CycleGAN's residual network (9 blocks from 256 pixels
    on, else 6). Those of_pytorch differ in details, and are for imported weights."""
    base_filters: Annotated[int, *limited(1, 512)] = 64
    """Filters of the first convolution; the others follow (64 is the paper's)."""
    norm: Normalization = "instance"
    """'instance' treats every image alone, in training and after; 'batch' uses running averages after."""
    upsampling: Upsampling = "nearest"
    """How the last four upsampling steps of the generator work: 'nearest' and 'resize' interpolate before a
    3×3 convolution, 'transposed' is the papers' convolution, which leaves checkerboard artifacts."""
    last_convolution: bool = True
    """A U-Net ends with a 3×3 convolution at full size, instead of its last upsampling step."""
    discriminator_filters: Annotated[int | None, *limited(1, 512)] = None
    """Filters of the discriminator's first convolution; as --base-filters if not given."""
    patch: Patch = 70
    """Pixels, each way, that one output of the discriminator sees; 286 is all of a 256×256 image."""
    spectral_norm: bool = False
    """Divide the discriminator's kernels by their largest singular value (Miyato et al. 2018)."""
    gan_loss: GanLoss = "vanilla"
    """The adversarial loss: cross entropy, least squares, hinge, or Wasserstein with gradient penalty."""
    gan_weight: Annotated[float, *limited(0.0)] = 1.0
    """Weight of the adversarial loss; 0 trains without a discriminator."""
    feature_matching: Annotated[float, *limited(0.0)] = 0.0
    """Weight of the distance between the discriminator's features of real and generated images (Wang et al.
    2018); 0 leaves it out."""
    gradient_penalty: Annotated[float, *limited(0.0)] = 10.0
    """Weight of wgan-gp's penalty on gradients whose norm isn't 1 (Gulrajani et al. 2017)."""
    critic_steps: Annotated[int, *limited(1, 100)] = 1
    """Updates of the discriminator for each of the generator."""
    diff_augment: bool = False
    """The discriminator sees images with other colors, moved and with a cutout, real and generated alike
    (Zhao et al. 2020): otherwise it memorizes small data sets in long runs."""
    pool_size: Annotated[int, *limited(0, 10_000)] = 0
    """Generated images that are kept for the discriminator to see again; 0 shows it new ones only."""

    def check(self, config: TrainConfig) -> None:
        """Refuses what makes no sense together."""
        if self.gan_loss == "wgan-gp" and self.norm == "batch":
            raise ConfigError(
                "--gan-loss wgan-gp needs --norm instance or none: it looks at every image alone"
            )
        if self.diff_augment and self.feature_matching:
            raise ConfigError(
                "--feature-matching compares features place by place, and --diff-augment moves each image "
                "its own way; take one of them"
            )
        smallest = _SMALLEST_SIDE.get(self.patch, 1)
        if self.gan_weight and min(config.data.size) < smallest:
            raise ConfigError(f"--patch {self.patch} needs --image-size {smallest} or more")


def generator_builder(
    settings: AdversarialSettings, config: TrainConfig, channels: tuple[int, int], name: str = "generator"
) -> Callable[[str], keras.Model]:
    """Returns what builds a generator for a Keras precision policy; ``channels`` are of input and output."""

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


class GanLosses(NamedTuple):
    """What a generator and its discriminator minimize, float32 scalars, and metrics by name."""

    generator: tf.Tensor
    discriminator: tf.Tensor
    metrics: dict[str, tf.Tensor]


class AdversarialLoss:
    """A discriminator: its network, its pool of generated images, its losses and its metrics.

    Args:
        condition_channels: of what the discriminator sees besides an image; ``None`` for images alone.
        image_channels: of real and generated images.
        name: of the network, in checkpoints and in TensorBoard.
        metric: prefix of its metrics' names in metrics.jsonl.
        bar: name of its loss in the progress bar.
    """

    def __init__(
        self,
        settings: AdversarialSettings,
        config: TrainConfig,
        condition_channels: int | None,
        image_channels: int,
        name: str = "discriminator",
        metric: str = "disc",
        bar: str = "D",
    ):
        self._settings, self._size = settings, config.data.size
        self._channels = (condition_channels, image_channels)
        self.name, self._metric, self._bar = name, metric, bar

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
        """Creates the pool's variables, by name in a checkpoint; none with a pool size of 0."""
        if not self._settings.pool_size:
            return {}
        condition_channels, image_channels = self._channels
        shape = (*self._size, (condition_channels or 0) + image_channels)
        return create_pool(f"{self.name}_pool", self._settings.pool_size, shape)

    def metrics(self) -> Sequence[Metric]:
        """Returns what :meth:`compute` measures."""
        settings, tag = self._settings, self.name
        undecided = (math.log(2), "log 2: undecided") if settings.gan_loss == "vanilla" else None
        loss = Metric(self._metric, f"{tag}/loss", bar=self._bar, plot=tag.replace("_", " "), level=undecided)
        matched = [Metric(f"{self._metric}_features", f"{tag}/feature_distance")]
        matched = matched if settings.feature_matching else []
        if settings.gan_loss == "wgan-gp":
            goal = (1.0, "1: the goal")
            norm = f"{self._metric}_gradient_norm"
            return loss, Metric(norm, f"{tag}/gradient_norm", plot="gradient norm", level=goal), *matched
        return (
            loss,
            Metric(f"{self._metric}_real_accuracy", f"{tag}/accuracy_on_real"),
            Metric(f"{self._metric}_fake_accuracy", f"{tag}/accuracy_on_fake"),
            *matched,
        )

    def compute(
        self, forward: ForwardPass, real: tf.Tensor, fake: tf.Tensor, condition: tf.Tensor | None = None
    ) -> GanLosses:
        """Computes the losses on real and generated images, float32 [batch, height, width, channels].

        ``condition`` is the generator's input, if the discriminator sees it too.
        """
        import tensorflow as tf

        from pix2pix_tf import losses
        from pix2pix_tf.models.augmentation import augmented

        settings = self._settings

        def seen_in(images: tf.Tensor, condition: tf.Tensor | None = condition) -> list[tf.Tensor]:
            """The logits, and behind them the features if they are matched."""
            if settings.diff_augment:
                images, condition = augmented(forward, images, condition)
            given = images if condition is None else [condition, images]
            if settings.feature_matching:
                return forward.run_with_features(self.name, given)
            return [forward.run(self.name, given)]

        def logits_of(images: tf.Tensor, condition: tf.Tensor | None = condition) -> tf.Tensor:
            return seen_in(images, condition)[0]

        (real_logits, *real_features), (fake_logits, *fake_features) = seen_in(real), seen_in(fake)
        seen, seen_logits = fake, fake_logits
        if settings.pool_size:
            both = fake if condition is None else tf.concat([condition, fake], axis=-1)
            pooled = from_pool(forward, f"{self.name}_pool", both)
            *other, seen = (
                [pooled] if condition is None else tf.split(pooled, [condition.shape[-1], -1], axis=-1)
            )
            seen_logits = logits_of(seen, *other)
        loss = losses.discriminator_loss(settings.gan_loss, real_logits, seen_logits)
        metrics = {}
        if settings.gan_loss == "wgan-gp":
            mix = forward.uniform([real.shape[0], 1, 1, 1])
            penalty, norm = losses.gradient_penalty(logits_of, real, tf.stop_gradient(seen), mix)
            loss += settings.gradient_penalty * penalty
            metrics[f"{self._metric}_gradient_norm"] = norm
        else:
            undecided = losses.GAN_LOSSES[settings.gan_loss].undecided_logit
            right = {"real": real_logits > undecided, "fake": seen_logits < undecided}
            for which, is_right in right.items():
                metrics[f"{self._metric}_{which}_accuracy"] = tf.reduce_mean(tf.cast(is_right, tf.float32))
        generator_loss = losses.generator_loss(settings.gan_loss, fake_logits)
        if settings.feature_matching:
            apart = losses.feature_distance(real_features, fake_features)
            generator_loss += settings.feature_matching * apart
            metrics[f"{self._metric}_features"] = apart
        return GanLosses(generator_loss, loss, {self._metric: loss, **metrics})
