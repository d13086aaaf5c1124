"""Exported models as files: what each kind refuses, in one line that names the file."""

import shutil
import threading

import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf import formats
from pix2pix_tf.errors import ConfigError, DataError
from pix2pix_tf.formats.saved_model.reader import PIXEL_FACTS
from tests.exported_models import SIZE, ContrastModel, expected, noise, write_onnx, write_tflite
from tests.formats.conftest import HAS_ONNX

pytestmark = pytest.mark.slow

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


def test_16_bits_are_rounded_for_a_model_of_levels(load):
    image = noise(*SIZE)
    deep = image.astype(np.uint16) * 257 + 100
    np.testing.assert_array_equal(load("levels.TFLITE")(deep), load("levels.TFLITE")(image))


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


def test_a_tflite_says_nothing_when_it_is_loaded(models, capfd):
    formats.load(models / "floats.tflite")
    assert capfd.readouterr().err == ""


# ---------------------------------------------------------------- ONNX


@pytest.mark.skipif(not HAS_ONNX, reason="the extra onnx is not installed")
def test_a_damaged_or_another_onnx_is_named(models, tmp_path, refused):
    whole = (models / "contrast.onnx").read_bytes()
    path = tmp_path / "m.onnx"
    for content in (b"", b"hello there, this is text", whole[: len(whole) // 2]):
        path.write_bytes(content)
        assert str(path) in refused(ConfigError, formats.load, path)
    assert str(path) in refused(ConfigError, formats.load, write_onnx(path, output="y"))
