"""Every export format by its name. A new one is a file, a line here, and what loads it in the translators."""

from __future__ import annotations

import importlib

from pix2pix_tf.errors import ConfigError
from pix2pix_tf.exporting.formats.base import Format

FORMATS = {
    "saved_model": "pix2pix_tf.exporting.formats.saved_model:SavedModel",
    "tflite": "pix2pix_tf.exporting.formats.tflite:TFLite",
    "onnx": "pix2pix_tf.exporting.formats.onnx:Onnx",
}
DEFAULT_FORMATS = ("saved_model", "tflite")


def format_class(name: str) -> type[Format]:
    """Returns a format's class; imports no TensorFlow.

    Raises:
        ConfigError: there is no such format.
    """
    if name not in FORMATS:
        raise ConfigError(f"there is no format {name!r}; there are {', '.join(FORMATS)}")
    module, _, attribute = FORMATS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def default_formats() -> list[Format]:
    """Returns what is exported where nothing else is asked for."""
    return [format_class(name)() for name in DEFAULT_FORMATS]
