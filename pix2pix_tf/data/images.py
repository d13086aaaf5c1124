"""The one reader of image files, for training, ``predict`` and everything between: Pillow, then integers.

What is read is what a viewer shows: EXIF orientation honoured, transparency over white, the first frame of
an animation; colour profiles are ignored, the numbers are taken as they are stored. All arithmetic is that of
integers, so that the same file gives the same pixels on every machine. An exported model decodes what it is
sent in its graph, to the same pixels (`pix2pix_tf.exporting.formats.saved_model.decoding`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import mimetypes
import os
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Literal

import numpy as np
import tensorflow as tf
from PIL import Image, ImageFile

from pix2pix_tf.data.pixels import luma, over_white
from pix2pix_tf.errors import DataError, SystemFault

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
"""What is read, by Pillow's names. (Others that Pillow knows run programs, such as Ghostscript.)"""

IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".jp2", ".j2k",
    ".ppm", ".pgm", ".pbm",
)  # fmt: skip

KINDS = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, JPEG 2000 or PNM"
"""What is read, in words."""

# 2**26 pixels (8192x8192, or a side-by-side pair of the largest 2048x2048 sixteen times over) take 200 MB
# decoded: enough for every camera, and still safe to hold on a laptop. Beyond it a file of a few bytes can
# claim gigabytes.
MAX_PIXELS = 2**26

_GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N")
_ORIENTATION = 0x0112
_Turn = tuple[bool, tuple[int, ...]]
_UPRIGHT: _Turn = (False, ())
_TURNS = {  # by EXIF orientation, see `_turn`
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


@dataclasses.dataclass(frozen=True)
class ImageHeader:
    """What an image file says of itself before anything is decoded.

    Args:
        format: one of `FORMATS`.
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


def is_image_file(path: Path) -> bool:
    """Whether a file's name is that of an image: a known suffix, and not a hidden file (``._*`` included)."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def is_unread_image(path: Path) -> bool:
    """Whether a file's name is that of an image, but of a kind that isn't read."""
    kind = mimetypes.guess_type(path.name)[0] or ""
    return kind.startswith("image/") and not is_image_file(path) and not path.name.startswith(".")


# ---------------------------------------------------------------- files to pixels


def read_header(path: Path) -> ImageHeader:
    """Reads what an image file says of itself, without decoding it.

    Raises:
        DataError: it is missing, a folder, empty, no image, of a format that isn't read, or has more than
            `MAX_PIXELS` pixels.
        SystemFault: it can't be read.
    """
    with _opened(path) as file, _naming(path), _open(file) as image:
        return _header(image)


def read_image(path: Path) -> tuple[ImageHeader, np.ndarray]:
    """Reads and decodes an image file as it is, in one opening.

    Returns:
        What it says of itself, and its pixels as `decode_image` gives them, with the file's own channels and
        depth.

    Raises:
        DataError: as `load_image`.
        SystemFault: the file can't be read.
    """
    with _opened(path) as file, _naming(path):
        header, stored, turn = _read(file)
    dtype = np.dtype(np.uint16 if header.bits == 16 else np.uint8)
    return header, _arranged(stored, turn, header.channels, dtype)


def load_image(path: Path, channels: int, dtype: np.typing.DTypeLike = np.uint8) -> np.ndarray:
    """Reads and decodes an image file as `decode_image` does its bytes.

    Raises:
        DataError: as `read_header`, or the image is damaged or truncated.
        SystemFault: the file can't be read.
    """
    with _opened(path) as file, _naming(path):
        return _pixels(file, channels, np.dtype(dtype))


def decode_image(data: bytes, channels: int, dtype: np.typing.DTypeLike = np.uint8) -> np.ndarray:
    """Decodes the bytes of an image file as a viewer would show it.

    Grey becomes RGB by repetition, RGB becomes grey by BT.601 luma, the same way for every format. 8-bit
    samples become 16-bit ones times 257, 16-bit ones become 8-bit ones divided by 257 and rounded.

    Args:
        data: of a file of one of `FORMATS`.
        channels: 1 (grey) or 3 (RGB).
        dtype: ``uint8`` or ``uint16``.

    Returns:
        ``dtype`` [height, width, channels], each value in the full range of ``dtype``.

    Raises:
        DataError: the bytes are no image, a damaged one, or one of more than `MAX_PIXELS` pixels.
    """
    return _pixels(io.BytesIO(data), channels, np.dtype(dtype))


def decode_in_pipeline(data: tf.Tensor, channels: int, dtype: tf.DType = tf.uint8) -> tf.Tensor:
    """Decodes as `decode_image`, eagerly or as an operation of a ``tf.data`` pipeline.

    Args:
        data: string scalar, the bytes of the file.
        channels: 1 (grey) or 3 (RGB).
        dtype: ``tf.uint8`` or ``tf.uint16``.

    Returns:
        ``dtype`` tensor [height, width, channels].
    """
    return _in_pipeline(decode_image, data, channels, dtype)


def load_in_pipeline(path: tf.Tensor, channels: int, dtype: tf.DType = tf.uint8) -> tf.Tensor:
    """Reads as `load_image`, eagerly or as an operation; ``path`` is a string scalar."""
    return _in_pipeline(lambda name, *kind: load_image(Path(os.fsdecode(name)), *kind), path, channels, dtype)


def _in_pipeline(
    read: Callable[[bytes, int, np.dtype], np.ndarray], source: tf.Tensor, channels: int, dtype: tf.DType
) -> tf.Tensor:
    kind = (channels, np.dtype(dtype.as_numpy_dtype))
    if tf.executing_eagerly():
        return tf.constant(read(source.numpy(), *kind))
    # Pillow lets other threads run while it decodes, so that several calls do run at once.
    image = tf.numpy_function(lambda given: read(given, *kind), [source], dtype, stateful=False)
    return tf.ensure_shape(image, [None, None, channels])


def _pixels(file: IO[bytes], channels: int, dtype: np.dtype) -> np.ndarray:
    if channels not in (1, 3) or dtype not in (np.uint8, np.uint16):
        raise ValueError(f"images have 1 or 3 channels of uint8 or uint16, not {channels} of {dtype}")
    _, stored, turn = _read(file)
    return _arranged(stored, turn, channels, dtype)


def _read(file: IO[bytes]) -> tuple[ImageHeader, np.ndarray, _Turn]:
    """The header, the samples as stored ([height, width, 2 to 4] or [height, width]), and the turn."""
    with _open(file) as image:
        header, turn = _header(image), _turn(image)
        return header, _sixteen_bits(image, file) if _is_deep(image) else _eight_bits(image), turn


def _arranged(stored: np.ndarray, turn: _Turn, channels: int, dtype: np.dtype) -> np.ndarray:
    """Turns samples as they are stored into ``dtype`` [height, width, channels] as a viewer shows them."""
    pixels = stored[..., np.newaxis] if stored.ndim == 2 else stored
    if pixels.shape[2] in (2, 4):
        pixels = over_white(pixels.astype(np.int64), np.iinfo(pixels.dtype).max).astype(pixels.dtype)
    if pixels.shape[2] > channels:
        pixels = luma(pixels.astype(np.int32)).astype(pixels.dtype)
    elif pixels.shape[2] < channels:
        pixels = np.repeat(pixels, channels, axis=2)
    if pixels.dtype != dtype:
        wide = pixels.astype(np.int32)
        pixels = (wide * 257 if dtype == np.uint16 else (wide + 128) // 257).astype(dtype)
    is_turned, reversed_axes = turn
    pixels = np.flip(pixels.swapaxes(0, 1) if is_turned else pixels, reversed_axes)
    return np.ascontiguousarray(pixels)


def _eight_bits(image: ImageFile.ImageFile) -> np.ndarray:
    """The samples of an image of at most 8 bits, uint8 [height, width, 2 to 4] or [height, width]."""
    if image.mode == "CMYK":  # as libjpeg's users do it; Pillow rounds otherwise
        inks = 255 - np.asarray(image).astype(np.int32)
        return (inks[..., :3] * inks[..., 3:] // 255).astype(np.uint8)
    if image.has_transparency_data:
        # Pillow spreads the levels of 2 and 4 bits over 8, but not the one that is transparent.
        spread = {"L;2": 85, "L;4": 17}.get(str(image.tile[0].args) if image.tile else "", 1)
        if spread > 1:
            image.info["transparency"] *= spread
        return np.asarray(image.convert("LA" if image.mode in ("L", "LA") else "RGBA"))
    return np.asarray(image.convert("L" if image.mode in _GREY_MODES else "RGB"))


def _sixteen_bits(image: ImageFile.ImageFile, file: IO[bytes]) -> np.ndarray:
    """The samples of a 16-bit image, uint16 [height, width, 1 to 4] or [height, width]."""
    if image.format != "PNG":
        return np.asarray(image).astype(np.uint16)
    file.seek(0)  # Pillow cuts colours of 16 bits to 8
    channels = 4 if image.has_transparency_data else 0
    return tf.io.decode_png(file.read(), channels, tf.uint16).numpy()


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


@contextlib.contextmanager
def _open(file: IO[bytes]) -> Iterator[ImageFile.ImageFile]:
    """Opens an image without decoding it; whatever goes wrong, then or later, is the file's fault.

    Raises:
        DataError: without the file's name.
    """
    start = file.read(32)
    file.seek(0)
    try:
        with _pillow_lock:
            limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                image = Image.open(file, formats=FORMATS)
            finally:
                Image.MAX_IMAGE_PIXELS = limit
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise DataError(
                f"{width}x{height} pixels, more than the limit of {MAX_PIXELS}; make the image smaller"
            )
        yield image
    except (DataError, MemoryError):
        raise
    except Exception as error:  # what decoders raise of damaged files is nowhere declared
        if isinstance(error, OSError) and error.errno is not None:  # the disk's
            raise
        raise DataError(_why_unreadable(start)) from None


def _header(image: ImageFile.ImageFile) -> ImageHeader:
    width, height = image.size
    turned, _ = _turn(image)
    return ImageHeader(
        format="JPEG" if image.format == "MPO" else str(image.format),
        height=width if turned else height,
        width=height if turned else width,
        channels=1 if image.mode in _GREY_MODES else 3,
        bits=16 if _is_deep(image) else 8,
    )


def _is_deep(image: ImageFile.ImageFile) -> bool:
    """Whether samples have 16 bits, by how Pillow is about to read them."""
    return image.mode.startswith("I") or any(";16" in str(tile.args) for tile in image.tile)


def _turn(image: ImageFile.ImageFile) -> _Turn:
    """Whether height and width change places, and which axes are reversed after that."""
    # Image.getexif would decode a PNG to look behind its pixels.
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
        return _TURNS.get(int(exif.get(_ORIENTATION, 1)), _UPRIGHT)
    except (SyntaxError, ValueError, TypeError, KeyError, struct.error):
        return _UPRIGHT


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
