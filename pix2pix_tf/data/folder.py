"""A user's own folder of images as a data set: its layout, the check of every file, and its sides."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import os
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from pix2pix_tf.config import DataConfig, Layout
from pix2pix_tf.data.checking.decoding import CheckedImage, check_images
from pix2pix_tf.data.checking.findings import MOST_NAMED, Case, Finding, Severity, found
from pix2pix_tf.data.checking.values import value_findings
from pix2pix_tf.data.dataset import ImageDataset, Images, Kind, sides_of_sets
from pix2pix_tf.data.layout import UNSPLIT, Item, Sets, list_folder, split_by_hash
from pix2pix_tf.data.pixel_format import PixelFormat, ValueRange
from pix2pix_tf.data.pixels import split_side_by_side
from pix2pix_tf.data.reading import load_in_pipeline
from pix2pix_tf.errors import DataError
from pix2pix_tf.files import printable
from pix2pix_tf.wording import quoted

_FEWEST_SEAMS = 5  # that tell photos from pairs
_SEAMLESS = 1.6  # times the step between neighboring columns: photos have 1, pairs 4 and more
_FEWEST_LEVELS = 16  # of a range that whole numbers are spread over


@dataclasses.dataclass(frozen=True)
class FolderOptions:
    """How a folder is taken."""

    kind: Kind = "pairs"
    """What is wanted. Images in one folder for each split are side-by-side pairs, for 'images' only if all
    are exactly twice as wide as high. Those in folders A and B are paired by name for 'pairs', else
    unpaired."""
    seed: int = 0
    """Decides which images are held out, if the folder doesn't."""
    shares: tuple[float, float] = (0.1, 0.1)
    """Of val and test, if the folder doesn't say which image belongs to which."""
    layout: Layout = "auto"
    """'side-by-side' or 'folders' if it is known how pairs lie; 'auto' refuses photos that don't look like
    two images side by side."""
    skip_bad_images: bool = False
    """Leave unusable images out, and name them in ``skipped``, instead of failing."""
    ignored: tuple[float | None, float | None] = (None, None)
    """Numbers of the pixels without a value, in A's and B's measurements and gray images."""
    ranges: Sequence[ValueRange | None] = (None, None)
    """Of A's and B's numbers, what becomes the lowest and the highest level, the last one of images alone;
    ``None`` for what the files have: the type's, or of measurements the extremes."""
    channels: Sequence[int | None] = (None, None)
    """That were asked for of A and B; if it is one more than pictures have, alpha is a band."""
    cache_dir: Path | None = None
    """Where it is remembered which files were checked; ``None`` checks them every time."""

    @classmethod
    def of(cls, data: DataConfig, kind: Kind, **more: Any) -> FolderOptions:
        """Returns the options that a configuration's settings are."""
        shares = data.val_share, data.test_share
        return cls(
            kind,
            shares=shares,
            layout=data.layout,
            skip_bad_images=data.skip_bad_images,
            ignored=data.ignored,
            **more,
        )


@dataclasses.dataclass(frozen=True)
class Survey:
    """Everything that was found out about a folder."""

    layout: str = ""  # in words
    splits: Mapping[str, Sets] = dataclasses.field(default_factory=dict)  # the usable items
    checked: Mapping[Path, CheckedImage] = dataclasses.field(default_factory=dict)
    bad_files: Sequence[Path] = ()  # that can't be used; their items are not in ``splits``
    findings: Sequence[Finding] = ()
    is_split_here: bool = False  # whether the folder leaves open which images are held out
    is_seamless: bool = False  # whether pairs side by side look like single photos

    def used(self) -> list[list[Item]]:
        """Returns the items of all splits, for each set."""
        return all_items(self.splits)

    def formats(self) -> tuple[PixelFormat, ...]:
        """Returns what the images of each side are like: both halves of a side-by-side one as the whole."""
        formats = []
        for files, is_halved in _files_by_side(self.splits):
            formats += [_format_of([self.checked[file] for file in files])] * (2 if is_halved else 1)
        return tuple(formats)


def all_items(splits: Mapping[str, Sets]) -> list[list[Item]]:
    """Returns the items of all splits, for each set."""
    return [[item for items in sets for item in items] for sets in zip(*splits.values(), strict=True)]


def _files_by_side(splits: Mapping[str, Sets]) -> list[tuple[tuple[Path, ...], bool]]:
    """Returns the files of each side, and whether they have both sides."""
    return [
        (files, items[0].is_halved)
        for items in all_items(splits)
        for files in zip(*(item.files for item in items), strict=True)
    ]


def open_folder(folder: Path, options: FolderOptions) -> ImageDataset:
    """Opens a folder in one of the layouts of `LAYOUTS`, after decoding every image once.

    Returns:
        The data set, of the kind that the folder has: pairs if anything else is wanted of side-by-side
        ones, and unpaired if images are wanted of folders A and B. Its names are paths
        below the split's folder, without suffix, in Unicode form NFC and natural order (2 before 10).

    Raises:
        DataError: nothing, or not everything, of the folder can be used.
        SystemFault: the folder or a file in it can't be read.
    """
    survey = usable_survey(folder, options)
    sides = as_asked(survey.formats(), options.ranges, options.channels, folder)
    return ImageDataset(
        name=printable(folder.resolve().name),
        sides=sides,
        splits={
            name: tuple(
                Images(
                    [item.name for item in items],
                    _reader(items, of_set),
                    functools.partial(digests_of, items, survey.checked),
                )
                for items, of_set in zip(sets, sides_of_sets(sides, sets), strict=True)
            )
            for name, sets in survey.splits.items()
        },
        skipped=[printable(os.fspath(file)) for file in survey.bad_files],
        used=frozenset(("split_seed", "val_share", "test_share") if survey.is_split_here else ()),
        notes=[finding.line(folder) for finding in _value_findings(survey, sides)],
    )


def usable_survey(folder: Path, options: FolderOptions) -> Survey:
    """Surveys a folder; raises ``DataError`` if something in it stops training."""
    survey = survey_folder(folder, options)
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
    return survey


def survey_folder(folder: Path, options: FolderOptions, with_appearance: bool = False) -> Survey:
    """Finds out everything about a folder; ``with_appearance`` adds what every image looks like.

    Raises:
        SystemFault: the folder or a file in it can't be read.
    """
    listing = list_folder(folder, options.kind, options.layout)
    if not listing.splits:
        return Survey(listing.layout, findings=listing.findings)
    layout, splits, is_seamless = listing.layout, listing.splits, False
    ignored = options.ignored
    if not listing.sides_are_apart:  # one file has both sides, or the only one
        ignored = (ignored[0] if ignored[1] is None else ignored[1],) * 2
    sides = _files_by_side(splits)
    ignored_in = {file: number for (files, _), number in zip(sides, ignored, strict=False) for file in files}
    index_file = None
    if options.cache_dir:
        digest = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()
        index_file = options.cache_dir / f"checked-images-{digest[:16]}.json"
    checked = check_images(ignored_in, index_file, with_appearance)
    if options.layout == "auto" and len(sides) == 1:
        is_seamless = _is_seamless([checked[file] for file in sides[0][0]])
    if (
        len(sides) == 1
        and options.kind == "images"
        and (options.layout == "side-by-side" or (not is_seamless and _are_twice_as_wide(checked.values())))
    ):
        layout = layout.replace("images", "side-by-side images", 1)
        splits = {
            split: tuple([dataclasses.replace(item, is_halved=True) for item in of_set] for of_set in sets)
            for split, sets in splits.items()
        }
    faulty, findings = _unusable(splits, checked, options)
    usable = {
        split: tuple([item for item in of_set if faulty.keys().isdisjoint(item.files)] for of_set in sets)
        for split, sets in splits.items()
    }
    if UNSPLIT in usable:
        usable = split_by_hash(usable[UNSPLIT], options.seed, options.shares)
    usable = {split: sets for split, sets in usable.items() if all(sets)}
    halved = [checked[item.files[0]] for sets in usable.values() for item in sets[0] if item.is_halved]
    is_tall = options.layout == "auto" and bool(halved) and all(one.height >= one.width for one in halved)
    if (is_seamless and _files_by_side(splits)[0][1]) or is_tall:
        why = "the left half of the images continues in the right one"
        why = why if is_seamless else "no image is wider than high"
        fix = (
            "if they are, give --layout side-by-side; else put A on the left and B on the right of one "
            "image, or into folders A/ and B/, or give a --task that makes pairs of photos"
        )
        findings.append(Finding("warning", "not-pairs", f"{why}: are they pairs, side by side?", fix))
    findings = [*listing.findings, *findings]
    return Survey(layout, usable, checked, list(faulty), findings, UNSPLIT in splits, is_seamless)


# ---------------------------------------------------------------- what the check of the files shows


def _are_twice_as_wide(images: Iterable[CheckedImage]) -> bool:
    """Whether single images are pairs side by side by all signs, so that none is taken for one image."""
    readable = [one for one in images if not one.problem]
    return bool(readable) and all(one.width == 2 * one.height for one in readable)


def _is_seamless(images: Sequence[CheckedImage]) -> bool:
    """Whether single files look like photos, and not like pairs side by side."""
    known = [one.seam for one in images if one.seam is not None]
    return 2 * len(known) >= max(len(images), 2 * _FEWEST_SEAMS) and statistics.median(known) < _SEAMLESS


def _unusable(
    splits: Mapping[str, Sets], checked: Mapping[Path, CheckedImage], options: FolderOptions
) -> tuple[dict[Path, None], list[Finding]]:
    """Returns the files that can't be used, and what is wrong with images, pairs and sides."""
    unreadable = [Case((file,), one.problem) for file, one in checked.items() if one.problem]
    too_small, unequal = [], []
    for item in itertools.chain(*all_items(splits)):
        if any(checked[file].problem for file in item.files):
            continue
        sizes = [(checked[file].width, checked[file].height) for file in item.files]
        for file, (width, height) in zip(item.files, sizes, strict=True):
            if item.is_halved and width < 2:
                too_small.append(Case((file,), "only 1 pixel wide, but must hold two images side by side"))
            elif height * width <= (2 if item.is_halved else 1):
                too_small.append(Case((file,), f"{width}x{height}"))
        if len(set(sizes)) > 1:
            unequal.append(Case(item.files, " and ".join(f"{width}x{height}" for width, height in sizes)))
    bands, nodata = [], []
    sides = _files_by_side(splits)
    for at, (files, is_halved) in enumerate(sides):
        usable = {file: checked[file] for file in files if not checked[file].problem}
        first = next(iter(usable.values()), None)
        # Gray and RGB go together, other numbers of bands don't.
        bands += [
            Case((file,), f"{_bands(one)}, not {_bands(first)}")
            for file, one in usable.items()
            if first and (max(3, one.channels), not one.values) != (max(3, first.channels), not first.values)
        ]
        # A level that stands for missing pixels in one file would be a value in another; with a range, all
        # missing pixels get level 0.
        ranges = (
            options.ranges if is_halved else options.ranges[at:][:1] if sides[1:] else options.ranges[-1:]
        )
        first_with: dict[int, Path] = {}
        for file, one in usable.items():
            if not one.values and (level := one.nodata_level(16)) is not None:
                first_with.setdefault(level, file)
        if len(first_with) > 1 and None in ranges:
            nodata.append(Case(tuple(first_with.values())[:2]))
    severity: Severity = "warning" if options.skip_bad_images else "error"
    skipped, or_skip = ", left out", ""
    if not options.skip_bad_images:
        skipped, or_skip = "", ", or leave out with --skip-bad-images"
    findings = [
        *found(
            severity, "unreadable", "image", f"that can't be decoded{skipped}",
            f"replace or convert{or_skip}", unreadable,
        ),
        *found(
            severity, "too-few-pixels", "image", f"of too few pixels{skipped}",
            f"replace or delete{or_skip}", too_small,
        ),
        *found(
            "error", "other-bands", "image",
            "of other channels than the first of their side, or of measurements where that has levels",
            "give all images of a side the same", bands,
        ),
        *found(
            "error", "other-nodata", "image",
            "of one side with different nodata levels: what is missing in one is a value in another",
            "give all images of a side one nodata level, or a range: --output-range, or --input-range",
            nodata,
        ),
        *found(
            "error", "different-sizes", "pair",
            "whose sides differ in size, so that no pixel has its counterpart",
            "crop or resize both to one size", unequal,
        ),
    ]  # fmt: skip
    return dict.fromkeys(case.files[0] for case in (*unreadable, *too_small)), findings


def _bands(image: CheckedImage) -> str:
    return f"{image.channels}{' of measurements' if image.values else ''}"


def _value_findings(survey: Survey, sides: Sequence[PixelFormat]) -> Iterator[Finding]:
    """Yields what may be wrong with the numbers of each side; halves are one."""
    of_files = _files_by_side(survey.splits)
    names = (" on side A", " on side B") if len(of_files) == 2 else ("",)
    for name, (files, _), side in zip(names, of_files, sides, strict=False):
        numbers = {file: found for file in files if (found := survey.checked[file].numbers) is not None}
        yield from value_findings(name, numbers, side.value_range or (0, 2**side.bits - 1))


# ---------------------------------------------------------------- what the images are read as


def _format_of(images: Sequence[CheckedImage]) -> PixelFormat:
    """Returns what the images of a side have in common."""
    bits: Literal[8, 16] = 16 if any(one.bits == 16 for one in images) else 8
    ranges = [one.values for one in images if one.values is not None]
    low, high = min((one[0] for one in ranges), default=0), max((one[1] for one in ranges), default=0)
    with_missing = [one for one in images if one.numbers and one.numbers.missing]
    has_colors_only = not ranges and all(one.channels == 3 for one in images)
    return PixelFormat(
        channels=max(one.channels for one in images),
        bits=bits,
        value_range=(low, max(high, low + 1e-6)) if ranges else None,
        missing=(0 if ranges else with_missing[0].nodata_level(bits) or 0) if with_missing else None,
        ignore=None if has_colors_only else images[0].ignore,
        has_alpha=all(one.has_alpha for one in images),
    )


def as_asked(
    sides: Sequence[PixelFormat],
    ranges: Sequence[ValueRange | None],
    channels: Sequence[int | None],
    folder: Path,
) -> tuple[PixelFormat, ...]:
    """Returns the sides with the ranges that were asked for, the last ones of fewer sides.

    If one channel more is asked for than pictures have, and all have alpha, that is read as a band.

    Raises:
        DataError: the images' whole numbers would nearly all be one end of the range or the other.
    """
    asked = []
    for side, values, wanted in zip(sides, ranges[-len(sides) :], channels[-len(sides) :], strict=True):
        if side.has_alpha and wanted == side.channels + 1:
            side = dataclasses.replace(side, channels=wanted)
        if values is not None:
            if side.value_range is None and values[1] - values[0] < _FEWEST_LEVELS:
                raise DataError(
                    f"{folder}: its images hold whole numbers from 0 to {2**side.bits - 1}, of which hardly "
                    f"any lie between {values[0]:g} and {values[1]:g}; give --input-range and --output-range "
                    "in these numbers"
                )
            missing = None if side.missing is None else 0
            side = dataclasses.replace(side, bits=16, value_range=values, missing=missing)
        asked.append(side)
    return tuple(asked)


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


def _reader(
    items: Sequence[Item], sides: tuple[PixelFormat, ...]
) -> Callable[[tf.Tensor], tuple[tf.Tensor, ...]]:
    paths = tf.constant([[os.fsencode(os.path.abspath(file)) for file in item.files] for item in items])

    return lambda index: read_sides(tf.unstack(paths[index]), sides, load_in_pipeline)


def read_sides(
    files: Sequence[tf.Tensor],
    sides: tuple[PixelFormat, ...],
    read: Callable[[tf.Tensor, PixelFormat], tf.Tensor],
) -> tuple[tf.Tensor, ...]:
    """Returns the image of each side: of a file of its own, or of its half of the only one.

    ``files`` are string scalars, which ``read`` takes.
    """
    if len(files) == len(sides):
        return tuple(read(file, side) for file, side in zip(files, sides, strict=True))
    pairs = [split_side_by_side(read(files[0], side)) for side in dict.fromkeys(sides)]  # mostly one
    return pairs[0][0], pairs[-1][1]
