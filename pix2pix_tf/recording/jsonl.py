"""metrics.jsonl: one JSON object per logging step."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path

from pix2pix_tf.files import explain_disk_faults, write_whole
from pix2pix_tf.recording.sink import Sink


class JsonLines(Sink):
    """Appends to a file of JSON lines, after removing the lines of steps later than ``first_step``.

    ``kept`` has the lines that remained.
    """

    def __init__(self, path: Path, first_step: int):
        self._path = path
        self.kept = [line for line in read_metrics(path) if line["step"] <= first_step]
        write_whole(path, "".join(json.dumps(line) + "\n" for line in self.kept))
        with explain_disk_faults(path):
            self._file = path.open("a", encoding="utf-8", newline="\n")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        with explain_disk_faults(self._path):
            line = {"step": step, **{name: _short(value) for name, value in values.items()}}
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()


def _short(value: float) -> float:
    """Rounds to six decimal places, or for small numbers such as learning rates to six digits."""
    return round(value, 6) if abs(value) >= 0.1 else float(f"{value:.6g}")


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Reads metrics.jsonl up to the first damaged line, such as one cut off by a kill."""
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
