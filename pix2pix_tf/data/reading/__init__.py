"""Reads image files for training, ``predict`` and all other uses.

Images are read as viewers show them: rotated by EXIF orientation, blended with white, the first frame of an
animation; color profiles are ignored. Measurements are scaled to 16 bits, with the same value range for all
images of a side. So other code only handles ``uint8`` and ``uint16``. Integer arithmetic gives identical
pixels on every machine. Graphs of exported models decode to the same pixels
(`pix2pix_tf.formats.saved_model.decoding`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import tensorflow as tf

from pix2pix_tf.data.pixel_format import PixelFormat, ValueRange
from pix2pix_tf.data.pixels import content_digests, convert_channels, luma, over_white
from pix2pix_tf.data.reading.arrays import NPY, TIFF, open_npy, open_tiff
from pix2pix_tf.data.reading.numbers import Numbers, missing_pixels, numbers_of, quantize
from pix2pix_tf.data.reading.pillow import open_with_pillow
from pix2pix_tf.data.reading.stored import StoredImage, upright
from pix2pix_tf.errors import DataError, SystemFault
from pix2pix_tf.wording import counted

_START = {  # format by the bytes at the start of a file, or from its fifth byte
    **dict.fromkeys(TIFF, "TIFF"), b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"RIFF": "WebP",
    b"GIF8": "GIF", b"BM": "BMP", b"jP  ": "JPEG 2000", b"8BPS": "Photoshop", b"\xff\x0a": "JPEG XL",
    b"JXL ": "JPEG XL", b"ftypheic": "HEIC", b"ftypheix": "HEIC", b"ftypmif1": "HEIC", b"ftypmsf1": "HEIC",
}  # fmt: skip
_UNREAD = ("Photoshop", "JPEG XL", "HEIC")

# 2**26 pixels (8192x8192) take 200 MB in RGB: enough for every camera, and safe on a laptop. Without a limit,
# a file of a few bytes can claim gigabytes.
MAX_PIXELS = 2**26

MIDDLE = -1
"""Value of `PixelFormat.missing` that selects the middle value, as in inputs of networks."""


@dataclasses.dataclass(frozen=True)
class ImageHeader:
    """Size, type and statistics of an image file."""

    height: int  # after applying the EXIF orientation
    width: int
    channels: int  # 1 (gray) or 3 (all other photos), without alpha; or the number of bands
    bits: Literal[8, 16]  # bits per sample after reading
    values: ValueRange | None = None  # minimum and maximum of measurements
    numbers: Numbers | None = dataclasses.field(default=None, compare=False)
    has_alpha: bool = False  # whether there is an alpha channel or a transparent color

    def nodata_level(self, bits: int) -> int | None:
        """Converts the file's nodata value to an image of ``bits`` bits; ``None`` without nodata pixels."""
        if self.numbers is None or self.numbers.nodata is None:
            return None
        return int(self.numbers.nodata) * (257 if self.bits < bits else 1)


# ---------------------------------------------------------------- reading


def read_image(source: Path | bytes, form: PixelFormat, most_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Reads an image file, or the bytes of one, as viewers show it, [height, width, channels].

    Gray is repeated to RGB; RGB is converted to gray by BT.601 luma. 8-bit samples are multiplied by 257 for
    16 bits; 16-bit samples are divided by 257 and rounded for 8 bits. Missing pixels are detected if
    ``form.missing`` is set.
    """
    with _opened(source, most_pixels) as stored:
        return _converted(stored, form, form.bits)


def read_input(
    path: Path,
    form: PixelFormat,
    with_alpha: bool = False,
    most_pixels: int = MAX_PIXELS,
    clipped: list[int] | None = None,
) -> np.ndarray:
    """Reads a model's input as `read_image`, but at the file's own bit depth if that is larger.

    Missing pixels get the value ``form.missing``, or the middle value. ``with_alpha`` keeps alpha as the last
    channel; by default, the image is blended with white. ``clipped`` counts the values outside of the range
    and all values.
    """
    if with_alpha:
        pixels = read_with_alpha(path, most_pixels)
        if form.bits == 16 and pixels.dtype == np.uint8:
            pixels = pixels.astype(np.uint16) * 257
        return convert_channels(tf.constant(pixels), form.channels, with_alpha=True).numpy()
    form = dataclasses.replace(form, missing=MIDDLE if form.missing is None else form.missing)
    with _opened(path, most_pixels) as stored:
        return _converted(stored, form, 16 if form.value_range else max(form.bits, stored.bits), clipped)


def read_with_alpha(path: Path, most_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Reads an image with its alpha channel, if any, [height, width, 1 to 4 channels]."""
    with _opened(path, most_pixels) as stored:
        if stored.raster is not None:
            raise DataError("has bands or measurements without alpha; give a gray or RGB image")
        pixels = np.concatenate(list(stored.rows()))
        return upright(pixels[..., np.newaxis] if pixels.ndim == 2 else pixels, stored.orientation)


def inspect_image(
    source: Path | bytes, ignore: float | None = None
) -> tuple[ImageHeader, np.ndarray, tuple[int, int, int]]:
    """Returns the header of an image file, its pixels in the file's own format, and digests."""
    with _opened(source, MAX_PIXELS) as stored:
        form = PixelFormat(stored.channels)
        values = stored.raster if stored.raster is not None else _converted(stored, form, stored.bits)
        numbers = numbers_of(values, stored.nodata_and(ignore), stored.is_measured)
        pixels, value_range = values, None
        if stored.is_measured:
            value_range = numbers.values
            pixels = _converted(stored, dataclasses.replace(form, value_range=value_range), stored.bits)
        height, width, channels = pixels.shape
        header = ImageHeader(height, width, channels, stored.bits, value_range, numbers, stored.has_alpha)
        return header, pixels, content_digests(values)


def decode_in_pipeline(data: tf.Tensor, form: PixelFormat) -> tf.Tensor:
    """Decodes the bytes of a file as `read_image`, eagerly or in a pipeline; ``data`` is a string scalar."""
    return _in_pipeline(lambda given: read_image(given, form), data, form)


def load_in_pipeline(path: tf.Tensor, form: PixelFormat) -> tf.Tensor:
    """Reads a file as `read_image`, eagerly or in a pipeline; ``path`` is a string scalar."""
    return _in_pipeline(lambda name: read_image(Path(os.fsdecode(name)), form), path, form)


def _in_pipeline(read: Callable[[bytes], np.ndarray], source: tf.Tensor, form: PixelFormat) -> tf.Tensor:
    if tf.executing_eagerly():
        return tf.constant(read(source.numpy()))
    # Pillow releases the GIL while decoding, so that several calls run in parallel.
    image = tf.numpy_function(read, [source], form.dtype, stateful=False)
    return tf.ensure_shape(image, [None, None, form.channels])


# ---------------------------------------------------------------- opening


@contextlib.contextmanager
def _opened(source: Path | bytes, most_pixels: int) -> Iterator[StoredImage]:
    """Opens an image file, or the bytes of one, and explains the errors of opening and decoding it."""
    prefix = "" if isinstance(source, bytes) else f"{source}: "
    start = b""
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            start = file.read(32)
            file.seek(0)
            stored: StoredImage | None = None
            nodata: tuple[float, ...] = ()
            if start.startswith(NPY):
                stored = open_npy(file, most_pixels)
            elif start.startswith(TIFF):
                stored, nodata = open_tiff(file, most_pixels)
                file.seek(0)
            yield stored or dataclasses.replace(open_with_pillow(file, most_pixels), nodata=nodata)
    except DataError as error:
        raise DataError(f"{prefix}{error}") from None
    except MemoryError:
        raise SystemFault(f"{prefix}not enough memory to read it; make the image smaller") from None
    except FileNotFoundError:
        raise DataError(f"{prefix}no such file; check the path") from None
    except IsADirectoryError:
        raise DataError(f"{prefix}a folder, not an image; give an image file") from None
    except ImportError:
        raise DataError(
            f"{prefix}the installed package imagecodecs can't read its compression; save the file without "
            "compression, or reinstall imagecodecs"
        ) from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:  # a disk error
            reason = error.strerror or error
            raise SystemFault(f"{prefix}can't be read ({reason}); check its permissions") from None
        # The exceptions of decoders for damaged files aren't documented.
        raise DataError(f"{prefix}{_why_unreadable(start)}") from None


def _why_unreadable(start: bytes) -> str:
    if not start:
        return "empty file (0 bytes); replace or delete it"
    if start.startswith(NPY):
        return "damaged or truncated .npy file, or an array of Python objects; save it again"
    found = (kind for magic, kind in _START.items() if start.startswith(magic) or start.startswith(magic, 4))
    kind = next(found, None)
    if kind in _UNREAD:
        return f"{kind} images are not supported; convert it to PNG or JPEG"
    why = f"damaged or truncated {kind} image" if kind else "not an image, despite its name"
    return f"{why}; replace or delete it"


# ---------------------------------------------------------------- conversion


def _converted(
    stored: StoredImage, form: PixelFormat, bits: int, clipped: list[int] | None = None
) -> np.ndarray:
    """Decodes an image upright, [height, width, channels], with the format's channels and ``bits`` bits.

    Converts a few rows at a time, because intermediate types need more memory.
    """
    if stored.is_measured and form.value_range is None:
        assert stored.raster is not None
        raise DataError(
            f"measurements ({stored.raster.dtype}) with an unknown value range; give --input-range"
        )
    pixels = np.empty((stored.height, stored.width, form.channels), np.uint16 if bits == 16 else np.uint8)
    top = 0
    for rows in stored.rows():
        pixels[top : top + len(rows)] = _converted_rows(rows, stored, form, pixels.dtype, clipped)
        top += len(rows)
    return np.ascontiguousarray(upright(pixels, stored.orientation))


def _converted_rows(
    pixels: np.ndarray, stored: StoredImage, form: PixelFormat, dtype: np.dtype, clipped: list[int] | None
) -> np.ndarray:
    """Converts decoded rows [height, width] or [height, width, channels] to a format."""
    pixels = pixels[..., np.newaxis] if pixels.ndim == 2 else pixels
    channels = form.channels
    if stored.has_alpha and channels in (1, 3):
        pixels = over_white(pixels.astype(np.int64), np.iinfo(pixels.dtype).max).astype(pixels.dtype)
    is_missing = np.zeros(pixels.shape[:2], bool)
    if form.missing is not None:
        is_missing = missing_pixels(pixels, stored.nodata_and(form.ignore), stored.is_measured)
    if form.value_range is not None:
        low, high = form.value_range
        if clipped is not None:
            valid = pixels[~is_missing]
            clipped[0] += int(np.count_nonzero((valid < low) | (valid > high)))
            clipped[1] += valid.size
        pixels = quantize(pixels, form.value_range)
    if {pixels.shape[2], channels} == {1, 3}:
        pixels = luma(pixels.astype(np.int32)).astype(pixels.dtype) if channels == 1 else pixels.repeat(3, 2)
    elif pixels.shape[2] != channels:
        raise DataError(f"has {counted(pixels.shape[2], 'channel')}, but {channels} are needed")
    if pixels.dtype != dtype:
        wide = pixels.astype(np.int32)
        pixels = (wide * 257 if dtype == np.uint16 else (wide + 128) // 257).astype(dtype)
    if form.missing == MIDDLE:
        pixels = np.where(is_missing[..., np.newaxis], np.array(np.iinfo(dtype).max // 2 + 1, dtype), pixels)
    elif form.missing is not None:  # pixels with a value must not equal ``missing``
        beside = np.array(form.missing - 1 if form.missing else 1, dtype)
        pixels = np.where((pixels == form.missing).all(-1, keepdims=True), beside, pixels)
        pixels = np.where(is_missing[..., np.newaxis], np.array(form.missing, dtype), pixels)
    return pixels
