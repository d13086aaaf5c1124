"""Reports errors in one line."""

from __future__ import annotations

import errno
import re
import sys
import traceback

from pix2pix_tf.errors import Interrupted, Pix2pixError
from pix2pix_tf.files import printable


def report_error(error: BaseException, command: str) -> int:
    """Prints an error, with a traceback only if it is unexpected; returns the exit code."""
    match error:
        case Interrupted():
            print(f"pix2pix: {error}", file=sys.stderr)
            return error.exit_code
        case Pix2pixError():
            return _fail(str(error), error.exit_code)
        case KeyboardInterrupt():
            return _fail("stopped", 130)
        case BrokenPipeError():
            return 1
        case OSError():
            full = error.errno == errno.ENOSPC
            place = f"{error.filename}: " if error.filename else ""
            return _fail(f"{place}{error.strerror or error}{'; free space and run again' if full else ''}", 1)
        case UnicodeEncodeError():
            name = re.split(r"[\"'\n]", error.object[: error.end])[-1]
            rest = re.split(r"[\"'\n]", error.object[error.end :])[0]
            return _fail(f"{printable(name + rest)}: TensorFlow accepts UTF-8 names only; rename it", 2)
        case MemoryError():
            smaller = "a smaller --image-size or --batch-size" if command == "train" else "smaller images"
            return _fail(f"not enough memory; use {smaller}", 1)
    traceback.print_exception(error)
    return 1


def _fail(message: str, exit_code: int) -> int:
    print(f"pix2pix: error: {' '.join(message.split())}", file=sys.stderr)
    return exit_code
