"""Pictures by Pillow: opened without trust, and decoded from top to bottom in bands.

A band at a time, because what Pillow decodes to is large already where a picture is.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import IO, Literal, NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image, ImageFile

from pix2pix_tf.data.rasters import (
    Turn,
    bands_of_rows,
    explaining_damage,
    kind_of_tiff,
    read_tiff,
    spread,
    turn_of,
)
from pix2pix_tf.errors import DataError

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
"""What is read, by Pillow's names. (Others that Pillow knows run programs, such as Ghostscript.)"""

# How many pixels a byte can hold at most, by Pillow's codec: a bit each, of which zip can pack 1032 into one.
_PIXELS_A_BYTE = {"raw": 8, "ppm": 8, "ppm_plain": 8, "zip": 8 * 1032}
_BOUNDED = ("PPM", "BMP", "TIFF", "PNG")  # AVIF and WebP are "raw" behind decoders of their own
_GRAY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N")
_ORIENTATION = 0x0112
_MAGIC = {
    b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"RIFF": "WebP", b"GIF8": "GIF", b"BM": "BMP",
    b"II*\0": "TIFF", b"MM\0*": "TIFF", b"\0\0\0\x0cjP  ": "JPEG 2000",
}  # fmt: skip
_UNREAD_MAGIC = {b"8BPS": "Photoshop", b"\xff\x0a": "JPEG XL", b"\0\0\0\x0cJXL ": "JPEG XL"}
# Pillow's limit on pixels is global; it is lifted for the moment of opening, as there is one here.
_pillow_lock = threading.Lock()
warnings.filterwarnings("ignore", module="PIL")  # what it thinks of a file's metadata


class Picture(NamedTuple):
    """A picture before it is decoded, and what its decoder leaves to do.

    Args:
        width: as stored.
        height: as stored.
        channels: 1 (gray) or 3 (RGB), alpha not counted.
        has_alpha: whether alpha is behind them.
        bits: of each sample.
        turn: what makes it upright.
        bands: decodes it from top to bottom, [rows, width, channels] or [rows, width].
    """

    width: int
    height: int
    channels: int
    has_alpha: bool
    bits: Literal[8, 16]
    turn: Turn
    bands: Callable[[], Iterator[np.ndarray]]


@contextlib.contextmanager
def open_picture(file: IO[bytes], most_pixels: int) -> Iterator[Picture]:
    """Opens an image without decoding it; whatever goes wrong, then or later, is the file's fault.

    Raises:
        DataError: without the file's name.
    """
    start = file.read(32)
    file.seek(0)
    with explaining_damage(_why_unreadable(start)):
        if kind_of_tiff(file) == "deep":
            pixels = read_tiff(file, most_pixels)
            height, width, samples = pixels.shape
            channels, has_alpha = (samples - 1, True) if samples in (2, 4) else (samples, False)
            yield Picture(width, height, channels, has_alpha, 16, turn_of(1), lambda: _in_bands(pixels))
            return
        with _pillow_lock:
            limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                image = Image.open(file, formats=_FORMATS)
            finally:
                Image.MAX_IMAGE_PIXELS = limit
        width, height = image.size
        if width * height > most_pixels:
            raise DataError(
                f"{width}x{height} pixels, more than the limit of {most_pixels}; make the image smaller"
            )
        a_byte = _PIXELS_A_BYTE.get(image.tile[0].codec_name) if image.tile else None
        if a_byte and image.format in _BOUNDED and width * height > a_byte * _size(file):
            raise ValueError("pixels are missing")  # memory would be taken for all of them first
        highest_of, decode = _DECODERS.get(image.format or "", (_highest_by_mode, _refuse))
        highest = highest_of(image, file)
        yield Picture(
            width,
            height,
            channels=1 if image.mode in _GRAY_MODES else 3,
            has_alpha=image.has_transparency_data,
            bits=16 if highest > 255 else 8,
            turn=turn_of(_orientation(image)),
            bands=lambda: (
                _in_bands(spread(decode(image, file, highest), highest))
                if highest > 255
                else _eight_bits(image)
            ),
        )


def _in_bands(pixels: np.ndarray) -> Iterator[np.ndarray]:
    return (pixels[rows] for rows in bands_of_rows(pixels.shape[1], len(pixels)))


def _size(file: IO[bytes]) -> int:
    at = file.tell()
    size = file.seek(0, os.SEEK_END)
    file.seek(at)
    return size


def _orientation(image: ImageFile.ImageFile) -> int:
    # Image.getexif would decode a PNG to look behind its pixels. Pillow turns a TIFF by itself.
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
        return int(exif.get(_ORIENTATION, 1))
    except (SyntaxError, ValueError, TypeError, KeyError, struct.error):
        return 1


def _raw_mode(image: ImageFile.ImageFile) -> str:
    """Returns how samples are stored, as Pillow writes it: ``RGB;16B``."""
    args = image.tile[0].args if image.tile else ""
    return str(args[0] if isinstance(args, tuple) and args else args)


def _eight_bits(image: ImageFile.ImageFile) -> Iterator[np.ndarray]:
    """The samples of an image of at most 8 bits in bands, uint8 [rows, width, 2 to 4] or [rows, width]."""
    mode, is_transparent = image.mode, image.has_transparency_data
    if is_transparent:
        # Pillow spreads the levels of 2 and 4 bits over 8, but not the one that is transparent.
        spread = {"L;2": 85, "L;4": 17}.get(_raw_mode(image), 1)
        if spread > 1:
            image.info["transparency"] *= spread
        wanted = "LA" if mode in ("L", "LA") else "RGBA"
    else:
        wanted = "L" if mode in _GRAY_MODES else "RGB"
    bands = list(bands_of_rows(*image.size))
    for rows in bands:
        band = image.crop((0, rows.start, image.width, rows.stop)) if len(bands) > 1 else image
        if mode == "CMYK":  # as libjpeg's users do it; Pillow rounds otherwise
            inks = 255 - np.asarray(band).astype(np.int32)
            yield (inks[..., :3] * inks[..., 3:] // 255).astype(np.uint8)
        else:
            yield np.asarray(band if band.mode == wanted else band.convert(wanted))


# ---------------------------------------------------------------- more than 8 bits


def _highest_by_mode(image: ImageFile.ImageFile, file: IO[bytes]) -> int:
    """Returns the highest level that a sample may have, by how Pillow is about to read it."""
    # "BGR;16" is a color of 16 bits, of BMP; in other formats each sample has as many.
    is_deep = image.mode[0] in "IF" or (";16" in _raw_mode(image) and image.format != "BMP")
    return 65535 if is_deep else 255


def _refuse(image: ImageFile.ImageFile, file: IO[bytes], highest: int) -> np.ndarray:
    raise DataError("more than 8 bits a sample that would be cut to 8; save it as RGB in PNG or TIFF")


def _decode_png(image: ImageFile.ImageFile, file: IO[bytes], highest: int) -> np.ndarray:
    file.seek(0)
    return tf.io.decode_png(file.read(), 4 if image.has_transparency_data else 0, tf.uint16).numpy()


def _highest_of_ppm(image: ImageFile.ImageFile, file: IO[bytes]) -> int:
    args = image.tile[0].args
    return int(args[1]) if image.mode == "RGB" and isinstance(args, tuple) else _highest_by_mode(image, file)


def _decode_ppm(image: ImageFile.ImageFile, file: IO[bytes], highest: int) -> np.ndarray:
    if image.mode != "RGB":
        return np.asarray(image) if image.mode != "F" else _refuse(image, file, highest)
    file.seek(image.tile[0].offset)
    if image.tile[0].codec_name == "ppm_plain":
        samples = np.array(re.sub(rb"#.*", b"", file.read()).split()).astype(np.uint16)
    else:
        samples = np.frombuffer(file.read(image.width * image.height * 6), ">u2")
    return samples.reshape(image.height, image.width, 3)


def _highest_of_jpeg2000(image: ImageFile.ImageFile, file: IO[bytes]) -> int:
    file.seek(0)
    data = file.read()
    size = data.index(b"\xff\x4f\xff\x51")  # the markers that begin the codestream: SOC, SIZ
    right, bottom, left, top = struct.unpack_from(">4I", data, size + 8)
    if (right - left, bottom - top) != image.size:
        raise ValueError("more pixels than the header says")
    return 2 ** ((data[size + 42] & 127) + 1) - 1


def _decode_jpeg2000(image: ImageFile.ImageFile, file: IO[bytes], highest: int) -> np.ndarray:
    if image.mode == "I;16":  # shifted to 16 bits by Pillow
        return np.asarray(image) >> (16 - highest.bit_length())
    import imagecodecs

    file.seek(0)
    return imagecodecs.jpeg2k_decode(file.read())


# By Pillow's format: the highest level of a picture's samples, and what decodes it where that is above 255,
# since Pillow cuts colors to 8 bits, and forgets which gray of 16 bits is transparent.
_DECODERS: dict[
    str,
    tuple[
        Callable[[ImageFile.ImageFile, IO[bytes]], int],
        Callable[[ImageFile.ImageFile, IO[bytes], int], np.ndarray],
    ],
] = {
    "PNG": (_highest_by_mode, _decode_png),
    "PPM": (_highest_of_ppm, _decode_ppm),
    "JPEG2000": (_highest_of_jpeg2000, _decode_jpeg2000),
}


def _why_unreadable(start: bytes) -> str:
    for magic, name in _UNREAD_MAGIC.items():
        if start.startswith(magic):
            return f"{name} images are not supported; convert it to PNG or JPEG"
    if start[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypmsf1"):
        return "HEIC images are not supported; convert it to PNG or JPEG"
    if not start:
        return "empty file (0 bytes); replace or delete it"
    for magic, name in _MAGIC.items():
        if start.startswith(magic):
            return f"damaged or truncated {name} image; replace or delete it"
    return "not an image, whatever its name says; replace or delete it"
