"""The models that come with the package, by name: to try what there is without training or a network."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parents[1] / "shipped"


def shipped_models() -> list[str]:
    """Returns their names."""
    return sorted(path.stem for path in _FOLDER.glob("*.tflite"))


def shipped_file(model: str | Path) -> Path | None:
    """Returns the .tflite of a name; None of any other, and where a file or folder of that name is there."""
    if str(model) not in shipped_models() or Path(model).exists():
        return None
    return _FOLDER / f"{model}.tflite"
