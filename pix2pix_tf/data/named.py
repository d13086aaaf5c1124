"""Named data sets, downloaded and extracted once and then read like a user's own folder."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pix2pix_tf.config import DataKind, TrainConfig, replace
from pix2pix_tf.data.names import CATALOG, EMOJI, data_root, facts_of
from pix2pix_tf.errors import DataError
from pix2pix_tf.files import UNFINISHED, explain_disk_faults

if TYPE_CHECKING:
    from pix2pix_tf.data.dataset import ImageDataset

PUBLIC_SERVER = "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets"


def named_folder(name: str, data_dir: Path | None) -> Path:
    """Returns the folder of a data set, by full name; it exists only after the data set is downloaded."""
    return data_root(data_dir) / "images" / name


def stored_counts(name: str, data_dir: Path | None) -> dict[str, int]:
    """Returns the number of images in each folder of a data set; empty if it isn't downloaded."""
    folder = named_folder(name, data_dir)
    if not folder.is_dir():
        return {}
    return {path.name: len(os.listdir(path)) for path in sorted(folder.iterdir()) if path.is_dir()}


def open_named_dataset(name: str, config: TrainConfig, kind: DataKind) -> ImageDataset:
    """Opens a data set by its full name, after preparing it with `prepare_folder`."""
    from pix2pix_tf.data.dataset import with_label_maps
    from pix2pix_tf.data.folder import open_folder

    data, facts = config.data, facts_of(name)
    layout = "side-by-side" if name in CATALOG else "auto"
    folder = prepare_folder(name, data.data_dir, data.archive, data.mirror_url)
    dataset = open_folder(folder, replace(config, layout=layout), kind)
    return with_label_maps(dataclasses.replace(dataset, name=name), facts.labels)


def prepare_folder(
    name: str, data_dir: Path | None, archive: Path | None = None, mirror: str | None = None
) -> Path:
    """Returns the folder of a data set by its full name; creates the folder if it is missing.

    The images come from ``archive``, or from a download that is deleted afterwards. ``mirror`` replaces the
    public server; it is the address of a folder or of the archive itself. For emoji, ``archive`` is a folder
    with two archives. The data set's folder is created atomically.
    """
    import filelock

    folder, root, facts = named_folder(name, data_dir), data_root(data_dir), facts_of(name)
    if folder.is_dir():
        return folder
    archive = existing_archive(archive, name)
    downloads = root / "downloads" / "pix2pix"
    downloaded = None
    with explain_disk_faults(root, "another --data-dir"):
        downloads.mkdir(parents=True, exist_ok=True)
        # A second process that wants the same data set waits for the first one.
        with filelock.FileLock(downloads / f"{name.replace('/', '-')}.prepare.lock"):
            if folder.is_dir():
                return folder
            with _whole_folder(folder) as unfinished:
                if facts.kind == "images":
                    from pix2pix_tf.data.tfds_images import write_images

                    write_images(name, root, unfinished)
                elif name == EMOJI:
                    from pix2pix_tf.data.emoji import write_pairs

                    write_pairs(unfinished, downloads / name, archive, mirror)
                else:
                    from pix2pix_tf.data.archives import extract_images

                    if archive is None:
                        archive = downloaded = _download(name, downloads, mirror)
                    extract_images(archive, unfinished, Path(name).name, facts.splits, facts.counts)
            if downloaded is not None:
                downloaded.unlink(missing_ok=True)
            shutil.rmtree(downloads / name, ignore_errors=True)  # files that were downloaded one by one
    return folder


def existing_archive(archive: Path | None, name: str) -> Path | None:
    """Expands the path of ``--archive``; raises `DataError` if the file or its folder doesn't exist."""
    archive = archive and archive.expanduser()
    if archive is not None and name == EMOJI:
        from pix2pix_tf.data.emoji import check_tarballs

        check_tarballs(archive)
    elif archive is not None and not archive.is_file():
        what = "is a folder; give an archive file" if archive.is_dir() else "does not exist"
        raise DataError(f"--archive: {archive} {what}")
    return archive


@contextlib.contextmanager
def _whole_folder(folder: Path) -> Iterator[Path]:
    """Yields a temporary folder that is moved to ``folder`` at the end, or removed after an error."""
    unfinished = folder.with_name(f".{folder.name}{UNFINISHED}")
    shutil.rmtree(unfinished, ignore_errors=True)  # left by a killed process
    try:
        unfinished.mkdir(parents=True)
        yield unfinished
        if hasattr(os, "sync"):
            os.sync()  # one call, as flushing each of 100,000 files would take minutes
        unfinished.replace(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _download(name: str, downloads: Path, mirror: str | None) -> Path:
    """Downloads a data set's archive and verifies it if its digest is known."""
    from pix2pix_tf.data.download import download_archive
    from pix2pix_tf.data.tfds_images import cycle_gan_source

    file_name = f"{Path(name).name}{'.tar.gz' if name in CATALOG else '.zip'}"
    url, digest = (f"{PUBLIC_SERVER}/{file_name}", None) if name in CATALOG else cycle_gan_source(file_name)
    if mirror is not None:
        is_file = mirror.lower().endswith((".tar.gz", ".zip"))
        url = mirror if is_file else f"{mirror.rstrip('/')}/{file_name}"
    return download_archive(url, downloads / file_name, digest)
