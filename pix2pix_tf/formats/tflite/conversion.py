"""Converts a network to a .tflite file for LiteRT (TensorFlow Lite).

A file takes one image at a time, of a fixed size. XNNPACK, LiteRT's CPU backend, runs the whole model as one
partition, without slower fallback kernels.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from pix2pix_tf.data.pixels import to_uint8, to_unit_range
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.files import explain_disk_faults
from pix2pix_tf.formats.tflite.metadata import IMAGE, NOISE, SIGNATURE, with_metadata
from pix2pix_tf.networks.layers import ReflectionPadding, ReflectToAtLeast
from pix2pix_tf.networks.phases import PhaseConvolution, set_phases
from pix2pix_tf.quiet import silenced_stderr

if TYPE_CHECKING:
    from pix2pix_tf.formats.run import GeneratorTranslator
    from pix2pix_tf.formats.tflite import Quantization

_MOST_BYTES = 2**31  # limit of a flatbuffer's offsets
_MOST_JOINED = 4  # XNNPACK concatenates at most 4 tensors

_Range = tuple[float, float]
_UINT8 = (0.0, 255.0)


def convert(
    translator: GeneratorTranslator,
    size: tuple[int, int],
    quantization: Quantization,
    calibration: Iterable[np.ndarray] = (),
    classes: Mapping[str, Sequence[int]] | None = None,
) -> bytes:
    """Converts a float32 network without noise from dropout to a .tflite for one image size.

    Its signature ``serving_default`` maps ``image`` [1, height, width, channels], or ``z`` [1, numbers] for
    noise, to ``image``. Images are float32 in [-1, 1], except with 'int8'.

    - 'float16' stores weights as float16 and computes in float32.
    - 'dynamic' stores weights as int8, and quantizes activations to int8 with ranges measured at run time.
    - 'int8' maps uint8 to uint8 images. Convolutions compute in int8, with weights scaled per channel and
      calibrated activation ranges. Other layers, and the last convolutions at full size, compute in float32,
      because their rounding errors would be visible in the output.

    Args:
        size: height and width of images; for noise, of the outputs.
        calibration: a few dozen training inputs, for 'int8' only. Images are ``uint8`` or ``uint16``
            [height, width, channels] of ``size``; noise is float32 [numbers].
        classes: color of each class, if inputs are label maps; stored in the metadata.
    """
    network = translator.network
    if sum(4 * math.prod(weight.shape) for weight in network.weights) >= _MOST_BYTES:
        raise ConfigError(
            "the generator is too large for a .tflite, whose limit is 2 GiB; export a SavedModel, or train "
            "with fewer filters"
        )
    shape = (translator.noise,) if translator.noise else (*size, translator.input.channels)
    with silenced_stderr():
        is_int8 = quantization == "int8"
        ranges = _calibrated(network, shape, calibration) if is_int8 else {}
        mobile = _mobile_form(network, shape, ranges)
        if is_int8:
            mobile = _with_uint8_ends(mobile)
        facts = translator.pixel_facts()
        facts["classes"] = [{"name": name, "color": list(color)} for name, color in (classes or {}).items()]
        return with_metadata(_converted(mobile, quantization), quantization, facts)


# ---------------------------------------------------------------- the graph that is converted


def _mobile_form(
    network: keras.Model, shape: tuple[int, ...], ranges: Mapping[str, tuple[_Range, _Range]]
) -> keras.Model:
    """Rebuilds a network for one input shape (without batch) from operations that XNNPACK runs fastest.

    ``ranges`` has the input and output range of each int8 convolution, by layer name.
    """

    def called(layer: layers.Layer, *args: Any, **kwargs: Any) -> Any:
        if layer.name not in ranges:
            return layer(*args, **kwargs)
        before, after = ranges[layer.name]
        [x] = args
        return _RoundedToInt8(after)(layer(_RoundedToInt8(before)(x), **kwargs))

    given = keras.Input(shape, batch_size=1, name=NOISE if len(shape) == 1 else IMAGE)
    mobile = keras.models.clone_model(
        network, input_tensors=given, clone_function=_mobile_layer, call_function=called
    )
    set_phases(mobile, network)
    for layer in network.layers:
        own = mobile.get_layer(layer.name)
        if layer.weights and not isinstance(own, PhaseConvolution):
            own.set_weights(layer.get_weights())
    return mobile


def _mobile_layer(layer: layers.Layer) -> layers.Layer:
    """Returns an equivalent layer without weights."""
    phased = PhaseConvolution.of(layer)
    if phased is not None:
        return phased
    form = type(layer)
    if isinstance(layer, ReflectToAtLeast):
        form = _SlicedReflection
    elif isinstance(layer, ReflectionPadding):
        form = _SlicedPadding
    return form.from_config(layer.get_config())


class _SlicedReflection(ReflectToAtLeast):
    """`ReflectToAtLeast` made of slices, because XNNPACK has no gather."""

    def call(self, x: Any) -> Any:
        for axis in (1, 2):
            size = x.shape[axis]
            period = [*range(size), *range(size - 2, 0, -1)]
            added = [period[at % len(period)] for at in range(size, self.minimum)]
            if added:
                x = tf.concat([x, _take(x, axis, added)], axis)
        return x


class _SlicedPadding(ReflectionPadding):
    """`ReflectionPadding` made of slices, because XNNPACK pads only with zeros."""

    def call(self, x: Any) -> Any:
        for axis in (1, 2):
            size = x.shape[axis]
            before = _take(x, axis, range(self.pixels, 0, -1))
            after = _take(x, axis, range(size - 2, size - 2 - self.pixels, -1))
            x = tf.concat([before, x, after], axis)
        return x


def _take(x: tf.Tensor, axis: int, indices: Sequence[int]) -> tf.Tensor:
    """Returns ``x`` at ``indices`` of an axis, made of one slice for each run of consecutive indices."""
    parts, start = [], 0
    for stop in range(1, len(indices) + 1):
        if stop == len(indices) or indices[stop] != indices[stop - 1] + 1:
            run = slice(indices[start], indices[stop - 1] + 1)
            parts.append(x[:, run] if axis == 1 else x[:, :, run])
            start = stop
    while len(parts) > 1:
        groups = [parts[at : at + _MOST_JOINED] for at in range(0, len(parts), _MOST_JOINED)]
        parts = [tf.concat(group, axis) for group in groups]
    return parts[0]


def _with_uint8_ends(model: keras.Model) -> keras.Model:
    """Wraps a model to take and return whole values from 0 to 255, so that the converter can use uint8."""
    given = keras.Input(batch_shape=model.input.shape, name=model.input.name)
    is_image = len(given.shape) == 4
    x = layers.Rescaling(1 / 127.5, -1.0)(_RoundedToInt8(_UINT8)(given)) if is_image else given
    return keras.Model(given, _RoundedToInt8(_UINT8)(layers.Rescaling(127.5, 127.5)(model(x))))


def _converted(model: keras.Model, quantization: Quantization) -> bytes:
    # After `tf.saved_model.save` of a module with the model, the converted model returns NaN.
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        SIGNATURE,
        lambda given: {IMAGE: model(given, training=False)},
        input_signature=[tf.TensorSpec(model.input.shape, tf.float32, name=model.input.name)],
    )
    temporary = Path(tempfile.gettempdir())
    with explain_disk_faults(temporary, "another TMPDIR"), tempfile.TemporaryDirectory() as folder:
        archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
        if quantization != "none":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantization == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if quantization == "int8":
            converter.inference_output_type = tf.uint8
            if model.input.name == IMAGE:
                converter.inference_input_type = tf.uint8
        return converter.convert()


# ---------------------------------------------------------------- int8


def _calibrated(
    network: keras.Model, shape: tuple[int, ...], samples: Iterable[np.ndarray]
) -> dict[str, tuple[_Range, _Range]]:
    """Returns the input and output range of each int8 convolution, by layer name."""
    convolutions = _before_full_size(network, shape)
    if not convolutions:
        return {}
    probe = keras.Model(network.input, [x for layer in convolutions for x in (layer.input, layer.output)])
    is_image = len(shape) == 3

    @tf.function(input_signature=[tf.TensorSpec((1, *shape), tf.float32)])
    def extremes(given: tf.Tensor) -> tf.Tensor:
        values = probe(given, training=False)
        return tf.stack([[tf.reduce_min(value), tf.reduce_max(value)] for value in values])

    seen = np.zeros((2 * len(convolutions), 2))
    if is_image:
        seen[0] = [-1, 1]  # images may use the full range even if the samples don't
    for sample in samples:
        given = tf.constant(sample[np.newaxis])
        if is_image:  # as the model takes them, with 8 bits
            given = to_unit_range(to_uint8(to_unit_range(given)))
        found = extremes(given).numpy()
        seen = np.stack([np.minimum(seen[:, 0], found[:, 0]), np.maximum(seen[:, 1], found[:, 1])], axis=1)
    ranges = [(float(low), float(high)) for low, high in seen]
    names = [layer.name for layer in convolutions]
    return dict(zip(names, zip(ranges[::2], ranges[1::2], strict=True), strict=True))


def _before_full_size(network: keras.Model, shape: tuple[int, ...]) -> list[layers.Layer]:
    """Returns the convolutions whose output is smaller than the image.

    In the paper's U-Net, only the last convolution is excluded. Other networks also exclude the last
    upsampling convolution: in a residual network, quantizing it costs as much PSNR as all others together
    (7 of 41 dB).
    """
    convolutions = [
        layer for layer in network.layers if isinstance(layer, layers.Conv2D | layers.Conv2DTranspose)
    ]
    probe = keras.Model(network.input, [*(layer.output for layer in convolutions), network.output])
    *made, image = (value.shape for value in probe(tf.zeros((1, *shape)), training=False))
    while made and min(made[-1][1:3]) >= min(image[1:3]):
        made.pop()
    return convolutions[: len(made)]


class _RoundedToInt8(layers.Layer):
    """Rounds to 256 steps of a range; the converter uses int8 between two of these layers."""

    def __init__(self, limits: _Range, **kwargs: Any):
        super().__init__(**kwargs)
        low, high = limits
        step = max((high - low) / 255, 1e-6)  # zero weights give an empty range
        zero = round(-low / step)  # 0 must be a step, because it pads the edges
        self._limits = {"min": -zero * step, "max": (255 - zero) * step}

    def call(self, x: Any) -> Any:
        return tf.quantization.fake_quant_with_min_max_args(x, **self._limits, num_bits=8)
