"""Where tensorflow-datasets keeps prepared data sets, and how one is prepared here: once, quietly.

Importing this module doesn't import TensorFlow.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from pix2pix_tf.errors import ConfigError, DataError, SystemFault
from pix2pix_tf.files import explain_disk_faults, first_line

_DOWNLOAD_RETRIES = 3  # tensorflow-datasets' own ten take minutes where there is no network


def data_root(data_dir: Path | None) -> Path:
    """Returns where data sets are kept: ``data_dir``, or where tensorflow-datasets keeps them.

    Raises:
        ConfigError: it is a file.
    """
    root = Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    if root.exists() and not root.is_dir():
        raise ConfigError(f"--data-dir: {root} is a file; give a folder")
    return root


def prepared_counts(folder: Path) -> dict[str, int]:
    """Returns the examples in each split of a prepared data set; nothing where there is none."""
    try:
        info = json.loads((folder / "dataset_info.json").read_text("utf-8"))
        return {split["name"]: sum(map(int, split["shardLengths"])) for split in info["splits"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def prepared_builder(builder: Callable[[], Any], folder: Path, needed: str) -> Any:
    """Returns a builder that finds its files in ``folder``.

    Args:
        builder: makes it.
        folder: of the prepared data set.
        needed: a split that must be there.

    Raises:
        DataError: the files are damaged.
        SystemFault: they can't be read.
    """
    try:
        prepared = builder()
        is_whole = needed in prepared.info.splits
    except PermissionError as error:
        raise SystemFault(f"{folder}: can't be read ({error.strerror}); check its permissions") from error
    except Exception as error:  # what tensorflow-datasets raises for damaged files is nowhere declared
        raise unusable(folder, first_line(error)) from error
    if not is_whole:
        raise unusable(folder, f"dataset_info.json is missing, or knows of no {needed}")
    return prepared


def unusable(folder: Path, reason: str) -> DataError:
    """Returns the error to raise for a prepared data set that can't be read."""
    return DataError(
        f"{folder}: not a prepared data set ({reason}); delete that folder and run again to prepare it anew"
    )


def existing_archive(archive: Path | None, suffix: str) -> Path | None:
    """Returns the file that ``--archive`` names.

    Raises:
        DataError: there is none.
    """
    if archive is None:
        return None
    archive = archive.expanduser()
    if archive.is_dir():
        raise DataError(f"--archive: {archive} is a folder; give the {suffix} file itself")
    if not archive.exists():
        raise DataError(f"--archive: there is no file {archive}")
    return archive


@contextlib.contextmanager
def preparation(root: Path, name: str, show_progress: bool) -> Iterator[Path]:
    """Surrounds the preparation of a data set; gives a folder for what is needed meanwhile.

    Args:
        root: where data sets are kept.
        name: of the data set, fit for a file's name.
        show_progress: let tensorflow-datasets show bars, if stderr is a terminal.

    Raises:
        SystemFault: no space, no permission.
    """
    import filelock

    downloads = root / "downloads" / "pix2pix"
    with explain_disk_faults(root, "another --data-dir"):
        downloads.mkdir(parents=True, exist_ok=True)
        # A second program that wants the same data set waits for the first instead of working beside it.
        with filelock.FileLock(downloads / f"{name}.prepare.lock"), _hushed(show_progress):
            yield downloads


@contextlib.contextmanager
def _hushed(show_progress: bool) -> Iterator[None]:
    """Keeps tensorflow-datasets from messages and warnings, from bars unless wanted, and from long waits."""
    from tensorflow_datasets.core.download import downloader
    from tensorflow_datasets.core.utils import tqdm_utils

    bars_before, retries_before = tqdm_utils._active, downloader.MAX_RETRIES
    requests_log = logging.getLogger("urllib3.connectionpool")
    level_before = requests_log.level
    tfds.display_progress_bar(show_progress and sys.stderr.isatty())
    downloader.MAX_RETRIES = _DOWNLOAD_RETRIES
    requests_log.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        tfds.display_progress_bar(bars_before)
        downloader.MAX_RETRIES = retries_before
        requests_log.setLevel(level_before)
