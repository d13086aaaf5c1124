"""pix2pix predict: every image of every folder, each under its own name, or one line why not."""

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pix2pix_tf import formats
from pix2pix_tf.config import replace
from pix2pix_tf.data.pipeline import resized
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.pixels import filled
from pix2pix_tf.errors import ConfigError, DataError
from pix2pix_tf.formats.translator import Translator
from pix2pix_tf.inference.options import PredictOptions
from pix2pix_tf.inference.predict import predict
from pix2pix_tf.inference.tiling import translate_in_tiles
from pix2pix_tf.runs import RunDirectory
from pix2pix_tf.wording import flag
from tests.conftest import small_config
from tests.exported_models import ContrastModel, expected, noise, write_tflite

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def translate(tiny_run):
    return formats.load(tiny_run.path)


@pytest.fixture(autouse=True)
def loaded_once(monkeypatch, translate, tiny_run):
    """Gives the run's newest checkpoint without loading it anew: each load traces the generator."""
    load = formats.load

    def loaded(run, **options):
        newest = str(run) == str(tiny_run.path) and options == load.__kwdefaults__
        return copy.copy(translate) if newest else load(run, **options)  # predict changes its formats

    loaded.__kwdefaults__ = load.__kwdefaults__  # `load` compares its options with them
    monkeypatch.setattr(formats, "load", loaded)


def below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def pixels_of(path):
    return np.asarray(Image.open(path))


def message_of(error, *arguments, **options):
    with pytest.raises(error) as caught:
        predict(PredictOptions(*arguments, **options))
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------- what is written


def test_folders_are_searched_at_any_depth_and_their_subfolders_kept(
    tiny_run, translate, tmp_path, save_image
):
    names = ["a.png", "deep/b.bmp", "deep/한국 거리/c.png", "deep/한국 거리/A.PNG"]
    images = {name: save_image(tmp_path / "in" / name, seed=at) for at, name in enumerate(names)}
    (tmp_path / "in" / "notes.txt").write_text("no image")
    (tmp_path / "in" / "deep" / "scan.ico").write_bytes(b"\0\0\1\0")
    (tmp_path / "in" / "empty").mkdir()
    report = predict(PredictOptions(tiny_run.path, [tmp_path / "in"], tmp_path / "out"))
    assert f"{tmp_path / 'out'}: 4 images" in report
    assert "scan.ico" in report
    assert below(tmp_path / "out") == ["a.png", "deep/b.png", "deep/한국 거리/A.png", "deep/한국 거리/c.png"]
    for name, image in images.items():
        written = (tmp_path / "out" / name).with_suffix(".png")
        np.testing.assert_array_equal(pixels_of(written), translate(image))


def test_missing_pixels_are_given_as_the_middle_and_clipped_values_are_reported(
    tiny_run, translate, tmp_path, monkeypatch
):
    monkeypatch.setattr(translate, "input", dataclasses.replace(translate.input, ignore=-9999.0))
    numbers = np.random.default_rng(0).random((32, 32, 3), np.float32)
    numbers[2, :8] = 2.0
    middle = numbers.copy()
    middle[:2, :8] = 32768 / 65535
    numbers[0, :8], numbers[1, :8, 1] = np.nan, -9999
    out = tmp_path / "out"
    np.save(tmp_path / "missing.npy", numbers)
    np.save(tmp_path / "middle.npy", middle.clip(0, 1))
    report = predict(PredictOptions(tiny_run.path, [tmp_path / "missing.npy"], out, input_range=(0.0, 1.0)))
    assert f"{24 / (numbers.size - 48):.2%}" in report
    assert "%" not in predict(
        PredictOptions(tiny_run.path, [tmp_path / "middle.npy"], out, input_range=(0.0, 1.0))
    )
    np.testing.assert_array_equal(pixels_of(out / "missing.png"), pixels_of(out / "middle.png"))


def test_images_and_folders_may_be_mixed_and_each_is_translated_once(tiny_run, tmp_path, save_image):
    save_image(tmp_path / "one.png")
    save_image(tmp_path / "folder" / "scene.v1.2.png", width=31, height=77)
    inputs = [tmp_path / "one.png", tmp_path / "folder", tmp_path / "folder" / "scene.v1.2.png"]
    assert "2 images" in predict(PredictOptions(tiny_run.path, inputs, tmp_path / "out"))
    assert below(tmp_path / "out") == ["one.png", "scene.v1.2.png"]
    assert pixels_of(tmp_path / "out" / "scene.v1.2.png").shape == (77, 31, 3)


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
@pytest.mark.parametrize("width", [80, 81])
def test_of_a_pair_the_half_that_was_the_input_is_translated(
    tiny_run, translate, tmp_path, save_image, monkeypatch, direction, width
):
    config = replace(tiny_run.read_config(), direction=direction)
    monkeypatch.setattr(RunDirectory, "read_config", lambda run: config)
    pair = save_image(tmp_path / "in" / "pair.png", width=width, height=33)
    predict(PredictOptions(tiny_run.path, [tmp_path / "in"], tmp_path / "out", side_by_side=True))
    half = pair[:, :40] if direction == "AtoB" else pair[:, -40:]
    np.testing.assert_array_equal(pixels_of(tmp_path / "out" / "pair.png"), translate(half))


def test_a_run_takes_its_own_direction_and_no_other(tiny_run, translate, tmp_path, save_image):
    pair = save_image(tmp_path / "pair.png", width=80, height=33)
    inputs, out = [tmp_path / "pair.png"], tmp_path / "out"
    predict(PredictOptions(tiny_run.path, inputs, out, side_by_side=True, direction="BtoA"))
    np.testing.assert_array_equal(pixels_of(out / "pair.png"), translate(pair[:, 40:]))
    assert "AtoB" in message_of(ConfigError, tiny_run.path, inputs, out, side_by_side=True, direction="AtoB")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    ContrastModel().save(folder / "contrast" / "1")
    write_tflite(folder / "contrast.tflite", (33, 40))
    return folder


@pytest.fixture
def small_image(tmp_path):
    """An image of the size that the .tflite takes."""
    image = noise(33, 40)
    Image.fromarray(image).save(tmp_path / "one.png")
    return image


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_an_exported_model_needs_a_direction_for_pairs(models, tmp_path, small_image, direction):
    other = np.zeros_like(small_image)
    pair = [small_image, other] if direction == "AtoB" else [other, small_image]
    Image.fromarray(np.concatenate(pair, axis=1)).save(tmp_path / "pair.png")
    model, inputs, out = models / "contrast", [tmp_path / "pair.png"], tmp_path / "out"
    message = message_of(ConfigError, model, inputs, out, side_by_side=True)
    assert all(part in message for part in ("side-by-side", "direction", str(model)))
    assert not out.exists()
    predict(PredictOptions(model, inputs, out, side_by_side=True, direction=direction))
    np.testing.assert_array_equal(pixels_of(out / "pair.png"), expected(small_image))


def test_an_imported_run_without_a_direction_needs_one_for_pairs(tmp_path):
    run = RunDirectory(tmp_path / "imported")
    imported = {"count": 1, "digest": "", "imported": {"direction": None}}
    run.write_config(small_config(run.path), imported)
    inputs = [tmp_path / "pair.png"]
    assert "direction" in message_of(ConfigError, run.path, inputs, tmp_path / "out", side_by_side=True)


@pytest.mark.parametrize("name", ["input_range", "output_range"])
@pytest.mark.parametrize("values", [(5, 1), (np.nan, 1), (0, np.inf)])
def test_a_range_must_be_one(tiny_run, tmp_path, name, values):
    inputs = [tmp_path / "one.png"]
    assert flag(name) in message_of(ConfigError, tiny_run.path, inputs, tmp_path / "out", **{name: values})


def test_an_earlier_checkpoint_can_be_selected(tiny_run, tmp_path, save_image):
    image = save_image(tmp_path / "in" / "one.png")
    predict(PredictOptions(tiny_run.path, [tmp_path / "in"], tmp_path / "out", step=10))
    expected = formats.load(tiny_run.path, step=10)(image)
    np.testing.assert_array_equal(pixels_of(tmp_path / "out" / "one.png"), expected)


def test_what_is_larger_than_a_tile_becomes_a_tiff(tiny_run, translate, tmp_path, save_image):
    small = save_image(tmp_path / "in" / "small.png", width=128, height=100)
    large = save_image(tmp_path / "in" / "large.png", width=129, height=100)
    predict(PredictOptions(tiny_run.path, [tmp_path / "in"], tmp_path / "out", tile_size=128))
    assert below(tmp_path / "out") == ["large.tif", "small.png"]
    np.testing.assert_array_equal(pixels_of(tmp_path / "out" / "small.png"), translate(small))
    tiled = np.concatenate(list(translate_in_tiles(translate, large, (128, 128))))
    np.testing.assert_array_equal(pixels_of(tmp_path / "out" / "large.tif"), tiled)


class Identity(Translator):
    """Returns 8-bit gray images of one size as they are, and keeps them."""

    input = output = PixelFormat(1)
    size = (4, 4)

    def _translate(self, given):
        self.given = given.numpy()
        return self.given


@pytest.mark.parametrize("labels", [False, True])
def test_fitted_inputs_are_resized_as_in_training(tmp_path, monkeypatch, labels):
    """Missing pixels are weighed out, classes are not mixed."""
    columns = np.array([10, 20, 30, 40, 50, 50, 255, 255], np.uint8)  # 255 is missing
    Image.fromarray(np.tile(columns, (8, 1))).save(tmp_path / "in.png")
    identity = Identity()
    identity.input = PixelFormat(1, labels=labels, ignore=255)
    monkeypatch.setattr(formats, "load", lambda *_, **__: identity)
    monkeypatch.setattr("pix2pix_tf.inference.predict.find_model", lambda model: model)
    predict(PredictOptions("model", [tmp_path / "in.png"], tmp_path / "out", fit_input=True))
    form = PixelFormat(1, labels=labels, missing=255)
    image = tf.constant(np.tile(columns, (8, 1))[..., np.newaxis])
    trained_on = filled(resized(image, (4, 4), form), 255).numpy()
    np.testing.assert_array_equal(identity.given, trained_on)
    assert set(identity.given[0, :, 0]) == ({20, 40, 50, 128} if labels else {17, 35, 49, 128})


# ---------------------------------------------------------------- what is refused


def test_images_that_would_become_one_file_are_named(tiny_run, tmp_path, save_image):
    for names in (("in/one.png", "in/one.bmp"), ("first/two.png", "second/two.png")):
        paths = [tmp_path / name for name in names]
        for path in paths:
            save_image(path)
        message = message_of(DataError, tiny_run.path, paths, tmp_path / "out")
        assert all(str(path) in message for path in paths)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "out", "options"),
    [
        ("one.png", "in", {}),
        ("one.png", "in/../in", {}),
        ("one.png", "in/deep/..", {}),
        ("one.tif", "in", {"tile_size": 64}),
    ],
)
def test_an_input_is_never_overwritten(tiny_run, tmp_path, save_image, name, out, options):
    save_image(tmp_path / "in" / "deep" / "one.png")
    before = save_image(tmp_path / "in" / name, width=80, height=80)
    message = message_of(DataError, tiny_run.path, [tmp_path / "in"], tmp_path / out, **options)
    assert "--out" in message
    np.testing.assert_array_equal(pixels_of(tmp_path / "in" / name), before)


def test_out_may_be_inside_the_input_and_what_is_there_is_no_input(tiny_run, tmp_path, save_image):
    save_image(tmp_path / "in" / "one.png")
    for _ in range(2):
        predict(PredictOptions(tiny_run.path, [tmp_path / "in"], tmp_path / "in" / "out"))
        assert below(tmp_path / "in") == ["one.png", "out/one.png"]


def test_inputs_without_an_image_are_named_before_anything_is_written(tiny_run, tmp_path, save_image):
    save_image(tmp_path / "one.png")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("")
    for bad in (tmp_path / "없는 것.png", tmp_path / "in"):
        inputs = [tmp_path / "one.png", bad]
        assert str(bad) in message_of(DataError, tiny_run.path, inputs, tmp_path / "out")
    message_of(DataError, tiny_run.path, [], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_broken_image_is_named_or_left_out_and_counted(tiny_run, tmp_path, save_image):
    save_image(tmp_path / "in" / "good.png")
    broken = tmp_path / "in" / "깨진 것.png"
    save_image(broken)
    broken.write_bytes(broken.read_bytes()[:400])
    message = message_of(DataError, tiny_run.path, [tmp_path / "in"], tmp_path / "out")
    assert str(broken) in message

    report = predict(PredictOptions(tiny_run.path, [tmp_path / "in"], tmp_path / "out", skip_bad_images=True))
    assert "1 image " in report
    assert "1 unreadable" in report
    assert below(tmp_path / "out") == ["good.png"]


def test_a_pair_too_narrow_to_be_cut_is_named(tiny_run, tmp_path, save_image):
    path = tmp_path / "narrow.png"
    save_image(path, width=1)
    assert str(path) in message_of(DataError, tiny_run.path, [path], tmp_path / "out", side_by_side=True)


UNUSED = {  # options without effect, by model
    "run": {"seed": 4, "fit_input": True, "count": 2, "masks": Path("mask.png")},
    "contrast": {"direction": "AtoB", "seed": 3, "fit_input": True},
    "contrast.tflite": {"masks": Path("mask.png"), "count": 3, "raw_weights": True},
}


@pytest.mark.parametrize(("model", "name"), [(model, name) for model in UNUSED for name in UNUSED[model]])
def test_an_option_without_effect_is_refused(model, name, models, tiny_run, tmp_path, small_image):
    place = tiny_run.path if model == "run" else models / model
    given = {name: UNUSED[model][name]}
    assert flag(name) in message_of(ConfigError, place, [tmp_path / "one.png"], tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()


def test_an_image_that_a_model_does_not_take_is_named(models, tmp_path, save_image):
    path = tmp_path / "in" / "large.png"
    save_image(path, width=200, height=200)
    for name in ("contrast", "contrast.tflite"):
        assert str(path) in message_of(DataError, models / name, [tmp_path / "in"], tmp_path / "out")
