"""provisional"""
from __future__ import annotations
from typing import Any

PAPER_SETTINGS: dict[str, dict[str, Any]] = {
    "facades": {"direction": "BtoA", "epochs": 200, "batch_size": 1},
    "cityscapes": {"direction": "BtoA", "epochs": 200, "batch_size": 1},
    "maps": {"direction": "AtoB", "epochs": 200, "batch_size": 1},
    "edges2shoes": {"direction": "AtoB", "epochs": 15, "batch_size": 4, "jitter": False, "flip": False},
    "edges2handbags": {"direction": "AtoB", "epochs": 15, "batch_size": 4, "jitter": False, "flip": False},
    "night2day": {"direction": "BtoA", "epochs": 17, "batch_size": 4},
}

def looks_like_path(dataset: str) -> bool:
    """Whether ``--dataset`` names a folder rather than the catalogue or the procedural data set."""
    return dataset not in ("procedural", *PAPER_SETTINGS)
