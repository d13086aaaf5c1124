"""Files of every kind that is read, and what becomes of them by accident or malice.

`sound` are files as programs write them, `hostile` are made to do harm, `mutate` changes either. All
of it is decided by the generator of random numbers that is given.
"""

from __future__ import annotations

import io
import os
import pickle
import random
import re
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tifffile
from PIL import Image

HEIGHT, WIDTH = 32, 48
CANARY = "executed-from-a-file"
"""The folder that appears where code in a file is executed."""

_EXTREMES = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0xFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_SIDES = (0, 1, 255, 8191, 8192, 16383, 30000, 32767, 65500, 65535, 2**20, 2**31 - 1, 2**32 - 1)
_NUMBERS = (b"0", b"-1", b"1e999", b"NaN", b"65536", b"2147483648", b"9223372036854775808", b"1" * 5000)
_SMALLEST_HEADER = 64


class _Canary:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (CANARY,)


# ---------------------------------------------------------------- sound files


def sound() -> dict[str, bytes]:
    """Returns a small image file of every kind that is read, by a name that begins with its format."""
    return {**dict(_pictures()), **dict(_pngs()), **dict(_animations()), **dict(_rasters())}


def _pixels(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    draw = np.random.default_rng(0)
    return draw.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def _colours() -> Image.Image:
    return Image.fromarray(_pixels(HEIGHT // 4, WIDTH // 4, 4)).resize((WIDTH, HEIGHT))


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _pictures() -> Iterator[tuple[str, bytes]]:
    alpha = _colours()
    colour = alpha.convert("RGB")
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    yield "JPEG baseline", _encoded(colour, "JPEG")
    yield "JPEG progressive", _encoded(colour, "JPEG", progressive=True, subsampling="4:4:4")
    yield "JPEG grey", _encoded(colour.convert("L"), "JPEG")
    yield "JPEG CMYK", _encoded(colour.convert("CMYK"), "JPEG")
    yield "JPEG EXIF", _encoded(colour, "JPEG", exif=exif)
    yield "WebP lossy", _encoded(colour, "WEBP")
    yield "WebP lossless", _encoded(alpha, "WEBP", lossless=True, exif=exif)
    yield "GIF", _encoded(colour.quantize(16), "GIF", transparency=1)
    for mode in ("1", "P", "RGB", "RGBA"):
        yield f"BMP {mode}", _encoded(alpha.convert(mode), "BMP")
    for compression in ("raw", "tiff_lzw", "jpeg", "packbits", "group4", "tiff_adobe_deflate"):
        mode = "1" if compression == "group4" else "RGB"
        yield f"TIFF {compression}", _encoded(colour.convert(mode), "TIFF", compression=compression)
    yield "TIFF RGBA", _encoded(alpha, "TIFF", exif=exif)
    yield "AVIF", _encoded(colour, "AVIF")
    yield "AVIF alpha", _encoded(alpha, "AVIF", speed=10)
    yield "JPEG2000", _encoded(colour, "JPEG2000")
    yield "JPEG2000 codestream", _encoded(colour, "JPEG2000", no_jp2=True, irreversible=True)
    for mode in ("1", "L", "I;16", "RGB"):
        deep = Image.fromarray(_pixels(HEIGHT, WIDTH, dtype=np.uint16))
        yield f"PNM {mode}", _encoded(deep if mode == "I;16" else colour.convert(mode), "PPM")
    yield "PNM text", b"P3 4 2 255\n" + b"1 2 3 " * 8


def _animations() -> Iterator[tuple[str, bytes]]:
    first = _colours().convert("RGB")
    frames = {"save_all": True, "append_images": [first.rotate(90), first.rotate(180)]}
    yield "PNG animated", _encoded(first, "PNG", **frames)
    yield "WebP animated", _encoded(first, "WEBP", **frames)
    yield "GIF animated", _encoded(first, "GIF", **frames)
    yield "TIFF pages", _encoded(first, "TIFF", **frames)


def _pngs() -> Iterator[tuple[str, bytes]]:
    alpha = _colours()
    yield "PNG RGB", _encoded(alpha.convert("RGB"), "PNG")
    yield "PNG RGBA", _encoded(alpha, "PNG")
    yield "PNG palette", _encoded(alpha.convert("RGB").quantize(16), "PNG", transparency=1)
    for bits in (1, 2, 4, 8, 16):
        rows = _pixels(HEIGHT, WIDTH * bits // 8)
        yield f"PNG {bits} bits", png([(bits, 0, WIDTH, rows)])
        transparent = chunk(b"tRNS", struct.pack(">H", 1))
        yield f"PNG {bits} bits and a key", png([(bits, 0, WIDTH, rows)], transparent)
    for colour_type, channels in ((2, 3), (4, 2), (6, 4)):
        yield f"PNG deep {channels}", png([(16, colour_type, WIDTH, _pixels(HEIGHT, WIDTH * channels * 2))])
    grey = _pixels(HEIGHT, WIDTH)
    passes = (
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    )
    reduced = [(8, 0, WIDTH, grey[top::down, left::across]) for top, left, down, across in passes]
    yield "PNG interlaced", png(reduced, interlaced=True)


def chunk(name: bytes, content: bytes) -> bytes:
    """Returns a chunk of a PNG."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(
    passes: Sequence[tuple[int, int, int, np.ndarray]], extra: bytes = b"", interlaced: bool = False
) -> bytes:
    """Returns a PNG.

    Args:
        passes: of each the bits of a sample, the colour type, the picture's width in pixels, and uint8
            [rows, bytes of a row].
        extra: chunks before the pixels.
        interlaced: as the header says; there are then seven passes.
    """
    bits, colour_type, width, _ = passes[0]
    height = HEIGHT if interlaced else len(passes[0][3])
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, interlaced)
    rows = b"".join(b"\0" + row.tobytes() for *_, each in passes for row in each)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _tiff(array: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, array, **options)
    return file.getvalue()


def npy(array: np.ndarray, **options: object) -> bytes:
    """Returns an array as a .npy."""
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def _rasters() -> Iterator[tuple[str, bytes]]:
    numbers = _pixels(HEIGHT, WIDTH, 5, dtype=np.uint16)
    yield "raster interleaved", _tiff(numbers, planarconfig="contig", photometric="minisblack")
    yield (
        "raster planar",
        _tiff(np.moveaxis(numbers, 2, 0), planarconfig="separate", photometric="minisblack"),
    )
    yield "raster pages", _tiff(np.moveaxis(numbers, 2, 0), photometric="minisblack", metadata=None)
    yield "raster float", _tiff(numbers[..., 0].astype(np.float32))
    yield "raster deflate", _tiff(numbers[..., 0].astype(np.int32), compression="zlib")
    yield "raster tiled", _tiff(numbers[..., 0].astype(np.float64), tile=(16, 16), byteorder=">")
    yield "raster BigTIFF", _tiff(numbers[..., 0].astype(np.int16), bigtiff=True)
    for dtype in (np.uint8, np.uint16, np.int64, np.float16, np.float32, np.float64, bool):
        yield f"npy {np.dtype(dtype)}", npy((numbers[..., :3] // 2).astype(dtype))
    yield "npy planar", npy(np.moveaxis(numbers, 2, 0))
    yield "npy Fortran", npy(np.asfortranarray(numbers[..., 0].astype(">f4")))


# ---------------------------------------------------------------- hostile files


def hostile() -> dict[str, bytes]:
    """Returns files that claim, hold or execute what nobody wants, by a name that begins with the format."""
    return {**dict(_claims()), **dict(_bombs()), **dict(_code())}


def _claims() -> Iterator[tuple[str, bytes]]:
    zeros = zlib.compress(bytes(1000))
    for side in (8192, 30000, 2**31 - 1):
        header = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
        body = chunk(b"IHDR", header) + chunk(b"IDAT", zeros) + chunk(b"IEND", b"")
        yield f"PNG claims {side}", b"\x89PNG\r\n\x1a\n" + body
        yield f"PNM claims {side}", b"P6 %d %d 65535\n" % (side, side)
        yield (
            f"BMP claims {side}",
            b"BM" + struct.pack("<IIIIiiHHIIIIII", 70, 0, 54, 40, side, side, 1, 24, *[0] * 6),
        )
        claim = np.lib.format.magic(1, 0)
        header_text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({side}, {side}, 16)}}\n".encode()
        yield f"npy claims {side}", claim + struct.pack("<H", len(header_text)) + header_text + bytes(99)
        tiff = _tiff(np.zeros((HEIGHT, WIDTH), np.float64), metadata=None)
        for stated in (HEIGHT, WIDTH):
            tiff = tiff.replace(struct.pack("<HHII", 3, 1, stated, 0)[:8], struct.pack("<HHI", 4, 1, side))
            tiff = tiff.replace(struct.pack("<HII", 4, 1, stated), struct.pack("<HII", 4, 1, side))
        yield f"raster claims {side}", tiff
    yield (
        "GIF claims 65535",
        b"GIF89a\xff\xff\xff\xff\xf0\0\0" + bytes(6) + b",\0\0\0\0\xff\xff\xff\xff\0\x08\0;",
    )


def _bombs() -> Iterator[tuple[str, bytes]]:
    row = b"\0" + bytes(1024)
    pixels = zlib.compress(row * 8192, 9)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8192, 8192, 1, 0, 0, 0, 0))
    whole = header + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    yield "PNG of 2^26 pixels", b"\x89PNG\r\n\x1a\n" + whole
    text = chunk(b"iTXt", b"k\0\1\0\0\0" + zlib.compress(bytes(2**26), 9))
    profile = chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(2**26), 9))
    grey = _pixels(HEIGHT, WIDTH)
    yield "PNG text bomb", png([(8, 0, WIDTH, grey)], text)
    yield "PNG profile bomb", png([(8, 0, WIDTH, grey)], profile)
    yield "PNG of 100000 chunks", png([(8, 0, WIDTH, grey)], chunk(b"teXt", b"a") * 100_000)
    jpeg = _encoded(_colours().convert("RGB"), "JPEG")
    yield "JPEG of 100000 segments", jpeg[:2] + b"\xff\xfe\0\x03a" * 100_000 + jpeg[2:]
    yield "JPEG of fill", jpeg[:2] + b"\xff" * 10**6 + jpeg[2:]
    yield "raster deflate bomb", _tiff(np.zeros((8192, 8192), np.float32), compression="zlib")
    strip = _tiff(np.zeros((HEIGHT, WIDTH), np.float32), compression="zlib", metadata=None)
    yield "raster strip bomb", _with_strip(strip, _endless_zeros(2**31))
    loop = struct.pack("<HHIH", 0x4949, 42, 8, 1) + struct.pack("<HHII", 256, 4, 1, 8) + struct.pack("<I", 8)
    yield "TIFF of itself", loop
    yield (
        "TIFF of 65535 entries",
        loop[:8] + struct.pack("<H", 65535) + struct.pack("<HHII", 330, 4, 1, 8) * 65535,
    )


def _endless_zeros(size: int) -> bytes:
    """What zlib makes of ``size`` zeros, without its end."""
    packer = zlib.compressobj(9)
    head = packer.compress(b"\0") + packer.flush(zlib.Z_FULL_FLUSH)
    return head + (packer.compress(bytes(2**24)) + packer.flush(zlib.Z_FULL_FLUSH)) * (size >> 24)


def _with_strip(tiff: bytes, strip: bytes) -> bytes:
    """Puts another strip behind a TIFF of one."""
    with tifffile.TiffFile(io.BytesIO(tiff)) as opened:
        tags = opened.pages.first.tags
        offset, count = tags["StripOffsets"], tags["StripByteCounts"]
    changed = bytearray(tiff + strip)
    for tag, value in ((offset, len(tiff)), (count, len(strip))):
        changed[tag.offset : tag.offset + 12] = struct.pack("<HHII", tag.code, 4, 1, value)
    return bytes(changed)


def _code() -> Iterator[tuple[str, bytes]]:
    code = pickle.dumps(_Canary())
    yield "npy object", npy(np.array([_Canary()], object), allow_pickle=True)
    yield "npy pickle", code
    yield "npy pickle behind a header", npy(np.zeros(3, object), allow_pickle=True)[:128] + code
    expression = (
        b"{'descr': __import__('os').mkdir('%s'), 'fortran_order': False, 'shape': (2, 2)}" % CANARY.encode()
    )
    yield "npy expression", np.lib.format.magic(1, 0) + struct.pack("<H", len(expression)) + expression


# ---------------------------------------------------------------- mutations


def mutate(data: bytes, others: Sequence[bytes], draw: random.Random) -> tuple[str, bytes]:
    """Returns one to three mutations of a file, and what they are called.

    Args:
        data: the file.
        others: what it may be spliced with.
        draw: decides.
    """
    names = [draw.choice(list(MUTATIONS)) for _ in range(draw.choice((1, 1, 1, 1, 2, 3)))]
    for name in names:
        data = splice(data, others, draw) if name == "splice" else MUTATIONS[name](data, draw)
    if data.startswith(b"\x89PNG") and draw.random() < 0.7:
        return ", ".join([*names, "checksums"]), mended(data)
    return ", ".join(names), data


def flip_bits(data: bytes, draw: random.Random) -> bytes:
    """Flips up to 16 bits, as often among the first bytes as anywhere."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 4, 16))):
        if changed:
            changed[_place(changed, draw)] ^= 1 << draw.randrange(8)
    return bytes(changed)


def cut(data: bytes, draw: random.Random) -> bytes:
    """Keeps the first bytes only."""
    return data[: draw.randint(0, len(data))]


def delete(data: bytes, draw: random.Random) -> bytes:
    """Takes a part out."""
    start = _place(data, draw)
    return data[:start] + data[start + draw.randint(1, 200) :]


def duplicate(data: bytes, draw: random.Random) -> bytes:
    """Repeats a part, up to a thousand times."""
    start = _place(data, draw)
    end = start + draw.randint(1, 200)
    return data[:end] + data[start:end] * draw.choice((1, 1, 2, 10, 1000)) + data[end:]


def state_extreme(data: bytes, draw: random.Random) -> bytes:
    """Writes the least or the largest number of 1 to 8 bytes somewhere."""
    form = draw.choice("BHIQ")
    number = draw.choice(_EXTREMES) % 2 ** (8 * struct.calcsize(form))
    stated = struct.pack(draw.choice("<>") + form, number)
    start = _place(data, draw)
    return data[:start] + stated + data[start + len(stated) :]


def state_side(data: bytes, draw: random.Random) -> bytes:
    """Writes another number where the height or the width is stated."""
    for form in draw.sample([order + size for order in "<>" for size in "HI"], 4):
        for side in draw.sample((HEIGHT, WIDTH, HEIGHT - 1, WIDTH - 1), 4):
            if (start := data.find(struct.pack(form, side), 4)) >= 0:
                stated = struct.pack(form, draw.choice(_SIDES) % 2 ** (8 * struct.calcsize(form)))
                return data[:start] + stated + data[start + len(stated) :]
    return state_extreme(data, draw)


def state_text(data: bytes, draw: random.Random) -> bytes:
    """Writes an extreme number where there is one in digits."""
    found = list(re.finditer(rb"\d+", data[:4096]))
    if not found:
        return state_extreme(data, draw)
    digits = draw.choice(found)
    return data[: digits.start()] + draw.choice(_NUMBERS) + data[digits.end() :]


def noise_behind_magic(data: bytes, draw: random.Random) -> bytes:
    """Keeps the first 4 to 40 bytes, and fills up with noise."""
    kept = draw.randint(4, 40)
    return data[:kept] + draw.randbytes(draw.choice((0, 10, 1000)))


def splice(data: bytes, others: Sequence[bytes], draw: random.Random) -> bytes:
    """Begins as one file, and goes on as another."""
    other = draw.choice(others)
    return data[: draw.randint(0, len(data))] + other[draw.randint(0, len(other)) :]


MUTATIONS: Mapping[str, object] = {
    "bits": flip_bits,
    "cut": cut,
    "deleted": delete,
    "repeated": duplicate,
    "number": state_extreme,
    "side": state_side,
    "digits": state_text,
    "noise": noise_behind_magic,
    "splice": splice,
}


def mended(data: bytes) -> bytes:
    """Returns a PNG with the checksums of its chunks, so that what is in them is looked at."""
    fixed, at = bytearray(data[:8]), 8
    while at + 12 <= len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        if at + 12 + size > len(data):
            break
        fixed += chunk(data[at + 4 : at + 8], data[at + 8 : at + 8 + size])
        at += 12 + size
    return bytes(fixed) + data[at:]


def _place(data: bytes | bytearray, draw: random.Random) -> int:
    """A place in a file, as often among the first bytes as anywhere."""
    return draw.randrange(max(1, draw.choice((len(data), min(len(data), _SMALLEST_HEADER)))))
