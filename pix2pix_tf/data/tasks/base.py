"""What a task is to the rest of the program, which knows no task by name."""

from __future__ import annotations

import abc
import dataclasses
from typing import ClassVar, Self

import numpy as np
import tensorflow as tf

from pix2pix_tf.config import DataConfig
from pix2pix_tf.data.pixels import filled, from_unit_range, to_unit_range

Tensors = tuple[tf.Tensor, ...]


@dataclasses.dataclass(frozen=True)
class Task:
    """From what a data set reads to what a network learns; this one is the identity.

    All images are float32 in [-1, 1], [..., height, width, channels]. Everything is TensorFlow operations.

    Args:
        image_channels: of the published model's output; of photos 1 (gray) or 3 (RGB).

    Attributes:
        name: in ``--task``.
        makes_input: whether a network's input is made of its target, so that a data set holds targets only.
        adds_layers: whether the published model has layers of the task around the network.
        inpaints: whether transparent pixels of its input are the mask that it fills.
        takes_photos: whether its input has the range of values of the photos.
        enlarges: how many times larger than an input file the output is.
    """

    image_channels: int = 3

    name: ClassVar[str]
    makes_input: ClassVar[bool] = False
    inpaints: ClassVar[bool] = False
    takes_photos: ClassVar[bool] = False
    enlarges = 1

    @property
    def adds_layers(self) -> bool:
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
        """Returns what is trained on, of a row's images; the int64 [2] seed decides all that is random."""
        return images

    def held_out_row(self, images: Tensors, seed: tf.Tensor, missing: int | None = None) -> Tensors:
        """Returns a row as files would have it, ``uint8`` or ``uint16``, see `training_row`.

        Missing pixels have the level ``missing``.
        """
        return images

    def encoded(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns what the network is given of a batch's inputs."""
        return inputs

    def composed(self, given: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
        """Returns what losses and the discriminator get, of the network's input and output."""
        return output

    def weight(self, given: tf.Tensor) -> tf.Tensor | None:
        """Returns the weight of each pixel [..., 1] in pixel losses, in [0, 1]; ``None`` if all count."""
        return None

    def network_input(self, image: tf.Tensor) -> tf.Tensor:
        """Returns what the network is given of an image [..., published input channels]."""
        return image

    def to_image(self, given: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
        """Returns the image [..., image channels] of what `composed` or `PhotoTask.target` returned."""
        return output

    def shown(self, given: np.ndarray) -> np.ndarray:
        """Returns a network's input, ``uint8`` [height, width, input channels], to be looked at."""
        return given


class PhotoTask(Task, abc.ABC):
    """Makes pairs of photos: degrades a photo, and a network learns the way back."""

    makes_input: ClassVar[bool] = True

    @classmethod
    def of(cls, data: DataConfig, image_channels: int) -> Self:
        """Returns the task as configured; raises `ConfigError` if such photos can't be used for it."""
        return cls(image_channels)

    @abc.abstractmethod
    def degraded(self, photo: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Returns the input made of a photo [height, width, image channels]; see `training_row`."""

    def target(self, photo: tf.Tensor) -> tf.Tensor:
        """Returns what the network should return."""
        return photo

    def training_row(self, images: Tensors, seed: tf.Tensor) -> Tensors:
        [photo] = images
        return self.degraded(photo, seed), self.target(photo)

    def held_out_row(self, images: Tensors, seed: tf.Tensor, missing: int | None = None) -> Tensors:
        [photo] = images
        given = self.degraded(to_unit_range(filled(photo, missing)), seed)
        return from_unit_range(given, photo.dtype), photo
