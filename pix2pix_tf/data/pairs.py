"""What every source of pairs gives the pipeline: splits of (A, B) images with random access.

Random access is what makes training resumable without saved buffers: which pair a step sees is a pure
function of the seed and the step, so a source only has to answer "pair number i of this split".
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

    ReadPair = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

Direction = Literal["AtoB", "BtoA"]


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Returns a key that sorts names as people count (2 before 10), whatever their case."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return [int(part) if at % 2 else part for at, part in enumerate(parts)], name


@dataclasses.dataclass(frozen=True)
class Side:
    """One side of every pair of a data set.

    Args:
        channels: 1 (grey) or 3 (RGB).
        labels: the pixels are classes painted in flat colours, so no filter may mix them.
        bits: 8 or 16; the images are ``uint8`` or ``uint16``.
    """

    channels: int = 3
    labels: bool = False
    bits: Literal[8, 16] = 8


@dataclasses.dataclass(frozen=True)
class Split:
    """The pairs of ``train``, ``val`` or ``test``.

    Args:
        names: a name for each pair, unique in the split; their number is the number of pairs.
        read: a function of TensorFlow operations (it is called inside ``tf.data`` maps) from an int64
            scalar index in [0, len(names)) to the pair (A, B): two tensors [height, width, channels],
            ``uint8`` or ``uint16`` as the data set's sides say, of any size, both of one size.
    """

    names: Sequence[str]
    read: ReadPair

    def __len__(self) -> int:
        return len(self.names)

    def identity(self) -> dict[str, int | str]:
        """Returns what tells these pairs from others: how many, and a digest of all names and some pixels."""
        digest = hashlib.sha256(json.dumps(list(self.names)).encode())
        for index in spread(len(self), 8):
            for image in self.read(index):
                digest.update(np.asarray(image).tobytes())
        return {"count": len(self), "digest": digest.hexdigest()}


def spread(total: int, count: int) -> np.ndarray:
    """Returns up to ``count`` indices, int64, spread evenly over ``total``, from the first to the last."""
    return np.linspace(0, total - 1, min(count, total)).round().astype(np.int64)


@dataclasses.dataclass(frozen=True)
class PairDataset:
    """A data set of image pairs.

    Args:
        name: what the user calls it.
        sides: what A and B are like.
        splits: by name; ``train`` is always there.
        skipped: files left out because they could not be read (``--skip-bad-images``).
    """

    name: str
    sides: tuple[Side, Side]
    splits: Mapping[str, Split]
    skipped: Sequence[str] = ()

    def directed(self, direction: Direction) -> PairDataset:
        """Returns the data set whose A is the input and B the target of ``direction``."""
        if direction == "AtoB":
            return self

        def swapped(read: ReadPair) -> ReadPair:
            def read_swapped(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                a, b = read(index)
                return b, a

            return read_swapped

        splits = {name: Split(split.names, swapped(split.read)) for name, split in self.splits.items()}
        return dataclasses.replace(self, sides=(self.sides[1], self.sides[0]), splits=splits)

    def description(self) -> str:
        """Returns in a line what it holds."""
        pairs = ", ".join(f"{len(split)} {name}" for name, split in self.splits.items())
        left_out = f" ({len(self.skipped)} unreadable left out)" if self.skipped else ""
        return f"{self.name}: {pairs} pairs{left_out}"

    @property
    def held_out(self) -> str:
        """The name of the split that samples and figures are made from: val, else test, else train."""
        return next(name for name in ("val", "test", "train") if name in self.splits)
