"""A trained model as a function: the same output wherever it is asked for, at any size."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pix2pix_tf import formats
from pix2pix_tf.data.pipeline import held_out_images
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.reading import read_image
from pix2pix_tf.data.sources import open_dataset
from pix2pix_tf.errors import DataError, RunError
from pix2pix_tf.runs.checkpoints import average_name, read_checkpoint, stored_weights
from pix2pix_tf.sample_grids import compose_grid
from tests.formats.models import noise, untrained


@pytest.fixture(scope="module")
def translate(tiny_run):
    return formats.load(tiny_run.path)


# ---------------------------------------------------------------- the same output everywhere


def test_the_same_image_gives_the_same_output_again(translate, tiny_run):
    image = noise(64, 64)
    first = translate(image)
    assert first.dtype == np.uint8
    assert first.std() > 1
    np.testing.assert_array_equal(translate(image), first)
    translate(noise(90, 31))
    np.testing.assert_array_equal(translate(image), first)
    np.testing.assert_array_equal(formats.load(str(tiny_run.path))(image), first)


@pytest.mark.parametrize("bits", [8, 16])
def test_files_are_read_at_least_at_the_depth_of_training(tmp_path, bits):
    translate = untrained(input_channels=1, input_bits=bits)
    image = noise(64, 64)
    Image.fromarray(image).save(tmp_path / "in.png")
    trained_on = read_image(tmp_path / "in.png", PixelFormat(1, bits=bits))
    read = translate.load_input(tmp_path / "in.png")
    assert read.dtype == trained_on.dtype
    np.testing.assert_array_equal(read, trained_on)
    assert translate.pixel_facts()["input_format"]["bits"] == bits


@pytest.mark.parametrize("step", [10, 20])
def test_sample_grids_show_the_same_outputs(tiny_run, step):
    translate, config = formats.load(tiny_run.path, step=step), tiny_run.read_config()
    held_out = held_out_images(open_dataset(config), config.data.size, 4)
    assert len(held_out) == 4
    rows = [(image, translate(image), target) for _, image, target in held_out]
    expected = compose_grid(f"run: procedural (val), step {step}", ("input", "output", "target"), rows)
    paths = [tiny_run.samples / f"step_{step:09d}.png"]
    if step == 20:
        paths.append(tiny_run.final_grid)
    for path in paths:
        np.testing.assert_array_equal(np.asarray(Image.open(path)), expected)


ONLY_KERAS = """
import sys
import keras, numpy as np
import pix2pix_tf.networks
model = keras.saving.load_model(sys.argv[1])
np.save(sys.argv[2], model(np.load(sys.argv[2])))
"""


@pytest.mark.slow
def test_generator_keras_is_the_same_generator_in_a_process_without_this_program(
    translate, tiny_run, tmp_path, python
):
    image = tf.constant(noise(75, 64)[np.newaxis] / 127.5 - 1, tf.float32)
    np.save(tmp_path / "image.npy", image)
    done = python(ONLY_KERAS, tiny_run.keras_file("generator"), tmp_path / "image.npy")
    assert done.returncode == 0, done.stderr[-2000:]
    output = np.load(tmp_path / "image.npy")[0]
    np.testing.assert_allclose(output, translate.translate_floats(image[0]), atol=1e-6)


# ---------------------------------------------------------------- files and arrays


@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "RGBA", "I;16", "P", "1"])
def test_a_file_gives_the_output_of_its_array(translate, tmp_path, save_image, mode):
    path = tmp_path / "한 장.png"
    if mode in ("P", "1"):
        image = Image.fromarray(noise(41, 97)).convert(mode)
        image.save(path)
        pixels = np.asarray(image.convert("RGB"))
    else:
        pixels = save_image(path, width=97, height=41, mode=mode)
    output = translate.translate_file(path)
    assert output.shape == (41, 97, 3)
    np.testing.assert_array_equal(output, translate(pixels))
    np.testing.assert_array_equal(output, translate.translate_file(str(path)))


def test_the_output_has_the_inputs_size(translate):
    for size in ((1, 1), (2, 511), (300, 200), (37, 65), (64, 64)):
        assert translate(noise(*size)).shape == (*size, 3)


# ---------------------------------------------------------------- noise and precision


@pytest.mark.slow
def test_a_stochastic_generators_noise_depends_on_the_seed():
    image = noise(64, 64)
    first, again, other = (untrained(stochastic=True, seed=seed) for seed in (1, 1, 2))
    output = first(image)
    np.testing.assert_array_equal(first(image), output)
    np.testing.assert_array_equal(again(image), output)
    assert (other(image) != output).mean() > 0.01


def test_bfloat16_differs_by_a_few_levels(tiny_run, translate):
    image = noise(64, 64)
    faster = formats.load(tiny_run.path, precision="mixed_bfloat16")(image)
    gap = np.abs(faster.astype(int) - translate(image))
    # bfloat16 rounds tanh's argument by 0.4 % or so at each of a dozen layers.
    assert 0 < gap.max() < 16
    assert gap.mean() < 2


# ---------------------------------------------------------------- errors


def test_an_array_that_is_no_image_is_refused(translate, refused):
    shapes = [(4, 4, 5), (1, 4, 4, 3), (4,), (0, 4, 3), (4, 0)]
    wrong = [np.zeros(shape, np.uint8) for shape in shapes]
    wrong += [np.zeros((4, 4, 3), dtype) for dtype in (np.float32, np.int64, bool)]
    for array in wrong:
        refused(DataError, translate, array)


def test_a_run_whose_settings_no_longer_fit_its_weights_is_refused(tiny_run, tmp_path, refused):
    changed = shutil.copytree(tiny_run.path, tmp_path / "run")
    config = changed / "config.json"
    config.write_text(config.read_text().replace('"base_filters": 8', '"base_filters": 16'))
    message = refused(RunError, formats.load, changed)
    assert str(changed) in message
    assert len(message) < 300


# ---------------------------------------------------------------- moving averages


def test_the_weights_are_averages_unless_raw_ones_are_asked_for(tiny_run):
    name = "generator/down_1_conv/kernel"
    stored = read_checkpoint(tiny_run.checkpoint(20), [name, average_name(name)])
    for raw_weights, expected in ((False, stored[average_name(name)]), (True, stored[name])):
        loaded = formats.load(tiny_run.path, raw_weights=raw_weights)
        weights = stored_weights("generator", loaded.network)
        np.testing.assert_array_equal(weights[name].numpy(), expected)
    assert (stored[name] != stored[average_name(name)]).any()
