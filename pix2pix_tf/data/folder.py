"""A user's own folder of images as a data set: its layout, the check of every file, and its sides."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import os
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from pix2pix_tf.config import DataConfig, Layout
from pix2pix_tf.data.checking.decoding import CheckedImage, check_images
from pix2pix_tf.data.checking.findings import MOST_NAMED, Case, Finding, Severity, found
from pix2pix_tf.data.checking.values import value_findings
from pix2pix_tf.data.dataset import ImageDataset, Images, Kind
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
        return [
            [item for items in sets for item in items] for sets in zip(*self.splits.values(), strict=True)
        ]

    def formats(self) -> list[tuple[PixelFormat, ...]]:
        """Returns what the images of each set are like: both halves of a side-by-side one as the whole."""
        return [
            tuple(
                _format_of([self.checked[item.files[at]] for item in items]) for at in range(len(first.files))
            )
            * (2 if first.is_halved else 1)
            for items in self.used()
            for first in items[:1]
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
        sides=tuple(itertools.chain(*sides)),
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
    kind, is_auto = options.kind, options.layout == "auto"
    listing = list_folder(folder, kind, options.layout)
    if not listing.splits:
        return Survey(listing.layout, findings=listing.findings)
    layout, splits = listing.layout, listing.splits
    files = _ignored_of(splits, options.ignored, listing.sides_are_apart)
    checked = check_images(files, _index_file(folder, options.cache_dir), with_appearance)
    items = [item for sets in splits.values() for of_set in sets for item in of_set]
    is_seamless = is_auto and _is_seamless(items, checked)
    if kind == "images" and (
        options.layout == "side-by-side" or (not is_seamless and _all_twice_as_wide(items, checked))
    ):
        layout = layout.replace("images", "side-by-side images", 1)
        splits = {
            split: tuple([dataclasses.replace(item, is_halved=True) for item in of_set] for of_set in sets)
            for split, sets in splits.items()
        }
        items = [item for sets in splits.values() for of_set in sets for item in of_set]
    faulty, findings = _unusable(items, checked, options.skip_bad_images)
    findings = [*listing.findings, *findings, *_unequal_images(splits, checked, options.ranges)]
    readable = [item for item in items if not any(checked[file].problem for file in item.files)]
    findings += found(
        "error", "different-sizes", "pair",
        "whose sides differ in size, so that no pixel has its counterpart", "crop or resize both to one size",
        [case for item in readable for case in _sizes(item, checked)],
    )  # fmt: skip
    unusable = set(faulty)
    usable = {
        split: tuple([item for item in of_set if unusable.isdisjoint(item.files)] for of_set in sets)
        for split, sets in splits.items()
    }
    if UNSPLIT in usable:
        usable = split_by_hash(usable[UNSPLIT], options.seed, options.shares)
    usable = {split: sets for split, sets in usable.items() if all(sets)}
    halved = [checked[item.files[0]] for sets in usable.values() for item in sets[0] if item.is_halved]
    is_seamless = is_seamless and any(item.is_halved for item in items)
    is_tall = is_auto and bool(halved) and all(one.height >= one.width for one in halved)
    if is_seamless or is_tall:
        why = "the left half of the images continues in the right one"
        why = why if is_seamless else "no image is wider than high"
        fix = (
            "if they are, give --layout side-by-side; else put A on the left and B on the right of one "
            "image, or into folders A/ and B/, or give a --task that makes pairs of photos"
        )
        findings.append(Finding("warning", "not-pairs", f"{why}: are they pairs, side by side?", fix))
    return Survey(layout, usable, checked, faulty, findings, UNSPLIT in splits, is_seamless)


def _ignored_of(
    splits: Mapping[str, Sets], ignored: tuple[float | None, float | None], sides_are_apart: bool
) -> dict[Path, float | None]:
    """Returns for each file the number of its pixels without a value."""
    if not sides_are_apart:  # one file has both sides, or the only one
        ignored = (ignored[0] if ignored[1] is None else ignored[1],) * 2
    return {
        file: ignored[number + at]
        for sets in splits.values()
        for number, items in enumerate(sets)
        for item in items
        for at, file in enumerate(item.files)
    }


def _index_file(folder: Path, cache_dir: Path | None) -> Path | None:
    if cache_dir is None:
        return None
    digest = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()
    return cache_dir / f"checked-images-{digest[:16]}.json"


# ---------------------------------------------------------------- what the check of the files shows


def _unusable(
    items: Sequence[Item], checked: Mapping[Path, CheckedImage], skip_bad_images: bool
) -> tuple[list[Path], list[Finding]]:
    """Returns the files that can't be used, and the findings that name them."""
    unreadable = [Case((file,), one.problem) for file, one in checked.items() if one.problem]
    damaged = {file for case in unreadable for file in case.files}
    readable = [item for item in items if damaged.isdisjoint(item.files)]
    too_small = [case for item in readable for case in _too_small(item, checked)]
    severity: Severity = "warning" if skip_bad_images else "error"
    skipped, or_skip = (
        (", left out", "") if skip_bad_images else ("", ", or leave out with --skip-bad-images")
    )
    findings = [
        *found(
            severity, "unreadable", "image", f"that can't be decoded{skipped}",
            f"replace or convert{or_skip}", unreadable,
        ),
        *found(
            severity, "too-few-pixels", "image", f"of too few pixels{skipped}",
            f"replace or delete{or_skip}", too_small,
        ),
    ]  # fmt: skip
    return [file for case in (*unreadable, *too_small) for file in case.files], findings


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
    splits: Mapping[str, Sets], checked: Mapping[Path, CheckedImage], ranges: Sequence[ValueRange | None]
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
        for items in (
            [item for of_split in each for item in of_split] for each in zip(*splits.values(), strict=True)
        )
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
            if checked[file].values is None and (level := checked[file].nodata_level(16)) is not None:
                first.setdefault(level, file)
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


def _value_findings(survey: Survey, sides: Sequence[tuple[PixelFormat, ...]]) -> Iterator[Finding]:
    """Yields what may be wrong with the numbers of each side; halves are one."""
    places = [(items, at) for items in survey.used() for at in range(len(items[0].files))]
    names = (" on side A", " on side B") if len(places) == 2 else ("",)
    for name, (items, at), side in zip(names, places, itertools.chain(*sides), strict=False):
        numbers = {file: survey.checked[file].numbers for file in (item.files[at] for item in items)}
        known = {file: each for file, each in numbers.items() if each is not None}
        yield from value_findings(name, known, side.value_range or (0, 2**side.bits - 1))


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
    sides: Sequence[tuple[PixelFormat, ...]],
    ranges: Sequence[ValueRange | None],
    channels: Sequence[int | None],
    folder: Path,
) -> list[tuple[PixelFormat, ...]]:
    """Returns the sides of each set with the ranges that were asked for, the last ones of fewer sides.

    If one channel more is asked for than pictures have, and all have alpha, that is read as a band.

    Raises:
        DataError: the images' whole numbers would nearly all be one end of the range or the other.
    """
    count = sum(map(len, sides))
    asked = iter(zip(ranges[-count:], channels[-count:], strict=True))

    def one(side: PixelFormat) -> PixelFormat:
        values, wanted = next(asked)
        if side.has_alpha and wanted == side.channels + 1:
            side = dataclasses.replace(side, channels=wanted)
        if values is None:
            return side
        if side.value_range is None and values[1] - values[0] < _FEWEST_LEVELS:
            raise DataError(
                f"{folder}: its images hold whole numbers from 0 to {2**side.bits - 1}, of which hardly any "
                f"lie between {values[0]:g} and {values[1]:g}; give --input-range and --output-range in "
                "these numbers"
            )
        missing = None if side.missing is None else 0
        return dataclasses.replace(side, bits=16, value_range=values, missing=missing)

    return [tuple(map(one, of_set)) for of_set in sides]


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
