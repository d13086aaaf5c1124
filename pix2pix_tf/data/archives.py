"""Extracts the images of a data set from an untrusted .tar.gz or .zip archive."""

from __future__ import annotations

import contextlib
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

_LARGEST_IMAGE = 2**28  # bytes; every readable image is smaller
_MOST_EXPANSION = 8  # images hardly compress; a higher ratio indicates a decompression bomb
_DAMAGE = (  # errors raised for damaged, encrypted or unknown content
    tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, NotImplementedError,
    RuntimeError, ValueError,
)  # fmt: skip

Members = Iterator[tuple[str, int, Callable[[], Any]]]
"""Path, size and opener of each regular file. A file must be read before the next one is taken."""


def extract_images(
    archive: Path, folder: Path, name: str, splits: Sequence[str], counts: Mapping[str, int]
) -> None:
    """Writes the images NAME/SPLIT/FILE of an archive to ``folder``/SPLIT/FILE; skips all other members.

    Raises `DataError` if the archive is damaged or unsafe, has no training images, or doesn't have the
    numbers of images in ``counts``.
    """

    advice = "give a different file with --archive, or delete the downloaded file to fetch it again"

    def refusal(problem: str) -> DataError:
        return DataError(f"{archive}: {printable(problem)}; {advice}")

    total, what = archive.stat().st_size, f"extracting {archive.name}"
    bar = tqdm(None, what, total, unit="B", unit_scale=True, delay=2, leave=False, disable=None)
    found = dict.fromkeys(splits, 0)
    left = _LARGEST_IMAGE + _MOST_EXPANSION * total
    with open_archive(archive, advice) as (file, members), bar:
        for path, size, open_member in members:
            path = path.replace("\\", "/")  # apply Windows' rules on every system
            parts = PurePosixPath(path).parts
            if path.startswith("/") or re.match("[A-Za-z]:", path) or ".." in parts:
                raise refusal(f"unsafe path {path!r} points outside of the folder")
            if len(parts) != 3 or parts[0] != name or parts[1] not in found or not is_image_file(Path(path)):
                continue
            left -= size
            if size > _LARGEST_IMAGE or left < 0:
                raise refusal(f"{path} is too large for an image when extracted")
            target = folder.joinpath(*parts[1:])
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with open_member() as content, target.open("xb") as written:
                    shutil.copyfileobj(content, written)
            except FileExistsError:
                raise refusal(f"duplicate file {path}") from None
            found[parts[1]] += 1
            bar.update(file.tell() - bar.n)
    for split, count in found.items():
        if count == 0 and split.startswith("train"):
            raise refusal(f"no images in {name}/{split}")
        if count not in (0, counts.get(split, count)):
            raise refusal(f"{count} images in {name}/{split} instead of {counts[split]}")


@contextlib.contextmanager
def open_archive(archive: Path, advice: str) -> Iterator[tuple[IO[bytes], Members]]:
    """Opens an archive; errors in reading it are one line that ends with ``advice``."""
    try:
        file = archive.open("rb")
    except OSError as error:
        raise SystemFault(f"can't read {archive} ({error.strerror or error})") from error
    with file:
        try:
            yield file, _members(file)
        except _DAMAGE as error:
            problem = printable(f"damaged, or not a .tar.gz or .zip file ({error})")
            raise DataError(f"{archive}: {problem}; {advice}") from error


def _members(file: IO[bytes]) -> Members:
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
        # tarfile stops at the end-of-archive marker, but gzip verifies its checksum at the end of the stream.
        while stream.read(1 << 20):
            pass
