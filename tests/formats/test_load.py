"""Every kind of model through one door: which is meant, and that all of them are one interface."""

import shutil

import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf import formats
from pix2pix_tf.errors import ConfigError, RunError
from tests.exported_models import SIZE, expected, noise

pytestmark = pytest.mark.slow

EXPORTED = ["contrast/9", "floats.tflite", "levels.TFLITE", "contrast.onnx"]


@pytest.mark.parametrize("name", EXPORTED)
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


@pytest.mark.parametrize("name", ["contrast/9", "floats.tflite", "contrast.onnx"])
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
