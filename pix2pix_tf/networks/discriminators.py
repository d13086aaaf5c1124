"""The discriminators of Isola et al. 2017: a verdict for every patch of an image."""

from __future__ import annotations

import functools
from typing import Any

import keras
from keras import layers

from pix2pix_tf.config import Normalization
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.networks.fast.convolutions import FlatConvolution, HalvingConvolution
from pix2pix_tf.networks.layers import conv_block, initial_weights
from pix2pix_tf.networks.spectral import (
    SpectralConvolution,
    SpectralFlatConvolution,
    SpectralHalvingConvolution,
)

# How often a discriminator halves its image, by the width of the patch that a logit judges. 1×1 does with
# kernels of one pixel; the others end with two convolutions 4×4 at stride 1.
PATCHES = {1: 0, 16: 1, 70: 3, 286: 5}


def smallest_image(patch: int) -> int:
    """The smallest side of an image that has a logit: 1, 5, 17 and 65 pixels for patches of 1, 16, 70, 286.

    Args:
        patch: one of ``PATCHES``.
    """
    # The last two convolutions take one pixel each, and three are halved from what is more than two.
    return 1 if patch == 1 else 2 * 2 ** PATCHES[patch] + 1


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

    70×70 is C64-C128-C256 at stride 2, C512 at stride 1, then one channel at stride 1: every logit judges a
    receptive field of 70×70 pixels. 16×16 halves once, 286×286 five times; 1×1 is C64-C128 and one channel,
    with kernels of one pixel.

    Args:
        patch: width of the receptive field: 1, 16, 70 or 286.
        image_size: height and width of the smallest images that it is to judge, to be sure that they have
            logits. TensorFlow doesn't notice where they have none, and gives numbers without a meaning.
        base_filters: channels of the first convolution, 64 in the paper; all others follow.
        norm: 'instance', 'batch' or 'none'; the first convolution has none in any case.
        condition_channels: of the image that the judged one is to fit; ``None``: it is judged alone.
        image_channels: of the judged image.
        spectral_norm: whether all kernels are divided by their largest singular values (Miyato et al. 2018).
        dtype: a Keras precision policy. The logits are float32 in any case.
        name: of the model.

    Returns:
        A functional model from [condition, image], or from the image, float32 [batch, height, width,
        channels] each, to logits float32 [batch, rows, columns, 1]: positive means real. 256×256 pixels have
        256×256, 126×126, 30×30 or 6×6 logits.

    Raises:
        ConfigError: the paper has no such patch, or images of that size would have no logit.
    """
    if patch not in PATCHES:
        raise ConfigError(f"no discriminator has patches of {patch}, but of {', '.join(map(str, PATCHES))}")
    if image_size is not None and min(image_size) < smallest_image(patch):
        needed = smallest_image(patch)
        raise ConfigError(
            f"patches of {patch} need images of at least {needed} pixels, not {min(image_size)}"
        )
    if condition_channels is None:
        x = inputs = keras.Input((None, None, image_channels), name="image", dtype="float32")
    else:
        image = keras.Input((None, None, condition_channels), name="image", dtype="float32")
        target = keras.Input((None, None, image_channels), name="target", dtype="float32")
        inputs = [image, target]
        x = layers.Concatenate(name="pair", dtype=dtype)(inputs)

    plain = SpectralConvolution if spectral_norm else layers.Conv2D
    halving = SpectralHalvingConvolution if spectral_norm else HalvingConvolution
    flat = SpectralFlatConvolution if spectral_norm else FlatConvolution

    def padded(x: Any, block: str) -> Any:
        return layers.ZeroPadding2D(1, name=f"{block}_pad", dtype=dtype)(x)

    block = functools.partial(conv_block, dtype=dtype)
    size = 1 if patch == 1 else 4
    if patch == 1:
        pixelwise = functools.partial(plain, kernel_size=1)
        x = block(x, base_filters, "pixel_1", norm="none", convolution=pixelwise)
        x = block(x, base_filters * 2, "pixel_2", norm=norm, convolution=pixelwise)
    else:
        for level in range(PATCHES[patch]):
            own_norm: Normalization = norm if level else "none"
            filters = base_filters * min(2**level, 8)
            x = block(x, filters, f"down_{level + 1}", norm=own_norm, convolution=halving)
        filters = base_filters * min(2 ** PATCHES[patch], 8)
        x = block(padded(x, "flat"), filters, "flat", norm=norm, convolution=flat)
        x = padded(x, "logits")
    x = plain(1, size, kernel_initializer=initial_weights(), name="logits_conv", dtype=dtype)(x)
    logits = layers.Activation("linear", name="logits", dtype="float32")(x)
    return keras.Model(inputs, logits, name=name)
