"""The ways to double an image by name: a new one is a function like these, and an entry."""

from __future__ import annotations

from typing import Any, Protocol

import keras
import tensorflow as tf
from keras import layers

from pix2pix_tf.networks.fast.convolutions import NearestConvolution, TransposedConvolution
from pix2pix_tf.networks.layers import initial_weights


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class BilinearDoubling(layers.Layer):
    """``keras.layers.UpSampling2D``, bilinear, also where sizes aren't known yet when a graph is traced.

    Input: float [batch, height, width, channels]. Output: the same at twice the height and width.
    """

    def call(self, x: Any) -> Any:
        """Returns ``x`` at twice its size."""
        height, width = (
            2 * (tf.shape(x)[axis] if x.shape[axis] is None else x.shape[axis]) for axis in (1, 2)
        )
        return tf.cast(tf.image.resize(x, [height, width], "bilinear"), self.compute_dtype)

    def compute_output_spec(self, x: Any) -> Any:
        """Returns the shape."""
        batch, height, width, channels = x.shape
        size = (side and 2 * side for side in (height, width))
        return keras.KerasTensor((batch, *size, channels), self.compute_dtype)


class Doubling(Protocol):
    """What doubles an image: see :func:`doubled`."""

    def __call__(self, x: Any, filters: int, kernel_size: int, block: str, use_bias: bool, dtype: str) -> Any:
        """Doubles it."""


def _transposed(x: Any, filters: int, kernel_size: int, block: str, use_bias: bool, dtype: str) -> Any:
    """The papers' own way."""
    options: dict[str, Any] = {
        "use_bias": use_bias,
        "kernel_initializer": initial_weights(),
        "name": f"{block}_conv",
        "dtype": dtype,
    }
    if kernel_size == 4:
        return TransposedConvolution(filters, **options)(x)
    return layers.Conv2DTranspose(filters, kernel_size, 2, "same", **options)(x)


def _resized(x: Any, filters: int, kernel_size: int, block: str, use_bias: bool, dtype: str) -> Any:
    """By interpolation and a convolution 3×3, which lay no grid over even walls (Odena et al. 2016)."""
    x = BilinearDoubling(name=f"{block}_resize", dtype=dtype)(x)
    return layers.Conv2D(
        filters,
        3,
        padding="same",
        use_bias=use_bias,
        kernel_initializer=initial_weights(),
        name=f"{block}_conv",
        dtype=dtype,
    )(x)


def _nearest(x: Any, filters: int, kernel_size: int, block: str, use_bias: bool, dtype: str) -> Any:
    """By the nearest neighbour and a convolution 3×3, at the price of a transposed convolution 4×4."""
    return NearestConvolution(
        filters, use_bias=use_bias, kernel_initializer=initial_weights(), name=f"{block}_conv", dtype=dtype
    )(x)


UPSAMPLINGS: dict[str, Doubling] = {"transposed": _transposed, "nearest": _nearest, "resize": _resized}


def doubled(
    kind: str, x: Any, filters: int, *, kernel_size: int, block: str, use_bias: bool, dtype: str
) -> Any:
    """Doubles an image's height and width.

    Args:
        kind: one of ``UPSAMPLINGS``.
        x: float [batch, height, width, channels].
        filters: channels of the result.
        kernel_size: of the transposed convolution that the network's authors have here.
        block: the beginning of the layers' names.
        use_bias: whether the convolution has a bias.
        dtype: a Keras precision policy.

    Returns:
        Float [batch, 2 height, 2 width, filters].

    Raises:
        KeyError: there is no such way.
    """
    return UPSAMPLINGS[kind](x, filters, kernel_size, block, use_bias, dtype)
