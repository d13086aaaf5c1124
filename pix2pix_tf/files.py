"""Writing files that appear whole or not at all, and saying in one line why one could not be written."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import filelock

from pix2pix_tf.errors import Pix2pixError, SystemFault

UNFINISHED = ".unfinished"
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))  # Windows has no quota error


@contextlib.contextmanager
def explain_disk_faults(path: Path, elsewhere: str = "another place") -> Iterator[None]:
    """Turns a failed write to ``path``, or below it, into one line.

    Args:
        path: the file or folder.
        elsewhere: what to give instead of it, in words.

    Raises:
        SystemFault: the disk is full, or the place can't be written.
    """
    try:
        yield
    except Pix2pixError:
        raise
    except Exception as error:
        reason = _reason(error)
        if reason is None:
            raise
        if "No space left" in reason or "Disk quota exceeded" in reason:
            raise SystemFault(
                f"the disk is full: {path} could not be written; free space and run again"
            ) from error
        raise SystemFault(
            f"{path} could not be written: {reason}; give {elsewhere}, or permission to write there"
        ) from error


def _reason(error: Exception) -> str | None:
    """What the system said against a write, through whichever library; None if it was something else."""
    cause: BaseException | None = error
    while cause is not None:  # tensorflow-datasets wraps the system's errors in others
        if isinstance(cause, OSError) and cause.errno is not None:
            return "No space left" if cause.errno in _FULL else cause.strerror or str(cause)
        cause = cause.__cause__
    import tensorflow as tf  # only here, where something has failed already

    # Keras and HDF5 have no error of their own for it, so they raise RuntimeError.
    return first_line(error) if isinstance(error, OSError | RuntimeError | tf.errors.OpError) else None


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Gives a place to write to; what was written there appears as ``path`` in the end, or not at all.

    The folder is made where it is missing.

    Raises:
        SystemFault: the disk is full, or the place can't be written.
    """
    unfinished = path.with_name(f".{path.name}{UNFINISHED}")
    with explain_disk_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield unfinished
            flush_to_disk(unfinished)
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise


def write_whole(path: Path, content: bytes | str) -> None:
    """Writes a file that appears whole or not at all, making its folder where that is missing.

    Raises:
        SystemFault: the disk is full, or the place can't be written.
    """
    with written_whole(path) as unfinished:
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def locked(folder: Path, busy: Pix2pixError) -> Iterator[None]:
    """Keeps a second process out of a folder, which is made where it is missing.

    Raises:
        Pix2pixError: ``busy``, where another process holds the folder.
        SystemFault: the folder can't be written.
    """
    with explain_disk_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".lock")
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            raise busy from None
    try:
        yield
    finally:
        lock.release()


def flush_to_disk(path: Path) -> None:
    """Makes the system write a file, or a folder's list of files, through to the disk."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def first_line(error: Exception) -> str:
    """Returns the first line of an error's message, or its kind where it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def printable(name: str) -> str:
    """Returns a file's name, or a text with such names, that any stream takes.

    Names on Linux are bytes; what isn't UTF-8 in them becomes a code such as ``\\udcff``.
    """
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
