"""The CycleGAN generator (Zhu et al. 2017): residual blocks at a quarter of the image size."""

from __future__ import annotations

import functools
from typing import Any

import keras
from keras import layers

from pix2pix_tf.config import Normalization
from pix2pix_tf.networks.layers import (
    CropToMatch,
    ReflectionPadding,
    ReflectToAtLeast,
    initial_weights,
    normalize,
)
from pix2pix_tf.networks.upsampling import doubled

_DEEP_FROM = 256  # pixels of the shorter side
# Reflection padding by 3 pixels needs 4 pixels; padding by 1 at a quarter of the size needs 5.
_SMALLEST_IMAGE = 5


def resnet_blocks(image_size: tuple[int, int]) -> int:
    """Returns the number of residual blocks: 9 from 256 pixels on, else 6."""
    return 9 if min(image_size) >= _DEEP_FROM else 6


def _build(
    *,
    is_centred: bool,
    image_size: tuple[int, int],
    base_filters: int,
    norm: Normalization,
    upsampling: str,
    last_convolution: bool,
    input_channels: int,
    output_channels: int,
    dtype: str,
    name: str,
) -> keras.Model:
    """Builds c7s1-64, d128, d256, residual blocks of 256, u128, u64, c7s1-3 (Zhu et al. 2017, section 7.2).

    Convolutions at stride 1 use reflection padding. Odd sizes are rounded up when downsampled and cropped
    after upsampling. Images smaller than 5 pixels are extended by reflection, and the output is cropped back.

    ``is_centred`` pads the 3×3 convolutions at stride 2 on all sides, as PyTorch does in the authors' code.
    TensorFlow pads even images at the bottom and right only.
    """
    image = keras.Input((None, None, input_channels), name="image", dtype="float32")

    def activated(x: Any, block: str) -> Any:
        x = normalize(x, norm, f"{block}_norm", dtype)
        return layers.ReLU(name=f"{block}_act", dtype=dtype)(x)

    def options(block: str, **kwargs: Any) -> dict[str, Any]:
        bias = {"use_bias": norm == "none", "kernel_initializer": initial_weights()}
        return {**bias, "name": f"{block}_conv", "dtype": dtype, **kwargs}

    def reflected(x: Any, pixels: int, block: str) -> Any:
        return ReflectionPadding(pixels, name=f"{block}_pad", dtype=dtype)(x)

    x = ReflectToAtLeast(_SMALLEST_IMAGE, name="pad", dtype=dtype)(image)
    x = activated(layers.Conv2D(base_filters, 7, **options("in"))(reflected(x, 3, "in")), "in")

    sizes = []  # sizes that the decoder restores
    for level in (1, 2):
        sizes.append(x)
        block, filters = f"down_{level}", base_filters * 2**level
        if is_centred:
            x = layers.ZeroPadding2D(1, name=f"{block}_pad", dtype=dtype)(x)
        halving = layers.Conv2D(filters, 3, 2, "valid" if is_centred else "same", **options(block))
        x = activated(halving(x), block)

    width = x.shape[-1]
    for number in range(1, resnet_blocks(image_size) + 1):
        first, second = f"residual_{number}_1", f"residual_{number}_2"
        inner = activated(layers.Conv2D(width, 3, **options(first))(reflected(x, 1, first)), first)
        inner = layers.Conv2D(width, 3, **options(second))(reflected(inner, 1, second))
        inner = normalize(inner, norm, f"{second}_norm", dtype)
        x = layers.Add(name=f"residual_{number}", dtype=dtype)([x, inner])

    for level in (2, 1):
        block, filters = f"up_{level}", base_filters * 2 ** (level - 1)
        if is_centred and upsampling == "transposed":
            x = layers.Conv2DTranspose(filters, 3, 2, "valid", **options(block))(x)
            x = layers.Cropping2D(((1, 0), (1, 0)), name=f"{block}_centre", dtype=dtype)(x)
        else:
            bias = norm == "none"
            x = doubled(upsampling, x, filters, kernel_size=3, block=block, use_bias=bias, dtype=dtype)
        x = activated(x, block)
        x = CropToMatch(name=f"{block}_crop", dtype=dtype)([x, sizes[level - 1]])

    out = layers.Conv2D(output_channels, 7, **options("out", use_bias=True))
    x = out(reflected(x, 3, "out"))
    x = CropToMatch(name="crop", dtype=dtype)([x, image])
    output = layers.Activation("tanh", name="output", dtype="float32")(x)
    return keras.Model(image, output, name=name)


build_resnet = functools.partial(_build, is_centred=False)
build_resnet_of_pytorch = functools.partial(_build, is_centred=True)
