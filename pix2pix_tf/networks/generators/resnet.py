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
    conv_options,
    normalize,
)
from pix2pix_tf.networks.upsampling import upsample

# Reflection padding by 3 pixels needs 4 pixels; padding by 1 at a quarter of the size needs 5.
_SMALLEST_IMAGE = 5


def _build(
    *,
    is_centered: bool,
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

    There are 9 residual blocks if the shorter side has 256 pixels or more, otherwise 6. Convolutions at
    stride 1 use reflection padding. Odd sizes are rounded up when downsampled and cropped
    after upsampling. Images smaller than 5 pixels are extended by reflection, and the output is cropped back.

    ``is_centered`` pads the 3×3 convolutions at stride 2 on all sides, like the authors' PyTorch code.
    TensorFlow pads images with an even size at the bottom and right only.
    """
    image = keras.Input((None, None, input_channels), name="image", dtype="float32")

    def activated(x: Any, block: str) -> Any:
        x = normalize(x, norm, f"{block}_norm", dtype)
        return layers.ReLU(name=f"{block}_act", dtype=dtype)(x)

    def options(block: str) -> dict[str, Any]:
        return conv_options(block, dtype, use_bias=norm == "none")

    def reflected(x: Any, pixels: int, block: str) -> Any:
        return ReflectionPadding(pixels, name=f"{block}_pad", dtype=dtype)(x)

    x = ReflectToAtLeast(_SMALLEST_IMAGE, name="pad", dtype=dtype)(image)
    x = activated(layers.Conv2D(base_filters, 7, **options("in"))(reflected(x, 3, "in")), "in")

    sizes = []  # sizes that the decoder restores
    for level in (1, 2):
        sizes.append(x)
        block, filters = f"down_{level}", base_filters * 2**level
        if is_centered:
            x = layers.ZeroPadding2D(1, name=f"{block}_pad", dtype=dtype)(x)
        padding = "valid" if is_centered else "same"
        x = activated(layers.Conv2D(filters, 3, 2, padding, **options(block))(x), block)

    width = x.shape[-1]
    for number in range(1, 10 if min(image_size) >= 256 else 7):
        first, second = f"residual_{number}_1", f"residual_{number}_2"
        inner = activated(layers.Conv2D(width, 3, **options(first))(reflected(x, 1, first)), first)
        inner = layers.Conv2D(width, 3, **options(second))(reflected(inner, 1, second))
        inner = normalize(inner, norm, f"{second}_norm", dtype)
        x = layers.Add(name=f"residual_{number}", dtype=dtype)([x, inner])

    for level in (2, 1):
        block, filters = f"up_{level}", base_filters * 2 ** (level - 1)
        if is_centered and upsampling == "transposed":
            x = layers.Conv2DTranspose(filters, 3, 2, "valid", **options(block))(x)
            x = layers.Cropping2D(((1, 0), (1, 0)), name=f"{block}_centre", dtype=dtype)(x)
        else:
            bias = norm == "none"
            x = upsample(upsampling, x, filters, kernel_size=3, block=block, use_bias=bias, dtype=dtype)
        x = activated(x, block)
        x = CropToMatch(name=f"{block}_crop", dtype=dtype)([x, sizes[level - 1]])

    x = layers.Conv2D(output_channels, 7, **conv_options("out", dtype))(reflected(x, 3, "out"))
    x = CropToMatch(name="crop", dtype=dtype)([x, image])
    output = layers.Activation("tanh", name="output", dtype="float32")(x)
    return keras.Model(image, output, name=name)


build_resnet = functools.partial(_build, is_centered=False)
build_resnet_of_pytorch = functools.partial(_build, is_centered=True)
