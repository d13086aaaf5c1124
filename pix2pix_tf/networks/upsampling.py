"""Upsampling methods. A new one is a function in this file and an entry in ``UPSAMPLINGS``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from pix2pix_tf.networks.fast.convolutions import NearestConvolution, TransposedConvolution
from pix2pix_tf.networks.layers import conv_options


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class BilinearUpsampling(layers.Layer):
    """Bilinear `keras.layers.UpSampling2D` by 2 that also works if sizes are unknown during tracing."""

    def call(self, x: Any) -> Any:
        height, width = (
            2 * (tf.shape(x)[axis] if x.shape[axis] is None else x.shape[axis]) for axis in (1, 2)
        )
        return tf.cast(tf.image.resize(x, [height, width], "bilinear"), self.compute_dtype)


def _transposed(x: Any, filters: int, kernel_size: int, block: str, dtype: str, use_bias: bool) -> Any:
    """Applies a transposed convolution, as in the papers."""
    options = conv_options(block, dtype, use_bias)
    if kernel_size == 4:
        return TransposedConvolution(filters, **options)(x)
    return layers.Conv2DTranspose(filters, kernel_size, 2, "same", **options)(x)


def _resized(x: Any, filters: int, kernel_size: int, block: str, dtype: str, use_bias: bool) -> Any:
    """Applies bilinear upsampling and a 3×3 convolution, against checkerboards (Odena et al. 2016)."""
    x = BilinearUpsampling(name=f"{block}_resize", dtype=dtype)(x)
    return layers.Conv2D(filters, 3, padding="same", **conv_options(block, dtype, use_bias))(x)


def _nearest(x: Any, filters: int, kernel_size: int, block: str, dtype: str, use_bias: bool) -> Any:
    """Applies nearest-neighbor upsampling and a 3×3 convolution, as fast as a 4×4 transposed convolution."""
    return NearestConvolution(filters, **conv_options(block, dtype, use_bias))(x)


UPSAMPLINGS: dict[str, Callable[..., Any]] = {
    "transposed": _transposed,
    "nearest": _nearest,
    "resize": _resized,
}


def upsample(
    method: str, x: Any, filters: int, *, kernel_size: int, block: str, use_bias: bool, dtype: str
) -> Any:
    """Upsamples [batch, height, width, channels] to [batch, 2 height, 2 width, filters].

    ``method`` is a key of ``UPSAMPLINGS``. ``kernel_size`` is the kernel size of the original network's
    transposed convolution. ``block`` is the prefix of the layers' names.
    """
    return UPSAMPLINGS[method](x, filters, kernel_size, block, dtype, use_bias)
