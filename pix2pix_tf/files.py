"""Writes files atomically, and converts write errors to one-line messages."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

import filelock

from pix2pix_tf.errors import ConfigError, Pix2pixError, SystemFault, UserError
from pix2pix_tf.wording import quoted

UNFINISHED = ".unfinished"
_OF_OPERATIONS = re.compile(r"\{\{function_node [^}]*\}\} ?| \[Op:\w+\]( name:)?")  # in TensorFlow's messages
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))  # Windows has no quota error


def refuse_file(out: Path) -> None:
    """Raises `ConfigError` if ``--out``, which must be a folder, is a file."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {quoted(out)} is a file; give a folder")


@contextlib.contextmanager
def explain_disk_faults(path: Path, elsewhere: str = "another place") -> Iterator[None]:
    """Converts errors from writing to ``path``, or below it, to one line.

    They are a `SystemFault`, or a `UserError` if a file is where a folder is needed. ``elsewhere`` is the
    alternative that the message suggests.
    """
    try:
        yield
    except Pix2pixError:
        raise
    except Exception as error:
        reason = _reason(error)
        if reason is None:
            raise
        for place in path.parents:
            if place.is_file():
                raise UserError(f"{place} is a file, not a folder; give {elsewhere}") from error
        if "No space left" in reason or "Disk quota exceeded" in reason:
            raise SystemFault(
                f"the disk is full: {path} could not be written; free space and run again"
            ) from error
        raise SystemFault(
            f"{path} could not be written: {reason}; give {elsewhere}, or get permission to write to it"
        ) from error


def _reason(error: Exception) -> str | None:
    """Returns the operating system's message for a failed write, or ``None`` for other errors."""
    cause: BaseException | None = error
    while cause is not None:  # libraries wrap errors of the operating system
        if isinstance(cause, OSError) and cause.errno is not None:
            return "No space left" if cause.errno in _FULL else cause.strerror or str(cause)
        cause = cause.__cause__
    import tensorflow as tf  # imported only after an error, because it loads slowly

    # Keras and HDF5 raise RuntimeError if a write fails.
    return first_line(error) if isinstance(error, OSError | RuntimeError | tf.errors.OpError) else None


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yields a temporary path, which replaces ``path`` on success and is removed after an error.

    Creates missing folders. Raises `SystemFault` if a write fails.
    """
    unfinished = path.with_name(f".{path.stem}{UNFINISHED}{path.suffix}")  # Keras needs its suffix
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
    """Writes a file atomically and creates missing folders; raises `SystemFault` if a write fails."""
    with written_whole(path) as unfinished:
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def locked(file: Path, busy: Pix2pixError | None = None) -> Iterator[None]:
    """Holds a lock file. If another process holds it, raises ``busy``, or waits."""
    with explain_disk_faults(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(file)
        try:
            lock.acquire(blocking=busy is None)
        except filelock.Timeout as error:
            raise busy or error from None
    try:
        yield
    finally:
        lock.release()


def flush_to_disk(path: Path) -> None:
    """Flushes a file, or a folder's entries, to disk."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def first_line(error: Exception) -> str:
    """Returns the first line of an error's message, or its type's name if the message is empty."""
    message = _OF_OPERATIONS.sub("", str(error)).strip()
    return next(iter(message.splitlines()), type(error).__name__)


def printable(name: str) -> str:
    """Escapes bytes that aren't UTF-8 in a file name, so that any stream accepts it.

    Python represents such bytes as codes like ``\\udcff``.
    """
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
