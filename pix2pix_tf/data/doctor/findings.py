"""What is found in a folder."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pix2pix_tf.files import printable

Severity = Literal["error", "warning", "note"]


class Case(NamedTuple):
    """Where a finding was made: a file, or some that belong together; and what is to be said of them."""

    files: tuple[Path, ...]
    remark: str = ""


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that is wrong with a folder, or may be.

    Args:
        severity: an error can't be trained on; a note may be meant so.
        code: what it is, in a word or two: ``missing-partner``.
        cases: where.
        message: what it is and what it means, without the files; settings in `backticks`.
        fix: what to do.
    """

    severity: Severity
    code: str
    cases: tuple[Case, ...]
    message: str
    fix: str

    @property
    def files(self) -> list[str]:
        """All files concerned; those that belong together stand together."""
        return [printable(os.fspath(file)) for case in self.cases for file in case.files]


class Found(NamedTuple):
    """What a function of an examination has found, and the facts that its wording names."""

    cases: Sequence[Case]
    facts: Mapping[str, Any] = {}
