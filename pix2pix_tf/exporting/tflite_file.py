"""What a .tflite file holds beside the converted graph: uint8 ends, and the words for whoever runs it.

The description is there three times: as a sentence that every viewer shows, as JSON for people and
programs, and in TFLite's own metadata schema, from which Android Studio generates code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import number_types

JSON_METADATA = "pix2pix"
_STANDARD_METADATA = "TFLITE_METADATA"
_ALIGNMENT = 16  # of weights, as the converter writes them: some delegates read them in place
_COLOR_ORDERS = {1: "grey", 3: "RGB"}


def finished(model: bytes, quantization: str) -> bytes:
    """Gives a converted model its ends and its descriptions.

    Args:
        model: a .tflite whose input and output are float32 images: in [0, 255] for 'int8', else in [-1, 1].
        quantization: as in ``pix2pix export --quantize``.

    Returns:
        The same with uint8 input and output for 'int8', and with metadata.
    """
    content = schema.ModelT.InitFromPackedBuf(model, 0)
    if quantization == "int8":
        _take_levels(content)
    description = _described(content, quantization)
    content.description = description["description"]
    texts = {
        JSON_METADATA: json.dumps(description, indent=2).encode(),
        _STANDARD_METADATA: _standard_metadata(description),
    }
    for name, text in texts.items():
        _add_metadata(content, name, text)
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
        if entry.Name() == JSON_METADATA.encode():
            return json.loads(content.Buffers(entry.Buffer()).DataAsNumpy().tobytes())
    return {}


# ---------------------------------------------------------------- uint8 in and out


def _take_levels(model: schema.ModelT) -> None:
    """Makes float32 input and output in [0, 255] the same numbers in uint8."""
    [graph], [signature] = model.subgraphs, model.signatureDefs
    [entry], [exit_] = graph.inputs, graph.outputs
    levels_in, levels_out = _add_levels(graph, entry), _add_levels(graph, exit_)
    operators = schema.BuiltinOperator
    graph.operators.insert(0, _operator(model, operators.DEQUANTIZE, levels_in, entry))
    graph.operators.append(_operator(model, operators.QUANTIZE, exit_, levels_out))
    graph.inputs, graph.outputs = [levels_in], [levels_out]
    signature.inputs[0].tensorIndex, signature.outputs[0].tensorIndex = levels_in, levels_out


def _add_levels(graph: schema.SubGraphT, of: int) -> int:
    """Adds a uint8 tensor of the shape of another, whose numbers mean themselves; returns its index."""
    given = graph.tensors[of]
    unscaled = schema.QuantizationParametersT(scale=[1.0], zeroPoint=[0])
    levels = schema.TensorT(
        shape=given.shape,
        type=schema.TensorType.UINT8,
        name=given.name,
        quantization=unscaled,
        hasRank=given.hasRank,
    )
    given.name += b"_float"
    graph.tensors.append(levels)
    return len(graph.tensors) - 1


def _operator(model: schema.ModelT, code: int, source: int, target: int) -> schema.OperatorT:
    model.operatorCodes.append(schema.OperatorCodeT(builtinCode=code, deprecatedBuiltinCode=code))
    return schema.OperatorT(opcodeIndex=len(model.operatorCodes) - 1, inputs=[source], outputs=[target])


# ---------------------------------------------------------------- descriptions


def _described(model: schema.ModelT, quantization: str) -> dict[str, Any]:
    [graph] = model.subgraphs
    image, painted = (graph.tensors[tensors[0]] for tensors in (graph.inputs, graph.outputs))
    is_float = image.type == schema.TensorType.FLOAT32
    in_words = {
        "input": "pixel / 127.5 - 1" if is_float else "pixel",
        "output": "round((value + 1) * 127.5)" if is_float else "value",
    }
    sides: dict[str, dict[str, Any]] = {
        end: {
            "name": "image",
            "shape": [int(side) for side in tensor.shape],
            "layout": "NHWC: batch, height, width, channel",
            "dtype": "float32" if is_float else "uint8",
            "range": [-1, 1] if is_float else [0, 255],
            "color_order": _COLOR_ORDERS[int(tensor.shape[3])],
            "value_of_pixel" if end == "input" else "pixel_of_value": in_words[end],
        }
        for end, tensor in (("input", image), ("output", painted))
    }
    _, height, width, _ = sides["input"]["shape"]
    kind, (low, high) = sides["input"]["dtype"], sides["input"]["range"]
    colors = " to ".join(dict.fromkeys(side["color_order"] for side in sides.values()))
    return {
        "description": f"pix2pix image translation, {width}x{height} pixels, {colors}, {kind} in "
        f"[{low}, {high}] in and out, quantization {quantization}",
        "signature": "serving_default",
        "quantization": quantization,
        **sides,
    }


def _add_metadata(model: schema.ModelT, name: str, text: bytes) -> None:
    model.buffers.append(schema.BufferT(data=np.frombuffer(text, np.uint8)))
    entry = schema.MetadataT(name=name, buffer=len(model.buffers) - 1)
    model.metadata = [*(model.metadata or []), entry]


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


# ---------------------------------------------------------------- TFLite's metadata schema
# metadata_schema.fbs of tflite-support, whose package does not install on recent Pythons. The numbers are
# the fields' places in their tables.

_IMAGE_PROPERTIES, _NORMALIZATION_OPTIONS = 2, 1  # of the unions ContentProperties, ProcessUnitOptions
_COLOR_SPACES = {"RGB": 1, "grey": 2}
_Field = int | tuple[type, int]  # an offset, or a number and its type


def _standard_metadata(description: Mapping[str, Any]) -> bytes:
    """Writes a description in TFLite's metadata schema."""
    builder = flatbuffers.Builder(1024)
    sides = {
        2: _vector(builder, [_tensor_metadata(builder, description["input"], is_input=True)]),
        3: _vector(builder, [_tensor_metadata(builder, description["output"], is_input=False)]),
    }
    graph = _table(builder, {0: builder.CreateString(description["signature"]), **sides})
    texts = {0: "pix2pix", 1: description["description"], 2: "1", 7: "1.0.0"}  # 7: least version of a parser
    fields = {place: builder.CreateString(text) for place, text in texts.items()}
    root = _table(builder, {**fields, 3: _vector(builder, [graph])})
    builder.Finish(root, b"M001")
    return bytes(builder.Output())


def _tensor_metadata(builder: flatbuffers.Builder, side: Mapping[str, Any], is_input: bool) -> int:
    _, height, width, channels = side["shape"]
    uint8, uint32 = number_types.Uint8Flags, number_types.Uint32Flags
    size = _table(builder, {0: (uint32, width), 1: (uint32, height)})
    color_space = (number_types.Int8Flags, _COLOR_SPACES[side["color_order"]])
    properties = _table(builder, {0: color_space, 1: size})
    content = _table(builder, {0: (uint8, _IMAGE_PROPERTIES), 1: properties})

    # (x - mean) / deviation, from pixels to values and back.
    mean, deviation = (0.0, 1.0) if side["dtype"] == "uint8" else (127.5, 127.5)
    if not is_input:
        mean, deviation = -mean / deviation, 1 / deviation
    options = _table(builder, {0: _floats(builder, [mean]), 1: _floats(builder, [deviation])})
    unit = _table(builder, {0: (uint8, _NORMALIZATION_OPTIONS), 1: options})

    low, high = side["range"]
    stats = _table(builder, {0: _floats(builder, [high] * channels), 1: _floats(builder, [low] * channels)})
    words = f"{side['dtype']} {side['color_order']} {width}x{height} in [{low}, {high}]"
    return _table(
        builder,
        {
            0: builder.CreateString(side["name"]),
            1: builder.CreateString(words),
            3: content,
            4: _vector(builder, [unit]),
            5: stats,
        },
    )


def _table(builder: flatbuffers.Builder, fields: Mapping[int, _Field]) -> int:
    builder.StartObject(max(fields) + 1)
    for place, field in fields.items():
        if isinstance(field, tuple):
            builder.PrependSlot(field[0], place, field[1], 0)
        else:
            builder.PrependUOffsetTRelativeSlot(place, field, 0)
    return builder.EndObject()


def _vector(builder: flatbuffers.Builder, tables: Sequence[int]) -> int:
    builder.StartVector(4, len(tables), 4)
    for table in reversed(tables):
        builder.PrependUOffsetTRelative(table)
    return builder.EndVector()


def _floats(builder: flatbuffers.Builder, values: Sequence[float]) -> int:
    return builder.CreateNumpyVector(np.array(values, np.float32))
