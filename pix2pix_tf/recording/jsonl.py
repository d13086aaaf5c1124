"""metrics.jsonl and validation.jsonl: one JSON object per line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pix2pix_tf.files import explain_disk_faults, write_whole
from pix2pix_tf.recording.sink import Sink
from pix2pix_tf.runs import RunDirectory


class JsonLines(Sink):
    """Appends to both files; first removes lines of steps after ``first_step``."""

    def __init__(self, run: RunDirectory, first_step: int):
        self._run = run
        for path in (run.metrics_file, run.validation_file):
            lines = [line for line in read_metrics(path) if line["step"] <= first_step]
            write_whole(path, "".join(json.dumps(line) + "\n" for line in lines))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        _append(self._run.metrics_file, step, values)

    def validate(self, step: int, values: Mapping[str, float]) -> None:
        _append(self._run.validation_file, step, values)


def _append(path: Path, step: int, values: Mapping[str, float]) -> None:
    line = {"step": step, **{name: _short(value) for name, value in values.items()}}
    with explain_disk_faults(path), path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(line) + "\n")


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
