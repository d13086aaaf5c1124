"""Opens a user's folder of images as a data set, after checking its layout and every file."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import os
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import tensorflow as tf

from pix2pix_tf.config import DataKind, Layout, TrainConfig
from pix2pix_tf.data.checking.decoding import CheckedImage, check_images
from pix2pix_tf.data.checking.findings import MOST_NAMED, Case, Finding, found
from pix2pix_tf.data.checking.values import suspicious_values
from pix2pix_tf.data.dataset import ImageDataset, Images, sides_of_sets
from pix2pix_tf.data.layout import UNSPLIT, Item, Sets, Survey, list_folder, split_by_hash
from pix2pix_tf.data.names import data_root
from pix2pix_tf.data.pixel_format import WITH_ALPHA, PixelFormat, ValueRange
from pix2pix_tf.data.pixels import split_side_by_side
from pix2pix_tf.data.reading import load_in_pipeline
from pix2pix_tf.errors import ConfigError, DataError
from pix2pix_tf.files import printable
from pix2pix_tf.wording import counted, quoted

_FEWEST_SEAMS = 5  # files needed to tell photos from pairs
_SEAMLESS = 1.6  # limit on `seam_of`: photos have about 1, pairs 4 or more
_FEWEST_LEVELS = 16  # smallest width of a range for integer images


def open_folder(folder: Path, config: TrainConfig, kind: DataKind) -> ImageDataset:
    """Opens a folder in one of the layouts of `LAYOUTS`, after decoding every image once.

    Images in one folder per split are side-by-side pairs; if images are requested, only if all are exactly
    twice as wide as high. Images in folders A and B are paired by name for pairs, and unpaired otherwise.

    Returns:
        The data set, of the folder's own kind: side-by-side files are always pairs, and folders A and B are
        unpaired if images are requested. Names are paths relative to the split's folder, without suffix, in
        Unicode form NFC and natural order (2 before 10).

    Raises:
        DataError: The folder has problems that stop training.
        SystemFault: The folder or a file in it can't be read.
    """
    survey = usable_survey(folder, config, kind)
    sides = requested_formats(formats_of(survey), config, kind, folder)
    return ImageDataset(
        name=printable(folder.resolve().name),
        sides=sides,
        splits={
            name: tuple(
                Images(
                    [item.name for item in items],
                    _reader(items, of_set),
                    functools.partial(digests_of, items, survey),
                )
                for items, of_set in zip(sets, sides_of_sets(sides, sets), strict=True)
            )
            for name, sets in survey.splits.items()
        },
        skipped=[printable(os.fspath(file)) for file in survey.bad_files],
        used=frozenset(("split_seed", "val_share", "test_share") if survey.is_split_here else ()),
        notes=[finding.line(folder) for finding in suspicious_values(survey, sides)],
    )


def usable_survey(folder: Path, config: TrainConfig, kind: DataKind) -> Survey:
    """Surveys a folder; raises ``DataError`` if a problem stops training."""
    survey = survey_folder(folder, config, kind)
    refused = [each for each in survey.findings if each.severity == "error" or each.code == "not-pairs"]
    check = f"pix2pix data check {quoted(folder)}"
    if refused:
        is_whole = len(refused) == 1 and len(refused[0].cases) <= MOST_NAMED
        more = "" if is_whole else f" (see {check} for all problems)"
        raise DataError(printable(f"{folder}: {refused[0].line(folder)}{more}"))
    if not survey.splits:
        raise DataError(printable(f"{folder}: none of its images can be used; see {check}"))
    return survey


def survey_folder(folder: Path, config: TrainConfig, kind: DataKind, with_appearance: bool = False) -> Survey:
    """Lists and checks the files of a folder; ``with_appearance`` adds a summary of every image.

    Raises:
        SystemFault: The folder or a file in it can't be read.
    """
    data = config.data
    survey = list_folder(folder, kind, data.layout)
    if not survey.splits:
        return survey
    sides, ignored = survey.files_by_side(), data.ignored
    if len(sides) == 1:  # one value applies to both sides
        ignored = (ignored[0] if ignored[1] is None else ignored[1],) * 2
    digest = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()
    index_file = data_root(data.data_dir) / f"checked-images-{digest[:16]}.json"
    ignored_in = {file: value for files, value in zip(sides, ignored, strict=False) for file in files}
    checked = check_images(ignored_in, index_file, with_appearance)
    layout, is_halved = survey.layout, survey.is_halved
    if kind == "images" and len(sides) == 1:
        is_halved = data.layout == "side-by-side" or _are_square_pairs(list(checked.values()))
        layout = layout.replace("images", "side-by-side images", 1) if is_halved else layout
    problems = _problems_of_files(checked, parts=2 if is_halved else 1)
    splits: Mapping[str, Sets] = {
        split: tuple([item for item in items if problems.keys().isdisjoint(item.files)] for items in sets)
        for split, sets in survey.splits.items()
    }
    is_split_here = UNSPLIT in splits
    if is_split_here:
        splits = split_by_hash(splits[UNSPLIT], config.split_seed, (data.val_share, data.test_share))
    survey = dataclasses.replace(
        survey,
        layout=layout,
        splits={split: sets for split, sets in splits.items() if all(sets)},
        is_halved=is_halved,
        checked=checked,
        bad_files=list(problems),
        is_split_here=is_split_here,
    )
    findings = [
        *survey.findings,
        *_unusable(problems, data.skip_bad_images),
        *_differences(survey, config, kind),
        *_unlike_pairs(survey, data.layout),
    ]
    return dataclasses.replace(survey, findings=findings)


# ---------------------------------------------------------------- results of checking files


def _are_square_pairs(images: Sequence[CheckedImage]) -> bool:
    """Whether files look like side-by-side pairs of square images."""
    readable = [one for one in images if not one.problem]
    are_twice_as_wide = bool(readable) and all(one.width == 2 * one.height for one in readable)
    return are_twice_as_wide and not _are_seamless(images)


def _are_seamless(images: Sequence[CheckedImage]) -> bool:
    """Whether files look like photos instead of side-by-side pairs."""
    known = [one.seam for one in images if one.seam is not None]
    return 2 * len(known) >= max(len(images), 2 * _FEWEST_SEAMS) and statistics.median(known) < _SEAMLESS


def _problems_of_files(checked: Mapping[Path, CheckedImage], parts: int) -> dict[Path, str]:
    """Returns why files can't be used; each must hold ``parts`` images side by side."""
    problems = {}
    for file, one in checked.items():
        if one.problem:
            problems[file] = one.problem
        elif one.width < parts or one.width * one.height <= parts:
            problems[file] = f"too few pixels: {one.width}x{one.height}"
    return problems


def _unusable(problems: Mapping[Path, str], skip: bool) -> Iterator[Finding]:
    cases = [Case((file,), problem) for file, problem in problems.items()]
    message, fix = "that can't be used", "replace or convert"
    if skip:
        yield from found("warning", "unreadable", "image", f"{message} (skipped)", fix, cases)
    else:
        fix += ", or skip with --skip-bad-images"
        yield from found("error", "unreadable", "image", message, fix, cases)


def _differences(survey: Survey, config: TrainConfig, kind: DataKind) -> Iterator[Finding]:
    """Yields images that differ from the others of their side, or from the other image of their pair."""
    bands, nodata = [], []
    sides = survey.files_by_side()
    ranges = [values for values, *_ in _requests(config, kind, 2 if survey.is_halved else len(sides))]
    ranges_of = [ranges] if survey.is_halved else [[values] for values in ranges]
    for files, side_ranges in zip(sides, ranges_of, strict=False):
        first = survey.checked[files[0]]
        first_with: dict[int, Path] = {}
        for file in files:
            one = survey.checked[file]
            # Gray and RGB may be mixed; other band counts must be equal.
            if (max(3, one.channels), not one.values) != (max(3, first.channels), not first.values):
                bands.append(Case((file,), f"{_bands(one)}, not {_bands(first)}"))
            if not one.values and (level := one.nodata_level(16)) is not None:
                first_with.setdefault(level, file)
        # One file's nodata value could be a valid value in another file. With a value range, all missing
        # pixels become 0 instead.
        if len(first_with) > 1 and None in side_ranges:
            nodata.append(Case(tuple(first_with.values())[:2]))
    unequal = []
    for item in itertools.chain(*survey.sets()):
        images = [survey.checked[file] for file in item.files]
        sizes = [f"{one.width}x{one.height}" for one in images]
        if len(set(sizes)) > 1:
            unequal.append(Case(item.files, " and ".join(sizes)))
    message = "with different channels or a different type (measurements or not) than the first on their side"
    fix = "make all images of a side equal in channels and type"
    yield from found("error", "other-bands", "image", message, fix, bands)
    message = "of one side with different nodata values: one file's nodata may be a valid value in another"
    fix = "use one nodata value for all images of a side, or set --output-range or --input-range"
    yield from found("error", "other-nodata", "image", message, fix, nodata)
    message, fix = "with sides of different sizes", "crop or resize both sides to the same size"
    yield from found("error", "different-sizes", "pair", message, fix, unequal)


def _unlike_pairs(survey: Survey, layout: Layout) -> Iterator[Finding]:
    """Yields a finding if side-by-side files may be single images."""
    if layout != "auto" or not survey.is_halved or not survey.splits:
        return
    used = [survey.checked[file] for file in itertools.chain(*survey.files_by_side())]
    if _are_seamless(list(survey.checked.values())):
        code, why = "not-pairs", "the two halves of the images have no visible border"
    elif all(one.height >= one.width for one in used):
        code, why = "tall-pairs", "no image is wider than high"
    else:
        return
    fix = (
        "if they are pairs, add --layout side-by-side; else put A and B side by side into one image or into "
        "folders A/ and B/, or use a --task, which makes pairs from photos"
    )
    message = f"{why}: they may not be side-by-side pairs"
    yield Finding("warning", code, message, fix, settings={"task": "colorize"})


def _bands(image: CheckedImage) -> str:
    return f"{image.channels}{' of measurements' if image.values else ''}"


# ---------------------------------------------------------------- pixel formats and reading


def formats_of(survey: Survey) -> list[PixelFormat]:
    """Returns the format of each side; both halves of side-by-side files have the same format."""
    formats = []
    for files in survey.files_by_side():
        images = [survey.checked[file] for file in files]
        bits: Literal[8, 16] = 16 if any(one.bits == 16 for one in images) else 8
        ranges = [one.values for one in images if one.values is not None]
        low, high = min((one[0] for one in ranges), default=0), max((one[1] for one in ranges), default=0)
        with_missing = [one for one in images if one.numbers and one.numbers.missing]
        has_colors_only = not ranges and all(one.channels == 3 for one in images)
        form = PixelFormat(
            channels=max(one.channels for one in images),
            bits=bits,
            value_range=(low, max(high, low + 1e-6)) if ranges else None,
            missing=(0 if ranges else with_missing[0].nodata_level(bits) or 0) if with_missing else None,
            ignore=None if has_colors_only else images[0].ignore,
            has_alpha=all(one.has_alpha for one in images),
        )
        formats += [form, form] if survey.is_halved else [form]
    return formats


def requested_formats(
    sides: Sequence[PixelFormat], config: TrainConfig, kind: DataKind, dataset: object
) -> tuple[PixelFormat, ...]:
    """Applies the configured ranges and channels to the formats of the files.

    Gray and RGB are converted to each other; one channel more than the files have reads alpha: as the alpha
    of pix2pix's outputs, unless --output-alpha is false, else as a band.

    Raises:
        ConfigError: Images can't be converted to the requested channels.
        DataError: The range is too narrow for integer images, so that nearly all values would be clipped.
    """
    requested = []
    for side, (values, wanted, has_alpha) in zip(sides, _requests(config, kind, len(sides)), strict=True):
        count = wanted or side.channels
        is_alpha = side.has_alpha and count == side.channels + 1
        if count != side.channels and not is_alpha and not {count, side.channels} <= {1, 3}:
            raise ConfigError(
                f"{dataset}: can't convert images with {counted(side.channels, 'channel')} to {count}; only "
                "gray and RGB can be converted to each other, and alpha to a band"
            )
        has_alpha = count in WITH_ALPHA and (is_alpha if has_alpha is None else has_alpha)
        side = dataclasses.replace(side, channels=count, has_alpha=has_alpha)
        if values is not None:
            if side.value_range is None and values[1] - values[0] < _FEWEST_LEVELS:
                raise DataError(
                    f"{dataset}: the images have integers from 0 to {side.stored_range[1]}, so a range from "
                    f"{values[0]:g} to {values[1]:g} would clip nearly all; give --input-range and "
                    "--output-range as integers of the files"
                )
            missing = None if side.missing is None else 0
            side = dataclasses.replace(side, bits=16, value_range=values, missing=missing)
        requested.append(side)
    return tuple(requested)


def _requests(
    config: TrainConfig, kind: DataKind, sides: int
) -> list[tuple[ValueRange | None, int | None, bool | None]]:
    """Returns the configured value range, channels and use of alpha of A and B, or of images alone."""
    data, model = config.data, config.model
    # The files' declaration applies to pix2pix only; a student that has inputs alone inherits it.
    alpha = data.output_alpha if model.data == "pairs" else bool(data.output_alpha)
    alpha = alpha if kind == "pairs" else False
    requests: list[tuple[ValueRange | None, int | None, bool | None]] = [
        (data.input_range, data.input_channels, False),
        (data.output_range, data.output_channels, alpha),
    ]
    if sides == 1:
        return [requests[model.side]]
    if kind == "images":
        requests[1 - model.side] = (None, None, False)  # the other side of pairs is not used
    if model.data != "unpaired" and data.direction == "BtoA":  # B is the input
        requests.reverse()
    return requests


def digests_of(items: Sequence[Item], survey: Survey) -> np.ndarray:
    """Returns the digests of each item's images, ``uint64`` [items, images]."""
    # The digests of a file are of the whole image, its left half and its right half.
    sides = slice(1, 3) if survey.is_halved else slice(0, 1)
    digests = [[survey.checked[file].digests[sides] for file in item.files] for item in items]
    return np.array(digests, np.uint64).reshape(len(items), -1)


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
    """Returns the image of each side, from one file per side or from halves of a single file.

    ``files`` are string scalars, which are passed to ``read``.
    """
    if len(files) == len(sides):
        return tuple(read(file, side) for file, side in zip(files, sides, strict=True))
    pairs = [split_side_by_side(read(files[0], side)) for side in dict.fromkeys(sides)]  # mostly one
    return pairs[0][0], pairs[-1][1]
