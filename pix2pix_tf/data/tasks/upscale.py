"""Super-resolution: photos are enlarged by interpolation, and the network sharpens them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Literal, Self

import numpy as np
import tensorflow as tf

from pix2pix_tf.config import DataConfig
from pix2pix_tf.data.pixels import from_unit_range, to_unit_range
from pix2pix_tf.data.tasks.base import PhotoTask


@dataclasses.dataclass(frozen=True)
class Upscale(PhotoTask):
    """The input is the photo downsampled by averaging and enlarged again."""

    enlarges: int = 4
    bits: Literal[8, 16] = 8  # per sample of the files

    name: ClassVar[str] = "upscale"
    settings: ClassVar[Sequence[str]] = ("upscale_factor",)
    takes_photos: ClassVar[bool] = True

    @classmethod
    def of(cls, data: DataConfig, image_channels: int) -> Self:
        return cls(image_channels, data.upscale_factor, data.output_bits or 8)

    def degraded(self, photo: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        size = tf.shape(photo)[:2]
        small = tf.image.resize(photo, tf.maximum(size // self.enlarges, 1), "area")
        levels = from_unit_range(small, tf.uint16 if self.bits == 16 else tf.uint8)
        enlarged = _interpolated(to_unit_range(levels), size)
        return tf.ensure_shape(enlarged, photo.shape)


def enlarged_levels(image: np.ndarray, factor: int) -> np.ndarray:
    """Enlarges ``uint8`` or ``uint16`` [height, width, channels] by the same method as `Upscale`'s inputs."""
    size = [factor * side for side in image.shape[:2]]
    return from_unit_range(
        _interpolated(to_unit_range(tf.constant(image)), size), tf.as_dtype(image.dtype)
    ).numpy()


def _interpolated(image: tf.Tensor, size: tf.Tensor | list[int]) -> tf.Tensor:
    """Enlarges by bicubic interpolation; clips, because it overshoots the range."""
    return tf.clip_by_value(tf.image.resize(image, size, "bicubic"), -1.0, 1.0)
