"""Problems of a data set, as training and `data check` report them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from pix2pix_tf.files import printable
from pix2pix_tf.wording import counted

Severity = Literal["error", "warning", "note"]
MOST_NAMED = 3
"""Largest number of cases, and of files per case, that a line names."""


class Case(NamedTuple):
    """One file with a problem, or several related files, with an optional remark."""

    files: tuple[Path, ...]
    remark: str = ""


@dataclasses.dataclass(frozen=True)
class Finding:
    """An actual or possible problem of a data set."""

    severity: Severity  # an error stops training; a note may be intended
    code: str  # such as missing-partner
    message: str  # the problem and its consequence, without file names
    fix: str  # what to do
    cases: Sequence[Case] = ()  # the files concerned
    settings: Mapping[str, str] = dataclasses.field(default_factory=dict)  # to train with

    @property
    def files(self) -> list[str]:
        """All files concerned, case by case."""
        return [printable(os.fspath(file)) for case in self.cases for file in case.files]

    def where(self, folder: Path) -> str:
        """Returns the names of a few files relative to the folder; empty if the folder itself is meant."""
        shown = []
        for files, remark in self.cases[:MOST_NAMED]:
            names = [os.path.relpath(file, folder) for file in files[:MOST_NAMED]]
            more = f" = {len(files) - len(names)} more" if len(files) > len(names) else ""
            shown.append(" = ".join(names) + more + (f" ({remark})" if remark else ""))
        more = f" and {len(self.cases) - len(shown)} more" if len(self.cases) > len(shown) else ""
        return "" if shown == [os.curdir] else printable(", ".join(shown) + more)

    def line(self, folder: Path) -> str:
        """Formats problem, files and fix as one line."""
        where = self.where(folder)
        return printable(f"{self.message}{': ' if where else ''}{where}; {self.fix}")


def found(
    severity: Severity, code: str, item: str, message: str, fix: str, cases: Sequence[Case], side: str = ""
) -> Iterator[Finding]:
    """Yields a finding whose message starts with the number of cases; yields nothing without cases."""
    if cases:
        yield Finding(severity, code, f"{counted(len(cases), item)}{side} {message}", fix, cases)
