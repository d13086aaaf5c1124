"""A trained generator as an .onnx file, which ONNX Runtime and many other runtimes read.

What writes and runs it, tf2onnx and ONNX Runtime, is the extra ``onnx`` and imported only where it is used.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from pix2pix_tf.errors import ConfigError
from pix2pix_tf.files import explain_disk_faults
from pix2pix_tf.quiet import hushed
from pix2pix_tf.translators.onnx import INPUT, OUTPUT

if TYPE_CHECKING:
    from pix2pix_tf.translators.run import GeneratorTranslator

_OPSET = 15
_MOST_BYTES = 2**31  # protobuf writes no larger file


def refuse_missing_packages() -> None:
    """Checks that what writes and runs .onnx files is installed.

    Raises:
        ConfigError: it is not.
    """
    for package in ("tf2onnx", "onnxruntime"):
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise ConfigError(
                f"--formats onnx needs the extra 'onnx' ({error}); install it: pip install -e \".[onnx]\""
            ) from error


def write_onnx(translator: GeneratorTranslator, path: Path) -> None:
    """Writes a translator's generator as an .onnx file for images of any size.

    It takes ``images`` and gives ``translated``, both float32 [batch, height, width, channels] in [-1, 1].

    Args:
        translator: in float32 and not stochastic.
        path: the file to write.

    Raises:
        ConfigError: the generator can't be an .onnx file.
        ImportError: the extra is not installed.
        SystemFault: the disk is full, or the place can't be written.
    """
    import tf2onnx

    if translator.stochastic:
        raise ConfigError("an .onnx file can't have dropout as noise")
    if sum(4 * int(np.prod(weight.shape)) for weight in translator.generator.weights) >= _MOST_BYTES:
        raise ConfigError("the generator is too large for an .onnx file, which has less than 2 GiB")
    signature = [tf.TensorSpec([None, None, None, translator.input_channels], tf.float32, name=INPUT)]
    paint = tf.function(lambda images: {OUTPUT: translator.generate(images)}, input_signature=signature)
    with hushed():
        model, _ = tf2onnx.convert.from_function(paint, input_signature=signature, opset=_OPSET)
    for value in (model.graph.input[0], model.graph.output[0]):
        for dimension, name in zip(
            value.type.tensor_type.shape.dim[:3], ("batch", "height", "width"), strict=True
        ):
            dimension.dim_param = name
    model.doc_string = f"'{INPUT}' to '{OUTPUT}': float32 in [-1, 1], which is pixels / 127.5 - 1"
    with explain_disk_faults(path):
        path.write_bytes(model.SerializeToString())
