"""The one reader of image files, for training, ``predict`` and everything between: Pillow, then integers.

What is read is what a viewer shows: EXIF orientation honoured, transparency over white, the first frame of
an animation; colour profiles are ignored, the numbers are taken as they are stored. All arithmetic is that of
integers, so that the same file gives the same pixels on every machine. An exported model decodes what it is
sent in its graph, to the same pixels (`pix2pix_tf.formats.saved_model.decoding`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import mimetypes
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Literal

import numpy as np
import tensorflow as tf

from pix2pix_tf.data.pictures import Picture, open_picture
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.pixels import content_digests, luma, over_white
from pix2pix_tf.data.rasters import (
    MOST_BANDS,
    Nodata,
    Numbers,
    ValueRange,
    bands_of_rows,
    declared_nodata,
    numbers_of,
    quantize,
    read_raster,
)
from pix2pix_tf.errors import DataError, SystemFault
from pix2pix_tf.wording import counted

IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi", ".png", ".apng", ".webp", ".gif", ".bmp", ".tif",
    ".tiff", ".avif", ".avifs", ".jp2", ".j2k", ".jpc", ".j2c", ".jpf", ".jpx", ".ppm", ".pgm", ".pbm",
    ".pnm", ".npy",
)  # fmt: skip

_VOLUMES = {
    ".dcm": "numpy.save(NEW, pydicom.dcmread(OLD).pixel_array)",
    ".nii": "numpy.save(NEW, nibabel.load(OLD).get_fdata()[:, :, SLICE])",
    ".mha": "numpy.save(NEW, SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(OLD))[SLICE])",
    ".nrrd": "numpy.save(NEW, nrrd.read(OLD)[0][:, :, SLICE])",
}
"""What makes an array of a medical image; a volume is cut into slices."""

KINDS = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, JPEG 2000, PNM or .npy"
"""What is read, in words."""

# 2**26 pixels (8192x8192, or a side-by-side pair of the largest 2048x2048 sixteen times over) take 200 MB
# decoded: enough for every camera, and still safe to hold on a laptop. Beyond it a file of a few bytes can
# claim gigabytes.
MAX_PIXELS = 2**26


MIDDLE = -1
"""In place of a level: the middle one, as networks are given missing pixels."""


@dataclasses.dataclass(frozen=True)
class ImageHeader:
    """What an image file says of itself before anything is decoded.

    Args:
        height: in pixels, as seen (after the EXIF orientation).
        width: likewise.
        channels: 1 (grey) or 3 (anything else) of a picture, alpha not counted; the bands of a raster.
        bits: of each sample as it is read, 8 or 16.
        values: the lowest and highest of a raster that isn't of 8-bit levels (`pix2pix_tf.data.rasters`).
        numbers: what its numbers are like, of a picture once it is decoded.
        has_alpha: whether a picture has an alpha channel, or a transparent color.
    """

    height: int
    width: int
    channels: int
    bits: Literal[8, 16]
    values: ValueRange | None = None
    numbers: Numbers | None = dataclasses.field(default=None, compare=False)
    has_alpha: bool = False


def is_image_file(path: Path) -> bool:
    """Whether a file's name is that of an image: a known suffix, and not a hidden file (``._*`` included)."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def is_unread_image(path: Path) -> bool:
    """Whether a file's name is that of an image, but of a kind that isn't read."""
    kind = mimetypes.guess_type(path.name)[0] or ""
    is_image = kind.startswith("image/") or _volume(path) is not None
    return is_image and not is_image_file(path) and not path.name.startswith(".")


def conversion(path: Path) -> str:
    """Returns how a file of an unread kind becomes one that is read."""
    code = _volume(path)
    return f"convert to .npy, in Python {code}" if code else "convert to PNG, or to TIFF"


def _volume(path: Path) -> str | None:
    suffix = path.with_suffix("").suffix if path.suffix.lower() == ".gz" else path.suffix
    return _VOLUMES.get(suffix.lower())


# ---------------------------------------------------------------- files to pixels


def read_image(
    path: Path, ignore: float | None = None
) -> tuple[ImageHeader, np.ndarray, tuple[int, int, int]]:
    """Returns what an image file is, its pixels with its own channels and depth, and their digests."""
    with _opened(path) as file, _naming(path):
        return decode_stored(file, ignore)


def decode_stored(
    file: IO[bytes], ignore: float | None = None
) -> tuple[ImageHeader, np.ndarray, tuple[int, int, int]]:
    """Decodes an open file as `read_image` does, with errors that don't name it."""
    declared = declared_nodata(file)
    ignored = [] if ignore is None else [ignore]
    if (raster := read_raster(file, MAX_PIXELS)) is not None:
        header = _raster_header(
            raster, declared + (ignored if can_ignore(raster.shape[2], raster.dtype) else [])
        )
        pixels = _of_raster(raster, header.channels, None, header.values)
        return header, pixels, content_digests(raster)
    with open_picture(file, MAX_PIXELS) as picture:
        header = _header(picture)
        pixels = _of_picture(picture, header.channels, np.uint16 if header.bits == 16 else np.uint8, None)
        nodata = Nodata(declared + (ignored if can_ignore(header.channels) else []), is_measured=False)
        header = dataclasses.replace(header, numbers=numbers_of(pixels, nodata))
        return header, pixels, content_digests(pixels)


def load_image(
    path: Path,
    channels: int,
    dtype: np.typing.DTypeLike | None = np.uint8,
    values: ValueRange | None = None,
    most_pixels: int = MAX_PIXELS,
    missing: int | None = None,
    ignore: float | None = None,
    clipped: list[int] | None = None,
) -> np.ndarray:
    """Reads and decodes an image file as `decode_image` does its bytes.

    Memory is needed for the result, for what Pillow decodes to (4 bytes a pixel of 8-bit RGB), and no more.

    Args:
        path: the file.
        channels: 1 (grey) or 3 (RGB), to which each picture is converted; or as many bands as a raster has.
        dtype: ``uint8`` or ``uint16``; ``None`` for the one of the depth that the file has.
        values: of the file's numbers, what becomes 0 and 65535; for a raster that isn't of levels.
        most_pixels: refuse more.
        missing: the level that pixels without a value get; by default they aren't looked for.
        ignore: number of such pixels, besides nodata that the file declares, NaN and infinities.
        clipped: to its two numbers are added those of the values outside of the range, and of all values.

    Returns:
        [height, width, channels].

    Raises:
        DataError: it is missing, a folder, no image, of a format that isn't read, damaged, too large, or has
            other bands.
        SystemFault: the file can't be read.
    """
    with _opened(path) as file, _naming(path):
        return _pixels(file, channels, dtype, values, most_pixels, missing, ignore, clipped)


def load_with_alpha(path: Path, most_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Reads a picture with its alpha channel, if it has one, [height, width, 1 to 4 channels]."""
    with _opened(path) as file, _naming(path), open_picture(file, most_pixels) as picture:
        turned, reversed_axes = picture.turn
        pixels = np.concatenate(list(picture.bands()))
        pixels = pixels[..., np.newaxis] if pixels.ndim == 2 else pixels
        return np.flip(pixels.swapaxes(0, 1) if turned else pixels, reversed_axes)


def decode_image(
    data: bytes,
    channels: int,
    dtype: np.typing.DTypeLike = np.uint8,
    values: ValueRange | None = None,
    missing: int | None = None,
    ignore: float | None = None,
) -> np.ndarray:
    """Decodes the bytes of an image file as a viewer would show it.

    Grey becomes RGB by repetition, RGB becomes grey by BT.601 luma, the same way for every format. 8-bit
    samples become 16-bit ones times 257, 16-bit ones become 8-bit ones divided by 257 and rounded.
    """
    return _pixels(io.BytesIO(data), channels, dtype, values, missing=missing, ignore=ignore)


def decode_in_pipeline(data: tf.Tensor, side: PixelFormat) -> tf.Tensor:
    """Decodes an image of a side as `decode_image`, eagerly or in a pipeline; ``data`` is a string scalar."""
    return _in_pipeline(decode_image, data, side)


def load_in_pipeline(path: tf.Tensor, side: PixelFormat) -> tf.Tensor:
    """Reads an image of a side as `load_image`, eagerly or in a pipeline; ``path`` is a string scalar."""
    return _in_pipeline(
        lambda name, *how, **more: load_image(Path(os.fsdecode(name)), *how, **more), path, side
    )


def _in_pipeline(read: Callable[..., np.ndarray], source: tf.Tensor, side: PixelFormat) -> tf.Tensor:
    def load(given: bytes) -> np.ndarray:
        dtype = side.dtype.as_numpy_dtype
        return read(given, side.channels, dtype, side.value_range, missing=side.missing, ignore=side.ignore)

    if tf.executing_eagerly():
        return tf.constant(load(source.numpy()))
    # Pillow lets other threads run while it decodes, so that several calls do run at once.
    image = tf.numpy_function(load, [source], side.dtype, stateful=False)
    return tf.ensure_shape(image, [None, None, side.channels])


def _pixels(
    file: IO[bytes],
    channels: int,
    dtype: np.typing.DTypeLike | None,
    values: ValueRange | None,
    most_pixels: int = MAX_PIXELS,
    missing: int | None = None,
    ignore: float | None = None,
    clipped: list[int] | None = None,
) -> np.ndarray:
    if not 1 <= channels <= MOST_BANDS or dtype not in (None, np.uint8, np.uint16):
        raise ValueError(
            f"images have 1 to {MOST_BANDS} channels of uint8 or uint16, not {channels} of {dtype}"
        )
    raster = read_raster(file, most_pixels)
    declared = [] if missing is None else declared_nodata(file)

    def nodata(stored_channels: int, stored: np.typing.DTypeLike = np.uint8) -> Nodata | None:
        if missing is None:
            return None
        ignored = [] if ignore is None or not can_ignore(stored_channels, stored) else [ignore]
        return Nodata(declared + ignored, stored != np.uint8, missing, clipped)

    if raster is not None:
        if values is None and raster.dtype != np.uint8:
            raise DataError(
                f"measurements ({raster.dtype}) of an unknown range of values; give --input-range"
            )
        return _of_raster(raster, channels, dtype, values, nodata(raster.shape[2], raster.dtype))
    with open_picture(file, most_pixels) as picture:
        depth = dtype or (np.uint16 if values or picture.bits == 16 else np.uint8)
        return _of_picture(picture, channels, depth, values, nodata(picture.channels))


def can_ignore(channels: int, stored: np.typing.DTypeLike = np.uint8) -> bool:
    """Whether `ignore` concerns an image: measurements and gray ones, not colors."""
    return channels != 3 or stored != np.uint8


def _of_picture(
    picture: Picture,
    channels: int,
    dtype: np.typing.DTypeLike,
    values: ValueRange | None,
    nodata: Nodata | None = None,
) -> np.ndarray:
    """Decodes a picture upright, [height, width, channels]."""
    turned, reversed_axes = picture.turn
    shape = (picture.width, picture.height) if turned else (picture.height, picture.width)
    pixels = np.empty((*shape, channels), dtype)
    stored = np.flip(pixels, reversed_axes)
    bands = map(_over_white, picture.bands()) if picture.has_alpha and channels in (1, 3) else picture.bands()
    _fill(stored.swapaxes(0, 1) if turned else stored, bands, values, nodata)
    return pixels


def _of_raster(
    raster: np.ndarray,
    channels: int,
    dtype: np.typing.DTypeLike | None,
    values: ValueRange | None,
    nodata: Nodata | None = None,
) -> np.ndarray:
    """Converts a raster [height, width, bands] to ``uint8`` or ``uint16``, by default as its levels need."""
    depth = dtype or (np.uint8 if raster.dtype == np.uint8 and values is None else np.uint16)
    height, width, _ = raster.shape
    pixels = np.empty((height, width, channels), depth)
    _fill(pixels, (raster[rows] for rows in bands_of_rows(width, height)), values, nodata)
    return pixels


def _fill(
    pixels: np.ndarray, bands: Iterable[np.ndarray], values: ValueRange | None, nodata: Nodata | None
) -> None:
    """Converts an image from top to bottom, some rows at a time: in between they are of wide types."""
    row = 0
    for band in bands:
        pixels[row : row + len(band)] = _converted(band, pixels.shape[2], pixels.dtype, values, nodata)
        row += len(band)


def _over_white(pixels: np.ndarray) -> np.ndarray:
    return over_white(pixels.astype(np.int64), np.iinfo(pixels.dtype).max).astype(pixels.dtype)


def _converted(
    pixels: np.ndarray, channels: int, dtype: np.dtype, values: ValueRange | None, nodata: Nodata | None
) -> np.ndarray:
    """Returns numbers [height, width] or [height, width, channels] with other channels, in another depth."""
    pixels = pixels[..., np.newaxis] if pixels.ndim == 2 else pixels
    is_missing = np.zeros(pixels.shape[:2], bool) if nodata is None else nodata.missing(pixels)
    if values is not None:
        if nodata is not None and nodata.clipped is not None:
            valid = pixels[~is_missing]
            nodata.clipped[0] += int(np.count_nonzero((valid < values[0]) | (valid > values[1])))
            nodata.clipped[1] += valid.size
        pixels = quantize(pixels, values)
    stored = pixels.shape[2]
    if {stored, channels} == {1, 3}:
        pixels = luma(pixels.astype(np.int32)).astype(pixels.dtype) if stored == 3 else pixels.repeat(3, 2)
    elif stored != channels:
        raise DataError(f"has {counted(stored, 'channel')}, where {channels} are taken")
    if pixels.dtype != dtype:
        wide = pixels.astype(np.int32)
        pixels = (wide * 257 if dtype == np.uint16 else (wide + 128) // 257).astype(dtype)
    if nodata is not None:
        level = np.iinfo(dtype).max // 2 + 1 if nodata.level == MIDDLE else nodata.level
        if nodata.level != MIDDLE:  # of a file that has this level for a value
            beside = np.array(level - 1 if level else 1, dtype)
            pixels = np.where((pixels == level).all(-1, keepdims=True), beside, pixels)
        pixels = np.where(is_missing[..., np.newaxis], np.array(level, dtype), pixels)
    return pixels


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Opens a file; what the disk says against it, now or later, is a fault of the system."""
    try:
        with path.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the path") from None
    except OSError as error:
        if path.is_dir():
            raise DataError(f"{path}: a folder, not an image; give an image file") from None
        raise SystemFault(
            f"{path}: can't be read ({error.strerror or error}); check its permissions"
        ) from None


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except MemoryError:
        raise SystemFault(f"{path}: not enough memory to read it; make the image smaller") from None


def _raster_header(raster: np.ndarray, nodata: Sequence[float]) -> ImageHeader:
    height, width, bands = raster.shape
    bits: Literal[8, 16] = 8 if raster.dtype == np.uint8 else 16
    numbers = numbers_of(raster, Nodata(nodata, is_measured=bits == 16))
    return ImageHeader(height, width, bands, bits, numbers.values if bits == 16 else None, numbers)


def _header(picture: Picture) -> ImageHeader:
    height, width = picture.height, picture.width
    return ImageHeader(
        *((width, height) if picture.turn[0] else (height, width)),
        channels=picture.channels,
        bits=picture.bits,
        has_alpha=picture.has_alpha,
    )
