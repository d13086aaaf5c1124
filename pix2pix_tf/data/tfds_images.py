"""Writes the images of a data set of tensorflow-datasets to files.

Importing this module doesn't import TensorFlow.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from pix2pix_tf.errors import DataError, SystemFault
from pix2pix_tf.files import first_line
from pix2pix_tf.web import first_cause

_FEATURE = "image"
_SPLITS = {"train": "train", "validation": "val", "val": "val", "valid": "val", "test": "test"}
_OTHER_WAYS = "a --data-dir where it is already prepared, or a folder of its images with --dataset"
_TIMEOUT_SECONDS = 10.0


def is_tfds_name(name: str) -> bool:
    """Whether tensorflow-datasets has a data set of this name."""
    try:
        tfds.builder_cls(name)
    except tfds.core.DatasetNotFoundError:
        return False
    return True


def cycle_gan_source(file_name: str) -> tuple[str, str]:
    """Returns the URL and the SHA-256 of an archive of the CycleGAN paper."""
    infos = tfds.builder_cls("cycle_gan").url_infos
    return next((url, info.checksum) for url, info in infos.items() if url.endswith(f"/{file_name}"))


def write_images(name: str, root: Path, folder: Path) -> None:
    """Writes the encoded images of a data set to ``folder``/SPLIT/NUMBER.png or .jpg.

    Uses the data set prepared in ``root`` if there is one, else prepares it in a temporary folder.
    """
    import requests

    with (
        _explained(name),
        _quiet(),
        tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as temporary,
    ):
        builder = tfds.builder(name, data_dir=root)
        features = builder.info.features
        feature = features[_FEATURE] if _FEATURE in features.keys() else None  # noqa: SIM118 (no mapping)
        if not isinstance(feature, tfds.features.Image):
            raise DataError(f"{name} has no images (features: {', '.join(features.keys())})")
        if feature.np_dtype == np.float32:  # stored as PNGs of the numbers' bits
            raise DataError(
                f"{name} has images of real numbers; give a folder of them as TIFF with --dataset"
            )
        if not builder.is_prepared():
            # Fail early without a connection: tensorflow-datasets would retry for minutes.
            url = next((url for url in builder.url_infos or () if url.startswith("http")), None)
            if url is not None:
                requests.get(url, stream=True, timeout=_TIMEOUT_SECONDS).close()
            builder = tfds.builder(name, data_dir=temporary)
            manual = tfds.download.DownloadConfig(manual_dir=root / "downloads" / "manual")
            builder.download_and_prepare(download_config=manual)
        stored = builder.info.splits
        if "train" not in stored:
            raise DataError(f"{name} has no training images (splits: {', '.join(sorted(stored))})")
        for split, written in _SPLITS.items():
            if split in stored:
                _write_split(builder, split, folder / written)


def _write_split(builder: Any, split: str, folder: Path) -> None:
    decoders = {_FEATURE: tfds.decode.SkipDecoding()}
    if builder.info.file_format == tfds.core.FileFormat.ARRAY_RECORD:
        images = builder.as_data_source(split, decoders=decoders)
    else:
        in_order = tfds.ReadConfig(interleave_cycle_length=1)  # deterministic order
        images = tfds.as_numpy(builder.as_dataset(split, decoders=decoders, read_config=in_order))
    folder.mkdir()
    bar = tqdm(images, f"writing {split}", len(images), unit="image", delay=2, leave=False, disable=None)
    for number, example in enumerate(bar):
        data = example[_FEATURE]
        suffix = "png" if data.startswith(b"\x89PNG") else "jpg"
        (folder / f"{number:06d}.{suffix}").write_bytes(data)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppresses messages of tensorflow-datasets, and progress bars outside of a terminal."""
    tfds.display_progress_bar(sys.stderr.isatty())
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)
        tfds.display_progress_bar(True)


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    """Converts errors in preparing a data set to one-line errors; disk errors pass unchanged."""
    import requests
    import tensorflow as tf

    try:
        yield
    except (requests.RequestException, tfds.download.DownloadError) as error:
        reason = first_line(Exception(first_cause(error)))
        raise SystemFault(
            f"{name} could not be downloaded ({reason}); check the connection, or give {_OTHER_WAYS}"
        ) from error
    except (DataError, OSError):
        raise
    except Exception as error:  # tensorflow-datasets doesn't document its exceptions
        if isinstance(error, tf.errors.OpError) and not isinstance(error, tf.errors.DataLossError):
            raise
        raise DataError(f"{name} can't be prepared ({first_line(error)}); give {_OTHER_WAYS}") from error
