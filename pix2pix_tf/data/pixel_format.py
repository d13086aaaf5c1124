"""What the numbers of an image mean: one value that data sets, generators and exported models share."""

from __future__ import annotations

import dataclasses
import math
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
        channels: 1 (gray), 3 (RGB), one more with an alpha channel; or up to 16 bands; 0 for noise.
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

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> PixelFormat:
        """Raises `TypeError` or `ValueError` if what is stored is damaged."""
        found = cls(**stored)
        if found.bits not in (8, 16) or not isinstance(found.missing, int | None):
            raise ValueError(f"{found.bits} bits, or missing pixels of level {found.missing}")
        if found.ignore is not None:
            found = dataclasses.replace(found, ignore=float(found.ignore))
        if found.value_range is not None:
            low, high = map(float, found.value_range)
            if not (low < high and math.isfinite(high - low)):
                raise ValueError(f"{low} to {high} is no range")
            found = dataclasses.replace(found, value_range=(low, high))
        return found
