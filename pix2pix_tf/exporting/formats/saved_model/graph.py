"""The generator as a SavedModel that serves pictures: all that surrounds it lives in the graph.

A client sends images as it has them, or noise, and gets images back. Decoding, scaling, rounding and
encoding are the functions that ``predict`` uses too, so that the pixels are the same; images are translated
one at a time, so that none depends on its batch.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import tensorflow as tf

from pix2pix_tf.data.pixels import encode_png, to_levels, to_unit_range
from pix2pix_tf.exporting.formats.saved_model.decoding import (
    decode_to_unit_range,
    decode_with_alpha,
    stated_size,
)
from pix2pix_tf.files import explain_disk_faults, write_whole
from pix2pix_tf.translators.run import GeneratorTranslator
from pix2pix_tf.translators.saved_model import PIXEL_FACTS

if TYPE_CHECKING:
    from pix2pix_tf.exporting.formats.saved_model import SavedModel

_UNKNOWN_SIDES = [None, None]
_LARGE_SIDE = 2**31  # two of them still multiply within int64; no side that matters is larger


def write_saved_model(translator: GeneratorTranslator, path: Path, limits: SavedModel) -> None:
    """Writes a translator as a SavedModel, one version's directory as TensorFlow Serving reads it.

    Its signatures take and give any number of images of any size:

    - ``serving_default``: ``images`` uint8 [batch, height, width, input channels] to ``images`` uint8, or
      uint16 where the pictures have 16 bits, [batch, height, width, output channels];
    - ``bytes``, where they are grey or RGB: ``image_bytes`` string [batch], JPEG, PNG or static WebP, to
      ``image_bytes`` string [batch], PNG, each at its own size; PNG alone where what is transparent is a hole
      to be painted;
    - ``float``: as ``serving_default``, but float32 in [-1, 1].

    Where the network takes noise, all three take ``z`` float32 [batch, numbers] instead, standard normal, and
    images have the one size that it gives.

    Args:
        translator: of a run, in float32.
        path: the directory to write, which must not exist. It may be left half written by an error.
        limits: what is refused as too large, in every signature that takes images.

    Raises:
        SystemFault: the disk is full, or the place can't be written.
    """
    # Written in this way, the model can be converted further; a module that holds it would become NaN.
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
    """Returns every signature by name, with what it takes."""
    if translator.noise:
        noise = tf.TensorSpec([None, translator.noise], tf.float32, name="z")
        return {name: (function, noise) for name, function in _from_noise(translator).items()}
    levels, floats = (
        tf.TensorSpec([None, *_UNKNOWN_SIDES, translator.input_channels], dtype, name="images")
        for dtype in (tf.uint8, tf.float32)
    )
    files = tf.TensorSpec([None], tf.string, name="image_bytes")
    signatures = {
        "serving_default": (_translate_levels(translator, limits), levels),
        "float": (_translate_floats(translator, limits), floats),
    }
    taken = translator.input_channels - translator.paints_holes
    if {taken, translator.output_channels} <= {1, 3}:  # else neither is a picture
        signatures["bytes"] = (_translate_files(translator, limits), files)
    return signatures


def _from_noise(translator: GeneratorTranslator) -> dict[str, Signature]:
    """The signatures of a network that takes noise: one vector at a time, as images are."""
    image, levels = translator.network.output.shape[1:], translator.levels

    def signature(key: str, finish: Callable[[tf.Tensor], tf.Tensor], spec: tf.TensorSpec) -> Signature:
        return lambda z: {key: _one_by_one(lambda one: finish(_paint(translator, one)), z, spec)}

    return {
        "serving_default": signature("images", lambda x: to_levels(x, levels), tf.TensorSpec(image, levels)),
        "bytes": signature(
            "image_bytes", lambda x: encode_png(to_levels(x, levels)), tf.TensorSpec([], tf.string)
        ),
        "float": signature("images", tf.identity, tf.TensorSpec(image, tf.float32)),
    }


def _translate_levels(translator: GeneratorTranslator, limits: SavedModel) -> Signature:
    def translate(image: tf.Tensor) -> tf.Tensor:
        return to_levels(_paint(translator, to_unit_range(image)), translator.levels)

    return _each_of_a_batch(translate, translator.levels, translator, limits)


def _translate_floats(translator: GeneratorTranslator, limits: SavedModel) -> Signature:
    def translate(image: tf.Tensor) -> tf.Tensor:
        return _paint(translator, image)

    return _each_of_a_batch(translate, tf.float32, translator, limits)


def _translate_files(translator: GeneratorTranslator, limits: SavedModel) -> Signature:
    def translate(data: tf.Tensor) -> tf.Tensor:
        decode = decode_with_alpha if translator.paints_holes else decode_to_unit_range
        image = decode(data, translator.input_channels)
        return encode_png(to_levels(_paint(translator, image), translator.levels))

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
    """A signature that applies ``translate`` to every image of a batch of one size."""
    taken, channels = translator.input_channels, translator.output_channels
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
            # A loop that never ran doesn't know how large its images are.
            lambda: tf.zeros(tf.concat([shape[:3], [channels]], axis=0), dtype),
        )
        return {"images": tf.ensure_shape(translated, [None, *_UNKNOWN_SIDES, channels])}

    return translate_all


def _paint(translator: GeneratorTranslator, given: tf.Tensor) -> tf.Tensor:
    """Translates one image [height, width, channels] from and to float32 in [-1, 1], or noise to one."""
    return translator.generate(given[tf.newaxis])[0]


def _one_by_one(
    function: Callable[[tf.Tensor], tf.Tensor], elements: tf.Tensor, spec: tf.TensorSpec
) -> tf.Tensor:
    """Applies a function to every element, one after the other: memory for one image is enough for all."""
    return tf.map_fn(function, elements, parallel_iterations=1, fn_output_signature=spec)


def _refuse_beyond(limits: SavedModel, sizes: tf.Tensor) -> list[tf.Operation]:
    """Assertions that images of the sizes int64 [batch, 2] have pixels, and not too many."""
    sides = tf.minimum(sizes, _LARGE_SIDE)
    pixels = sides[:, 0] * sides[:, 1]
    most, most_together = limits.max_pixels_per_image, limits.max_pixels_per_request
    total = tf.reduce_sum(tf.minimum(pixels, most))  # what is beyond that is refused anyway
    too_many = tf.strings.join([tf.as_string(total), f" pixels, more than the limit of {most_together}"])
    return [
        _refuse_where(pixels == 0, sizes, "no pixels"),
        _refuse_where(pixels > most, sizes, f"more than the limit of {most} pixels"),
        tf.debugging.Assert(total <= most_together, [tf.strings.join(["request too large: ", too_many])]),
    ]


def _refuse_where(refused: tf.Tensor, sizes: tf.Tensor, reason: str) -> tf.Operation:
    """An assertion that names the first refused image of a batch, from 0, and its width and height."""
    first = tf.where(refused)[:1, 0]
    height, width = tf.unstack(tf.as_string(tf.gather(sizes, first)), axis=1)
    message = tf.strings.join(["image ", tf.as_string(first), ": ", width, "x", height, f", {reason}"])
    return tf.debugging.Assert(tf.size(first) == 0, [message])
