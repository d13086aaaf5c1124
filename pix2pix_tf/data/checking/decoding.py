"""Decodes every image file once to find damaged files before training, and caches the results."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pix2pix_tf.data import reading
from pix2pix_tf.data.checking.appearance import Appearance, appearance_of_halves, seam_of
from pix2pix_tf.data.reading.numbers import Numbers
from pix2pix_tf.errors import DataError, SystemFault
from pix2pix_tf.files import write_whole

# Increase when the set of accepted files or the fields of `CheckedImage` change.
INDEX_VERSION = 10

_Stamp = tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class CheckedImage(reading.ImageHeader):
    """Result of decoding an image file; width and height are 0 if it can't be decoded."""

    ignore: float | None = None  # value that marks missing pixels, in addition to the file's own nodata value
    problem: str = ""  # why the file can't be used
    appearances: Sequence[Appearance] | None = None  # of the halves, if requested
    digests: Sequence[int] = (0, 0, 0)  # of the whole image, the left half and the right half
    seam: float | None = None  # see seam_of


def check_image(path: Path, ignore: float | None = None, with_appearance: bool = False) -> CheckedImage:
    """Decodes and summarizes an image file."""
    try:
        header, pixels, digests = reading.inspect_image(path, ignore)
    except DataError as error:
        return CheckedImage(0, 0, 3, 8, problem=str(error).removeprefix(f"{path}: "))
    appearances = appearance_of_halves(pixels) if with_appearance else None
    return CheckedImage(
        **vars(header), ignore=ignore, appearances=appearances, digests=digests, seam=seam_of(pixels)
    )


def check_images(
    paths: Mapping[Path, float | None], index_file: Path | None, with_appearance: bool = False
) -> dict[Path, CheckedImage]:
    """Checks image files in parallel; takes the results of unchanged files from ``index_file``.

    ``paths`` maps each file to the value that marks its missing pixels.
    """
    known = _read_index(index_file) if index_file else {}
    stamps = {path: _stamp(path, ignore) for path, ignore in paths.items()}
    checked = {path: known[stamp] for path, stamp in stamps.items() if stamp in known}
    if with_appearance:
        checked = {path: one for path, one in checked.items() if one.appearances or one.problem}
    unknown = [path for path in paths if path not in checked]
    executor = ThreadPoolExecutor(max_workers=os.cpu_count())
    ignored = [paths[path] for path in unknown]
    outcomes = executor.map(check_image, unknown, ignored, itertools.repeat(with_appearance))
    bar = tqdm(outcomes, "checking images", len(unknown), unit="image", delay=2, leave=False, disable=None)
    try:
        for path, outcome in zip(unknown, bar, strict=True):
            checked[path] = outcome
    finally:  # keep partial results after an interruption
        executor.shutdown(cancel_futures=True)
        bar.close()
        if unknown and index_file:
            files = [[*stamps[path], vars(outcome)] for path, outcome in checked.items()]
            with contextlib.suppress(SystemFault):  # the index only saves time
                write_whole(index_file, json.dumps({"version": INDEX_VERSION, "files": files}))
    return checked


def _stamp(path: Path, ignore: float | None) -> _Stamp:
    """Returns path, size, mtime, ctime (which users can't set) and the value that marks missing pixels."""
    try:
        stat = path.stat()
    except OSError:  # check_image reports it
        return (os.path.abspath(path),)
    return (os.path.abspath(path), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, ignore)


def _read_index(index_file: Path) -> dict[_Stamp, CheckedImage]:
    checked = {}
    try:
        index: Any = json.loads(index_file.read_text(encoding="utf-8"))
        for *stamp, fields in index["files"] if index["version"] == INDEX_VERSION else ():
            fields["digests"] = tuple(fields["digests"])
            if numbers := fields["numbers"]:
                fields["numbers"] = Numbers(*numbers)
            if appearances := fields["appearances"]:
                fields["appearances"] = [Appearance(*each) for each in appearances]
            checked[tuple(stamp)] = CheckedImage(**fields)
    except (OSError, ValueError, TypeError, KeyError):
        return {}
    return checked
