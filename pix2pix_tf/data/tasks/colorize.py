"""Colorization: predicts a* and b* from lightness, in CIE L*a*b* (D65)."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
import tensorflow as tf

from pix2pix_tf.data.tasks.base import PhotoTask

# Linear sRGB to XYZ (IEC 61966-2-1). Rows are normalized to the D65 white, so that gray is exactly neutral.
_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
_TO_XYZ = _XYZ / _XYZ.sum(axis=1, keepdims=True)
_TO_RGB = np.linalg.inv(_TO_XYZ)

_AB_RANGE = 110.0  # in sRGB, a* ranges from -86 to 98 and b* from -108 to 94
_DELTA = 6 / 29  # below the cube of this value, L*a*b* is linear


@dataclasses.dataclass(frozen=True)
class Colorize(PhotoTask):
    """The input is a gray image with the photo's lightness L*; the network predicts a* and b*.

    Gray values are sRGB-encoded, so a gray photo is a valid input. A published model takes RGB images and
    uses only their lightness.
    """

    name: ClassVar[str] = "colorize"
    adds_layers = True
    input_channels = 1
    output_channels = 2
    published_input_channels = 3
    photo_channels = (3,)

    def degraded(self, photo: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return self.network_input(photo)

    def network_input(self, image: tf.Tensor) -> tf.Tensor:
        """Returns a gray image of the same lightness."""
        luminance = _mixed(_linear(image), _TO_XYZ[1:2])
        return _encoded(luminance)

    def target(self, photo: tf.Tensor) -> tf.Tensor:
        """Returns a* and b*, divided by 110."""
        x, y, z = tf.split(_response(_mixed(_linear(photo), _TO_XYZ)), 3, axis=-1)
        return tf.concat([500.0 * (x - y), 200.0 * (y - z)], axis=-1) * (1 / _AB_RANGE)

    def to_image(self, given: tf.Tensor, output: tf.Tensor) -> tf.Tensor:
        """Returns the RGB image with the input's lightness and the output's colors.

        Colors outside of the sRGB gamut are desaturated as little as necessary; their luminance is unchanged.
        """
        luminance = _linear(given)
        a, b = tf.split(output * _AB_RANGE, 2, axis=-1)
        y = _response(luminance)
        xyz = _stimulus(tf.concat([y + a * (1 / 500), y, y - b * (1 / 200)], axis=-1))
        color = _mixed(xyz, _TO_RGB) - luminance
        room = tf.where(color > 0, 1.0 - luminance, luminance)
        share = tf.reduce_min(room / tf.maximum(tf.abs(color), 1e-6), axis=-1, keepdims=True)
        return _encoded(luminance + tf.minimum(share, 1.0) * color)


def _mixed(image: tf.Tensor, matrix: np.ndarray) -> tf.Tensor:
    """Multiplies the channels of every pixel by a matrix, in float32 on every device."""
    channels = tf.split(image, 3, axis=-1)
    rows = [
        sum(float(weight) * channel for weight, channel in zip(row, channels, strict=True)) for row in matrix
    ]
    return tf.concat(rows, axis=-1) if len(rows) > 1 else rows[0]


def _linear(image: tf.Tensor) -> tf.Tensor:
    """Converts sRGB in [-1, 1] to linear light in [0, 1]."""
    encoded = tf.clip_by_value(image * 0.5 + 0.5, 0.0, 1.0)
    curved = tf.pow((tf.maximum(encoded, 0.04045) + 0.055) * (1 / 1.055), 2.4)
    return tf.where(encoded > 0.04045, curved, encoded * (1 / 12.92))


def _encoded(linear: tf.Tensor) -> tf.Tensor:
    """Converts linear light to sRGB in [-1, 1]."""
    linear = tf.clip_by_value(linear, 0.0, 1.0)
    curved = 1.055 * tf.pow(tf.maximum(linear, 0.0031308), 1 / 2.4) - 0.055
    return tf.where(linear > 0.0031308, curved, linear * 12.92) * 2.0 - 1.0


def _response(xyz: tf.Tensor) -> tf.Tensor:
    """The function f of L*a*b*, as in L* = 116 f(Y) - 16."""
    curved = tf.pow(tf.maximum(xyz, _DELTA**3), 1 / 3)
    return tf.where(xyz > _DELTA**3, curved, xyz * (1 / (3 * _DELTA**2)) + 4 / 29)


def _stimulus(response: tf.Tensor) -> tf.Tensor:
    """Inverse of `_response`."""
    linear = 3 * _DELTA**2 * (response - 4 / 29)
    return tf.where(response > _DELTA, response * response * response, linear)
