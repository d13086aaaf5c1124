"""metrics.jsonl and validation.jsonl: one JSON object per line."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from pix2pix_tf.files import explain_disk_faults, write_whole
from pix2pix_tf.recording.sink import Sink
from pix2pix_tf.runs import RunDirectory


class JsonLines(Sink):
    """Appends to both files; first removes lines of steps after ``first_step``."""

    def __init__(self, run: RunDirectory, first_step: int):
        self._metrics = _reopened(run.metrics_file, first_step)
        self._validation = _reopened(run.validation_file, first_step)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        _append(self._metrics, step, values)

    def validate(self, step: int, values: Mapping[str, float]) -> None:
        _append(self._validation, step, values)

    def close(self) -> None:
        for file in (self._metrics, self._validation):
            with contextlib.suppress(OSError):
                file.close()


def _reopened(path: Path, first_step: int) -> TextIO:
    lines = [line for line in read_metrics(path) if line["step"] <= first_step]
    write_whole(path, "".join(json.dumps(line) + "\n" for line in lines))
    with explain_disk_faults(path):
        return path.open("a", encoding="utf-8", newline="\n")


def _append(file: TextIO, step: int, values: Mapping[str, float]) -> None:
    with explain_disk_faults(Path(file.name)):
        line = {"step": step, **{name: _short(value) for name, value in values.items()}}
        file.write(json.dumps(line) + "\n")
        file.flush()


def _short(value: float) -> float:
    """Rounds to six decimal places, or to six digits for small numbers such as learning rates."""
    return round(value, 6) if abs(value) >= 0.1 else float(f"{value:.6g}")


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Reads JSON lines up to the first damaged line, which a kill can leave."""
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
