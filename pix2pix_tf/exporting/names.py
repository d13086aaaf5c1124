"""Names that models are exported and served by."""

from __future__ import annotations

import re
from pathlib import Path

from pix2pix_tf.errors import ConfigError

# What needs no escape in a URL, a shell, YAML and the configuration of a server.
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def is_model_name(name: str) -> bool:
    """Whether a model can be served, and asked for in a URL, by that name."""
    return _MODEL_NAME.fullmatch(name) is not None


def check_model_name(name: str) -> None:
    """Checks that a model can be served by that name.

    Raises:
        ConfigError: it can't.
    """
    if not is_model_name(name):
        raise ConfigError(
            f"a model can't be served as {name!r}: a name has letters from a to z, digits, '.', '_' and '-', "
            "and begins with a letter or digit"
        )


def model_name_for(run: Path) -> str:
    """Returns a run directory's name, with '_' for letters that a model can't be served by."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", run.resolve().name).strip("_.-")
    return name or "model"
