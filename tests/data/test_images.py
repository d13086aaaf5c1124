"""Pictures of every kind, made with numpy and Pillow, against what numpy and Pillow see in them."""

import io
import re
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from pix2pix_tf.data import images
from pix2pix_tf.errors import DataError

HEIGHT, WIDTH = 5, 7
RGBA = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 4), dtype=np.uint8)
DEEP = np.random.default_rng(1).integers(0, 65536, (HEIGHT, WIDTH, 4), dtype=np.uint16)


@tf.function(input_signature=[tf.TensorSpec([], tf.string)])
def decode_in_graph(data):
    return images.decode_image(data, channels=3)


def decode(data, channels=3, dtype=tf.uint8):
    return images.decode_image(tf.constant(data), channels, dtype).numpy()


def encode(image, file_format, **options):
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def smooth(height=64, width=96):
    """A picture that JPEG stores well, RGB."""
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([x * 2, y * 3, 255 - x - y], axis=2).clip(0, 255).astype(np.uint8))


def over_white(colour, alpha, white=255):
    """The definition, in floating point, rounded half up: colour [..., 3], alpha [...] in [0, white]."""
    share = alpha[..., None] / white
    return np.floor(colour * share + white * (1 - share) + 0.5).astype(int)


def png_chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(rows, width, bits, colour_type, extra=b"", height=None):
    header = struct.pack(">IIBBBBB", width, height or len(rows), bits, colour_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = png_chunk(b"IHDR", header) + extra + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def deep_png(array, colour_type):
    return png([row.astype(">u2").tobytes() for row in array], array.shape[1], 16, colour_type)


LOSSLESS = {"PNG": {}, "BMP": {}, "GIF": {}, "WEBP": {"lossless": True, "exact": True}}


@pytest.mark.parametrize("file_format", LOSSLESS)
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_lossless_formats_decode_exactly(file_format, mode):
    image = Image.fromarray(RGBA[..., :3]).convert(mode)
    if file_format == "GIF" and mode == "RGB":
        image = image.quantize(16)
    expected = np.asarray(image.convert("RGB"))
    data = encode(image, file_format, **LOSSLESS[file_format])
    np.testing.assert_array_equal(decode(data), expected)
    np.testing.assert_array_equal(decode_in_graph(data), expected)


@pytest.mark.parametrize(("colours", "transparent"), [(2, False), (4, True), (16, False), (256, True)])
def test_palettes_of_every_depth(colours, transparent):
    image = Image.fromarray(RGBA[..., :3]).quantize(colours)
    indices = np.asarray(image)
    options = {"transparency": int(indices[2, 3])} if transparent else {}
    expected = np.asarray(image.convert("RGB")).copy()
    if transparent:
        expected[indices == indices[2, 3]] = 255
    np.testing.assert_array_equal(decode(encode(image, "PNG", **options)), expected)
    np.testing.assert_array_equal(decode(encode(image, "GIF", **options)), expected)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_png_of_few_bits(bits):
    levels = np.arange(8) % 2**bits
    digits = "".join(format(level, f"0{bits}b") for level in levels)
    data = png([int(digits, 2).to_bytes(bits, "big")], 8, bits, colour_type=0)
    np.testing.assert_array_equal(decode(data, channels=1)[0, :, 0], levels * (255 // (2**bits - 1)))


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_alpha_is_seen_over_white(file_format):
    data = encode(Image.fromarray(RGBA), file_format, **LOSSLESS[file_format])
    np.testing.assert_array_equal(decode(data), over_white(RGBA[..., :3], RGBA[..., 3]))


def test_grey_with_alpha_is_seen_over_white():
    grey_alpha = RGBA[..., :2]
    data = encode(Image.fromarray(grey_alpha, mode="LA"), "PNG")
    expected = over_white(grey_alpha[..., :1], grey_alpha[..., 1])
    np.testing.assert_array_equal(decode(data, channels=1), expected)


def test_sixteen_bits_keep_their_precision():
    np.testing.assert_array_equal(decode(deep_png(DEEP[..., :3], 2), dtype=tf.uint16), DEEP[..., :3])
    grey = Image.fromarray(DEEP[..., 0])
    np.testing.assert_array_equal(decode(encode(grey, "PNG"), 1, tf.uint16), DEEP[..., :1])
    expected = over_white(DEEP[..., :3].astype(np.float64), DEEP[..., 3], white=65535)
    np.testing.assert_array_equal(decode(deep_png(DEEP, 6), dtype=tf.uint16), expected)


def test_sixteen_bits_are_rounded_to_eight_and_back():
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    eight = decode(deep_png(every, 0), channels=1)[..., 0]
    np.testing.assert_array_equal(eight, np.round(every / 257))
    data = encode(Image.fromarray(RGBA[..., :3]), "PNG")
    np.testing.assert_array_equal(decode(data, dtype=tf.uint16), RGBA[..., :3].astype(int) * 257)


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "WEBP"])
def test_colour_becomes_grey_by_the_same_luma(file_format):
    data = encode(Image.fromarray(RGBA[..., :3]), file_format, **LOSSLESS[file_format])
    luma = np.floor(RGBA[..., :3] @ np.array([299, 587, 114]) / 1000 + 0.5)
    np.testing.assert_array_equal(decode(data, channels=1)[..., 0], luma)


@pytest.mark.parametrize(
    ("mode", "options"),
    [("L", {}), ("CMYK", {}), ("RGB", {"subsampling": 0}), ("RGB", {"progressive": True})],
)
def test_jpeg_is_as_pillow_sees_it(mode, options):
    data = encode(smooth().convert(mode), "JPEG", quality=90, **options)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    # The transform is the same; builds of libjpeg-turbo may round the colours differently, and the
    # multiplication of CMYK by its black is Pillow's own.
    assert np.abs(decode(data).astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    ("file_format", "byte_order", "orientation"),
    [*(("JPEG", "<", orientation) for orientation in range(1, 9)), ("PNG", ">", 6), ("WEBP", ">", 8)],
)
def test_exif_orientation_is_honoured(orientation, byte_order, file_format):
    entries = [(0x010F, 2, 4, b"abc\0"), (0x0112, 3, 1, struct.pack(byte_order + "HH", orientation, 0))]
    start = {"<": b"II*\0", ">": b"MM\0*"}[byte_order] + struct.pack(byte_order + "IH", 8, len(entries))
    block = start + b"".join(struct.pack(byte_order + "HHI", *entry[:3]) + entry[3] for entry in entries)
    exif = b"Exif\0\0" + block + bytes(4)
    options = LOSSLESS.get(file_format, {"quality": 95})
    data = encode(smooth(24, 40), file_format, exif=exif, **options)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data)))).astype(int)
    decoded = decode(data)
    assert decoded.shape == ((40, 24, 3) if orientation >= 5 else (24, 40, 3))
    assert np.abs(decoded - expected).max() <= (1 if file_format == "JPEG" else 0)


@pytest.mark.parametrize(
    "exif",
    [b"", b"II", b"II*\0\x08\0\0\0\0\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff", b"x" * 40],
)
def test_broken_exif_is_ignored(exif):
    data = encode(smooth(24, 40), "JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 8) + b"Exif\0\0" + exif
    np.testing.assert_array_equal(decode(data[:2] + segment + data[2:]), decode(data))


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG"])
def test_animations_give_their_first_frame(file_format):
    frames = [Image.fromarray(RGBA[..., :3]).quantize(16).convert("RGB"), smooth(HEIGHT, WIDTH)]
    data = encode(frames[0], file_format, save_all=True, append_images=frames[1:], **LOSSLESS[file_format])
    np.testing.assert_array_equal(decode(data), np.asarray(frames[0]))


def riff(chunks):
    """A WebP of the chunks given as (name, content)."""
    body = b"".join(
        name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2) for name, content in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def animated(file_format, later_frame):
    """An animation of one good frame and one that says what a file likes to say of it."""
    image = Image.fromarray(RGBA[..., :3]).quantize(16)
    if file_format == "GIF":
        return encode(image, "GIF", comment=b"a long one " * 50)[:-1] + later_frame + b";"
    still = encode(image.convert("RGB"), "WEBP", **LOSSLESS["WEBP"])
    sides = struct.pack("<I", WIDTH - 1)[:3] + struct.pack("<I", HEIGHT - 1)[:3]
    frame = bytes(6) + sides + bytes(4) + still[12:]
    later = bytes(6) + sides + bytes(4) + later_frame
    extended = (b"VP8X", bytes([2, 0, 0, 0]) + sides)
    return riff([extended, (b"ANIM", bytes(6)), (b"ANMF", frame), (b"ANMF", later)])


@pytest.mark.parametrize("file_format", ["GIF", "WEBP"])
def test_only_the_first_frame_of_an_animation_is_looked_at(file_format):
    later = {
        "GIF": struct.pack("<BHHHHBB", 0x2C, 0, 0, 65535, 65535, 0, 8) + b"\xff" + bytes(300),
        "WEBP": b"VP8L" + struct.pack("<I", 40) + bytes(40),
    }
    data = animated(file_format, later[file_format])
    expected = np.asarray(Image.fromarray(RGBA[..., :3]).quantize(16).convert("RGB"))
    np.testing.assert_array_equal(decode(data), expected)
    assert images.stated_size(tf.constant(data)).numpy().tolist() == [HEIGHT, WIDTH]


@pytest.mark.parametrize("transparent", [False, True])
def test_gif_frame_smaller_than_its_screen_is_seen_over_white(transparent):
    image = Image.fromarray(RGBA[..., :3]).quantize(8)
    indices = np.asarray(image)
    expected = np.full((12, 14, 3), 255)
    expected[3 : 3 + HEIGHT, 2 : 2 + WIDTH] = np.asarray(image.convert("RGB"))
    options = {"transparency": 4} if transparent else {}
    if transparent:
        expected[3 : 3 + HEIGHT, 2 : 2 + WIDTH][indices == 4] = 255
    data = encode(image, "GIF", comment=b"a long one " * 50, **options)
    descriptor = struct.pack("<BHHHH", 0x2C, 0, 0, WIDTH, HEIGHT)
    assert data.count(descriptor) == 1
    data = data.replace(descriptor, struct.pack("<BHHHH", 0x2C, 2, 3, WIDTH, HEIGHT))
    data = data[:6] + struct.pack("<HH", 14, 12) + data[10:]
    np.testing.assert_array_equal(decode(data), expected)


SIZED = {
    "JPEG": lambda: encode(smooth(24, 40), "JPEG"),
    "turned JPEG": lambda: encode(smooth(24, 40), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0"),
    "progressive JPEG": lambda: encode(smooth(24, 40), "JPEG", progressive=True),
    "PNG": lambda: encode(smooth(24, 40), "PNG"),
    "16-bit PNG": lambda: deep_png(np.zeros((24, 40, 3), np.uint16), 2),
    "BMP": lambda: encode(smooth(24, 40), "BMP"),
    "GIF": lambda: encode(smooth(24, 40).quantize(16), "GIF", comment=b"a long one " * 50),
    "lossy WebP": lambda: encode(smooth(24, 40), "WEBP"),
    "lossless WebP": lambda: encode(smooth(24, 40), "WEBP", lossless=True),
    "extended WebP": lambda: encode(smooth(24, 40), "WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0"),
}


@pytest.mark.parametrize("kind", SIZED)
def test_the_header_states_the_size_that_is_decoded(kind):
    data = SIZED[kind]()
    assert images.stated_size(tf.constant(data)).numpy().tolist() == [24, 40]
    assert decode(data).shape == (24, 40, 3)


@pytest.mark.parametrize("offset", [(0, 0), (3, 2)])
def test_a_gif_states_its_screen_or_what_reaches_beyond_it(offset):
    data = encode(Image.fromarray(RGBA[..., :3]).quantize(8), "GIF")
    descriptor = struct.pack("<BHH", 0x2C, 0, 0)
    data = data.replace(descriptor, struct.pack("<BHH", 0x2C, *offset[::-1]), 1)
    assert images.stated_size(tf.constant(data)).numpy().tolist() == list(decode(data).shape[:2])
    assert decode(data).shape[:2] == (HEIGHT + offset[0], WIDTH + offset[1])


# Chunks before the header, and bare pixels without a chunk, are decoded by the libraries: ways round a limit.
SMUGGLED = {
    "damaged PNG": b"\x89PNG\r\n\x1a\n" + png_chunk(b"abCd", bytes(13)) + png([b"\0"], 1, 8, 0)[8:],
    "damaged WebP": b"RIFF\x10\0\0\0WEBP" + encode(smooth(), "WEBP", lossless=True)[20:],
}


@pytest.mark.parametrize("fault", SMUGGLED)
def test_a_header_out_of_its_place_has_no_size(fault):
    with pytest.raises(tf.errors.InvalidArgumentError, match=fault):
        images.stated_size(tf.constant(SMUGGLED[fault]))


@pytest.mark.parametrize("fault", ["0 bytes", "not an image"])
def test_what_is_no_image_has_no_size(fault):
    with pytest.raises(tf.errors.InvalidArgumentError, match=fault):
        images.stated_size(tf.constant(FAULTY[fault]))


def test_bmp_with_masks_and_alpha():
    masks = struct.pack("<IIII", 0xFF000000, 0xFF0000, 0xFF00, 0xFF)  # as GIMP writes them
    header = struct.pack("<IiiHHIIiiII", 108, WIDTH, -HEIGHT, 1, 32, 3, 0, 0, 0, 0, 0) + masks + bytes(52)
    data = b"BM" + struct.pack("<IHHI", 0, 0, 0, 14 + len(header)) + header + RGBA[..., ::-1].tobytes()
    np.testing.assert_array_equal(decode(data), over_white(RGBA[..., :3], RGBA[..., 3]))


@pytest.mark.parametrize("bits_and_compression", [(8, 1), (4, 2), (16, 0), (16, 3), (24, 3)])
def test_unusual_bmps_are_refused(bits_and_compression):
    header = struct.pack("<IiiHHIIiiII", 40, WIDTH, HEIGHT, 1, *bits_and_compression, 0, 0, 0, 0, 0)
    data = b"BM" + struct.pack("<IHHI", 0, 0, 0, 14 + len(header)) + header + bytes(4096)
    with pytest.raises(tf.errors.InvalidArgumentError, match="this kind of BMP is not supported"):
        decode(data)


@pytest.mark.parametrize("start", [b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBPVP8X", b"GIF89a\1\0\1\0\0\0\0"])
def test_endless_blocks_are_refused_soon(start):
    for filling in (b"\xff", b"\0", b"!\xf9\1\0", b"\xff\xe0\0\0"):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode(start + filling * 1_000_000)


FAULTY = {
    "0 bytes": b"",
    "not an image": b"hello, I am text",
    "PNG": encode(Image.fromarray(RGBA), "PNG")[:80],
    "JPEG": encode(smooth(), "JPEG")[:-40],
    "GIF": encode(smooth().quantize(16), "GIF")[:-40],
    "WEBP": encode(smooth(), "WEBP")[:-40],
    "BMP": encode(smooth(), "BMP")[:-40],
}


@pytest.mark.parametrize("fault", FAULTY)
def test_faulty_bytes_are_refused_with_the_reason(fault, tmp_path):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_in_graph(FAULTY[fault])
    path = tmp_path / "broken.png"
    path.write_bytes(FAULTY[fault])
    with pytest.raises(DataError, match=fault) as caught:
        images.load_image(path, channels=3)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_decodes_after_a_refusal_and_in_a_pipeline():
    good = encode(Image.fromarray(RGBA[..., :3]), "PNG")
    pipeline = tf.data.Dataset.from_tensor_slices([good, FAULTY["PNG"], good])
    decoded = list(pipeline.map(lambda data: images.decode_image(data, 3)).ignore_errors())
    assert len(decoded) == 2


@pytest.mark.slow
def test_decoder_survives_in_a_saved_model(tmp_path):
    module = tf.Module()
    module.decode = decode_in_graph
    tf.saved_model.save(module, str(tmp_path))
    data = encode(Image.fromarray(RGBA), "WEBP", **LOSSLESS["WEBP"])
    np.testing.assert_array_equal(tf.saved_model.load(str(tmp_path)).decode(data), decode(data))


# What a PNG calls them: how many channels they have.
COLOUR_TYPES = {0: 1, 4: 2, 2: 3, 6: 4}


@pytest.mark.parametrize("colour_type", COLOUR_TYPES)
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_arrays_are_converted_as_files_are(colour_type, bits, channels):
    pixels = {8: RGBA, 16: DEEP}[bits][..., -COLOUR_TYPES[colour_type] :].copy()
    if colour_type == 4:  # 6 is left transparent
        pixels[..., -1] = np.iinfo(pixels.dtype).max
    rows = [row.astype(f">u{bits // 8}").tobytes() for row in pixels]
    expected = decode(png(rows, WIDTH, bits, colour_type), channels, tf.as_dtype(pixels.dtype))
    signature = [tf.TensorSpec([None, None, pixels.shape[2]], pixels.dtype)]
    in_graph = tf.function(lambda image: images.convert_channels(image, channels), signature)
    for convert in (in_graph, lambda image: images.convert_channels(image, channels)):
        converted = convert(tf.constant(pixels))
        assert converted.dtype == pixels.dtype
        np.testing.assert_array_equal(converted, expected)


@pytest.mark.parametrize(
    ("image", "channels"),
    [
        (tf.zeros([2, 2, 3], tf.float32), 3),
        (tf.zeros([2, 2, 5], tf.uint8), 3),
        (tf.zeros([2, 2], tf.uint8), 1),
        (tf.zeros([2, 2, 3], tf.uint8), 2),
    ],
)
def test_other_arrays_are_a_mistake(image, channels):
    with pytest.raises(ValueError, match="1 to 4 channels"):
        images.convert_channels(image, channels)


def test_other_channels_or_types_are_a_mistake():
    with pytest.raises(ValueError, match="1 or 3 channels"):
        images.decode_image(tf.constant(b""), channels=4)
    with pytest.raises(ValueError, match="uint8 or uint16"):
        images.decode_image(tf.constant(b""), channels=3, dtype=tf.float32)


@pytest.mark.parametrize("width", [2, 7, 8])
def test_side_by_side_pair_is_cut_in_equal_halves(width):
    pair = RGBA[:, np.arange(width) % WIDTH]
    a, b = images.split_side_by_side(tf.constant(pair))
    np.testing.assert_array_equal(a, pair[:, : width // 2])
    np.testing.assert_array_equal(b, pair[:, -(width // 2) :])


def test_pair_of_one_column_is_refused():
    with pytest.raises(tf.errors.InvalidArgumentError, match="2 pixels wide"):
        images.split_side_by_side(tf.zeros([4, 1, 3], tf.uint8))


def test_unit_range_and_back_is_the_identity():
    levels = tf.range(256)
    unit = images.to_unit_range(tf.cast(levels, tf.uint8))
    assert unit.numpy()[[0, 255]].tolist() == [-1.0, 1.0]
    np.testing.assert_array_equal(images.to_uint8(unit), levels)
    assert images.to_unit_range(tf.constant([0, 65535], tf.uint16)).numpy().tolist() == [-1.0, 1.0]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_graph_scales_as_python_does_to_the_last_bit(dtype):
    levels = np.arange(np.iinfo(dtype).max + 1).astype(dtype)
    in_graph = tf.function(images.to_unit_range, input_signature=[tf.TensorSpec([None], dtype)])
    np.testing.assert_array_equal(in_graph(levels), images.to_unit_range(tf.constant(levels)))


@pytest.mark.parametrize("channels", [1, 3])
def test_files_become_floats_in_the_depth_that_they_have(channels):
    decode_floats = tf.function(
        lambda data: images.decode_to_unit_range(data, channels),
        input_signature=[tf.TensorSpec([], tf.string)],
    )
    for data, dtype in (
        (deep_png(DEEP[..., :3], 2), tf.uint16),
        (encode(Image.fromarray(RGBA), "PNG"), tf.uint8),
        (encode(smooth(), "JPEG"), tf.uint8),
    ):
        expected = images.to_unit_range(images.decode_image(tf.constant(data), channels, dtype))
        np.testing.assert_array_equal(decode_floats(data), expected)


def test_to_uint8_saturates_and_survives_nan():
    values = tf.constant([-9.0, -np.inf, np.nan, 9.0, np.inf])
    assert images.to_uint8(values).numpy().tolist() == [0, 0, 0, 255, 255]


@pytest.mark.parametrize("channels", [1, 3])
def test_encoded_png_decodes_to_the_same(channels):
    image = RGBA[..., :channels]
    data = images.encode_png(tf.constant(image)).numpy()
    np.testing.assert_array_equal(decode(data, channels), image)
    assert Image.open(io.BytesIO(data)).mode == {1: "L", 3: "RGB"}[channels]


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("grey.png", encode(Image.fromarray(RGBA[..., 0]), "PNG"), ("PNG", 1, 8)),
        ("one bit.png", encode(Image.fromarray(RGBA[..., 0]).convert("1"), "PNG"), ("PNG", 1, 8)),
        ("alpha.png", encode(Image.fromarray(RGBA), "PNG"), ("PNG", 3, 8)),
        ("palette.png", encode(Image.fromarray(RGBA[..., :3]).quantize(4), "PNG"), ("PNG", 3, 8)),
        ("deep grey.png", deep_png(DEEP[..., 0], 0), ("PNG", 1, 16)),
        ("deep.png", deep_png(DEEP[..., :3], 2), ("PNG", 3, 16)),
        ("cmyk.jpg", encode(Image.fromarray(RGBA, mode="CMYK"), "JPEG"), ("JPEG", 3, 8)),
        ("x.bmp", encode(Image.fromarray(RGBA[..., :3]), "BMP"), ("BMP", 3, 8)),
        ("x.gif", encode(Image.fromarray(RGBA[..., :3]).quantize(4), "GIF"), ("GIF", 3, 8)),
        ("x.webp", encode(Image.fromarray(RGBA), "WEBP"), ("WEBP", 3, 8)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_header_says_what_a_viewer_sees(tmp_path, name, data, expected):
    path = tmp_path / name
    path.write_bytes(data)
    file_format, channels, bits = expected
    assert images.read_header(path) == images.ImageHeader(file_format, HEIGHT, WIDTH, channels, bits)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_header_has_the_size_after_orientation(tmp_path, file_format):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned"
    path.write_bytes(encode(smooth(24, 40), file_format, exif=exif.tobytes()))
    header = images.read_header(path)
    assert (header.height, header.width) == (40, 24)
    assert tuple(images.load_image(path, channels=1).shape) == (40, 24, 1)


@pytest.mark.parametrize("side", [8193, 30_000, 2_000_000_000])
def test_too_many_pixels_are_refused_by_the_header(tmp_path, side, recwarn):
    path = tmp_path / "bomb.png"
    path.write_bytes(png([bytes(30)], side, 8, 2, height=side))
    with pytest.raises(DataError, match=re.escape(str(path)) + ".* the limit of 67108864"):
        images.load_image(path, channels=3)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"just text", "not an image"),
        (encode(smooth(), "TIFF"), "TIFF images are not supported; convert"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "HEIC and AVIF images are not supported; convert"),
        (b"\x89PNG\r\n\x1a\n\0\0", "damaged or truncated PNG"),
        (b"\xff\xd8\xff\xe0", "damaged or truncated JPEG"),
        (b"RIFF\n\0?\0WEBPVP8 ", "damaged or truncated WEBP"),
        (b"RIFF\n\0?\0WAVEfmt ", "not an image"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unusable_files_are_named_with_the_reason(tmp_path, data, reason):
    path = tmp_path / "x.png"
    path.write_bytes(data)
    with pytest.raises(DataError, match=reason) as caught:
        images.read_header(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_missing_files_and_folders_are_no_images(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        images.load_image(tmp_path / "x.png", channels=3)
    with pytest.raises(DataError, match="a folder"):
        images.load_image(tmp_path, channels=3)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.JPG", True), ("사진 1.webp", True), (".a.png", False), ("._a.png", False), ("Thumbs.db", False)],
)
def test_image_files_are_known_by_name(tmp_path, name, expected):
    assert images.is_image_file(tmp_path / name) is expected
