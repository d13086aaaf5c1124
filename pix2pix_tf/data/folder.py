"""A user's own folder of images as a data set: which layout it has, and what is wrong with it."""

from __future__ import annotations

import bisect
import dataclasses
import hashlib
import itertools
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tensorflow as tf

from pix2pix_tf.data import images
from pix2pix_tf.data.checking import CheckedImage, check_images
from pix2pix_tf.data.pixels import split_side_by_side
from pix2pix_tf.data.rasters import ValueRange
from pix2pix_tf.data.sets import ImageDataset, Images, Kind, Side, natural_key
from pix2pix_tf.errors import DataError, SystemFault
from pix2pix_tf.files import printable
from pix2pix_tf.wording import counted, noun

if TYPE_CHECKING:
    from pix2pix_tf.data.sets import ReadImages

LAYOUTS = {
    "pairs": "expected (1) side-by-side images in train/, and optionally val/ and test/, or (2) folders A/ "
    "and B/ (or trainA/ and trainB/, ...) with files of the same names, or (3) side-by-side images in the "
    "folder itself",
    "unpaired": "expected (1) folders trainA/ and trainB/, and optionally testA/ and testB/, or (2) folders "
    "A/ and B/, or (3) side-by-side images as pairs have them",
    "images": "expected (1) images in train/, and optionally val/ and test/, or (2) images in the folder "
    "itself, or (3) pairs, side by side (where every image is twice as wide as high) or in folders A/ and B/",
}
"""How a folder of each kind may look."""

_SPLIT_NAMES = {"train": ("train",), "val": ("val", "validation", "valid"), "test": ("test",)}
# Where the folder doesn't say which image belongs where; the rest is for test.
_TRAIN_SHARE, _VAL_SHARE = 0.8, 0.1
_TO_BE_SPLIT = ""


@dataclasses.dataclass(frozen=True)
class _Item:
    """What is read by one number: an image, or a pair.

    Args:
        name: unique in its set.
        files: the image, or the pair's two or its side-by-side one.
        is_halved: that one file is a pair.
    """

    name: str
    files: tuple[Path, ...]
    is_halved: bool = False


_Sets = tuple[list[_Item], ...]


@dataclasses.dataclass(frozen=True)
class _Survey:
    """Everything that was found out about a folder.

    ``splits`` has two sets where A and B are apart, else one. ``problems`` concern the folder or a pair,
    ``bad_files`` (file to problem) single images; the items of bad files are not in ``splits``.
    """

    layout: str = "none"
    splits: Mapping[str, _Sets] = dataclasses.field(default_factory=dict)
    checked: Mapping[Path, CheckedImage] = dataclasses.field(default_factory=dict)
    bad_files: Mapping[Path, str] = dataclasses.field(default_factory=dict)
    problems: Sequence[str] = ()

    def used(self) -> list[list[_Item]]:
        """The items of all splits, for each set."""
        return [
            [item for items in sets for item in items] for sets in zip(*self.splits.values(), strict=True)
        ]


@dataclasses.dataclass(frozen=True)
class FolderReport:
    """What `check_folder` found.

    Args:
        kind: what it has of what was asked for: pairs, if its images hold two side by side.
        layout: in words.
        counts: the usable images or pairs of each split; A's and B's where these are apart.
        sizes: likewise for each set, how many have each size (height, width), most frequent first.
        channels: of each side.
        bits: 8 or 16, of each side.
        problems: of the folder or of pairs, one line each.
        bad_files: of single images, likewise.
        notes: what may not be meant so.
    """

    kind: Kind
    layout: str
    counts: Mapping[str, tuple[int, ...]]
    sizes: Sequence[Mapping[tuple[int, int], int]]
    channels: tuple[int, ...]
    bits: tuple[int, ...]
    problems: Sequence[str]
    bad_files: Sequence[str]
    notes: Sequence[str]

    def is_good(self, skip_bad_images: bool = False) -> bool:
        """Whether the folder can be trained on."""
        return not self.problems and (skip_bad_images or not self.bad_files)


def open_folder_dataset(
    folder: Path,
    seed: int,
    cache_dir: Path | None,
    kind: Kind = "pairs",
    skip_bad_images: bool = False,
    show_progress: bool = True,
    ranges: Sequence[ValueRange | None] = (None, None),
) -> ImageDataset:
    """Opens a folder in one of the layouts of `LAYOUTS`, after decoding every image once.

    Args:
        folder: the folder.
        seed: decides which images are held out, where the folder doesn't say.
        cache_dir: where it is remembered which files were checked; None checks them every time.
        kind: what is wanted. Images in one folder for each split are side-by-side pairs; for 'images' only
            where all are exactly twice as wide as high, else single ones. Those in folders A and B are paired
            by name for 'pairs', else unpaired.
        skip_bad_images: leave unusable images out, and name them in ``skipped``, instead of failing.
        show_progress: draw a bar when checking takes long.
        ranges: of A's and B's numbers, what becomes the lowest and the highest level, the last one of images
            alone; ``None`` for what the files have: the type's, or of measurements the extremes.

    Returns:
        The data set, of the kind that the folder has: pairs where anything else is wanted of side-by-side
        ones, and unpaired where images are wanted of folders A and B. Its names are paths
        below the split's folder, without suffix, in Unicode form NFC and natural order (2 before 10).

    Raises:
        DataError: nothing, or not everything, of the folder can be used.
        SystemFault: the folder or a file in it can't be read.
    """
    survey = _survey(folder, kind, seed, cache_dir, show_progress)
    problems = [*survey.problems, *([] if skip_bad_images else survey.bad_files.values())]
    if not problems and "train" not in survey.splits:
        problems = [f"{folder}: none of its images to train on can be used; see pix2pix data check {folder}"]
    if problems:
        raise DataError(printable(problems[0] + _and_more(len(problems) - 1, folder)))
    sides = [_sides(items, survey.checked) for items in survey.used()]
    given = iter(ranges[-sum(map(len, sides)) :])
    sides = [tuple(_ranged(side, next(given)) for side in of_set) for of_set in sides]
    return ImageDataset(
        name=printable(folder.resolve().name),
        sides=tuple(side for of_set in sides for side in of_set),
        splits={
            name: tuple(
                Images([item.name for item in items], _reader(items, of_set))
                for items, of_set in zip(sets, sides, strict=True)
            )
            for name, sets in survey.splits.items()
        },
        skipped=[printable(os.fspath(file)) for file in survey.bad_files],
    )


def check_folder(
    folder: Path, seed: int, cache_dir: Path | None, kind: Kind = "pairs", show_progress: bool = True
) -> FolderReport:
    """Finds everything that is wrong with a folder; the arguments are those of `open_folder_dataset`.

    Raises:
        SystemFault: the folder or a file in it can't be read.
    """
    survey = _survey(folder, kind, seed, cache_dir, show_progress)
    used = survey.used()
    sides = [side for items in used for side in _sides(items, survey.checked)]
    sizes = [Counter(_size(item, survey.checked) for item in items) for items in used]
    return FolderReport(
        kind="pairs" if any(item.is_halved for items in used for item in items) else kind,
        layout=survey.layout,
        counts={name: tuple(map(len, sets)) for name, sets in survey.splits.items()},
        sizes=[dict(counted.most_common()) for counted in sizes],
        channels=tuple(side.channels for side in sides),
        bits=tuple(side.bits for side in sides),
        problems=list(map(printable, survey.problems)),
        bad_files=list(map(printable, survey.bad_files.values())),
        notes=list(map(printable, _notes(folder, survey))),
    )


def _notes(folder: Path, survey: _Survey) -> Iterator[str]:
    """Yields what is no mistake, and may not be meant so."""
    items = [item for items in survey.used() for item in items]
    if not items:
        return
    halves = [_size(item, survey.checked) for item in items if item.is_halved]
    if halves and all(height >= 2 * width for height, width in halves):
        yield "no image is wider than high: are they pairs, side by side?"
    if not {"val", "test"} & survey.splits.keys():
        yield "none is held out: samples and figures will be of images that training sees"
    if all(len(items) == 1 for items in survey.splits.get("train", ())):
        yield "there is only one to train on"
    unread = [path for path in _walk(folder, images.is_unread_image) if not _is_named(path, survey.problems)]
    if unread:
        more = f" and {len(unread) - 1} more" if unread[1:] else ""
        yield f"passed over, of a kind that can't be read ({images.KINDS} can): {unread[0]}{more}"


def _is_named(path: Path, problems: Sequence[str]) -> bool:
    return any(problem.startswith(f"{path}: ") for problem in problems)


def likely_kind(folder: Path) -> Kind:
    """Returns 'unpaired' for folders A and B that have no file name in common, else 'pairs'.

    Raises:
        SystemFault: the folder can't be read.
    """
    try:
        _, roots = _find_layout(folder, "pairs")
    except DataError:
        return "pairs"  # checking it will say why it is none
    apart = [[files_by_name(root, []) for root in sides] for sides in roots.values() if len(sides) == 2]
    in_common = any(a.keys() & b.keys() for a, b in apart)
    has_both = any(a and b for a, b in apart)
    return "unpaired" if has_both and not in_common else "pairs"


def _and_more(count: int, folder: Path) -> str:
    if count == 0:
        return ""
    return f" ({count} more {noun(count, 'problem')}: see pix2pix data check {folder})"


def _survey(folder: Path, kind: Kind, seed: int, cache_dir: Path | None, show_progress: bool) -> _Survey:
    try:
        layout, roots = _find_layout(folder, kind)
    except DataError as error:
        return _Survey(problems=[str(error)])
    problems: list[str] = []
    found = {split: _find_items(sides, kind, problems) for split, sides in roots.items()}
    if not problems and not any(found.get("train", found.get(_TO_BE_SPLIT, ()))):
        return _Survey(layout, problems=[f"{folder}: no images to train on; {LAYOUTS[kind]}"])

    every_item = [item for sets in found.values() for items in sets for item in items]
    checked = check_images(
        [file for item in every_item for file in item.files], _index_file(folder, cache_dir), show_progress
    )
    bad_files = {file: problem for file, outcome in checked.items() if (problem := outcome.problem)}
    if kind == "images" and _all_twice_as_wide(every_item, checked):
        layout = layout.replace("images", "side-by-side images", 1)
        found = {
            split: tuple([dataclasses.replace(item, is_halved=True) for item in items] for items in sets)
            for split, sets in found.items()
        }
        every_item = [item for sets in found.values() for items in sets for item in items]
    for item in every_item:
        if not any(file in bad_files for file in item.files):
            bad_files |= _too_small(item, checked)
            problems += _of_other_bands(item, every_item[0], checked)
            problems += _different_sizes(item, checked)
    usable = {
        split: tuple(
            [item for item in items if not any(file in bad_files for file in item.files)] for items in sets
        )
        for split, sets in found.items()
    }
    if _TO_BE_SPLIT in usable:
        divided = [_split_by_hash(items, seed) for items in usable[_TO_BE_SPLIT]]
        usable = {split: tuple(each[split] for each in divided) for split in _SPLIT_NAMES}
    splits = {split: sets for split, sets in usable.items() if all(sets)}
    return _Survey(layout, splits, checked, bad_files, problems)


def _index_file(folder: Path, cache_dir: Path | None) -> Path | None:
    if cache_dir is None:
        return None
    digest = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()
    return cache_dir / f"checked-images-{digest[:16]}.json"


# ---------------------------------------------------------------- which layout


# The folders of each split: one of side-by-side images, or A's and B's.
_Roots = dict[str, tuple[Path, ...]]


def _find_layout(folder: Path, kind: Kind) -> tuple[str, _Roots]:
    """Names the layout of a folder and its splits' folders; raises ``DataError`` if that is not possible."""
    expected = LAYOUTS[kind]
    if not folder.exists():
        raise DataError(f"{folder}: no such folder; check the path, or see pix2pix data list for names")
    if not folder.is_dir():
        raise DataError(f"{folder}: a file, not a folder; {expected}")

    def both(a: Path | None, b: Path | None) -> tuple[Path, ...] | None:
        if a is not None and b is not None:
            return a, b
        if a is not None or b is not None:
            raise DataError(f"{a or b}: the folder of the other side is missing; {expected}")
        return None

    def together(split: str) -> tuple[Path, ...] | None:
        root = _child(folder, split)
        return None if root is None or in_split(split) else (root,)

    def in_split(split: str) -> tuple[Path, ...] | None:
        root = _child(folder, split)
        return None if root is None else both(_child(root, "A"), _child(root, "B"))

    def with_suffix(split: str) -> tuple[Path, ...] | None:
        return both(_child(folder, split + "A"), _child(folder, split + "B"))

    def in_sides(split: str) -> tuple[Path, ...] | None:
        a, b = _child(folder, "A"), _child(folder, "B")
        return None if a is None or b is None else both(_child(a, split), _child(b, split))

    def two_folders() -> _Roots:
        roots = both(_child(folder, "A"), _child(folder, "B"))
        return {} if roots is None or _by_split(in_sides) else {_TO_BE_SPLIT: roots}

    images_together = "images" if kind == "images" else "side-by-side images"
    layouts: dict[str, _Roots] = {
        f"{images_together} in train/, val/, test/": _by_split(together),
        "A/ and B/ in train/, val/, test/": _by_split(in_split),
        "trainA/, trainB/, ...": _by_split(with_suffix),
        "train/, val/, test/ in A/ and B/": _by_split(in_sides),
        "A/ and B/": two_folders(),
        f"{images_together} in one folder": {_TO_BE_SPLIT: (folder,)} if _holds_images(folder) else {},
    }
    found = {layout: roots for layout, roots in layouts.items() if roots}
    if not found:
        raise DataError(f"{folder}: no images in a known layout; {expected}")
    if len(found) > 1:
        raise DataError(f"{folder}: a mixture of layouts ({' and '.join(found)}); {expected}")
    layout, roots = found.popitem()
    if "train" not in roots and _TO_BE_SPLIT not in roots:
        raise DataError(f"{folder}: has {', '.join(roots)} but nothing to train on; {expected}")
    return layout, roots


def _by_split(find: Callable[[str], tuple[Path, ...] | None]) -> _Roots:
    roots: _Roots = {}
    for split, names in _SPLIT_NAMES.items():
        found = [root for name in names if (root := find(name)) is not None]
        if len(found) > 1:
            both = " and ".join(str(root[0]) for root in found)
            raise DataError(f"{both}: both are names of the {split} images; keep one of them")
        if found:
            roots[split] = found[0]
    return roots


def _child(folder: Path, name: str) -> Path | None:
    """The subfolder of that name, in upper or lower case."""
    matches = [folder / entry for entry in _entries(folder) if entry.casefold() == name.casefold()]
    matches = [path for path in matches if path.is_dir()]
    if len(matches) > 1:
        raise DataError(f"{matches[0]} and {matches[1]}: names that differ only in case; rename one of them")
    return matches[0] if matches else None


def _holds_images(folder: Path) -> bool:
    return any(images.is_image_file(path := folder / entry) and path.is_file() for entry in _entries(folder))


def _entries(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise _unreadable(error) from None


def _unreadable(error: OSError) -> SystemFault:
    return SystemFault(
        printable(f"{error.filename}: can't be read ({error.strerror}); check its permissions")
    )


# ---------------------------------------------------------------- which images


def _find_items(roots: tuple[Path, ...], kind: Kind, problems: list[str]) -> _Sets:
    """The sets of one split in natural order of their names; adds what is wrong to ``problems``."""
    files = [files_by_name(root, problems) for root in roots]
    if len(roots) == 1:
        return (_items(files, is_halved=kind != "images"),)
    if kind == "pairs":
        for (root, other), (ours, theirs) in zip(
            itertools.permutations(roots), itertools.permutations(files), strict=True
        ):
            lonely = [name for name in ours if name not in theirs]
            if not lonely:
                continue
            unread = {_name(path, other): path for path in _walk(other, images.is_unread_image)}
            problems += [
                f"{unread[name]}: of a kind that can't be read ({images.KINDS} can); convert it"
                for name in lonely
                if name in unread
            ]
            problems += _without_partner(root, [ours[name] for name in lonely if name not in unread], other)
        return (_items(files),)
    problems += [
        f"{root}: no images, the other side has some; {LAYOUTS[kind]}"
        for root, found in zip(roots, files, strict=True)
        if not found and any(files)
    ]
    return tuple(_items([found]) for found in files)


def _items(files: Sequence[Mapping[str, Path]], is_halved: bool = False) -> list[_Item]:
    names = [name for name in files[0] if all(name in side for side in files)]
    return [
        _Item(name, tuple(side[name] for side in files), is_halved) for name in sorted(names, key=natural_key)
    ]


def files_by_name(root: Path, problems: list[str]) -> dict[str, Path]:
    """Returns all images below a folder by their path in it, without suffix, in the form NFC.

    Two of one name are added to ``problems``. macOS stores names decomposed (NFD): the same Korean or
    accented name, copied from there, has other bytes.
    """
    files: dict[str, Path] = {}
    for path in _walk(root):
        name = _name(path, root)
        if name in files:
            problems.append(f"{files[name]} and {path.name}: two images of one name; keep one of them")
        else:
            files[name] = path
    return files


def _name(path: Path, root: Path) -> str:
    return printable(unicodedata.normalize("NFC", path.relative_to(root).with_suffix("").as_posix()))


def _walk(root: Path, wanted: Callable[[Path], bool] = images.is_image_file) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        raise _unreadable(error) from None

    visited: set[str] = set()  # a link may lead back up
    for folder, subfolders, names in os.walk(root, onerror=fail, followlinks=True):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith((".", "__MACOSX")))
        if (real := os.path.realpath(folder)) in visited:
            subfolders.clear()
            continue
        visited.add(real)
        yield from (path for name in sorted(names) if wanted(path := Path(folder, name)))


def _without_partner(root: Path, files: Sequence[Path], other: Path) -> list[str]:
    if not files:
        return []
    names = sorted((path.relative_to(root).as_posix() for path in files), key=natural_key)
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return [f"{root}: {shown} without an image of the same name in {other}; add it, or delete the partner"]


def _split_by_hash(items: Sequence[_Item], seed: int) -> dict[str, list[_Item]]:
    """Holds about a tenth out for val and for test; images that are added later move none of the others.

    Only where train or val would stay empty, as happens with a handful, one is moved. Of unpaired sides, what
    has one name goes to one split.
    """

    def place(item: _Item) -> float:  # uniform in [0, 1)
        digest = hashlib.sha256(f"{seed}/{item.name}".encode()).digest()
        return int.from_bytes(digest[:6], "big") / 2**48

    ordered = sorted(items, key=place)  # first train, then val, then test
    train_end = bisect.bisect_left(ordered, _TRAIN_SHARE, key=place)
    val_end = bisect.bisect_left(ordered, _TRAIN_SHARE + _VAL_SHARE, key=place)
    train_end = max(1, min(train_end, len(ordered) - 1))
    val_end = max(val_end, train_end + 1)
    chosen = {"train": ordered[:train_end], "val": ordered[train_end:val_end], "test": ordered[val_end:]}
    return {
        split: sorted(members, key=lambda item: natural_key(item.name)) for split, members in chosen.items()
    }


# ---------------------------------------------------------------- what the images are like


def _size(item: _Item, checked: Mapping[Path, CheckedImage]) -> tuple[int, int]:
    image = checked[item.files[0]]
    return image.height, image.width // 2 if item.is_halved else image.width


def _all_twice_as_wide(items: Sequence[_Item], checked: Mapping[Path, CheckedImage]) -> bool:
    """Whether single images are pairs side by side by all signs, so that none is taken for one image."""
    readable = [one for item in items if not (one := checked[item.files[0]]).problem]
    return bool(readable) and all(one.width == 2 * one.height for one in readable)


def _too_small(item: _Item, checked: Mapping[Path, CheckedImage]) -> dict[Path, str]:
    bad_files = {}
    for file in item.files:
        height, width = checked[file].height, checked[file].width
        if item.is_halved and width < 2:
            bad_files[file] = f"{file}: only 1 pixel wide, but must hold two images side by side; replace it"
        elif height * width <= (2 if item.is_halved else 1):
            bad_files[file] = f"{file}: {width}x{height} pixels are too few to learn from; replace it"
    return bad_files


def _of_other_bands(item: _Item, first: _Item, checked: Mapping[Path, CheckedImage]) -> list[str]:
    """What is wrong with an item beside another: grey and RGB go together, other numbers of bands don't."""

    def kind(file: Path) -> tuple[int, bool]:
        return max(3, checked[file].channels), checked[file].values is not None

    return [
        f"{file} has {counted(checked[file].channels, 'channel')}, {other} {checked[other].channels}, or one "
        "is of measurements and the other isn't; give all images of a side the same"
        for file, other in zip(item.files, first.files, strict=False)
        if not checked[other].problem and kind(file) != kind(other)
    ]


def _different_sizes(item: _Item, checked: Mapping[Path, CheckedImage]) -> list[str]:
    sizes = [f"{checked[file].width}x{checked[file].height}" for file in item.files]
    if len(set(sizes)) == 1:
        return []
    a, b = item.files
    return [f"{a} is {sizes[0]} but {b} is {sizes[1]}; give both sides of a pair the same size"]


def _sides(items: Sequence[_Item], checked: Mapping[Path, CheckedImage]) -> tuple[Side, ...]:
    """What the images of a set are like: both halves of a side-by-side one as the whole."""

    def side(at: int) -> Side:
        each = [checked[item.files[at]] for item in items]
        bits: Literal[8, 16] = 16 if any(one.bits == 16 for one in each) else 8
        ranges = [one.values for one in each if one.values is not None]
        low, high = min((one[0] for one in ranges), default=0), max((one[1] for one in ranges), default=0)
        values = (low, max(high, low + 1e-6)) if ranges else None
        return Side(max(one.channels for one in each), bits=bits, values=values)

    sides = tuple(side(at) for at in range(len(items[0].files)))
    return sides * 2 if items[0].is_halved else sides


def _ranged(side: Side, values: ValueRange | None) -> Side:
    return side if values is None else dataclasses.replace(side, bits=16, values=values)


def _reader(items: Sequence[_Item], sides: tuple[Side, ...]) -> ReadImages:
    paths = tf.constant([[os.fsencode(os.path.abspath(file)) for file in item.files] for item in items])
    dtypes = [tf.uint16 if side.bits == 16 else tf.uint8 for side in sides]

    def read_side_by_side(index: tf.Tensor) -> tuple[tf.Tensor, ...]:
        side = sides[0]
        pair = images.load_in_pipeline(paths[index, 0], side.channels, dtypes[0], side.values)
        return split_side_by_side(pair)

    def read_files(index: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return tuple(
            images.load_in_pipeline(paths[index, at], side.channels, dtype, side.values)
            for at, (side, dtype) in enumerate(zip(sides, dtypes, strict=True))
        )

    return read_side_by_side if items[0].is_halved else read_files
