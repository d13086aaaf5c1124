"""The discriminator: the 70×70 PatchGAN of Isola et al. 2017."""

from __future__ import annotations

import keras
from keras import layers

from pix2pix_tf.config import NetworkConfig
from pix2pix_tf.networks.layers import conv_block, initial_weights


def build_discriminator(config: NetworkConfig, dtype: str = "float32") -> keras.Model:
    """Builds the conditional PatchGAN discriminator (Isola et al. 2017, section 6.1.2).

    C64-C128-C256 at stride 2, C512 at stride 1, then one channel at stride 1: every logit judges a
    receptive field of 70×70 pixels.

    Args:
        config: ``base_filters``, ``norm`` and the channels of input and target (3 where not set).
        dtype: a Keras precision policy. The logits are float32 in any case.

    Returns:
        A functional model from [input, target], float32 [batch, height, width, channels] each, to logits
        float32 [batch, height / 8 - 2, width / 8 - 2, 1], 30×30 for 256×256: positive means real.
    """
    image = keras.Input((None, None, config.input_channels or 3), name="image", dtype="float32")
    target = keras.Input((None, None, config.output_channels or 3), name="target", dtype="float32")
    filters, norm = config.base_filters, config.norm

    x = layers.Concatenate(name="pair", dtype=dtype)([image, target])
    x = conv_block(x, filters, "down_1", norm="none", dtype=dtype)
    x = conv_block(x, filters * 2, "down_2", norm=norm, dtype=dtype)
    x = conv_block(x, filters * 4, "down_3", norm=norm, dtype=dtype)
    x = layers.ZeroPadding2D(1, name="flat_pad", dtype=dtype)(x)
    x = conv_block(x, filters * 8, "flat", norm=norm, dtype=dtype, flat=True)
    x = layers.ZeroPadding2D(1, name="logits_pad", dtype=dtype)(x)
    x = layers.Conv2D(1, 4, kernel_initializer=initial_weights(), name="logits_conv", dtype=dtype)(x)
    logits = layers.Activation("linear", name="logits", dtype="float32")(x)
    return keras.Model([image, target], logits, name="discriminator")
