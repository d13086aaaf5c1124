"""The one reader of image files, for training, ``predict`` and everything between.

What is read is what a viewer shows: upright by EXIF orientation, transparency over white, the first frame of
an animation; color profiles are ignored. Rasters (bands, measurements) become 16-bit levels of a range of
values, the same range for all images of a side, so that the rest of the program knows two types only. All
arithmetic is that of integers, so that the same file gives the same pixels on every machine. Graphs of
exported models decode to the same pixels (`pix2pix_tf.formats.saved_model.decoding`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Literal

import numpy as np
import tensorflow as tf

from pix2pix_tf.data.pixel_format import PixelFormat, ValueRange
from pix2pix_tf.data.pixels import content_digests, convert_channels, luma, over_white
from pix2pix_tf.data.reading.arrays import NPY, TIFF, open_npy, open_tiff
from pix2pix_tf.data.reading.numbers import Numbers, missing_pixels, numbers_of, quantize
from pix2pix_tf.data.reading.pillow import open_picture
from pix2pix_tf.data.reading.stored import StoredImage, explaining_damage, upright
from pix2pix_tf.errors import DataError, SystemFault
from pix2pix_tf.wording import counted

_START = {  # how a file begins, or its bytes from the fifth on, by what it is
    **dict.fromkeys(TIFF, "TIFF"), b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"RIFF": "WebP",
    b"GIF8": "GIF", b"BM": "BMP", b"jP  ": "JPEG 2000", b"8BPS": "Photoshop", b"\xff\x0a": "JPEG XL",
    b"JXL ": "JPEG XL", b"ftypheic": "HEIC", b"ftypheix": "HEIC", b"ftypmif1": "HEIC", b"ftypmsf1": "HEIC",
}  # fmt: skip
_UNREAD = ("Photoshop", "JPEG XL", "HEIC")

# 2**26 pixels (8192x8192, or a side-by-side pair of the largest 2048x2048 sixteen times over) take 200 MB
# decoded: enough for every camera, and still safe to hold on a laptop. Beyond it a file of a few bytes can
# claim gigabytes.
MAX_PIXELS = 2**26

MIDDLE = -1
"""As `PixelFormat.missing`: the middle level, which networks are given for missing pixels."""


@dataclasses.dataclass(frozen=True)
class ImageHeader:
    """What an image file is like."""

    height: int  # as seen, after the EXIF orientation
    width: int
    channels: int  # 1 (gray) or 3 (anything else) of a picture, alpha not counted; the bands of a raster
    bits: Literal[8, 16]  # of each sample as it is read
    values: ValueRange | None = None  # the lowest and the highest, if it holds measurements
    numbers: Numbers | None = dataclasses.field(default=None, compare=False)
    has_alpha: bool = False  # whether a picture has an alpha channel, or a transparent color

    def nodata_level(self, bits: int) -> int | None:
        """Returns the level of its missing pixels in an image of so many bits, if nodata is a level of it."""
        if self.numbers is None or self.numbers.nodata is None:
            return None
        return int(self.numbers.nodata) * (257 if self.bits < bits else 1)


# ---------------------------------------------------------------- files to pixels


def read_image(source: Path | bytes, form: PixelFormat, most_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Reads and decodes an image file, or the bytes of one, as a viewer would show it.

    Gray becomes RGB by repetition, RGB becomes gray by BT.601 luma, the same way for every format. 8-bit
    samples become 16-bit ones times 257, 16-bit ones become 8-bit ones divided by 257 and rounded. Missing
    pixels are looked for if the format has a level for them.

    Returns:
        [height, width, channels] of the format's type.

    Raises:
        DataError: it is missing, a folder, no image, of a format that isn't read, damaged, too large, or has
            other bands.
        SystemFault: the file can't be read.
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
    """Reads an image as models take it: as `read_image`, but in the file's own depth if that is larger.

    Missing pixels get the format's level, or the middle one. If ``with_alpha``, alpha is the last channel,
    else it is laid over white. To the two numbers of ``clipped`` are added those of the values outside of the
    range, and of all values.
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
    """Reads a picture with its alpha channel, if it has one, [height, width, 1 to 4 channels]."""
    with _opened(path, most_pixels) as stored:
        if stored.raster is not None:
            raise DataError("bands or measurements, which have no alpha; give a gray or RGB picture")
        pixels = np.concatenate(list(stored.rows()))
        return upright(pixels[..., np.newaxis] if pixels.ndim == 2 else pixels, stored.orientation)


def inspect_image(
    source: Path | bytes, ignore: float | None = None
) -> tuple[ImageHeader, np.ndarray, tuple[int, int, int]]:
    """Returns what an image file is like, its pixels with its own channels and depth, and their digests."""
    with _opened(source, MAX_PIXELS) as stored:
        nodata = stored.nodata_and(ignore)
        form = PixelFormat(stored.channels)
        if stored.raster is not None:
            numbers = numbers_of(stored.raster, nodata, stored.is_measured)
            values = numbers.values if stored.is_measured else None
            pixels = _converted(stored, dataclasses.replace(form, value_range=values), stored.bits)
            digests = content_digests(stored.raster)
        else:
            pixels, values = _converted(stored, form, stored.bits), None
            numbers, digests = numbers_of(pixels, nodata, is_measured=False), content_digests(pixels)
        height, width, channels = pixels.shape
        header = ImageHeader(height, width, channels, stored.bits, values, numbers, stored.has_alpha)
        return header, pixels, digests


def decode_in_pipeline(data: tf.Tensor, form: PixelFormat) -> tf.Tensor:
    """Decodes the bytes of a file as `read_image`, eagerly or in a pipeline; ``data`` is a string scalar."""
    return _in_pipeline(lambda given: read_image(given, form), data, form)


def load_in_pipeline(path: tf.Tensor, form: PixelFormat) -> tf.Tensor:
    """Reads a file as `read_image`, eagerly or in a pipeline; ``path`` is a string scalar."""
    return _in_pipeline(lambda name: read_image(Path(os.fsdecode(name)), form), path, form)


def _in_pipeline(read: Callable[[bytes], np.ndarray], source: tf.Tensor, form: PixelFormat) -> tf.Tensor:
    if tf.executing_eagerly():
        return tf.constant(read(source.numpy()))
    # Pillow lets other threads run while it decodes, so that several calls do run at once.
    image = tf.numpy_function(read, [source], form.dtype, stateful=False)
    return tf.ensure_shape(image, [None, None, form.channels])


# ---------------------------------------------------------------- opening


@contextlib.contextmanager
def _opened(source: Path | bytes, most_pixels: int) -> Iterator[StoredImage]:
    """Opens an image file, or the bytes of one; errors, now and while it is decoded, name the file."""
    if isinstance(source, bytes):
        with _decoding(io.BytesIO(source), most_pixels) as stored:
            yield stored
        return
    try:
        with source.open("rb") as file, _decoding(file, most_pixels) as stored:
            yield stored
    except DataError as error:
        raise DataError(f"{source}: {error}") from None
    except MemoryError:
        raise SystemFault(f"{source}: not enough memory to read it; make the image smaller") from None
    except FileNotFoundError:
        raise DataError(f"{source}: no such file; check the path") from None
    except OSError as error:  # what the disk says
        if source.is_dir():
            raise DataError(f"{source}: a folder, not an image; give an image file") from None
        raise SystemFault(
            f"{source}: can't be read ({error.strerror or error}); check its permissions"
        ) from None


@contextlib.contextmanager
def _decoding(file: IO[bytes], most_pixels: int) -> Iterator[StoredImage]:
    start = file.read(32)
    file.seek(0)
    with explaining_damage(_why_unreadable(start)):
        nodata: tuple[float, ...] = ()
        stored = None
        if start.startswith(NPY):
            stored = open_npy(file, most_pixels)
        elif start.startswith(TIFF):
            stored, nodata = open_tiff(file, most_pixels)
            file.seek(0)
        yield stored or dataclasses.replace(open_picture(file, most_pixels), nodata=nodata)


def _why_unreadable(start: bytes) -> str:
    if not start:
        return "empty file (0 bytes); replace or delete it"
    if start.startswith(NPY):
        return "damaged or truncated .npy, or one of Python's objects; save it again"
    found = (kind for magic, kind in _START.items() if start.startswith(magic) or start.startswith(magic, 4))
    kind = next(found, None)
    if kind in _UNREAD:
        return f"{kind} images are not supported; convert it to PNG or JPEG"
    why = f"damaged or truncated {kind} image" if kind else "not an image, whatever its name says"
    return f"{why}; replace or delete it"


# ---------------------------------------------------------------- conversion


def _converted(
    stored: StoredImage, form: PixelFormat, bits: int, clipped: list[int] | None = None
) -> np.ndarray:
    """Decodes an image upright, [height, width, channels], with the channels of a format and so many bits.

    Some rows at a time: in between they are of wide types.
    """
    if stored.is_measured and form.value_range is None:
        assert stored.raster is not None
        raise DataError(
            f"measurements ({stored.raster.dtype}) of an unknown range of values; give --input-range"
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
        raise DataError(f"has {counted(pixels.shape[2], 'channel')}, where {channels} are taken")
    if pixels.dtype != dtype:
        wide = pixels.astype(np.int32)
        pixels = (wide * 257 if dtype == np.uint16 else (wide + 128) // 257).astype(dtype)
    if form.missing == MIDDLE:
        pixels = np.where(is_missing[..., np.newaxis], np.array(np.iinfo(dtype).max // 2 + 1, dtype), pixels)
    elif form.missing is not None:  # a file may have this level as a value
        beside = np.array(form.missing - 1 if form.missing else 1, dtype)
        pixels = np.where((pixels == form.missing).all(-1, keepdims=True), beside, pixels)
        pixels = np.where(is_missing[..., np.newaxis], np.array(form.missing, dtype), pixels)
    return pixels
