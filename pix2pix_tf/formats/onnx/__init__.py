"""ONNX, for ONNX Runtime and others.

tf2onnx and ONNX Runtime come with the extra ``onnx`` and are imported only when needed.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pix2pix_tf.errors import ConfigError
from pix2pix_tf.formats.base import Artifact, Bar, Format, Subject

if TYPE_CHECKING:
    from pix2pix_tf.formats.run import GeneratorTranslator

_OPSET = 15
_MOST_BYTES = 2**31  # the largest file that protobuf can write


@dataclasses.dataclass(frozen=True)
class Onnx(Format):
    """One file for images of any size."""

    name: ClassVar[str] = "onnx"
    bar: ClassVar[Bar] = Bar(within_1_level=0.9999)

    def check(self, subject: Subject) -> None:
        for package in ("tf2onnx", "onnxruntime"):
            try:
                importlib.import_module(package)
            except ImportError as error:
                raise ConfigError(
                    f"ONNX needs the extra 'onnx' ({error}); install it: pip install -e \".[onnx]\""
                ) from error
        if subject.translator.painter.stochastic:
            raise ConfigError(
                "an .onnx file can't have dropout as noise; drop the noise, or export a SavedModel alone"
            )

    def jobs(self, subject: Subject, served: Path, files: Path) -> Iterator[Callable[[], Artifact]]:
        path = files / f"{subject.name}.onnx"
        yield functools.partial(self._write, subject.translator, path)

    def _write(self, translator: GeneratorTranslator, path: Path) -> Artifact:
        write_onnx(translator, path)
        return Artifact("ONNX", path, self.bar)


def write_onnx(translator: GeneratorTranslator, path: Path) -> None:
    """Writes a network, float32 and not stochastic, as an .onnx file.

    It maps ``images`` float32 [batch, height, width, channels] in [-1, 1], of any size, to ``translated``.
    For networks that take noise, the input is ``z`` float32 [batch, numbers].
    """
    import tensorflow as tf
    import tf2onnx

    from pix2pix_tf.files import write_whole
    from pix2pix_tf.formats.onnx.reader import INPUT, METADATA, NOISE, OUTPUT
    from pix2pix_tf.quiet import hushed

    if sum(4 * math.prod(weight.shape) for weight in translator.network.weights) >= _MOST_BYTES:
        raise ConfigError("the generator is too large for an .onnx file, which has less than 2 GiB")
    if translator.noise:
        spec = tf.TensorSpec([None, translator.noise], tf.float32, name=NOISE)
    else:
        spec = tf.TensorSpec([None, None, None, translator.input_channels], tf.float32, name=INPUT)
    paint = tf.function(lambda given: {OUTPUT: translator.generate(given)}, input_signature=[spec])
    with hushed():
        model, _ = tf2onnx.convert.from_function(paint, input_signature=[spec], opset=_OPSET)
    for value in (model.graph.input[0], model.graph.output[0]):
        dimensions = value.type.tensor_type.shape.dim
        for dimension, name in zip(dimensions[:3], ("batch", "height", "width"), strict=False):
            if not dimension.dim_value:  # known sizes stay
                dimension.dim_param = name
    pixels = f"'{OUTPUT}': float32 in [-1, 1], which is pixels / 127.5 - 1"
    given = f"'{NOISE}': float32, standard normal" if translator.noise else f"'{INPUT}', likewise"
    model.doc_string = f"{pixels}; from {given}"
    pixels = model.metadata_props.add()
    pixels.key, pixels.value = METADATA, json.dumps(translator.pixel_facts())
    write_whole(path, model.SerializeToString())
