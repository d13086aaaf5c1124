"""PatchGAN discriminators (Isola et al. 2017): one logit per image patch."""

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

# Number of downsampling layers by patch size. The 1×1 discriminator has 1×1 kernels; all others end with two
# 4×4 convolutions at stride 1.
PATCHES = {1: 0, 16: 1, 70: 3, 286: 5}


def smallest_image(patch: int) -> int:
    """Returns the smallest image side that yields a logit: 1, 5, 17 or 65 pixels for the four patch sizes."""
    # The two last convolutions need 3 pixels; sides are rounded up when halved, so 2·2ⁿ + 1 pixels become 3.
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

    The 70×70 discriminator is C64-C128-C256 at stride 2, then C512 and a one-channel convolution at stride 1.
    The 16×16 one has a single downsampling layer, 286×286 has five, and 1×1 is C64-C128 with 1×1 kernels.

    Args:
        patch: receptive field of a logit in pixels: 1, 16, 70 or 286.
        image_size: height and width of the smallest images it will see. If given, they must yield at least
            one logit; TensorFlow itself would return meaningless values without an error.
        base_filters: channels of the first convolution, 64 in the paper; the others scale with it.
        norm: 'instance', 'batch' or 'none'. The first convolution is never normalized.
        condition_channels: channels of the condition image, or ``None`` for an unconditional discriminator.
        image_channels: channels of the real or generated image.
        spectral_norm: whether to apply spectral normalization (Miyato et al. 2018) to all kernels.
        dtype: Keras dtype policy. Inputs and logits are float32 with any policy.
        name: name of the model.

    Returns:
        A functional model from [condition, image], or from the image alone, each float32 [batch, height,
        width, channels], to logits float32 [batch, rows, columns, 1]; positive means real. For patches of 1,
        16, 70 and 286, an image of 256×256 pixels has 256×256, 126×126, 30×30 and 6×6 logits.

    Raises:
        ConfigError: ``patch`` is not one of these sizes, or images of ``image_size`` have no logit.
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
