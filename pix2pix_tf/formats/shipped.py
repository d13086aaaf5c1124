"""Models that come with the package, by name."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parents[1] / "shipped"


def shipped_models() -> list[str]:
    return sorted(path.stem for path in _FOLDER.glob("*.tflite"))


def shipped_file(model: str | Path) -> Path | None:
    """Returns a shipped model's .tflite file, or None. A file or folder of the same name takes precedence."""
    if str(model) not in shipped_models() or Path(model).exists():
        return None
    return _FOLDER / f"{model}.tflite"
