"""Pictures by Pillow: opened without trust, and decoded from top to bottom in bands.

A band at a time, because what Pillow decodes to is large already where a picture is.
"""

from __future__ import annotations

import contextlib
import os
import struct
import threading
import warnings
from collections.abc import Iterator
from typing import IO

import numpy as np
import tensorflow as tf
from PIL import Image, ImageFile

from pix2pix_tf.data.rasters import bands_of_rows, explaining_damage, read_tiff
from pix2pix_tf.errors import DataError

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
"""What is read, by Pillow's names. (Others that Pillow knows run programs, such as Ghostscript.)"""

# How many pixels a byte can hold at most, by Pillow's codec: a bit each, of which zip can pack 1032 into one.
_PIXELS_A_BYTE = {"raw": 8, "ppm": 8, "ppm_plain": 8, "zip": 8 * 1032}
_BOUNDED = ("PPM", "BMP", "TIFF", "PNG")  # AVIF and WebP are "raw" behind decoders of their own
_GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N")
_ORIENTATION = 0x0112
_UPRIGHT: tuple[bool, tuple[int, ...]] = (False, ())
_TURNS = {  # by EXIF orientation, see `turn`
    2: (False, (1,)), 3: (False, (0, 1)), 4: (False, (0,)),
    5: (True, ()), 6: (True, (1,)), 7: (True, (0, 1)), 8: (True, (0,)),
}  # fmt: skip
_MAGIC = {
    b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"RIFF": "WebP", b"GIF8": "GIF", b"BM": "BMP",
    b"II*\0": "TIFF", b"MM\0*": "TIFF", b"\0\0\0\x0cjP  ": "JPEG 2000",
}  # fmt: skip
_UNREAD_MAGIC = {b"8BPS": "Photoshop", b"\xff\x0a": "JPEG XL", b"\0\0\0\x0cJXL ": "JPEG XL"}
# Pillow's limit on pixels is global; it is lifted for the moment of opening, as there is one here.
_pillow_lock = threading.Lock()
warnings.filterwarnings("ignore", module="PIL")  # what it thinks of a file's metadata


@contextlib.contextmanager
def open_picture(file: IO[bytes], most_pixels: int) -> Iterator[ImageFile.ImageFile]:
    """Opens an image without decoding it; whatever goes wrong, then or later, is the file's fault.

    Raises:
        DataError: without the file's name.
    """
    start = file.read(32)
    file.seek(0)
    with explaining_damage(_why_unreadable(start)):
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
        yield image


def _size(file: IO[bytes]) -> int:
    at = file.tell()
    size = file.seek(0, os.SEEK_END)
    file.seek(at)
    return size


def is_deep(image: ImageFile.ImageFile) -> bool:
    """Whether samples have 16 bits, by how Pillow is about to read them."""
    return image.mode.startswith("I") or any(";16" in str(tile.args) for tile in image.tile)


def turn(image: ImageFile.ImageFile) -> tuple[bool, tuple[int, ...]]:
    """Whether height and width change places, and which axes are reversed after that."""
    # Image.getexif would decode a PNG to look behind its pixels.
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
        return _TURNS.get(int(exif.get(_ORIENTATION, 1)), _UPRIGHT)
    except (SyntaxError, ValueError, TypeError, KeyError, struct.error):
        return _UPRIGHT


def is_grey(image: ImageFile.ImageFile) -> bool:
    """Whether a picture has no colours, alpha not counted."""
    return image.mode in _GREY_MODES


def stored_bands(image: ImageFile.ImageFile, file: IO[bytes]) -> Iterator[np.ndarray]:
    """The samples of a picture from top to bottom, [rows, width, 2 to 4] or [rows, width]."""
    return _sixteen_bits(image, file) if is_deep(image) else _eight_bits(image)


def _eight_bits(image: ImageFile.ImageFile) -> Iterator[np.ndarray]:
    """The samples of an image of at most 8 bits in bands, uint8 [rows, width, 2 to 4] or [rows, width]."""
    mode, is_transparent = image.mode, image.has_transparency_data
    if is_transparent:
        # Pillow spreads the levels of 2 and 4 bits over 8, but not the one that is transparent.
        spread = {"L;2": 85, "L;4": 17}.get(str(image.tile[0].args) if image.tile else "", 1)
        if spread > 1:
            image.info["transparency"] *= spread
        wanted = "LA" if mode in ("L", "LA") else "RGBA"
    else:
        wanted = "L" if mode in _GREY_MODES else "RGB"
    bands = list(bands_of_rows(*image.size))
    for rows in bands:
        band = image.crop((0, rows.start, image.width, rows.stop)) if len(bands) > 1 else image
        if mode == "CMYK":  # as libjpeg's users do it; Pillow rounds otherwise
            inks = 255 - np.asarray(band).astype(np.int32)
            yield (inks[..., :3] * inks[..., 3:] // 255).astype(np.uint8)
        else:
            yield np.asarray(band if band.mode == wanted else band.convert(wanted))


def _sixteen_bits(image: ImageFile.ImageFile, file: IO[bytes]) -> Iterator[np.ndarray]:
    """The samples of a 16-bit image in bands, uint16 [rows, width, 1 to 4] or [rows, width]."""
    if image.mode.startswith("I") and image.format != "PNG":
        for rows in bands_of_rows(*image.size):
            yield np.asarray(image.crop((0, rows.start, image.width, rows.stop))).astype(np.uint16)
        return
    file.seek(0)  # Pillow cuts colours of 16 bits to 8, and forgets which grey of 16 bits is transparent
    if image.format == "TIFF":
        whole = read_tiff(file, image.width * image.height)
    else:
        channels = 4 if image.has_transparency_data else 0
        whole = tf.io.decode_png(file.read(), channels, tf.uint16).numpy()
    yield from (whole[rows] for rows in bands_of_rows(*image.size))


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
