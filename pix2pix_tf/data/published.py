"""The images of any data set of tensorflow-datasets, above all of the unpaired ones of the CycleGAN paper.

Importing this module doesn't import TensorFlow.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow_datasets as tfds

from pix2pix_tf.data.names import CYCLE_GAN
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.preparing import (
    data_root,
    existing_archive,
    preparation,
    prepared_builder,
    prepared_counts,
    unusable,
)
from pix2pix_tf.data.records import open_split, record_digests
from pix2pix_tf.data.sets import ImageDataset, Images
from pix2pix_tf.errors import DataError, SystemFault
from pix2pix_tf.files import first_line

if TYPE_CHECKING:
    import tensorflow as tf

_FEATURE = "image"
_ALONE = {"train": ("train",), "val": ("validation", "val", "valid"), "test": ("test",)}
_UNPAIRED = ("trainA", "trainB", "testA", "testB")
_ANOTHER_ARCHIVE = "give another file with --archive, or leave it out to download"
_OTHER_WAYS = "a --data-dir where it is prepared, or a folder of its images as --dataset"


def is_published(name: str) -> bool:
    """Whether tensorflow-datasets has a data set NAME, or NAME of NAME/CONFIG."""
    try:
        tfds.builder_cls(name.split("/")[0])
    except tfds.core.registered.DatasetNotFoundError:
        return False
    return True


def published_counts(name: str, data_dir: Path | None) -> dict[str, int]:
    """Returns the images in each stored split of a prepared data set; nothing where it isn't prepared."""
    versions = sorted((data_root(data_dir) / name).glob("*.*.*"))
    return prepared_counts(versions[-1]) if versions else {}


def open_published_dataset(
    name: str,
    data_dir: Path | None,
    archive: Path | None = None,
    skip_bad_images: bool = False,
    show_progress: bool = True,
) -> ImageDataset:
    """Opens a data set of tensorflow-datasets, after downloading and preparing it if that was never done.

    Args:
        name: as tensorflow-datasets has it, such as ``cycle_gan/horse2zebra``.
        archive: of ``cycle_gan/NAME``, a local NAME.zip, used instead of a download.

    Returns:
        Unpaired sets where the splits are trainA, trainB and so on; else images, of the feature "image".
    """
    root = data_root(data_dir)
    builder = _prepared(name, root, archive, show_progress)
    side = _side(builder)
    skipped: list[str] = []
    splits = {
        split: tuple(_open_images(builder, one, side, skipped, show_progress) for one in stored)
        for split, stored in _splits(builder).items()
    }
    if skipped and not skip_bad_images:
        raise DataError(
            f"{builder.data_path}: image {skipped[0]} can't be decoded ({len(skipped)} in all are broken); "
            "--skip-bad-images leaves out what is broken"
        )
    if not all(map(len, splits["train"])):
        raise DataError(f"{builder.data_path}: none of the images to train on can be used")
    splits = {split: sets for split, sets in splits.items() if all(map(len, sets))}
    return ImageDataset(name, (side,) * len(splits["train"]), splits, skipped)


def _splits(builder: Any) -> dict[str, tuple[str, ...]]:
    """The stored splits of each of ours."""
    stored = set(builder.info.splits)
    if stored >= {"trainA", "trainB"}:
        both = {split: (f"{split}A", f"{split}B") for split in _ALONE}
        return {split: pair for split, pair in both.items() if stored.issuperset(pair)}
    found = {split: [name for name in names if name in stored] for split, names in _ALONE.items()}
    if not found["train"]:
        raise DataError(f"{builder.info.full_name} has nothing to train on (its splits are {sorted(stored)})")
    return {split: (names[0],) for split, names in found.items() if names}


def _side(builder: Any) -> PixelFormat:
    features = builder.info.features
    feature = features[_FEATURE] if _FEATURE in features.keys() else None  # noqa: SIM118 (no mapping)
    if not isinstance(feature, tfds.features.Image):
        has = ", ".join(features.keys())
        raise DataError(f"{builder.info.full_name} has no images (it has {has})")
    return PixelFormat(
        channels=1 if feature.shape[-1] == 1 else 3, bits=16 if feature.np_dtype == "uint16" else 8
    )


def _open_images(
    builder: Any, stored: str, side: PixelFormat, skipped: list[str], show_progress: bool
) -> Images:
    """Returns those images of a stored split that can be decoded; adds the names of the others."""
    names, read = open_split(builder, stored, image=_FEATURE, name=None)

    def decoded(index: tf.Tensor) -> tuple[tf.Tensor]:
        from pix2pix_tf.data.images import decode_in_pipeline

        return (decode_in_pipeline(read(index), side),)

    digests = record_digests(Path(builder.data_path), stored, len(names), read, show_progress)
    images, is_good = Images(names, decoded, lambda: digests[:, :1]), digests.any(axis=1)
    skipped += [names[int(place)] for place in np.flatnonzero(~is_good)]
    return images if is_good.all() else images.only(np.flatnonzero(is_good))


# ---------------------------------------------------------------------------- preparing


def _prepared(name: str, root: Path, archive: Path | None, show_progress: bool) -> Any:
    """Returns a builder whose files are there."""

    def builder() -> Any:
        return tfds.builder(name, data_dir=root)

    try:
        made = builder()
    except Exception as error:  # what tensorflow-datasets raises for damaged files is nowhere declared
        if (root / name).exists():
            raise unusable(root / name, first_line(error)) from error
        # CycleGAN's are all that can be asked for by the name of a configuration.
        raise DataError(f"tensorflow-datasets has no '{name}', only {', '.join(CYCLE_GAN)}") from error
    folder = Path(made.data_path)
    if folder.exists():
        needed = "trainA" if name.startswith("cycle_gan/") else "train"
        return prepared_builder(builder, folder, needed)
    archive = existing_archive(archive, ".zip")
    with preparation(root, name.replace("/", "-"), show_progress) as downloads, _explaining(name):
        made = builder()  # another program may have prepared it meanwhile
        if archive is None:
            made.download_and_prepare()
        else:
            with tempfile.TemporaryDirectory(dir=downloads, ignore_cleanup_errors=True) as unpacked:
                _unpack(archive, Path(unpacked) / "images")
                _without_download(made, unpacked)
                made.download_and_prepare()
    return made


@contextlib.contextmanager
def _explaining(name: str) -> Iterator[None]:
    """Turns what can go wrong at a download and a preparation into one line, but for the disk's faults."""
    import requests
    import tensorflow as tf

    try:
        yield
    except (requests.RequestException, tfds.download.DownloadError) as error:
        archive = "a copy of its .zip with --archive FILE, " if name.startswith("cycle_gan/") else ""
        raise SystemFault(
            f"{name} could not be downloaded ({_reason(error)}); check the connection, or give {archive}"
            + _OTHER_WAYS
        ) from error
    except (DataError, OSError, tf.errors.OpError):
        raise
    except Exception as error:  # what the builders of tensorflow-datasets raise is nowhere declared
        raise DataError(f"{name} can't be prepared ({first_line(error)}); give {_OTHER_WAYS}") from error


def _reason(error: BaseException) -> str:
    """The inmost of the errors that a failed request wraps; the outer ones repeat it at length."""
    inner = error.args[0] if error.args else None
    inner = getattr(inner, "reason", None) or inner
    return _reason(inner) if isinstance(inner, BaseException) else first_line(Exception(error))


def _unpack(archive: Path, folder: Path) -> None:
    """Writes the images of trainA/, trainB/, testA/ and testB/, wherever they are in a .zip, to ``folder``.

    Only their own names are taken from it, so that nothing can lead elsewhere.
    """
    from pix2pix_tf.data.images import is_image_file

    counts = dict.fromkeys(_UNPAIRED, 0)
    try:
        with zipfile.ZipFile(archive) as packed:
            for member in packed.infolist():
                path = PurePosixPath(member.filename)
                if member.is_dir() or path.parent.name not in counts or not is_image_file(Path(path.name)):
                    continue
                counts[path.parent.name] += 1
                target = folder / path.parent.name / path.name
                target.parent.mkdir(parents=True, exist_ok=True)
                with packed.open(member) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{archive}: damaged or not a .zip ({error}); {_ANOTHER_ARCHIVE}") from error
    missing = [split for split, count in counts.items() if count == 0]
    if missing:
        raise DataError(f"{archive}: no images in {missing[0]}/; {_ANOTHER_ARCHIVE}")


def _without_download(builder: Any, folder: str) -> None:
    """Makes a builder find in ``folder`` what it would download and extract."""

    class Unpacked:
        def download_and_extract(self, url: str) -> str:
            return folder

    generators: Callable[[Any], Any] = builder._split_generators
    builder._split_generators = lambda dl_manager: generators(Unpacked())
