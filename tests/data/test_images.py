"""Image files of every kind against what numpy and Pillow see in them."""

import io
import re
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
import tifffile
from PIL import Image, ImageOps

from pix2pix_tf.data import reading
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.errors import DataError, SystemFault
from tests.data.image_files import DEEP, HEIGHT, RGBA, WIDTH, deep_png, encode, exif, png, smooth

LOSSLESS = {
    "PNG": {},
    "BMP": {},
    "GIF": {},
    "WEBP": {"lossless": True, "exact": True},
    "TIFF": {"compression": "tiff_lzw"},
    "JPEG2000": {"irreversible": False},
    "PPM": {},
}


def read(source, channels=3, dtype=None, values=None, **limit):
    bits = 16 if dtype == np.uint16 or values else 8
    return reading.read_image(source, PixelFormat(channels, bits=bits, value_range=values), **limit)


def over_white(color, alpha, white=255):
    """The definition, in floating point, rounded half up: color [..., 3], alpha [...] in [0, white]."""
    share = alpha[..., None] / white
    return np.floor(color * share + white * (1 - share) + 0.5).astype(int)


@pytest.mark.parametrize("file_format", LOSSLESS)
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_lossless_formats_decode_exactly(file_format, mode):
    image = Image.fromarray(RGBA[..., :3]).convert(mode)
    if file_format == "GIF" and mode == "RGB":
        image = image.quantize(16)
    if file_format in ("JPEG2000", "PPM") and mode in ("1", "P"):
        image = image.convert("L")
    data = encode(image, file_format, **LOSSLESS[file_format])
    np.testing.assert_array_equal(read(data, 3), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("file_format", ["AVIF", "JPEG"])
def test_lossy_formats_are_as_pillow_sees_them(file_format):
    data = encode(smooth(), file_format)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(read(data, 3), expected)
    assert np.abs(expected.astype(int) - np.asarray(smooth())).mean() < 5


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_seen_over_white(file_format):
    data = encode(Image.fromarray(RGBA), file_format, **LOSSLESS[file_format])
    np.testing.assert_array_equal(read(data, 3), over_white(RGBA[..., :3], RGBA[..., 3]))


@pytest.mark.parametrize("file_format", ["PNG", "GIF"])
def test_a_transparent_color_of_a_palette_is_white(file_format):
    image = Image.fromarray(RGBA[..., :3]).quantize(16)
    indices = np.asarray(image)
    expected = np.asarray(image.convert("RGB")).copy()
    expected[indices == indices[2, 3]] = 255
    data = encode(image, file_format, transparency=int(indices[2, 3]))
    np.testing.assert_array_equal(read(data, 3), expected)


def test_sixteen_bits_are_blended_in_full_depth():
    expected = over_white(DEEP[..., :3].astype(np.float64), DEEP[..., 3], white=65535)
    np.testing.assert_array_equal(read(deep_png(DEEP, 6), 3, np.uint16), expected)


def test_sixteen_bits_are_rounded_to_eight_and_back():
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    eight = read(deep_png(every, 0), channels=1)[..., 0]
    np.testing.assert_array_equal(eight, np.round(every / 257))
    data = encode(Image.fromarray(RGBA[..., :3]), "PNG")
    expected = RGBA[..., :3].astype(int) * 257
    np.testing.assert_array_equal(read(data, 3, np.uint16), expected)


def test_color_becomes_gray_by_luma():
    data = encode(Image.fromarray(RGBA[..., :3]), "PNG")
    luma = np.floor(RGBA[..., :3] @ np.array([299, 587, 114]) / 1000 + 0.5)
    np.testing.assert_array_equal(read(data, channels=1)[..., 0], luma)


@pytest.mark.parametrize(
    ("file_format", "orientation"),
    [*(("JPEG", orientation) for orientation in range(1, 9)), ("PNG", 6), ("WEBP", 8)],
)
def test_exif_orientation_is_honoured(orientation, file_format):
    data = encode(smooth(24, 40), file_format, exif=exif(orientation), **LOSSLESS.get(file_format, {}))
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    np.testing.assert_array_equal(read(data, 3), expected)
    header = reading.inspect_image(data)[0]
    assert (header.height, header.width) == expected.shape[:2]


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_animations_and_pages_give_the_first(file_format):
    frames = [Image.fromarray(RGBA[..., :3]).quantize(16).convert("RGB"), smooth(HEIGHT, WIDTH)]
    data = encode(frames[0], file_format, save_all=True, append_images=frames[1:], **LOSSLESS[file_format])
    np.testing.assert_array_equal(read(data, 3), np.asarray(frames[0]))


def test_a_pipeline_reads_files_and_bytes_and_says_which_is_broken(tmp_path):
    good, bad = tmp_path / "건물 1.png", tmp_path / "bad.png"
    Image.fromarray(RGBA[..., :3]).save(good)
    bad.write_bytes(FAULTY["PNG"])
    paths = tf.data.Dataset.from_tensor_slices([str(good), str(bad)])
    read = iter(paths.map(lambda path: reading.load_in_pipeline(path, PixelFormat(3))))
    np.testing.assert_array_equal(next(read), RGBA[..., :3])
    with pytest.raises(tf.errors.UnknownError, match=re.escape(str(bad))):
        next(read)
    decoded = reading.decode_in_pipeline(tf.constant(good.read_bytes()), PixelFormat(3))
    np.testing.assert_array_equal(decoded, RGBA[..., :3])


HEADERS = {
    "gray": (encode(Image.fromarray(RGBA[..., 0]), "PNG"), 1, 8, False),
    "one bit": (encode(Image.fromarray(RGBA[..., 0]).convert("1"), "PNG"), 1, 8, False),
    "alpha": (encode(Image.fromarray(RGBA), "PNG"), 3, 8, True),
    "palette": (encode(Image.fromarray(RGBA[..., :3]).quantize(4), "GIF"), 3, 8, False),
    "CMYK": (encode(Image.fromarray(RGBA, mode="CMYK"), "JPEG"), 3, 8, False),
    "deep gray": (deep_png(DEEP[..., 0], 0), 1, 16, False),
    "BMP": (encode(Image.fromarray(RGBA[..., :3]), "BMP"), 3, 8, False),
    "WebP": (encode(Image.fromarray(RGBA), "WEBP"), 3, 8, True),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_header_says_what_a_viewer_sees(kind):
    data, channels, bits, has_alpha = HEADERS[kind]
    expected = reading.ImageHeader(HEIGHT, WIDTH, channels, bits, has_alpha=has_alpha)
    assert reading.inspect_image(data)[0] == expected


@pytest.mark.parametrize("side", [8193, 30_000, 2_000_000_000])
def test_too_many_pixels_are_refused_by_the_header(tmp_path, side, recwarn):
    path = tmp_path / "bomb.png"
    path.write_bytes(png([bytes(30)], side, 8, 2, height=side))
    with pytest.raises(DataError, match=re.escape(str(path)) + ".* the limit of 67108864"):
        read(path, channels=3)
    assert not recwarn.list


def test_other_limits_missing_files_folders_and_too_little_memory(tmp_path, save_image, monkeypatch):
    path = tmp_path / "a.png"
    with pytest.raises(DataError, match="no such file"):
        read(path)
    with pytest.raises(DataError, match="a folder"):
        read(tmp_path)
    save_image(path, width=40, height=30)
    assert read(path, most_pixels=1200).shape == (30, 40, 3)
    with pytest.raises(DataError, match="1199"):
        read(path, most_pixels=1199)

    def without_memory(*_):
        raise MemoryError

    monkeypatch.setattr(reading, "_converted", without_memory)
    with pytest.raises(SystemFault, match=re.escape(str(path))):
        read(path)


@pytest.mark.parametrize("kind", ["PPM", "BMP", "TIFF", "PNG"])
def test_a_claim_of_more_pixels_than_there_are_bits_takes_no_memory(kind):
    data = encode(Image.new("1", (2000, 2000)), kind)[: 100 if kind == "PNG" else 1000]
    with pytest.raises(DataError):
        reading.inspect_image(data)


def tiff(array, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, array, **options)
    return file.getvalue()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


BANDS = np.random.default_rng(2).integers(0, 4000, (HEIGHT, 40, 5), dtype=np.uint16)
CHANNELS_FIRST = np.moveaxis(BANDS, -1, 0)
RASTERS = {
    "bands.tif": tiff(BANDS, planarconfig="contig"),
    "planes.tif": tiff(CHANNELS_FIRST, photometric="minisblack", planarconfig="separate"),
    "pages.tif": tiff(CHANNELS_FIRST, photometric="minisblack"),
    "bands.npy": npy(BANDS),
    "first.npy": npy(np.ascontiguousarray(CHANNELS_FIRST.repeat(4, axis=1))[:, ::4]),
}


@pytest.mark.parametrize("name", RASTERS)
def test_bands_are_read_as_they_are_stored(name):
    data, values = RASTERS[name], (int(BANDS.min()), int(BANDS.max()))
    assert reading.inspect_image(data)[0] == reading.ImageHeader(HEIGHT, 40, 5, 16, values)
    np.testing.assert_array_equal(read(data, 5, None, (0, 65535)), BANDS)
    with pytest.raises(DataError, match="5 channels"):
        read(data, 3, None, values)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.int32])
def test_measurements_are_spread_over_the_levels_of_a_range(dtype):
    numbers = np.linspace(-300, 300, 40).reshape(5, 8).astype(dtype)
    for data in (npy(numbers), tiff(numbers)):
        with pytest.raises(DataError, match="range"):
            read(data, 1)
        levels = read(data, 1, None, (-200.0, 300.0))
        assert levels.dtype == np.uint16
        expected = (numbers.astype(float).clip(-200, 300) + 200) / 500 * 65535
        np.testing.assert_array_equal(levels[..., 0], np.round(expected).clip(1))


def test_numbers_that_are_none_are_the_lowest():
    data = npy(np.array([[np.nan, -1.0], [0.5, 3.0]]))
    assert reading.inspect_image(data)[0].values == (-1.0, 3.0)
    assert read(data, 1, None, (-1.0, 3.0))[..., 0].tolist() == [[1, 1], [24576, 65535]]
    with pytest.raises(DataError, match="value"):
        reading.inspect_image(npy(np.full((4, 4), np.nan)))


@pytest.mark.parametrize("form", [npy, tiff])
def test_many_wide_bands_are_too_many_bytes(form):
    data = form(np.ones((40, 40, 4), np.uint16))
    assert read(data, 4, None, (0, 1), most_pixels=40 * 40).shape == (40, 40, 4)
    with pytest.raises(DataError, match="MB"):
        read(form(np.ones((40, 40, 5), np.uint16)), 4, None, (0, 1), most_pixels=40 * 40)


def bomb(array):
    """A TIFF whose only strip unpacks to more than its pixels."""
    data = tiff(array, compression="zlib", metadata=None)
    with tifffile.TiffFile(io.BytesIO(data)) as opened:
        page = opened.pages.first
        [offset], [size] = page.dataoffsets, page.databytecounts
    more = zlib.compress(array.tobytes() * 2, 9)
    count = struct.pack("<HI", 4, 1)
    changed = data.replace(count + struct.pack("<I", offset), count + struct.pack("<I", len(data)))
    return changed.replace(count + struct.pack("<I", size), count + struct.pack("<I", len(more))) + more


FAULTY = {
    "empty": b"",
    "not an image": b"hello, I am text",
    "PNG": encode(Image.fromarray(RGBA), "PNG")[:80],
    "JPEG": encode(smooth(), "JPEG")[:-40],
    "GIF": encode(smooth().quantize(16), "GIF")[:-40],
    "WebP": encode(smooth(), "WEBP")[:-40],
    "BMP": encode(smooth(), "BMP")[:-40],
    "TIFF": encode(smooth(), "TIFF")[:400],
    "HEIC": b"\0\0\0\x18ftypheic" + bytes(40),
}
HOSTILE = {
    "an object": npy(np.array([{"a": 1}], dtype=object)),
    "complex": npy(np.zeros((4, 4), complex)),
    "one axis": npy(np.zeros(4)),
    "too many bands": npy(np.zeros((20, 20, 17))),
    "cut": npy(np.zeros((40, 40)))[:-9],
    "a claim": npy(np.zeros((40, 40))).replace(b"(40, 40)", b"(9999999999, 9999999999)"),
    "a TIFF's claim": tiff(np.zeros((40, 40)), metadata=None).replace(
        struct.pack("<HHII", 257, 4, 1, 40), struct.pack("<HHII", 257, 4, 1, 30_000)
    ),
    "a bomb in a TIFF": bomb(np.zeros((40, 40))),
    "a cut TIFF": tiff(np.zeros((40, 40, 5), np.uint16), planarconfig="contig")[:-90],
}


@pytest.mark.parametrize("kind", [*FAULTY, *HOSTILE])
def test_faulty_files_are_refused_in_a_line_that_names_the_file(kind, tmp_path):
    path = tmp_path / "broken.png"
    path.write_bytes({**FAULTY, **HOSTILE}[kind])
    with pytest.raises(DataError, match=kind if kind in FAULTY else None) as caught:
        read(path, 1, None, None if kind in FAULTY else (0.0, 1.0))
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_bands_can_not_be_seen(monkeypatch):
    kinds = {"PNG": "RGBA", "JPEG": "RGB", "WEBP": "RGB", "TIFF": "CMYK"}
    exif = Image.Exif()
    exif[0x0112] = 6
    files = []
    for kind, mode in kinds.items():
        file = io.BytesIO()
        Image.effect_noise((37, 29), 90).convert("RGB").convert(mode).save(file, kind, exif=exif)
        files.append((file.getvalue(), 3, None))
    measured = np.arange(37 * 29, dtype=np.float32).reshape(37, 29)
    files.append((npy(measured), 1, (0.0, 1072.0)))
    for data, channels, values in files:
        whole, (header, *_) = read(data, channels, None, values), reading.inspect_image(data)
        monkeypatch.setattr(reading.stored, "_BAND", 100)
        np.testing.assert_array_equal(read(data, channels, None, values), whole)
        assert reading.inspect_image(data)[0].numbers.values == header.numbers.values
        monkeypatch.undo()


EIGHT = np.random.default_rng(3).integers(0, 256, (10, 14, 5), dtype=np.uint8)
ORIENTED = {  # by the definition of the tag
    1: EIGHT, 2: EIGHT[:, ::-1], 3: EIGHT[::-1, ::-1], 4: EIGHT[::-1],
    5: EIGHT.swapaxes(0, 1), 6: EIGHT.swapaxes(0, 1)[:, ::-1],
    7: EIGHT.swapaxes(0, 1)[::-1, ::-1], 8: EIGHT.swapaxes(0, 1)[::-1],
}  # fmt: skip
LAYOUTS = {
    "strips": {"rowsperstrip": 4},
    "tiles": {"tile": (16, 16)},
    "planes": {"planarconfig": "separate"},
    "pages": {"pages": True},
}
KINDS_OF_TIFF = [
    (kind, layout, photometric, bands, orientation)
    for layout in LAYOUTS
    for photometric, bands in [
        ("minisblack", 1), ("miniswhite", 1), ("rgb", 3), ("rgb", 4), ("minisblack", 5), ("miniswhite", 5)
    ]
    for kind in (np.uint8, np.uint16, np.float32, np.int16)
    for orientation in ORIENTED
    if not (layout in ("planes", "pages") and bands == 1) and not (layout == "pages" and photometric == "rgb")
    if photometric != "miniswhite" or np.issubdtype(kind, np.unsignedinteger)
    if orientation in (1, 6) or (layout == "strips" and photometric != "miniswhite" and kind is not np.int16)
]  # fmt: skip


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32, np.int16])
def test_a_tiff_of_any_depth_is_read_as_its_twin_of_8_bits(kind):
    for number_type, layout, photometric, bands, orientation in KINDS_OF_TIFF:
        if number_type is not kind:
            continue
        stored = EIGHT[..., :bands].astype(kind) * (257 if kind is np.uint16 else 1)
        if photometric == "miniswhite":
            stored = np.iinfo(kind).max - stored
        options = {"photometric": photometric, "metadata": None, **LAYOUTS[layout]}
        if bands == 4:
            options["extrasamples"] = ["unspecified"]
        first = options.pop("pages", False)
        if first or layout == "planes":
            stored = np.ascontiguousarray(np.moveaxis(stored, -1, 0))
        elif bands > 1:
            options["planarconfig"] = "contig"
        else:
            stored = stored[..., 0]
        data = tiff(stored, extratags=[(274, 3, 1, orientation, True)], **options)
        values = {np.uint16: (0, 65535), np.uint8: None}.get(kind, (0, 255))
        dtype = np.uint8 if kind is np.uint8 else np.uint16
        decoded = read(data, bands, dtype, values)
        expected = ORIENTED[orientation][..., :bands].astype(dtype) * (1 if dtype is np.uint8 else 257)
        if values is not None:  # level 0 is that of missing pixels
            expected = expected.clip(1)
        np.testing.assert_array_equal(decoded, expected, f"{layout} {photometric} {bands} {orientation}")


def jpeg2000(array):
    codecs = pytest.importorskip("imagecodecs")
    return codecs.jpeg2k_encode(array, level=0, reversible=True)


def ppm(array, highest=65535):
    return f"P6 {WIDTH} {HEIGHT} {highest}\n".encode() + array.astype(">u2").tobytes()


DEEP_FILES = {
    "PPM": lambda rgb: ppm(rgb),
    "plain PPM": lambda rgb: (
        f"P3 {WIDTH} {HEIGHT} 65535\n# text\n".encode() + " ".join(map(str, rgb.ravel())).encode()
    ),
    "JPEG 2000": jpeg2000,
    "PNG": lambda rgb: deep_png(rgb, 2),
    "TIFF": lambda rgb: tiff(rgb, photometric="rgb"),
    "planar TIFF": lambda rgb: tiff(np.moveaxis(rgb, -1, 0), photometric="rgb", planarconfig="separate"),
    "LZW TIFF": lambda rgb: (
        pytest.importorskip("imagecodecs") and tiff(rgb, photometric="rgb", compression="lzw", predictor=True)
    ),
}


@pytest.mark.parametrize("kind", DEEP_FILES)
def test_colors_of_16_bits_keep_their_depth_in_every_format(kind):
    header, pixels, _ = reading.inspect_image(DEEP_FILES[kind](DEEP[..., :3]))
    assert (header.channels, header.bits) == (3, 16)
    np.testing.assert_array_equal(pixels, DEEP[..., :3])


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "JPEG2000"])
def test_grays_of_16_bits_keep_their_depth(file_format):
    data = encode(Image.fromarray(DEEP[..., 0]), file_format)
    np.testing.assert_array_equal(read(data, 1, np.uint16), DEEP[..., :1])


def test_12_bits_are_spread_over_16():
    expected = np.round(DEEP[..., :3] // 16 / 4095 * 65535)
    np.testing.assert_array_equal(read(ppm(DEEP[..., :3] // 16, 4095), 3, np.uint16), expected)


def test_samples_above_the_stated_highest_are_clipped():
    rgb = np.full((HEIGHT, WIDTH, 3), 2000, np.uint16)
    np.testing.assert_array_equal(read(ppm(rgb, 1000), 3, np.uint16), np.full_like(rgb, 65535))


def test_a_bmp_of_16_bits_a_pixel_has_8_bits_a_sample(capfd):
    colors = struct.pack("<4H", 0xF800, 0x07E0, 0x001F, 0xFFFF)
    masks = struct.pack("<III", *struct.unpack("<3H", colors[:6]))  # of 5, 6 and 5 bits
    start = 54 + len(masks)
    data = struct.pack("<2sIHHI", b"BM", start + len(colors), 0, 0, start)
    data += struct.pack("<IiiHHIIiiII", 40, 4, 1, 1, 16, 3, len(colors), 0, 0, 0, 0) + masks + colors
    header, pixels, _ = reading.inspect_image(data)
    assert (header.channels, header.bits) == (3, 8)
    assert pixels[0].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]
    assert capfd.readouterr().err == ""


def test_a_fourth_sample_is_alpha_only_where_it_is_declared_so():
    for dtype, values in ((np.uint8, None), (np.uint16, (0, 65535))):
        bands = (DEEP if dtype == np.uint16 else RGBA).astype(dtype)
        data = tiff(bands, photometric="rgb", extrasamples=["unspecified"])
        assert reading.inspect_image(data)[0].channels == 4
        np.testing.assert_array_equal(read(data, 4, None, values), bands)
        with pytest.raises(DataError, match="4 channels"):
            read(data, 3, None, values)
        data = tiff(bands, photometric="rgb", extrasamples=["unassalpha"])
        header, pixels, _ = reading.inspect_image(data)
        assert (header.channels, header.has_alpha) == (3, True)
        white = np.iinfo(dtype).max
        np.testing.assert_array_equal(pixels, over_white(bands[..., :3].astype(float), bands[..., 3], white))
        np.testing.assert_array_equal(read(data, 4, dtype), bands)


def test_colors_multiplied_by_alpha_are_divided_again():
    alpha = np.full((HEIGHT, WIDTH, 1), 32768, np.uint16)
    color = (DEEP[..., :3].astype(np.int64) * 32768 // 65535).astype(np.uint16)
    data = tiff(np.concatenate([color, alpha], -1), photometric="rgb", extrasamples=["assocalpha"])
    decoded = read(data, 4, np.uint16)
    assert np.abs(decoded[..., :3].astype(int) - DEEP[..., :3]).max() <= 2


def test_pages_that_are_no_bands_are_refused_and_of_colors_the_first_is_read():
    data = tiff(CHANNELS_FIRST, imagej=True, metadata={"axes": "ZYX"})
    with pytest.raises(DataError, match="pages"):
        read(data, 5, np.uint16, (0, 1))
    pages = np.stack([DEEP[..., :3], DEEP[..., 1:]])
    data = tiff(pages, photometric="rgb")
    np.testing.assert_array_equal(read(data, 3, np.uint16), pages[0])
