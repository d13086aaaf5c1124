"""CycleGAN: translation between two sets of unpaired images (Zhu et al. 2017, arXiv 1703.10593)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar

from pix2pix_tf.config import DataKind, GanLoss, TrainConfig
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.models.adversarial import (
    AdversarialLoss,
    AdversarialSettings,
    GeneratorKind,
    generator_builder,
)
from pix2pix_tf.models.base import (
    LossesAndMetrics,
    Metric,
    Model,
    Phase,
    PublishedGenerator,
    Rows,
    SampleGrid,
    Tensors,
    Translate,
    input_format,
    masked,
)
from pix2pix_tf.validation import Limits

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from pix2pix_tf.models.forward import ForwardPass


@dataclasses.dataclass(frozen=True)
class CycleGANSettings(AdversarialSettings):
    """Settings of CycleGAN."""

    data: ClassVar[DataKind] = "unpaired"

    gan_loss: GanLoss = "lsgan"
    """Adversarial loss: cross entropy, least squares, hinge, or Wasserstein with gradient penalty."""
    pool_size: Annotated[int, Limits(0, 10_000)] = 50
    """Size of the pool of earlier generated images for the discriminator; 0 shows it new images only."""
    generator: GeneratorKind = "resnet"
    """CycleGAN's residual network (9 blocks from 256 pixels on, 6 below), or a generator of pix2pix."""
    cycle_weight: Annotated[float, Limits(0.0)] = 10.0
    """Weight λ of the cycle consistency loss relative to the adversarial loss."""
    identity_weight: Annotated[float, Limits(0.0)] = 0.5
    """Weight, relative to λ, of the identity loss: images of the output side should not change. Preserves
    colors."""

    def check(self, config: TrainConfig) -> None:
        super().check(config)
        if not self.gan_weight:
            raise ConfigError("--gan-weight 0: CycleGAN can't learn without its discriminators")
        channels = (config.data.input_channels, config.data.output_channels)
        if self.identity_weight and None not in channels and channels[0] != channels[1]:
            raise ConfigError(
                "--identity-weight needs the same number of channels on both sides; set it to 0"
            )


class CycleGAN(Model):
    """Two generators that are inverse to each other, and a discriminator for each side (section 3)."""

    Settings = CycleGANSettings
    settings: CycleGANSettings
    defaults = {"lr_schedule": "linear"}  # noqa: RUF012 (a constant of the class)
    paper = {"upsampling": "transposed", "last_convolution": False}  # noqa: RUF012
    procedural = {  # noqa: RUF012
        "image_size": (128, 128),
        "base_filters": 32,
        "jitter": False,
        "flip": "none",
        "epochs": None,
        "steps": 2000,
        "sample_every": 500,
        "checkpoint_every": 500,
    }

    def __init__(self, config: TrainConfig):
        super().__init__(config)
        self.channels = {"a": config.data.input_channels or 3, "b": config.data.output_channels or 3}
        self.adversarial = {
            side: AdversarialLoss(self.settings, config, None, channels, side)
            for side, channels in self.channels.items()
        }

    def networks(self) -> Mapping[str, Callable[[str], keras.Model]]:
        settings, config, (a, b) = self.settings, self.config, self.channels.values()
        return {
            "generator_ab": generator_builder(settings, config, (a, b), "generator_ab"),
            "generator_ba": generator_builder(settings, config, (b, a), "generator_ba"),
            **{adversarial.name: adversarial.build for adversarial in self.adversarial.values()},
        }

    def extra_state(self) -> Mapping[str, tf.Variable]:
        return self.adversarial["a"].pool() | self.adversarial["b"].pool()

    def metrics(self) -> Sequence[Metric]:
        metrics = [
            Metric("gen_total", "generator/total", bar="G"),
            Metric("gen_ab_gan", "generator_ab/gan", plot="AB, adversarial"),
            Metric("gen_ba_gan", "generator_ba/gan", plot="BA, adversarial"),
            Metric("cycle_a", "cycle/a", bar="cycle A", plot="A, cycle"),
            Metric("cycle_b", "cycle/b", bar="cycle B", plot="B, cycle"),
        ]
        if self.settings.identity_weight:
            metrics.append(Metric("identity_a", "identity/a", plot="A, identity"))
            metrics.append(Metric("identity_b", "identity/b", plot="B, identity"))
        for adversarial in self.adversarial.values():
            metrics += adversarial.metrics()
        return metrics

    def phases(self) -> Sequence[Phase]:
        """Returns the discriminators' own updates, followed by one update of all networks.

        The authors update the generators first, and then the discriminators with images that were generated
        before that update. The gradients are the same.
        """
        discriminators = {"discriminators": ["discriminator_a", "discriminator_b"]}
        generators = {"generators": ["generator_ab", "generator_ba"]}
        own = Phase(self._discriminator_losses, discriminators, repeats=self.settings.critic_steps - 1)
        return [own, Phase(self._losses, generators | discriminators)]

    def _losses(self, batch: Tensors, forward: ForwardPass) -> LossesAndMetrics:
        from pix2pix_tf.losses import pixel_loss

        settings = self.settings
        a, b, *weights = batch
        weight_a, weight_b = weights or (None, None)
        fake_b, fake_a = forward.run("generator_ab", a), forward.run("generator_ba", b)
        cycle_a = pixel_loss("l1", forward.run("generator_ba", fake_b), a, weight_a)
        cycle_b = pixel_loss("l1", forward.run("generator_ab", fake_a), b, weight_b)
        gan_ba, gan_ab, losses, measured = self._adversarial_losses(batch, forward, fake_a, fake_b)
        total = settings.gan_weight * (gan_ba + gan_ab) + settings.cycle_weight * (cycle_a + cycle_b)
        metrics = {"gen_ab_gan": gan_ab, "gen_ba_gan": gan_ba, "cycle_a": cycle_a, "cycle_b": cycle_b}
        if settings.identity_weight:
            identity_a = pixel_loss("l1", forward.run("generator_ba", a), a, weight_a)
            identity_b = pixel_loss("l1", forward.run("generator_ab", b), b, weight_b)
            total += settings.cycle_weight * settings.identity_weight * (identity_a + identity_b)
            metrics |= {"identity_a": identity_a, "identity_b": identity_b}
        return {"generators": total, **losses}, {"gen_total": total, **metrics, **measured}

    def _discriminator_losses(self, batch: Tensors, forward: ForwardPass) -> LossesAndMetrics:
        fake_b, fake_a = forward.run("generator_ab", batch[0]), forward.run("generator_ba", batch[1])
        _, _, losses, metrics = self._adversarial_losses(batch, forward, fake_a, fake_b)
        return losses, metrics

    def _adversarial_losses(
        self, batch: Tensors, forward: ForwardPass, fake_a: tf.Tensor, fake_b: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Returns the losses of the generators BA and AB, and losses and metrics of the discriminators."""
        a, b, *weights = batch
        # Pixels that are missing on one side are masked in all four images. Otherwise the masks would show a
        # discriminator which images are generated.
        weight = weights[0] * weights[1] if weights else None
        gan_ba, loss_a, metrics_a = self.adversarial["a"].compute(
            forward, masked(a, weight), masked(fake_a, weight)
        )
        gan_ab, loss_b, metrics_b = self.adversarial["b"].compute(
            forward, masked(b, weight), masked(fake_b, weight)
        )
        return gan_ba, gan_ab, {"discriminators": loss_a + loss_b}, metrics_a | metrics_b

    def published_generators(self) -> Mapping[str, PublishedGenerator]:
        data = self.config.data
        sides = [(self.channels["a"], data.input_range), (self.channels["b"], data.output_range)]

        def generator(network: str, side: int, discriminator: str) -> PublishedGenerator:
            (channels, value_range), (other_channels, other_range) = sides[side], sides[1 - side]
            files = PixelFormat(channels, bits=data.input_bits or 8, value_range=value_range)
            output = PixelFormat(other_channels, bits=data.output_bits or 8, value_range=other_range)
            source = input_format(files, self.config, side)
            return PublishedGenerator(network, source, output, side=side, discriminator=discriminator)

        return {
            "AtoB": generator("generator_ab", 0, "discriminator_b"),
            "BtoA": generator("generator_ba", 1, "discriminator_a"),
        }

    def sample_grid(self, held_out: Rows, generators: Mapping[str, Translate]) -> SampleGrid:
        """Returns rows of A, its translation, and the translation back to A; the same from B."""
        to_b, to_a = generators["AtoB"], generators["BtoA"]
        rows = []
        for a, b in held_out:
            fake_b, fake_a = to_b(a), to_a(b)
            rows.append((a, fake_b, to_a(fake_b), b, fake_a, to_b(fake_a)))
        return SampleGrid(("A", "A to B", "and back", "B", "B to A", "and back"), rows)
