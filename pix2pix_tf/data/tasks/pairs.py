"""The task for pairs of files, which are used unchanged."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Self

import tensorflow as tf

from pix2pix_tf.config import DataConfig
from pix2pix_tf.data.tasks.base import Task


@dataclasses.dataclass(frozen=True)
class Pairs(Task):
    """Returns pairs unchanged, except for optional one-hot encoding of input label maps."""

    published_input_channels: int = 3  # of the input files
    label_colors: Sequence[Sequence[int]] = ()  # one-hot palette; empty if inputs aren't one-hot encoded

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
    """Splits a flat sequence of numbers into colors of ``channels`` numbers."""
    return tuple(tuple(flat[start : start + channels]) for start in range(0, len(flat), channels))


def one_hot(image: tf.Tensor, colors: Sequence[Sequence[int]]) -> tf.Tensor:
    """One-hot encodes label maps.

    Args:
        image: 8-bit label maps as float32 [..., channels] in [-1, 1].
        colors: Color of each class, with one number from 0 to 255 per channel.

    Returns:
        float32 [..., classes]: 1 for the class with the nearest color, -1 for other classes.
    """
    palette = tf.constant(colors, tf.float32)
    # Products of integers are exact, so equal distances compare equal.
    levels = tf.round(image * 127.5 + 127.5)
    nearness = 2 * tf.linalg.matmul(levels, palette, transpose_b=True) - tf.reduce_sum(palette**2, axis=-1)
    nearest = tf.argmax(nearness, axis=-1, output_type=tf.int32)[..., tf.newaxis]
    # -1 and 1 are exact in float16 on mobile devices.
    return 2.0 * tf.cast(nearest == tf.range(len(colors)), tf.float32) - 1.0
