"""Names of exported models."""

from __future__ import annotations

import re
from pathlib import Path

from pix2pix_tf.errors import ConfigError

# Characters that need no escape in URLs, shells, YAML and server configs.
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def is_model_name(name: str) -> bool:
    return _MODEL_NAME.fullmatch(name) is not None


def check_model_name(name: str) -> None:
    """Raises `ConfigError` if a model can't be served by that name."""
    if not is_model_name(name):
        raise ConfigError(
            f"a model can't be served as {name!r}: a name has letters from a to z, digits, '.', '_' and '-', "
            "and begins with a letter or digit"
        )


def model_name_for(run: Path) -> str:
    """Returns a run directory's name, with '_' for characters that a model name can't have."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", run.resolve().name).strip("_.-")
    return name or "model"
