"""The pix2pix archives: what is in a ``.tar.gz``, read in place and without trust."""

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
_LARGEST_IMAGE = 2**28  # bytes: more than the largest JPEG that is read has


@dataclasses.dataclass(frozen=True)
class Archive:
    """A ``.tar.gz``, and whose it is.

    Args:
        path: the file.
        downloaded: it was downloaded here, so it may be deleted; otherwise it is the user's own.
    """

    path: Path
    downloaded: bool

    def error(self, problem: str) -> DataError:
        """Returns the error to raise for what is wrong inside the file."""
        if self.downloaded:
            advice = "delete the file and run again, or give another with `archive` FILE"
        else:
            advice = "give another file with `archive`, or leave it out to download"
        return DataError(f"{self.path}: {problem}; {advice}")


@dataclasses.dataclass(frozen=True)
class ArchivedImage:
    """An image met in an archive, readable until the next one is met.

    Args:
        split: train, val or test.
        name: its file's name without the ending.
        member: its place in ``tar``.
        tar: the archive.
    """

    split: str
    name: str
    member: tarfile.TarInfo
    tar: tarfile.TarFile

    @property
    def path(self) -> str:
        """The path inside the archive."""
        return printable(self.member.name)

    def read(self) -> bytes:
        """Returns the bytes of the file."""
        file = self.tar.extractfile(self.member)
        assert file is not None, "only regular files become an ArchivedImage"
        return file.read()


def check_contents(archive: Archive, dataset: str, counts: Mapping[str, int]) -> list[str]:
    """Reads an archive once, to its end.

    Args:
        archive: what to read.
        dataset: the name of the data set that it should hold.
        counts: the images that each split should have, as far as that is known.

    Returns:
        The splits that are there.

    Raises:
        DataError: it is damaged, unsafe, of another data set, without ``train``, or has a number of images
            that isn't the verified one.
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
    """Yields the images of NAME/SPLIT/ in the order of the archive, without writing anything to disk."""
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
        # tar stops at its own end mark; gzip compares its checksum only when all is read.
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
        # Inside the archive a link's target may climb, as long as it stays below the top.
        target = posixpath.join(posixpath.dirname(member.name), member.linkname)
        return _is_outside(posixpath.normpath(target.replace("\\", "/")))
    return member.islnk() and _is_outside(member.linkname)


def _is_outside(path: str) -> bool:
    # Windows' separators and drives count everywhere, so that no archive is good on one system only.
    path = path.replace("\\", "/")
    return path.startswith("/") or re.match("[A-Za-z]:", path) is not None or ".." in path.split("/")
