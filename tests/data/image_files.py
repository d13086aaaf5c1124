"""Image files of every kind, made with numpy and Pillow."""

import io
import itertools
import struct
import zlib

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 5, 7
RGBA = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 4), dtype=np.uint8)
DEEP = np.random.default_rng(1).integers(0, 65536, (HEIGHT, WIDTH, 4), dtype=np.uint16)


def encode(image, file_format, **options):
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def smooth(height=64, width=96):
    """An image that JPEG stores well, RGB."""
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([x * 2, y * 3, 255 - x - y], axis=2).clip(0, 255).astype(np.uint8))


def png_chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(rows, width, bits, color_type, extra=b"", height=None):
    header = struct.pack(">IIBBBBB", width, height or len(rows), bits, color_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = png_chunk(b"IHDR", header) + extra + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def deep_png(array, color_type, extra=b""):
    return png([row.astype(">u2").tobytes() for row in array], array.shape[1], 16, color_type, extra)


def exif(orientation, byte_order="<"):
    """An EXIF block, with another entry before the orientation."""
    entries = [(0x010F, 2, 4, b"abc\0"), (0x0112, 3, 1, struct.pack(byte_order + "HH", orientation, 0))]
    start = {"<": b"II*\0", ">": b"MM\0*"}[byte_order] + struct.pack(byte_order + "IH", 8, len(entries))
    block = start + b"".join(struct.pack(byte_order + "HHI", *entry[:3]) + entry[3] for entry in entries)
    return b"Exif\0\0" + block + bytes(4)


def _few_bits(bits, extra=b""):
    levels = np.arange(8) % 2**bits
    digits = "".join(format(level, f"0{bits}b") for level in levels)
    return png([int(digits, 2).to_bytes(bits, "big")], 8, bits, 0, extra)


def _jpegs():
    for subsampling, quality, progressive in itertools.product(
        ("4:4:4", "4:2:2", "4:2:0"), (20, 75, 98), (False, True)
    ):
        options = {"subsampling": subsampling, "quality": quality, "progressive": progressive}
        yield f"JPEG {options}", encode(smooth(37, 61), "JPEG", **options)
    yield "gray JPEG", encode(smooth(37, 61).convert("L"), "JPEG")
    yield "CMYK JPEG", encode(smooth(37, 61).convert("CMYK"), "JPEG", quality=90)
    for orientation in range(1, 9):
        yield f"JPEG turned {orientation}", encode(smooth(24, 40), "JPEG", exif=exif(orientation))
    kinds = [(kind, number) for kind in (3, 4, 8, 9) for number in (0, 1)] + [(3, 2), (1, 1)]
    for (kind, number), (mark, order) in itertools.product(kinds, {"II*\0": "<", "MM\0*": ">"}.items()):
        value = struct.pack(f"{order}HH", 6, 0) if kind in (3, 8) else struct.pack(f"{order}I", 6)
        entry = struct.pack(f"{order}HHI", 0x0112, kind, number) + value
        block = mark.encode() + struct.pack(f"{order}IH", 8, 1) + entry + bytes(4)
        turned = encode(smooth(24, 40), "JPEG", exif=b"Exif\0\0" + block)
        yield f"JPEG turned by {number} of type {kind}, {order}", turned
    plain, turned = (encode(smooth(24, 40), "JPEG", **more) for more in ({}, {"exif": exif(6)}))
    segment = turned[2 : turned.index(b"\xff\xdb")].removeprefix(plain[2 : plain.index(b"\xff\xdb")])
    pixels_at = plain.index(b"\xff\xda")
    yield "JPEG turned by EXIF after other segments", plain[:pixels_at] + segment + plain[pixels_at:]
    no_tiff = segment.replace(b"II*\0", b"IIx\0")
    yield "JPEG turned by no TIFF", plain[:2] + no_tiff + plain[2:]
    for at, broken in enumerate(
        (b"", b"II", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff", b"x" * 40)
    ):
        segment = b"\xff\xe1" + struct.pack(">H", len(broken) + 8) + b"Exif\0\0" + broken
        plain = encode(smooth(24, 40), "JPEG")
        yield f"JPEG with broken EXIF {at}", plain[:2] + segment + plain[2:]


def _pngs():
    color = Image.fromarray(RGBA[..., :3])
    for mode in ("1", "L", "P", "RGB"):
        yield f"PNG {mode}", encode(color.convert(mode), "PNG")
    yield "PNG RGBA", encode(Image.fromarray(RGBA), "PNG")
    yield "PNG LA", encode(Image.fromarray(RGBA[..., :2], mode="LA"), "PNG")
    for colors in (2, 4, 16, 256):
        yield f"PNG palette of {colors}", encode(color.quantize(colors), "PNG")
        yield f"PNG palette of {colors} and alpha", encode(color.quantize(colors), "PNG", transparency=1)
    for bits in (1, 2, 4, 8):
        yield f"PNG {bits} bits", _few_bits(bits)
        yield f"PNG {bits} bits and a key", _few_bits(bits, png_chunk(b"tRNS", struct.pack(">H", 1)))
    key = struct.pack(">HHH", *RGBA[2, 3, :3].tolist())
    rows = [row.tobytes() for row in RGBA[..., :3]]
    yield "PNG RGB and a key", png(rows, WIDTH, 8, 2, png_chunk(b"tRNS", key))
    for color_type, channels in ((0, 1), (4, 2), (2, 3), (6, 4)):
        yield f"PNG 16 bits, {channels} channels", deep_png(DEEP[..., :channels], color_type)
    yield (
        "PNG 16 bits and a key",
        deep_png(DEEP[..., 0], 0, png_chunk(b"tRNS", struct.pack(">H", DEEP[2, 3, 0]))),
    )
    yield "PNG turned", encode(smooth(24, 40), "PNG", exif=exif(6, ">"))
    yield "animated PNG", encode(color, "PNG", save_all=True, append_images=[smooth(HEIGHT, WIDTH)])


SERVED = {**dict(_jpegs()), **dict(_pngs())}
"""What an exported model decodes, too."""
