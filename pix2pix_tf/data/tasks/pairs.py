"""Pairs as files have them: the task that degrades nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Self

import tensorflow as tf

from pix2pix_tf.config import DataConfig
from pix2pix_tf.data.tasks.base import Task


@dataclasses.dataclass(frozen=True)
class Pairs(Task):
    """Returns what it is given, but label maps as one channel per class if they are to be encoded so.

    Args:
        published_input_channels: of the inputs' files.
        label_colors: of the classes that have a channel each.
    """

    published_input_channels: int = 3
    label_colors: Sequence[Sequence[int]] = ()

    name: ClassVar[str] = "pairs"

    @classmethod
    def of(cls, data: DataConfig, image_channels: int) -> Self:
        channels = data.input_channels or 3
        return cls(image_channels, channels, colors_in(data.label_colors or (), channels))

    @property
    def adds_layers(self) -> bool:
        return bool(self.label_colors)

    @property
    def input_channels(self) -> int:
        return len(self.label_colors) or self.published_input_channels

    def encoded(self, inputs: tf.Tensor) -> tf.Tensor:
        return one_hot(inputs, self.label_colors) if self.label_colors else inputs

    def network_input(self, image: tf.Tensor) -> tf.Tensor:
        return self.encoded(image)


def colors_in(flat: Sequence[int], channels: int) -> tuple[tuple[int, ...], ...]:
    """Returns the colors, of so many channels each, in a row of numbers."""
    return tuple(tuple(flat[start : start + channels]) for start in range(0, len(flat), channels))


def one_hot(image: tf.Tensor, colors: Sequence[Sequence[int]]) -> tf.Tensor:
    """Turns label maps into one channel per class.

    Args:
        image: float32 [..., channels] in [-1, 1], of 8-bit label maps.
        colors: of the classes, as many numbers as there are channels, from 0 to 255.

    Returns:
        float32 [..., classes]: 1 where the pixel's color is nearest to that of the class, else -1.
    """
    palette = tf.constant(colors, tf.float32)
    levels = tf.round(image * 127.5 + 127.5)  # of whole numbers the products are exact, so ties are, too
    nearness = 2 * tf.linalg.matmul(levels, palette, transpose_b=True) - tf.reduce_sum(palette**2, axis=-1)
    nearest = tf.argmax(nearness, axis=-1, output_type=tf.int32)[..., tf.newaxis]
    return 2.0 * tf.cast(nearest == tf.range(len(colors)), tf.float32) - 1.0  # mobiles can't round this one
