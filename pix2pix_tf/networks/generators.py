"""The generator: the U-Net of Isola et al. 2017."""

from __future__ import annotations

import keras
from keras import layers

from pix2pix_tf.config import NetworkConfig
from pix2pix_tf.networks.fast.convolutions import TransposedConvolution
from pix2pix_tf.networks.layers import (
    CropToMatch,
    ReflectToAtLeast,
    conv_block,
    initial_weights,
    normalize,
)

MAX_LEVELS = 8
DROPOUT_RATE = 0.5
_DROPOUT_LEVELS = 3


def unet_levels(image_size: tuple[int, int]) -> int:
    """How often the U-Net halves images of that size: down to 1 pixel, eight times at most."""
    return min(MAX_LEVELS, min(image_size).bit_length() - 1)


def build_generator(config: NetworkConfig, levels: int = MAX_LEVELS, dtype: str = "float32") -> keras.Model:
    """Builds the U-Net generator (Isola et al. 2017, section 6.1.1).

    The encoder is C64-C128-C256-C512-C512-C512-C512-C512, the decoder CD512-CD512-CD512-C512-C256-C128-C64
    with a skip connection at every level; other depths and widths follow the same rule. The outermost and
    the innermost encoder block have no normalisation (the latter is the authors' erratum).

    Args:
        config: ``base_filters``, ``norm`` and the channels of input and output (3 where not set).
        levels: number of halvings, 8 at 256×256: see :func:`unet_levels`.
        dtype: a Keras precision policy. The output is float32 in any case.

    Returns:
        A functional model from [batch, height, width, input channels] to [batch, height, width, output
        channels], float32 in [-1, 1] both, at any height and width. Images smaller than 2**levels are
        extended by reflection and cropped back.

    Example:
        >>> generator = build_generator(NetworkConfig())
        >>> generator(tf.zeros([1, 300, 200, 3])).shape
        TensorShape([1, 300, 200, 3])
    """
    width = [config.base_filters * min(2**level, 8) for level in range(levels)]
    image = keras.Input((None, None, config.input_channels or 3), name="image", dtype="float32")

    x = padded = ReflectToAtLeast(2**levels, name="pad", dtype=dtype)(image)
    skips = []
    for level, filters in enumerate(width):
        norm = "none" if level in (0, levels - 1) else config.norm
        x = conv_block(x, filters, f"down_{level + 1}", norm=norm, dtype=dtype)
        skips.append(x)

    for level in reversed(range(levels - 1)):
        name = f"up_{level + 2}"
        x = TransposedConvolution(
            width[level],
            use_bias=config.norm == "none",
            kernel_initializer=initial_weights(),
            name=f"{name}_conv",
            dtype=dtype,
        )(x)
        x = normalize(x, config.norm, f"{name}_norm", dtype)
        if level >= levels - 1 - _DROPOUT_LEVELS:
            # In float32, so that one seed drops the same units in every precision.
            x = layers.Dropout(DROPOUT_RATE, seed=level, name=f"{name}_dropout", dtype="float32")(x)
        x = layers.ReLU(name=f"{name}_act", dtype=dtype)(x)
        x = CropToMatch(name=f"{name}_crop", dtype=dtype)([x, skips[level]])
        x = layers.Concatenate(name=f"{name}_skip", dtype=dtype)([x, skips[level]])

    x = TransposedConvolution(
        config.output_channels or 3, kernel_initializer=initial_weights(), name="up_1_conv", dtype=dtype
    )(x)
    x = CropToMatch(name="crop_padded", dtype=dtype)([x, padded])
    x = CropToMatch(name="crop", dtype=dtype)([x, image])
    output = layers.Activation("tanh", name="output", dtype="float32")(x)
    return keras.Model(image, output, name="generator")
