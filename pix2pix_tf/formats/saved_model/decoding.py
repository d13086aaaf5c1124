"""Decodes images inside the graph of an exported model, where Pillow isn't available.

Supports JPEG and 8-bit or 16-bit PNG, with EXIF orientation. The pixels equal those of
`pix2pix_tf.data.reading`. Other formats are refused with a one-line message.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from pix2pix_tf.data.pixels import convert_channels, to_unit_range

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"  # signatures at the start of a file

_TIFF = (b"II*\0", b"II\0*", b"MM\0*", b"MM*\0")  # starts of EXIF that Pillow accepts

# Valid files have fewer blocks before their pixels. Without a limit, a malicious file could occupy a server
# for minutes.
_MAX_BLOCKS = 10_000

_NOT_AN_IMAGE = "not a supported image: neither JPEG nor PNG"
_EMPTY = "not an image: 0 bytes"
_NO_ALPHA = "not a PNG; this model needs one whose transparent pixels are the masked area"
_PNG_KIND = "damaged PNG: its header is not the first chunk"


def decode_to_unit_range(data: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes a JPEG or PNG to float32 [height, width, channels] in [-1, 1], with EXIF orientation applied.

    ``channels`` is 1 (gray) or 3 (RGB). The file's bit depth is preserved. Invalid bytes raise
    `tf.errors.InvalidArgumentError` when the graph runs.
    """
    with tf.device("CPU"):  # strings are on the CPU anyway
        image, exif = tf.cond(
            _is_jpeg(data), lambda: _decode_jpeg(data, channels), lambda: _decode_png(data, channels)
        )
        return tf.ensure_shape(_orient(image, _exif_orientation(exif)), [None, None, channels])


def decode_with_alpha(data: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes a PNG whose alpha is the mask to float32 [height, width, channels] in [-1, 1].

    ``channels`` is 2 (gray and alpha) or 4 (RGB and alpha). A file without alpha is opaque.
    Invalid bytes raise `tf.errors.InvalidArgumentError` when the graph runs.
    """
    with tf.control_dependencies([tf.debugging.Assert(_begins_with(data, _PNG), [_NO_ALPHA])]):
        return to_unit_range(tf.io.decode_png(data, channels))


def stated_size(data: tf.Tensor) -> tf.Tensor:
    """Reads height and width, int64 [2], from the header without decoding pixels.

    This is the size before EXIF orientation. `decode_to_unit_range` never returns a larger image.
    Invalid bytes raise `tf.errors.InvalidArgumentError` when the graph runs.
    """

    def jpeg_size() -> tf.Tensor:
        return tf.cast(tf.image.extract_jpeg_shape(data)[:2], tf.int64)

    def png_size() -> tf.Tensor:
        # The decoder accepts chunks before the header, but these offsets require the header first.
        with tf.control_dependencies([tf.debugging.Assert(_text(data, 12, 4) == b"IHDR", [_PNG_KIND])]):
            return tf.stack([_number(data, 20, 4), _number(data, 16, 4)])

    with tf.device("CPU"):
        return tf.cond(_is_jpeg(data), jpeg_size, png_size)


def _is_jpeg(data: tf.Tensor) -> tf.Tensor:
    """Returns whether a file is a JPEG; asserts that it is a JPEG or PNG."""
    is_jpeg = _begins_with(data, _JPEG)
    reason = tf.where(tf.strings.length(data) == 0, _EMPTY, _NOT_AN_IMAGE)
    with tf.control_dependencies([tf.debugging.Assert(is_jpeg | _begins_with(data, _PNG), [reason])]):
        return tf.identity(is_jpeg)


def _decode_jpeg(data: tf.Tensor, channels: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the pixels and the EXIF block, like `_decode_png`."""
    # TensorFlow's default DCT differs from other decoders by up to 5 8-bit values.
    image = tf.io.decode_jpeg(
        data, channels=3, dct_method="INTEGER_ACCURATE", fancy_upscaling=True, try_recover_truncated=False
    )
    return to_unit_range(convert_channels(image, channels)), _jpeg_exif(data)


def _decode_png(data: tf.Tensor, channels: int) -> tuple[tf.Tensor, tf.Tensor]:
    # For files with fewer than 8 bits and no alpha, decoding to RGBA returns wrong values.
    has_alpha = (_number(data, 25, 1) >= 4) | (_png_chunk(data, b"tRNS") != b"")

    def decoded(stored: int, dtype: tf.DType) -> tf.Tensor:
        return to_unit_range(convert_channels(tf.io.decode_png(data, stored, dtype), channels))

    def decoded_as(dtype: tf.DType) -> tf.Tensor:
        return tf.cond(has_alpha, lambda: decoded(4, dtype), lambda: decoded(3, dtype))

    has_16_bits = _number(data, 24, 1) == 16
    image = tf.cond(has_16_bits, lambda: decoded_as(tf.uint16), lambda: decoded_as(tf.uint8))
    return image, _png_chunk(data, b"eXIf")


def _orient(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Applies an EXIF orientation in [1, 8] to an image [height, width, channels]."""

    def turned() -> tf.Tensor:
        axes = tf.where(orientation >= 5, [1, 0, 2], [0, 1, 2])
        rows_reversed = tf.reduce_any(orientation == tf.constant([3, 4, 7, 8], tf.int64))
        columns_reversed = tf.reduce_any(orientation == tf.constant([2, 3, 6, 7], tf.int64))
        reversed_axes = tf.boolean_mask([0, 1], tf.stack([rows_reversed, columns_reversed]))
        return tf.reverse(tf.transpose(image, axes), reversed_axes)

    return tf.cond(orientation == 1, lambda: image, turned)


# ---------------------------------------------------------------- parsing bytes


def _text(data: tf.Tensor, start: int | tf.Tensor, size: int | tf.Tensor) -> tf.Tensor:
    """Returns the bytes [start, start + size) as a string, shorter at the end of the data."""
    length = tf.cast(tf.strings.length(data), tf.int64)
    start = tf.minimum(tf.cast(start, tf.int64), length)  # substr fails if the start is beyond the end
    return tf.strings.substr(data, start, tf.maximum(tf.cast(size, tf.int64), 0))


def _begins_with(data: tf.Tensor, magic: bytes) -> tf.Tensor:
    return _text(data, 0, len(magic)) == magic


def _bytes(data: tf.Tensor, start: int | tf.Tensor, size: int | tf.Tensor) -> tf.Tensor:
    """Returns the bytes [start, start + size) as int64 [size], with zeros beyond the end."""
    raw = tf.io.decode_raw(_text(data, start, size), tf.uint8, fixed_length=tf.cast(size, tf.int32))
    return tf.cast(raw, tf.int64)


def _number(data: tf.Tensor, start: int | tf.Tensor, size: int) -> tf.Tensor:
    """Returns the big-endian number in the bytes [start, start + size), int64."""
    return _value(_bytes(data, start, size), tf.constant(False))


def _value(digits: tf.Tensor, little_endian: tf.Tensor) -> tf.Tensor:
    """Converts bytes int64 [..., size] to unsigned numbers int64 [...]."""
    rising = [256**power for power in range(digits.shape[-1])]
    weights = tf.where(little_endian, tf.constant(rising, tf.int64), tf.constant(rising[::-1], tf.int64))
    return tf.reduce_sum(digits * weights, axis=-1)


def _walk(
    start: int, stop_at: Callable[[tf.Tensor], tf.Tensor], after: Callable[[tf.Tensor], tf.Tensor]
) -> tf.Tensor:
    """Walks from block to block; returns the first position where ``stop_at`` is true."""
    (position,) = tf.while_loop(
        lambda position: tf.logical_not(stop_at(position)),
        lambda position: [after(position)],
        [tf.constant(start, tf.int64)],
        maximum_iterations=_MAX_BLOCKS,
    )
    return position


def _jpeg_exif(data: tf.Tensor) -> tf.Tensor:
    """Returns the TIFF block of a JPEG's EXIF segment, or an empty string."""

    def is_exif(position: tf.Tensor) -> tf.Tensor:
        return (_text(data, position, 2) == b"\xff\xe1") & (_text(data, position + 4, 6) == b"Exif\0\0")

    def stop_at(position: tf.Tensor) -> tf.Tensor:
        # EXIF may follow any segment before the pixels. Markers from RST0 to SOS end the search.
        marker = _number(data, position, 2)
        skippable = (marker >= 0xFFC0) & ((marker < 0xFFD0) | (marker > 0xFFDA))
        return is_exif(position) | tf.logical_not(skippable)

    def after(position: tf.Tensor) -> tf.Tensor:
        is_fill = _number(data, position + 1, 1) == 0xFF
        return position + tf.where(is_fill, tf.constant(1, tf.int64), 2 + _number(data, position + 2, 2))

    found = _walk(2, stop_at, after)
    return tf.where(is_exif(found), _text(data, found + 10, _number(data, found + 2, 2) - 8), "")


def _png_chunk(data: tf.Tensor, name: bytes) -> tf.Tensor:
    """Returns the content of the first PNG chunk with that name, or an empty string."""

    def stop_at(position: tf.Tensor) -> tf.Tensor:
        # Stops at IDAT, as pixels may have thousands of chunks. At the end of the file the name is empty.
        return tf.reduce_any(_text(data, position + 4, 4) == tf.constant([name, b"IDAT", b"IEND", b""]))

    found = _walk(8, stop_at, lambda position: position + 12 + _number(data, position, 4))
    is_it = _text(data, found + 4, 4) == name
    return tf.where(is_it, _text(data, found + 8, _number(data, found, 4)), "")


def _exif_orientation(exif: tf.Tensor) -> tf.Tensor:
    """Returns the orientation in a TIFF block, int64 in [1, 8]; 1 if it has none."""

    def stated() -> tf.Tensor:
        little = _begins_with(exif, b"II")
        directory = _value(_bytes(exif, 4, 4), little)
        count = _value(_bytes(exif, directory, 2), little)
        # Reads one extra entry, because decode_raw fails for zero bytes.
        entries = tf.reshape(_bytes(exif, directory + 2, 12 * count + 12), [-1, 12])[:count]
        tag, kind, short = (_value(entries[:, at : at + 2], little) for at in (0, 2, 8))
        number, long = (_value(entries[:, at : at + 4], little) for at in (4, 8))
        is_short = ((kind == 3) | (kind == 8)) & (number >= 1) & (number <= 2)
        is_long = ((kind == 4) | (kind == 9)) & (number == 1)
        value = tf.where(is_short, short, tf.where(is_long, long, 0))
        # Without entries, reduce_max returns the minimum of int64.
        found = tf.reduce_max(tf.where(tag == 0x0112, value, 0))
        return tf.where((found >= 1) & (found <= 8), found, 1)

    is_tiff = tf.reduce_any(_text(exif, 0, 4) == tf.constant(_TIFF))
    return tf.cond(is_tiff, stated, lambda: tf.constant(1, tf.int64))
