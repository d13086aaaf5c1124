"""ONNX, for ONNX Runtime and others: one file for images of any size.

The extra ``onnx`` installs tf2onnx and ONNX Runtime; they are imported only when needed.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pix2pix_tf.errors import ConfigError
from pix2pix_tf.files import write_whole
from pix2pix_tf.formats.base import Artifact, ExportFormat, Subject, Tolerance
from pix2pix_tf.formats.translator import Translator, cant_load, read_model

if TYPE_CHECKING:
    import tensorflow as tf

    from pix2pix_tf.formats.run import GeneratorTranslator

_INPUT, _NOISE, _OUTPUT = "images", "z", "translated"  # names must be unique in ONNX
_METADATA = "pix2pix"
_OPSET = 15
_MOST_BYTES = 2**31  # limit of protobuf


@dataclasses.dataclass(frozen=True)
class Onnx(ExportFormat):
    """One file for images of any size."""

    example: ClassVar[str] = "an .onnx file"
    tolerance: ClassVar[Tolerance] = Tolerance(within_1_level=0.9999)

    @staticmethod
    def find(model: str | Path) -> Path | None:
        path = Path(model).expanduser()
        return path if path.suffix.lower() == ".onnx" and path.is_file() else None

    @staticmethod
    def load(found: Path) -> OnnxTranslator:
        return OnnxTranslator(found)

    def check(self, subject: Subject) -> None:
        _import("tf2onnx", "ONNX")
        _import("onnxruntime", "ONNX")
        if subject.translator.stochastic:
            raise ConfigError(
                "an .onnx file can't keep dropout as noise; use --noise drop, or export only a SavedModel"
            )

    def write(self, subject: Subject, served: Path, files: Path) -> Iterator[Artifact]:
        path = files / f"{subject.name}.onnx"
        write_onnx(subject.translator, path)
        yield Artifact("ONNX", path, self.tolerance)


def _import(package: str, needed_by: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(
            f"{needed_by} needs the extra 'onnx' ({error}); install it: pip install -e \".[onnx]\""
        ) from error


def write_onnx(translator: GeneratorTranslator, path: Path) -> None:
    """Writes a float32 network without noise from dropout as an .onnx file.

    The file maps ``images`` float32 [batch, height, width, channels] in [-1, 1], of any size,
    to ``translated``. For networks that take noise, the input is ``z`` float32 [batch, numbers].
    """
    import tensorflow as tf
    import tf2onnx

    from pix2pix_tf.quiet import silenced_stderr

    if sum(4 * math.prod(weight.shape) for weight in translator.network.weights) >= _MOST_BYTES:
        raise ConfigError(
            "the generator is too large for an .onnx file, whose limit is 2 GiB; export a SavedModel"
        )
    if translator.noise:
        spec = tf.TensorSpec([None, translator.noise], tf.float32, name=_NOISE)
    else:
        spec = tf.TensorSpec([None, None, None, translator.input.channels], tf.float32, name=_INPUT)
    generate = tf.function(lambda given: {_OUTPUT: translator.generate(given)}, input_signature=[spec])
    with silenced_stderr():
        model, _ = tf2onnx.convert.from_function(generate, input_signature=[spec], opset=_OPSET)
    for value in (model.graph.input[0], model.graph.output[0]):
        dimensions = value.type.tensor_type.shape.dim
        for dimension, name in zip(dimensions[:3], ("batch", "height", "width"), strict=False):
            if not dimension.dim_value:  # keeps known sizes
                dimension.dim_param = name
    given = f"'{_NOISE}': float32, standard normal" if translator.noise else f"'{_INPUT}', in the same range"
    model.doc_string = f"'{_OUTPUT}': float32 in [-1, 1], which is pixels / 127.5 - 1; from {given}"
    pixels = model.metadata_props.add()
    pixels.key, pixels.value = _METADATA, json.dumps(translator.pixel_facts())
    write_whole(path, model.SerializeToString())


class OnnxTranslator(Translator):
    """An .onnx file that ``pix2pix export`` wrote, in ONNX Runtime."""

    def __init__(self, path: Path):
        onnxruntime = _import("onnxruntime", str(path))
        content = read_model(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = os.cpu_count() or 0
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises many unrelated types
            raise cant_load(f"{path}: ONNX Runtime can't load it", error) from error
        sources, results = self._session.get_inputs(), self._session.get_outputs()
        names = [value.name for value in (*sources, *results)]
        is_known = names in ([_INPUT, _OUTPUT], [_NOISE, _OUTPUT])
        if (
            not is_known
            or any(value.type != "tensor(float)" for value in (*sources, *results))
            or not self._take_shapes(names[0] == _NOISE, sources[0].shape, results[0].shape)
        ):
            raise ConfigError(
                f"{path}: not an .onnx that pix2pix export wrote: expected '{_INPUT}' (or '{_NOISE}', "
                f"float32 [batch, numbers]) to '{_OUTPUT}', float32 [batch, height, width, channels]"
            )
        metadata = self._session.get_modelmeta().custom_metadata_map
        self._read_pixel_facts(path, lambda: json.loads(metadata.get(_METADATA, "{}")))

    def _translate(self, given: tf.Tensor) -> np.ndarray:
        import tensorflow as tf

        from pix2pix_tf.data.pixels import from_unit_range, to_unit_range

        values = given if self.noise else to_unit_range(given)
        inputs = {_NOISE if self.noise else _INPUT: values[tf.newaxis].numpy()}
        return from_unit_range(
            tf.constant(self._session.run([_OUTPUT], inputs)[0][0]), self.output.dtype
        ).numpy()
