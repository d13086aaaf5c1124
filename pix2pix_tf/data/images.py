"""The one decoder of the project: training, ``predict`` and exported models all see the same pixels.

Everything that turns bytes into pixels is TensorFlow operations, so that it also lives inside
``tf.data`` pipelines and SavedModels, and everything is integer arithmetic, so that it gives the same
pixels on every machine. Only `read_header`, which looks before anything is decoded, is plain Python.
"""

from __future__ import annotations

import dataclasses
import functools
import mimetypes
import re
import struct
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import tensorflow as tf
from PIL import Image

from pix2pix_tf.errors import DataError, SystemFault

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")

# What files begin with, any byte where it says "?". (No magic number has a "?".)
MAGIC_NUMBERS = {
    "JPEG": b"\xff\xd8\xff",
    "PNG": b"\x89PNG\r\n\x1a\n",
    "BMP": b"BM",
    "GIF": b"GIF8",
    "WEBP": b"RIFF????WEBP",
}

# 2**26 pixels (8192x8192, or a side-by-side pair of the largest 2048x2048 sixteen times over) take 200 MB
# decoded: enough for every camera, and still safe to hold on a laptop. Beyond it a file of a few bytes can
# claim gigabytes.
MAX_PIXELS = 2**26

# No honest file has more blocks before its pixels; a hostile one could keep a server walking for minutes.
_MAX_BLOCKS = 10_000

_NOT_AN_IMAGE = "not an image: neither JPEG, PNG, BMP, GIF nor WebP"
_EMPTY = "not an image: 0 bytes"
_BMP_KIND = "this kind of BMP is not supported (only 1, 4, 8, 24 or 32 bits a pixel, uncompressed)"
_BMP_TRUNCATED = "truncated BMP: pixels are missing"
_WEBP_KIND = "damaged WebP: its first chunk is none of VP8, VP8L and VP8X"
_PNG_KIND = "damaged PNG: it doesn't begin with its header"
_GIF_CONTROL = b"\x21\xf9\x04"
_EVERY_BYTE = [bytes([value]) for value in range(256)]  # numbers to strings, for lack of an op
_TOO_NARROW = "a side-by-side pair must be at least 2 pixels wide"


# ---------------------------------------------------------------- bytes to pixels, in the graph


def decode_image(data: tf.Tensor, channels: int, dtype: tf.DType = tf.uint8) -> tf.Tensor:
    """Decodes a JPEG, PNG, BMP, GIF (first frame) or WebP (first frame) as a viewer would show it.

    The EXIF orientation of JPEG, PNG and WebP is honoured. What is transparent is seen over white. Grey
    becomes RGB by repetition, RGB becomes grey by BT.601 luma, the same way for every format. 8-bit
    samples become 16-bit ones times 257, 16-bit ones become 8-bit ones divided by 257 and rounded.

    Args:
        data: string scalar, the bytes of the file.
        channels: 1 (grey) or 3 (RGB).
        dtype: ``tf.uint8`` or ``tf.uint16``.

    Returns:
        ``dtype`` tensor [height, width, channels], each value in the full range of ``dtype``.

    Raises:
        ValueError: ``channels`` or ``dtype`` is something else.
        tf.errors.InvalidArgumentError: (when it runs) the bytes are no image, or a damaged one.
    """
    dtype = tf.as_dtype(dtype)
    if channels not in (1, 3) or dtype not in (tf.uint8, tf.uint16):
        raise ValueError(f"decode_image gives 1 or 3 channels of uint8 or uint16, not {channels} of {dtype}")
    return _decoder(channels, dtype)(data)


def decode_to_unit_range(data: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes an image as `decode_image` does, in the depth that its file has, to floats in [-1, 1].

    Args:
        data: string scalar, the bytes of the file.
        channels: 1 (grey) or 3 (RGB).

    Returns:
        float32 [height, width, channels], what `to_unit_range` makes of the 8 or 16 bits.

    Raises:
        tf.errors.InvalidArgumentError: (when it runs) as `decode_image`.
    """
    sixteen_bits = _begins_with(_bytes(data, 0, 8), MAGIC_NUMBERS["PNG"]) & _png_has_16_bits(data)
    return tf.cond(
        sixteen_bits,
        lambda: to_unit_range(decode_image(data, channels, tf.uint16)),
        lambda: to_unit_range(decode_image(data, channels, tf.uint8)),
    )


def stated_size(data: tf.Tensor) -> tf.Tensor:
    """Reads from the header how large an image would be, before memory is spent on its pixels.

    `decode_image` never makes an image larger than this, whatever the rest of the file says.

    Args:
        data: string scalar, the bytes of the file.

    Returns:
        int64 [2]: height and width as stored, that is before the EXIF orientation.

    Raises:
        tf.errors.InvalidArgumentError: (when it runs) the bytes are no image, or its header is damaged.
    """
    with tf.device("CPU"):
        return tf.switch_case(
            _format_index(data),
            [functools.partial(size_in, data) for size_in in _SIZES.values()],
            default=functools.partial(_refuse_size, data),
        )


@functools.cache
def _decoder(channels: int, dtype: tf.DType) -> Callable[[tf.Tensor], tf.Tensor]:
    # Traced once and shared by every pipeline and model of the process: tracing takes most of a second.
    @tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    def decode(data: tf.Tensor) -> tf.Tensor:
        with tf.device("CPU"):  # where strings live, and where integer arithmetic is quick
            image, orientation = tf.switch_case(
                _format_index(data),
                [functools.partial(decode_format, data, dtype) for decode_format in _DECODERS.values()],
                default=functools.partial(_refuse, data, dtype),
            )
            image = _orient(image, orientation)
            image = _luma(image) if channels == 1 else image
        return tf.ensure_shape(image, [None, None, channels])

    return decode


def _format_index(data: tf.Tensor) -> tf.Tensor:
    """Which of `_DECODERS` the first bytes ask for; -1 for none."""
    start = _bytes(data, 0, 12)
    is_format = tf.stack([_begins_with(start, MAGIC_NUMBERS[name]) for name in _DECODERS])
    return tf.where(tf.reduce_any(is_format), tf.argmax(is_format, output_type=tf.int32), -1)


def _refuse(data: tf.Tensor, dtype: tf.DType) -> tuple[tf.Tensor, tf.Tensor]:
    with tf.control_dependencies([_refusal(data)]):
        return tf.zeros([1, 1, 3], dtype), _upright()


def _refuse_size(data: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([_refusal(data)]):
        return tf.zeros([2], tf.int64)


def _refusal(data: tf.Tensor) -> tf.Operation:
    length = tf.strings.length(data)
    return tf.debugging.Assert(length < 0, [tf.where(length == 0, _EMPTY, _NOT_AN_IMAGE)])


def _decode_jpeg(data: tf.Tensor, dtype: tf.DType) -> tuple[tf.Tensor, tf.Tensor]:
    # TensorFlow's default transform is up to 5 levels off what other decoders give.
    image = tf.io.decode_jpeg(
        data, channels=3, dct_method="INTEGER_ACCURATE", fancy_upscaling=True, try_recover_truncated=False
    )
    return _to_depth(image, dtype), _exif_orientation(_jpeg_exif(data))


def _decode_png(data: tf.Tensor, dtype: tf.DType) -> tuple[tf.Tensor, tf.Tensor]:
    # Asked for alpha that isn't there, the op invents a wrong one for fewer than 8 bits; asked for 8 bits,
    # it cuts 16-bit samples off instead of rounding them.
    has_alpha = (_number(data, 25, 1) >= 4) | (_png_chunk(data, b"tRNS") != b"")

    def decode(stored: tf.DType) -> tf.Tensor:
        image = tf.cond(
            has_alpha,
            lambda: _over_white(tf.io.decode_png(data, channels=4, dtype=stored)),
            lambda: tf.io.decode_png(data, channels=3, dtype=stored),
        )
        return _to_depth(image, dtype)

    image = tf.cond(_png_has_16_bits(data), lambda: decode(tf.uint16), lambda: decode(tf.uint8))
    return image, _exif_orientation(_png_chunk(data, b"eXIf"))


def _decode_gif(data: tf.Tensor, dtype: tf.DType) -> tuple[tf.Tensor, tf.Tensor]:
    # The op paints what is transparent black and gives no alpha; and what it does with a frame smaller than
    # the screen depends on the frame's place. So it gets an opaque frame at the origin; and that one only,
    # as it would decode all frames of an animation to give the first.
    control, frame = _gif_blocks(data)
    opaque = _gif_over_white(_gif_until_end_of(data, frame), control, frame)
    at_origin = _overwrite(opaque, frame + 1, bytes(4))
    image = tf.io.decode_image(at_origin, channels=3, expand_animations=False)
    image = tf.ensure_shape(image, [None, None, 3])

    def margins(screen_at: int, offset_at: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
        before = _number(data, offset_at, 2, little_endian=True)
        screen = _number(data, screen_at, 2, little_endian=True)
        return tf.stack([before, tf.maximum(screen - before - tf.cast(size, tf.int64), 0)])

    height, width = tf.shape(image)[0], tf.shape(image)[1]
    around = tf.stack([margins(8, frame + 3, height), margins(6, frame + 1, width), tf.zeros(2, tf.int64)])
    return _to_depth(tf.pad(image, around, constant_values=255), dtype), _upright()


def _decode_webp(data: tf.Tensor, dtype: tf.DType) -> tuple[tf.Tensor, tf.Tensor]:
    # The op refuses to convert between 3 and 4 channels, so it is asked for what the file has. Animations
    # it can give with 4 only (asked for 0 it writes beyond its buffer), so each is said to have alpha.
    flags = _number(data, 20, 1)
    animated = (_text(data, 12, 4) == b"VP8X") & (flags // 2 % 2 == 1)
    flags_with_alpha = tf.gather(_EVERY_BYTE, tf.bitwise.bitwise_or(flags, 16))
    frame = tf.cond(
        animated,
        lambda: tf.io.decode_webp(_overwrite(_webp_first_frame(data), 20, flags_with_alpha), channels=4)[0],
        lambda: tf.io.decode_webp(data, channels=0)[0],
    )  # [height, width, 3 or 4]
    image = tf.cond(tf.shape(frame)[2] == 4, lambda: _over_white(frame), lambda: frame[..., :3])
    return _to_depth(tf.ensure_shape(image, [None, None, 3]), dtype), _exif_orientation(_webp_exif(data))


def _upright() -> tf.Tensor:
    return tf.constant(1, tf.int64)


def _to_depth(image: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    if image.dtype == dtype:
        return image
    if dtype == tf.uint16:
        return tf.cast(tf.cast(image, tf.int32) * 257, tf.uint16)
    return tf.cast((tf.cast(image, tf.int32) + 128) // 257, tf.uint8)


def _over_white(image: tf.Tensor) -> tf.Tensor:
    """Lays an image whose last channel is alpha over white: [height, width, 2 or 4] to 1 or 3 channels."""
    white = image.dtype.max
    wide = tf.int32 if image.dtype == tf.uint8 else tf.int64  # holds white * white

    def blend() -> tf.Tensor:
        colour, alpha = tf.cast(image[..., :-1], wide), tf.cast(image[..., -1:], wide)
        return tf.cast((colour * alpha + white * (white - alpha) + white // 2) // white, image.dtype)

    opaque = tf.reduce_all(image[..., -1] == white)
    return tf.cond(opaque, lambda: image[..., :-1], blend)


def _luma(image: tf.Tensor) -> tf.Tensor:
    red, green, blue = tf.split(tf.cast(image, tf.int32), 3, axis=2)
    return tf.cast((299 * red + 587 * green + 114 * blue + 500) // 1000, image.dtype)


def _orient(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns an image [height, width, channels] upright, given its EXIF orientation in [1, 8]."""

    def turned() -> tf.Tensor:
        axes = tf.where(orientation >= 5, [1, 0, 2], [0, 1, 2])
        rows_reversed = tf.reduce_any(orientation == tf.constant([3, 4, 7, 8], tf.int64))
        columns_reversed = tf.reduce_any(orientation == tf.constant([2, 3, 6, 7], tf.int64))
        reversed_axes = tf.boolean_mask([0, 1], tf.stack([rows_reversed, columns_reversed]))
        return tf.reverse(tf.transpose(image, axes), reversed_axes)

    return tf.cond(orientation == 1, lambda: image, turned)


# ---------------------------------------------------------------- the size by the header, in the graph


def _jpeg_size(data: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.image.extract_jpeg_shape(data)[:2], tf.int64)


def _png_size(data: tf.Tensor) -> tf.Tensor:
    # Before the header the op skips chunks that it doesn't know; everything here relies on its place.
    with tf.control_dependencies([tf.debugging.Assert(_text(data, 12, 4) == b"IHDR", [_PNG_KIND])]):
        return tf.stack([_number(data, 20, 4), _number(data, 16, 4)])


def _bmp_size(data: tf.Tensor) -> tf.Tensor:
    height = _number(data, 22, 4, little_endian=True)
    height = tf.where(height >= 2**31, 2**32 - height, height)  # negative where the rows run down
    return tf.stack([height, _number(data, 18, 4, little_endian=True)])


def _gif_size(data: tf.Tensor) -> tf.Tensor:
    # A frame may reach beyond the screen.
    _, frame = _gif_blocks(data)
    number = functools.partial(_number, data, size=2, little_endian=True)
    height = tf.maximum(number(8), number(frame + 3) + number(frame + 7))
    return tf.stack([height, tf.maximum(number(6), number(frame + 1) + number(frame + 5))])


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


_SIZES = {
    "JPEG": _jpeg_size,
    "PNG": _png_size,
    "BMP": _bmp_size,
    "GIF": _gif_size,
    "WEBP": _webp_size,
}


# ---------------------------------------------------------------- looking into the bytes, in the graph


def _text(data: tf.Tensor, start: int | tf.Tensor, size: int | tf.Tensor) -> tf.Tensor:
    """The bytes [start, start + size) as a string, or as many of them as there are."""
    length = tf.cast(tf.strings.length(data), tf.int64)
    start = tf.minimum(tf.cast(start, tf.int64), length)  # substr fails on a start beyond the end
    return tf.strings.substr(data, start, tf.maximum(tf.cast(size, tf.int64), 0))


def _bytes(data: tf.Tensor, start: int | tf.Tensor, size: int | tf.Tensor) -> tf.Tensor:
    """The bytes [start, start + size) as int64 [size], zeros for what is beyond the end."""
    raw = tf.io.decode_raw(_text(data, start, size), tf.uint8, fixed_length=tf.cast(size, tf.int32))
    return tf.cast(raw, tf.int64)


def _begins_with(start: tf.Tensor, pattern: bytes) -> tf.Tensor:
    """Whether numbers from `_bytes` begin with a pattern in which "?" is any byte."""
    places = [at for at, byte in enumerate(pattern) if byte != ord("?")]
    wanted = tf.constant([pattern[at] for at in places], tf.int64)
    return tf.reduce_all(tf.gather(start, places) == wanted)


def _number(
    data: tf.Tensor, start: int | tf.Tensor, size: int, little_endian: bool | tf.Tensor = False
) -> tf.Tensor:
    """The unsigned number in the bytes [start, start + size), int64."""
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
    """Goes from block to block of a file: the first position, from ``start``, where ``stop_at`` holds."""
    (position,) = tf.while_loop(
        lambda position: tf.logical_not(stop_at(position)),
        lambda position: [after(position)],
        [tf.cast(start, tf.int64)],
        maximum_iterations=_MAX_BLOCKS,
    )
    return position


def _jpeg_exif(data: tf.Tensor) -> tf.Tensor:
    """The TIFF block of a JPEG's EXIF segment, or an empty string."""

    def is_exif(position: tf.Tensor) -> tf.Tensor:
        return _begins_with(_bytes(data, position, 10), b"\xff\xe1??Exif\0\0")

    def stop_at(position: tf.Tensor) -> tf.Tensor:
        # EXIF belongs before the first table; only application segments and comments may precede it.
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
    """The content of a PNG's first chunk of that name, or an empty string."""

    def stop_at(position: tf.Tensor) -> tf.Tensor:
        # Stops at the pixels, which may be thousands of chunks; a missing name is the end of the file.
        return tf.reduce_any(_text(data, position + 4, 4) == tf.constant([name, b"IDAT", b"IEND", b""]))

    found = _walk(8, stop_at, lambda position: position + 12 + _number(data, position, 4))
    is_it = _text(data, found + 4, 4) == name
    return tf.where(is_it, _text(data, found + 8, _number(data, found, 4)), "")


def _webp_chunk(data: tf.Tensor, name: bytes) -> tf.Tensor:
    """Where a WebP's first chunk of that name begins; the end of the file when it has none."""

    def stop_at(position: tf.Tensor) -> tf.Tensor:
        return tf.reduce_any(_text(data, position, 4) == tf.constant([name, b""]))

    return _walk(12, stop_at, lambda position: _after_webp_chunk(data, position))


def _after_webp_chunk(data: tf.Tensor, position: tf.Tensor) -> tf.Tensor:
    size = _number(data, position + 4, 4, little_endian=True)
    return position + 8 + size + size % 2


def _webp_first_frame(data: tf.Tensor) -> tf.Tensor:
    """An animated WebP cut off behind its first frame: the op would decode all to give the first."""
    cut = _text(data, 0, _after_webp_chunk(data, _webp_chunk(data, b"ANMF")))
    size = tf.strings.length(cut) - 8  # RIFF's size, without its own 8 bytes
    digits = tf.bitwise.bitwise_and(tf.bitwise.right_shift(size, [0, 8, 16, 24]), 255)
    return _overwrite(cut, 4, tf.strings.reduce_join(tf.gather(_EVERY_BYTE, digits)))


def _webp_exif(data: tf.Tensor) -> tf.Tensor:
    """The TIFF block of a WebP's EXIF chunk, or an empty string."""
    found = _webp_chunk(data, b"EXIF")
    block = _text(data, found + 8, _number(data, found + 4, 4, little_endian=True))
    has_prefix = _text(block, 0, 6) == b"Exif\0\0"  # not in the standard, but written by many
    return tf.where(has_prefix, _text(block, 6, tf.strings.length(block)), block)


def _png_has_16_bits(data: tf.Tensor) -> tf.Tensor:
    return _number(data, 24, 1) == 16


def _exif_orientation(exif: tf.Tensor) -> tf.Tensor:
    """The orientation, int64 in [1, 8], that a TIFF block states; 1 when it states none."""

    def stated() -> tf.Tensor:
        little = _text(exif, 0, 2) == b"II"
        directory = _number(exif, 4, 4, little)
        count = _number(exif, directory, 2, little)
        # One entry too many is read, because the op can't read none.
        entries = tf.reshape(_bytes(exif, directory + 2, 12 * count + 12), [-1, 12])[:count]

        def column(at: int) -> tf.Tensor:  # 16-bit numbers, [entries]
            first, second = entries[:, at], entries[:, at + 1]
            return tf.where(little, first + 256 * second, 256 * first + second)

        is_orientation = (column(0) == 0x0112) & (column(2) == 3)
        value = tf.reduce_max(tf.where(is_orientation, column(8), 0))  # of no entries, the least int64
        return tf.where((value >= 1) & (value <= 8), value, 1)

    return tf.cond(tf.strings.length(exif) > 0, stated, _upright)


def _gif_blocks(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Where a GIF's first frame has its control block (if it has one; else anything) and its descriptor."""

    def is_extension(position: tf.Tensor) -> tf.Tensor:
        return _number(data, position, 1) == 0x21

    def after_extension(position: tf.Tensor) -> tf.Tensor:
        end = _walk(
            position + 2,
            lambda at: _number(data, at, 1) == 0,
            lambda at: at + 1 + _number(data, at, 1),
        )
        return end + 1

    def is_control(position: tf.Tensor) -> tf.Tensor:
        return _text(data, position, 3) == _GIF_CONTROL

    start = 13 + _gif_table_size(data, 10)
    control = _walk(start, lambda at: is_control(at) | ~is_extension(at), after_extension)
    return control, _walk(control, lambda at: ~is_extension(at), after_extension)


def _gif_until_end_of(data: tf.Tensor, frame: tf.Tensor) -> tf.Tensor:
    """A GIF cut off behind a frame; as it is where the frame has no end."""
    blocks = frame + 11 + _gif_table_size(data, frame + 9)
    sizes = tf.cast(tf.io.decode_raw(_text(data, blocks, tf.strings.length(data)), tf.uint8), tf.int32)
    end = tf.size(sizes)
    # Thousands of small blocks, each of which says where the next begins. In every round each learns where
    # twice as many later is; a block of no bytes, and the end of the file, lead to themselves.
    jumps = tf.where(sizes > 0, tf.minimum(tf.range(end) + 1 + sizes, end), tf.range(end))
    (jumps,) = tf.while_loop(
        lambda jumps: tf.gather(jumps, jumps[0]) != jumps[0],
        lambda jumps: [tf.gather(jumps, jumps)],
        [tf.concat([jumps, [end]], axis=0)],
        maximum_iterations=32,
    )
    last = blocks + tf.cast(jumps[0], tf.int64)
    return tf.cond(jumps[0] < end, lambda: _text(data, 0, last + 1) + b"\x3b", lambda: tf.identity(data))


def _gif_table_size(data: tf.Tensor, flags_at: int | tf.Tensor) -> tf.Tensor:
    flags = _number(data, flags_at, 1)
    return tf.where(flags >= 128, 3 * tf.bitwise.left_shift(tf.constant(2, tf.int64), flags % 8), 0)


def _gif_over_white(data: tf.Tensor, control: tf.Tensor, frame: tf.Tensor) -> tf.Tensor:
    """The same GIF with the transparent colour of its first frame made white and opaque."""

    def whitened() -> tf.Tensor:
        table = tf.where(_gif_table_size(data, frame + 9) > 0, frame + 10, 13)
        colour = table + 3 * _number(data, control + 6, 1)
        patched = _overwrite(data, control + 3, b"\0")  # the flags: nothing is transparent
        return _overwrite(patched, colour, b"\xff\xff\xff")

    has_control = _text(data, control, 3) == _GIF_CONTROL
    transparent = has_control & (_number(data, control + 3, 1) % 2 == 1)
    return tf.cond(transparent, whitened, lambda: tf.identity(data))


def _overwrite(data: tf.Tensor, start: int | tf.Tensor, replacement: bytes | tf.Tensor) -> tf.Tensor:
    length = tf.strings.length(data)
    end = tf.cast(start, tf.int64) + tf.cast(tf.strings.length(replacement), tf.int64)
    return _text(data, 0, start) + replacement + _text(data, end, length)


def _decode_bmp(data: tf.Tensor, dtype: tf.DType) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes uncompressed BMPs; TensorFlow's own op reads palettes as grey levels."""
    number = functools.partial(_number, data, little_endian=True)
    offset, header_size, width, height = number(10, 4), number(14, 4), number(18, 4), number(22, 4)
    bits, compression = number(28, 2), number(30, 4)
    top_down = height >= 2**31  # a negative number
    height = tf.where(top_down, 2**32 - height, height)
    uncompressed = (compression == 0) | ((compression == 3) & (bits == 32))
    known = tf.reduce_any(bits == tf.constant([1, 4, 8, 24, 32], tf.int64)) & (header_size >= 40)
    sane = (width > 0) & (width < 2**31) & (height > 0)
    stride = (width * bits + 31) // 32 * 4
    with tf.control_dependencies([tf.debugging.Assert(uncompressed & known & sane, [_BMP_KIND])]):
        pixels = _text(data, offset, stride * height)
    is_whole = tf.cast(tf.strings.length(pixels), tf.int64) == stride * height
    with tf.control_dependencies([tf.debugging.Assert(is_whole, [_BMP_TRUNCATED])]):
        rows = tf.reshape(tf.io.decode_raw(pixels, tf.uint8), tf.stack([height, stride]))
    image = tf.case(
        [
            (bits == 24, lambda: tf.reshape(rows[:, : 3 * width], tf.stack([height, width, 3]))[..., ::-1]),
            (bits == 32, lambda: _bmp_masked(data, tf.reshape(rows, tf.stack([height, width, 4])))),
        ],
        default=lambda: _bmp_palette(data, rows, bits)[:, :width],
    )
    image = tf.cond(top_down, lambda: image, lambda: tf.reverse(image, [0]))
    return _to_depth(tf.ensure_shape(image, [None, None, 3]), dtype), _upright()


def _bmp_palette(data: tf.Tensor, rows: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Looks up colours: rows uint8 [height, stride] with ``bits`` a pixel -> [height, at least width, 3]."""
    start = 14 + _number(data, 14, 4, little_endian=True)
    palette = tf.reshape(_bytes(data, start, 4 * 256), [256, 4])[:, 2::-1]
    shifts = tf.cast(tf.range(8 - bits, -1, -bits), tf.uint8)  # the leftmost pixel is in the highest bits
    mask = tf.cast(tf.bitwise.left_shift(tf.constant(1, tf.int64), bits) - 1, tf.uint8)
    unpacked = tf.bitwise.bitwise_and(tf.bitwise.right_shift(rows[..., tf.newaxis], shifts), mask)
    indices = tf.reshape(unpacked, tf.stack([tf.shape(rows)[0], -1]))  # [height, pixels of a stride]
    return tf.gather(tf.cast(palette, tf.uint8), tf.cast(indices, tf.int32))


def _bmp_masked(data: tf.Tensor, pixels: tf.Tensor) -> tf.Tensor:
    """Orders the four bytes of each pixel [height, width, 4] as the header's masks say, over white."""
    number = functools.partial(_number, data, little_endian=True)
    has_masks, has_alpha = number(30, 4) == 3, (number(30, 4) == 3) & (number(14, 4) >= 56)
    byte_masks = tf.constant([0xFF, 0xFF00, 0xFF0000, 0xFF000000], tf.int64)
    stated = tf.stack([number(54, 4), number(58, 4), number(62, 4), number(66, 4)])
    masks = tf.where(has_masks, stated, tf.constant([0xFF0000, 0xFF00, 0xFF, 0], tf.int64))
    is_byte = masks[:, tf.newaxis] == byte_masks  # [red green blue alpha, byte]
    whole_bytes = tf.reduce_all(tf.reduce_any(is_byte[:3], axis=1))
    with tf.control_dependencies([tf.debugging.Assert(whole_bytes, [_BMP_KIND])]):
        ordered = tf.gather(pixels, tf.argmax(is_byte, axis=1), axis=2)
    with_alpha = has_alpha & tf.reduce_any(is_byte[3])
    return tf.cond(with_alpha, lambda: _over_white(ordered), lambda: ordered[..., :3])


_DECODERS = {
    "JPEG": _decode_jpeg,
    "PNG": _decode_png,
    "BMP": _decode_bmp,
    "GIF": _decode_gif,
    "WEBP": _decode_webp,
}


# ---------------------------------------------------------------- pixels to pixels


def convert_channels(image: tf.Tensor, channels: int) -> tf.Tensor:
    """Turns an array of pixels grey or RGB, with the arithmetic of `decode_image`.

    An array therefore gives the same pixels as a file of it, read in the same depth.

    Args:
        image: ``uint8`` or ``uint16`` [height, width, 1 to 4]: grey, grey and alpha, RGB, or RGB and alpha.
            How many channels it has must be known when the graph is built.
        channels: 1 (grey) or 3 (RGB).

    Returns:
        [height, width, channels] of the type of ``image``. Alpha is laid over white; grey becomes RGB by
        repetition, RGB becomes grey by BT.601 luma.

    Raises:
        ValueError: the type, the shape or ``channels`` is something else.
    """
    known = image.shape.rank == 3 and image.shape[2] in (1, 2, 3, 4)
    if channels not in (1, 3) or not known or image.dtype not in (tf.uint8, tf.uint16):
        raise ValueError(
            "convert_channels turns uint8 or uint16 [height, width, 1 to 4 channels] into 1 or 3 channels, "
            f"not {image.dtype.name} {image.shape} into {channels}"
        )
    with tf.device("CPU"):  # as in the decoder
        if image.shape[2] in (2, 4):
            image = _over_white(image)
        if image.shape[2] == channels:
            return image
        return _luma(image) if channels == 1 else tf.concat([image] * channels, axis=2)


def split_side_by_side(pair: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Cuts a side-by-side pair into its left half A and its right half B.

    Args:
        pair: [height, width, channels] of any type.

    Returns:
        Two tensors [height, width // 2, channels]; of an odd width the middle column belongs to neither.

    Raises:
        tf.errors.InvalidArgumentError: the pair is less than 2 pixels wide.
    """
    width = tf.shape(pair)[1]
    half = width // 2
    with tf.control_dependencies([tf.debugging.Assert(half >= 1, [_TOO_NARROW])]):
        return pair[:, :half], pair[:, width - half :]


def to_unit_range(image: tf.Tensor) -> tf.Tensor:
    """Scales ``uint8`` or ``uint16`` of any shape to ``float32`` in [-1, 1]."""
    if image.dtype not in (tf.uint8, tf.uint16):
        raise ValueError(f"to_unit_range takes uint8 or uint16, not {image.dtype}")
    # A product, because graphs turn a division by a constant into one, and round otherwise than by itself.
    return tf.cast(image, tf.float32) * (2 / image.dtype.max) - 1.0


def to_uint8(image: tf.Tensor) -> tf.Tensor:
    """Turns floats in [-1, 1], of any shape, into ``uint8``.

    Rounds to the nearest level (halves to the even one); what is outside the range becomes 0 or 255, and
    what is not a number becomes 0.
    """
    level = tf.cast(image, tf.float32) * 127.5 + 127.5
    level = tf.where(tf.math.is_nan(level), 0.0, level)  # NaN as an integer differs between machines
    return tf.cast(tf.round(tf.clip_by_value(level, 0.0, 255.0)), tf.uint8)


def encode_png(image: tf.Tensor) -> tf.Tensor:
    """Encodes ``uint8`` or ``uint16`` [height, width, 1 or 3] as the bytes of a PNG, a string scalar."""
    return tf.io.encode_png(image)


# ---------------------------------------------------------------- files


@dataclasses.dataclass(frozen=True)
class ImageHeader:
    """What an image file says of itself before anything is decoded.

    Args:
        format: ``JPEG``, ``PNG``, ``BMP``, ``GIF`` or ``WEBP``.
        height: in pixels, as seen (after the EXIF orientation).
        width: likewise.
        channels: 1 (grey) or 3 (anything else); alpha doesn't count.
        bits: of each sample, 8 or 16.
    """

    format: str
    height: int
    width: int
    channels: Literal[1, 3]
    bits: Literal[8, 16]


_GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L")
_UNSUPPORTED_MAGIC = {b"II*\0": "TIFF", b"MM\0*": "TIFF", b"8BPS": "Photoshop", b"\xff\x0a": "JPEG XL"}
# Pillow's warning about large images is turned off for the moment of opening, which is not thread-safe.
_pillow_lock = threading.Lock()


def is_image_file(path: Path) -> bool:
    """Whether a file's name is that of an image: a known suffix, and not a hidden file (``._*`` included)."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def is_unread_image(path: Path) -> bool:
    """Whether a file's name is that of an image, but of a kind that isn't read."""
    kind = mimetypes.guess_type(path.name)[0] or ""
    return kind.startswith("image/") and not is_image_file(path) and not path.name.startswith(".")


def read_header(path: Path) -> ImageHeader:
    """Reads what an image file says of itself, without decoding it.

    Raises:
        DataError: it is missing, a folder, empty, no image, of an unsupported format, or has more than
            `MAX_PIXELS` pixels.
        SystemFault: it can't be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(32)
            file.seek(0)
            return _parse_header(path, start, file)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the path") from None
    except IsADirectoryError:
        raise DataError(f"{path}: a folder, not an image; give an image file") from None
    except OSError as error:
        if path.is_dir():  # what Windows calls a permission error
            raise DataError(f"{path}: a folder, not an image; give an image file") from None
        raise _unreadable(path, error) from None


def _parse_header(path: Path, start: bytes, file: object) -> ImageHeader:
    if not start:
        raise DataError(f"{path}: empty file (0 bytes); replace or delete it")
    try:
        with _pillow_lock, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(file, formats=tuple(MAGIC_NUMBERS))  # type: ignore[arg-type]
    except Image.DecompressionBombError:
        raise _too_large(path, "more pixels") from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, struct.error):
        raise DataError(_why_unreadable(path, start)) from None
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _too_large(path, f"{width}x{height} pixels, more")
    if _stated_orientation(image) >= 5:
        width, height = height, width
    return ImageHeader(
        format="JPEG" if image.format == "MPO" else str(image.format),
        height=height,
        width=width,
        channels=1 if image.mode in _GREY_MODES else 3,
        bits=16 if image.format == "PNG" and start[24] == 16 else 8,
    )


def _unreadable(path: Path, error: OSError) -> SystemFault:
    return SystemFault(f"{path}: can't be read ({error.strerror or error}); check its permissions")


def _too_large(path: Path, what: str) -> DataError:
    return DataError(f"{path}: {what} than the limit of {MAX_PIXELS}; make the image smaller")


def _why_unreadable(path: Path, start: bytes) -> str:
    for magic, name in _UNSUPPORTED_MAGIC.items():
        if start.startswith(magic):
            return f"{path}: {name} images are not supported; convert it to PNG or JPEG"
    if start[4:8] == b"ftyp":
        return f"{path}: HEIC and AVIF images are not supported; convert it to PNG or JPEG"
    for name, magic in MAGIC_NUMBERS.items():
        if re.match(re.escape(magic).replace(rb"\?", b"."), start, re.DOTALL):
            return f"{path}: damaged or truncated {name} image; replace or delete it"
    return f"{path}: not an image, whatever its name says; replace or delete it"


def _stated_orientation(image: Image.Image) -> int:
    # Image.getexif would decode a PNG to look behind its pixels.
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
        return int(exif.get(0x0112, 1))
    except (SyntaxError, ValueError, TypeError, KeyError, struct.error):
        return 1


def load_image(path: Path, channels: int, dtype: tf.DType = tf.uint8) -> tf.Tensor:
    """Reads and decodes an image file, eagerly.

    Args:
        path: the file.
        channels: 1 (grey) or 3 (RGB).
        dtype: ``tf.uint8`` or ``tf.uint16``.

    Returns:
        ``dtype`` tensor [height, width, channels].

    Raises:
        DataError: as `read_header`, or the image is damaged or truncated.
        SystemFault: the file can't be read.
    """
    header = read_header(path)
    try:
        return decode_image(tf.constant(read_bytes(path)), channels, dtype)
    except tf.errors.InvalidArgumentError as error:
        raise DataError(f"{path}: {explain_fault(error, header.format)}; replace or delete it") from None


def read_bytes(path: Path) -> bytes:
    """Reads a file whole; raises ``SystemFault`` where that is impossible."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from None


def explain_fault(error: tf.errors.InvalidArgumentError, image_format: str) -> str:
    """Says in a few words why `decode_image` refused a file of the given format."""
    faults = (_EMPTY, _NOT_AN_IMAGE, _BMP_KIND, _BMP_TRUNCATED)
    named = (fault for fault in faults if fault in str(error))
    return next(named, f"damaged or truncated {image_format} image")
