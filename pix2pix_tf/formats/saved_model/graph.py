"""Writes a SavedModel with the generator, decoding, scaling, rounding and encoding.

Clients send image files, pixel arrays or noise. The pixels equal those of ``predict``, because both use the
same functions. Images are translated one at a time, so that no output depends on its batch.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import tensorflow as tf

from pix2pix_tf.data.pixels import from_unit_range, to_unit_range
from pix2pix_tf.files import explain_disk_faults, write_whole
from pix2pix_tf.formats.run import GeneratorTranslator
from pix2pix_tf.formats.saved_model.decoding import decode_to_unit_range, decode_with_alpha, stated_size
from pix2pix_tf.formats.saved_model.reader import PIXEL_FACTS
from pix2pix_tf.formats.translator import Translator

if TYPE_CHECKING:
    from pix2pix_tf.formats.saved_model import SavedModel

_LARGE_SIDE = 2**31  # keeps height * width within int64; larger sides are refused

Function = Callable[[tf.Tensor], tf.Tensor]
Signature = Callable[[tf.Tensor], dict[str, tf.Tensor]]


def write_saved_model(translator: GeneratorTranslator, path: Path, limits: SavedModel) -> None:
    """Writes a SavedModel to ``path``, a new version directory for TensorFlow Serving.

    Its signatures take any number of images of any size:

    - ``serving_default``: ``images`` uint8 [batch, height, width, input channels] to ``images`` uint8, or
      uint16 for 16-bit outputs, [batch, height, width, output channels];
    - ``bytes``, for grayscale or RGB images: ``image_bytes`` string [batch], JPEG or PNG, to ``image_bytes``
      string [batch], PNG, each at its own size. Inpainting models accept only PNG;
    - ``float``: like ``serving_default``, but float32 in [-1, 1].

    For networks that take noise, all three take ``z`` float32 [batch, numbers], standard normal, and images
    have the network's output size.

    Every signature that takes images enforces ``limits``. After an error, ``path`` may be incomplete.
    """
    # Other tools can convert this archive. A conversion of `tf.saved_model.save` returns NaN.
    archive = keras.export.ExportArchive()
    for name, (function, spec) in _signatures(translator, limits).items():
        archive.add_endpoint(name, function, [spec])
    with explain_disk_faults(path):
        archive.write_out(str(path), verbose=False)
    write_whole(path / PIXEL_FACTS, json.dumps(translator.pixel_facts()))


def takes_files(translator: Translator) -> bool:
    """Whether the model has the signature ``bytes``: JPEG and PNG have no other channels."""
    of_input = translator.input.channels - translator.inpaints
    of_output = translator.output.channels - translator.output.has_alpha
    return bool(translator.noise) or {of_input, of_output} <= {1, 3}


def _signatures(
    translator: GeneratorTranslator, limits: SavedModel
) -> dict[str, tuple[Signature, tf.TensorSpec]]:
    """Returns each signature function and its input, by name."""
    taken, channels, dtype = translator.input.channels, translator.output.channels, translator.output.dtype

    def refuse_arrays(images: tf.Tensor) -> list[tf.Operation]:
        shape = tf.shape(images, tf.int64)
        wrong = tf.strings.join(
            ["the images have ", tf.as_string(shape[3]), f" channels; this model takes {taken}"]
        )
        sizes = tf.repeat(shape[tf.newaxis, 1:3], shape[0], axis=0)
        return [tf.debugging.Assert(shape[3] == taken, [wrong]), *_refuse_beyond(limits, sizes)]

    def refuse_files(files: tf.Tensor) -> list[tf.Operation]:
        return _refuse_beyond(limits, _one_by_one(stated_size, files, tf.TensorSpec([2], tf.int64)))

    def decode(data: tf.Tensor) -> tf.Tensor:
        return decode_with_alpha(data, taken) if translator.inpaints else decode_to_unit_range(data, taken)

    # For each signature: the input, the checks of a batch, and the conversion to the network's input.
    inputs: dict[str, tuple[tf.TensorSpec, Callable[[tf.Tensor], list[tf.Operation]], Function]]
    if translator.noise:
        noise = tf.TensorSpec([None, translator.noise], tf.float32, name="z")
        inputs = dict.fromkeys(("serving_default", "float", "bytes"), (noise, lambda z: [], tf.identity))
    else:
        pixels, floats = (
            tf.TensorSpec([None, None, None, taken], dtype, name="images") for dtype in (tf.uint8, tf.float32)
        )
        inputs = {
            "serving_default": (pixels, refuse_arrays, to_unit_range),
            "float": (floats, refuse_arrays, tf.identity),
        }
        if takes_files(translator):
            files = tf.TensorSpec([None], tf.string, name="image_bytes")
            inputs["bytes"] = (files, refuse_files, decode)
    # For each signature: the output's name, its type, and the conversion of the network's output.
    image = [*translator.network.output.shape[1:3], channels]
    outputs: dict[str, tuple[str, tf.TensorSpec, Function]] = {
        "serving_default": ("images", tf.TensorSpec(image, dtype), lambda x: from_unit_range(x, dtype)),
        "float": ("images", tf.TensorSpec(image, tf.float32), tf.identity),
        "bytes": (
            "image_bytes",
            tf.TensorSpec([], tf.string),
            lambda x: tf.io.encode_png(from_unit_range(x, dtype)),
        ),
    }

    def signature(name: str) -> Signature:
        _, refuse, read = inputs[name]
        key, output, finish = outputs[name]

        def translate(element: tf.Tensor) -> tf.Tensor:
            return finish(translator.generate(read(element)[tf.newaxis])[0])

        def translate_all(batch: tf.Tensor) -> dict[str, tf.Tensor]:
            with tf.control_dependencies(refuse(batch)):
                batch = tf.identity(batch)
            if output.shape.is_fully_defined():
                return {key: _one_by_one(translate, batch, output)}
            shape = tf.shape(batch)
            translated = tf.cond(
                shape[0] > 0,
                lambda: _one_by_one(translate, batch, output),
                # An empty loop has no output size.
                lambda: tf.zeros(tf.concat([shape[:3], [channels]], axis=0), output.dtype),
            )
            return {key: tf.ensure_shape(translated, [None, *image])}

        return translate_all

    return {name: (signature(name), spec) for name, (spec, *_) in inputs.items()}


def _one_by_one(function: Function, elements: tf.Tensor, spec: tf.TensorSpec) -> tf.Tensor:
    """Applies a function to one element at a time, to limit memory to one image."""
    return tf.map_fn(function, elements, parallel_iterations=1, fn_output_signature=spec)


def _refuse_beyond(limits: SavedModel, sizes: tf.Tensor) -> list[tf.Operation]:
    """Asserts that image sizes int64 [batch, 2] are positive and within the limits."""
    sides = tf.minimum(sizes, _LARGE_SIDE)
    pixels = sides[:, 0] * sides[:, 1]
    most, most_together = limits.max_pixels_per_image, limits.max_pixels_per_request
    total = tf.reduce_sum(tf.minimum(pixels, most))  # prevents overflow; larger images are refused
    too_many = tf.strings.join([tf.as_string(total), f" pixels, more than the limit of {most_together}"])
    return [
        _refuse_where(pixels == 0, sizes, "no pixels"),
        _refuse_where(pixels > most, sizes, f"more than the limit of {most} pixels"),
        tf.debugging.Assert(total <= most_together, [tf.strings.join(["request too large: ", too_many])]),
    ]


def _refuse_where(refused: tf.Tensor, sizes: tf.Tensor, reason: str) -> tf.Operation:
    """Asserts that no image is refused; the message has the first refused image's index and size."""
    first = tf.where(refused)[:1, 0]
    height, width = tf.unstack(tf.as_string(tf.gather(sizes, first)), axis=1)
    message = tf.strings.join(["image ", tf.as_string(first), ": ", width, "x", height, f", {reason}"])
    return tf.debugging.Assert(tf.size(first) == 0, [message])
