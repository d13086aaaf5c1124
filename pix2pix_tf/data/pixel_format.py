"""What the numbers of an image mean: one value that data sets, generators and exported models share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import tensorflow as tf

MOST_BANDS = 16
"""Channels that an image may have."""

ValueRange = tuple[float, float]
"""The values that the lowest and the highest level stand for."""


@dataclasses.dataclass(frozen=True)
class PixelFormat:
    """What images have in common: those of one side of a data set, or a model's inputs or outputs.

    Args:
        channels: 1 (gray), 3 (RGB), one more with an alpha channel; or up to 16 bands.
        labels: pixels are classes in flat colors, which no filter may mix.
        bits: 8 or 16; the images are ``uint8`` or ``uint16``.
        value_range: the measurements that the lowest and highest level stand for, if pixels are measurements.
        missing: the level that all channels of a pixel without a value have; ``None`` if none is missing.
        ignore: the number of such pixels in the files, besides what these declare.
        has_alpha: all files have an alpha channel, whether ``channels`` counts it or not.
    """

    channels: int = 3
    labels: bool = False
    bits: Literal[8, 16] = 8
    value_range: ValueRange | None = None
    missing: int | None = None
    ignore: float | None = None
    has_alpha: bool = False

    @property
    def dtype(self) -> tf.DType:
        import tensorflow as tf

        return tf.uint16 if self.bits == 16 else tf.uint8

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> PixelFormat:
        """Inverse of `dataclasses.asdict`, for JSON."""
        value_range = stored["value_range"]
        return cls(**{**stored, "value_range": None if value_range is None else tuple(value_range)})
