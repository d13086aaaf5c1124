"""WGAN-GP: a generator of images from noise, and its critic (Gulrajani et al. 2017, arXiv 1704.00028)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np

from pix2pix_tf.config import DataKind, ModelSettings, TrainConfig, Upsampling
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.errors import ConfigError
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
    masked,
)
from pix2pix_tf.validation import Limits

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from pix2pix_tf.models.forward import ForwardPass

_COLUMNS = 8
_ROWS = 5


@dataclasses.dataclass(frozen=True)
class WGANSettings(ModelSettings):
    """Settings of WGAN-GP."""

    data: ClassVar[DataKind] = "images"
    takes_images: ClassVar[bool] = False

    noise: Annotated[int, Limits(1, 1024)] = 10
    """Size of the noise vector, whose elements are standard normal."""
    generator_filters: Annotated[int, Limits(1, 512)] = 32
    """Filters of the generator's last hidden layer; earlier layers have 2, 4 and 8 times as many."""
    upsampling: Upsampling = "nearest"
    """Upsampling method: 'nearest' and 'resize' interpolate before a 3×3 convolution; 'transposed' is a
    convolution that leaves checkerboard artifacts."""
    last_convolution: bool = True
    """End the generator with a 3×3 convolution at full size instead of its last upsampling step."""
    critic_filters: Annotated[int, Limits(1, 512)] = 16
    """Filters of the critic's first layer; later layers have 2, 4 and 8 times as many."""
    critic_steps: Annotated[int, Limits(1, 100)] = 5
    """Number of critic updates per generator update."""
    gradient_penalty: Annotated[float, Limits(0.0)] = 10.0
    """Weight of the penalty on gradients with a norm other than 1."""

    def check(self, config: TrainConfig) -> None:
        height, width = config.data.size
        if height != width or height & (height - 1):
            raise ConfigError(
                f"--image-size {height} {width}: --model wgan needs a square of 64, 128, 256, 512, 1024 or "
                "2048 pixels"
            )


class WassersteinGAN(Model):
    """A generator of images from noise, and a critic with a gradient penalty (algorithm 1)."""

    Settings = WGANSettings
    settings: WGANSettings
    defaults = {  # noqa: RUF012 (a constant of the class)
        "image_size": (64, 64),
        "batch_size": 32,
        "learning_rate": 2e-4,
        "beta_1": 0.0,
        "beta_2": 0.9,
    }
    paper = {"learning_rate": 1e-4, "upsampling": "transposed", "last_convolution": False}  # noqa: RUF012
    procedural = {  # noqa: RUF012
        "direction": "BtoA",
        "jitter": False,
        "epochs": None,
        "steps": 1000,
        "sample_every": 250,
        "checkpoint_every": 250,
    }

    def __init__(self, config: TrainConfig):
        super().__init__(config)
        self.side = config.data.size[0]
        self.channels = config.data.output_channels or 3

    def networks(self) -> Mapping[str, Callable[[str], keras.Model]]:
        return {"generator": self._generator, "critic": self._critic}

    def _generator(self, dtype: str) -> keras.Model:
        """Builds a network from noise [batch, size] to images [batch, side, side, channels] in [-1, 1]."""
        import keras
        from keras import layers

        from pix2pix_tf.networks.layers import conv_options, normalize
        from pix2pix_tf.networks.upsampling import upsample

        def activated(x: Any, block: str) -> Any:
            x = normalize(x, "batch", f"{block}_norm", dtype)
            return layers.ReLU(name=f"{block}_act", dtype=dtype)(x)

        def up(x: Any, filters: int, block: str, use_bias: bool = False) -> Any:
            kind = self.settings.upsampling
            return upsample(kind, x, filters, kernel_size=4, block=block, use_bias=use_bias, dtype=dtype)

        first_filters = self.settings.generator_filters
        filters = [first_filters * min(2**level, 8) for level in range(self.side.bit_length() - 3)]
        z = keras.Input((self.settings.noise,), name="z", dtype="float32")
        x = layers.Reshape((1, 1, self.settings.noise), name="pixel", dtype=dtype)(z)
        first = conv_options(f"up_{len(filters) + 1}", dtype, use_bias=False)
        for level, width in reversed(list(enumerate(filters))):
            block = f"up_{level + 2}"
            if level == len(filters) - 1:  # upsamples 1×1 to 4×4 pixels
                x = layers.Conv2DTranspose(width, 4, **first)(x)
            else:
                x = up(x, width, block)
            x = activated(x, block)
        if self.settings.last_convolution:
            x = activated(up(x, max(first_filters // 2, 1), "up_1"), "up_1")
            out = first | {"name": "out_conv", "use_bias": True}  # draws from the same initializer
            x = layers.Conv2D(self.channels, 3, padding="same", **out)(x)
        else:
            x = up(x, self.channels, "up_1", use_bias=True)
        return keras.Model(z, layers.Activation("tanh", name="output", dtype="float32")(x), name="generator")

    def _critic(self, dtype: str) -> keras.Model:
        """Builds a network from images to scores [batch, 2, 2, 1], without batch normalization."""
        import keras
        from keras import layers

        from pix2pix_tf.networks.fast.convolutions import DownsamplingConvolution
        from pix2pix_tf.networks.layers import conv_block, conv_options

        x = image = keras.Input((self.side, self.side, self.channels), name="image", dtype="float32")
        for level in range(self.side.bit_length() - 3):
            filters = self.settings.critic_filters * min(2**level, 8)
            x = conv_block(x, filters, f"down_{level + 1}", norm="none", dtype=dtype)
        # In float32: scores drift, and at a score of 90 the resolution of bfloat16 is only 0.5.
        x = DownsamplingConvolution(1, **conv_options("scores", "float32"))(x)
        scores = layers.Activation("linear", name="scores", dtype="float32")(x)
        return keras.Model(image, scores, name="critic")

    def metrics(self) -> Sequence[Metric]:
        goal = (1.0, "1: the goal")
        return (
            Metric("gen", "generator/loss", bar="G"),
            Metric("distance", "critic/distance", bar="W", plot="Wasserstein estimate"),
            Metric("critic", "critic/loss", bar="C", plot="critic's loss"),
            Metric("gradient_norm", "critic/gradient_norm", bar="|∇|", plot="gradient norm", level=goal),
        )

    def phases(self) -> Sequence[Phase]:
        """Returns the critic's updates, followed by the generator's."""
        critic = Phase(self._critic_loss, {"critic": ["critic"]}, repeats=self.settings.critic_steps)
        return [critic, Phase(self._generator_loss, {"generator": ["generator"]})]

    def _critic_loss(self, batch: Tensors, forward: ForwardPass) -> LossesAndMetrics:
        import tensorflow as tf

        from pix2pix_tf.losses import GAN_LOSSES, gradient_penalty

        real = batch[0]
        fake = tf.stop_gradient(self._fake(batch, forward))

        def critic(images: tf.Tensor) -> tf.Tensor:
            return forward.run("critic", images)

        loss = GAN_LOSSES["wgan-gp"].discriminator(critic(real), critic(fake))
        penalty, norm = gradient_penalty(critic, real, fake, forward.uniform([real.shape[0], 1, 1, 1]))
        total = loss + self.settings.gradient_penalty * penalty
        return {"critic": total}, {"critic": total, "distance": -loss, "gradient_norm": norm}

    def _generator_loss(self, batch: Tensors, forward: ForwardPass) -> LossesAndMetrics:
        from pix2pix_tf.losses import GAN_LOSSES

        loss = GAN_LOSSES["wgan-gp"].generator(forward.run("critic", self._fake(batch, forward)))
        return {"generator": loss}, {"gen": loss}

    def _fake(self, batch: Tensors, forward: ForwardPass) -> tf.Tensor:
        real, weight = (*batch, None)[:2]
        fake = forward.run("generator", forward.normal([real.shape[0], self.settings.noise]))
        return masked(fake, weight)

    def published_generators(self) -> Mapping[str, PublishedGenerator]:
        data = self.config.data
        generator = PublishedGenerator(
            "generator",
            input=PixelFormat(0),
            output=PixelFormat(self.channels, bits=data.output_bits or 8, value_range=data.output_range),
            noise=self.settings.noise,
        )
        return {"noise": generator}

    def sample_grid(self, held_out: Rows, generators: Mapping[str, Translate]) -> SampleGrid:
        """Returns images of random noise, and a last row that interpolates between two of them."""
        (translate,) = generators.values()
        random = np.random.default_rng(self.config.optimization.seed)
        grid = random.standard_normal((_ROWS, _COLUMNS, self.settings.noise)).astype(np.float32)
        path = interpolated(grid[0, 0], grid[1, 0], _COLUMNS)
        rows = [[translate(z) for z in row] for row in (*grid, path)]
        return SampleGrid([""] * _COLUMNS, rows, "last row: from the first of row 1 to the first of row 2")


def interpolated(start: np.ndarray, end: np.ndarray, count: int) -> np.ndarray:
    """Interpolates spherically between two vectors, ends included (White 2016, section 2.1)."""
    cosine = float(start @ end / (np.linalg.norm(start) * np.linalg.norm(end)))
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))
    share = np.linspace(0.0, 1.0, count, dtype=np.float32)[:, np.newaxis]
    if np.sin(angle) < 1e-6:  # vectors with the same or opposite directions
        return start + share * (end - start)
    path = (np.sin((1 - share) * angle) * start + np.sin(share * angle) * end) / np.sin(angle)
    return path.astype(np.float32)
