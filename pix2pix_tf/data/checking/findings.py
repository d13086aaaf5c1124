"""Problems of a data set, as training and `data check` report them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from pix2pix_tf.files import printable
from pix2pix_tf.wording import counted

Severity = Literal["error", "warning", "note"]
MOST_NAMED = 3
"""Cases, and files of a case, that a line names."""


class Case(NamedTuple):
    """A file with a problem, or several that belong together, and a remark on them."""

    files: tuple[Path, ...]
    remark: str = ""


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that is wrong with a data set, or may be."""

    severity: Severity  # an error stops training; a note may be intended
    code: str  # its kind: missing-partner
    message: str  # the problem and its consequence, without the files
    fix: str  # what to do
    cases: Sequence[Case] = ()  # where it is

    @property
    def files(self) -> list[str]:
        """All files concerned, case by case."""
        return [printable(os.fspath(file)) for case in self.cases for file in case.files]

    def where(self, folder: Path) -> str:
        """Returns a few files by their names in the folder; nothing if the folder itself is meant."""
        shown = []
        for files, remark in self.cases[:MOST_NAMED]:
            names = [os.path.relpath(file, folder) for file in files[:MOST_NAMED]]
            more = f" = {len(files) - len(names)} more" if len(files) > len(names) else ""
            shown.append(" = ".join(names) + more + (f" ({remark})" if remark else ""))
        more = f" and {len(self.cases) - len(shown)} more" if len(self.cases) > len(shown) else ""
        return "" if shown == [os.curdir] else printable(", ".join(shown) + more)

    def line(self, folder: Path) -> str:
        """Returns what is wrong, where, and what to do, in one line."""
        where = self.where(folder)
        return printable(f"{self.message}{': ' if where else ''}{where}; {self.fix}")


def found(
    severity: Severity, code: str, item: str, message: str, fix: str, cases: Sequence[Case], side: str = ""
) -> Iterator[Finding]:
    """Yields a finding whose message begins with the number of its cases; nothing without cases."""
    if cases:
        yield Finding(severity, code, f"{counted(len(cases), item)}{side} {message}", fix, cases)
