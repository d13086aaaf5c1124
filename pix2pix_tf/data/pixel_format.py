"""The pixel format of images, shared by data sets, generators and exported models."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import tensorflow as tf

MOST_BANDS = 16
"""Largest number of channels of an image."""

WITH_ALPHA = (2, 4)
"""Channel counts of gray and RGB images with alpha."""

ValueRange = tuple[float, float]
"""The measurements that the lowest and the highest pixel value represent."""


@dataclasses.dataclass(frozen=True)
class PixelFormat:
    """Properties shared by the images of one side of a data set, or by a model's inputs or outputs."""

    channels: int = 3  # 1 (gray), 3 (RGB), one more with an alpha channel, or up to 16 bands; 0 for noise
    labels: bool = False  # whether images are label maps, whose colors must not be mixed
    bits: Literal[8, 16] = 8  # of uint8 or uint16
    value_range: ValueRange | None = None  # what the extreme pixel values represent; None for photos
    missing: int | None = None  # pixel value that marks missing pixels, in all channels; None if none do
    ignore: float | None = None  # value in the files that marks missing pixels, besides their nodata value
    has_alpha: bool = False  # whether the last channel is alpha; of files: whether alpha follows the channels

    @property
    def dtype(self) -> tf.DType:
        import tensorflow as tf

        return tf.uint16 if self.bits == 16 else tf.uint8

    @property
    def stored_range(self) -> ValueRange:
        """The numbers in the files that the lowest and the highest pixel value represent."""
        return self.value_range or (0, 2**self.bits - 1)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> PixelFormat:
        """Raises `TypeError` or `ValueError` if ``stored`` is damaged."""
        found = cls(**stored)
        if found.bits not in (8, 16) or found.channels not in range(MOST_BANDS + 1):
            raise ValueError(f"invalid bits {found.bits} or channels {found.channels}")
        if found.missing is not None and found.missing not in range(2**found.bits):
            raise ValueError(f"invalid value of missing pixels {found.missing}")
        if found.ignore is not None:
            found = dataclasses.replace(found, ignore=float(found.ignore))
        if found.value_range is not None:
            low, high = map(float, found.value_range)
            if not (low < high and math.isfinite(high - low)):
                raise ValueError(f"{low} to {high} is not a valid range")
            found = dataclasses.replace(found, value_range=(low, high))
        return found
