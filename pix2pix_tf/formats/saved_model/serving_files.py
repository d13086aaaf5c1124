"""Writes the files next to a SavedModel: TensorFlow Serving's config, warm-up requests and a README."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
import tensorflow as tf

from pix2pix_tf.files import explain_disk_faults, write_whole
from pix2pix_tf.formats.saved_model.graph import takes_files
from pix2pix_tf.formats.translator import Translator

if TYPE_CHECKING:
    from pix2pix_tf.formats.saved_model import SavedModel

WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
SERVING_FILES = ("models.config", "docker-compose.yml", "batching.config", "README.md")


def served_models(out: Path) -> list[str]:
    """Returns the sorted names of models in a folder that have at least one version."""
    versions = (path.parent for path in out.glob("*/*/saved_model.pb"))
    return sorted({path.parent.name for path in versions if path.name.isdecimal()})


# ---------------------------------------------------------------- warm-up


def write_warmup(version: Path, name: str, translator: Translator, size: tuple[int, int]) -> None:
    """Writes warm-up requests, which a server runs when it loads the model, so that the first call is fast.

    One request per signature, with noise or an image of ``size``.
    """
    path = version / WARMUP_FILE
    with explain_disk_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tf.io.TFRecordWriter(str(path)) as writer:
            for signature, (key, value) in _example_requests(translator, size).items():
                writer.write(_prediction_log(name, signature, {key: tf.make_tensor_proto(value)}))


def _example_requests(translator: Translator, size: tuple[int, int]) -> dict[str, tuple[str, Any]]:
    """Returns each signature's input name and a batch with one element."""
    if translator.noise:
        z = np.zeros((1, translator.noise), np.float32)
        return dict.fromkeys(("serving_default", "bytes", "float"), ("z", z))
    image = np.full((*size, translator.input.channels), 128, np.uint8)
    requests: dict[str, tuple[str, Any]] = {
        "serving_default": ("images", image[np.newaxis]),
        "float": ("images", image[np.newaxis].astype(np.float32) / 127.5 - 1),
    }
    if takes_files(translator):
        requests["bytes"] = ("image_bytes", [tf.io.encode_png(tf.constant(image)).numpy()])
    return requests


def _prediction_log(name: str, signature: str, inputs: Mapping[str, tf.compat.v1.TensorProto]) -> bytes:
    """Encodes ``tensorflow.serving.PredictionLog`` without the package that has its Python classes."""
    model_spec = _field(1, name.encode()) + _field(3, signature.encode())
    request = _field(1, model_spec)  # PredictRequest
    for key, tensor in inputs.items():
        request += _field(2, _field(1, key.encode()) + _field(2, tensor.SerializeToString()))
    return _field(6, _field(1, request))  # PredictionLog.predict_log, PredictLog.request


def _field(number: int, content: bytes) -> bytes:
    """Encodes a string, message or map entry in the wire format of protocol buffers."""
    length_delimited = 2
    return bytes([number << 3 | length_delimited]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    digits = []
    while number >= 128:
        digits.append(number % 128 + 128)
        number //= 128
    return bytes([*digits, number])


# ---------------------------------------------------------------- config and README


def write_serving_files(
    out: Path, name: str, translator: Translator, size: tuple[int, int], limits: SavedModel
) -> None:
    """Writes `SERVING_FILES`: a config for TensorFlow Serving and a README.

    The config lists every model with a version in ``out``. The README describes this model and
    names the others.
    """
    models = sorted({name, *served_models(out)})
    facts = {
        "name": name,
        "models": models,
        "others": [model for model in models if model != name],
        "noise": translator.noise,
        "input_channels": translator.input.channels,
        "output_channels": translator.output.channels,
        "output_type": translator.output.dtype.name,
        "takes_files": takes_files(translator),
        "enlarges": translator.enlarges,
        "inpaints": translator.inpaints,
        "input_file": "input.png" if translator.inpaints else "input.jpg",
        "files": "PNG" if translator.inpaints else "JPEG or PNG",
        "height": size[0],
        "width": size[1],
        "limits": limits,
        "tensorflow_version": tf.__version__,
    }
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    for file in SERVING_FILES:
        write_whole(out / file, templates.get_template(f"{file}.jinja").render(facts))
