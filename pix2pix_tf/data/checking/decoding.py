"""Decodes every image file once, to find the broken ones before training, and remembers the outcome."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pix2pix_tf.data import images
from pix2pix_tf.data.checking.appearance import Look, look_at, seam_of
from pix2pix_tf.data.rasters import Numbers
from pix2pix_tf.errors import DataError, SystemFault
from pix2pix_tf.files import write_whole

# To be raised when the decoder accepts or refuses other files than before, or a look has other facts.
INDEX_VERSION = 8
_SECONDS_BEFORE_PROGRESS = 2.0


@dataclasses.dataclass(frozen=True)
class CheckedImage:
    """What decoding an image file has shown.

    Args:
        height: in pixels, as decoded; 0 if it can't be.
        width: likewise.
        channels: 1 (grey), 3, or the bands of a raster.
        bits: of each sample, 8 or 16.
        values: the lowest and highest of a raster that isn't of 8-bit levels.
        numbers: what its numbers are like.
        has_alpha: whether there is an alpha channel, which ``channels`` doesn't count.
        ignore: the number of its pixels without a value, besides what it declares.
        problem: one line that says why the file can't be used, naming it; empty if it can.
        looks: what its left and its right half look like, if that was asked for.
        digests: of its pixels, and of those of its left and its right half.
        seam: as in `pix2pix_tf.data.checking.appearance.seam_of`.
    """

    height: int = 0
    width: int = 0
    channels: int = 3
    bits: int = 8
    values: tuple[float, float] | None = None
    numbers: Numbers | None = None
    has_alpha: bool = False
    ignore: float | None = None
    problem: str = ""
    looks: tuple[Look, Look] | None = None
    digests: tuple[int, ...] = (0, 0, 0)
    seam: float | None = None

    @property
    def has_colours(self) -> bool:
        """Whether it is a picture, not a raster of measurements or of more bands than colours have."""
        return self.values is None and self.channels in (1, 3)


def check_image(path: Path, ignore: float | None = None, with_looks: bool = False) -> CheckedImage:
    """Decodes an image file, once."""
    try:
        header, pixels, digests = images.read_image(path, ignore)
    except DataError as error:
        return CheckedImage(problem=str(error))
    looks = look_at(pixels) if with_looks else None
    seam = seam_of(pixels)
    return CheckedImage(**vars(header), ignore=ignore, looks=looks, digests=digests, seam=seam)


def digests_of_file(data: bytes) -> tuple[int, int, int]:
    """Returns the `content_digests` of the bytes of an image file; zeros where it can't be decoded."""
    try:
        return images.decode_stored(io.BytesIO(data))[2]
    except DataError:
        return (0, 0, 0)


def check_images(
    paths: Mapping[Path, float | None], index_file: Path | None, show_progress: bool, with_looks: bool = False
) -> dict[Path, CheckedImage]:
    """Checks image files in parallel, except those that are unchanged since they were checked before."""
    known = _read_index(index_file)
    stamps = {path: (*_stamp(path), ignore) for path, ignore in paths.items()}
    checked = {path: known[stamp] for path, stamp in stamps.items() if stamp in known}
    unknown = [
        path
        for path in paths
        if path not in checked or (with_looks and not (checked[path].looks or checked[path].problem))
    ]
    check = functools.partial(check_image, with_looks=True) if with_looks else check_image
    try:
        outcomes = _in_parallel(check, unknown, [paths[path] for path in unknown], show_progress)
        for path, outcome in zip(unknown, outcomes, strict=True):
            checked[path] = outcome
    finally:  # what was checked before an interruption is not checked again
        if unknown:
            _write_index(index_file, {stamps[path]: outcome for path, outcome in checked.items()})
    return checked


def _in_parallel(
    check: Callable[[Path, float | None], CheckedImage],
    paths: Sequence[Path],
    ignored: Sequence[float | None],
    show_progress: bool,
) -> Iterator[CheckedImage]:
    executor = ThreadPoolExecutor(max_workers=os.cpu_count())
    try:
        outcomes = executor.map(check, paths, ignored)
        yield from tqdm(
            outcomes,
            desc="checking images",
            total=len(paths),
            unit="image",
            delay=_SECONDS_BEFORE_PROGRESS,
            leave=False,
            disable=None if show_progress else True,  # None: only on a terminal
        )
    finally:
        executor.shutdown(cancel_futures=True)


# A file's path, size, when its content and anything of it was changed (only the first can be set), and what
# is ignored in it.
_Stamp = tuple[str, int, int, int, float | None]


def _stamp(path: Path) -> tuple[str, int, int, int]:
    try:
        stat = path.stat()
    except OSError:  # reported by the check
        return (os.path.abspath(path), -1, -1, -1)
    return (os.path.abspath(path), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def _read_index(index_file: Path | None) -> dict[_Stamp, CheckedImage]:
    if index_file is None:
        return {}
    try:
        index: Any = json.loads(index_file.read_text(encoding="utf-8"))
        if index["version"] != INDEX_VERSION:
            return {}
        return {tuple(stamp): _remembered(**outcome) for *stamp, outcome in index["files"]}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _remembered(
    looks: Sequence[Sequence[Any]] | None,
    numbers: Sequence[Any] | None,
    digests: Sequence[int],
    **facts: Any,
) -> CheckedImage:
    return CheckedImage(
        **facts,
        looks=None if looks is None else (Look(*looks[0]), Look(*looks[1])),
        numbers=None if numbers is None else Numbers(tuple(numbers[0]), tuple(numbers[1]), *numbers[2:]),
        digests=tuple(digests),
    )


def _write_index(index_file: Path | None, outcomes: dict[_Stamp, CheckedImage]) -> None:
    if index_file is None:
        return
    files = [[*stamp, vars(outcome)] for stamp, outcome in outcomes.items()]
    with contextlib.suppress(SystemFault):  # the index only saves time
        write_whole(index_file, json.dumps({"version": INDEX_VERSION, "files": files}))
