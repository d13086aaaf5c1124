"""Exported models: found and loaded through one interface, refused in one line that names the file."""

import shutil
import threading

import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf import formats
from pix2pix_tf.errors import ConfigError, DataError, RunError
from pix2pix_tf.formats.saved_model.reader import PIXEL_FACTS
from tests.exported_models import SIZE, ContrastModel, expected, noise, write_tflite

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["contrast/9", "floats.tflite", "levels.TFLITE"])
def test_arrays_and_files_are_taken_as_a_run_takes_them(load, name, tmp_path):
    translate, image = load(name), noise(*SIZE)
    output = translate(image)
    assert output.dtype == np.uint8
    assert output.shape == (*SIZE, 3)
    assert (translate.input.channels, translate.output.channels) == (3, 3)
    assert np.abs(output.astype(int) - expected(image)).max() <= 1
    path = tmp_path / "한 장.png"
    path.write_bytes(tf.io.encode_png(tf.constant(image)).numpy())
    np.testing.assert_array_equal(translate.translate_file(path), output)
    gray = noise(*SIZE, 1)[..., 0]
    np.testing.assert_array_equal(translate(gray), translate(np.stack([gray] * 3, axis=-1)))


@pytest.mark.parametrize("name", ["contrast/9", "floats.tflite"])
def test_16_bits_keep_their_depth(load, name):
    # A quarter of a level of 8 bits between neighbours, which the contrast makes 3 or 4 levels.
    ramp = (32767 + 64 * np.arange(-24, 24)).astype(np.uint16)
    image = np.tile(ramp[np.newaxis, :, np.newaxis], (SIZE[0], 1, 3))
    output = load(name)(image)
    assert np.abs(output.astype(int) - expected(image)).max() <= 1
    assert len(np.unique(output)) == 48


@pytest.mark.parametrize(
    "option", [{"step": 10}, {"precision": "mixed_bfloat16"}, {"stochastic": True}, {"seed": 3}], ids=str
)
def test_what_only_a_run_can_choose_is_refused_for_others(models, refused, option):
    for model in (models / "contrast", models / "floats.tflite", "http://localhost:1/v1/models/facades"):
        message = refused(ConfigError, formats.load, model, **option)
        assert next(iter(option)) in message
        assert str(model) in message


def test_of_several_versions_the_highest_is_taken_even_if_it_is_half(models, tmp_path, refused):
    assert formats.load(models / "contrast").output.channels == 1
    assert formats.load(str(models / "contrast" / "9")).output.channels == 3
    shutil.copytree(models / "contrast", tmp_path / "contrast")
    (tmp_path / "contrast" / "11" / "variables").mkdir(parents=True)
    message = refused(ConfigError, formats.load, tmp_path / "contrast")
    assert str(tmp_path / "contrast" / "11") in message


def test_a_folder_with_models_names_them(models, tiny_run, tmp_path, refused):
    shutil.copytree(models, tmp_path / "models")
    (tmp_path / "models" / "run").mkdir()
    shutil.copy(tiny_run.path / "config.json", tmp_path / "models" / "run")
    (tmp_path / "models" / "notes").mkdir()
    message = refused(RunError, formats.load, tmp_path / "models")
    assert all(name in message for name in ("contrast", "floats.tflite", "levels.TFLITE", "run"))
    assert "notes" not in message


@pytest.mark.parametrize(
    ("name", "error"),
    [("nowhere", RunError), ("nowhere.tflite", RunError), ("empty", RunError), ("notes.txt", ConfigError)],
)
def test_a_missing_or_foreign_place_is_reported_what_a_model_may_be(tmp_path, refused, name, error):
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    for look in (formats.load, formats.find_model):
        message = refused(error, look, tmp_path / name)
        assert str(tmp_path / name) in message
        assert all(kind in message for kind in ("run", "SavedModel", ".tflite", ".onnx", "http://"))


# ---------------------------------------------------------------- SavedModel


def test_what_a_saved_model_refuses_is_reported_in_its_words(load, tmp_path, refused):
    translate = load("contrast/9")
    for dtype in (np.uint8, np.uint16):
        message = refused(DataError, translate, np.zeros((200, 200, 3), dtype))
        assert message.endswith("image 0: more than 10000 pixels")
    path = tmp_path / "large.png"
    path.write_bytes(tf.io.encode_png(tf.zeros([200, 200, 3], tf.uint8)).numpy())
    assert str(path) in refused(DataError, translate.translate_file, path)


PARTS = ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"]


@pytest.mark.parametrize("damage", ["cut", "missing"])
@pytest.mark.parametrize("part", PARTS)
def test_a_damaged_saved_model_is_named(models, tmp_path, part, damage, refused):
    damaged = tmp_path / "damaged"
    shutil.copytree(models / "contrast" / "9", damaged)
    content = (damaged / part).read_bytes()
    if damage == "missing":
        (damaged / part).unlink()
    else:
        (damaged / part).write_bytes(content[: len(content) // 2])
    assert str(damaged) in refused(ConfigError, formats.load, damaged)


@pytest.mark.parametrize(
    "facts",
    [
        "",
        "3",
        "[" * 10**5,
        '{"input_format": {"value_range": true}}',
        '{"input_format": {"value_range": [1, 0]}}',
        '{"output_format": {"value_range": [0, 1e999]}}',
        '{"output_format": {"bits": 12}}',
        '{"input_format": {"ignore": "x"}}',
        '{"inpaints": true}',
        '{"enlarges": 1e9}',
    ],
)
def test_what_a_saved_model_says_of_its_images_is_checked(models, tmp_path, facts, refused):
    damaged = tmp_path / "damaged"
    shutil.copytree(models / "contrast" / "9", damaged)
    (damaged / PIXEL_FACTS).parent.mkdir()
    (damaged / PIXEL_FACTS).write_text(facts)
    assert str(damaged) in refused(ConfigError, formats.load, damaged)


def test_another_saved_model_is_reported_what_is_expected(tmp_path, refused):
    spec = tf.TensorSpec([None, 784], tf.float32, name="images")
    other = tf.function(lambda images: {"images": images}, input_signature=[spec])
    changes = {"float": None}, {"serving_default": None}, {"serving_default": other}
    for number, change in enumerate(changes):
        path = ContrastModel().save(tmp_path / f"m{number}", **change)
        message = refused(ConfigError, formats.load, path)
        assert str(path) in message
        assert f"'{next(iter(change))}'" in message


def test_a_name_that_tensorflow_takes_for_a_pattern_is_refused(models, tmp_path, refused):
    shutil.copytree(models / "contrast" / "9", tmp_path / "m[1]")
    assert "m[1]" in refused(ConfigError, formats.load, tmp_path / "m[1]")


# ---------------------------------------------------------------- TFLite


def test_another_size_names_the_files_size_and_the_images(load, models, tmp_path, refused):
    path = tmp_path / "image.png"
    path.write_bytes(tf.io.encode_png(tf.constant(noise(SIZE[1], SIZE[0]))).numpy())
    for name in ("floats.tflite", "levels.TFLITE"):
        assert load(name).size == SIZE
        message = refused(DataError, load(name).translate_file, path)
        assert all(part in message for part in (str(path), str(models / name), "48x32", "32x48"))


def test_threads_may_share_a_tflite(load):
    translate = load("floats.tflite")
    images = [noise(*SIZE, seed=seed) for seed in range(8)]
    outputs = [None] * len(images)

    def work(number):
        for _ in range(5):
            outputs[number] = translate(images[number])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(images))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for image, output in zip(images, outputs, strict=True):
        assert np.abs(output.astype(int) - expected(image)).max() <= 1


def test_a_damaged_or_another_tflite_is_named(models, tmp_path, refused):
    whole = (models / "floats.tflite").read_bytes()
    path = tmp_path / "m.tflite"
    for content in (b"", b"hello there, this is text", b"\x1c\0\0\0TFL3", whole[: len(whole) // 2]):
        path.write_bytes(content)
        assert str(path) in refused(ConfigError, formats.load, path)
    for change in ({"name": "x"}, {"signature": "other"}):
        assert str(path) in refused(ConfigError, formats.load, write_tflite(path, **change))
