"""Images from noise: a Wasserstein generator and its critic (Gulrajani et al. 2017, arXiv 1704.00028)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np

from pix2pix_tf.config import DataKind, ModelSettings, TrainConfig, Upsampling
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.models.base import Metric, Model, Phase, PublishedGenerator, SampleGrid, Translate, masked
from pix2pix_tf.validation import limited

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from pix2pix_tf.models.forward import ForwardPass

_COLUMNS = 8
_ROWS = 5


@dataclasses.dataclass(frozen=True)
class Settings(ModelSettings):
    """The settings of the Wasserstein model."""

    data: ClassVar[DataKind] = "images"
    takes_images: ClassVar[bool] = False

    noise: Annotated[int, *limited(1, 1024)] = 10
    """Standard normal numbers that an image is made from."""
    generator_filters: Annotated[int, *limited(1, 512)] = 32
    """Filters of the generator's last hidden layer; those before it have 2, 4, 8 times as many."""
    upsampling: Upsampling = "nearest"
    """How the generator upsamples: 'nearest' and 'resize' interpolate before a 3×3 convolution, 'transposed'
    is a convolution that leaves checkerboard artifacts."""
    last_convolution: bool = True
    """The generator ends with a 3×3 convolution at full size, instead of its last upsampling step."""
    critic_filters: Annotated[int, *limited(1, 512)] = 16
    """Filters of the critic's first layer; those behind it have 2, 4, 8 times as many."""
    critic_steps: Annotated[int, *limited(1, 100)] = 5
    """Updates of the critic before each of the generator."""
    gradient_penalty: Annotated[float, *limited(0.0)] = 10.0
    """Weight of the penalty on gradients whose norm isn't 1."""

    def check(self, config: TrainConfig) -> None:
        height, width = config.data.size
        if height != width or height & (height - 1):
            raise ConfigError(
                f"--image-size {height} {width} (height and width): images from noise are 64, 128, 256 ... "
                "pixels square"
            )


class WassersteinGAN(Model):
    """A generator from noise; a critic scores images, its gradient held near norm 1 (algorithm 1)."""

    Settings = Settings
    defaults = {  # noqa: RUF012 (a constant of the class)
        "image_size": (64, 64),
        "batch_size": 32,
        "learning_rate": 2e-4,
        "beta_1": 0.0,
        "beta_2": 0.9,
    }
    paper = {"learning_rate": 1e-4}  # noqa: RUF012
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
        assert isinstance(config.model, Settings)
        self.settings = config.model
        self.side = config.data.size[0]
        self.channels = config.data.output_channels or 3

    def networks(self) -> Mapping[str, Callable[[str], keras.Model]]:
        return {"generator": self._generator, "critic": self._critic}

    def _generator(self, dtype: str) -> keras.Model:
        """From noise [batch, numbers] to [batch, side, side, channels] in [-1, 1], upsampled from 4×4."""
        import keras
        from keras import layers

        from pix2pix_tf.networks.layers import initial_weights, normalize
        from pix2pix_tf.networks.upsampling import doubled

        def width(level: int) -> int:
            return self.settings.generator_filters * min(2**level, 8)

        def activated(x: Any, block: str) -> Any:
            x = normalize(x, "batch", f"{block}_norm", dtype)
            return layers.ReLU(name=f"{block}_act", dtype=dtype)(x)

        def up(x: Any, filters: int, block: str, use_bias: bool = False) -> Any:
            kind = self.settings.upsampling
            return doubled(kind, x, filters, kernel_size=4, block=block, use_bias=use_bias, dtype=dtype)

        options: dict[str, Any] = {"kernel_initializer": initial_weights(), "dtype": dtype}
        z = keras.Input((self.settings.noise,), name="z", dtype="float32")
        x = layers.Reshape((1, 1, self.settings.noise), name="pixel", dtype=dtype)(z)
        deepest = self.side.bit_length() - 4
        block = f"up_{deepest + 2}"
        x = layers.Conv2DTranspose(width(deepest), 4, use_bias=False, name=f"{block}_conv", **options)(x)
        x = activated(x, block)
        for level in reversed(range(deepest)):
            block = f"up_{level + 2}"
            x = activated(up(x, width(level), block), block)
        if self.settings.last_convolution:
            x = activated(up(x, max(self.settings.generator_filters // 2, 1), "up_1"), "up_1")
            x = layers.Conv2D(self.channels, 3, padding="same", name="out_conv", **options)(x)
        else:
            x = up(x, self.channels, "up_1", use_bias=True)
        return keras.Model(z, layers.Activation("tanh", name="output", dtype="float32")(x), name="generator")

    def _critic(self, dtype: str) -> keras.Model:
        """From images to scores [batch, 2, 2, 1], without batch normalization."""
        import keras
        from keras import layers

        from pix2pix_tf.networks.fast.convolutions import HalvingConvolution
        from pix2pix_tf.networks.layers import LEAKY_SLOPE, initial_weights

        x = image = keras.Input((self.side, self.side, self.channels), name="image", dtype="float32")
        for level in range(self.side.bit_length() - 3):
            filters = self.settings.critic_filters * min(2**level, 8)
            x = HalvingConvolution(
                filters, kernel_initializer=initial_weights(), name=f"down_{level + 1}_conv", dtype=dtype
            )(x)
            x = layers.LeakyReLU(LEAKY_SLOPE, name=f"down_{level + 1}_act", dtype=dtype)(x)
        # In float32: scores drift, and at a score of 90 the resolution of bfloat16 is only 0.5.
        x = HalvingConvolution(1, kernel_initializer=initial_weights(), name="scores_conv", dtype="float32")(
            x
        )
        return keras.Model(
            image, layers.Activation("linear", name="scores", dtype="float32")(x), name="critic"
        )

    def metrics(self) -> Sequence[Metric]:
        goal = (1.0, "1: the goal")
        return (
            Metric("gen", "generator/loss", bar="G"),
            Metric("distance", "critic/distance", bar="W", plot="Wasserstein estimate"),
            Metric("critic", "critic/loss", bar="C", plot="critic's loss"),
            Metric("gradient_norm", "critic/gradient_norm", bar="|∇|", plot="gradient norm", level=goal),
        )

    def phases(self) -> Sequence[Phase]:
        """Returns the critic's updates, then the generator's."""
        critic = Phase(self._critic_loss, {"critic": ["critic"]}, repeats=self.settings.critic_steps)
        return [critic, Phase(self._generator_loss, {"generator": ["generator"]})]

    def _critic_loss(
        self, batch: Sequence[tf.Tensor], forward: ForwardPass
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        import tensorflow as tf

        from pix2pix_tf.losses import discriminator_loss, gradient_penalty

        real = batch[0]
        fake = tf.stop_gradient(self._fake(batch, forward))

        def critic(images: tf.Tensor) -> tf.Tensor:
            return forward.run("critic", images)

        loss = discriminator_loss("wgan-gp", critic(real), critic(fake))
        penalty, norm = gradient_penalty(critic, real, fake, forward.uniform([real.shape[0], 1, 1, 1]))
        total = loss + self.settings.gradient_penalty * penalty
        return {"critic": total}, {"critic": total, "distance": -loss, "gradient_norm": norm}

    def _fake(self, batch: Sequence[tf.Tensor], forward: ForwardPass) -> tf.Tensor:
        real, weight = (*batch, None)[:2]
        fake = forward.run("generator", forward.normal([real.shape[0], self.settings.noise]))
        return masked(fake, weight)

    def _generator_loss(
        self, batch: Sequence[tf.Tensor], forward: ForwardPass
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        from pix2pix_tf.losses import generator_loss

        fake = self._fake(batch, forward)
        loss = generator_loss("wgan-gp", forward.run("critic", fake))
        return {"generator": loss}, {"gen": loss}

    def published_generators(self) -> Mapping[str, PublishedGenerator]:
        data = self.config.data
        generator = PublishedGenerator(
            "generator",
            input=PixelFormat(0),
            output=PixelFormat(self.channels, bits=data.output_bits or 8, value_range=data.output_range),
            noise=self.settings.noise,
        )
        return {"noise": generator}

    def sample_grid(
        self, held_out: Sequence[Sequence[np.ndarray]], generators: Mapping[str, Translate]
    ) -> SampleGrid:
        """Returns images of a fixed grid of noise, and below them an interpolation between two of them."""
        (translate,) = generators.values()
        random = np.random.default_rng(self.config.optimization.seed)
        grid = random.standard_normal((_ROWS, _COLUMNS, self.settings.noise)).astype(np.float32)
        way = interpolated(grid[0, 0], grid[1, 0], _COLUMNS)
        rows = [[translate(z) for z in row] for row in (*grid, way)]
        return SampleGrid([""] * _COLUMNS, rows, "last row: from the first of row 1 to the first of row 2")


def interpolated(start: np.ndarray, end: np.ndarray, count: int) -> np.ndarray:
    """Interpolates spherically between two float32 [numbers], ends included (White 2016, section 2.1)."""
    cosine = float(start @ end / (np.linalg.norm(start) * np.linalg.norm(end)))
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))
    share = np.linspace(0.0, 1.0, count, dtype=np.float32)[:, np.newaxis]
    if np.sin(angle) < 1e-6:  # the same direction, or the opposite one
        return start + share * (end - start)
    return ((np.sin((1 - share) * angle) * start + np.sin(share * angle) * end) / np.sin(angle)).astype(
        np.float32
    )
