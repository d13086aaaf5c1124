"""pix2pix: from an image to its counterpart, learnt from pairs (Isola et al. 2017)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pix2pix_tf.config import CHANGEABLE, PixelLoss, TrainConfig
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.models.adversarial import AdversarialLoss, AdversarialSettings, GanLosses, generator_builder
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
    """The settings of pix2pix."""

    unconditional: bool = False
    """The discriminator sees outputs only, not what they were made from."""
    pixel_loss: PixelLoss = "l1"
    """How far output and target are apart."""
    l1_weight: Annotated[float, *limited(0.0)] = 100.0
    """Weight λ of the pixel loss against the adversarial loss (paper, section 3.1)."""
    stochastic: Annotated[bool, CHANGEABLE] = False
    """Keep dropout after training too, as the paper's source of noise."""

    def check(self, config: TrainConfig) -> None:
        super().check(config)
        if not (self.gan_weight or self.l1_weight or getattr(self, "teacher_weight", 0)):
            raise ConfigError("--gan-weight and --l1-weight are both 0: there is nothing to learn from")
        if self.pool_size and self.gan_loss == "wgan-gp" and not self.unconditional:
            raise ConfigError(
                "--pool-size with --gan-loss wgan-gp needs --unconditional: the penalty is on ways between a "
                "target and a generated image of the same input"
            )
        if self.stochastic and self.norm == "batch":
            raise ConfigError(
                "--stochastic needs --norm instance or none: it runs as in training, image by image"
            )
        if self.stochastic and self.generator in ("resnet", "resnet_of_pytorch"):
            raise ConfigError("--stochastic needs a generator with dropout: unet or encoder_decoder")


class Given(NamedTuple):
    """A batch as the networks are given it; weight: of pixels that have a value, 1; of missing ones, 0."""

    inputs: tf.Tensor
    targets: tf.Tensor
    weight: tf.Tensor | None = None


class Pix2Pix(Model):
    """The paper's G* = arg min_G max_D L_cGAN(G, D) + λ L_L1(G) (section 3.1, equation 4).

    The paper alternates a step on D and a step on G. Here both gradients come from one forward pass, G's
    through D as it was before its update: half the work, the same learning.
    """

    Settings = Settings
    # Small enough that the first run ends within minutes on a laptop and still paints façades. Neither
    # jittered nor mirrored: every drawing is new anyway, and its sun stands on the left.
    procedural = {  # noqa: RUF012 (a constant of the class)
        "direction": "BtoA",
        "image_size": (128, 128),
        "base_filters": 32,
        "jitter": False,
        "flip": False,
        "epochs": None,
        "steps": 3000,
        "sample_every": 500,
        "checkpoint_every": 500,
    }

    def __init__(self, config: TrainConfig):
        super().__init__(config)
        assert isinstance(config.model, Settings)
        self.settings = config.model
        from pix2pix_tf.data.tasks import task_for  # it needs TensorFlow

        self.task = task_for(config.data, config.data.output_channels or 3)
        self.channels = (self.task.input_channels, self.task.output_channels)
        inputs, outputs = self.channels
        condition = None if self.settings.unconditional else inputs
        self.adversarial = AdversarialLoss(self.settings, config, condition, outputs)

    def networks(self) -> Mapping[str, Callable[[str], keras.Model]]:
        networks = {"generator": generator_builder(self.settings, self.config, self.channels)}
        if self.settings.gan_weight:
            networks[self.adversarial.name] = self.adversarial.build
        return networks

    def extra_state(self) -> Mapping[str, tf.Variable]:
        return self.adversarial.pool() if self.settings.gan_weight else {}

    def metrics(self) -> Sequence[Metric]:
        pixel = self.settings.pixel_loss
        metrics = [
            Metric("gen_total", "generator/total", bar="G"),
            Metric(
                f"gen_{pixel}",
                f"generator/{pixel}",
                bar=pixel.upper(),
                plot=f"generator, {pixel.upper()} (before λ)",
            ),
        ]
        if self.settings.gan_weight:
            metrics.insert(1, Metric("gen_gan", "generator/gan", plot="generator, adversarial"))
            metrics += self.adversarial.metrics()
        return metrics

    def phases(self) -> Sequence[Phase]:
        """Returns the common update of both networks, after those of the discriminator alone."""
        if not self.settings.gan_weight:
            return [Phase(self._losses, {"generator": ["generator"]})]
        both = Phase(self._losses, {"generator": ["generator"], "discriminator": ["discriminator"]})
        discriminator = {"discriminator": ["discriminator"]}
        alone = Phase(self._discriminator_loss, discriminator, repeats=self.settings.critic_steps - 1)
        return [alone, both]

    def _losses(
        self, batch: Sequence[tf.Tensor], forward: ForwardPass
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        settings = self.settings
        given = self._given(batch, forward)
        fake = self._fake(forward, given)
        total, metrics = self._pixel_losses(forward, given, fake)
        objectives = {}
        if settings.gan_weight:
            gan = self._gan_losses(forward, given, fake)
            total = settings.gan_weight * gan.generator + total
            objectives["discriminator"] = gan.discriminator
            metrics |= {"gen_gan": gan.generator, **gan.metrics}
        return {"generator": total, **objectives}, {"gen_total": total, **metrics}

    def _discriminator_loss(
        self, batch: Sequence[tf.Tensor], forward: ForwardPass
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        given = self._given(batch, forward)
        gan = self._gan_losses(forward, given, self._fake(forward, given))
        return {"discriminator": gan.discriminator}, gan.metrics

    def _pixel_losses(
        self, forward: ForwardPass, given: Given, fake: tf.Tensor
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Returns what the generator minimizes besides the adversarial loss, and its metrics."""
        pixel = self._distance(given, fake, given.targets)
        return self.settings.l1_weight * pixel, {f"gen_{self.settings.pixel_loss}": pixel}

    def _distance(self, given: Given, fake: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        from pix2pix_tf.losses import pixel_loss

        # The mean over what the network generates: λ weighs as much as elsewhere.
        of_task = self.task.weight(given.inputs)
        weight = given.weight if of_task is None else masked(of_task, given.weight)
        return pixel_loss(self.settings.pixel_loss, fake, targets, weight)

    def _given(self, batch: Sequence[tf.Tensor], forward: ForwardPass) -> Given:
        inputs, targets, weight = (*batch, None)[:3]
        return Given(self.task.encoded(inputs), masked(targets, weight), weight)

    def _fake(self, forward: ForwardPass, given: Given) -> tf.Tensor:
        return self._composed(given, forward.run("generator", given.inputs))

    def _composed(self, given: Given, output: tf.Tensor) -> tf.Tensor:
        return masked(self.task.composed(given.inputs, output), given.weight)

    def _gan_losses(self, forward: ForwardPass, given: Given, fake: tf.Tensor) -> GanLosses:
        condition = None if self.settings.unconditional else given.inputs
        return self.adversarial.compute(forward, given.targets, fake, condition)

    def published_generators(self) -> Mapping[str, PublishedGenerator]:
        data, task = self.config.data, self.task
        given = PixelFormat(
            task.published_input_channels,
            bits=(data.output_bits if task.makes_input else data.input_bits) or 8,
            value_range=data.output_range if task.takes_photos else data.input_range,
        )
        generator = PublishedGenerator(
            "generator",
            input=as_files_are_read(given, self.config),
            output=PixelFormat(
                task.image_channels, bits=data.output_bits or 8, value_range=data.output_range
            ),
            stochastic=self.settings.stochastic,
            publish=self._published,
            inpaints=task.inpaints,
            enlarges=task.enlarges,
            discriminator=self.adversarial.name if self.settings.gan_weight else "",
        )
        return {task.name if task.makes_input else data.direction: generator}

    def _published(self, generator: keras.Model) -> keras.Model:
        from pix2pix_tf.networks import with_task_layers

        return with_task_layers(generator, self.task)

    def sample_grid(
        self, held_out: Sequence[Sequence[np.ndarray]], generators: Mapping[str, Translate]
    ) -> SampleGrid:
        """Returns rows of input, output and target."""
        (translate,) = generators.values()
        rows = [(self.task.shown(image), translate(image), target) for image, target in held_out]
        return SampleGrid(("input", "output", "target"), rows)
