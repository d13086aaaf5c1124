"""Random numbers, computed as hashes of a key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")
Bits = TypeVar("Bits", int, np.ndarray)

_GOLDEN = 0x9E3779B97F4A7C15
_MASK64 = (1 << 64) - 1


def _mix(value: Bits) -> Bits:
    """Applies SplitMix64's finalizer, a bijection on 64-bit integers, to an int or a uint64 array."""
    value = value & _MASK64
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK64
    return value ^ (value >> 31)


def derive(key: int, number: int) -> int:
    """Derives a new key; different numbers in [0, 2**64) give different keys."""
    return _mix(_mix(key) + number * _GOLDEN)


def hash_grid(key: int, height: int, width: int) -> np.ndarray:
    """Returns a hash of the key and each position, uint64 [height, width]."""
    places = np.arange(1, height * width + 1, dtype=np.uint64)
    return _mix(places * _GOLDEN + (key & _MASK64)).reshape(height, width)


class Dice:
    """A stream of random choices; each is a hash of the key and the number of earlier choices."""

    def __init__(self, key: int):
        self.key = key
        self._rolls = 0

    def between(self, low: int, high: int) -> int:
        """Returns an integer in [low, high]."""
        self._rolls += 1
        return low + derive(self.key, self._rolls) % (high - low + 1)

    def pick(self, options: Sequence[T]) -> T:
        return options[self.between(0, len(options) - 1)]

    def chance(self, percent: int) -> bool:
        """Returns True with a probability of ``percent``."""
        return self.between(0, 99) < percent

    def child(self, number: int) -> Dice:
        """Returns an independent stream, so that changes to one part don't affect the others."""
        return Dice(derive(self.key, (1 << 32) + number))
