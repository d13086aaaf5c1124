"""The U-Net and the encoder-decoder of Isola et al. 2017."""

from __future__ import annotations

import functools

import keras
from keras import layers

from pix2pix_tf.config import Normalization
from pix2pix_tf.networks.layers import (
    CropToMatch,
    Dropout,
    ReflectToAtLeast,
    conv_block,
    conv_options,
    normalize,
)
from pix2pix_tf.networks.upsampling import upsample

# ``upsampling`` applies to this many last steps. The artifacts of earlier steps are at least 32 pixels apart.
_SHALLOW = 4


def _build(
    *,
    skip_connections: bool,
    relu_after_skip: bool = False,
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
    """Builds the U-Net, or without skip connections the encoder-decoder (Isola et al. 2017, section 6.1.1).

    The encoder is C64-C128-C256-C512-C512-C512-C512-C512, the decoder CD512-CD512-CD512-C512-C256-C128-C64;
    other depths and widths follow the same rule. The outermost and the innermost encoder block have no
    normalization (the latter is the authors' erratum). Images smaller than 2**levels are extended by
    reflection, and the output is cropped back. With ``relu_after_skip``, as in the authors' PyTorch code, a
    decoder block's ReLU also applies to the skip connection.
    """
    levels = min(8, min(image_size).bit_length() - 1)  # down to 1 pixel
    width = [base_filters * min(2**level, 8) for level in range(levels)]
    image = keras.Input((None, None, input_channels), name="image", dtype="float32")

    x = padded = ReflectToAtLeast(2**levels, name="pad", dtype=dtype)(image)
    skips = []
    for level, filters in enumerate(width):
        own_norm: Normalization = "none" if level in (0, levels - 1) else norm
        x = conv_block(x, filters, f"down_{level + 1}", norm=own_norm, dtype=dtype)
        skips.append(x)

    for level in reversed(range(levels - 1)):
        block = f"up_{level + 2}"
        bias = norm == "none"
        method = upsampling if level < _SHALLOW - 1 else "transposed"
        if relu_after_skip:
            x = layers.ReLU(name=f"{block}_act", dtype=dtype)(x)
        x = upsample(method, x, width[level], kernel_size=4, block=block, use_bias=bias, dtype=dtype)
        x = normalize(x, norm, f"{block}_norm", dtype)
        if level >= levels - 4:  # the three innermost blocks
            # In float32, so that a seed drops the same units with every dtype policy.
            x = Dropout(0.5, seed=level, name=f"{block}_dropout", dtype="float32")(x)
        if not relu_after_skip:
            x = layers.ReLU(name=f"{block}_act", dtype=dtype)(x)
        x = CropToMatch(name=f"{block}_crop", dtype=dtype)([x, skips[level]])
        if skip_connections:
            x = layers.Concatenate(name=f"{block}_skip", dtype=dtype)([x, skips[level]])

    if relu_after_skip:
        x = layers.ReLU(name="up_1_skip_act", dtype=dtype)(x)
    filters = max(base_filters // 2, 1) if last_convolution else output_channels
    x = upsample(upsampling, x, filters, kernel_size=4, block="up_1", use_bias=True, dtype=dtype)
    if last_convolution:
        x = layers.ReLU(name="up_1_act", dtype=dtype)(x)
        x = layers.Conv2D(output_channels, 3, padding="same", **conv_options("out", dtype))(x)
    x = CropToMatch(name="crop_padded", dtype=dtype)([x, padded])
    x = CropToMatch(name="crop", dtype=dtype)([x, image])
    output = layers.Activation("tanh", name="output", dtype="float32")(x)
    return keras.Model(image, output, name=name)


build_unet = functools.partial(_build, skip_connections=True)
build_encoder_decoder = functools.partial(_build, skip_connections=False)
build_unet_of_pytorch = functools.partial(_build, skip_connections=True, relu_after_skip=True)
