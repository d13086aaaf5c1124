"""Which files of a folder belong to which split and side: paths and names only, nothing is decoded."""

from __future__ import annotations

import bisect
import dataclasses
import hashlib
import itertools
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pix2pix_tf.config import Layout
from pix2pix_tf.data.checking.findings import Case, Finding, found
from pix2pix_tf.data.dataset import Kind
from pix2pix_tf.data.reading import KINDS, conversion, is_image_file, is_unread_image
from pix2pix_tf.errors import SystemFault
from pix2pix_tf.files import printable

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

UNSPLIT = ""
"""The split of images of a folder that has no folders of splits."""
_SPLIT_NAMES = {"train": ("train",), "val": ("val", "validation", "valid"), "test": ("test",)}
FEWEST_HELD_OUT = 10  # images that models can be compared by
_ENDING = re.compile(r"(.+)[_-]([AB])", re.IGNORECASE)
_LITTER = (  # folders that systems add, besides hidden ones: of thumbnails, deleted files, snapshots
    "@eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "$recycle.bin",
    "system volume information", "lost+found", "__macosx", "__pycache__",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Item:
    """An image or a pair: one file, or the two of a pair; ``is_halved`` if one file holds both sides."""

    name: str  # unique in its set
    files: tuple[Path, ...]
    is_halved: bool = False


Sets = tuple[list[Item], ...]
"""The items of a split: two sets if A and B are unpaired, else one."""

_Roots = dict[str, tuple[Path, ...]]
"""The folders of each split: one of side-by-side images, or A's and B's."""


class Listing(NamedTuple):
    """The files of a folder."""

    layout: str = ""  # in words
    splits: Mapping[str, Sets] = {}
    findings: Sequence[Finding] = ()
    sides_are_apart: bool = False


class _LayoutError(Exception):
    """The folder has none of the layouts, or several."""

    def __init__(self, message: str, fix: str = "", folders: Sequence[Path] = ()):
        super().__init__(message)
        self.message, self.fix, self.folders = message, fix, folders


def list_folder(folder: Path, kind: Kind, wanted: Layout) -> Listing:
    """Returns the files of a folder by split and side, and what is wrong with their places and names.

    Raises:
        SystemFault: a folder can't be read.
    """
    try:
        layout, roots = _find_layout(folder, kind, wanted)
    except _LayoutError as error:
        cases = [Case(tuple(error.folders) or (folder,))]
        return Listing(
            findings=[Finding("error", "layout", error.message, error.fix or LAYOUTS[kind], cases)]
        )
    named = {split: [files_by_name(root) for root in sides] for split, sides in roots.items()}
    files_of = {split: [files for files, _ in of_split] for split, of_split in named.items()}
    findings = same_names([case for sides in named.values() for _, doubles in sides for case in doubles])
    if wanted == "auto" and kind != "images" and all(len(sides) == 1 for sides in roots.values()):
        apart = {split: _by_ending(files) for split, [files] in files_of.items()}
        if all(apart.values()):
            roots, files_of = {split: sides * 2 for split, sides in roots.items()}, apart
            layout = layout.replace("side-by-side images", "NAME_A and NAME_B")
    splits: dict[str, Sets] = {}
    for split, sides in files_of.items():
        if len(sides) == 1 or kind == "pairs":
            splits[split] = (_items(sides, is_halved=len(sides) == 1 and kind != "images"),)
        else:
            splits[split] = tuple(_items([files]) for files in sides)
    findings += _one_sided(roots, files_of, kind)
    if not findings and not any(map(any, splits.values())):
        findings = [Finding("error", "layout", "no images", _instead(folder, kind), [Case((folder,))])]
        splits = {}
    return Listing(layout, splits, findings, any(len(sides) == 2 for sides in roots.values()))


def likely_kind(folder: Path) -> Kind:
    """Returns 'unpaired' for folders A and B that have no file name in common, else 'pairs'."""
    try:
        _, roots = _find_layout(folder, "pairs", "auto")
    except _LayoutError:
        return "pairs"  # checking it will say why it is none
    apart = [[files_by_name(root)[0] for root in sides] for sides in roots.values() if len(sides) == 2]
    in_common = any(a.keys() & b.keys() for a, b in apart)
    has_both = any(a and b for a, b in apart)
    return "unpaired" if has_both and not in_common else "pairs"


# ---------------------------------------------------------------- which layout


def _find_layout(folder: Path, kind: Kind, wanted: Layout) -> tuple[str, _Roots]:
    """Returns the layout of a folder, in words, and its splits' folders."""
    if not folder.exists():
        raise _LayoutError("no such folder", "check the path, or see 'pix2pix data list' for names")
    if not folder.is_dir():
        raise _LayoutError("a file, not a folder")
    in_splits = _by_split(folder, "{}/A", "{}/B")
    together = {split: roots for split, roots in _by_split(folder, "{}").items() if split not in in_splits}
    in_sides, sides = _by_split(folder, "A/{}", "B/{}"), _folders(folder, "A", "B")
    has_images = any(is_image_file(path := folder / name) and path.is_file() for name in _entries(folder))
    images = "images" if kind == "images" else "side-by-side images"
    layouts: dict[str, _Roots] = {
        f"{images} in train/, val/, test/": together,
        "A/ and B/ in train/, val/, test/": in_splits,
        "trainA/, trainB/, ...": _by_split(folder, "{}A", "{}B"),
        "train/, val/, test/ in A/ and B/": in_sides,
        "A/ and B/": {UNSPLIT: sides} if sides and not in_sides else {},
        f"{images} in one folder": {UNSPLIT: (folder,)} if has_images else {},
    }
    matching = {
        layout: roots
        for layout, roots in layouts.items()
        if roots
        and (wanted == "auto" or (wanted == "folders") == all(len(sides) == 2 for sides in roots.values()))
    }
    if not matching:
        raise _LayoutError("no images in a known layout", _instead(folder, kind))
    if len(matching) > 1:
        raise _LayoutError(
            f"a mixture of layouts ({' and '.join(matching)})", f"{LAYOUTS[kind]}; --layout chooses"
        )
    return matching.popitem()


def _by_split(folder: Path, *paths: str) -> _Roots:
    """Returns the folders of each split, whose name stands for {} in their paths."""
    roots: _Roots = {}
    for split, names in _SPLIT_NAMES.items():
        found = [
            of_name for name in names if (of_name := _folders(folder, *(path.format(name) for path in paths)))
        ]
        if len(found) > 1:
            folders = [first for first, *_ in found]
            raise _LayoutError(f"two names of the folder of {split} images", "keep one of them", folders)
        if found:
            roots[split] = found[0]
    return roots


def _folders(folder: Path, *paths: str) -> tuple[Path, ...] | None:
    """Returns the subfolders at these paths, in upper or lower case; ``None`` if there is none."""
    existing = []
    for path in paths:
        place: Path | None = folder
        for name in path.split("/"):
            place = _child(place, name) if place else None
        existing += [place] if place else []
    if existing and len(existing) < len(paths):
        raise _LayoutError("the folder of the other side is missing", folders=existing)
    return tuple(existing) or None


def _child(folder: Path, name: str) -> Path | None:
    matches = [folder / entry for entry in _entries(folder) if entry.casefold() == name.casefold()]
    matches = [path for path in matches if path.is_dir()]
    if len(matches) > 1:
        raise _LayoutError("names that differ only in case", "rename one of them", matches)
    return matches[0] if matches else None


def _instead(folder: Path, kind: Kind) -> str:
    """Returns what to do about a folder without images that can be read."""
    unread = next(walk(folder, is_unread_image), None)
    if unread is None:
        return LAYOUTS[kind]
    return f"{unread.name} is of a kind that can't be read ({KINDS} can); {conversion(unread)}"


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


def same_names(doubles: Sequence[Case]) -> list[Finding]:
    """Returns what is wrong with images of one name, as `files_by_name` returns them."""
    message = "with the name of another in its folder"
    return list(found("error", "same-name", "image", message, "keep one of each", doubles))


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


def _name(path: Path, root: Path) -> str:
    return printable(unicodedata.normalize("NFC", path.relative_to(root).with_suffix("").as_posix()))


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Returns a key that sorts names as people count (2 before 10), whatever their case."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return [int(part) if at % 2 else part for at, part in enumerate(parts)], name


def _by_ending(files: Mapping[str, Path]) -> list[dict[str, Path]]:
    """Returns A's and B's images of one folder if all names end in _A or _B, else nothing."""
    found = [(_ENDING.fullmatch(name), path) for name, path in files.items()]
    sides = [{match[1]: path for match, path in found if match and match[2].upper() == side} for side in "AB"]
    return sides if all(sides) and all(match for match, _ in found) else []


def _items(files: Sequence[Mapping[str, Path]], is_halved: bool = False) -> list[Item]:
    names = [name for name in files[0] if all(name in side for side in files)]
    return [
        Item(name, tuple(side[name] for side in files), is_halved) for name in sorted(names, key=natural_key)
    ]


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
        message = f"of a kind that can't be read ({KINDS} can), needed as partner"
        yield from found("error", "unread-kind", "image", message, conversion(unread[0].files[0]), unread)


# ---------------------------------------------------------------- which images are held out


def split_by_hash(sets: Sets, seed: int, shares: tuple[float, float]) -> dict[str, Sets]:
    """Holds about these shares out for val and test, and enough for val if it has a share.

    The hash of a name decides, so images that are added later move none of the others, but for those that val
    took from train to have enough. Of unpaired sides, what has one name goes to one split.
    """

    def place(item: Item) -> float:  # uniform in [0, 1)
        digest = hashlib.sha256(f"{seed}/{item.name}".encode()).digest()
        return int.from_bytes(digest[:6], "big") / 2**48

    val_share, test_share = shares
    divided = []
    for items in sets:
        fewest = 1 if sets[1:] else min(FEWEST_HELD_OUT, max(1, len(items) // 5))
        fewest = fewest if val_share else 0
        ordered = sorted(items, key=place)  # first train, then val, then test
        val_end = bisect.bisect_left(ordered, 1 - test_share, key=place)
        train_end = bisect.bisect_left(ordered, 1 - test_share - val_share, key=place)
        train_end = max(1, min(train_end, val_end - fewest))
        val_end = max(val_end, train_end + fewest)
        parts = ordered[:train_end], ordered[train_end:val_end], ordered[val_end:]
        divided.append([sorted(part, key=lambda item: natural_key(item.name)) for part in parts])
    return dict(zip(_SPLIT_NAMES, zip(*divided, strict=True), strict=True))
