"""What a task tells the rest of the program, which knows no task by name."""

from __future__ import annotations

import abc
import dataclasses
from typing import ClassVar, Self

import numpy as np
import tensorflow as tf

from pix2pix_tf.config import DataConfig
from pix2pix_tf.data.pixels import from_unit_range, to_unit_range


@dataclasses.dataclass(frozen=True)
class Task(abc.ABC):
    """A way to make pairs of photos, and pictures of what a network paints.

    All images are float32 in [-1, 1]: one [height, width, channels] where a photo is spoilt, any number
    [..., height, width, channels] elsewhere. Everything is TensorFlow operations.

    Args:
        photo_channels: of the photos and of the published images, 1 (grey) or 3 (RGB).

    Attributes:
        name: in ``--task``.
        adds_layers: whether the published model has layers of the task around the network.
        inpaints: whether transparent pixels of its input are the mask that it fills.
        takes_photos: whether its input has the numbers that photos have: measurements, where these are some.
        enlarges: how many times larger than its file a picture is.
    """

    photo_channels: int = 3

    name: ClassVar[str]
    adds_layers: ClassVar[bool] = False
    inpaints: ClassVar[bool] = False
    takes_photos: ClassVar[bool] = False
    enlarges = 1

    @classmethod
    def of(cls, data: DataConfig, photo_channels: int) -> Self:
        """Returns the task as configured.

        Raises:
            ConfigError: such photos can't be used for it.
        """
        return cls(photo_channels)

    @property
    def input_channels(self) -> int:
        """Of what :meth:`degraded` makes, which is what the network is given."""
        return self.photo_channels

    @property
    def output_channels(self) -> int:
        """Of what the network gives."""
        return self.photo_channels

    @property
    def published_input_channels(self) -> int:
        """Of the images that a published model takes."""
        return self.input_channels

    @abc.abstractmethod
    def degraded(self, photo: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Returns the input that is made of a photo.

        Args:
            photo: [height, width, picture channels].
            seed: int64 [2], decides all that is random.
        """

    def target(self, photo: tf.Tensor) -> tf.Tensor:
        """Returns what the network should give."""
        return photo

    def composed(self, given: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
        """Returns what losses are computed of, and a discriminator judges.

        Args:
            given: what the network was given.
            output: what it gave.
        """
        return output

    def weight(self, given: tf.Tensor) -> tf.Tensor | None:
        """Returns the weight of each pixel [..., 1] in pixel losses, in [0, 1]; ``None`` where all count."""
        return None

    def network_input(self, image: tf.Tensor) -> tf.Tensor:
        """Returns what the network is given of an image [..., taken channels], once it is published."""
        return image

    def to_image(self, given: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
        """Returns the picture [..., picture channels] of what :meth:`composed` or :meth:`target` returned."""
        return output

    def shown(self, given: np.ndarray) -> np.ndarray:
        """Returns what the network is given, ``uint8`` [height, width, input channels], to be looked at."""
        return given

    def held_out_pair(self, photo: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns input and target of a photo as files have them.

        Args:
            photo: ``uint8`` or ``uint16`` [height, width, picture channels].
            seed: as in :meth:`degraded`.

        Returns:
            [height, width, input channels] in the photo's depth, and the photo.
        """
        return from_unit_range(self.degraded(to_unit_range(photo), seed), photo.dtype), photo
