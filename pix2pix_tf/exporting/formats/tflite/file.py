"""What a .tflite file says of itself: a sentence that viewers show, and JSON for people and programs."""

from __future__ import annotations

import json
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from pix2pix_tf.translators.tflite import SIGNATURE

_METADATA = "pix2pix"
_ALIGNMENT = 16  # of weights, as the converter writes them: some delegates read them in place
_COLOR_ORDERS = {1: "grey", 2: "grey, alpha", 3: "RGB", 4: "RGBA"}


def finished(model: bytes, quantization: str) -> bytes:
    """Adds to a converted model what it says of itself, and lets XNNPACK take it whole.

    Args:
        model: a .tflite from one image, or noise, to one image.
        quantization: as in ``pix2pix export --quantize``.
    """
    content = schema.ModelT.InitFromPackedBuf(model, 0)
    _skip_signed_levels(content)
    description = _described(content, quantization)
    content.description = description["description"]
    text = json.dumps(description, indent=2).encode()
    content.buffers.append(schema.BufferT(data=np.frombuffer(text, np.uint8)))
    entry = schema.MetadataT(name=_METADATA, buffer=len(content.buffers) - 1)
    content.metadata = [*(content.metadata or []), entry]
    builder = _AlignedBuilder(len(model) + 2**16)
    builder.Finish(content.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def read_metadata(model: bytes) -> dict[str, Any]:
    """Returns what a .tflite file written by ``pix2pix export`` says of itself; {} where it is another's.

    Example:
        >>> read_metadata(Path("facades_256x256_int8.tflite").read_bytes())["input"]["dtype"]
        'uint8'
    """
    content = schema.Model.GetRootAs(model, 0)
    for entry in (content.Metadata(number) for number in range(content.MetadataLength())):
        if entry.Name() == _METADATA.encode():
            return json.loads(content.Buffers(entry.Buffer()).DataAsNumpy().tobytes())
    return {}


def _skip_signed_levels(model: schema.ModelT) -> None:
    """Takes uint8 straight to float32 and not, as the converter does, by int8, which XNNPACK can't follow."""
    [graph] = model.subgraphs
    if graph.tensors[graph.inputs[0]].type != schema.TensorType.UINT8:
        return
    to_signed, to_float, *_ = graph.operators
    to_float.inputs = to_signed.inputs
    graph.operators.remove(to_signed)


def _described(model: schema.ModelT, quantization: str) -> dict[str, Any]:
    [graph], [signature] = model.subgraphs, model.signatureDefs
    ends = {
        "input": _end(graph, signature.inputs[0], "value_of_pixel", "pixel / 127.5 - 1", "pixel"),
        "output": _end(graph, signature.outputs[0], "pixel_of_value", "round((value + 1) * 127.5)", "value"),
    }
    sides = [
        f"{end['color_order']} {end['dtype']} in {end['range']}"
        if "range" in end
        else f"{end['shape'][1]} numbers"
        for end in ends.values()
    ]
    _, height, width, _ = ends["output"]["shape"]
    return {
        "description": f"pix2pix, {width}x{height} pixels, {' to '.join(sides)}, quantization {quantization}",
        "signature": SIGNATURE,
        "quantization": quantization,
        **ends,
    }


def _end(
    graph: schema.SubGraphT, given: schema.TensorMapT, key: str, of_float: str, of_level: str
) -> dict[str, Any]:
    """Describes an input or output: how a pixel becomes a value, or a value a pixel, stands at ``key``."""
    tensor = graph.tensors[given.tensorIndex]
    shape, name = [int(side) for side in tensor.shape], given.name.decode()
    is_float = tensor.type == schema.TensorType.FLOAT32
    if len(shape) == 2:
        return {"name": name, "shape": shape, "dtype": "float32", "distribution": "standard normal"}
    return {
        "name": name,
        "shape": shape,
        "layout": "NHWC: batch, height, width, channel",
        "dtype": "float32" if is_float else "uint8",
        "range": [-1, 1] if is_float else [0, 255],
        "color_order": _COLOR_ORDERS[shape[3]],
        key: of_float if is_float else of_level,
    }


class _AlignedBuilder(flatbuffers.Builder):
    """A builder that aligns bytes as the converter does, not as Python's flatbuffers would."""

    head: int

    def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802 (it is called by this name)
        """Writes an array of numbers; returns its offset."""
        self.StartVector(x.itemsize, x.size, max(x.itemsize, _ALIGNMENT if x.itemsize == 1 else 0))
        self.head = self.head - x.nbytes
        self.Bytes[self.head : self.head + x.nbytes] = x.astype(x.dtype.newbyteorder("<")).tobytes()
        self.vectorNumElems = x.size
        return self.EndVector()
