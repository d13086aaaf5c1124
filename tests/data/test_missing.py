"""Pixels without a value: which ones are, what a side is then like, and what is said of undeclared ones."""

import re

import numpy as np
import pytest
import tensorflow as tf
import tifffile
from PIL import Image

from pix2pix_tf import load, preset, replace, train
from pix2pix_tf.data.dataset import ImageDataset, Images
from pix2pix_tf.data.packed import open_pack
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
from tests.data.folders import check_folder, open_folder, pack_folder

GDAL_NODATA = 42113
LOWEST = float(np.finfo(np.float32).min)
HEIGHTS = np.linspace(1, 250, 64 * 64, dtype=np.float32).reshape(64, 64)
CORNER = (slice(0, 10), slice(0, 16))
SHARE = 160 / 4096


def geotiff(path, numbers, nodata=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    tags = [] if nodata is None else [(GDAL_NODATA, 2, 0, nodata, True)]
    tifffile.imwrite(path, numbers, extratags=tags, **options)


def tiffs(numbers, nodata=None, **options):
    return lambda path: geotiff(path.with_suffix(".tif"), numbers, nodata, **options)


def arrays(numbers):
    return lambda path: np.save(path.with_suffix(".npy"), numbers)


def pngs(numbers):
    return lambda path: Image.fromarray(numbers).save(path.with_suffix(".png"))


def with_corner(number, numbers=HEIGHTS):
    numbers = numbers.copy()
    numbers[CORNER] = number
    return numbers


def folder_of(tmp_path, write, count=4, inputs="A", targets="B"):
    """Pairs of photos and of what ``write(path without suffix)`` writes."""
    for number in range(count):
        photo = np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)
        (tmp_path / inputs).mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo).save(tmp_path / inputs / f"{number}.png")
        (tmp_path / targets).mkdir(exist_ok=True)
        write(tmp_path / targets / f"{number}")
    return tmp_path


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
def test_missing_pixels_of_measurements_are_level_0_and_no_values(tmp_path, caplog, dtype, number, nodata):
    numbers = with_corner(number, HEIGHTS.astype(dtype))
    folder = folder_of(tmp_path, tiffs(numbers, nodata))
    dataset = open_folder(folder)
    side = dataset.sides[1]
    assert side.value_range == (numbers[0, 16], 250)
    assert side.missing == 0
    target = dataset.splits["train"][0].read(tf.constant(0))[1].numpy()[..., 0]
    np.testing.assert_array_equal(target == 0, with_corner(0, np.ones((64, 64))) == 0)
    assert target[0, 16] == 1  # the lowest value
    assert not caplog.records
    assert codes(folder) == {"missing-pixels"}


def test_a_pixel_is_missing_as_a_whole_where_a_band_has_no_value(tmp_path):
    bands = np.random.default_rng(0).random((64, 64, 5)).astype(np.float32)
    bands[0, 0, 2] = np.nan
    folder = folder_of(tmp_path, arrays(bands))
    dataset = open_folder(folder)
    target = dataset.splits["train"][0].read(tf.constant(0))[1].numpy()
    assert (target[0, 0] == 0).all()
    assert (target > 0).sum() == target.size - 5


@pytest.mark.parametrize(("dtype", "nodata"), [(np.uint8, 0), (np.uint8, 255), (np.uint16, 65535)])
def test_levels_keep_the_declared_one_for_missing_pixels(tmp_path, dtype, nodata):
    numbers = with_corner(nodata, (HEIGHTS / 2 + 20).astype(dtype))
    folder = folder_of(tmp_path, tiffs(numbers, str(nodata)))
    dataset = open_folder(folder)
    assert dataset.sides[1].missing == nodata
    assert dataset.sides[1].value_range is None
    np.testing.assert_array_equal(dataset.splits["train"][0].read(tf.constant(0))[1][..., 0], numbers)
    assert open_folder(folder, output_range=(0.0, 300.0)).sides[1].missing == 0


def test_levels_that_are_nodata_in_one_file_and_values_in_another_are_refused(tmp_path):
    numbers = with_corner(0, (HEIGHTS / 2 + 20).astype(np.uint8))
    folder = folder_of(tmp_path, tiffs(numbers, "0"))
    assert "other-nodata" not in codes(folder)
    geotiff(folder / "B" / "2.tif", with_corner(255, numbers), "255")
    assert "other-nodata" in codes(folder)
    for input_range in (None, (0, 255)):
        with pytest.raises(DataError, match=r"2\.tif"):
            open_folder(folder, input_range=input_range)
    dataset = open_folder(folder, output_range=(0, 255))
    for pairs in dataset.splits.values():
        for at in range(len(pairs[0])):
            target = pairs[0].read(tf.constant(at))[1].numpy()[..., 0]
            np.testing.assert_array_equal(target == 0, with_corner(0, np.ones((64, 64))) == 0)
    for kind in ("unpaired", "images"):
        open_folder(folder, kind=kind, output_range=(0, 255))


def test_of_colors_all_channels_are_nodata_in_a_missing_pixel(tmp_path):
    colors = np.full((64, 64, 3), 100, np.uint8)
    colors[0, 0], colors[0, 1] = 0, (0, 0, 9)
    folder = folder_of(tmp_path, tiffs(colors, "0", photometric="rgb"))
    [found] = [finding for finding in findings(folder) if finding.code == "missing-pixels"]
    assert len(found.cases) == 4
    assert f"{1 / 4096:.2%}" in found.message


def test_a_file_that_declares_nodata_and_has_none_changes_nothing(tmp_path):
    folder = folder_of(tmp_path, tiffs(HEIGHTS, "-9999"))
    assert open_folder(folder).sides[1].missing is None
    target = open_folder(folder).splits["train"][0].read(tf.constant(0))[1]
    assert target.numpy().min() == 1  # as where some are


def test_an_image_without_any_value_is_refused(tmp_path):
    folder = folder_of(tmp_path, tiffs(HEIGHTS, "-9999"))
    geotiff(folder / "B" / "2.tif", np.full_like(HEIGHTS, -9999), "-9999")
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
    numbers = with_corner(sentinel, HEIGHTS.astype(dtype))

    write = arrays if suffix == ".npy" else tiffs
    folder = folder_of(tmp_path, write(numbers), 4, *("BA" if swapped else "AB"))
    letter = "A" if swapped else "B"
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
    target = dataset.splits["train"][0].read(tf.constant(0))["AB".index(letter)].numpy()
    assert (target == level).mean() == SHARE
    photo = dataset.sides["BA".index(letter)]
    assert (photo.missing, photo.ignore) == (None, None)


def test_hardly_used_ranges_are_found_behind_a_few_extreme_values(tmp_path):
    """As a declared range shows what would fit."""
    numbers = HEIGHTS.copy()
    numbers[0, :8] = np.linspace(300, 20000, 8)
    folder = folder_of(tmp_path, arrays(numbers))
    (found,) = [each for each in findings(folder) if each.code == "faint"]
    low, high = map(float, re.findall(r"-?\d[\d.]*", found.fix))
    assert -20 < low < 10
    assert 240 < high < 280
    assert any("--output-range" in note for note in open_folder(folder).notes)
    assert not open_folder(folder, output_range=(low, high)).notes


@pytest.mark.parametrize("void", [None, 255])
def test_class_numbers_are_label_maps_whatever_stands_for_void(tmp_path, void):
    numbers = np.repeat(np.arange(4, dtype=np.uint8), 16)[:, None].repeat(64, 1)
    numbers = numbers if void is None else with_corner(void, numbers)
    folder = folder_of(tmp_path, pngs(numbers))
    assert codes(folder) == {"faint", "undeclared-label-maps", *(["sentinel"] if void else [])}
    (found,) = [each for each in findings(folder) if each.code == "faint"]
    assert found.message.endswith("0, 1, 2, 3")


@pytest.mark.parametrize("levels", [(0, 255), (0, 100, 200, 255), (0, 60, 64, 70, 255)])
def test_masks_and_drawings_have_no_sentinels(tmp_path, levels):
    numbers = np.resize(np.repeat(np.array(levels, np.uint8), 16), (64, 64))
    folder = folder_of(tmp_path, pngs(numbers))
    assert "sentinel" not in codes(folder)


def test_what_is_ignored_is_so_where_label_maps_are_said_to_be(tmp_path):
    numbers = with_corner(255, np.repeat(np.arange(4, dtype=np.uint8), 16)[:, None].repeat(64, 1))

    folder = folder_of(folder_of(tmp_path, pngs(numbers)), pngs(numbers), targets="A")
    both, named = (open_folder(folder, ignore=255, label_maps=maps).sides for maps in ("auto", "B"))
    assert [side.missing for side in both] == [255, 255]
    assert [side.missing for side in named] == [None, 255]


def test_packs_have_the_missing_pixels_of_their_folders(tmp_path):
    numbers = with_corner(-9999)
    folder = folder_of(tmp_path / "data", tiffs(numbers, "-9999"))
    pack_folder(folder, tmp_path / "pack")
    packed, found = open_pack(tmp_path / "pack"), open_folder(folder)
    assert packed.sides == found.sides
    for one, other in zip(
        *(each.splits["train"][0].read(tf.constant(0)) for each in (packed, found)), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_what_is_ignored_is_looked_for_again_where_it_was_not(tmp_path):
    folder = folder_of(tmp_path / "data", arrays(with_corner(-9999)))
    lowest = float(HEIGHTS[0, 16])
    for ignore, low in ((None, -9999), (-9999, lowest), (None, -9999)):
        dataset = open_folder(folder, ignore=ignore)
        assert dataset.sides[1].value_range == (low, 250)


@pytest.mark.parametrize(("declared", "ignore", "is_color"), [("0", None, False), (None, 0, True)])
def test_values_are_none_of_a_level_that_is_nodata_in_another_file(tmp_path, declared, ignore, is_color):
    """Neither where a file declares nothing, nor in colors beside gray images that have an `ignore`."""
    gray = with_corner(0, (HEIGHTS / 2 + 20).astype(np.uint8))
    other = gray[..., None].repeat(3, 2) if is_color else gray

    def write(path):
        is_first = path.name == "0"
        geotiff(path.with_suffix(".tif"), gray if is_first else other, declared if is_first else None)

    dataset = open_folder(folder_of(tmp_path, write), ignore=ignore)
    side = dataset.sides[1]
    for [pairs] in dataset.splits.values():
        for number, name in enumerate(pairs.names):
            target = pairs.read(tf.constant(number))[1]
            missing = ~has_value(target, side.missing).numpy()[..., 0]
            assert missing.mean() == (SHARE if name == "0" else 0)
            read = read_input(tmp_path / "B" / f"{name}.tif", PixelFormat(side.channels, ignore=ignore))
            np.testing.assert_allclose(filled(target, side.missing).numpy().astype(int), read, atol=1)


@pytest.mark.parametrize("corner", [-9999, 5])
def test_a_model_is_given_the_pixels_of_its_training(tmp_path, corner):
    """Whether or not an image has missing pixels, and its data set has some."""
    folder = folder_of(
        tmp_path,
        lambda path: geotiff(
            path.with_suffix(".tif"), with_corner(-9999 if path.name == "0" else corner), "-9999"
        ),
        targets="A",
        inputs="B",
    )
    dataset = open_folder(folder)
    side = dataset.sides[0]
    for split, (pairs,) in dataset.splits.items():
        for name, (_, given, _) in zip(
            pairs.names, held_out_images(dataset, (64, 64), 9, split), strict=True
        ):
            read = read_input(folder / "A" / f"{name}.tif", PixelFormat(1, value_range=side.value_range))
            np.testing.assert_array_equal(given, read)


def test_inputs_missing_pixels_are_read_as_the_middle_level(tmp_path):
    path = tmp_path / "a.tif"
    geotiff(path, with_corner(-9999), "-9999")
    clipped = [0, 0]
    image = read_input(path, PixelFormat(1, value_range=(1, 200)), clipped=clipped)
    assert set(image[CORNER].ravel()) == {32768}
    valid = HEIGHTS[with_corner(-1) != -1]
    assert clipped == [(valid > 200).sum(), valid.size]
    geotiff(path, with_corner(0, HEIGHTS.astype(np.uint8)), "0")
    assert set(read_input(path, PixelFormat(1))[CORNER].ravel()) == {128}


def test_verification_reads_images_as_the_model_is_given_them(tmp_path):
    Image.fromarray(with_corner(7, np.full((64, 64), 99, np.uint8))).save(tmp_path / "1.png")
    config = replace(preset(), input_channels=1, ignore=7, image_size=64, base_filters=2, output_channels=3)
    model = model_for(config)
    (translator,) = translators_for(model).values()
    options = ExportOptions(tmp_path, verification_images=tmp_path)
    samples = open_samples(config, model.published_generators(), options)(translator)
    (image,) = samples.held_out((64, 64), 1)
    np.testing.assert_array_equal(image[..., 0], with_corner(128, np.full((64, 64), 99, np.uint8)))


@pytest.mark.slow
def test_training_starts_with_ranges_and_names_what_looks_undeclared(tmp_path):
    folder = folder_of(tmp_path / "data", arrays(with_corner(-9999)))
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
