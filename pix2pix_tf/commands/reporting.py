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
    prefix, exit_code = "pix2pix: error", 1
    match error:
        case Pix2pixError():
            message, exit_code = str(error), error.exit_code
            if isinstance(error, Interrupted):
                prefix = "pix2pix"
        case KeyboardInterrupt():
            message, exit_code = "stopped", 130
        case BrokenPipeError():
            return 1
        case OSError():
            place = f"{error.filename}: " if error.filename else ""
            advice = "; free space and run again" if error.errno == errno.ENOSPC else ""
            message = f"{place}{error.strerror or error}{advice}"
        case UnicodeEncodeError():
            name = re.split(r"[\"'\n]", error.object[: error.end])[-1]
            rest = re.split(r"[\"'\n]", error.object[error.end :])[0]
            message = f"{printable(name + rest)}: TensorFlow accepts UTF-8 names only; rename it"
            exit_code = 2
        case MemoryError():
            smaller = "a smaller --image-size or --batch-size" if command == "train" else "smaller images"
            message = f"not enough memory; use {smaller}"
        case _:
            traceback.print_exception(error)
            return 1
    print(f"{prefix}: {' '.join(message.split())}", file=sys.stderr)
    return exit_code
