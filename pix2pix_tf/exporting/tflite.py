"""A trained generator as a .tflite file, which LiteRT (TensorFlow Lite) runs on phones and elsewhere.

A file is for one size of image and one image at a time. XNNPACK, what LiteRT computes with on processors,
takes such a file whole, as one partition: nothing falls back to slower kernels.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from pix2pix_tf.data.images import to_unit_range
from pix2pix_tf.errors import ConfigError, RunError
from pix2pix_tf.exporting.tflite_file import finished
from pix2pix_tf.files import explain_disk_faults
from pix2pix_tf.networks.convolutions import HalvingConvolution, TransposedConvolution
from pix2pix_tf.networks.layers import ReflectToAtLeast
from pix2pix_tf.quiet import hushed

if TYPE_CHECKING:
    from pix2pix_tf.translators.run import GeneratorTranslator

Quantization = Literal["none", "float16", "dynamic", "int8"]

SIGNATURE = "serving_default"
_MOST_BYTES = 2**31  # a flatbuffer's offsets have 31 bits
_MOST_JOINED = 4  # XNNPACK concatenates five images at most

_Range = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Partitions:
    """How LiteRT divides a model between XNNPACK and its own kernels.

    Args:
        count: pieces of the model that XNNPACK computes; between two of them values change hands.
        fallbacks: the operators that XNNPACK leaves to LiteRT's own kernels, and how many of each.
    """

    count: int
    fallbacks: Mapping[str, int]

    @property
    def is_whole(self) -> bool:
        """Whether XNNPACK takes the model in one piece."""
        return self.count == 1 and not self.fallbacks

    def __str__(self) -> str:
        rest = sum(self.fallbacks.values())
        return f"{self.count} + {rest} fallbacks" if rest else str(self.count)


def convert(
    translator: GeneratorTranslator,
    size: tuple[int, int],
    quantization: Quantization,
    calibration: Iterable[np.ndarray] | None = None,
) -> bytes:
    """Converts a translator's generator to a .tflite for images of one size.

    Its signature ``serving_default`` takes ``image`` and gives ``image``, [1, height, width, channels].
    With 'none', 'float16' and 'dynamic' both are float32 in [-1, 1]. 'float16' stores the weights in half
    the bytes and computes in float32; 'dynamic' stores them as int8, and rounds every image between the
    layers to int8 by its own range. 'int8' takes and gives uint8; its convolutions compute in int8,
    with weights scaled by channel and ranges found by calibration, but for the last one, which computes in
    float32, as the normalisations do: there a rounded value would be a rounded pixel.

    Args:
        translator: in float32 and not stochastic.
        size: height and width of its images.
        quantization: see above.
        calibration: for 'int8', ``uint8`` images [height, width, input channels] of that size, such as the
            generator was trained on; some dozens are enough. Ignored otherwise.

    Returns:
        The bytes of the file.

    Raises:
        ConfigError: a combination that can't be converted.
        RunError: the generator's weights are not numbers.
        SystemFault: there is no space for temporary files.
    """
    _check(translator, size, quantization)
    generator = translator.generator
    with hushed():
        ranges = _calibrated(generator, size, calibration) if quantization == "int8" else {}
        mobile = _mobile_form(generator, size, ranges)
        if quantization == "int8":
            mobile = _between_levels(mobile)
        model = _converted(mobile, quantization)
        return finished(model, quantization)


def partitions(model: bytes) -> Partitions:
    """Finds out how LiteRT divides a model, by loading it.

    Args:
        model: the bytes of a .tflite file.
    """
    with hushed():
        interpreter = Interpreter(model_content=model)
        interpreter.allocate_tensors()
        operators = interpreter._get_ops_details()  # the only way to see what the delegate took
    taken = [operator for operator in operators if operator["op_name"] == "DELEGATE"]
    rest = {operator["index"]: operator for operator in operators if operator["op_name"] != "DELEGATE"}
    maker = {tensor: operator for operator in rest.values() for tensor in operator["outputs"]}
    for partition in taken:
        # The list still has every operator: a partition's are those between its inputs and its outputs.
        seen, ahead = set(partition["inputs"]), list(partition["outputs"])
        while ahead:
            tensor = ahead.pop()
            if tensor in maker and tensor not in seen:
                ahead.extend(maker[tensor]["inputs"])
                rest.pop(maker[tensor]["index"], None)
            seen.add(tensor)
    return Partitions(
        len(taken), dict(collections.Counter(operator["op_name"] for operator in rest.values()))
    )


def _check(translator: GeneratorTranslator, size: tuple[int, int], quantization: Quantization) -> None:
    if quantization not in get_args(Quantization):
        raise ConfigError(f"quantization is one of {', '.join(get_args(Quantization))}, not {quantization!r}")
    if min(size) < 1:
        raise ConfigError(f"a .tflite is for images of at least 1x1 pixels, not {size[1]}x{size[0]}")
    if translator.stochastic:
        raise ConfigError(
            "a stochastic generator can't be converted to TFLite, which would repeat one noise for ever; "
            "export a SavedModel, or load the run with stochastic=False"
        )
    layers = translator.generator.layers
    if any(layer.compute_dtype != "float32" for layer in layers):
        raise ConfigError("a .tflite is made from a translator in float32; load the run with that precision")
    weights = translator.generator.weights
    if sum(4 * math.prod(weight.shape) for weight in weights) >= _MOST_BYTES:
        raise ConfigError("a .tflite holds at most 2 GB; export a SavedModel, or train with fewer filters")
    broken = [weight.path for weight in weights if not np.isfinite(weight.numpy()).all()]
    if broken:
        raise RunError(f"the generator's weights are not all numbers ({broken[0]}); take an earlier step")


# ---------------------------------------------------------------- the graph that is converted


def _mobile_form(
    generator: keras.Model, size: tuple[int, int], ranges: Mapping[str, tuple[_Range, _Range]]
) -> keras.Model:
    """Copies a generator, for one size, into the form that XNNPACK computes fastest.

    Args:
        generator: the trained one.
        size: height and width.
        ranges: of the input and output of the convolutions that are to compute in int8, by their names.

    Returns:
        A model from [1, height, width, channels] to the same, of static shapes.
    """

    def copied(layer: keras.Layer) -> keras.Layer:
        return _MOBILE_FORMS.get(type(layer), type(layer)).from_config(layer.get_config())

    def called(layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
        if layer.name not in ranges:
            return layer(*args, **kwargs)
        before, after = ranges[layer.name]
        [x] = args
        return _RoundedToInt8(after)(layer(_RoundedToInt8(before)(x), **kwargs))

    image = keras.Input((*size, generator.input.shape[-1]), batch_size=1, name="image")
    mobile = keras.models.clone_model(
        generator, input_tensors=image, clone_function=copied, call_function=called
    )
    for layer in generator.layers:
        if layer.weights:
            mobile.get_layer(layer.name).set_weights(layer.get_weights())
    return mobile


class _ForwardConvolution(TransposedConvolution):
    """The transposed convolution as a convolution, whose channels then become pixels.

    An output pixel is made of 2×2 input pixels, and which of the kernel's 4×4 taps they meet depends on
    whether its row and its column are even. So one convolution 2×2 gives all four cases as channels.
    XNNPACK computes that three to four times as fast as a transposed convolution.
    """

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Returns ``x`` at twice its size."""
        filters, channels = self.kernel.shape[2:]
        # Of the window that begins at pixel i - 1: output 2i - 1 is x[i - 1] · k[2] + x[i] · k[0],
        # output 2i is x[i - 1] · k[3] + x[i] · k[1].
        taps = tf.reshape(keras.ops.convert_to_tensor(self.kernel), [2, 2, 2, 2, filters, channels])
        taps = tf.transpose(tf.reverse(taps, [0, 2]), [0, 2, 5, 1, 3, 4])
        x = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
        x = tf.nn.conv2d(x, tf.reshape(taps, [2, 2, channels, 4 * filters]), strides=1, padding="VALID")
        if self.use_bias:
            x = x + tf.tile(keras.ops.convert_to_tensor(self.bias), [4])
        return tf.nn.depth_to_space(x, 2)[:, 1:-1, 1:-1]  # [1, 2 height + 2, 2 width + 2, filters], cut


class _SlicedReflection(ReflectToAtLeast):
    """The reflection of images that are too small, out of slices: XNNPACK can't gather."""

    def call(self, x: Any) -> Any:
        """Returns ``x`` extended."""
        for axis in (1, 2):
            missing = self.minimum - x.shape[axis]
            if missing > 0:
                x = _extended(x, axis, missing)
        return x


def _extended(x: tf.Tensor, axis: int, missing: int) -> tf.Tensor:
    size = x.shape[axis]
    mirrored = range(size - 2, max(size - 2 - missing, 0), -1)
    period = [x, *(_slice(x, axis, at, at + 1) for at in mirrored)]
    full = size + len(mirrored)
    repeated = _joined([_joined(period, axis)] * -(-(size + missing) // full), axis)
    return _slice(repeated, axis, 0, size + missing)


def _slice(x: tf.Tensor, axis: int, start: int, stop: int) -> tf.Tensor:
    return x[:, start:stop] if axis == 1 else x[:, :, start:stop]


def _joined(parts: list[tf.Tensor], axis: int) -> tf.Tensor:
    while len(parts) > 1:
        groups = [parts[at : at + _MOST_JOINED] for at in range(0, len(parts), _MOST_JOINED)]
        parts = [tf.concat(group, axis) for group in groups]
    return parts[0]


_MOBILE_FORMS: dict[Any, Any] = {
    TransposedConvolution: _ForwardConvolution,
    ReflectToAtLeast: _SlicedReflection,
}


def _between_levels(model: keras.Model) -> keras.Model:
    """Puts a model from [-1, 1] to [-1, 1] between the levels 0 to 255, still float32."""
    levels = keras.Input(batch_shape=model.input.shape, name="image")
    output = model(keras.layers.Rescaling(1 / 127.5, -1.0)(levels))
    return keras.Model(levels, keras.layers.Rescaling(127.5, 127.5)(output))


def _converted(model: keras.Model, quantization: Quantization) -> bytes:
    # tf.saved_model.save of a module that holds the model would convert to one that gives NaN.
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        SIGNATURE,
        lambda image: {"image": model(image, training=False)},
        input_signature=[tf.TensorSpec(model.input.shape, tf.float32, name="image")],
    )
    temporary = Path(tempfile.gettempdir())
    with explain_disk_faults(temporary, "another TMPDIR"), tempfile.TemporaryDirectory() as folder:
        archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
        if quantization != "none":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantization == "float16":
            converter.target_spec.supported_types = [tf.float16]
        return converter.convert()


# ---------------------------------------------------------------- int8


def _calibrated(
    generator: keras.Model, size: tuple[int, int], images: Iterable[np.ndarray] | None
) -> dict[str, tuple[_Range, _Range]]:
    """Finds the values that every convolution but the last one meets and makes.

    Args:
        generator: the trained one.
        size: height and width of the images.
        images: what to look at.

    Returns:
        For each convolution by its name, the least and the greatest value of its input and of its output.

    Raises:
        ConfigError: there are no images, or some are not of the size or the channels.
    """
    convolutions = [
        layer for layer in generator.layers if isinstance(layer, HalvingConvolution | TransposedConvolution)
    ][:-1]
    probe = keras.Model(generator.input, [x for layer in convolutions for x in (layer.input, layer.output)])
    shape = (*size, generator.input.shape[-1])

    @tf.function(input_signature=[tf.TensorSpec((1, *shape), tf.float32)])
    def extremes(image: tf.Tensor) -> tf.Tensor:
        values = probe(image, training=False)
        return tf.stack([[tf.reduce_min(value), tf.reduce_max(value)] for value in values])

    seen = np.zeros((2 * len(convolutions), 2))
    seen[0] = [-1, 1]  # whatever the calibration's images have, an image can be black and white
    count = 0
    for count, image in enumerate(images or (), start=1):  # noqa: B007
        if image.dtype != np.uint8 or image.shape != shape:
            raise ConfigError(
                f"int8 is calibrated with uint8 images of {list(shape)}; "
                f"got {image.dtype} {list(image.shape)}"
            )
        found = extremes(to_unit_range(tf.constant(image[np.newaxis]))).numpy()
        seen = np.stack([np.minimum(seen[:, 0], found[:, 0]), np.maximum(seen[:, 1], found[:, 1])], axis=1)
    if not count:
        raise ConfigError("int8 needs images to find the ranges of its values with; give calibration images")
    ranges = [(float(low), float(high)) for low, high in seen]
    names = [layer.name for layer in convolutions]
    return dict(zip(names, zip(ranges[::2], ranges[1::2], strict=True), strict=True))


class _RoundedToInt8(keras.layers.Layer):
    """Rounds values to 256 steps of a range; the converter makes int8 of what lies between two such layers.

    Args:
        limits: the least and the greatest value, 0 between them.
    """

    def __init__(self, limits: _Range, **kwargs: Any):
        super().__init__(**kwargs)
        low, high = limits
        step = max((high - low) / 255, 1e-6)  # a convolution of zeros has no range
        zero = round(-low / step)  # 0 must be one of the steps: it is what edges are padded with
        self._limits = {"min": -zero * step, "max": (255 - zero) * step}

    def call(self, x: Any) -> Any:
        """Returns ``x`` rounded."""
        return tf.quantization.fake_quant_with_min_max_args(x, **self._limits, num_bits=8)
