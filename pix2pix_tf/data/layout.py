"""Assigns the files of a folder to splits and sides by their names, without decoding them."""

from __future__ import annotations

import bisect
import dataclasses
import hashlib
import mimetypes
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from pix2pix_tf.config import Layout
from pix2pix_tf.data.checking.findings import Case, Finding, found
from pix2pix_tf.data.dataset import Kind
from pix2pix_tf.errors import SystemFault
from pix2pix_tf.files import printable

LAYOUTS = {
    "pairs": "expected (1) side-by-side images in train/, and optionally val/ and test/, or (2) folders A/ "
    "and B/ (or trainA/ and trainB/, ...) with files of the same names, or (3) in the folder itself "
    "side-by-side images, or images NAME_A and NAME_B",
    "unpaired": "expected (1) folders trainA/ and trainB/, and optionally testA/ and testB/, or (2) folders "
    "A/ and B/, or (3) side-by-side images as for pairs",
    "images": "expected (1) images in train/, and optionally val/ and test/, or (2) images in the folder "
    "itself, or (3) pairs, side by side (where every image is twice as wide as high) or in folders A/ and B/",
}
"""The supported layouts of each kind, for error messages."""

KINDS = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, JPEG 2000, PNM or .npy"
"""Supported formats, for messages."""

IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi", ".png", ".apng", ".webp", ".gif", ".bmp", ".tif",
    ".tiff", ".avif", ".avifs", ".jp2", ".j2k", ".jpc", ".j2c", ".jpf", ".jpx", ".ppm", ".pgm", ".pbm",
    ".pnm", ".npy",
)  # fmt: skip

_VOLUMES = {
    ".dcm": "numpy.save(NEW, pydicom.dcmread(OLD).pixel_array)",
    ".nii": "numpy.save(NEW, nibabel.load(OLD).get_fdata()[:, :, SLICE])",
    ".mha": "numpy.save(NEW, SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(OLD))[SLICE])",
    ".nrrd": "numpy.save(NEW, nrrd.read(OLD)[0][:, :, SLICE])",
}
"""Python code that converts a medical image, or a slice of a volume, to an array."""

UNSPLIT = ""
"""Name of the only split of a folder without splits."""
_SPLIT_NAMES = {"train": ("train",), "val": ("val", "validation", "valid"), "test": ("test",)}
FEWEST_HELD_OUT = 10  # images needed to compare models
_ENDING = re.compile(r"(.+)[_-]([AB])", re.IGNORECASE)
_LITTER = (  # visible folders that systems add for thumbnails, deleted files or snapshots
    "@eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "$recycle.bin",
    "system volume information", "lost+found", "__macosx", "__pycache__",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Item:
    """An image or a pair, in one or two files; ``is_halved`` if one file holds both sides."""

    name: str  # unique in its set
    files: tuple[Path, ...]
    is_halved: bool = False


Sets = tuple[list[Item], ...]
"""The items of a split: two sets if A and B are unpaired, one set for other kinds."""

_Roots = dict[str, tuple[Path, ...]]
"""The folders of each split: one folder of side-by-side images, or the folders of A and B."""


class Listing(NamedTuple):
    """The files of a folder."""

    layout: str = ""  # for display
    splits: Mapping[str, Sets] = {}
    findings: Sequence[Finding] = ()
    sides_are_apart: bool = False


class _LayoutError(Exception):
    """The folder matches no layout, or several."""

    def __init__(self, message: str, fix: str = "", folders: Sequence[Path] = ()):
        super().__init__(message, fix, folders)


def list_folder(folder: Path, kind: Kind, wanted: Layout) -> Listing:
    """Returns the files of a folder by split and side, and problems with paths and names.

    Raises:
        SystemFault: A folder can't be read.
    """
    try:
        layout, roots = _find_layout(folder, kind, wanted)
    except _LayoutError as error:
        message, fix, folders = error.args
        cases = [Case(tuple(folders) or (folder,))]
        return Listing(findings=[Finding("error", "layout", message, fix or LAYOUTS[kind], cases)])
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
        return "pairs"  # opening the folder as pairs reports the problem
    apart = [[files_by_name(root)[0] for root in sides] for sides in roots.values() if len(sides) == 2]
    in_common = any(a.keys() & b.keys() for a, b in apart)
    has_both = any(a and b for a, b in apart)
    return "unpaired" if has_both and not in_common else "pairs"


# ---------------------------------------------------------------- layouts


def _find_layout(folder: Path, kind: Kind, wanted: Layout) -> tuple[str, _Roots]:
    """Returns the name of a folder's layout, and the folders of its splits."""
    if not folder.exists():
        raise _LayoutError("no such folder", "check the path, or see 'pix2pix data list' for names")
    if not folder.is_dir():
        raise _LayoutError("is a file, not a folder")
    in_splits = _by_split(folder, "{}/A", "{}/B")
    together = {split: roots for split, roots in _by_split(folder, "{}").items() if split not in in_splits}
    in_sides, sides = _by_split(folder, "A/{}", "B/{}"), _folders_at(folder, "A", "B")
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
    """Returns the folders of each split; {} in ``paths`` stands for the split's name."""
    roots = {split: _folders_at(folder, *paths, names=names) for split, names in _SPLIT_NAMES.items()}
    return {split: sides for split, sides in roots.items() if sides}


def _folders_at(folder: Path, *paths: str, names: Sequence[str] = ("",)) -> tuple[Path, ...]:
    """Finds the subfolder at each path, ignoring case; {} stands for one of ``names``. May be empty."""
    existing: list[Path] = []
    for path in paths:
        places = [folder]
        for part in path.split("/"):
            wanted = {part.format(name).casefold() for name in names}
            below = [place / entry for place in places for entry in _entries(place)]
            places = [each for each in below if each.name.casefold() in wanted and each.is_dir()]
        if len(places) > 1:
            raise _LayoutError("two folders for the same split or side", "keep one of them", places)
        existing += places
    if 0 < len(existing) < len(paths):
        raise _LayoutError("the folder of the other side is missing", folders=existing)
    return tuple(existing)


def _instead(folder: Path, kind: Kind) -> str:
    """Returns advice for a folder without readable images."""
    return _unread_below(folder) or LAYOUTS[kind]


def _unread_below(folder: Path) -> str:
    """Returns advice for images in unsupported formats below a folder; empty if there are none."""
    unread = next(walk(folder, is_unread_image), None)
    if unread is None:
        return ""
    return f"{unread.name} has an unsupported format (supported: {KINDS}); {conversion(unread)}"


def _entries(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        _raise_unreadable(error)


def _raise_unreadable(error: OSError) -> NoReturn:
    message = f"{error.filename}: can't be read ({error.strerror}); check its permissions"
    raise SystemFault(printable(message)) from None


# ---------------------------------------------------------------- image files


def is_image_file(path: Path) -> bool:
    """Whether a file has a supported suffix and isn't hidden (as ``._*`` files are)."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def is_unread_image(path: Path) -> bool:
    """Whether a file has the suffix of an unsupported image format."""
    kind = mimetypes.guess_type(path.name)[0] or ""
    is_image = kind.startswith("image/") or _volume(path) is not None
    return is_image and not is_image_file(path) and not path.name.startswith(".")


def conversion(path: Path) -> str:
    """Returns advice for converting a file to a supported format."""
    code = _volume(path)
    return f"convert to .npy, in Python {code}" if code else "convert to PNG, or to TIFF"


def _volume(path: Path) -> str | None:
    suffix = path.with_suffix("").suffix if path.suffix.lower() == ".gz" else path.suffix
    return _VOLUMES.get(suffix.lower())


def files_by_name(root: Path) -> tuple[dict[str, Path], list[Case]]:
    """Finds all images below a folder.

    Names are normalized to NFC, because macOS stores accented and Korean names decomposed (NFD).

    Returns:
        The files by relative path without suffix, and cases of files with the same name.
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
    """Converts the duplicates of `files_by_name` to findings."""
    message = "with the same name as another image in the folder"
    return list(found("error", "same-name", "image", message, "keep one of each", doubles))


def walk(root: Path, wanted: Callable[[Path], bool] = is_image_file) -> Iterator[Path]:
    """Yields the files below a folder for which ``wanted`` is true, in a deterministic order.

    Raises:
        SystemFault: A folder can't be read.
    """

    visited: set[str] = set()  # links may form cycles
    for folder, subfolders, names in os.walk(root, onerror=_raise_unreadable, followlinks=True):
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
    """Returns a sort key for natural order (2 before 10), ignoring case."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return [int(part) if at % 2 else part for at, part in enumerate(parts)], name


def _by_ending(files: Mapping[str, Path]) -> list[dict[str, Path]]:
    """Returns the images of A and B if all names end in _A or _B; else an empty list."""
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
    """Yields images of pairs without a partner; for other kinds, yields empty sides."""
    alone: list[Case] = []
    unread = ""
    has_pairs = False
    for split, sides in roots.items():
        for at, (root, ours) in enumerate(zip(sides, files_of[split], strict=True)):
            theirs = files_of[split][1 - at] if len(sides) == 2 else ours
            missing = sorted(ours.keys() - theirs.keys(), key=natural_key)
            if kind == "pairs" and missing:
                alone += [Case((ours[name],)) for name in missing]
                has_pairs |= len(missing) < len(ours) or not theirs
                unread = unread or _unread_below(sides[1 - at])
            elif kind != "pairs" and theirs and not ours:
                message = "no images, but the other side has some"
                yield Finding("error", "layout", message, _instead(root, kind), [Case((root,))])
    message = "without a partner of the same name on the other side"
    fix = "give both images of a pair the same name, or train on unpaired images with --model cyclegan"
    fix = unread or ("add the missing image, or delete its partner" if has_pairs else fix)
    yield from found("error", "missing-partner", "image", message, fix, alone)


# ---------------------------------------------------------------- held-out images


def split_by_hash(sets: Sets, seed: int, shares: tuple[float, float]) -> dict[str, Sets]:
    """Splits items by the hash of their name; val and test get about their shares.

    If its share isn't 0, val gets a minimum number of items. Adding items later doesn't move other items,
    except those needed for that minimum. Items with the same name on unpaired sides go to the same split.
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
