"""A SavedModel that contains the generator with decoding, scaling, rounding and encoding.

Clients send images as they are, or noise, and receive images. The pixels are those of ``predict``, because
both use the same functions. Images are translated one at a time, so none depends on its batch.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import tensorflow as tf

from pix2pix_tf.data.pixels import encode_png, from_unit_range, to_unit_range
from pix2pix_tf.files import explain_disk_faults, write_whole
from pix2pix_tf.formats.run import GeneratorTranslator
from pix2pix_tf.formats.saved_model.decoding import (
    decode_to_unit_range,
    decode_with_alpha,
    stated_size,
)
from pix2pix_tf.formats.saved_model.reader import PIXEL_FACTS

if TYPE_CHECKING:
    from pix2pix_tf.formats.saved_model import SavedModel

_UNKNOWN_SIDES = [None, None]
_LARGE_SIDE = 2**31  # the product of two such sides fits int64; larger sides are refused anyway


def write_saved_model(translator: GeneratorTranslator, path: Path, limits: SavedModel) -> None:
    """Writes a SavedModel into ``path``, a version's directory for TensorFlow Serving, which must not exist.

    Its signatures take any number of images of any size:

    - ``serving_default``: ``images`` uint8 [batch, height, width, input channels] to ``images`` uint8, or
      uint16 for 16-bit outputs, [batch, height, width, output channels];
    - ``bytes``, for grayscale or RGB images: ``image_bytes`` string [batch], JPEG or PNG, to ``image_bytes``
      string [batch], PNG, each at its own size; PNG only if transparent pixels are the mask;
    - ``float``: like ``serving_default``, but float32 in [-1, 1].

    For networks that take noise, all three take ``z`` float32 [batch, numbers], standard normal, and images
    have the network's output size.

    Every signature that takes images enforces ``limits``. If an error occurs, ``path`` may be incomplete.
    """
    # Only this way of saving can be converted further; from a module that holds the model, conversion gives
    # NaN.
    archive = keras.export.ExportArchive()
    for name, (function, spec) in _signatures(translator, limits).items():
        archive.add_endpoint(name, function, [spec])
    with explain_disk_faults(path):
        archive.write_out(str(path), verbose=False)
    write_whole(path / PIXEL_FACTS, json.dumps(translator.pixel_facts()))


Signature = Callable[[tf.Tensor], dict[str, tf.Tensor]]


def _signatures(
    translator: GeneratorTranslator, limits: SavedModel
) -> dict[str, tuple[Signature, tf.TensorSpec]]:
    """Returns every signature with its input, by name."""
    if translator.noise:
        noise = tf.TensorSpec([None, translator.noise], tf.float32, name="z")
        return {name: (function, noise) for name, function in _from_noise(translator).items()}
    levels, floats = (
        tf.TensorSpec([None, *_UNKNOWN_SIDES, translator.input.channels], dtype, name="images")
        for dtype in (tf.uint8, tf.float32)
    )
    files = tf.TensorSpec([None], tf.string, name="image_bytes")
    signatures = {
        "serving_default": (_translate_levels(translator, limits), levels),
        "float": (_translate_floats(translator, limits), floats),
    }
    taken = translator.input.channels - translator.inpaints
    if {taken, translator.output.channels} <= {1, 3}:  # other numbers of channels can't be encoded as images
        signatures["bytes"] = (_translate_files(translator, limits), files)
    return signatures


def _from_noise(translator: GeneratorTranslator) -> dict[str, Signature]:
    """Returns the signatures of a network that takes noise, one vector at a time."""
    image, levels = translator.network.output.shape[1:], translator.output.dtype

    def signature(key: str, finish: Callable[[tf.Tensor], tf.Tensor], spec: tf.TensorSpec) -> Signature:
        return lambda z: {key: _one_by_one(lambda one: finish(_generate(translator, one)), z, spec)}

    return {
        "serving_default": signature(
            "images", lambda x: from_unit_range(x, levels), tf.TensorSpec(image, levels)
        ),
        "bytes": signature(
            "image_bytes", lambda x: encode_png(from_unit_range(x, levels)), tf.TensorSpec([], tf.string)
        ),
        "float": signature("images", tf.identity, tf.TensorSpec(image, tf.float32)),
    }


def _translate_levels(translator: GeneratorTranslator, limits: SavedModel) -> Signature:
    def translate(image: tf.Tensor) -> tf.Tensor:
        return from_unit_range(_generate(translator, to_unit_range(image)), translator.output.dtype)

    return _each_of_a_batch(translate, translator.output.dtype, translator, limits)


def _translate_floats(translator: GeneratorTranslator, limits: SavedModel) -> Signature:
    def translate(image: tf.Tensor) -> tf.Tensor:
        return _generate(translator, image)

    return _each_of_a_batch(translate, tf.float32, translator, limits)


def _translate_files(translator: GeneratorTranslator, limits: SavedModel) -> Signature:
    def translate(data: tf.Tensor) -> tf.Tensor:
        decode = decode_with_alpha if translator.inpaints else decode_to_unit_range
        image = decode(data, translator.input.channels)
        return encode_png(from_unit_range(_generate(translator, image), translator.output.dtype))

    def translate_all(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        sizes = _one_by_one(stated_size, image_bytes, tf.TensorSpec([2], tf.int64))
        with tf.control_dependencies(_refuse_beyond(limits, sizes)):
            image_bytes = tf.identity(image_bytes)
        return {"image_bytes": _one_by_one(translate, image_bytes, tf.TensorSpec([], tf.string))}

    return translate_all


def _each_of_a_batch(
    translate: Callable[[tf.Tensor], tf.Tensor],
    dtype: tf.DType,
    translator: GeneratorTranslator,
    limits: SavedModel,
) -> Signature:
    """Returns a signature that applies ``translate`` to every image of a batch."""
    taken, channels = translator.input.channels, translator.output.channels
    spec = tf.TensorSpec([*_UNKNOWN_SIDES, channels], dtype)

    def translate_all(images: tf.Tensor) -> dict[str, tf.Tensor]:
        shape = tf.shape(images, tf.int64)
        sizes = tf.repeat(shape[tf.newaxis, 1:3], shape[0], axis=0)
        wrong = tf.strings.join(
            ["images of ", tf.as_string(shape[3]), f" channels; this model takes {taken}"]
        )
        known = tf.debugging.Assert(shape[3] == taken, [wrong])
        with tf.control_dependencies([known, *_refuse_beyond(limits, sizes)]):
            images = tf.identity(images)
        translated = tf.cond(
            shape[0] > 0,
            lambda: _one_by_one(translate, images, spec),
            # With zero iterations, the output size of the loop is unknown.
            lambda: tf.zeros(tf.concat([shape[:3], [channels]], axis=0), dtype),
        )
        return {"images": tf.ensure_shape(translated, [None, *_UNKNOWN_SIDES, channels])}

    return translate_all


def _generate(translator: GeneratorTranslator, given: tf.Tensor) -> tf.Tensor:
    """Translates one image [height, width, channels], float32 in [-1, 1], or one noise vector."""
    return translator.generate(given[tf.newaxis])[0]


def _one_by_one(
    function: Callable[[tf.Tensor], tf.Tensor], elements: tf.Tensor, spec: tf.TensorSpec
) -> tf.Tensor:
    """Applies a function to one element at a time, so that memory for one image is enough."""
    return tf.map_fn(function, elements, parallel_iterations=1, fn_output_signature=spec)


def _refuse_beyond(limits: SavedModel, sizes: tf.Tensor) -> list[tf.Operation]:
    """Asserts that images of sizes int64 [batch, 2] aren't empty and are within the limits."""
    sides = tf.minimum(sizes, _LARGE_SIDE)
    pixels = sides[:, 0] * sides[:, 1]
    most, most_together = limits.max_pixels_per_image, limits.max_pixels_per_request
    total = tf.reduce_sum(tf.minimum(pixels, most))  # larger images are refused anyway
    too_many = tf.strings.join([tf.as_string(total), f" pixels, more than the limit of {most_together}"])
    return [
        _refuse_where(pixels == 0, sizes, "no pixels"),
        _refuse_where(pixels > most, sizes, f"more than the limit of {most} pixels"),
        tf.debugging.Assert(total <= most_together, [tf.strings.join(["request too large: ", too_many])]),
    ]


def _refuse_where(refused: tf.Tensor, sizes: tf.Tensor, reason: str) -> tf.Operation:
    """Asserts that no image is refused; the message has index, width and height of the first one."""
    first = tf.where(refused)[:1, 0]
    height, width = tf.unstack(tf.as_string(tf.gather(sizes, first)), axis=1)
    message = tf.strings.join(["image ", tf.as_string(first), ": ", width, "x", height, f", {reason}"])
    return tf.debugging.Assert(tf.size(first) == 0, [message])
