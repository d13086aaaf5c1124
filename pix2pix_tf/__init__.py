"""pix2pix in Keras 3 and TensorFlow: identical outputs everywhere, at any image size.

Importing the package registers the paper's data sets with tensorflow-datasets, such as ``pix2pix/facades``.
It doesn't import TensorFlow or Keras.

Example:
    >>> from pix2pix_tf import load, preset, train
    >>> run = train(preset("facades"))
    >>> photo = load(run.path)(labels)
"""

from __future__ import annotations

import importlib
from typing import Any

from pix2pix_tf import config as _config
from pix2pix_tf.config import TrainConfig
from pix2pix_tf.data.tfds_builder import Pix2pix
from pix2pix_tf.errors import Pix2pixError
from pix2pix_tf.models import registry as _registry
from pix2pix_tf.quiet import import_frameworks
from pix2pix_tf.validation import checked

__version__ = "0.1.0"  # setup.cfg reads it

preset = checked(_registry.preset)
replace = checked(_config.replace)

# Imported on first access, because they need TensorFlow.
_LAZY = {
    "Translator": "pix2pix_tf.formats.translator",
    "build_discriminator": "pix2pix_tf.networks",
    "build_generator": "pix2pix_tf.networks",
    "load": "pix2pix_tf.formats",
    "open_dataset": "pix2pix_tf.data.sources",
    "train": "pix2pix_tf.training.train",
    "training_batches": "pix2pix_tf.data.pipeline",
}

__all__ = [
    "Pix2pix",
    "Pix2pixError",
    "TrainConfig",
    "Translator",
    "build_discriminator",
    "build_generator",
    "load",
    "open_dataset",
    "preset",
    "replace",
    "train",
    "training_batches",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        import_frameworks()
        found = getattr(importlib.import_module(_LAZY[name]), name)
        return found if isinstance(found, type) else checked(found)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
