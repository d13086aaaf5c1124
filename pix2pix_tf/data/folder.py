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
from pix2pix_tf.data.checking.decoding import CheckedImage, check_images
from pix2pix_tf.data.checking.findings import MOST_NAMED, Case, Finding, Severity, found
from pix2pix_tf.data.checking.values import value_findings
from pix2pix_tf.data.pixel_format import PixelFormat, ValueRange
from pix2pix_tf.data.pixels import split_side_by_side
from pix2pix_tf.data.reading import KINDS, conversion, is_image_file, is_unread_image, load_in_pipeline
from pix2pix_tf.data.sets import ImageDataset, Images, Kind, natural_key
from pix2pix_tf.errors import DataError, SystemFault
from pix2pix_tf.files import printable
from pix2pix_tf.wording import quoted

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


class _LayoutError(Exception):
    """The folder has none of the layouts, or several: what is wrong, what to do, and which folders."""


@dataclasses.dataclass(frozen=True)
class Survey:
    """Everything that was found out about a folder.

    Args:
        layout: in words.
        splits: the usable items of each; two sets where A and B are apart, else one.
        checked: what decoding each file has shown.
        bad_files: single images that can't be used; their items are not in ``splits``.
        findings: what is wrong with the folder, with images and with pairs.
        is_split_here: whether the folder leaves open which images are held out.
        is_seamless: whether pairs side by side look like single photos.
    """

    layout: str = ""
    splits: Mapping[str, _Sets] = dataclasses.field(default_factory=dict)
    checked: Mapping[Path, CheckedImage] = dataclasses.field(default_factory=dict)
    bad_files: Sequence[Path] = ()
    findings: Sequence[Finding] = ()
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
        notes=[finding.line(folder) for finding in _value_findings(survey, sides)],
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
) -> tuple[Survey, list[tuple[PixelFormat, ...]]]:
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
        skip_bad_images,
        show_progress,
        layout=layout,
        shares=shares,
        ignored=ignored,
        ranges=ranges,
    )
    refused = [
        finding
        for finding in survey.findings
        if finding.severity == "error" or (finding.code == "not-pairs" and survey.is_seamless)
    ]
    check = f"pix2pix data check {quoted(folder)}"
    if refused:
        is_whole = len(refused) == 1 and len(refused[0].cases) <= MOST_NAMED
        more = "" if is_whole else f" (see {check} for all problems)"
        raise DataError(printable(f"{folder}: {refused[0].line(folder)}{more}"))
    if not survey.splits:
        raise DataError(printable(f"{folder}: none of its images can be used; see {check}"))
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


def survey_folder(
    folder: Path,
    seed: int,
    cache_dir: Path | None,
    kind: Kind = "pairs",
    skip_bad_images: bool = False,
    show_progress: bool = True,
    with_appearance: bool = False,
    layout: Layout = "auto",
    shares: tuple[float, float] = SHARES,
    ignored: tuple[float | None, float | None] = (None, None),
    ranges: Sequence[ValueRange | None] = (None, None),
) -> Survey:
    """Finds out everything about a folder.

    The arguments are those of `open_folder_dataset`; ``with_appearance`` adds what every image looks like.

    Raises:
        SystemFault: the folder or a file in it can't be read.
    """
    try:
        found_layout, roots = _find_layout(folder, kind, layout)
    except _LayoutError as error:
        message, fix, *where = error.args
        return Survey(findings=[Finding("error", "layout", message, fix, [Case(tuple(where) or (folder,))])])
    named = {split: [files_by_name(root) for root in sides] for split, sides in roots.items()}
    files_of = {split: [files for files, _ in of_split] for split, of_split in named.items()}
    doubles = [case for of_split in named.values() for _, doubled in of_split for case in doubled]
    findings = list(same_names(doubles))
    if layout == "auto" and kind != "images" and all(len(sides) == 1 for sides in roots.values()):
        apart = {split: _by_ending(files) for split, [files] in files_of.items()}
        if all(apart.values()):
            roots, files_of = {split: sides * 2 for split, sides in roots.items()}, apart
            found_layout = found_layout.replace("side-by-side images", "NAME_A and NAME_B")
    found_items: dict[str, _Sets] = {}
    for split, sides in files_of.items():
        if len(sides) == 1 or kind == "pairs":
            found_items[split] = (_items(sides, is_halved=len(sides) == 1 and kind != "images"),)
        else:
            found_items[split] = tuple(_items([files]) for files in sides)
    findings += _one_sided(roots, files_of, kind)
    if not findings and not any(map(any, found_items.values())):
        nothing = Finding("error", "layout", "no images", _instead(folder, kind), [Case((folder,))])
        return Survey(found_layout, findings=[nothing])

    every_item = [item for sets in found_items.values() for items in sets for item in items]
    if all(len(of_split) == 1 for of_split in roots.values()):  # one file has both sides, or the only one
        ignored = (ignored[0] if ignored[1] is None else ignored[1],) * 2
    files = {
        file: ignored[number + at]
        for sets in found_items.values()
        for number, items in enumerate(sets)
        for item in items
        for at, file in enumerate(item.files)
    }
    checked = check_images(files, _index_file(folder, cache_dir), show_progress, with_appearance)
    is_seamless = layout == "auto" and _is_seamless(every_item, checked)
    seem_paired = layout == "side-by-side" or (not is_seamless and _all_twice_as_wide(every_item, checked))
    if kind == "images" and seem_paired:
        found_layout = found_layout.replace("images", "side-by-side images", 1)
        found_items = {
            split: tuple([dataclasses.replace(item, is_halved=True) for item in items] for items in sets)
            for split, sets in found_items.items()
        }
        every_item = [item for sets in found_items.values() for items in sets for item in items]
    unreadable = [Case((file,), one.problem) for file, one in checked.items() if one.problem]
    damaged = {file for case in unreadable for file in case.files}
    readable = [item for item in every_item if damaged.isdisjoint(item.files)]
    too_small = [case for item in readable for case in _too_small(item, checked)]
    bad_files = [file for case in (*unreadable, *too_small) for file in case.files]
    severity: Severity = "warning" if skip_bad_images else "error"
    skipped, or_skip = (
        (", left out", "") if skip_bad_images else ("", ", or leave out with --skip-bad-images")
    )
    findings += found(
        severity, "unreadable", "image", f"that can't be decoded{skipped}", f"replace or convert{or_skip}",
        unreadable,
    )  # fmt: skip
    findings += found(
        severity, "too-few-pixels", "image", f"of too few pixels{skipped}", f"replace or delete{or_skip}",
        too_small,
    )  # fmt: skip
    findings += _unequal_images(list(zip(*found_items.values(), strict=True)), checked, ranges)
    findings += found(
        "error", "different-sizes", "pair",
        "whose sides differ in size, so that no pixel has its counterpart", "crop or resize both to one size",
        [case for item in readable for case in _sizes(item, checked)],
    )  # fmt: skip
    unusable = set(bad_files)
    usable = {
        split: tuple([item for item in items if unusable.isdisjoint(item.files)] for items in sets)
        for split, sets in found_items.items()
    }
    if _TO_BE_SPLIT in usable:
        sets = usable[_TO_BE_SPLIT]
        fewest = [1 if sets[1:] else min(FEWEST_HELD_OUT, max(1, len(items) // 5)) for items in sets]
        divided = [_split_by_hash(*each, seed, *shares) for each in zip(sets, fewest, strict=True)]
        usable = {split: tuple(each[split] for each in divided) for split in _SPLIT_NAMES}
    splits = {split: sets for split, sets in usable.items() if all(sets)}
    halved = [checked[item.files[0]] for sets in splits.values() for item in sets[0] if item.is_halved]
    is_seamless = is_seamless and any(item.is_halved for item in every_item)
    is_tall = layout == "auto" and bool(halved) and all(one.height >= one.width for one in halved)
    if is_seamless or is_tall:
        why = (
            "the left half of the images continues in the right one"
            if is_seamless
            else "no image is wider than high"
        )
        fix = (
            "if they are, give --layout side-by-side; else put A on the left and B on the right of one "
            "image, or into folders A/ and B/, or give a --task that makes pairs of photos"
        )
        findings.append(Finding("warning", "not-pairs", f"{why}: are they pairs, side by side?", fix))
    return Survey(
        found_layout, splits, checked, bad_files, findings, _TO_BE_SPLIT in found_items, is_seamless
    )


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
        raise _LayoutError("no such folder", "check the path, or see 'pix2pix data list' for names")
    if not folder.is_dir():
        raise _LayoutError("a file, not a folder", expected)

    def both(a: Path | None, b: Path | None) -> tuple[Path, ...] | None:
        if a is not None and b is not None:
            return a, b
        if a is not None or b is not None:
            raise _LayoutError("the folder of the other side is missing", expected, a or b)
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
    matching = {
        layout: roots
        for layout, roots in layouts.items()
        if roots
        and (wanted == "auto" or (wanted == "folders") == all(len(root) == 2 for root in roots.values()))
    }
    if not matching:
        raise _LayoutError("no images in a known layout", _instead(folder, kind))
    if len(matching) > 1:
        raise _LayoutError(
            f"a mixture of layouts ({' and '.join(matching)})", f"{expected}; --layout chooses"
        )
    return matching.popitem()


def _instead(folder: Path, kind: Kind) -> str:
    """What to do about a folder without images that can be read."""
    unread = next(walk(folder, is_unread_image), None)
    if unread is None:
        return LAYOUTS[kind]
    return f"{unread.name} is of a kind that can't be read ({KINDS} can); {conversion(unread)}"


def _by_split(find: Callable[[str], tuple[Path, ...] | None]) -> _Roots:
    roots: _Roots = {}
    for split, names in _SPLIT_NAMES.items():
        found = [root for name in names if (root := find(name)) is not None]
        if len(found) > 1:
            folders = [root for roots_of_name in found for root in roots_of_name[:1]]
            raise _LayoutError(f"two names of the folder of {split} images", "keep one of them", *folders)
        if found:
            roots[split] = found[0]
    return roots


def _child(folder: Path, name: str) -> Path | None:
    """The subfolder of that name, in upper or lower case."""
    matches = [folder / entry for entry in _entries(folder) if entry.casefold() == name.casefold()]
    matches = [path for path in matches if path.is_dir()]
    if len(matches) > 1:
        raise _LayoutError("names that differ only in case", "rename one of them", *matches)
    return matches[0] if matches else None


def _holds_images(folder: Path) -> bool:
    return any(is_image_file(path := folder / entry) and path.is_file() for entry in _entries(folder))


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


def _by_ending(files: Mapping[str, Path]) -> list[dict[str, Path]]:
    """Returns A's and B's images of one folder where all names end in _A or _B, else nothing."""
    found = [(_ENDING.fullmatch(name), path) for name, path in files.items()]
    sides = [{match[1]: path for match, path in found if match and match[2].upper() == side} for side in "AB"]
    return sides if all(sides) and all(match for match, _ in found) else []


def _one_sided(
    roots: _Roots, files_of: Mapping[str, Sequence[Mapping[str, Path]]], kind: Kind
) -> Iterator[Finding]:
    """Yields images of pairs that the other side has no readable image for; of other images, empty sides."""
    lonely: list[Case] = []
    unread: list[Case] = []
    has_pairs = False
    for split, sides in roots.items():
        if len(sides) == 1:
            continue
        for (root, other), (ours, theirs) in zip(
            itertools.permutations(sides), itertools.permutations(files_of[split]), strict=True
        ):
            if kind == "pairs" and (missing := sorted(ours.keys() - theirs.keys(), key=natural_key)):
                unread_of_other = {
                    _name(path.with_suffix("") if path.suffix == ".gz" else path, other): path
                    for path in walk(other, is_unread_image)
                }
                has_pairs |= len(missing) < len(ours) or not theirs
                unread += [Case((unread_of_other[name],)) for name in missing if name in unread_of_other]
                lonely += [Case((ours[name],)) for name in missing if name not in unread_of_other]
            elif kind != "pairs" and theirs and not ours:
                message = "no images, but the other side has some"
                yield Finding("error", "layout", message, _instead(root, kind), [Case((root,))])
    message = "without one of the same name on the other side"
    fix = "give both images of a pair one name, or learn without pairs: --model cyclegan"
    fix = "add it, or delete the partner" if has_pairs else fix
    yield from found("error", "missing-partner", "image", message, fix, lonely)
    if unread:
        yield from found(
            "error", "unread-kind", "image",
            f"of a kind that can't be read ({KINDS} can), needed as partner",
            conversion(unread[0].files[0]), unread,
        )  # fmt: skip


def _items(files: Sequence[Mapping[str, Path]], is_halved: bool = False) -> list[Item]:
    names = [name for name in files[0] if all(name in side for side in files)]
    return [
        Item(name, tuple(side[name] for side in files), is_halved) for name in sorted(names, key=natural_key)
    ]


def files_by_name(root: Path) -> tuple[dict[str, Path], list[Case]]:
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
            doubles.append(Case((files[name], path)))
        else:
            files[name] = path
    return files, doubles


def same_names(doubles: Sequence[Case]) -> Iterator[Finding]:
    """Yields what is wrong with images of one name, as `files_by_name` returns them."""
    message = "with the name of another in its folder"
    yield from found("error", "same-name", "image", message, "keep one of each", doubles)


def _name(path: Path, root: Path) -> str:
    return printable(unicodedata.normalize("NFC", path.relative_to(root).with_suffix("").as_posix()))


def walk(root: Path, wanted: Callable[[Path], bool] = is_image_file) -> Iterator[Path]:
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


def _too_small(item: Item, checked: Mapping[Path, CheckedImage]) -> Iterator[Case]:
    for file in item.files:
        height, width = checked[file].height, checked[file].width
        if item.is_halved and width < 2:
            yield Case((file,), "only 1 pixel wide, but must hold two images side by side")
        elif height * width <= (2 if item.is_halved else 1):
            yield Case((file,), f"{width}x{height}")


def _sizes(item: Item, checked: Mapping[Path, CheckedImage]) -> Iterator[Case]:
    sizes = [f"{checked[file].width}x{checked[file].height}" for file in item.files]
    if len(set(sizes)) > 1:
        yield Case(item.files, " and ".join(sizes))


def _unequal_images(
    sets: Sequence[tuple[list[Item], ...]],
    checked: Mapping[Path, CheckedImage],
    ranges: Sequence[ValueRange | None],
) -> Iterator[Finding]:
    """Yields images that can't be one side: gray and RGB go together, other numbers of bands don't."""

    def kind(file: Path) -> tuple[int, bool]:
        return max(3, checked[file].channels), checked[file].values is not None

    def words(file: Path) -> str:
        return f"{checked[file].channels}{' of measurements' if checked[file].values else ''}"

    bands: list[Case] = []
    nodata: list[Case] = []
    sides = [
        (files, items[0].is_halved)
        for items in ([item for of_split in splits for item in of_split] for splits in sets)
        for files in zip(*(item.files for item in items), strict=False)
    ]
    for at, (files, is_halved) in enumerate(sides):
        usable = [file for file in files if not checked[file].problem]
        if not checked[files[0]].problem:
            others = [file for file in usable if kind(file) != kind(files[0])]
            bands += [Case((file,), f"{words(file)}, not {words(files[0])}") for file in others]
        # A level that stands for missing pixels in one file would be a value in another; with a range, all
        # missing pixels get level 0.
        own = ranges if is_halved else ranges[at:][:1] if sides[1:] else ranges[-1:]
        first: dict[float, Path] = {}
        for file in usable:
            one = checked[file]
            if one.numbers and one.numbers.nodata is not None and one.values is None:
                first.setdefault(one.numbers.nodata * (257 if one.bits == 8 else 1), file)
        if len(first) > 1 and None in own:
            nodata.append(Case(tuple(first.values())[:2]))
    yield from found(
        "error", "other-bands", "image",
        "of other channels than the first of their side, or of measurements where that has levels",
        "give all images of a side the same", bands,
    )  # fmt: skip
    yield from found(
        "error", "other-nodata", "image",
        "of one side with different nodata levels: what is missing in one is a value in another",
        "give all images of a side one nodata level, or a range: --output-range, or --input-range", nodata,
    )  # fmt: skip


def sides_of(items: Sequence[Item], checked: Mapping[Path, CheckedImage]) -> tuple[PixelFormat, ...]:
    """Says what the images of a set are like: both halves of a side-by-side one as the whole."""

    def side(at: int) -> PixelFormat:
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
        return PixelFormat(
            channels, bits=bits, value_range=values, missing=level, ignore=ignore, has_alpha=has_alpha
        )

    sides = tuple(side(at) for at in range(len(items[0].files)))
    return sides * 2 if items[0].is_halved else sides


def _value_findings(survey: Survey, sides: Sequence[tuple[PixelFormat, ...]]) -> Iterator[Finding]:
    """Yields what may be wrong with the numbers of each side; halves are one."""
    places = [(items, at) for items in survey.used() for at in range(len(items[0].files))]
    names = (" on side A", " on side B") if len(places) == 2 else ("",)
    flat = itertools.chain.from_iterable(sides)
    for name, (items, at), side in zip(names, places, flat, strict=False):
        numbers = {file: survey.checked[file].numbers for file in (item.files[at] for item in items)}
        known = {file: each for file, each in numbers.items() if each is not None}
        yield from value_findings(name, known, side.value_range or (0, 2**side.bits - 1))


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
    sides: Sequence[tuple[PixelFormat, ...]],
    ranges: Sequence[ValueRange | None],
    channels: Sequence[int | None],
    folder: Path,
) -> list[tuple[PixelFormat, ...]]:
    """Returns the sides of each set with the ranges that were asked for, the last ones of fewer sides.

    Where one channel more is asked for than pictures have, and all have alpha, that is read as a band.

    Raises:
        DataError: a range has no meaning for them.
    """
    count = sum(map(len, sides))
    given = iter(zip(ranges[-count:], channels[-count:], strict=True))
    return [tuple(_ranged(side, *next(given), folder) for side in of_set) for of_set in sides]


def _ranged(side: PixelFormat, values: ValueRange | None, channels: int | None, folder: Path) -> PixelFormat:
    """Returns a side whose numbers have the range that was asked for.

    Raises:
        DataError: its levels, which are whole numbers, would nearly all be one end of it or the other.
    """
    if side.has_alpha and channels == side.channels + 1:
        side = dataclasses.replace(side, channels=channels)
    if values is None:
        return side
    if side.value_range is None and values[1] - values[0] < _FEWEST_LEVELS:
        raise DataError(
            f"{folder}: its images hold whole numbers from 0 to {2**side.bits - 1}, of which hardly any lie "
            f"between {values[0]:g} and {values[1]:g}; give --input-range and --output-range in these numbers"
        )
    return dataclasses.replace(side, bits=16, value_range=values, missing=None if side.missing is None else 0)


def _reader(items: Sequence[Item], sides: tuple[PixelFormat, ...]) -> ReadImages:
    paths = tf.constant([[os.fsencode(os.path.abspath(file)) for file in item.files] for item in items])

    return lambda index: read_sides(tf.unstack(paths[index]), sides, load_in_pipeline)


def read_sides(
    files: Sequence[tf.Tensor],
    sides: tuple[PixelFormat, ...],
    read: Callable[[tf.Tensor, PixelFormat], tf.Tensor],
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
