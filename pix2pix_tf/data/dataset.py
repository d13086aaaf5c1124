"""What every source gives the pipeline: splits of images with random access, alone, paired or unpaired.

Random access is what makes training resumable without saved buffers: which images a step sees is a pure
function of the seed and the step, so a source only has to answer "number i of this split".
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.tasks import Pairs, Task
from pix2pix_tf.errors import DataError
from pix2pix_tf.wording import noun

if TYPE_CHECKING:
    import tensorflow as tf

    ReadImages = Callable[[tf.Tensor], tuple[tf.Tensor, ...]]

Direction = Literal["AtoB", "BtoA"]
Kind = Literal["pairs", "unpaired", "images"]
ITEMS: dict[Kind, str] = {"pairs": "pair", "unpaired": "unpaired image", "images": "image"}
"""What a data set of each kind is counted in."""
SIDE_NAMES: dict[Kind, tuple[str, ...]] = {
    "pairs": ("input", "target"),
    "unpaired": ("A", "B"),
    "images": ("image",),
}
"""What the sides of an opened data set are called, in their order."""


def spread(total: int, count: int) -> np.ndarray:
    """Returns up to ``count`` indices, int64, spread evenly over ``total``, from the first to the last."""
    return np.linspace(0, total - 1, min(count, total)).round().astype(np.int64)


def sides_of_sets(sides: tuple[PixelFormat, ...], sets: Sequence[Any]) -> list[tuple[PixelFormat, ...]]:
    """Returns the sides of what each set of a split reads."""
    return [sides] if len(sets) == 1 else [(side,) for side in sides]


class LazyNames(Sequence[str]):
    """Names that are looked up when they are asked for: of a million images nobody asks for all."""

    def __init__(self, count: int, read: Callable[[int], str]):
        self._count = count
        self._read = read

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: Any) -> Any:
        """Returns a name, or those of a slice."""
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(self._count))]
        if not -self._count <= number < self._count:
            raise IndexError(number)
        return self._read(number % self._count)


@dataclasses.dataclass(frozen=True)
class Images:
    """Images that are read by number: single ones, or pairs."""

    names: Sequence[str]
    """A name for each number, unique among them; their count is the set's."""
    read: ReadImages
    """A function of TensorFlow operations (it is called inside ``tf.data`` maps) from an int64 scalar index
    to one image, or the two of a pair: [height, width, channels] of the formats of their sides."""
    known: Callable[[], np.ndarray] | None = None
    """Gives what `digests` returns, if that is known without reading the images."""

    def __len__(self) -> int:
        return len(self.names)

    def digests(self) -> np.ndarray:
        """Returns 64 bits of the pixels of each image as it is stored, ``uint64`` [numbers, images of each].

        A copy has the same ones under any path or name, in a pack, or encoded otherwise without loss.
        """
        from pix2pix_tf.data.pixels import content_digest

        if self.known is not None:
            return self.known()
        read = map(self.read, np.arange(len(self)))
        return np.array([[content_digest(np.asarray(image)) for image in each] for each in read], np.uint64)

    def mapped(self, change: Callable[[tuple[tf.Tensor, ...]], tuple[tf.Tensor, ...]]) -> Images:
        """Returns these images with what is read of each number changed by a function of operations."""
        return Images(self.names, lambda index: change(self.read(index)), self.digests)

    def taking(self, part: slice) -> Images:
        """Returns some of the images of each number."""
        return Images(self.names, lambda index: self.read(index)[part], lambda: self.digests()[:, part])

    def only(self, numbers: Sequence[int] | np.ndarray) -> Images:
        """Returns some of these images, in that order."""
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
    """Formats of A and B, or of images alone; with a task, of the pairs that it makes."""
    splits: Mapping[str, tuple[Images, ...]]
    """By name: of unpaired images one `Images` each for A and B, which may differ in everything; else one,
    that of pairs reads both images of a pair."""
    skipped: Sequence[str] = ()  # files left out because they could not be read (--skip-bad-images)
    notes: Sequence[str] = ()  # lines to show before training
    from_pairs: bool = False  # whether the i-th held-out images of unpaired sets belong together
    task: Task = Pairs()  # noqa: RUF009 (frozen); photo tasks make pairs of images that are read alone
    task_seed: int = 0  # decides, with an image's number, the input that is made of a held-out one
    used: frozenset[str] = frozenset()  # settings that had an effect, see `pix2pix_tf.effects.READ_IF`

    @property
    def kind(self) -> Kind:
        if len(self.sides) == 1:
            return "images"
        return "pairs" if len(self.splits[self.held_out]) == 1 else "unpaired"

    @property
    def has_targets(self) -> bool:
        """Whether there are held-out images whose counterparts are known."""
        return self.held_out != "train" and (self.kind == "pairs" or self.from_pairs)

    def count(self, split: str) -> int:
        """Returns the images, or pairs, that an epoch of a split passes: of unpaired sets, the larger's."""
        return max(map(len, self.splits[split]))

    def parts(self, split: str) -> list[tuple[Images, tuple[PixelFormat, ...]]]:
        """Returns the sets of a split, each with the sides of what it reads."""
        sets = self.splits[split]
        sides = sides_of_sets(self.sides[1:] if self.task.makes_input else self.sides, sets)
        return list(zip(sets, sides, strict=True))

    def digests(self, split: str) -> np.ndarray:
        """Returns the digests of all images of a split, ``uint64``, sorted, each once."""
        return np.unique(np.concatenate([images.digests().ravel() for images in self.splits[split]]))

    def identity(self, split: str = "train") -> dict[str, int | str]:
        """Returns what tells the images of a split, in their order, from others: ``count`` and ``digest``."""
        digest = hashlib.sha256()
        for images in self.splits[split]:
            digests = images.digests()
            digest.update(f"{digests.shape}".encode() + digests.astype("<u8").tobytes())
        return {"count": self.count(split), "digest": digest.hexdigest()}

    def directed(self, direction: Direction) -> ImageDataset:
        """Returns the data set whose first side is the input and second the target of ``direction``."""
        if direction == "AtoB" or self.kind == "images":
            return self
        splits: dict[str, tuple[Images, ...]]
        if self.kind == "pairs":
            splits = {name: (pairs.taking(slice(None, None, -1)),) for name, (pairs,) in self.splits.items()}
        else:
            splits = {name: sets[::-1] for name, sets in self.splits.items()}
        return dataclasses.replace(self, sides=self.sides[::-1], splits=splits)

    def description(self) -> str:
        """Returns in a line what it holds."""
        counts = ", ".join(
            f"{' + '.join(str(len(s)) for s in sets)} {name}" for name, sets in self.splits.items()
        )
        last = sum(len(images) for images in list(self.splits.values())[-1])
        what = noun(last, ITEMS["images" if self.task.makes_input else self.kind])
        left_out = f" ({len(self.skipped)} unreadable left out)" if self.skipped else ""
        return f"{self.name}: {counts} {what}{left_out}"

    @property
    def held_out(self) -> str:
        """The name of the split that samples and figures are made from: val, else test, else train."""
        return next(name for name in ("val", "test", "train") if name in self.splits)


def with_all(dataset: ImageDataset) -> ImageDataset:
    """Returns pairs with a split ``all`` that has those of every split, one split after the other."""
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
    """Returns pairs as two sets that no longer know of each other.

    To train on, A has the images of every second pair and B those of the others, so that nothing has its
    counterpart. Elsewhere both have all pairs in one order, so that true counterparts are known.
    """
    if dataset.count("train") < 2:
        raise DataError(f"{dataset.name}: one pair can't be made into two unpaired sets; give more pairs")

    def two_sets(split: str, pairs: Images) -> tuple[Images, Images]:
        numbers = range(len(pairs))
        a, b = (numbers[::2], numbers[1::2]) if split == "train" else (numbers, numbers)
        return pairs.only(a).taking(slice(0, 1)), pairs.only(b).taking(slice(1, 2))

    splits = {split: two_sets(split, pairs) for split, (pairs,) in dataset.splits.items()}
    return dataclasses.replace(dataset, splits=splits, from_pairs=True)


def with_label_maps(dataset: ImageDataset, places: str) -> ImageDataset:
    """Returns the data set with the sides in ``places``, of A and B, as label maps and no others."""
    sides = zip("AB", dataset.sides, strict=False)
    labeled = tuple(dataclasses.replace(side, labels=place in places) for place, side in sides)
    return dataclasses.replace(dataset, sides=labeled)


def images_of(dataset: ImageDataset, side: int) -> ImageDataset:
    """Returns one side of pairs or of unpaired sets, 0 the first and 1 the second, as images alone."""

    def one(sets: tuple[Images, ...]) -> Images:
        return sets[side] if len(sets) == 2 else sets[0].taking(slice(side, side + 1))

    splits = {split: (one(sets),) for split, sets in dataset.splits.items()}
    return dataclasses.replace(dataset, sides=(dataset.sides[side],), splits=splits)


def pairs_made_by(task: Task, dataset: ImageDataset, seed: int) -> ImageDataset:
    """Returns images as pairs that a task makes of them whenever they are read.

    The seed decides how those that are held out are made, always in the same way.
    """
    sides = (PixelFormat(task.input_channels, bits=dataset.sides[0].bits), *dataset.sides)
    used = dataset.used | {"split_seed"}
    return dataclasses.replace(dataset, sides=sides, task=task, task_seed=seed, used=used)
