"""Parts of messages: counted nouns, quoted paths, flags, suggestions."""

from __future__ import annotations

import difflib
import os
import shlex
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def noun(count: int, singular: str) -> str:
    """Returns a noun in singular or plural: pair, pairs."""
    return singular if count == 1 else f"{singular}s"


def counted(count: int, singular: str) -> str:
    """Returns a number with its noun: 1 pair, 2 pairs."""
    return f"{count} {noun(count, singular)}"


def quoted(path: str | Path) -> str:
    """Returns a path quoted for a shell."""
    return subprocess.list2cmdline([str(path)]) if os.name == "nt" else shlex.quote(str(path))


def flag(setting: str) -> str:
    """Spells a setting as a flag: ``--run-dir`` of ``run_dir``."""
    return "--" + setting.replace("_", "-")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns a suggestion of the most similar known name, or an empty text."""
    similar = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {similar[0]}?)" if similar else ""


def shown(value: Any) -> str:
    """Returns a setting's value as on the command line: ``64 96`` for ``(64, 96)``, ``100`` for 100.0."""
    if isinstance(value, tuple):
        return " ".join(map(shown, value))
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)
