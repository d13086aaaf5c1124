"""The generators. A new one is a function in this package and an entry in ``GENERATORS``."""

from __future__ import annotations

from collections.abc import Callable

import keras

from pix2pix_tf.config import Normalization
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.networks.generators.resnet import build_resnet, build_resnet_of_pytorch
from pix2pix_tf.networks.generators.unet import build_encoder_decoder, build_unet, build_unet_of_pytorch
from pix2pix_tf.networks.upsampling import UPSAMPLINGS

# Functions with the arguments of `build_generator` except ``kind``.
GENERATORS: dict[str, Callable[..., keras.Model]] = {
    "unet": build_unet,
    "encoder_decoder": build_encoder_decoder,
    "resnet": build_resnet,
    "unet_of_pytorch": build_unet_of_pytorch,
    "resnet_of_pytorch": build_resnet_of_pytorch,
}


def build_generator(
    kind: str = "unet",
    *,
    image_size: tuple[int, int] = (256, 256),
    base_filters: int = 64,
    norm: Normalization = "instance",
    upsampling: str = "transposed",
    last_convolution: bool = False,
    input_channels: int = 3,
    output_channels: int = 3,
    dtype: str = "float32",
    name: str = "generator",
) -> keras.Model:
    """Builds a generator.

    Args:
        kind: 'unet' or 'encoder_decoder' (Isola et al. 2017, section 6.1.1), 'resnet' (Zhu et al. 2017,
            section 7.2), or 'unet_of_pytorch' or 'resnet_of_pytorch', which match the authors' PyTorch code,
            for imported weights.
        image_size: Height and width of training images, which determine the depth. Inputs can have any size.
        base_filters: Filters of the first convolution, 64 in the papers; other layers scale with it.
        norm: 'instance', 'batch' or 'none'.
        upsampling: Method of the last four upsampling steps: 'transposed', 'nearest' or 'resize'.
        last_convolution: Whether the last upsampling step yields ``base_filters`` / 2 channels, followed by a
            3×3 convolution at full size. 'resnet' always ends with its own convolution.
        input_channels: Channels of input images.
        output_channels: Channels of output images.
        dtype: Keras dtype policy. Inputs and outputs are float32 with any policy.
        name: Name of the model.

    Returns:
        A functional model from float32 [batch, height, width, input_channels] to float32 [batch, height,
        width, output_channels], both in [-1, 1].

    Raises:
        ConfigError: ``kind`` or ``upsampling`` is unknown.

    Example:
        >>> generator = build_generator("resnet", base_filters=8)
        >>> generator(tf.zeros([1, 300, 201, 3])).shape
        TensorShape([1, 300, 201, 3])
    """
    if kind not in GENERATORS:
        raise ConfigError(f"there is no generator {kind!r}; choose from {', '.join(GENERATORS)}")
    if upsampling not in UPSAMPLINGS:
        raise ConfigError(f"there is no upsampling {upsampling!r}; choose from {', '.join(UPSAMPLINGS)}")
    return GENERATORS[kind](
        image_size=image_size,
        base_filters=base_filters,
        norm=norm,
        upsampling=upsampling,
        last_convolution=last_convolution,
        input_channels=input_channels,
        output_channels=output_channels,
        dtype=dtype,
        name=name,
    )
