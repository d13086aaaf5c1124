"""How messages put things: numbers with their nouns, paths as a shell takes them, the name that was meant."""

from __future__ import annotations

import difflib
import os
import shlex
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def noun(count: int, singular: str) -> str:
    """Returns a noun as it stands behind a number: pair, pairs."""
    return singular if count == 1 else f"{singular}s"


def counted(count: int, singular: str) -> str:
    """Returns a number with its noun: 1 pair, 2 pairs."""
    return f"{count} {noun(count, singular)}"


def quoted(path: str | Path) -> str:
    """Returns a path as it can be pasted into a shell."""
    return subprocess.list2cmdline([str(path)]) if os.name == "nt" else shlex.quote(str(path))


def flag(setting: str) -> str:
    """Spells a setting as the command line and all messages do: ``--run-dir`` of ``run_dir``."""
    return "--" + setting.replace("_", "-")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns a question after the known name that is most like ``name``; empty where none is like it."""
    like = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {like[0]}?)" if like else ""


def shown(value: Any) -> str:
    """Spells a setting's value as on the command line: ``64 96`` of ``(64, 96)``."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
