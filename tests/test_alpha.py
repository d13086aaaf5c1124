"""Outputs with alpha: trained, resized, compared, shown, predicted and exported."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tifffile
from PIL import Image

from pix2pix_tf import load, replace, train
from pix2pix_tf.data.pipeline import augmented, fitted
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.pixels import over_checkerboard
from pix2pix_tf.data.sources import open_dataset
from pix2pix_tf.data.writing import write_tiff
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.evaluation.evaluator import evaluate
from pix2pix_tf.evaluation.measure import comparable
from pix2pix_tf.evaluation.options import EvaluateOptions
from pix2pix_tf.exporting.export import export
from pix2pix_tf.exporting.options import ExportOptions
from pix2pix_tf.inference.options import PredictOptions
from pix2pix_tf.inference.predict import predict
from pix2pix_tf.metrics import METRICS, absolute_error, ssim
from pix2pix_tf.models.distilled import student_defaults
from pix2pix_tf.models.registry import model_for
from pix2pix_tf.runs import open_run
from pix2pix_tf.training.start import completed_config
from tests.conftest import small_config
from tests.models.test_missing_pixels import Watched

SPRITE = PixelFormat(4, has_alpha=True)


def sprite(seed, hidden=(255, 0, 0)):
    """A soft disk of one color on nothing, whose transparent pixels have the color ``hidden``."""
    random = np.random.default_rng(seed)
    rows, columns = np.indices((64, 64)) - random.uniform(24, 40, 2)[:, None, None]
    alpha = np.clip(18.5 - np.hypot(rows, columns), 0, 1)
    color = random.integers(0, 200, 3) * np.array([0, 1, 1]) + np.array([0, 30, 30])  # without red
    pixels = np.where(alpha[..., None] > 0, color, hidden)
    return np.concatenate([pixels, np.round(255 * alpha[..., None])], axis=-1).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("sprites")
    for number in range(14):
        for side, image in (("A", sprite(number)[..., :3]), ("B", sprite(number))):
            (root / side).mkdir(exist_ok=True)
            Image.fromarray(image).save(root / side / f"{number}.png")
    return root


def sprite_config(folder, **settings):
    settings = {"output_channels": 4, **settings}
    return small_config(None, dataset=str(folder), direction="AtoB", **settings)


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    config = replace(sprite_config(folder), run_dir=tmp_path_factory.mktemp("runs") / "sprites")
    return train(config, report=lambda line: None)


def test_declared_alpha_of_targets_is_alpha_and_of_other_models_a_band(folder):
    def found(**settings):
        config = sprite_config(folder, **settings)
        dataset = open_dataset(config)
        return dataset.sides[-1].has_alpha, completed_config(config, dataset).data.output_alpha

    assert found() == (True, True)
    assert found(output_alpha=False) == (False, False)
    assert found(output_channels=3) == (False, False)
    config = replace(small_config(None, "cyclegan", dataset=str(folder)), output_channels=4)
    assert not any(side.has_alpha for side in open_dataset(config).sides)
    with pytest.raises(ConfigError, match="--output-alpha"):
        found(output_channels=3, output_alpha=True)


@pytest.mark.parametrize("model", ["pix2pix", "distilled"])
def test_colors_of_transparent_pixels_have_no_effect_on_losses(model):
    settings = {"input_channels": 3, "output_channels": 4, "output_alpha": True, "feature_matching": 1.0}
    config = small_config(None, model, **settings)
    generated = tf.random.stateless_uniform([1, 64, 64, 4], (1, 2), -1, 1)

    def total(hidden):
        target = tf.constant(sprite(1, hidden)[None] / 127.5 - 1, tf.float32)
        [*_, phase] = model_for(config).phases()
        losses, _ = phase.losses((target[..., :3] * 0, target), Watched(generated))
        return sum(float(loss) for loss in losses.values())

    assert total((255, 0, 0)) == total((0, 255, 90))


def test_no_color_of_transparent_pixels_shows_at_edges():
    image = tf.constant(sprite(3))
    config = dataclasses.replace(sprite_config("x").data, image_size=(96, 80))
    (trained,), _ = augmented((image,), (SPRITE,), config, tf.constant([1, 2], tf.int64))
    held_out = fitted((image,), (SPRITE,), (24, 40), "resize")[0].numpy() / 127.5 - 1
    for pixels in (trained.numpy(), held_out):
        is_visible = pixels[..., 3] > -0.95
        assert 100 < is_visible.sum() < is_visible.size / 2
        assert pixels[is_visible][:, 0].max() < -0.95


def test_missing_pixels_beside_alpha_have_no_weight():
    pixels = tf.fill([64, 64, 2], tf.constant(200, tf.uint8))
    pixels = tf.concat([tf.zeros([20, 64, 2], tf.uint8), pixels[20:]], axis=0)
    side = PixelFormat(2, missing=0, has_alpha=True)
    config = dataclasses.replace(sprite_config("x").data, image_size=(96, 64))
    (trained,), weight = augmented((pixels,), (side,), config, tf.constant([1, 2], tf.int64))
    np.testing.assert_array_equal(weight[:, 0, 0], np.arange(96) >= 30)
    np.testing.assert_allclose(trained[30:], 200 / 127.5 - 1, atol=1e-5)
    held_out = fitted((pixels,), (side,), (32, 32), "resize")[0].numpy()
    np.testing.assert_array_equal(held_out[:, 0, 0], 200 * (np.arange(32) >= 10))


def test_images_that_look_the_same_measure_the_same():
    images = comparable(sprite(5, (0, 0, 0)), sprite(5, (255, 255, 255)), SPRITE)
    assert absolute_error(*images) == 0
    assert ssim(*images) == 1
    paler = sprite(5)
    paler[..., 3] //= 2
    assert absolute_error(*comparable(paler, sprite(5), SPRITE)) > 0.05


def test_tiles_are_written_as_a_tiff_with_alpha(tmp_path):
    image = np.tile(sprite(6), (5, 5, 1))
    write_tiff(tmp_path / "one.tif", iter([image]), len(image), has_alpha=True)
    with tifffile.TiffFile(tmp_path / "one.tif") as file:
        assert file.pages[0].extrasamples == (tifffile.EXTRASAMPLE.UNASSALPHA,)
    with Image.open(tmp_path / "one.tif") as found:
        np.testing.assert_array_equal(found, image)


@pytest.mark.slow
def test_a_run_translates_to_sprites(folder, run, tmp_path):
    grid = np.asarray(Image.open(run.path / "final.png").convert("RGB"))
    assert (grid == 204).all(-1).sum() > 2000  # gray squares of the checkerboard
    predict(PredictOptions(str(run.path), (folder / "A" / "0.png",), tmp_path / "out"))
    with Image.open(tmp_path / "out" / "0.png") as image:
        assert image.mode == "RGBA"
        predicted = np.asarray(image)
    translate = load(run.path)
    assert translate.output == SPRITE
    np.testing.assert_array_equal(predicted, translate.translate_file(folder / "A" / "0.png"))

    [exported] = export(ExportOptions(run.path, tmp_path / "export", allow_worse=True))
    paths = exported.published
    assert {path.suffix for path in paths} == {"", ".tflite"}
    given = np.asarray(Image.open(folder / "A" / "0.png"))
    for path in paths:
        model = load(path)
        assert model.output == SPRITE
        if path.suffix != ".tflite":
            for signature in model.signatures().values():
                np.testing.assert_array_equal(signature(given), predicted)
        else:
            assert np.abs(model(given).astype(int) - predicted)[..., 3].mean() < 4

    names = {metric.name for metric in METRICS if metric.in_training}
    for model, label_maps in ((run.path, "A"), (paths[0], "none")):  # with alpha, and over white
        options = EvaluateOptions((str(model),), str(folder), tmp_path / "evaluation", label_maps=label_maps)
        evaluation = evaluate(options, log=lambda line: None)
        assert names <= evaluation.models[0].values.keys()
        assert "segmentation score" in evaluation.left_out

    def compared(*models):
        config, _ = EvaluateOptions(models).configs([open_run(run.path)])
        return [side.channels for side in open_dataset(config).sides]

    assert compared("run") == [3, 4]
    assert compared("run", "a model that may have no alpha") == [3, 3]


@pytest.mark.slow
def test_a_student_of_inputs_alone_keeps_alpha(folder, run, tmp_path):
    teacher = open_run(run.path)
    config = replace(
        student_defaults(teacher.config, run.path, inputs_only=True), run_dir=tmp_path / "student"
    )
    student = train(replace(config, steps=1, epochs=None), report=lambda line: None)
    assert load(student.path).output == SPRITE
    [side] = open_dataset(open_run(student.path).config).sides
    assert not side.has_alpha
    assert open_dataset(open_run(student.path).config, "pairs").sides[1].has_alpha


@pytest.mark.parametrize(("model", "inputs"), [("pix2pix", 2), ("distilled_from_inputs", 1)])
def test_sample_grids_show_a_checkerboard(model, inputs):
    config = small_config(None, model, input_channels=3, output_channels=4, output_alpha=True)
    held_out = [(sprite(1)[..., :3], sprite(2))[:inputs]]
    grid = model_for(config).sample_grid(held_out, {"AtoB": lambda image: sprite(2)})
    for output in grid.rows[0][1:]:
        np.testing.assert_array_equal(output, over_checkerboard(sprite(2)))
