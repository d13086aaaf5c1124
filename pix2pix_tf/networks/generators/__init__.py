"""The generators by name: a new one is a function like these, and an entry."""

from __future__ import annotations

from typing import Protocol

import keras

from pix2pix_tf.config import Normalization
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.networks.generators.resnet import build_resnet, build_resnet_of_pytorch
from pix2pix_tf.networks.generators.unet import (
    MAX_LEVELS,
    build_encoder_decoder,
    build_unet,
    build_unet_of_pytorch,
    unet_levels,
)
from pix2pix_tf.networks.upsampling import UPSAMPLINGS

__all__ = ["GENERATORS", "MAX_LEVELS", "build_generator", "unet_levels"]


class Builder(Protocol):
    """What builds a generator: see :func:`build_generator`."""

    def __call__(
        self,
        *,
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
        """Builds it."""


GENERATORS: dict[str, Builder] = {
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
        kind: one of ``GENERATORS``: 'unet' or 'encoder_decoder' (Isola et al. 2017, section 6.1.1), 'resnet'
            (Zhu et al. 2017, section 7.2); or 'unet_of_pytorch', 'resnet_of_pytorch': as the authors' PyTorch
            code builds these, for weights from there.
        image_size: height and width it is trained at, which decide its depth. It paints any size.
        base_filters: channels of the first convolution, 64 in the papers; all others follow.
        norm: 'instance', 'batch' or 'none'.
        upsampling: how the decoder doubles its images the last four times, one of ``UPSAMPLINGS``.
        last_convolution: whether a convolution 3×3 paints the picture, from half of ``base_filters`` channels
            at full size; 'resnet' has one of its own.
        input_channels: of the images it is given.
        output_channels: of those it paints.
        dtype: a Keras precision policy. The output is float32 in any case.
        name: of the model.

    Returns:
        A functional model from [batch, height, width, input channels] to [batch, height, width, output
        channels], float32 in [-1, 1] both, at any height and width.

    Raises:
        ConfigError: there is no such kind, or no such upsampling.

    Example:
        >>> generator = build_generator("resnet", base_filters=8)
        >>> generator(tf.zeros([1, 300, 201, 3])).shape
        TensorShape([1, 300, 201, 3])
    """
    if kind not in GENERATORS:
        raise ConfigError(f"there is no generator {kind!r}, but {', '.join(GENERATORS)}")
    if upsampling not in UPSAMPLINGS:
        raise ConfigError(f"there is no upsampling {upsampling!r}, but {', '.join(UPSAMPLINGS)}")
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
