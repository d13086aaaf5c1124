"""Pixels without a value: which ones are, what a side is then like, and what is said of undeclared ones."""

import re

import numpy as np
import pytest
import tensorflow as tf
import tifffile
from PIL import Image

from pix2pix_tf import load, preset, replace, train
from pix2pix_tf.data.dataset import ImageDataset, Images
from pix2pix_tf.data.pipeline import held_out_images
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.pixels import filled, has_value
from pix2pix_tf.data.reading import read_input
from pix2pix_tf.errors import DataError
from pix2pix_tf.exporting.options import ExportOptions
from pix2pix_tf.exporting.samples import open_samples
from pix2pix_tf.formats.run import translators_for
from pix2pix_tf.models.base import PublishedGenerator
from pix2pix_tf.models.registry import model_for
from pix2pix_tf.training.validation import Validation
from tests.conftest import small_config
from tests.data.folders import check_folder, open_folder

GDAL_NODATA = 42113
LOWEST = float(np.finfo(np.float32).min)
HEIGHTS = np.linspace(1, 250, 64 * 64, dtype=np.float32).reshape(64, 64)
CORNER = (slice(0, 10), slice(0, 16))
SHARE = 160 / 4096
HALF = (HEIGHTS / 2 + 20).astype(np.uint8)
IN_CORNER = np.zeros((64, 64), bool)
IN_CORNER[CORNER] = True
CLASSES = np.repeat(np.arange(4, dtype=np.uint8), 16)[:, None].repeat(64, 1)


def write(path, numbers, nodata=None, **options):
    """Writes an image in the format of its suffix; a TIFF declares ``nodata`` as GDAL does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, numbers)
    elif path.suffix == ".png":
        Image.fromarray(numbers).save(path)
    else:
        tags = [] if nodata is None else [(GDAL_NODATA, 2, 0, nodata, True)]
        tifffile.imwrite(path, numbers, extratags=tags, **options)


def with_corner(number, numbers=HEIGHTS):
    numbers = numbers.copy()
    numbers[CORNER] = number
    return numbers


def folder_of(folder, numbers, suffix=".tif", *nodata, sides="AB", **options):
    """Four pairs of a photo and of ``numbers``."""
    for number in range(4):
        photo = np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)
        write(folder / sides[0] / f"{number}.png", photo)
        write(folder / sides[1] / f"{number}{suffix}", numbers, *nodata, **options)
    return folder


def first_pair(dataset):
    return [image.numpy() for image in dataset.splits["train"][0].read(tf.constant(0))]


def findings(folder, **options):
    return check_folder(folder, image_size=64, **options).findings


def codes(folder, **options):
    return {finding.code for finding in findings(folder, **options)} - {"too-few"}


@pytest.mark.parametrize(
    ("dtype", "number", "nodata"),
    [
        (np.float32, -9999, "-9999"),
        (np.float32, -9999, "-9.999e+03"),
        (np.float32, LOWEST, "-3.4028234663852886e+38"),
        (np.float32, LOWEST, "-3.40282346638529e+38"),  # not castable to float32 by itself
        (np.float64, LOWEST, "-3.4e+38"),
        (np.float32, LOWEST, "-1.7976931348623157e+308"),  # of float64
        (np.float32, np.nan, "nan"),
        (np.float32, np.nan, None),
        (np.float32, np.inf, None),
        (np.int16, -32768, "-32768"),
        (np.int32, 0, " 0 "),
    ],
)
def test_missing_pixels_of_measurements_become_0(tmp_path, caplog, dtype, number, nodata):
    numbers = with_corner(number, HEIGHTS.astype(dtype))
    folder = folder_of(tmp_path, numbers, ".tif", nodata)
    dataset = open_folder(folder)
    side = dataset.sides[1]
    assert side.value_range == (numbers[0, 16], 250)
    assert side.missing == 0
    target = first_pair(dataset)[1][..., 0]
    np.testing.assert_array_equal(target == 0, IN_CORNER)
    assert target[0, 16] == 1  # the lowest value
    assert not caplog.records
    assert codes(folder) == {"missing-pixels"}


def test_a_pixel_without_a_value_in_one_band_is_missing(tmp_path):
    bands = np.random.default_rng(0).random((64, 64, 5)).astype(np.float32)
    bands[0, 0, 2] = np.nan
    folder = folder_of(tmp_path, bands, ".npy")
    dataset = open_folder(folder)
    target = first_pair(dataset)[1]
    assert (target[0, 0] == 0).all()
    assert (target > 0).sum() == target.size - 5


@pytest.mark.parametrize(("dtype", "nodata"), [(np.uint8, 0), (np.uint8, 255), (np.uint16, 65535)])
def test_integer_images_keep_their_declared_nodata_value(tmp_path, dtype, nodata):
    numbers = with_corner(nodata, (HEIGHTS / 2 + 20).astype(dtype))
    folder = folder_of(tmp_path, numbers, ".tif", str(nodata))
    dataset = open_folder(folder)
    assert dataset.sides[1].missing == nodata
    assert dataset.sides[1].value_range is None
    np.testing.assert_array_equal(first_pair(dataset)[1][..., 0], numbers)
    assert open_folder(folder, output_range=(0.0, 300.0)).sides[1].missing == 0


def test_different_nodata_values_are_refused(tmp_path):
    numbers = with_corner(0, HALF)
    folder = folder_of(tmp_path, numbers, ".tif", "0")
    assert "other-nodata" not in codes(folder)
    write(folder / "B" / "2.tif", with_corner(255, numbers), "255")
    assert "other-nodata" in codes(folder)
    for input_range in (None, (0, 255)):
        with pytest.raises(DataError, match=r"2\.tif"):
            open_folder(folder, input_range=input_range)
    dataset = open_folder(folder, output_range=(0, 255))
    for pairs in dataset.splits.values():
        for at in range(len(pairs[0])):
            target = pairs[0].read(tf.constant(at))[1].numpy()[..., 0]
            np.testing.assert_array_equal(target == 0, IN_CORNER)
    for kind in ("unpaired", "images"):
        open_folder(folder, kind=kind, output_range=(0, 255))


def test_colors_are_missing_if_all_channels_are_nodata(tmp_path):
    colors = np.full((64, 64, 3), 100, np.uint8)
    colors[0, 0], colors[0, 1] = 0, (0, 0, 9)
    folder = folder_of(tmp_path, colors, ".tif", "0", photometric="rgb")
    [found] = [finding for finding in findings(folder) if finding.code == "missing-pixels"]
    assert len(found.cases) == 4
    assert f"{1 / 4096:.2%}" in found.message


def test_a_file_that_declares_nodata_and_has_none_changes_nothing(tmp_path):
    folder = folder_of(tmp_path, HEIGHTS, ".tif", "-9999")
    assert open_folder(folder).sides[1].missing is None
    assert first_pair(open_folder(folder))[1].min() == 1  # as if some were missing


def test_an_image_without_any_value_is_refused(tmp_path):
    folder = folder_of(tmp_path, HEIGHTS, ".tif", "-9999")
    write(folder / "B" / "2.tif", np.full_like(HEIGHTS, -9999), "-9999")
    with pytest.raises(DataError, match=r"2\.tif.*no"):
        open_folder(folder)
    assert open_folder(folder, skip_bad_images=True).sides[1].value_range == (1, 250)


@pytest.mark.parametrize(
    ("dtype", "sentinel", "suffix"),
    [
        (np.float32, -9999, ".npy"),
        (np.float32, LOWEST, ".npy"),
        (np.int16, -32768, ".npy"),
        (np.uint16, 65535, ".tif"),
        (np.float64, 1e31, ".npy"),
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_undeclared_sentinels_are_named_and_can_be_declared(tmp_path, dtype, sentinel, suffix, swapped):
    numbers, letter = with_corner(sentinel, HEIGHTS.astype(dtype)), "A" if swapped else "B"
    folder = folder_of(tmp_path, numbers, suffix, sides="BA" if swapped else "AB")
    (found,) = [each for each in findings(folder) if each.code == "sentinel"]
    assert f"{sentinel:.9g}" in found.message
    assert f"{SHARE:.2%}" in found.message
    assert f"side {letter}" in found.message
    assert f"--ignore {sentinel:.9g}" in found.fix
    assert len(found.cases) == 4
    assert any(f"--ignore {sentinel:.9g}" in note for note in open_folder(folder).notes)

    dataset = open_folder(folder, ignore=sentinel)
    assert "sentinel" not in codes(folder, ignore=sentinel)
    side = dataset.sides["AB".index(letter)]
    level = side.missing
    assert level == (sentinel if side.value_range is None else 0)
    assert (first_pair(dataset)["AB".index(letter)] == level).mean() == SHARE
    photo = dataset.sides["BA".index(letter)]
    assert (photo.missing, photo.ignore) == (None, None)


def test_hardly_used_ranges_are_found_behind_a_few_extreme_values(tmp_path):
    """As a declared range shows what would fit."""
    numbers = HEIGHTS.copy()
    numbers[0, :8] = np.linspace(300, 20000, 8)
    folder = folder_of(tmp_path, numbers, ".npy")
    (found,) = [each for each in findings(folder) if each.code == "faint"]
    low, high = map(float, re.findall(r"-?\d[\d.]*", found.fix))
    assert -20 < low < 10
    assert 240 < high < 280
    assert any("--output-range" in note for note in open_folder(folder).notes)
    assert not open_folder(folder, output_range=(low, high)).notes


@pytest.mark.parametrize("void", [None, 255])
def test_class_numbers_with_and_without_void_are_label_maps(tmp_path, void):
    folder = folder_of(tmp_path, CLASSES if void is None else with_corner(void, CLASSES), ".png")
    assert codes(folder) == {"faint", "undeclared-label-maps", *(["sentinel"] if void else [])}
    (found,) = [each for each in findings(folder) if each.code == "faint"]
    assert found.message.endswith("0, 1, 2, 3")


@pytest.mark.parametrize("levels", [(0, 255), (0, 100, 200, 255), (0, 60, 64, 70, 255)])
def test_masks_and_drawings_have_no_sentinels(tmp_path, levels):
    numbers = np.resize(np.repeat(np.array(levels, np.uint8), 16), (64, 64))
    assert "sentinel" not in codes(folder_of(tmp_path, numbers, ".png"))


def test_ignore_applies_to_the_sides_of_label_maps(tmp_path):
    for file in ("A/1.png", "A/2.png", "B/1.png", "B/2.png"):
        write(tmp_path / file, with_corner(255, CLASSES))
    both, named = (open_folder(tmp_path, ignore=255, label_maps=maps).sides for maps in ("auto", "B"))
    assert [side.missing for side in both] == [255, 255]
    assert [side.missing for side in named] == [None, 255]


def test_a_changed_ignore_checks_the_images_again(tmp_path):
    folder = folder_of(tmp_path / "data", with_corner(-9999), ".npy")
    lowest = float(HEIGHTS[0, 16])
    for ignore, low in ((None, -9999), (-9999, lowest), (None, -9999)):
        dataset = open_folder(folder, ignore=ignore)
        assert dataset.sides[1].value_range == (low, 250)


@pytest.mark.parametrize(("declared", "ignore", "is_color"), [("0", None, False), (None, 0, True)])
def test_valid_pixels_never_get_the_value_of_missing_ones(tmp_path, declared, ignore, is_color):
    """Neither where a file declares nothing, nor in colors beside gray images that have an `ignore`."""
    gray = with_corner(0, HALF)
    folder_of(tmp_path, gray[..., None].repeat(3, 2) if is_color else gray)
    write(tmp_path / "B" / "0.tif", gray, declared)
    dataset = open_folder(tmp_path, ignore=ignore)
    side = dataset.sides[1]
    for [pairs] in dataset.splits.values():
        for number, name in enumerate(pairs.names):
            target = pairs.read(tf.constant(number))[1]
            missing = ~has_value(target, side.missing).numpy()[..., 0]
            assert missing.mean() == (SHARE if name == "0" else 0)
            read = read_input(tmp_path / "B" / f"{name}.tif", PixelFormat(side.channels, ignore=ignore))
            np.testing.assert_allclose(filled(target, side.missing).numpy().astype(int), read, atol=1)


@pytest.mark.parametrize("corner", [-9999, 5])
def test_predict_reads_the_pixels_of_training(tmp_path, corner):
    """Whether or not an image has missing pixels, and its data set has some."""
    folder = folder_of(tmp_path, with_corner(corner), ".tif", "-9999", sides="BA")
    write(folder / "A" / "0.tif", with_corner(-9999), "-9999")
    dataset = open_folder(folder)
    side = dataset.sides[0]
    for split, (pairs,) in dataset.splits.items():
        for name, (_, given, _) in zip(
            pairs.names, held_out_images(dataset, (64, 64), 9, split), strict=True
        ):
            read = read_input(folder / "A" / f"{name}.tif", PixelFormat(1, value_range=side.value_range))
            np.testing.assert_array_equal(given, read)


def test_missing_pixels_of_inputs_become_middle_gray(tmp_path):
    path = tmp_path / "a.tif"
    write(path, with_corner(-9999), "-9999")
    clipped = [0, 0]
    image = read_input(path, PixelFormat(1, value_range=(1, 200)), clipped=clipped)
    assert set(image[CORNER].ravel()) == {32768}
    valid = HEIGHTS[with_corner(-1) != -1]
    assert clipped == [(valid > 200).sum(), valid.size]
    write(path, with_corner(0, HEIGHTS.astype(np.uint8)), "0")
    assert set(read_input(path, PixelFormat(1))[CORNER].ravel()) == {128}


def test_verification_reads_images_as_predict_does(tmp_path):
    Image.fromarray(with_corner(7, np.full((64, 64), 99, np.uint8))).save(tmp_path / "1.png")
    config = replace(preset(), input_channels=1, ignore=7, image_size=64, base_filters=2, output_channels=3)
    model = model_for(config)
    (translator,) = translators_for(model).values()
    options = ExportOptions(tmp_path, verification_images=tmp_path)
    samples = open_samples(config, model.published_generators(), options)(translator)
    (image,) = samples.held_out((64, 64), 1)
    np.testing.assert_array_equal(image[..., 0], with_corner(128, np.full((64, 64), 99, np.uint8)))


@pytest.mark.slow
def test_training_reports_ranges_and_undeclared_nodata(tmp_path):
    folder = folder_of(tmp_path / "data", with_corner(-9999), ".npy")
    config = replace(
        preset(str(folder)),
        image_size=64,
        base_filters=2,
        steps=1,
        run_dir=tmp_path / "run",
        data_dir=tmp_path,
    )
    lines = []
    train(config, lines.append)
    assert any("-9999 to 250" in line for line in lines)
    assert any("--ignore -9999" in line for line in lines)
    lines.clear()
    declared = replace(config, ignore=-9999, direction="BtoA", run_dir=tmp_path / "declared")
    train(declared, lines.append)
    assert any("1.97289 to 250" in line for line in lines)
    assert not any("-9999" in line for line in lines)
    assert load(tmp_path / "declared").input.ignore == -9999


def test_held_out_targets_without_any_value_are_refused_before_training():
    gone = Images(["a"], lambda _: (tf.zeros([64, 64, 3], tf.uint8), tf.fill([64, 64, 1], np.uint8(7))))
    dataset = ImageDataset(
        "gone", (PixelFormat(), PixelFormat(1, missing=7)), {"train": (gone,), "val": (gone,)}
    )
    with pytest.raises(DataError, match="value"):
        Validation(dataset, small_config(None), {"AtoB": PublishedGenerator("generator", 3, 1)})
