"""Runs the commands as a user types them."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import subprocess
import sys
from pathlib import Path

from pix2pix_tf.commands.main import main

ROOT = Path(__file__).parents[2]

# Small enough for seconds, with every part of the real thing.
SMALL = ("--base-filters", "8", "--image-size", "64")


def command(*arguments: object) -> list[str]:
    """Returns ``pix2pix ARGUMENTS`` for ``subprocess``."""
    return [sys.executable, "-m", "pix2pix_tf", *map(str, arguments)]


def environment(**extra: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", **extra}


def typed(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs ``pix2pix ARGUMENTS`` here: a process takes seconds to load TensorFlow."""
    written, errors = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stdout(written), contextlib.redirect_stderr(errors):
        exit_code = main(list(map(str, arguments)))
    return subprocess.CompletedProcess(arguments, exit_code, written.getvalue(), errors.getvalue())


def error_line(result: subprocess.CompletedProcess[str]) -> str:
    """Returns the one line of a refusal; fails where there is more, or a traceback."""
    lines = [line for line in result.stderr.splitlines() if line.strip() and "step/s" not in line]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("pix2pix: error: ")
    return lines[0]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]
