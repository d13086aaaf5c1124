"""A user's own folder of images as a data set: which layout it has, and what is wrong with it."""

from __future__ import annotations

import bisect
import dataclasses
import functools
import hashlib
import itertools
import os
import re
import statistics
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import tensorflow as tf

from pix2pix_tf.config import Layout
from pix2pix_tf.data import images
from pix2pix_tf.data.checking.decoding import CheckedImage, check_images
from pix2pix_tf.data.pixels import split_side_by_side
from pix2pix_tf.data.rasters import Numbers, ValueRange, doubts, merged
from pix2pix_tf.data.sets import ImageDataset, Images, Kind, Side, natural_key
from pix2pix_tf.errors import DataError, SystemFault
from pix2pix_tf.files import printable
from pix2pix_tf.wording import counted, noun, quoted

if TYPE_CHECKING:
    from pix2pix_tf.data.sets import ReadImages

LAYOUTS = {
    "pairs": "expected (1) side-by-side images in train/, and optionally val/ and test/, or (2) folders A/ "
    "and B/ (or trainA/ and trainB/, ...) with files of the same names, or (3) in the folder itself "
    "side-by-side images, or images NAME_A and NAME_B",
    "unpaired": "expected (1) folders trainA/ and trainB/, and optionally testA/ and testB/, or (2) folders "
    "A/ and B/, or (3) side-by-side images as pairs have them",
    "images": "expected (1) images in train/, and optionally val/ and test/, or (2) images in the folder "
    "itself, or (3) pairs, side by side (where every image is twice as wide as high) or in folders A/ and B/",
}
"""How a folder of each kind may look."""

_SPLIT_NAMES = {"train": ("train",), "val": ("val", "validation", "valid"), "test": ("test",)}
SHARES = (0.1, 0.1)
"""Of val and test, where the folder doesn't say which image belongs where."""
FEWEST_HELD_OUT = 10  # images that models can be compared by
ONE_NODATA_LEVEL = "give all images of a side one nodata level, or a range: --output-range, or --input-range"
_TO_BE_SPLIT = ""
_ENDING = re.compile(r"(.+)[_-]([AB])", re.IGNORECASE)
_LITTER = (  # folders that systems add, besides hidden ones: of thumbnails, deleted files, snapshots
    "@eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "$recycle.bin",
    "system volume information", "lost+found", "__macosx", "__pycache__",
)  # fmt: skip
_FEWEST_SEAMS = 5  # that tell photos from pairs
_SEAMLESS = 1.6  # times the step between neighboring columns: photos have 1, pairs 4 and more
_FEWEST_LEVELS = 16  # of a range that whole numbers are spread over


@dataclasses.dataclass(frozen=True)
class Item:
    """What is read by one number: an image, or a pair.

    Args:
        name: unique in its set.
        files: the image, or the pair's two or its side-by-side one.
        is_halved: that one file is a pair.
    """

    name: str
    files: tuple[Path, ...]
    is_halved: bool = False


_Sets = tuple[list[Item], ...]


@dataclasses.dataclass(frozen=True)
class Problem:
    """Why a folder, a pair or an image can't be used.

    Args:
        code: what kind of problem, in a word or two: ``missing-partner``.
        files: those concerned; the folder, where it is the whole.
        what: what is wrong, and where.
        fix: what to do.
    """

    code: str
    files: tuple[Path, ...]
    what: str
    fix: str = ""

    @property
    def line(self) -> str:
        """Both in one line."""
        return f"{self.what}; {self.fix}" if self.fix else self.what


class _LayoutError(Exception):
    """The folder has none of the layouts, or several: what is wrong, and what to do."""


@dataclasses.dataclass(frozen=True)
class Survey:
    """Everything that was found out about a folder.

    Args:
        layout: in words.
        splits: the usable items of each; two sets where A and B are apart, else one.
        checked: what decoding each file has shown.
        bad_files: single images that can't be used; their items are not in ``splits``.
        problems: of the folder or of pairs.
        is_split_here: whether the folder leaves open which images are held out.
        is_seamless: whether pairs side by side look like single photos.
    """

    layout: str = ""
    splits: Mapping[str, _Sets] = dataclasses.field(default_factory=dict)
    checked: Mapping[Path, CheckedImage] = dataclasses.field(default_factory=dict)
    bad_files: Mapping[Path, Problem] = dataclasses.field(default_factory=dict)
    problems: Sequence[Problem] = ()
    is_split_here: bool = False
    is_seamless: bool = False

    def used(self) -> list[list[Item]]:
        """Returns the items of all splits, for each set."""
        return [
            [item for items in sets for item in items] for sets in zip(*self.splits.values(), strict=True)
        ]


def open_folder_dataset(
    folder: Path,
    seed: int,
    cache_dir: Path | None,
    kind: Kind = "pairs",
    skip_bad_images: bool = False,
    show_progress: bool = True,
    ranges: Sequence[ValueRange | None] = (None, None),
    channels: Sequence[int | None] = (None, None),
    layout: Layout = "auto",
    shares: tuple[float, float] = SHARES,
    ignored: tuple[float | None, float | None] = (None, None),
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
        channels: that were asked for of A and B; where it is one more than pictures have, alpha is a band.
        layout: 'side-by-side' or 'folders' where it is known how pairs lie; 'auto' refuses photos that don't
            look like two images side by side.
        shares: of val and test, where the folder doesn't say which image belongs where.
        ignored: numbers of the pixels without a value, in A's and B's measurements and gray images.

    Returns:
        The data set, of the kind that the folder has: pairs where anything else is wanted of side-by-side
        ones, and unpaired where images are wanted of folders A and B. Its names are paths
        below the split's folder, without suffix, in Unicode form NFC and natural order (2 before 10).

    Raises:
        DataError: nothing, or not everything, of the folder can be used.
        SystemFault: the folder or a file in it can't be read.
    """
    survey, sides = examined(
        folder, seed, cache_dir, kind, skip_bad_images, show_progress, layout, shares, ignored, ranges
    )
    sides = ranged(sides, ranges, channels, folder)
    return ImageDataset(
        name=printable(folder.resolve().name),
        sides=tuple(side for of_set in sides for side in of_set),
        splits={
            name: tuple(
                Images(
                    [item.name for item in items],
                    _reader(items, of_set),
                    functools.partial(digests_of, items, survey.checked),
                )
                for items, of_set in zip(sets, sides, strict=True)
            )
            for name, sets in survey.splits.items()
        },
        skipped=[printable(os.fspath(file)) for file in survey.bad_files],
        used=frozenset(("split_seed", "val_share", "test_share") if survey.is_split_here else ()),
        notes=[
            f"{doubt.what.format(side=name)}; {doubt.fix}"
            for name, numbers, side in numbers_of_sides(survey, sides)
            for doubt in doubts(numbers, side.values or (0, 2**side.bits - 1))
        ],
    )


def examined(
    folder: Path,
    seed: int,
    cache_dir: Path | None,
    kind: Kind = "pairs",
    skip_bad_images: bool = False,
    show_progress: bool = True,
    layout: Layout = "auto",
    shares: tuple[float, float] = SHARES,
    ignored: tuple[float | None, float | None] = (None, None),
    ranges: Sequence[ValueRange | None] = (None, None),
) -> tuple[Survey, list[tuple[Side, ...]]]:
    """Returns what is in a folder that can be used, and the sides of each of its sets.

    The arguments are those of `open_folder_dataset`.

    Raises:
        DataError, SystemFault: as there.
    """
    survey = survey_folder(
        folder,
        seed,
        cache_dir,
        kind,
        show_progress,
        layout=layout,
        shares=shares,
        ignored=ignored,
        ranges=ranges,
    )
    problems = [*survey.problems, *([] if skip_bad_images else survey.bad_files.values())]
    if problems:
        raise DataError(printable(problems[0].line + _and_more(len(problems) - 1, folder)))
    if not survey.splits:
        raise DataError(printable(f"{folder}: none of its images can be used; see {_check(folder)}"))
    if survey.is_seamless:
        raise DataError(
            printable(
                f"{folder}: its images look like photos, not like pairs: the left half goes on in the right "
                "one; give --layout side-by-side if they are pairs, else a --task that makes pairs of photos"
            )
        )
    return survey, [sides_of(items, survey.checked) for items in survey.used()]


def likely_kind(folder: Path) -> Kind:
    """Returns 'unpaired' for folders A and B that have no file name in common, else 'pairs'.

    Raises:
        SystemFault: the folder can't be read.
    """
    try:
        _, roots = _find_layout(folder, "pairs")
    except _LayoutError:
        return "pairs"  # checking it will say why it is none
    apart = [[files_by_name(root)[0] for root in sides] for sides in roots.values() if len(sides) == 2]
    in_common = any(a.keys() & b.keys() for a, b in apart)
    has_both = any(a and b for a, b in apart)
    return "unpaired" if has_both and not in_common else "pairs"


def _and_more(count: int, folder: Path) -> str:
    return f" ({count} more {noun(count, 'problem')}: see {_check(folder)})" if count else ""


def _check(folder: Path) -> str:
    return f"pix2pix data check {quoted(folder)}"


def survey_folder(
    folder: Path,
    seed: int,
    cache_dir: Path | None,
    kind: Kind = "pairs",
    show_progress: bool = True,
    with_looks: bool = False,
    layout: Layout = "auto",
    shares: tuple[float, float] = SHARES,
    ignored: tuple[float | None, float | None] = (None, None),
    ranges: Sequence[ValueRange | None] = (None, None),
) -> Survey:
    """Finds out everything about a folder.

    The arguments are those of `open_folder_dataset`; ``with_looks`` adds what every image looks like.

    Raises:
        SystemFault: the folder or a file in it can't be read.
    """
    try:
        found_layout, roots = _find_layout(folder, kind, layout)
    except _LayoutError as error:
        return Survey(problems=[Problem("layout", (folder,), *error.args)])
    problems: list[Problem] = []
    files_of = {split: [_files(root, problems) for root in sides] for split, sides in roots.items()}
    if layout == "auto" and kind != "images" and all(len(sides) == 1 for sides in roots.values()):
        apart = {split: _by_ending(files) for split, [files] in files_of.items()}
        if all(apart.values()):
            roots, files_of = {split: sides * 2 for split, sides in roots.items()}, apart
            found_layout = found_layout.replace("side-by-side images", "NAME_A and NAME_B")
    found = {split: _find_items(sides, files_of[split], kind, problems) for split, sides in roots.items()}
    if not problems and not any(map(any, found.values())):
        nothing = Problem("layout", (folder,), f"{folder}: no images", _instead(folder, kind))
        return Survey(found_layout, problems=[nothing])

    every_item = [item for sets in found.values() for items in sets for item in items]
    if all(len(of_split) == 1 for of_split in roots.values()):  # one file has both sides, or the only one
        ignored = (ignored[0] if ignored[1] is None else ignored[1],) * 2
    files = {
        file: ignored[number + at]
        for sets in found.values()
        for number, items in enumerate(sets)
        for item in items
        for at, file in enumerate(item.files)
    }
    checked = check_images(files, _index_file(folder, cache_dir), show_progress, with_looks)
    bad_files = {
        file: Problem("unreadable", (file,), outcome.problem)
        for file, outcome in checked.items()
        if outcome.problem
    }
    is_seamless = layout == "auto" and _is_seamless(every_item, checked)
    seem_paired = layout == "side-by-side" or (not is_seamless and _all_twice_as_wide(every_item, checked))
    if kind == "images" and seem_paired:
        found_layout = found_layout.replace("images", "side-by-side images", 1)
        found = {
            split: tuple([dataclasses.replace(item, is_halved=True) for item in items] for items in sets)
            for split, sets in found.items()
        }
        every_item = [item for sets in found.values() for items in sets for item in items]
    for item in every_item:
        if not any(file in bad_files for file in item.files):
            bad_files |= _too_small(item, checked)
            problems += _different_sizes(item, checked)
    sets_of_all = list(zip(*found.values(), strict=True))
    for number, sets in enumerate(sets_of_all):
        of_set = [item for items in sets for item in items]
        problems += [problem for item in of_set for problem in _of_other_bands(item, of_set[0], checked)]
        problems += _of_other_nodata(of_set, checked, ranges[number:][:1] if sets_of_all[1:] else ranges)
    usable = {
        split: tuple(
            [item for item in items if not any(file in bad_files for file in item.files)] for items in sets
        )
        for split, sets in found.items()
    }
    if _TO_BE_SPLIT in usable:
        sets = usable[_TO_BE_SPLIT]
        fewest = [1 if sets[1:] else min(FEWEST_HELD_OUT, max(1, len(items) // 5)) for items in sets]
        divided = [_split_by_hash(*each, seed, *shares) for each in zip(sets, fewest, strict=True)]
        usable = {split: tuple(each[split] for each in divided) for split in _SPLIT_NAMES}
    splits = {split: sets for split, sets in usable.items() if all(sets)}
    is_seamless = is_seamless and any(item.is_halved for item in every_item)
    return Survey(found_layout, splits, checked, bad_files, problems, _TO_BE_SPLIT in found, is_seamless)


def _index_file(folder: Path, cache_dir: Path | None) -> Path | None:
    if cache_dir is None:
        return None
    digest = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()
    return cache_dir / f"checked-images-{digest[:16]}.json"


# ---------------------------------------------------------------- which layout


# The folders of each split: one of side-by-side images, or A's and B's.
_Roots = dict[str, tuple[Path, ...]]


def _find_layout(folder: Path, kind: Kind, wanted: Layout = "auto") -> tuple[str, _Roots]:
    """Names the layout of a folder and its splits' folders; raises `_LayoutError` if that is not possible."""
    expected = LAYOUTS[kind]
    if not folder.exists():
        raise _LayoutError(
            f"{folder}: no such folder", "check the path, or see 'pix2pix data list' for names"
        )
    if not folder.is_dir():
        raise _LayoutError(f"{folder}: a file, not a folder", expected)

    def both(a: Path | None, b: Path | None) -> tuple[Path, ...] | None:
        if a is not None and b is not None:
            return a, b
        if a is not None or b is not None:
            raise _LayoutError(f"{a or b}: the folder of the other side is missing", expected)
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
    found = {
        layout: roots
        for layout, roots in layouts.items()
        if roots
        and (wanted == "auto" or (wanted == "folders") == all(len(root) == 2 for root in roots.values()))
    }
    if not found:
        raise _LayoutError(f"{folder}: no images in a known layout", _instead(folder, kind))
    if len(found) > 1:
        raise _LayoutError(
            f"{folder}: a mixture of layouts ({' and '.join(found)})", f"{expected}; --layout chooses"
        )
    return found.popitem()


def _instead(folder: Path, kind: Kind) -> str:
    """What to do about a folder without images that can be read."""
    unread = next(walk(folder, images.is_unread_image), None)
    if unread is None:
        return LAYOUTS[kind]
    return f"{unread.name} is of a kind that can't be read ({images.KINDS} can); {images.conversion(unread)}"


def _by_split(find: Callable[[str], tuple[Path, ...] | None]) -> _Roots:
    roots: _Roots = {}
    for split, names in _SPLIT_NAMES.items():
        found = [root for name in names if (root := find(name)) is not None]
        if len(found) > 1:
            both = " and ".join(str(root[0]) for root in found)
            raise _LayoutError(f"{both}: both are names of the {split} images", "keep one of them")
        if found:
            roots[split] = found[0]
    return roots


def _child(folder: Path, name: str) -> Path | None:
    """The subfolder of that name, in upper or lower case."""
    matches = [folder / entry for entry in _entries(folder) if entry.casefold() == name.casefold()]
    matches = [path for path in matches if path.is_dir()]
    if len(matches) > 1:
        raise _LayoutError(
            f"{matches[0]} and {matches[1]}: names that differ only in case", "rename one of them"
        )
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


def _files(root: Path, problems: list[Problem]) -> dict[str, Path]:
    files, doubles = files_by_name(root)
    problems += doubles
    return files


def _by_ending(files: Mapping[str, Path]) -> list[dict[str, Path]]:
    """Returns A's and B's images of one folder where all names end in _A or _B, else nothing."""
    found = [(_ENDING.fullmatch(name), path) for name, path in files.items()]
    sides = [{match[1]: path for match, path in found if match and match[2].upper() == side} for side in "AB"]
    return sides if all(sides) and all(match for match, _ in found) else []


def _find_items(
    roots: tuple[Path, ...], files: Sequence[dict[str, Path]], kind: Kind, problems: list[Problem]
) -> _Sets:
    """The sets of one split in natural order of their names; adds what is wrong to ``problems``."""
    if len(roots) == 1:
        return (_items(files, is_halved=kind != "images"),)
    if kind == "pairs":
        for (root, other), (ours, theirs) in zip(
            itertools.permutations(roots), itertools.permutations(files), strict=True
        ):
            lonely = {name: path for name, path in ours.items() if name not in theirs}
            has_pairs = len(lonely) < len(ours) or not theirs
            fix = "add it, or delete the partner"
            if not has_pairs:
                fix = "give both images of a pair one name, or learn without pairs: --model cyclegan"
            problems += _without_partner(root, lonely, other, fix)
        return (_items(files),)
    problems += [
        Problem("layout", (root,), f"{root}: no images, the other side has some", _instead(root, kind))
        for root, found in zip(roots, files, strict=True)
        if not found and any(files)
    ]
    return tuple(_items([found]) for found in files)


def _items(files: Sequence[Mapping[str, Path]], is_halved: bool = False) -> list[Item]:
    names = [name for name in files[0] if all(name in side for side in files)]
    return [
        Item(name, tuple(side[name] for side in files), is_halved) for name in sorted(names, key=natural_key)
    ]


def files_by_name(root: Path) -> tuple[dict[str, Path], list[Problem]]:
    """Finds all images below a folder.

    macOS stores names decomposed (NFD): the same Korean or accented name, copied from there, has other bytes.

    Returns:
        The files by their path in the folder, without suffix, in the form NFC; and those whose name another
        has already.
    """
    files: dict[str, Path] = {}
    doubles = []
    for path in walk(root):
        name = _name(path, root)
        if name in files:
            what = f"{files[name]} and {path.name}: two images of one name"
            doubles.append(Problem("same-name", (files[name], path), what, "keep one of them"))
        else:
            files[name] = path
    return files, doubles


def _name(path: Path, root: Path) -> str:
    return printable(unicodedata.normalize("NFC", path.relative_to(root).with_suffix("").as_posix()))


def walk(root: Path, wanted: Callable[[Path], bool] = images.is_image_file) -> Iterator[Path]:
    """Yields the files below a folder that are wanted, in an order that is always the same.

    Raises:
        SystemFault: a folder can't be read.
    """

    def fail(error: OSError) -> None:
        raise _unreadable(error) from None

    visited: set[str] = set()  # a link may lead back up
    for folder, subfolders, names in os.walk(root, onerror=fail, followlinks=True):
        subfolders[:] = sorted(
            name for name in subfolders if not name.startswith(".") and name.casefold() not in _LITTER
        )
        if (real := os.path.realpath(folder)) in visited:
            subfolders.clear()
            continue
        visited.add(real)
        yield from (path for name in sorted(names) if wanted(path := Path(folder, name)))


def _without_partner(root: Path, lonely: Mapping[str, Path], other: Path, fix: str) -> list[Problem]:
    """What is wrong with images of one side that the other has no readable image for."""
    if not lonely:
        return []
    unread = {
        _name(path.with_suffix("") if path.suffix == ".gz" else path, other): path
        for path in walk(other, images.is_unread_image)
    }
    problems = [
        Problem(
            "unread-kind",
            (unread[name],),
            f"{unread[name]}: of a kind that can't be read ({images.KINDS} can)",
            images.conversion(unread[name]),
        )
        for name in lonely
        if name in unread
    ]
    files = [path for name, path in lonely.items() if name not in unread]
    if not files:
        return problems
    names = sorted((path.relative_to(root).as_posix() for path in files), key=natural_key)
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    what = f"{root}: {shown} without an image of the same name in {other}"
    return [*problems, Problem("missing-partner", tuple(files), what, fix)]


def _split_by_hash(
    items: Sequence[Item], fewest: int, seed: int, val_share: float, test_share: float
) -> dict[str, list[Item]]:
    """Holds about these shares out, and at least ``fewest`` for val where it has a share.

    The hash of a name decides, so images that are added later move none of the others, but for those that val
    took from train to have enough. Of unpaired sides, what has one name goes to one split.
    """

    def place(item: Item) -> float:  # uniform in [0, 1)
        digest = hashlib.sha256(f"{seed}/{item.name}".encode()).digest()
        return int.from_bytes(digest[:6], "big") / 2**48

    ordered = sorted(items, key=place)  # first train, then val, then test
    val_end = bisect.bisect_left(ordered, 1 - test_share, key=place)
    train_end = bisect.bisect_left(ordered, 1 - test_share - val_share, key=place)
    fewest = fewest if val_share else 0
    train_end = max(1, min(train_end, val_end - fewest))
    val_end = max(val_end, train_end + fewest)
    chosen = {"train": ordered[:train_end], "val": ordered[train_end:val_end], "test": ordered[val_end:]}
    return {
        split: sorted(members, key=lambda item: natural_key(item.name)) for split, members in chosen.items()
    }


# ---------------------------------------------------------------- what the images are like


def _all_twice_as_wide(items: Sequence[Item], checked: Mapping[Path, CheckedImage]) -> bool:
    """Whether single images are pairs side by side by all signs, so that none is taken for one image."""
    readable = [one for item in items if not (one := checked[item.files[0]]).problem]
    return bool(readable) and all(one.width == 2 * one.height for one in readable)


def _is_seamless(items: Sequence[Item], checked: Mapping[Path, CheckedImage]) -> bool:
    """Whether single files look like photos, and not like pairs side by side."""
    every = [checked[item.files[0]] for item in items]
    known = [one.seam for one in every if one.seam is not None]
    return 2 * len(known) >= max(len(every), 2 * _FEWEST_SEAMS) and statistics.median(known) < _SEAMLESS


def _too_small(item: Item, checked: Mapping[Path, CheckedImage]) -> dict[Path, Problem]:
    lines = {}
    for file in item.files:
        height, width = checked[file].height, checked[file].width
        if item.is_halved and width < 2:
            lines[file] = f"{file}: only 1 pixel wide, but must hold two images side by side"
        elif height * width <= (2 if item.is_halved else 1):
            lines[file] = f"{file}: {width}x{height} pixels are too few to learn from"
    return {file: Problem("too-few-pixels", (file,), line, "replace it") for file, line in lines.items()}


def _of_other_bands(item: Item, first: Item, checked: Mapping[Path, CheckedImage]) -> list[Problem]:
    """What is wrong with an item beside another: grey and RGB go together, other numbers of bands don't."""

    def kind(file: Path) -> tuple[int, bool]:
        return max(3, checked[file].channels), checked[file].values is not None

    def words(file: Path) -> str:
        what = "levels" if checked[file].values is None else "measurements"
        return f"{counted(checked[file].channels, 'channel')} of {what}"

    return [
        Problem(
            "other-bands",
            (file, other),
            f"{file} has {words(file)}, {other} {words(other)}",
            "give all images of a side the same",
        )
        for file, other in zip(item.files, first.files, strict=False)
        if not (checked[file].problem or checked[other].problem) and kind(file) != kind(other)
    ]


def _of_other_nodata(
    items: Sequence[Item], checked: Mapping[Path, CheckedImage], ranges: Sequence[ValueRange | None]
) -> list[Problem]:
    """Refuses levels of one side that stand for missing pixels in one file and for values in another.

    With a range all missing pixels get level 0.
    """
    problems = []
    of_sides = list(zip(*(item.files for item in items), strict=False))
    for at, of_side in enumerate(of_sides):
        own = ranges[at:][:1] if of_sides[1:] else ranges[-1:]
        if None not in (ranges if items[0].is_halved else own):
            continue
        first: dict[float, Path] = {}
        for file in of_side:
            one = checked[file]
            if one.numbers and one.numbers.nodata is not None and one.values is None:
                first.setdefault(one.numbers.nodata * (257 if one.bits == 8 else 1), file)
        if len(first) > 1:
            file, other = list(first.values())[:2]
            what = f"{file} has another nodata level than {other}"
            problems.append(Problem("other-nodata", (file, other), what, ONE_NODATA_LEVEL))
    return problems


def _different_sizes(item: Item, checked: Mapping[Path, CheckedImage]) -> list[Problem]:
    sizes = [f"{checked[file].width}x{checked[file].height}" for file in item.files]
    if len(set(sizes)) == 1:
        return []
    a, b = item.files
    what = f"{a} is {sizes[0]} but {b} is {sizes[1]}"
    return [Problem("different-sizes", item.files, what, "give both sides of a pair the same size")]


def sides_of(items: Sequence[Item], checked: Mapping[Path, CheckedImage]) -> tuple[Side, ...]:
    """Says what the images of a set are like: both halves of a side-by-side one as the whole."""

    def side(at: int) -> Side:
        each = [checked[item.files[at]] for item in items]
        bits: Literal[8, 16] = 16 if any(one.bits == 16 for one in each) else 8
        ranges = [one.values for one in each if one.values is not None]
        low, high = min((one[0] for one in ranges), default=0), max((one[1] for one in ranges), default=0)
        values = (low, max(high, low + 1e-6)) if ranges else None
        channels = max(one.channels for one in each)
        level = None
        for one in each:
            if one.numbers and one.numbers.missing:
                number = 0 if values or one.numbers.nodata is None else int(one.numbers.nodata)
                level = number * (257 if one.bits < bits else 1)
                break
        has_colors_only = values is None and all(one.channels == 3 for one in each)
        ignore = None if has_colors_only else each[0].ignore
        has_alpha = all(one.has_alpha for one in each)
        return Side(channels, bits=bits, values=values, missing=level, ignore=ignore, has_alpha=has_alpha)

    sides = tuple(side(at) for at in range(len(items[0].files)))
    return sides * 2 if items[0].is_halved else sides


def numbers_of_sides(
    survey: Survey, sides: Sequence[tuple[Side, ...]]
) -> Iterator[tuple[str, Numbers, Side]]:
    """Yields of each side its name in a sentence, its numbers and what it is like; halves as one."""
    places = [(items, at) for items in survey.used() for at in range(len(items[0].files))]
    names = (" on side A", " on side B") if len(places) == 2 else ("",)
    flat = itertools.chain.from_iterable(sides)
    for name, (items, at), side in zip(names, places, flat, strict=False):
        known = [survey.checked[item.files[at]].numbers for item in items]
        yield name, merged([numbers for numbers in known if numbers is not None]), side


def digests_of(items: Sequence[Item], checked: Mapping[Path, CheckedImage]) -> np.ndarray:
    """Returns the digests of the images that are read of each item, ``uint64`` [items, images]."""
    return np.array(
        [
            checked[item.files[0]].digests[1:]
            if item.is_halved
            else [checked[file].digests[0] for file in item.files]
            for item in items
        ],
        np.uint64,
    )


def ranged(
    sides: Sequence[tuple[Side, ...]],
    ranges: Sequence[ValueRange | None],
    channels: Sequence[int | None],
    folder: Path,
) -> list[tuple[Side, ...]]:
    """Returns the sides of each set with the ranges that were asked for, the last ones of fewer sides.

    Where one channel more is asked for than pictures have, and all have alpha, that is read as a band.

    Raises:
        DataError: a range has no meaning for them.
    """
    count = sum(map(len, sides))
    given = iter(zip(ranges[-count:], channels[-count:], strict=True))
    return [tuple(_ranged(side, *next(given), folder) for side in of_set) for of_set in sides]


def _ranged(side: Side, values: ValueRange | None, channels: int | None, folder: Path) -> Side:
    """Returns a side whose numbers have the range that was asked for.

    Raises:
        DataError: its levels, which are whole numbers, would nearly all be one end of it or the other.
    """
    if side.has_alpha and channels == side.channels + 1:
        side = dataclasses.replace(side, channels=channels)
    if values is None:
        return side
    if side.values is None and values[1] - values[0] < _FEWEST_LEVELS:
        raise DataError(
            f"{folder}: its images hold whole numbers from 0 to {2**side.bits - 1}, of which hardly any lie "
            f"between {values[0]:g} and {values[1]:g}; give --input-range and --output-range in these numbers"
        )
    return dataclasses.replace(side, bits=16, values=values, missing=None if side.missing is None else 0)


def _reader(items: Sequence[Item], sides: tuple[Side, ...]) -> ReadImages:
    paths = tf.constant([[os.fsencode(os.path.abspath(file)) for file in item.files] for item in items])

    return lambda index: read_sides(tf.unstack(paths[index]), sides, images.load_in_pipeline)


def read_sides(
    files: Sequence[tf.Tensor], sides: tuple[Side, ...], read: Callable[[tf.Tensor, Side], tf.Tensor]
) -> tuple[tf.Tensor, ...]:
    """Returns the image of each side: of a file of its own, or of its half of the only one.

    Args:
        files: what ``read`` takes, string scalars.
        sides: what the images are like.
        read: gives a file's image, as that of a side.
    """
    if len(files) == len(sides):
        return tuple(read(file, side) for file, side in zip(files, sides, strict=True))
    pairs = [split_side_by_side(read(files[0], side)) for side in dict.fromkeys(sides)]  # mostly one
    return pairs[0][0], pairs[-1][1]
