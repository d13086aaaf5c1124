"""The interface of tasks; the rest of the program uses no task by name."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np
import tensorflow as tf

from pix2pix_tf.config import DataConfig
from pix2pix_tf.data.pixel_format import MOST_BANDS
from pix2pix_tf.data.pixels import filled, from_unit_range, to_unit_range
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.wording import counted

Tensors = tuple[tf.Tensor, ...]


@dataclasses.dataclass(frozen=True)
class Task:
    """Converts images of a data set to a network's inputs and targets; this class is the identity.

    Images are float32 in [-1, 1], [..., height, width, channels]. All conversions are TensorFlow operations.
    """

    image_channels: int = 3  # of the published model's output: 1 (gray) or 3 (RGB) for photos

    name: ClassVar[str]  # value of --task
    settings: ClassVar[Sequence[str]] = ()  # settings that only this task uses
    makes_input: ClassVar[bool] = False  # whether inputs are made from targets, which suffice then
    inpaints: ClassVar[bool] = False  # whether transparent input pixels are the mask to fill
    takes_photos: ClassVar[bool] = False  # whether inputs have the same value range as the photos
    enlarges = 1  # ratio of output size to input size

    @property
    def adds_layers(self) -> bool:
        """Whether the published model wraps the network in layers of the task."""
        return False

    @property
    def input_channels(self) -> int:
        """Channels of the network's input."""
        return self.image_channels

    @property
    def output_channels(self) -> int:
        """Channels of the network's output."""
        return self.image_channels

    @property
    def published_input_channels(self) -> int:
        return self.input_channels

    def training_row(self, images: Tensors, seed: tf.Tensor) -> Tensors:
        """Makes the training tensors from a row's images; ``seed``, int64 [2], determines all randomness."""
        return images

    def held_out_row(self, images: Tensors, seed: tf.Tensor, missing: int | None = None) -> Tensors:
        """Makes the same tensors as `training_row` in the file's type, ``uint8`` or ``uint16``.

        ``missing`` is the value of missing pixels.
        """
        return images

    def encoded(self, inputs: tf.Tensor) -> tf.Tensor:
        """Encodes a batch of inputs for the network."""
        return inputs

    def composed(self, given: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
        """Combines the network's input and output for the losses and the discriminator."""
        return output

    def weight(self, given: tf.Tensor) -> tf.Tensor | None:
        """Returns the weights of pixels in pixel losses, [..., 1] in [0, 1]; ``None`` for equal weights."""
        return None

    def network_input(self, image: tf.Tensor) -> tf.Tensor:
        """Converts an image [..., published input channels] to the network's input."""
        return image

    def to_image(self, given: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
        """Converts a result of `composed` or `PhotoTask.target` to an image [..., image channels]."""
        return output

    def shown(self, given: np.ndarray) -> np.ndarray:
        """Converts a network's input, ``uint8`` [height, width, input channels], to an image for display."""
        return given


class PhotoTask(Task, abc.ABC):
    """Makes pairs from photos: the degraded photo is the input, the photo the target."""

    makes_input: ClassVar[bool] = True
    photo_channels: ClassVar[Sequence[int]] = range(1, MOST_BANDS + 1)
    """Channel counts of supported photos."""

    @classmethod
    def of(cls, data: DataConfig, image_channels: int) -> Self:
        """Returns the configured task; raises `ConfigError` if it doesn't support this channel count."""
        if image_channels not in cls.photo_channels:
            needed = " or ".join({1: "gray", 3: "RGB"}[count] for count in cls.photo_channels)
            raise ConfigError(
                f"--task {cls.name} needs {needed} photos, but the images of {data.dataset} have "
                f"{counted(image_channels, 'channel')}"
            )
        return cls(image_channels)

    @abc.abstractmethod
    def degraded(self, photo: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Makes the input from a photo [height, width, image channels]; see `training_row` for ``seed``."""

    def target(self, photo: tf.Tensor) -> tf.Tensor:
        """Returns the network's target output."""
        return photo

    def training_row(self, images: Tensors, seed: tf.Tensor) -> Tensors:
        [photo] = images
        return self.degraded(photo, seed), self.target(photo)

    def held_out_row(self, images: Tensors, seed: tf.Tensor, missing: int | None = None) -> Tensors:
        [photo] = images
        given = self.degraded(to_unit_range(filled(photo, missing)), seed)
        return from_unit_range(given, photo.dtype), photo
