"""A user's own folder of images as a data set of pairs: which layout it has, and what is wrong with it."""

from __future__ import annotations

import bisect
import dataclasses
import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import tensorflow as tf

from pix2pix_tf.data import images
from pix2pix_tf.data.checking import CheckedImage, check_images
from pix2pix_tf.data.pairs import PairDataset, Side, Split, natural_key
from pix2pix_tf.errors import DataError, SystemFault
from pix2pix_tf.files import printable

if TYPE_CHECKING:
    from pix2pix_tf.data.pairs import ReadPair

LAYOUTS = (
    "expected (1) side-by-side images in train/, and optionally val/ and test/, or (2) folders A/ and B/ "
    "(or trainA/ and trainB/, ...) with files of the same names, or (3) side-by-side images in the folder "
    "itself"
)

_SPLIT_NAMES = {"train": ("train",), "val": ("val", "validation", "valid"), "test": ("test",)}
# Where the folder doesn't say which image belongs where; the rest is for test.
_TRAIN_SHARE, _VAL_SHARE = 0.8, 0.1
_TO_BE_SPLIT = ""


@dataclasses.dataclass(frozen=True)
class _Pair:
    """A pair's name and its files: one side-by-side image, or A and B."""

    name: str
    files: tuple[Path, ...]


@dataclasses.dataclass(frozen=True)
class _Survey:
    """Everything that was found out about a folder.

    ``problems`` concern the folder or a pair, ``bad_files`` (file to problem) single images; the pairs of
    bad files are not in ``splits``.
    """

    layout: str = "none"
    splits: Mapping[str, Sequence[_Pair]] = dataclasses.field(default_factory=dict)
    checked: Mapping[Path, CheckedImage] = dataclasses.field(default_factory=dict)
    bad_files: Mapping[Path, str] = dataclasses.field(default_factory=dict)
    problems: Sequence[str] = ()

    @property
    def used(self) -> list[_Pair]:
        return [pair for pairs in self.splits.values() for pair in pairs]


@dataclasses.dataclass(frozen=True)
class FolderReport:
    """What `check_folder` found.

    Args:
        layout: in words.
        counts: the usable pairs of each split.
        sizes: how many usable pairs have each size (height, width) of one side, most frequent first.
        channels: 1 or 3, of A and of B.
        bits: 8 or 16, of A and of B.
        problems: one line each; empty for a folder that can be trained on.
    """

    layout: str
    counts: Mapping[str, int]
    sizes: Mapping[tuple[int, int], int]
    channels: tuple[int, int]
    bits: tuple[int, int]
    problems: Sequence[str]


def open_folder_dataset(
    folder: Path,
    seed: int,
    cache_dir: Path | None,
    skip_bad_images: bool = False,
    show_progress: bool = True,
) -> PairDataset:
    """Opens a folder in one of the layouts of `LAYOUTS`, after decoding every image once.

    Args:
        folder: the folder.
        seed: decides which images are held out, where the folder doesn't say.
        cache_dir: where it is remembered which files were checked; None checks them every time.
        skip_bad_images: leave unusable images out, and name them in ``skipped``, instead of failing.
        show_progress: draw a bar when checking takes long.

    Returns:
        The data set. Its names are paths below the split's folder, without suffix, in Unicode form NFC
        and natural order (2 before 10).

    Raises:
        DataError: nothing, or not everything, of the folder can be used.
        SystemFault: the folder or a file in it can't be read.
    """
    survey = _survey(folder, seed, cache_dir, show_progress)
    problems = [*survey.problems, *([] if skip_bad_images else survey.bad_files.values())]
    if not problems and "train" not in survey.splits:
        problems = [f"{folder}: none of its images to train on can be used; see pix2pix data check {folder}"]
    if problems:
        raise DataError(printable(problems[0] + _and_more(len(problems) - 1, folder)))
    sides = _sides(survey)
    return PairDataset(
        name=printable(folder.resolve().name),
        sides=sides,
        splits={
            name: Split([pair.name for pair in pairs], _reader(pairs, sides))
            for name, pairs in survey.splits.items()
        },
        skipped=[printable(os.fspath(file)) for file in survey.bad_files],
    )


def check_folder(folder: Path, seed: int, cache_dir: Path | None, show_progress: bool = True) -> FolderReport:
    """Finds everything that is wrong with a folder; the arguments are those of `open_folder_dataset`.

    Raises:
        SystemFault: the folder or a file in it can't be read.
    """
    survey = _survey(folder, seed, cache_dir, show_progress)
    a, b = _sides(survey)
    sizes = Counter(_side_size(pair, survey.checked) for pair in survey.used)
    return FolderReport(
        layout=survey.layout,
        counts={name: len(pairs) for name, pairs in survey.splits.items()},
        sizes=dict(sizes.most_common()),
        channels=(a.channels, b.channels),
        bits=(a.bits, b.bits),
        problems=[printable(problem) for problem in (*survey.problems, *survey.bad_files.values())],
    )


def _and_more(count: int, folder: Path) -> str:
    if count == 0:
        return ""
    problems = "problem" if count == 1 else "problems"
    return f" ({count} more {problems}: see pix2pix data check {folder})"


def _survey(folder: Path, seed: int, cache_dir: Path | None, show_progress: bool) -> _Survey:
    try:
        layout, roots = _find_layout(folder)
    except DataError as error:
        return _Survey(problems=[str(error)])
    problems: list[str] = []
    found = {split: _find_pairs(root, problems) for split, root in roots.items()}
    if not problems and not found.get("train", found.get(_TO_BE_SPLIT)):
        return _Survey(layout, problems=[f"{folder}: no images to train on; {LAYOUTS}"])

    every_pair = [pair for pairs in found.values() for pair in pairs]
    checked = check_images(
        [file for pair in every_pair for file in pair.files], _index_file(folder, cache_dir), show_progress
    )
    bad_files = {file: problem for file, outcome in checked.items() if (problem := outcome.problem)}
    for pair in every_pair:
        if not any(file in bad_files for file in pair.files):
            bad_files |= _too_small(pair, checked)
            problems += _different_sizes(pair, checked)
    usable = {
        split: [pair for pair in pairs if not any(file in bad_files for file in pair.files)]
        for split, pairs in found.items()
    }
    if _TO_BE_SPLIT in usable:
        usable = _split_by_hash(usable[_TO_BE_SPLIT], seed)
    splits = {split: pairs for split, pairs in usable.items() if pairs}
    return _Survey(layout, splits, checked, bad_files, problems)


def _index_file(folder: Path, cache_dir: Path | None) -> Path | None:
    if cache_dir is None:
        return None
    digest = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()
    return cache_dir / f"checked-images-{digest[:16]}.json"


# ---------------------------------------------------------------- which layout


# The folders of each split: one of side-by-side images, or A's and B's.
_Roots = dict[str, tuple[Path, ...]]


def _find_layout(folder: Path) -> tuple[str, _Roots]:
    """Names the layout of a folder and its splits' folders; raises ``DataError`` if that is not possible."""
    if not folder.exists():
        raise DataError(f"{folder}: no such folder; check the path, or see pix2pix data list for names")
    if not folder.is_dir():
        raise DataError(f"{folder}: a file, not a folder; {LAYOUTS}")

    def side_by_side(split: str) -> tuple[Path, ...] | None:
        root = _child(folder, split)
        return None if root is None or in_split(split) else (root,)

    def in_split(split: str) -> tuple[Path, ...] | None:
        root = _child(folder, split)
        return None if root is None else _both(_child(root, "A"), _child(root, "B"))

    def with_suffix(split: str) -> tuple[Path, ...] | None:
        return _both(_child(folder, split + "A"), _child(folder, split + "B"))

    def in_sides(split: str) -> tuple[Path, ...] | None:
        a, b = _child(folder, "A"), _child(folder, "B")
        return None if a is None or b is None else _both(_child(a, split), _child(b, split))

    def two_folders() -> _Roots:
        roots = _both(_child(folder, "A"), _child(folder, "B"))
        return {} if roots is None or _by_split(in_sides) else {_TO_BE_SPLIT: roots}

    layouts: dict[str, _Roots] = {
        "side-by-side images in train/, val/, test/": _by_split(side_by_side),
        "A/ and B/ in train/, val/, test/": _by_split(in_split),
        "trainA/, trainB/, ...": _by_split(with_suffix),
        "train/, val/, test/ in A/ and B/": _by_split(in_sides),
        "A/ and B/": two_folders(),
        "side-by-side images in one folder": {_TO_BE_SPLIT: (folder,)} if _holds_images(folder) else {},
    }
    found = {layout: roots for layout, roots in layouts.items() if roots}
    if not found:
        raise DataError(f"{folder}: no images in a known layout; {LAYOUTS}")
    if len(found) > 1:
        raise DataError(f"{folder}: a mixture of layouts ({' and '.join(found)}); {LAYOUTS}")
    layout, roots = found.popitem()
    if "train" not in roots and _TO_BE_SPLIT not in roots:
        raise DataError(f"{folder}: has {', '.join(roots)} but nothing to train on; {LAYOUTS}")
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


def _both(a: Path | None, b: Path | None) -> tuple[Path, ...] | None:
    if a is not None and b is not None:
        return a, b
    if a is not None or b is not None:
        raise DataError(f"{a or b}: the folder with the other side of the pairs is missing; {LAYOUTS}")
    return None


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


# ---------------------------------------------------------------- which pairs


def _find_pairs(roots: tuple[Path, ...], problems: list[str]) -> list[_Pair]:
    """The pairs of one split in natural order of their names; adds what is wrong to ``problems``."""
    files = [_files_by_name(root, problems) for root in roots]
    if len(files) == 2:
        a, b = files
        problems += _without_partner(roots[0], [a[name] for name in a if name not in b], roots[1])
        problems += _without_partner(roots[1], [b[name] for name in b if name not in a], roots[0])
    names = [name for name in files[0] if all(name in side for side in files)]
    return [_Pair(name, tuple(side[name] for side in files)) for name in sorted(names, key=natural_key)]


def _files_by_name(root: Path, problems: list[str]) -> dict[str, Path]:
    """All images below a folder by their path in it, without suffix, in the form NFC.

    macOS stores names decomposed (NFD): the same Korean or accented name, copied from there, has other bytes.
    """
    files: dict[str, Path] = {}
    for path in _walk(root):
        name = path.relative_to(root).with_suffix("").as_posix()
        name = printable(unicodedata.normalize("NFC", name))
        if name in files:
            problems.append(f"{files[name]} and {path.name}: two images of one name; keep one of them")
        else:
            files[name] = path
    return files


def _walk(root: Path) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        raise _unreadable(error) from None

    visited: set[str] = set()  # a link may lead back up
    for folder, subfolders, names in os.walk(root, onerror=fail, followlinks=True):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith((".", "__MACOSX")))
        if (real := os.path.realpath(folder)) in visited:
            subfolders.clear()
            continue
        visited.add(real)
        yield from (path for name in sorted(names) if images.is_image_file(path := Path(folder, name)))


def _without_partner(root: Path, files: Sequence[Path], other: Path) -> list[str]:
    if not files:
        return []
    names = sorted((path.relative_to(root).as_posix() for path in files), key=natural_key)
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return [f"{root}: {shown} without an image of the same name in {other}; add it, or delete the partner"]


def _split_by_hash(pairs: Sequence[_Pair], seed: int) -> dict[str, list[_Pair]]:
    """Holds about a tenth out for val and for test; pairs that are added later move none of the others.

    Only where train or val would stay empty, as happens with a handful of pairs, one pair is moved.
    """

    def place(pair: _Pair) -> float:  # uniform in [0, 1)
        digest = hashlib.sha256(f"{seed}/{pair.name}".encode()).digest()
        return int.from_bytes(digest[:6], "big") / 2**48

    ordered = sorted(pairs, key=place)  # first train, then val, then test
    train_end = bisect.bisect_left(ordered, _TRAIN_SHARE, key=place)
    val_end = bisect.bisect_left(ordered, _TRAIN_SHARE + _VAL_SHARE, key=place)
    train_end = max(1, min(train_end, len(ordered) - 1))
    val_end = max(val_end, train_end + 1)
    chosen = {"train": ordered[:train_end], "val": ordered[train_end:val_end], "test": ordered[val_end:]}
    return {
        split: sorted(members, key=lambda pair: natural_key(pair.name)) for split, members in chosen.items()
    }


# ---------------------------------------------------------------- what the images are like


def _side_size(pair: _Pair, checked: Mapping[Path, CheckedImage]) -> tuple[int, int]:
    image = checked[pair.files[0]]
    return image.height, image.width if len(pair.files) == 2 else image.width // 2


def _too_small(pair: _Pair, checked: Mapping[Path, CheckedImage]) -> dict[Path, str]:
    bad_files = {}
    for file in pair.files:
        height, width = checked[file].height, checked[file].width
        if len(pair.files) == 1 and width < 2:
            bad_files[file] = f"{file}: only 1 pixel wide, but must hold two images side by side; replace it"
        elif height * width <= 3 - len(pair.files):
            bad_files[file] = f"{file}: {width}x{height} pixels are too few to learn from; replace it"
    return bad_files


def _different_sizes(pair: _Pair, checked: Mapping[Path, CheckedImage]) -> list[str]:
    sizes = [f"{checked[file].width}x{checked[file].height}" for file in pair.files]
    if len(set(sizes)) == 1:
        return []
    a, b = pair.files
    return [f"{a} is {sizes[0]} but {b} is {sizes[1]}; give both sides of a pair the same size"]


def _sides(survey: _Survey) -> tuple[Side, Side]:
    def side(at: int) -> Side:
        files = [survey.checked[pair.files[min(at, len(pair.files) - 1)]] for pair in survey.used]
        channels = max((file.channels for file in files), default=3)
        bits = max((file.bits for file in files), default=8)
        return Side(channels, bits=16 if bits == 16 else 8)

    return side(0), side(1)


def _reader(pairs: Sequence[_Pair], sides: tuple[Side, Side]) -> ReadPair:
    paths = tf.constant([[os.fsencode(os.path.abspath(file)) for file in pair.files] for pair in pairs])
    dtypes = [tf.uint16 if side.bits == 16 else tf.uint8 for side in sides]

    def read_side_by_side(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        data = tf.io.read_file(paths[index, 0])
        return images.split_side_by_side(images.decode_image(data, sides[0].channels, dtypes[0]))

    def read_two_files(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        a, b = tf.io.read_file(paths[index, 0]), tf.io.read_file(paths[index, 1])
        return (
            images.decode_image(a, sides[0].channels, dtypes[0]),
            images.decode_image(b, sides[1].channels, dtypes[1]),
        )

    return read_two_files if paths.shape[1] == 2 else read_side_by_side
