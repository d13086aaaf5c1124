"""Decodes images inside the graph of an exported model, where Pillow isn't available.

Supports JPEG (with EXIF orientation), 8-bit and 16-bit PNG and static WebP, with exactly the pixels that
`pix2pix_tf.data.reading` reads. Anything else is refused with a one-line message.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import tensorflow as tf

from pix2pix_tf.data.pixels import convert_channels, to_unit_range

# First bytes of a file, with "?" for any byte. (No magic number contains "?".)
_MAGIC_NUMBERS = {
    "JPEG": b"\xff\xd8\xff",
    "PNG": b"\x89PNG\r\n\x1a\n",
    "WebP": b"RIFF????WEBP",
}

# Valid files have fewer blocks before their pixels; without a limit, a malicious file could keep a server
# busy for minutes.
_MAX_BLOCKS = 10_000

_NOT_AN_IMAGE = "not an image that is decoded here: neither JPEG, PNG nor WebP"
_EMPTY = "not an image: 0 bytes"
_WEBP_KIND = "damaged WebP: its first chunk is none of VP8, VP8L and VP8X"
_WEBP_ANIMATED = "an animated WebP is not decoded here; send its first frame"
_NO_ALPHA = "not a PNG, whose transparent pixels are the hole that this model paints"
_PNG_KIND = "damaged PNG: it doesn't begin with its header"


def decode_to_unit_range(data: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes a JPEG, PNG or static WebP to float32 [height, width, channels] in [-1, 1], upright.

    ``channels`` is 1 (gray) or 3 (RGB). Values have the bit depth of the file. Invalid bytes raise
    `tf.errors.InvalidArgumentError` when the graph runs.
    """
    with tf.device("CPU"):  # strings are on the CPU, and it is fast at integer arithmetic
        image, exif = tf.switch_case(
            _format_index(data),
            [functools.partial(decode, data, channels) for decode in _DECODERS.values()],
            default=functools.partial(_refuse, data, channels),
        )
        return tf.ensure_shape(_orient(image, _exif_orientation(exif)), [None, None, channels])


def decode_with_alpha(data: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes a PNG, with the alpha that marks the mask, to float32 [height, width, channels] in [-1, 1].

    ``channels`` is 2 (gray and alpha) or 4 (RGB and alpha). Without alpha in the file, everything is opaque.
    Invalid bytes raise `tf.errors.InvalidArgumentError` when the graph runs.
    """
    is_png = _begins_with(_bytes(data, 0, 8), _MAGIC_NUMBERS["PNG"])
    with tf.control_dependencies([tf.debugging.Assert(is_png, [_NO_ALPHA])]):
        return to_unit_range(tf.io.decode_png(data, channels))


def stated_size(data: tf.Tensor) -> tf.Tensor:
    """Reads height and width from the header, int64 [2], before memory is spent on pixels.

    It is the size before EXIF orientation. `decode_to_unit_range` never returns a larger image, whatever else
    the file contains. Invalid bytes raise `tf.errors.InvalidArgumentError` when the graph runs.
    """
    with tf.device("CPU"):
        return tf.switch_case(
            _format_index(data),
            [functools.partial(size_in, data) for size_in in _SIZES.values()],
            default=functools.partial(_refuse_size, data),
        )


def _format_index(data: tf.Tensor) -> tf.Tensor:
    """Returns the index in `_DECODERS` for the first bytes; -1 for none."""
    start = _bytes(data, 0, 12)
    is_format = tf.stack([_begins_with(start, _MAGIC_NUMBERS[name]) for name in _DECODERS])
    return tf.where(tf.reduce_any(is_format), tf.argmax(is_format, output_type=tf.int32), -1)


def _refuse(data: tf.Tensor, channels: int) -> tuple[tf.Tensor, tf.Tensor]:
    with tf.control_dependencies([_refusal(data)]):
        return tf.zeros([1, 1, channels]), tf.constant(b"")


def _refuse_size(data: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([_refusal(data)]):
        return tf.zeros([2], tf.int64)


def _refusal(data: tf.Tensor) -> tf.Operation:
    length = tf.strings.length(data)
    return tf.debugging.Assert(length < 0, [tf.where(length == 0, _EMPTY, _NOT_AN_IMAGE)])


def _decode_jpeg(data: tf.Tensor, channels: int) -> tuple[tf.Tensor, tf.Tensor]:
    # TensorFlow's default DCT differs by up to 5 (of 255) from other decoders.
    image = tf.io.decode_jpeg(
        data, channels=3, dct_method="INTEGER_ACCURATE", fancy_upscaling=True, try_recover_truncated=False
    )
    return _finished(image, 3, channels), _jpeg_exif(data)


def _decode_png(data: tf.Tensor, channels: int) -> tuple[tf.Tensor, tf.Tensor]:
    # If asked for alpha that a file lacks, the op returns wrong values for fewer than 8 bits.
    has_alpha = (_number(data, 25, 1) >= 4) | (_png_chunk(data, b"tRNS") != b"")

    def decoded(stored: int, depth: tf.DType) -> tf.Tensor:
        return _finished(tf.io.decode_png(data, stored, depth), stored, channels)

    image = tf.case(
        [
            (has_alpha & _png_has_16_bits(data), lambda: decoded(4, tf.uint16)),
            (_png_has_16_bits(data), lambda: decoded(3, tf.uint16)),
            (has_alpha, lambda: decoded(4, tf.uint8)),
        ],
        default=lambda: decoded(3, tf.uint8),
    )
    return image, _png_chunk(data, b"eXIf")


def _decode_webp(data: tf.Tensor, channels: int) -> tuple[tf.Tensor, tf.Tensor]:
    extended, animated = _text(data, 12, 4) == b"VP8X", _number(data, 20, 1) // 2 % 2 == 1
    with tf.control_dependencies([tf.debugging.Assert(~(extended & animated), [_WEBP_ANIMATED])]):
        # The op can't convert between 3 and 4 channels, so the file's own number is requested.
        frame = tf.io.decode_webp(data, channels=0)[0]
    image = tf.cond(
        tf.shape(frame)[2] == 4,
        lambda: _finished(frame, 4, channels),
        lambda: _finished(frame, 3, channels),
    )
    return image, _webp_exif(data)


def _finished(image: tf.Tensor, stored: int, channels: int) -> tf.Tensor:
    return to_unit_range(convert_channels(tf.ensure_shape(image, [None, None, stored]), channels))


def _orient(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Applies an EXIF orientation in [1, 8] to an image [height, width, channels]."""

    def turned() -> tf.Tensor:
        axes = tf.where(orientation >= 5, [1, 0, 2], [0, 1, 2])
        rows_reversed = tf.reduce_any(orientation == tf.constant([3, 4, 7, 8], tf.int64))
        columns_reversed = tf.reduce_any(orientation == tf.constant([2, 3, 6, 7], tf.int64))
        reversed_axes = tf.boolean_mask([0, 1], tf.stack([rows_reversed, columns_reversed]))
        return tf.reverse(tf.transpose(image, axes), reversed_axes)

    return tf.cond(orientation == 1, lambda: image, turned)


# ---------------------------------------------------------------- image size from the header


def _jpeg_size(data: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.image.extract_jpeg_shape(data)[:2], tf.int64)


def _png_size(data: tf.Tensor) -> tf.Tensor:
    # The op skips unknown chunks before the header, but the offsets here need the header to come first.
    with tf.control_dependencies([tf.debugging.Assert(_text(data, 12, 4) == b"IHDR", [_PNG_KIND])]):
        return tf.stack([_number(data, 20, 4), _number(data, 16, 4)])


def _webp_size(data: tf.Tensor) -> tf.Tensor:
    kind = _text(data, 12, 4)
    number = functools.partial(_number, data, little_endian=True)
    lossy = tf.stack([number(28, 2), number(26, 2)]) % 2**14
    packed = number(21, 4)
    lossless = tf.stack([packed // 2**14, packed]) % 2**14 + 1
    extended = tf.stack([number(27, 3), number(24, 3)]) + 1
    is_known = tf.reduce_any(kind == tf.constant([b"VP8 ", b"VP8L", b"VP8X"]))
    with tf.control_dependencies([tf.debugging.Assert(is_known, [_WEBP_KIND])]):
        return tf.where(kind == b"VP8X", extended, tf.where(kind == b"VP8L", lossless, lossy))


_SIZES = {"JPEG": _jpeg_size, "PNG": _png_size, "WebP": _webp_size}
_DECODERS = {"JPEG": _decode_jpeg, "PNG": _decode_png, "WebP": _decode_webp}


# ---------------------------------------------------------------- parsing bytes


def _text(data: tf.Tensor, start: int | tf.Tensor, size: int | tf.Tensor) -> tf.Tensor:
    """Returns the bytes [start, start + size) as a string, or as many as exist."""
    length = tf.cast(tf.strings.length(data), tf.int64)
    start = tf.minimum(tf.cast(start, tf.int64), length)  # substr fails if the start is beyond the end
    return tf.strings.substr(data, start, tf.maximum(tf.cast(size, tf.int64), 0))


def _bytes(data: tf.Tensor, start: int | tf.Tensor, size: int | tf.Tensor) -> tf.Tensor:
    """Returns the bytes [start, start + size) as int64 [size], with zeros beyond the end."""
    raw = tf.io.decode_raw(_text(data, start, size), tf.uint8, fixed_length=tf.cast(size, tf.int32))
    return tf.cast(raw, tf.int64)


def _begins_with(start: tf.Tensor, pattern: bytes) -> tf.Tensor:
    """Whether the result of `_bytes` begins with a pattern, in which "?" is any byte."""
    places = [at for at, byte in enumerate(pattern) if byte != ord("?")]
    wanted = tf.constant([pattern[at] for at in places], tf.int64)
    return tf.reduce_all(tf.gather(start, places) == wanted)


def _number(
    data: tf.Tensor, start: int | tf.Tensor, size: int, little_endian: bool | tf.Tensor = False
) -> tf.Tensor:
    """Returns the unsigned number in the bytes [start, start + size), int64."""
    digits = _bytes(data, start, size)
    rising = [256**power for power in range(size)]
    falling = rising[::-1]
    if isinstance(little_endian, bool):
        return tf.reduce_sum(digits * tf.constant(rising if little_endian else falling, tf.int64))
    return tf.reduce_sum(digits * tf.where(little_endian, tf.constant(rising, tf.int64), falling))


def _walk(
    start: int | tf.Tensor,
    stop_at: Callable[[tf.Tensor], tf.Tensor],
    after: Callable[[tf.Tensor], tf.Tensor],
) -> tf.Tensor:
    """Goes from block to block, and returns the first position from ``start`` on where ``stop_at`` holds."""
    (position,) = tf.while_loop(
        lambda position: tf.logical_not(stop_at(position)),
        lambda position: [after(position)],
        [tf.cast(start, tf.int64)],
        maximum_iterations=_MAX_BLOCKS,
    )
    return position


def _jpeg_exif(data: tf.Tensor) -> tf.Tensor:
    """Returns the TIFF block of a JPEG's EXIF segment, or an empty string."""

    def is_exif(position: tf.Tensor) -> tf.Tensor:
        return _begins_with(_bytes(data, position, 10), b"\xff\xe1??Exif\0\0")

    def stop_at(position: tf.Tensor) -> tf.Tensor:
        # EXIF comes before the first table; only application segments and comments may precede it.
        marker = _number(data, position, 2)
        skippable = ((marker >= 0xFFE0) & (marker <= 0xFFEF)) | (marker == 0xFFFE) | (marker == 0xFFFF)
        return is_exif(position) | tf.logical_not(skippable)

    def after(position: tf.Tensor) -> tf.Tensor:
        is_fill = _number(data, position + 1, 1) == 0xFF
        return position + tf.where(is_fill, tf.constant(1, tf.int64), 2 + _number(data, position + 2, 2))

    found = _walk(2, stop_at, after)
    size = _number(data, found + 2, 2) - 8
    return tf.where(is_exif(found), _text(data, found + 10, size), "")


def _png_chunk(data: tf.Tensor, name: bytes) -> tf.Tensor:
    """Returns the content of the first PNG chunk with that name, or an empty string."""

    def stop_at(position: tf.Tensor) -> tf.Tensor:
        # Stops at the pixels, which may be thousands of chunks; at the end of the file the name is empty.
        return tf.reduce_any(_text(data, position + 4, 4) == tf.constant([name, b"IDAT", b"IEND", b""]))

    found = _walk(8, stop_at, lambda position: position + 12 + _number(data, position, 4))
    is_it = _text(data, found + 4, 4) == name
    return tf.where(is_it, _text(data, found + 8, _number(data, found, 4)), "")


def _webp_exif(data: tf.Tensor) -> tf.Tensor:
    """Returns the TIFF block of a WebP's EXIF chunk, or an empty string."""

    def size(position: tf.Tensor) -> tf.Tensor:
        return _number(data, position + 4, 4, little_endian=True)

    found = _walk(
        12,
        lambda position: tf.reduce_any(_text(data, position, 4) == tf.constant([b"EXIF", b""])),
        lambda position: position + 8 + size(position) + size(position) % 2,
    )
    block = _text(data, found + 8, size(found))
    has_prefix = _text(block, 0, 6) == b"Exif\0\0"  # not in the standard, but common
    return tf.where(has_prefix, _text(block, 6, tf.strings.length(block)), block)


def _png_has_16_bits(data: tf.Tensor) -> tf.Tensor:
    return _number(data, 24, 1) == 16


def _exif_orientation(exif: tf.Tensor) -> tf.Tensor:
    """Returns the orientation in a TIFF block, int64 in [1, 8]; 1 if it has none."""

    def stated() -> tf.Tensor:
        little = _text(exif, 0, 2) == b"II"
        directory = _number(exif, 4, 4, little)
        count = _number(exif, directory, 2, little)
        # Reads one entry more, because the op can't read zero entries.
        entries = tf.reshape(_bytes(exif, directory + 2, 12 * count + 12), [-1, 12])[:count]

        def column(at: int) -> tf.Tensor:  # 16-bit numbers, [entries]
            first, second = entries[:, at], entries[:, at + 1]
            return tf.where(little, first + 256 * second, 256 * first + second)

        is_orientation = (column(0) == 0x0112) & (column(2) == 3)
        value = tf.reduce_max(tf.where(is_orientation, column(8), 0))  # without entries the minimum of int64
        return tf.where((value >= 1) & (value <= 8), value, 1)

    return tf.cond(tf.strings.length(exif) > 0, stated, lambda: tf.constant(1, tf.int64))
