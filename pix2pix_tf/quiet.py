"""Silence for libraries that talk straight to the process' standard error, past Python."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Drops what is written to standard error, by C++ too; exceptions pass."""
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # there is none, as in a service
        yield
        return
    silence = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(silence, 2)
        yield
    finally:
        if sys.stderr is not None:
            sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(silence)


def import_frameworks() -> None:
    """Imports TensorFlow and Keras without their start-up notices, where nobody has imported them yet.

    Some are written before TensorFlow reads any setting, straight to the process' standard error.
    """
    if "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    with hushed():
        import keras  # noqa: F401
        import tensorflow  # noqa: F401
