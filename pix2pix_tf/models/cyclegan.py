"""CycleGAN: between two sets of images that are not paired (Zhu et al. 2017, arXiv 1703.10593)."""

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
    GanLosses,
    GeneratorKind,
    generator_builder,
)
from pix2pix_tf.models.base import (
    Metric,
    Model,
    Phase,
    PublishedGenerator,
    SampleGrid,
    Translate,
    as_files_are_read,
    masked,
)
from pix2pix_tf.validation import limited

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

    from pix2pix_tf.models.forward import ForwardPass


@dataclasses.dataclass(frozen=True)
class Settings(AdversarialSettings):
    """The settings of CycleGAN."""

    data: ClassVar[DataKind] = "unpaired"

    gan_loss: GanLoss = "lsgan"
    """The adversarial loss: cross entropy, least squares, hinge, or Wasserstein with gradient penalty."""
    pool_size: Annotated[int, *limited(0, 10_000)] = 50
    """Generated images that are kept for the discriminator to see again; 0 shows it new ones only."""
    generator: GeneratorKind = "resnet"
    """CycleGAN's residual network (9 blocks from 256 pixels on, else 6), or one of pix2pix's."""
    cycle_weight: Annotated[float, *limited(0.0)] = 10.0
    """Weight λ of the way there and back against the adversarial loss."""
    identity_weight: Annotated[float, *limited(0.0)] = 0.5
    """Weight, times λ, of leaving alone what is an output already; keeps colors."""

    def check(self, config: TrainConfig) -> None:
        super().check(config)
        if not self.gan_weight:
            raise ConfigError("--gan-weight 0 leaves CycleGAN nothing to tell the two sets apart by")
        channels = (config.data.input_channels, config.data.output_channels)
        if self.identity_weight and None not in channels and channels[0] != channels[1]:
            raise ConfigError(
                "--identity-weight needs images of the same channels on both sides; set it to 0"
            )


class CycleGAN(Model):
    """Two generators, each other's inverse, and a discriminator for each set (section 3)."""

    Settings = Settings
    defaults = {"lr_schedule": "linear"}  # noqa: RUF012 (a constant of the class)
    procedural = {  # noqa: RUF012
        "image_size": (128, 128),
        "base_filters": 32,
        "jitter": False,
        "flip": False,
        "epochs": None,
        "steps": 2000,
        "sample_every": 500,
        "checkpoint_every": 500,
    }

    def __init__(self, config: TrainConfig):
        super().__init__(config)
        assert isinstance(config.model, Settings)
        self.settings = config.model
        self.channels = {"a": config.data.input_channels or 3, "b": config.data.output_channels or 3}
        self.adversarial = {
            side: AdversarialLoss(
                self.settings,
                config,
                condition_channels=None,
                image_channels=channels,
                name=f"discriminator_{side}",
                metric=f"disc_{side}",
                bar=f"D {side.upper()}",
            )
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
        pools = (adversarial.pool() for adversarial in self.adversarial.values())
        return {name: variable for pool in pools for name, variable in pool.items()}

    def metrics(self) -> Sequence[Metric]:
        metrics = [
            Metric("gen_total", "generator/total", bar="G"),
            Metric("gen_ab_gan", "generator_ab/gan", plot="AB, adversarial"),
            Metric("gen_ba_gan", "generator_ba/gan", plot="BA, adversarial"),
            Metric("cycle_a", "cycle/a", bar="cycle A", plot="A there and back"),
            Metric("cycle_b", "cycle/b", bar="cycle B", plot="B there and back"),
        ]
        if self.settings.identity_weight:
            metrics += [
                Metric("identity_a", "identity/a", plot="A left alone"),
                Metric("identity_b", "identity/b", plot="B left alone"),
            ]
        for adversarial in self.adversarial.values():
            metrics += adversarial.metrics()
        return metrics

    def phases(self) -> Sequence[Phase]:
        """Returns the update of all networks from one forward pass.

        The authors update the generators first, then the discriminators with images generated before that:
        the same gradients.
        """
        discriminators = {"discriminators": ["discriminator_a", "discriminator_b"]}
        generators = {"generators": ["generator_ab", "generator_ba"]}
        alone = Phase(self._discriminator_losses, discriminators, repeats=self.settings.critic_steps - 1)
        return [alone, Phase(self._losses, generators | discriminators)]

    def _losses(
        self, batch: Sequence[tf.Tensor], forward: ForwardPass
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        from pix2pix_tf.losses import pixel_loss

        settings = self.settings
        a, b, *weights = batch
        weight_a, weight_b = weights or (None, None)
        fake_b, fake_a = forward.run("generator_ab", a), forward.run("generator_ba", b)
        cycle_a = pixel_loss("l1", forward.run("generator_ba", fake_b), a, weight_a)
        cycle_b = pixel_loss("l1", forward.run("generator_ab", fake_a), b, weight_b)
        gan_a, gan_b = self._gan_losses(forward, batch, fake_a, fake_b)
        total = settings.gan_weight * (gan_a.generator + gan_b.generator)
        total += settings.cycle_weight * (cycle_a + cycle_b)
        objectives, metrics = _discriminators(gan_a, gan_b)
        metrics |= {
            "gen_ab_gan": gan_b.generator,
            "gen_ba_gan": gan_a.generator,
            "cycle_a": cycle_a,
            "cycle_b": cycle_b,
        }
        if settings.identity_weight:
            identity_a = pixel_loss("l1", forward.run("generator_ba", a), a, weight_a)
            identity_b = pixel_loss("l1", forward.run("generator_ab", b), b, weight_b)
            total += settings.cycle_weight * settings.identity_weight * (identity_a + identity_b)
            metrics |= {"identity_a": identity_a, "identity_b": identity_b}
        return {"generators": total, **objectives}, {"gen_total": total, **metrics}

    def _discriminator_losses(
        self, batch: Sequence[tf.Tensor], forward: ForwardPass
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        fake_b, fake_a = forward.run("generator_ab", batch[0]), forward.run("generator_ba", batch[1])
        return _discriminators(*self._gan_losses(forward, batch, fake_a, fake_b))

    def _gan_losses(
        self, forward: ForwardPass, batch: Sequence[tf.Tensor], fake_a: tf.Tensor, fake_b: tf.Tensor
    ) -> tuple[GanLosses, GanLosses]:
        a, b, *weights = batch
        # What is missing on either side is missing in all four: else it would tell real from generated.
        weight = weights[0] * weights[1] if weights else None
        return (
            self.adversarial["a"].compute(forward, masked(a, weight), masked(fake_a, weight)),
            self.adversarial["b"].compute(forward, masked(b, weight), masked(fake_b, weight)),
        )

    def published_generators(self) -> Mapping[str, PublishedGenerator]:
        data = self.config.data
        sides = [
            PixelFormat(self.channels["a"], value_range=data.input_range),
            PixelFormat(self.channels["b"], value_range=data.output_range),
        ]

        def generator(side: int) -> PublishedGenerator:
            given, made = sides[side], sides[1 - side]
            return PublishedGenerator(
                ("generator_ab", "generator_ba")[side],
                input=as_files_are_read(
                    dataclasses.replace(given, bits=data.input_bits or 8), self.config, side
                ),
                output=dataclasses.replace(made, bits=data.output_bits or 8),
                side=side,
                discriminator=self.adversarial["ba"[side]].name,
            )

        return {"AtoB": generator(0), "BtoA": generator(1)}

    def sample_grid(
        self, held_out: Sequence[Sequence[np.ndarray]], generators: Mapping[str, Translate]
    ) -> SampleGrid:
        """Returns rows of A, its translation and the way back, and the same from B."""
        to_b, to_a = generators["AtoB"], generators["BtoA"]
        rows = []
        for a, b in held_out:
            fake_b, fake_a = to_b(a), to_a(b)
            rows.append((a, fake_b, to_a(fake_b), b, fake_a, to_b(fake_a)))
        return SampleGrid(("A", "A to B", "and back", "B", "B to A", "and back"), rows)


def _discriminators(a: GanLosses, b: GanLosses) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Returns the objective of both discriminators, and their metrics."""
    return {"discriminators": a.discriminator + b.discriminator}, {**a.metrics, **b.metrics}
