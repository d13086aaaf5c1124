"""metrics.jsonl: an object a logging step, with every value by its name."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path

from pix2pix_tf.files import explain_disk_faults, write_whole
from pix2pix_tf.recording.sink import Sink


class JsonLines(Sink):
    """Appends to a file of JSON objects, a line each, after dropping those of later steps.

    Args:
        path: the file.
        first_step: of the lines that are there, those beyond this step are dropped.

    Attributes:
        kept: the lines that stayed.
    """

    def __init__(self, path: Path, first_step: int):
        self._path = path
        self.kept = [line for line in read_metrics(path) if line["step"] <= first_step]
        write_whole(path, "".join(json.dumps(line) + "\n" for line in self.kept))
        with explain_disk_faults(path):
            self._file = path.open("a", encoding="utf-8", newline="\n")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Writes a line."""
        with explain_disk_faults(self._path):
            line = {"step": step, **{name: _short(value) for name, value in values.items()}}
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        with contextlib.suppress(OSError):
            self._file.close()


def _short(value: float) -> float:
    """Six digits are more than a mean over noisy steps deserves, and small rates keep theirs."""
    return round(value, 6) if abs(value) >= 0.1 else float(f"{value:.6g}")


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Returns the lines of a metrics.jsonl; one that is cut off by a kill, or damaged, ends them."""
    lines = []
    if path.is_file():
        for text in path.read_bytes().splitlines():
            try:
                line = json.loads(text)
            except (ValueError, RecursionError):
                break
            if not isinstance(line, dict) or type(line.get("step")) is not int:
                break
            lines.append(line)
    return lines
