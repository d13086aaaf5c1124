"""Writing files that appear whole or not at all, and saying in one line why one could not be written."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from pix2pix_tf.errors import SystemFault

UNFINISHED = ".unfinished"
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))  # Windows has no quota error


@contextlib.contextmanager
def explain_disk_faults(path: Path) -> Iterator[None]:
    """Turns a failed write to ``path`` into one line.

    Raises:
        SystemFault: the disk is full, or the place can't be written.
    """
    try:
        yield
    except OSError as error:
        reason = "No space left" if error.errno in _FULL else error.strerror or str(error)
        raise _fault(path, reason) from error
    except RuntimeError as error:  # Keras and HDF5 have no error of their own for it
        raise _fault(path, first_line(error)) from error
    except Exception as error:
        import tensorflow as tf  # only here, where something has failed already

        if isinstance(error, tf.errors.OpError):
            raise _fault(path, first_line(error)) from error
        raise


def _fault(path: Path, reason: str) -> SystemFault:
    if "No space left" in reason or "Disk quota exceeded" in reason:
        return SystemFault(f"the disk is full: {path} could not be written; free space and run again")
    return SystemFault(
        f"{path} could not be written: {reason}; give another place, or permission to write there"
    )


def write_whole(path: Path, content: bytes | str) -> None:
    """Writes a file that appears whole or not at all, making its folder where that is missing.

    Raises:
        SystemFault: the disk is full, or the place can't be written.
    """
    unfinished = path.with_name(f".{path.name}{UNFINISHED}")
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
