"""A run directory: its files, config and checkpoints."""

from __future__ import annotations

import contextlib
import glob
import io
import json
import re
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from pix2pix_tf import config as configs
from pix2pix_tf.config import TrainConfig
from pix2pix_tf.errors import ConfigError, RunError
from pix2pix_tf.files import explain_disk_faults, locked, write_whole
from pix2pix_tf.models.registry import config_from_json
from pix2pix_tf.storage import StoredRun, address_of
from pix2pix_tf.wording import quoted

FORMAT = 4  # version of config.json and checkpoints
_CHECKPOINT = re.compile(r"step_(\d{9})")
_PACKAGES = ("pix2pix-tf", "tensorflow", "keras", "tensorflow-datasets", "numpy")


class RunDirectory:
    """The files of one training run, on this machine or in an object store.

    ``writing`` is true in the process that trains the run.

    Attributes:
        path: the local directory; the local copy if the run is in an object store.
        place: the run's path or address, for messages.
        is_stored: whether the run is in an object store.
    """

    def __init__(self, path: Path, writing: bool = False):
        address = address_of(path)
        self._stored = None if address is None else StoredRun(address, writing)
        self.path = path.expanduser() if self._stored is None else self._stored.copy
        self.place = address or str(self.path)
        self.is_stored = address is not None
        self.config_file = self.path / "config.json"
        self.images_file = self.path / "training_images.npy"
        self.checkpoints = self.path / "checkpoints"
        self.samples = self.path / "samples"
        self.metrics_file = self.path / "metrics.jsonl"
        self.validation_file = self.path / "validation.jsonl"
        self.tensorboard = self.path / "tensorboard"
        self.final_grid = self.path / "final.png"
        self.best_file = self.path / "best.json"
        self.loss_plot = self.path / "losses.png"
        self.validation_plot = self.path / "validation.png"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    def keras_file(self, network: str) -> Path:
        """Returns the path of a published network, which Keras can load without this package."""
        return self.path / f"{network}.keras"

    def fetch(self, only: str | None = None) -> None:
        """Updates the local copy from the object store, if the run is in one."""
        if self._stored is not None:
            self._stored.fetch(only)

    def publish(self) -> None:
        """Writes changes to the object store atomically, if the run is in one."""
        if self._stored is not None:
            self._stored.publish()

    def beside(self, name: str) -> Path:
        """Returns the default path of an output that belongs to the run."""
        if self._stored is not None:
            raise ConfigError(f"--out is missing: {self.place} is in an object store; give a local path")
        return self.path / name

    def exists(self) -> bool:
        """Whether the directory contains a run."""
        return self.config_file.is_file()

    def checkpoint(self, step: int) -> Path:
        """Returns the path of a step's checkpoint, which need not exist."""
        return self.checkpoints / f"step_{step:09d}"

    def checkpoint_steps(self) -> list[int]:
        """Returns the steps of all checkpoints in ascending order."""
        if not self.checkpoints.is_dir():
            return []
        matches = (_CHECKPOINT.fullmatch(path.name) for path in self.checkpoints.iterdir())
        return sorted(int(match[1]) for match in matches if match)

    def latest_step(self) -> int | None:
        """Returns the step of the newest checkpoint, or ``None``."""
        return max(self.checkpoint_steps(), default=None)

    def set_aside(self, step: int) -> Path:
        """Renames a damaged checkpoint, so that training can write its step again."""
        aside = self.checkpoints / f"{self.checkpoint(step).name}.damaged"
        with explain_disk_faults(self.checkpoints):
            shutil.rmtree(aside, ignore_errors=True)
            self.checkpoint(step).replace(aside)
        return aside

    def refuse_unreadable_path(self) -> None:
        """Raises `RunError` if this path can't be the directory of a run."""
        if self.path.exists() and not self.path.is_dir():
            raise RunError(f"--run-dir {self.place} is a file; give a folder, which is created if needed")
        whole, _, which = self.place.rpartition("@")
        names_one = which == "best" or which.isdecimal()
        if whole and names_one and not self.exists() and RunDirectory(Path(whole)).exists():
            raise RunError(
                f"--run-dir {quoted(self.place)} names a checkpoint; {quoted(whole)} continues the run, "
                "--init-from starts another run from this checkpoint"
            )
        if glob.has_magic(str(self.path.absolute())):
            raise RunError(
                f"--run-dir {self.place}: TensorFlow can't read paths with *, ? or [; use another path"
            )

    def image_count(self) -> int:
        """Returns the number of training pairs, or of images of the larger side if unpaired."""
        images = self._read_json().get("pairs")
        count = images.get("count") if isinstance(images, dict) else None
        if not isinstance(count, int):
            raise RunError(f"{self.config_file} has no number of training images; restore the file")
        return count

    def imported(self) -> Mapping[str, Any] | None:
        """Returns facts about an imported generator, or ``None`` if the run was trained here."""
        images = self._read_json().get("pairs")
        return images.get("imported") if isinstance(images, dict) else None

    def read_config(self) -> TrainConfig:
        """Reads the config from config.json."""
        stored = self._read_json()
        if stored.get("format") != FORMAT:
            packages = stored.get("packages")
            known = packages if isinstance(packages, dict) else {}
            written_by = known.get("pix2pix-tf", "an unknown version")
            raise RunError(
                f"{self.place} was written by pix2pix-tf {written_by} in format {stored.get('format')}, but "
                f"this version reads format {FORMAT}; use that version, or train in another --run-dir"
            )
        try:
            return config_from_json(stored["config"])
        except (ConfigError, KeyError, TypeError, AttributeError) as error:
            raise RunError(
                f"{self.config_file} can't be used ({error}); train in another --run-dir, or restore the file"
            ) from error

    def refuse_other_images(self, images: Mapping[str, Any]) -> None:
        """Raises if the training images differ from those at the start of the run."""
        before = self._read_json().get("pairs")
        if before != images:
            raise RunError(
                f"the run in {quoted(self.place)} was started with different training images "
                f"(then {_images_text(before)}, now {_images_text(images)}); restore the images to continue, "
                f"or start another run with --run-dir and --init-from {quoted(self.place)}"
            )

    def _read_json(self) -> dict[str, Any]:
        if not self.path.is_dir():
            raise RunError(f"no run at {self.place}; pix2pix train --run-dir {quoted(self.place)} starts one")
        try:
            stored = json.loads(self.config_file.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise RunError(f"{self.place} is not a run directory: it has no config.json") from error
        except (ValueError, RecursionError, OSError) as error:
            raise RunError(f"{self.config_file} can't be read ({error})") from error
        if not isinstance(stored, dict):
            raise RunError(f"{self.config_file} is not the config of a run")
        return stored

    def write_config(self, config: TrainConfig, images: Mapping[str, Any]) -> None:
        """Writes config.json: the config, the identity of the images, and package versions."""
        content = {
            "format": FORMAT,
            "config": configs.to_json(config),
            "pairs": dict(images),
            "packages": package_versions(),
        }
        write_whole(self.config_file, json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    def write_training_images(self, digests: np.ndarray) -> None:
        """Stores the digests (`ImageDataset.digests`) of all images that influence the weights."""
        content = io.BytesIO()
        np.save(content, digests, allow_pickle=False)
        write_whole(self.images_file, content.getvalue())

    def training_images(self) -> np.ndarray:
        """Returns the digests of the training images; empty if they are unknown."""
        try:
            return np.load(self.images_file, allow_pickle=False)
        except FileNotFoundError:  # imported runs have no such file
            return np.empty(0, np.uint64)
        except (OSError, ValueError, EOFError) as error:
            raise RunError(f"{self.images_file} can't be read ({error}); restore it, or delete it") from error

    def best(self) -> dict[str, Any] | None:
        """Returns the step and metrics of the best checkpoint, or ``None``.

        It is the newest checkpoint that was the best when it was written. Checkpoints contain this fact, so
        that a kill can't lose it.
        """
        for step in reversed(self.checkpoint_steps()):
            note = self.checkpoint(step) / self.best_file.name
            if note.is_file():
                try:
                    return {**json.loads(note.read_text(encoding="utf-8")), "step": step}
                except (OSError, ValueError, RecursionError, TypeError) as error:
                    raise RunError(f"{note} can't be read ({error}); delete it") from error
        return None

    def write_best(self) -> None:
        """Writes best.json, which shows users the best checkpoint."""
        best = self.best()
        if best is not None:
            write_whole(self.best_file, json.dumps(best) + "\n")
        else:
            self.best_file.unlink(missing_ok=True)

    def locked(self) -> AbstractContextManager[None]:
        """Prevents a second process from training in this directory."""
        busy = f"another process is training in {self.place}; wait until it ends, or give another --run-dir"
        return locked(self.path / ".lock", RunError(busy))


def _images_text(images: Any) -> str:
    try:
        return f"{images['count']} images, digest {images['digest'][:8]}"
    except (KeyError, TypeError):
        return "unknown"


def package_versions() -> dict[str, str]:
    """Returns the versions of this package and of packages that influence its results."""
    versions = {}
    for package in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions
