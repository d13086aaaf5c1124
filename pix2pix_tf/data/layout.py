"""Assigns the files of a folder to splits and sides by their names, without decoding them."""

from __future__ import annotations

import bisect
import dataclasses
import hashlib
import itertools
import mimetypes
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from pix2pix_tf.config import DataKind, Layout
from pix2pix_tf.data.checking.findings import Case, Finding, found
from pix2pix_tf.errors import SystemFault
from pix2pix_tf.files import printable

if TYPE_CHECKING:
    from pix2pix_tf.data.checking.decoding import CheckedImage

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
FEWEST_HELD_OUT = 10  # images needed to compare models
_SPLIT_NAMES = {"train": ("train",), "val": ("val", "validation", "valid"), "test": ("test",)}
_SPLIT_OF = {name: split for split, names in _SPLIT_NAMES.items() for name in names}
_SPLIT, _SIDE = f"(?P<split>{'|'.join(_SPLIT_OF)})", "(?P<side>[ab])"
_ENDING = re.compile(r"(.+)[_-]([AB])", re.IGNORECASE)
_LITTER = (  # visible folders that systems add for thumbnails, deleted files or snapshots
    "@eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "$recycle.bin",
    "system volume information", "lost+found", "__macosx", "__pycache__",
)  # fmt: skip

_Roots = dict[str, tuple[Path, ...]]
"""The folders of each split: one folder of side-by-side images, or the folders of A and B."""


class Item(NamedTuple):
    """An image or a pair, in one or two files."""

    name: str  # unique in its set
    files: tuple[Path, ...]


Sets = tuple[list[Item], ...]
"""The items of a split: two sets if A and B are unpaired, one set for other kinds."""


@dataclasses.dataclass(frozen=True)
class Survey:
    """The layout, items and problems of a folder."""

    layout: str = ""  # for display
    splits: Mapping[str, Sets] = dataclasses.field(default_factory=dict)
    is_halved: bool = False  # whether each file holds both sides
    findings: Sequence[Finding] = ()
    # The following is known after the files have been checked. Then ``splits`` has the usable items only.
    checked: Mapping[Path, CheckedImage] = dataclasses.field(default_factory=dict)
    bad_files: Sequence[Path] = ()
    is_split_here: bool = False  # whether the folder has no splits, so that images are held out by hash

    def sets(self) -> list[list[Item]]:
        """Returns the items of each set, from all splits."""
        return [list(itertools.chain(*sets)) for sets in zip(*self.splits.values(), strict=True)]

    def files_by_side(self) -> list[tuple[Path, ...]]:
        """Returns the files of each side, or of both sides if they are halved."""
        return [files for items in self.sets() for files in zip(*(item.files for item in items), strict=True)]


class _LayoutError(Exception):
    """The folder matches no layout, or several."""

    def __init__(self, message: str, fix: str, *folders: Path):
        self.finding = Finding("error", "layout", message, fix, [Case(folders)])


def list_folder(folder: Path, kind: DataKind, wanted: Layout) -> Survey:
    """Returns the files of a folder by split and side, and problems with paths and names.

    Raises:
        SystemFault: A folder can't be read.
    """
    try:
        layout, roots = _find_layout(folder, kind, wanted)
    except _LayoutError as error:
        return Survey(findings=[error.finding])
    findings: list[Finding] = []
    files_of: dict[str, list[dict[str, Path]]] = {}
    for split, sides in roots.items():
        named = [files_by_name(root) for root in sides]
        files_of[split] = [files for files, _ in named]
        findings += [finding for _, same_names in named for finding in same_names]
    is_apart = all(len(sides) == 2 for sides in roots.values())
    if wanted == "auto" and kind != "images" and not is_apart:
        by_ending = {split: _by_ending(files) for split, [files] in files_of.items()}
        if all(by_ending.values()):
            roots, files_of = {split: sides * 2 for split, sides in roots.items()}, by_ending
            layout, is_apart = layout.replace("side-by-side images", "NAME_A and NAME_B"), True
    splits: dict[str, Sets] = {}
    for split, in_files in files_of.items():
        sets = [in_files] if kind == "pairs" else [[files] for files in in_files]
        splits[split] = tuple(
            [
                Item(name, tuple(files[name] for files in of_set))
                for name in sorted(set.intersection(*map(set, of_set)), key=natural_key)
            ]
            for of_set in sets
        )
    if is_apart:
        findings += _without_partner(roots, files_of, kind)
    if not findings and not any(map(any, splits.values())):
        return Survey(layout, findings=[_LayoutError("no images", _advice(folder, kind), folder).finding])
    return Survey(layout, splits, kind != "images" and not is_apart, findings)


def likely_kind(folder: Path) -> DataKind:
    """Returns 'unpaired' for folders A and B that have no file name in common, else 'pairs'."""
    sides = [{item.name for item in items} for items in list_folder(folder, "unpaired", "auto").sets()]
    return "unpaired" if len(sides) == 2 and all(sides) and sides[0].isdisjoint(sides[1]) else "pairs"


# ---------------------------------------------------------------- layouts


def _find_layout(folder: Path, kind: DataKind, wanted: Layout) -> tuple[str, _Roots]:
    """Returns the name of a folder's layout, and the folders of its splits."""
    if not folder.is_dir():
        if folder.exists():
            raise _LayoutError("is a file, not a folder", LAYOUTS[kind], folder)
        raise _LayoutError("no such folder", "check the path, or see 'pix2pix data list' for names", folder)
    images = "images" if kind == "images" else "side-by-side images"
    together, sides_in_splits = f"{images} in train/, val/, test/", "A/ and B/ in train/, val/, test/"
    splits_in_sides, sides = "train/, val/, test/ in A/ and B/", "A/ and B/"
    subfolders = _subfolders(folder)
    paths = {path: path.name.casefold() for path in subfolders}
    for above in subfolders:
        if re.fullmatch(f"{_SPLIT}|{_SIDE}", paths[above]):
            paths |= {path: f"{paths[above]}/{path.name.casefold()}" for path in _subfolders(above)}
    layouts = {
        layout: _by_split(paths, pattern, kind)
        for layout, pattern in {
            together: _SPLIT,
            sides_in_splits: f"{_SPLIT}/{_SIDE}",
            "trainA/, trainB/, ...": f"{_SPLIT}{_SIDE}",
            splits_in_sides: f"{_SIDE}/{_SPLIT}",
            sides: _SIDE,
        }.items()
    }
    layouts[together] = {
        split: roots for split, roots in layouts[together].items() if split not in layouts[sides_in_splits]
    }
    if layouts[splits_in_sides]:
        del layouts[sides]
    if any(is_image_file(path) and path.is_file() for path in folder.iterdir()):
        layouts[f"{images} in one folder"] = {UNSPLIT: (folder,)}
    matching = {
        layout: roots
        for layout, roots in layouts.items()
        if roots
        and (wanted == "auto" or (wanted == "folders") == all(len(sides) == 2 for sides in roots.values()))
    }
    if not matching:
        raise _LayoutError("no images in a known layout", _advice(folder, kind), folder)
    if len(matching) > 1:
        message = f"a mixture of layouts ({' and '.join(matching)})"
        raise _LayoutError(message, f"{LAYOUTS[kind]}; --layout chooses", folder)
    return matching.popitem()


def _subfolders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir())
    except OSError as error:
        _raise_unreadable(error)


def _by_split(paths: Mapping[Path, str], pattern: str, kind: DataKind) -> _Roots:
    """Returns the folders of each split whose path matches; ``paths`` has paths without case."""
    found: dict[str, dict[str, Path]] = {}
    for path, name in paths.items():
        if match := re.fullmatch(pattern, name):
            groups = match.groupdict()
            sides = found.setdefault(_SPLIT_OF.get(groups.get("split", ""), UNSPLIT), {})
            if (same := sides.setdefault(groups.get("side", ""), path)) is not path:
                raise _LayoutError("two folders for the same split or side", "keep one of them", same, path)
    for sides in found.values():
        if len(sides) == 1 and "" not in sides:
            raise _LayoutError("the folder of the other side is missing", LAYOUTS[kind], *sides.values())
    ordered = (split for split in (UNSPLIT, *_SPLIT_NAMES) if split in found)
    return {split: tuple(path for _, path in sorted(found[split].items())) for split in ordered}


def _advice(folder: Path, kind: DataKind) -> str:
    """Returns advice for a folder without readable images."""
    unread = next(walk(folder, is_unread_image), None)
    if unread is None:
        return LAYOUTS[kind]
    return f"{unread.name} has an unsupported format (supported: {KINDS}); {conversion(unread)}"


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


def files_by_name(root: Path) -> tuple[dict[str, Path], list[Finding]]:
    """Finds all images below a folder, by relative path without suffix, and files with the same name.

    Names are normalized to NFC, because macOS stores accented and Korean names decomposed (NFD).
    """
    files: dict[str, Path] = {}
    same = []
    for path in walk(root):
        name = unicodedata.normalize("NFC", path.relative_to(root).with_suffix("").as_posix())
        first = files.setdefault(printable(name), path)
        if first is not path:
            same.append(Case((first, path)))
    message = "with the same name as another image in the folder"
    return files, list(found("error", "same-name", "image", message, "keep one of each", same))


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


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Returns a sort key for natural order (2 before 10), ignoring case."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return [int(part) if at % 2 else part for at, part in enumerate(parts)], name


def _by_ending(files: Mapping[str, Path]) -> list[dict[str, Path]]:
    """Returns the images of A and B if all names end in _A or _B; else an empty list."""
    found = [(_ENDING.fullmatch(name), path) for name, path in files.items()]
    sides = [{match[1]: path for match, path in found if match and match[2].upper() == side} for side in "AB"]
    return sides if all(sides) and all(match for match, _ in found) else []


def _without_partner(
    roots: _Roots, files_of: Mapping[str, Sequence[Mapping[str, Path]]], kind: DataKind
) -> Iterator[Finding]:
    """Yields sides without images, and images of pairs without a partner."""
    alone = []
    for split, (a, b) in files_of.items():
        for root, ours, theirs in zip(roots[split], (a, b), (b, a), strict=True):
            if theirs and not ours:
                message = "no images, but the other side has some"
                yield Finding("error", "layout", message, _advice(root, kind), [Case((root,))])
            elif kind == "pairs" and theirs:
                missing = sorted(ours.keys() - theirs.keys(), key=natural_key)
                alone += [Case((ours[name],)) for name in missing]
    message = "without a partner of the same name on the other side"
    fix = "add or rename its partner, or delete it; --model cyclegan trains on unpaired images"
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
