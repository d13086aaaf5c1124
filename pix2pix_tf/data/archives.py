"""Reads images from the pix2pix ``.tar.gz`` archives without extracting them or trusting their content."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import gzip
import posixpath
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from pix2pix_tf.errors import DataError, SystemFault
from pix2pix_tf.files import printable

_SPLITS = ("train", "val", "test")
_LARGEST_IMAGE = 2**28  # bytes: more than the largest JPEG that is read


@dataclasses.dataclass(frozen=True)
class Archive:
    """A ``.tar.gz``; one that was ``downloaded`` by this program may be deleted, a user's own may not."""

    path: Path
    downloaded: bool

    def error(self, problem: str) -> DataError:
        """Returns an error about the file's content, with advice."""
        if self.downloaded:
            advice = "delete the file and run again, or give another with --archive FILE"
        else:
            advice = "give another file with --archive, or leave it out to download"
        return DataError(f"{self.path}: {problem}; {advice}")


@dataclasses.dataclass(frozen=True)
class ArchivedImage:
    """An image in an archive, readable until the iteration continues. ``name`` has no suffix."""

    split: str
    name: str
    member: tarfile.TarInfo
    tar: tarfile.TarFile

    @property
    def path(self) -> str:
        """The path inside the archive."""
        return printable(self.member.name)

    def read(self) -> bytes:
        file = self.tar.extractfile(self.member)
        assert file is not None, "only regular files become an ArchivedImage"
        return file.read()


def check_contents(archive: Archive, dataset: str, counts: Mapping[str, int]) -> list[str]:
    """Reads a whole archive and returns the splits that it has.

    Raises `DataError` if the archive is damaged, unsafe, of another data set, without ``train``, or if a
    split has another number of images than in ``counts``.
    """
    names: dict[str, set[str]] = collections.defaultdict(set)
    for image in archived_images(archive, dataset):
        if image.name in names[image.split]:
            raise archive.error(f"{image.path} is there twice")
        names[image.split].add(image.name)
    if "train" not in names:
        raise archive.error(f"no images in {dataset}/train")
    for split, found in names.items():
        expected = counts.get(split, len(found))
        if len(found) != expected:
            raise archive.error(f"{len(found)} images in {dataset}/{split} instead of {expected}")
    return sorted(names)


def archived_images(archive: Archive, dataset: str) -> Iterator[ArchivedImage]:
    """Yields the images of NAME/SPLIT/ in the order of the archive, without writing to disk."""
    with _naming_damage(archive), gzip.open(archive.path) as stream:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=1 << 20) as tar:
            for member in tar:
                if _leaves_its_folder(member):
                    raise archive.error(f"not safe, {member.name!r} leads out of its folder")
                folder, file_name = posixpath.split(posixpath.normpath(member.name))
                name, ending = posixpath.splitext(file_name)
                split = folder.removeprefix(f"{dataset}/")
                is_image = ending.lower() in (".jpg", ".jpeg") and not name.startswith(".")
                if member.isreg() and is_image and folder != split and split in _SPLITS:
                    if member.size > _LARGEST_IMAGE:
                        raise archive.error(f"{printable(member.name)} claims {member.size} bytes")
                    yield ArchivedImage(split, printable(name), member, tar)
        # tar stops at its end mark, but gzip verifies its checksum only when everything is read.
        while stream.read(1 << 20):
            pass


@contextlib.contextmanager
def _naming_damage(archive: Archive) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise archive.error(f"damaged or not a .tar.gz ({error})") from error
    except OSError as error:
        raise SystemFault(f"can't read {archive.path} ({error.strerror or error})") from error


def _leaves_its_folder(member: tarfile.TarInfo) -> bool:
    if _is_outside(member.name):
        return True
    if member.issym():
        # Inside the archive, a link may point upwards as long as it stays below the top.
        target = posixpath.join(posixpath.dirname(member.name), member.linkname)
        return _is_outside(posixpath.normpath(target.replace("\\", "/")))
    return member.islnk() and _is_outside(member.linkname)


def _is_outside(path: str) -> bool:
    # Windows separators and drives count on every system, so that an archive is valid on all or none.
    path = path.replace("\\", "/")
    return path.startswith("/") or re.match("[A-Za-z]:", path) is not None or ".." in path.split("/")
