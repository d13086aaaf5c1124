"""PatchGAN discriminators (Isola et al. 2017): one logit per image patch."""

from __future__ import annotations

import functools
from typing import Any

import keras
from keras import layers

from pix2pix_tf.config import Normalization
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.networks.fast.convolutions import DownsamplingConvolution, FlatConvolution
from pix2pix_tf.networks.layers import conv_block, conv_options
from pix2pix_tf.networks.spectral import (
    SpectralConvolution,
    SpectralDownsamplingConvolution,
    SpectralFlatConvolution,
)

# Number of downsampling layers by patch size. The 1×1 discriminator has 1×1 kernels; all others end with two
# 4×4 convolutions at stride 1.
PATCHES = {1: 0, 16: 1, 70: 3, 286: 5}


def build_discriminator(
    *,
    patch: int = 70,
    image_size: tuple[int, int] | None = None,
    base_filters: int = 64,
    norm: Normalization = "instance",
    condition_channels: int | None = 3,
    image_channels: int = 3,
    spectral_norm: bool = False,
    dtype: str = "float32",
    name: str = "discriminator",
) -> keras.Model:
    """Builds a PatchGAN discriminator (Isola et al. 2017, section 6.1.2).

    The 70×70 discriminator is C64-C128-C256 at stride 2, then C512 and a one-channel convolution at stride 1.
    The 16×16 one has a single downsampling layer, 286×286 has five, and 1×1 is C64-C128 with 1×1 kernels.

    Args:
        patch: Receptive field of a logit in pixels: 1, 16, 70 or 286.
        image_size: Height and width of the smallest images. If given, raises an error if they have no
            logits; otherwise TensorFlow returns meaningless values for such images.
        base_filters: Filters of the first convolution, 64 in the paper; other layers scale with it.
        norm: 'instance', 'batch' or 'none'. The first convolution is never normalized.
        condition_channels: Channels of the condition image; ``None`` for an unconditional discriminator.
        image_channels: Channels of real and generated images.
        spectral_norm: Whether to apply spectral normalization (Miyato et al. 2018) to all kernels.
        dtype: Keras dtype policy. Inputs and logits are float32 with any policy.
        name: Name of the model.

    Returns:
        A functional model from [condition, image], or only the image, each float32 [batch, height, width,
        channels], to logits, float32 [batch, rows, columns, 1]; positive means real. An image of 256×256
        pixels has 256×256, 126×126, 30×30 or 6×6 logits, for patches of 1, 16, 70 or 286.

    Raises:
        ConfigError: ``patch`` is not one of these sizes, or images of ``image_size`` have no logit.
    """
    if patch not in PATCHES:
        raise ConfigError(
            f"there is no discriminator for patches of {patch}; choose from {', '.join(map(str, PATCHES))}"
        )
    # The last two convolutions need 3 pixels. Downsampling rounds up, so 2·2ⁿ + 1 pixels become 3.
    smallest = 1 if patch == 1 else 2 * 2 ** PATCHES[patch] + 1
    if image_size is not None and min(image_size) < smallest:
        raise ConfigError(f"patches of {patch} need images of {smallest} pixels, not {min(image_size)}")
    if condition_channels is None:
        x = inputs = keras.Input((None, None, image_channels), name="image", dtype="float32")
    else:
        image = keras.Input((None, None, condition_channels), name="image", dtype="float32")
        target = keras.Input((None, None, image_channels), name="target", dtype="float32")
        inputs = [image, target]
        x = layers.Concatenate(name="pair", dtype=dtype)(inputs)

    plain = SpectralConvolution if spectral_norm else layers.Conv2D
    downsampling = SpectralDownsamplingConvolution if spectral_norm else DownsamplingConvolution
    flat = SpectralFlatConvolution if spectral_norm else FlatConvolution

    def padded(x: Any, block: str) -> Any:
        return layers.ZeroPadding2D(1, name=f"{block}_pad", dtype=dtype)(x)

    block = functools.partial(conv_block, dtype=dtype)
    if patch == 1:
        pixelwise = functools.partial(plain, kernel_size=1)
        x = block(x, base_filters, "pixel_1", norm="none", convolution=pixelwise)
        x = block(x, base_filters * 2, "pixel_2", norm=norm, convolution=pixelwise)
    else:
        for level in range(PATCHES[patch]):
            own_norm: Normalization = norm if level else "none"
            filters = base_filters * min(2**level, 8)
            x = block(x, filters, f"down_{level + 1}", norm=own_norm, convolution=downsampling)
        filters = base_filters * min(2 ** PATCHES[patch], 8)
        x = block(padded(x, "flat"), filters, "flat", norm=norm, convolution=flat)
        x = padded(x, "logits")
    x = plain(1, 1 if patch == 1 else 4, **conv_options("logits", dtype))(x)
    logits = layers.Activation("linear", name="logits", dtype="float32")(x)
    return keras.Model(inputs, logits, name=name)
