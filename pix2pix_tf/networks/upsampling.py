"""Upsampling methods: a new one is a function like these, see `doubled`, and a line in ``UPSAMPLINGS``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from pix2pix_tf.networks.fast.convolutions import NearestConvolution, TransposedConvolution
from pix2pix_tf.networks.layers import initial_weights


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class BilinearDoubling(layers.Layer):
    """Bilinear `keras.layers.UpSampling2D` by 2 that also works if sizes are unknown during tracing."""

    def call(self, x: Any) -> Any:
        height, width = (
            2 * (tf.shape(x)[axis] if x.shape[axis] is None else x.shape[axis]) for axis in (1, 2)
        )
        return tf.cast(tf.image.resize(x, [height, width], "bilinear"), self.compute_dtype)

    def compute_output_spec(self, x: Any) -> Any:
        batch, height, width, channels = x.shape
        size = (side and 2 * side for side in (height, width))
        return keras.KerasTensor((batch, *size, channels), self.compute_dtype)


def _transposed(x: Any, filters: int, kernel_size: int, block: str, use_bias: bool, dtype: str) -> Any:
    """Transposed convolution, as in the papers."""
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
    """Bilinear upsampling and a 3×3 convolution, without checkerboard artifacts (Odena et al. 2016)."""
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
    """Nearest-neighbor upsampling and a 3×3 convolution, as fast as a 4×4 transposed convolution."""
    return NearestConvolution(
        filters, use_bias=use_bias, kernel_initializer=initial_weights(), name=f"{block}_conv", dtype=dtype
    )(x)


UPSAMPLINGS: dict[str, Callable[..., Any]] = {
    "transposed": _transposed,
    "nearest": _nearest,
    "resize": _resized,
}


def doubled(
    kind: str, x: Any, filters: int, *, kernel_size: int, block: str, use_bias: bool, dtype: str
) -> Any:
    """Upsamples [batch, height, width, channels] to [batch, 2 height, 2 width, filters].

    ``kind`` is a key of ``UPSAMPLINGS``, ``kernel_size`` that of the original network's transposed
    convolution, and ``block`` the prefix of the layers' names.
    """
    return UPSAMPLINGS[kind](x, filters, kernel_size, block, use_bias, dtype)
