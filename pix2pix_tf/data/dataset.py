"""The data set type that every source returns: splits with random access to images or pairs.

Random access makes training resumable without saved buffers: the images of a step are a pure function of the
seed and the step.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pix2pix_tf.config import DataKind, Direction
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.tasks import Pairs, Task
from pix2pix_tf.errors import DataError
from pix2pix_tf.wording import noun

if TYPE_CHECKING:
    import tensorflow as tf

    ReadImages = Callable[[tf.Tensor], tuple[tf.Tensor, ...]]

ITEMS: dict[DataKind, str] = {"pairs": "pair", "unpaired": "unpaired image", "images": "image"}
"""The noun for one item of each kind."""
SIDE_NAMES: dict[DataKind, tuple[str, ...]] = {
    "pairs": ("input", "target"),
    "unpaired": ("A", "B"),
    "images": ("image",),
}
"""The names of an opened data set's sides, in order."""


def spread(total: int, count: int) -> np.ndarray:
    """Returns up to ``count`` evenly spaced indices of ``total`` items, int64, including first and last."""
    return np.linspace(0, total - 1, min(count, total)).round().astype(np.int64)


def sides_of_sets(sides: tuple[PixelFormat, ...], sets: Sequence[Any]) -> list[tuple[PixelFormat, ...]]:
    """Returns the sides that each set of a split contains."""
    return [sides] if len(sets) == 1 else [(side,) for side in sides]


class LazyNames(Sequence[str]):
    """A sequence of names that are read on access, which saves memory for millions of images."""

    def __init__(self, count: int, read: Callable[[int], str]):
        self._count = count
        self._read = read

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: Any) -> Any:
        """Returns a name, or the names of a slice."""
        found = range(self._count)[number]
        return self._read(found) if isinstance(found, int) else list(map(self._read, found))


@dataclasses.dataclass(frozen=True)
class Images:
    """Random access to single images or pairs."""

    names: Sequence[str]
    """A unique name for each index."""
    read: ReadImages
    """Maps an int64 scalar index to one image, or to the two images of a pair: [height, width, channels] in
    the formats of their sides. Consists of TensorFlow operations, because ``tf.data`` maps call it."""
    known: Callable[[], np.ndarray] | None = None
    """Returns the `digests` if they are known without reading the images."""

    def __len__(self) -> int:
        return len(self.names)

    def digests(self) -> np.ndarray:
        """Returns a 64-bit hash of each image's stored pixels, ``uint64`` [count, images per index].

        The hash doesn't depend on path, name, packing or the (lossless) encoding.
        """
        from pix2pix_tf.data.pixels import content_digest

        if self.known is not None:
            return self.known()
        read = map(self.read, np.arange(len(self)))
        return np.array([[content_digest(np.asarray(image)) for image in each] for each in read], np.uint64)

    def mapped(self, change: Callable[[tuple[tf.Tensor, ...]], tuple[tf.Tensor, ...]]) -> Images:
        """Applies ``change``, a function of TensorFlow operations, to the images of each index."""
        return Images(self.names, lambda index: change(self.read(index)), self.digests)

    def taking(self, part: slice) -> Images:
        """Selects a part of the images of each index, such as one side of pairs."""
        return Images(self.names, lambda index: self.read(index)[part], lambda: self.digests()[:, part])

    def only(self, numbers: Sequence[int] | np.ndarray) -> Images:
        """Selects the given indices, in this order."""
        import tensorflow as tf

        chosen = np.asarray(numbers, np.int64)
        names = LazyNames(len(chosen), lambda number: self.names[int(chosen[number])])
        return Images(
            names, lambda index: self.read(tf.gather(chosen, index)), lambda: self.digests()[chosen]
        )


@dataclasses.dataclass(frozen=True)
class ImageDataset:
    """A data set of one of three kinds: pairs, unpaired or images."""

    name: str
    sides: tuple[PixelFormat, ...]
    """Formats of A and B, or of the only side; with a task, formats of the pairs that it makes."""
    splits: Mapping[str, tuple[Images, ...]]
    """The sets of each split: one `Images` each for unpaired A and B, or one `Images`, which reads both
    images of pairs."""
    skipped: Sequence[str] = ()  # unreadable files that --skip-bad-images left out
    notes: Sequence[str] = ()  # lines to show before training
    from_pairs: bool = False  # whether the i-th held-out images of unpaired sets belong together
    task: Task = Pairs()  # noqa: RUF009 (frozen); photo tasks make pairs from single images
    task_seed: int = 0  # determines, with an image's index, the inputs made from held-out images
    used: frozenset[str] = frozenset()  # settings that had an effect, see `pix2pix_tf.effects.READ_IF`

    @property
    def kind(self) -> DataKind:
        if len(self.sides) == 1:
            return "images"
        return "pairs" if len(self.splits[self.held_out]) == 1 else "unpaired"

    @property
    def has_targets(self) -> bool:
        """Whether there are held-out images whose counterparts are known."""
        return self.held_out != "train" and (self.kind == "pairs" or self.from_pairs)

    def count(self, split: str) -> int:
        """Returns the number of images or pairs per epoch; for unpaired sets, the larger set's."""
        return max(map(len, self.splits[split]))

    def parts(self, split: str) -> list[tuple[Images, tuple[PixelFormat, ...]]]:
        """Returns the sets of a split, each with the sides that it contains."""
        sets = self.splits[split]
        sides = sides_of_sets(self.sides[1:] if self.task.makes_input else self.sides, sets)
        return list(zip(sets, sides, strict=True))

    def digests(self, split: str) -> np.ndarray:
        """Returns the unique digests of a split's images, ``uint64``, sorted."""
        return np.unique(np.concatenate([images.digests().ravel() for images in self.splits[split]]))

    def identity(self, split: str = "train") -> dict[str, int | str]:
        """Returns ``count`` and ``digest``, which identify the images of a split and their order."""
        digest = hashlib.sha256()
        for images in self.splits[split]:
            digests = images.digests()
            digest.update(f"{digests.shape}".encode() + digests.astype("<u8").tobytes())
        return {"count": self.count(split), "digest": digest.hexdigest()}

    def directed(self, direction: Direction) -> ImageDataset:
        """Reorders the sides so that the first is the input and the second the target."""
        if direction == "AtoB" or self.kind == "images":
            return self
        backward = slice(None, None, -1)
        splits = {
            name: (sets[0].taking(backward),) if len(sets) == 1 else sets[backward]
            for name, sets in self.splits.items()
        }
        return dataclasses.replace(self, sides=self.sides[backward], splits=splits)

    def using(self, *settings: str) -> ImageDataset:
        """Returns the data set with more settings marked as used."""
        return dataclasses.replace(self, used=self.used | {*settings})

    def description(self) -> str:
        """Returns name, size and kind in one line."""
        counts = ", ".join(
            f"{' + '.join(str(len(s)) for s in sets)} {name}" for name, sets in self.splits.items()
        )
        last = sum(len(images) for images in list(self.splits.values())[-1])
        what = noun(last, ITEMS["images" if self.task.makes_input else self.kind])
        left_out = f" ({len(self.skipped)} unreadable left out)" if self.skipped else ""
        return f"{self.name}: {counts} {what}{left_out}"

    @property
    def held_out(self) -> str:
        """The split used for samples and metrics: val, else test, else train."""
        return next(name for name in ("val", "test", "train") if name in self.splits)


def with_all(dataset: ImageDataset) -> ImageDataset:
    """Adds a split ``all`` with the pairs of all splits, concatenated in order."""
    every = {split: pairs for split, (pairs,) in dataset.splits.items()}
    names = [name for pairs in every.values() for name in pairs.names]
    if len(set(names)) < len(names):
        names = [f"{split}/{name}" for split, pairs in every.items() for name in pairs.names]
    ends = np.cumsum([len(pairs) for pairs in every.values()])

    def read(index: tf.Tensor) -> tuple[tf.Tensor, ...]:
        part = int(np.searchsorted(ends, int(index), "right"))
        pairs = list(every.values())[part]
        return pairs.read(index - ends[part] + len(pairs))

    whole = Images(names, read, lambda: np.concatenate([pairs.digests() for pairs in every.values()]))
    return dataclasses.replace(dataset, splits={**dataset.splits, "all": (whole,)})


def unpaired(dataset: ImageDataset) -> ImageDataset:
    """Converts pairs to unpaired sets.

    For training, A gets the images of every second pair and B the images of the other pairs, so that no image
    has a counterpart. In other splits, both sets have all pairs in the same order for evaluation.
    """
    if dataset.count("train") < 2:
        raise DataError(f"{dataset.name}: one pair can't be made into two unpaired sets; give more pairs")

    splits = {}
    for split, (pairs,) in dataset.splits.items():
        a = b = range(len(pairs))
        if split == "train":
            a, b = a[::2], b[1::2]
        splits[split] = pairs.only(a).taking(slice(0, 1)), pairs.only(b).taking(slice(1, 2))
    return dataclasses.replace(dataset, splits=splits, from_pairs=True)


def with_label_maps(dataset: ImageDataset, places: str) -> ImageDataset:
    """Marks the sides in ``places`` ("A", "B" or "AB") as label maps, and no other sides."""
    sides = zip("AB", dataset.sides, strict=False)
    labeled = tuple(dataclasses.replace(side, labels=place in places) for place, side in sides)
    return dataclasses.replace(dataset, sides=labeled)


def images_of(dataset: ImageDataset, side: int) -> ImageDataset:
    """Returns one side (0 or 1) of pairs or unpaired sets as a data set of images."""

    splits = {
        split: (sets[side] if len(sets) == 2 else sets[0].taking(slice(side, side + 1)),)
        for split, sets in dataset.splits.items()
    }
    return dataclasses.replace(dataset, sides=(dataset.sides[side],), splits=splits)


def pairs_made_by(task: Task, dataset: ImageDataset, seed: int) -> ImageDataset:
    """Returns a data set of pairs, which a task makes from images when they are read.

    Held-out pairs depend only on the seed and are always the same.
    """
    sides = (PixelFormat(task.input_channels, bits=dataset.sides[0].bits), *dataset.sides)
    return dataclasses.replace(dataset, sides=sides, task=task, task_seed=seed).using("split_seed")
