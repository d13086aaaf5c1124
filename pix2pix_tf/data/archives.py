"""Extracts the images of a data set from a .tar.gz or .zip, whose content isn't trusted."""

from __future__ import annotations

import functools
import gzip
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any

from tqdm import tqdm

from pix2pix_tf.data.layout import is_image_file
from pix2pix_tf.errors import DataError, SystemFault
from pix2pix_tf.files import printable

_LARGEST_IMAGE = 2**28  # bytes: more than the largest image that is read
_MOST_EXPANSION = 8  # images hardly shrink in an archive; what does is made to fill the disk
_DAMAGE = (  # what is raised for damaged, encrypted or unknown content
    tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, NotImplementedError,
    RuntimeError, ValueError,
)  # fmt: skip


def extract_images(
    archive: Path, folder: Path, name: str, splits: Sequence[str], counts: Mapping[str, int]
) -> None:
    """Writes the images NAME/SPLIT/FILE of an archive to ``folder``/SPLIT/FILE, and nothing else.

    Raises `DataError` if it is damaged, unsafe or of another data set: without a split to train on, or with
    another number of images than in ``counts``.
    """

    def refusal(problem: str) -> DataError:
        advice = "give another file with --archive, or delete a downloaded one to fetch it again"
        return DataError(f"{archive}: {printable(problem)}; {advice}")

    try:
        file = archive.open("rb")
    except OSError as error:
        raise SystemFault(f"can't read {archive} ({error.strerror or error})") from error
    total, what = archive.stat().st_size, f"extracting {archive.name}"
    bar = tqdm(None, what, total, unit="B", unit_scale=True, delay=2, leave=False, disable=None)
    found = dict.fromkeys(splits, 0)
    left = _LARGEST_IMAGE + _MOST_EXPANSION * total
    with file, bar:
        try:
            for path, size, open_member in _members(file):
                path = path.replace("\\", "/")  # so that an archive is safe on all systems or on none
                parts = PurePosixPath(path).parts
                if path.startswith("/") or re.match("[A-Za-z]:", path) or ".." in parts:
                    raise refusal(f"not safe, {path!r} leads out of its folder")
                if (
                    len(parts) != 3
                    or parts[0] != name
                    or parts[1] not in found
                    or not is_image_file(Path(path))
                ):
                    continue
                left -= size
                if size > _LARGEST_IMAGE or left < 0:
                    raise refusal(f"{path} expands to more bytes than images do")
                target = folder.joinpath(*parts[1:])
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    with open_member() as content, target.open("xb") as written:
                        shutil.copyfileobj(content, written)
                except FileExistsError:
                    raise refusal(f"{path} is there twice") from None
                found[parts[1]] += 1
                bar.update(file.tell() - bar.n)
        except _DAMAGE as error:
            raise refusal(f"damaged, or neither a .tar.gz nor a .zip ({error})") from error
    for split, count in found.items():
        if count == 0 and split.startswith("train"):
            raise refusal(f"no images in {name}/{split}")
        if count not in (0, counts.get(split, count)):
            raise refusal(f"{count} images in {name}/{split} instead of {counts[split]}")


def _members(file: IO[bytes]) -> Iterator[tuple[str, int, Callable[[], Any]]]:
    """Yields path, size and an opener of each regular file, to be read before the next one is asked for."""
    is_zip = file.read(2) == b"PK"
    file.seek(0)
    if is_zip:
        with zipfile.ZipFile(file) as packed:
            for entry in packed.infolist():
                if not entry.is_dir():
                    yield entry.filename, entry.file_size, functools.partial(packed.open, entry)
        return
    with gzip.open(file) as stream:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=1 << 20) as tar:
            for member in tar:
                if member.isreg():
                    yield member.name, member.size, functools.partial(tar.extractfile, member)
        # tar stops at its end mark, but gzip verifies its checksum only when everything is read.
        while stream.read(1 << 20):
            pass
