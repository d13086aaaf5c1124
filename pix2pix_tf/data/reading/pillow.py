"""Pictures by Pillow: opened without trust, and decoded from top to bottom in bands, which saves memory."""

from __future__ import annotations

import os
import re
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import IO

import numpy as np
import tensorflow as tf
from PIL import Image, ImageFile

from pix2pix_tf.data.reading.stored import StoredImage, bands_of_rows, in_bands, to_16_bits
from pix2pix_tf.errors import DataError

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
"""What is read, by Pillow's names. (Others that Pillow knows run programs, such as Ghostscript.)"""

# How many pixels a byte can hold at most, by Pillow's codec: a bit each, of which zip can pack 1032 into one.
_PIXELS_A_BYTE = {"raw": 8, "ppm": 8, "ppm_plain": 8, "zip": 8 * 1032}
_BOUNDED = ("PPM", "BMP", "TIFF", "PNG")  # AVIF and WebP are "raw" behind decoders of their own
_GRAY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N")
_ORIENTATION = 0x0112
# Pillow's limit on pixels is global; it is lifted while a file is opened, because there is one here.
_pillow_lock = threading.Lock()
warnings.filterwarnings("ignore", module="PIL")  # its opinion of a file's metadata


def open_picture(file: IO[bytes], most_pixels: int) -> StoredImage:
    """Opens an image without decoding it: it is decoded in bands while the file is open."""
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
    is_deep = highest > 255
    return StoredImage(
        width,
        height,
        channels=1 if image.mode in _GRAY_MODES else 3,
        bits=16 if is_deep else 8,
        rows=lambda: (
            in_bands(to_16_bits(decode(image, file, highest), highest)) if is_deep else _eight_bits(image)
        ),
        has_alpha=image.has_transparency_data,
        orientation=_orientation(image),
    )


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
        factor = {"L;2": 85, "L;4": 17}.get(_raw_mode(image), 1)
        if factor > 1:
            image.info["transparency"] *= factor
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
