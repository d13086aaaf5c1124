"""Checkpoints: named tensors in TensorFlow's own format, in folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from pix2pix_tf.errors import RunError, SystemFault, TrainingDiverged

KEPT = 3
_FOLDER = re.compile(r"step_(\d{9})")
_UNFINISHED = ".unfinished"


def checkpoint_steps(folder: Path) -> list[int]:
    """Returns the steps at which a folder holds checkpoints, oldest first."""
    if not folder.is_dir():
        return []
    matches = (_FOLDER.fullmatch(path.name) for path in folder.iterdir())
    return sorted(int(match[1]) for match in matches if match)


def checkpoint_path(folder: Path, step: int) -> Path:
    """Returns where the checkpoint of a step is kept."""
    return folder / f"step_{step:09d}"


def read_checkpoint(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Reads some tensors of a checkpoint.

    Args:
        path: from :func:`checkpoint_path`.
        names: which tensors.

    Returns:
        The tensors by name.

    Raises:
        RunError: the checkpoint is damaged, or lacks one of them.
    """
    try:
        reader = tf.train.load_checkpoint(str(path / "state"))
        stored = reader.get_variable_to_shape_map()
        missing = [name for name in names if name not in stored]
        if not missing:
            return {name: reader.get_tensor(name) for name in names}
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise RunError(
            f"the checkpoint {path} is damaged ({_first_line(error)}); delete that folder to go on from "
            "the one before it"
        ) from error
    raise RunError(f"the checkpoint {path} has no '{missing[0]}': another version or another network wrote it")


def restore(path: Path, state: Mapping[str, tf.Variable]) -> None:
    """Assigns a checkpoint to variables.

    Raises:
        RunError: the checkpoint is damaged, or its tensors have other names or shapes.
    """
    tensors = read_checkpoint(path, list(state))
    for name, variable in state.items():
        if tensors[name].shape != tuple(variable.shape):
            raise RunError(
                f"'{name}' has shape {tensors[name].shape} in the checkpoint {path}, here "
                f"{tuple(variable.shape)}: the network differs"
            )
        variable.assign(tensors[name])


class CheckpointWriter:
    """Writes checkpoints beside training, one at a time.

    A checkpoint takes a reference to every variable's buffer. TensorFlow copies a buffer only when it is
    written to while somebody else holds it, so that the loop goes on at once.

    Args:
        folder: where checkpoints are kept.
        keep_every: checkpoints at multiples of it are kept for good, besides the last ``KEPT``.
    """

    def __init__(self, folder: Path, keep_every: int | None = None):
        self._folder = folder
        self._keep_every = keep_every
        self._thread: threading.Thread | None = None
        self._fault: Exception | None = None
        with explain_disk_faults(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for leftover in folder.glob(f"*{_UNFINISHED}"):
                shutil.rmtree(leftover)

    def save(self, step: int, state: Mapping[str, tf.Variable]) -> None:
        """Begins to write a checkpoint; waits first for the one before it.

        Raises:
            SystemFault: the one before it could not be written.
            TrainingDiverged: it held a value that is not finite.
        """
        self.wait()
        tensors = {name: variable.read_value() for name, variable in state.items()}
        self._thread = threading.Thread(target=self._write, args=(step, tensors), name="checkpoint")
        self._thread.start()

    def wait(self) -> None:
        """Waits until the last checkpoint is on disk.

        Raises:
            SystemFault: it could not be written.
            TrainingDiverged: it held a value that is not finite.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._fault is not None:
            fault, self._fault = self._fault, None
            raise fault

    def _write(self, step: int, tensors: dict[str, tf.Tensor]) -> None:
        try:
            bad = next((name for name, value in tensors.items() if not np.isfinite(value.numpy()).all()), None)
            if bad is not None:
                raise TrainingDiverged(f"'{bad}' is no longer finite at step {step}")
            with explain_disk_faults(self._folder):
                self._write_whole(step, tensors)
                self._drop_old()
        except Exception as error:  # noqa: BLE001 - it is raised where the loop waits
            self._fault = error

    def _write_whole(self, step: int, tensors: dict[str, tf.Tensor]) -> None:
        final = checkpoint_path(self._folder, step)
        if final.exists():  # a step has one state, and it is there already
            return
        unfinished = final.with_name(final.name + _UNFINISHED)
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        try:
            tf.raw_ops.SaveV2(
                prefix=str(unfinished / "state"),
                tensor_names=list(tensors),
                shape_and_slices=[""] * len(tensors),
                tensors=list(tensors.values()),
            )
            for file in unfinished.iterdir():
                _flush(file)
            unfinished.replace(final)
            _flush(self._folder)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise

    def _drop_old(self) -> None:
        for step in checkpoint_steps(self._folder)[:-KEPT]:
            if self._keep_every is None or step % self._keep_every:
                # Renamed first: a kill in the middle must not leave half a checkpoint under a whole one's name.
                old = checkpoint_path(self._folder, step)
                shutil.rmtree(old.replace(old.with_name(old.name + _UNFINISHED)))


@contextlib.contextmanager
def explain_disk_faults(path: Path) -> Iterator[None]:
    """Turns a failed write below ``path`` into one line.

    Raises:
        SystemFault: the disk is full, or the place can't be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
            raise SystemFault(f"the disk is full: {path} could not be written; free space and run again") from error
        raise SystemFault(f"{path} could not be written: {error.strerror or error}") from error
    except tf.errors.OpError as error:
        text = _first_line(error)
        if isinstance(error, tf.errors.ResourceExhaustedError) or "No space left" in text:
            raise SystemFault(f"the disk is full: {path} could not be written; free space and run again") from error
        raise SystemFault(f"{path} could not be written: {text}") from error


def write_whole(path: Path, content: bytes | str) -> None:
    """Writes a file that appears whole or not at all.

    Raises:
        SystemFault: the disk is full, or the place can't be written.
    """
    unfinished = path.with_name(f".{path.name}{_UNFINISHED}")
    with explain_disk_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with unfinished.open("wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise


def _flush(path: Path) -> None:
    """Makes the system write a file, or a folder's list of files, through to the disk."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
