"""Images by Pillow: opened without trust, and decoded from top to bottom in bands, which saves memory."""

from __future__ import annotations

import os
import re
import struct
import threading
import warnings
from collections.abc import Iterator
from typing import IO

import numpy as np
import tensorflow as tf
from PIL import Image, ImageFile

from pix2pix_tf.data.reading.stored import StoredImage, bands_of_rows, in_bands, to_16_bits
from pix2pix_tf.errors import DataError

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
"""Accepted formats, by Pillow's names. (Other formats of Pillow run programs, such as Ghostscript.)"""

# Largest number of pixels per byte, by Pillow's codec: a bit each, of which zip can pack 1032 into one.
_PIXELS_PER_BYTE = {"raw": 8, "ppm": 8, "ppm_plain": 8, "zip": 8 * 1032}
_BOUNDED = ("PPM", "BMP", "TIFF", "PNG")  # AVIF and WebP are "raw" behind decoders of their own
_GRAY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N")
_ORIENTATION = 0x0112
# Pillow's limit on pixels is global; it is lifted while a file is opened, because there is one here.
_pillow_lock = threading.Lock()
warnings.filterwarnings("ignore", module="PIL")  # about metadata


def open_with_pillow(file: IO[bytes], most_pixels: int) -> StoredImage:
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
    per_byte = _PIXELS_PER_BYTE.get(image.tile[0].codec_name) if image.tile else None
    if per_byte and image.format in _BOUNDED:
        position, size = file.tell(), file.seek(0, os.SEEK_END)
        file.seek(position)
        if width * height > per_byte * size:
            raise ValueError("pixels are missing")  # decoding would allocate memory for all of them first
    highest = _highest_sample(image, file)
    is_deep = highest > 255
    return StoredImage(
        width,
        height,
        channels=1 if image.mode in _GRAY_MODES else 3,
        bits=16 if is_deep else 8,
        rows=lambda: (
            in_bands(to_16_bits(_decode_deep(image, file, highest), highest))
            if is_deep
            else _eight_bits(image)
        ),
        has_alpha=image.has_transparency_data,
        orientation=_orientation(image),
    )


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
    """Decodes an image of at most 8 bits in bands, uint8 [rows, width, 2 to 4] or [rows, width]."""
    mode, is_transparent = image.mode, image.has_transparency_data
    if is_transparent:
        # Pillow scales 2-bit and 4-bit samples to 8 bits, but not the transparent value.
        factor = {"L;2": 85, "L;4": 17}.get(_raw_mode(image), 1)
        if factor > 1:
            image.info["transparency"] *= factor
        wanted = "LA" if mode in ("L", "LA") else "RGBA"
    else:
        wanted = "L" if mode in _GRAY_MODES else "RGB"
    bands = list(bands_of_rows(*image.size))
    for rows in bands:
        band = image.crop((0, rows.start, image.width, rows.stop)) if len(bands) > 1 else image
        if mode == "CMYK":  # as common with libjpeg; Pillow rounds differently
            inks = 255 - np.asarray(band).astype(np.int32)
            yield (inks[..., :3] * inks[..., 3:] // 255).astype(np.uint8)
        else:
            yield np.asarray(band if band.mode == wanted else band.convert(wanted))


# ---------------------------------------------------------------- more than 8 bits


def _highest_sample(image: ImageFile.ImageFile, file: IO[bytes]) -> int:
    """Returns the highest value that a sample may have."""
    if image.format == "JPEG2000":
        file.seek(0)
        data = file.read()
        size = data.index(b"\xff\x4f\xff\x51")  # the markers that begin the codestream: SOC, SIZ
        right, bottom, left, top = struct.unpack_from(">4I", data, size + 8)
        if (right - left, bottom - top) != image.size:
            raise ValueError("more pixels than the header says")
        return 2 ** ((data[size + 42] & 127) + 1) - 1
    if image.format == "PPM" and image.mode == "RGB" and isinstance(image.tile[0].args, tuple):
        return int(image.tile[0].args[1])
    # "BGR;16" is a color of 16 bits, of BMP; in other formats each sample has as many.
    is_deep = image.mode[0] in "IF" or (";16" in _raw_mode(image) and image.format != "BMP")
    return 65535 if is_deep else 255


def _decode_deep(image: ImageFile.ImageFile, file: IO[bytes], highest: int) -> np.ndarray:
    """Decodes more than 8 bits per sample.

    Pillow cuts colors to 8 bits, and forgets which 16-bit gray is transparent.
    """
    if image.format == "PNG":
        file.seek(0)
        return tf.io.decode_png(file.read(), 4 if image.has_transparency_data else 0, tf.uint16).numpy()
    if image.format == "PPM" and image.mode == "RGB":
        file.seek(image.tile[0].offset)
        if image.tile[0].codec_name == "ppm_plain":
            samples = np.array(re.sub(rb"#.*", b"", file.read()).split()).astype(np.uint16)
        else:
            samples = np.frombuffer(file.read(image.width * image.height * 6), ">u2")
        return samples.reshape(image.height, image.width, 3)
    if image.format == "PPM" and image.mode != "F":
        return np.asarray(image)
    if image.format == "JPEG2000" and image.mode == "I;16":  # shifted to 16 bits by Pillow
        return np.asarray(image) >> (16 - highest.bit_length())
    if image.format == "JPEG2000":
        import imagecodecs

        file.seek(0)
        return imagecodecs.jpeg2k_decode(file.read())
    raise DataError("more than 8 bits a sample that would be cut to 8; save it as RGB in PNG or TIFF")
