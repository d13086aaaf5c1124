"""Registry of export formats: a new one is a file, a line here, and a reader in `translators`."""

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
    """Returns a format's class without importing TensorFlow; raises `ConfigError` for unknown names."""
    if name not in FORMATS:
        raise ConfigError(f"there is no format {name!r}; there are {', '.join(FORMATS)}")
    module, _, attribute = FORMATS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def default_formats() -> list[Format]:
    return [format_class(name)() for name in DEFAULT_FORMATS]
