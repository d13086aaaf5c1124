"""pix2pix: image-to-image translation, learned from pairs (Isola et al. 2017)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pix2pix_tf.config import CHANGEABLE, PixelLoss, TrainConfig
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.models.adversarial import AdversarialLoss, AdversarialSettings, generator_builder
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
    import numpy as np
    import tensorflow as tf

    from pix2pix_tf.models.forward import ForwardPass


@dataclasses.dataclass(frozen=True)
class Pix2PixSettings(AdversarialSettings):
    """Settings of pix2pix."""

    unconditional: bool = False
    """Give the discriminator only outputs and targets, without the inputs."""
    pixel_loss: PixelLoss = "l1"
    """Distance between output and target: mean absolute or mean squared error."""
    l1_weight: Annotated[float, Limits(0.0)] = 100.0
    """Weight λ of the pixel loss relative to the adversarial loss (paper, section 3.1)."""
    stochastic: Annotated[bool, CHANGEABLE] = False
    """Keep dropout active after training, as the paper's source of noise."""

    def check(self, config: TrainConfig) -> None:
        super().check(config)
        if not (self.gan_weight or self.l1_weight or getattr(self, "teacher_weight", 0)):
            raise ConfigError("--gan-weight and --l1-weight are both 0, so there is no loss; set one of them")
        if self.pool_size and self.gan_loss == "wgan-gp" and not self.unconditional:
            raise ConfigError(
                "--pool-size with --gan-loss wgan-gp needs --unconditional: the penalty interpolates between "
                "a target and a generated image of the same input"
            )
        if self.stochastic and self.norm == "batch":
            raise ConfigError(
                "--stochastic needs --norm instance or none: it runs in training mode, image by image"
            )
        if self.stochastic and self.generator in ("resnet", "resnet_of_pytorch"):
            raise ConfigError("--stochastic needs a generator with dropout: unet or encoder_decoder")


class Batch(NamedTuple):
    """The networks' inputs, the targets, and pixel weights, which are 0 for missing target pixels."""

    inputs: tf.Tensor
    targets: tf.Tensor
    weight: tf.Tensor | None


class Pix2Pix(Model):
    """The paper's G* = arg min_G max_D L_cGAN(G, D) + λ L_L1(G) (section 3.1, equation 4).

    The paper alternates between an update of D and one of G. Here both gradients come from one forward pass,
    with D as it was before its update: half the work for the same result.
    """

    Settings = Pix2PixSettings
    settings: Pix2PixSettings
    paper = {"upsampling": "transposed", "last_convolution": False}  # noqa: RUF012 (a constant of the class)
    # Jitter and flips are off, because every drawing is new, and the sun is always on the left.
    procedural = {  # noqa: RUF012
        "direction": "BtoA",
        "image_size": (128, 128),
        "base_filters": 32,
        "jitter": False,
        "flip": "none",
        "epochs": None,
        "steps": 3000,
        "sample_every": 500,
        "checkpoint_every": 500,
    }

    def __init__(self, config: TrainConfig):
        super().__init__(config)
        from pix2pix_tf.data.tasks import task_for  # needs TensorFlow

        self.task = task_for(config.data, config.data.output_channels or 3)
        self.channels = (self.task.input_channels, self.task.output_channels)
        condition_channels = None if self.settings.unconditional else self.task.input_channels
        self.adversarial = AdversarialLoss(
            self.settings, config, condition_channels, self.task.output_channels
        )

    def networks(self) -> Mapping[str, Callable[[str], keras.Model]]:
        networks = {"generator": generator_builder(self.settings, self.config, self.channels)}
        if self.settings.gan_weight:
            networks[self.adversarial.name] = self.adversarial.build
        return networks

    def extra_state(self) -> Mapping[str, tf.Variable]:
        return self.adversarial.pool() if self.settings.gan_weight else {}

    def metrics(self) -> Sequence[Metric]:
        pixel = self.settings.pixel_loss
        plot = f"generator, {pixel.upper()} (before λ)"
        metrics = [
            Metric("gen_total", "generator/total", bar="G"),
            Metric(f"gen_{pixel}", f"generator/{pixel}", bar=pixel.upper(), plot=plot),
        ]
        if self.settings.gan_weight:
            metrics.insert(1, Metric("gen_gan", "generator/gan", plot="generator, adversarial"))
            metrics += self.adversarial.metrics()
        return metrics

    def phases(self) -> Sequence[Phase]:
        """Returns the discriminator's own updates, followed by one update of both networks."""
        generator, discriminator = {"generator": ["generator"]}, {"discriminator": ["discriminator"]}
        if not self.settings.gan_weight:
            return [Phase(self._losses, generator)]
        own = Phase(self._discriminator_loss, discriminator, repeats=self.settings.critic_steps - 1)
        return [own, Phase(self._losses, generator | discriminator)]

    def _losses(self, tensors: Tensors, forward: ForwardPass) -> LossesAndMetrics:
        batch = self._prepare(tensors, forward)
        fake = self._composed(batch, forward.run("generator", batch.inputs))
        total, metrics = self._pixel_losses(forward, batch, fake)
        losses = {}
        if self.settings.gan_weight:
            gan, losses["discriminator"], measured = self._adversarial_losses(forward, batch, fake)
            total = self.settings.gan_weight * gan + total
            metrics |= {"gen_gan": gan, **measured}
        return {"generator": total, **losses}, {"gen_total": total, **metrics}

    def _discriminator_loss(self, tensors: Tensors, forward: ForwardPass) -> LossesAndMetrics:
        batch = self._prepare(tensors, forward)
        fake = self._composed(batch, forward.run("generator", batch.inputs))
        _, loss, metrics = self._adversarial_losses(forward, batch, fake)
        return {"discriminator": loss}, metrics

    def _prepare(self, tensors: Tensors, forward: ForwardPass) -> Batch:
        inputs, targets, weight = (*tensors, None)[:3]
        return Batch(self.task.encoded(inputs), masked(targets, weight), weight)

    def _composed(self, batch: Batch, output: tf.Tensor) -> tf.Tensor:
        return masked(self.task.composed(batch.inputs, output), batch.weight)

    def _adversarial_losses(
        self, forward: ForwardPass, batch: Batch, fake: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, dict[str, tf.Tensor]]:
        from pix2pix_tf.losses import premultiplied

        images = (batch.targets, fake)
        if self.config.data.output_alpha:  # the discriminator sees colors as far as they are visible
            images = tuple(premultiplied(each, each[..., -1:]) for each in images)
        return self.adversarial.compute(forward, *images, batch.inputs)

    def _pixel_losses(
        self, forward: ForwardPass, batch: Batch, fake: tf.Tensor
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Returns the generator's loss without the adversarial loss, and its metrics."""
        distance = self._distance(batch, fake, batch.targets)
        return self.settings.l1_weight * distance, {f"gen_{self.settings.pixel_loss}": distance}

    def _distance(self, batch: Batch, fake: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        from pix2pix_tf.losses import pixel_loss, premultiplied

        if self.config.data.output_alpha:  # colors count where the target is visible
            alpha = targets[..., -1:]
            fake, targets = premultiplied(fake, alpha), premultiplied(targets, alpha)
        # The mean over the pixels that the network generates, so that λ has the same effect for every task.
        weight = self.task.weight(batch.inputs)
        weight = batch.weight if weight is None else masked(weight, batch.weight)
        return pixel_loss(self.settings.pixel_loss, fake, targets, weight)

    def published_generators(self) -> Mapping[str, PublishedGenerator]:
        data, task = self.config.data, self.task
        files = PixelFormat(
            task.published_input_channels,
            bits=(data.output_bits if task.makes_input else data.input_bits) or 8,
            value_range=data.output_range if task.takes_photos else data.input_range,
        )
        generator = PublishedGenerator(
            "generator",
            input=input_format(files, self.config),
            output=PixelFormat(
                task.image_channels,
                bits=data.output_bits or 8,
                value_range=data.output_range,
                has_alpha=bool(data.output_alpha),
            ),
            stochastic=self.settings.stochastic,
            task=task,
            discriminator=self.adversarial.name if self.settings.gan_weight else "",
        )
        return {task.name if task.makes_input else data.direction: generator}

    def sample_grid(self, held_out: Rows, generators: Mapping[str, Translate]) -> SampleGrid:
        (translate,) = generators.values()
        rows = [
            (self.task.shown(image), self._shown(translate(image)), self._shown(target))
            for image, target in held_out
        ]
        return SampleGrid(("input", "output", "target"), rows)

    def _shown(self, image: np.ndarray) -> np.ndarray:
        """Blends an output or target with a checkerboard if it has alpha."""
        from pix2pix_tf.data.pixels import over_checkerboard

        return over_checkerboard(image) if self.config.data.output_alpha else image
