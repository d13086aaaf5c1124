"""Metadata of a .tflite file: a description for viewers, and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

SIGNATURE, IMAGE, NOISE = "serving_default", "image", "z"
_METADATA = "pix2pix"
_ALIGNMENT = 16  # bytes, for weights, as in the converter's files; some delegates read weights in place
_COLOR_ORDERS = {1: "gray", 2: "gray, alpha", 3: "RGB", 4: "RGBA"}


def read_metadata(model: bytes) -> dict[str, Any]:
    """Returns the metadata of a .tflite file that ``pix2pix export`` wrote, or {}.

    Example:
        >>> read_metadata(Path("facades_256x256_int8.tflite").read_bytes())["input"]["dtype"]
        'uint8'
    """
    content = schema.Model.GetRootAs(model, 0)
    for entry in (content.Metadata(number) for number in range(content.MetadataLength())):
        if entry.Name() == _METADATA.encode():
            return json.loads(content.Buffers(entry.Buffer()).DataAsNumpy().tobytes())
    return {}


def with_metadata(model: bytes, quantization: str, pixels: Mapping[str, Any]) -> bytes:
    """Adds metadata to a converted model, and removes a cast that XNNPACK can't run.

    ``pixels`` is the result of `Translator.pixel_facts`.
    """
    content = schema.ModelT.InitFromPackedBuf(model, 0)
    _remove_int8_cast(content)
    description = _described(content, quantization, pixels)
    content.description = description["description"]
    text = json.dumps(description, indent=2).encode()
    content.buffers.append(schema.BufferT(data=np.frombuffer(text, np.uint8)))
    entry = schema.MetadataT(name=_METADATA, buffer=len(content.buffers) - 1)
    content.metadata = [*(content.metadata or []), entry]
    builder = _AlignedBuilder(len(model) + 2**16)
    builder.Finish(content.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _remove_int8_cast(model: schema.ModelT) -> None:
    """Removes the converter's cast of uint8 inputs to int8, which XNNPACK can't run."""
    [graph] = model.subgraphs
    if graph.tensors[graph.inputs[0]].type != schema.TensorType.UINT8:
        return
    to_signed, to_float, *_ = graph.operators
    to_float.inputs = to_signed.inputs
    graph.operators.remove(to_signed)


def _described(model: schema.ModelT, quantization: str, pixels: Mapping[str, Any]) -> dict[str, Any]:
    [graph], [signature] = model.subgraphs, model.signatureDefs
    pixel_of_value = f"round((value + 1) * {(2 ** pixels['output_format']['bits'] - 1) / 2})"
    ends = {
        "input": _end(graph, signature.inputs[0], "value_of_pixel", "pixel / 127.5 - 1", "pixel"),
        "output": _end(graph, signature.outputs[0], "pixel_of_value", pixel_of_value, "value"),
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
        **pixels,
        **ends,
    }


def _end(
    graph: schema.SubGraphT, given: schema.TensorMapT, key: str, of_float: str, of_uint8: str
) -> dict[str, Any]:
    """Describes an input or output; ``key`` names the formula that converts between pixels and values."""
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
        "color_order": _COLOR_ORDERS.get(shape[3], f"{shape[3]} channels"),
        key: of_float if is_float else of_uint8,
    }


class _AlignedBuilder(flatbuffers.Builder):
    """A builder with the converter's alignment, which is larger than the default."""

    head: int

    def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802 (overrides a library method)
        self.StartVector(x.itemsize, x.size, max(x.itemsize, _ALIGNMENT if x.itemsize == 1 else 0))
        self.head = self.head - x.nbytes
        self.Bytes[self.head : self.head + x.nbytes] = x.astype(x.dtype.newbyteorder("<")).tobytes()
        self.vectorNumElems = x.size
        return self.EndVector()
