"""Tasks from the photos to the pictures: trained, continued, predicted with, evaluated, exported."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pix2pix_tf import formats, train
from pix2pix_tf.commands.main import main
from pix2pix_tf.data.pipeline import held_out_images
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.procedural import draw_pair
from pix2pix_tf.data.reading import read_input
from pix2pix_tf.data.sources import open_dataset
from pix2pix_tf.data.tasks import PHOTO_TASKS
from pix2pix_tf.data.tasks.upscale import enlarged_levels
from pix2pix_tf.errors import ConfigError, DataError
from pix2pix_tf.evaluation.evaluator import EvaluateOptions, evaluate
from pix2pix_tf.exporting import verification
from pix2pix_tf.exporting.export import export
from pix2pix_tf.exporting.options import ExportOptions, FormatSettings
from pix2pix_tf.formats.run import GeneratorTranslator
from pix2pix_tf.formats.tflite import TFLite
from pix2pix_tf.inference.options import PredictOptions
from pix2pix_tf.inference.predict import predict
from pix2pix_tf.models.registry import model_for
from tests.conftest import small_config
from tests.formats.models import translate_in_this_process, write_run

pytestmark = pytest.mark.slow

SIZE = (72, 80)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """An untrained run of each task, to be read only."""
    folder = tmp_path_factory.mktemp("runs")
    return {
        name: write_run(folder / name, task=name, input_channels=None, base_filters=2).path
        for name in PHOTO_TASKS
    }


@pytest.fixture(scope="module")
def translate(runs):
    """What each run translates with."""
    return {name: formats.load(run) for name, run in runs.items()}


@pytest.fixture(autouse=True)
def loaded_once(monkeypatch, runs, translate):
    """Loads no run twice: each load traces the generator."""
    load = GeneratorTranslator.load

    def loaded(run, **options):
        name = next((name for name, path in runs.items() if path == run.directory.path), None)
        return load(run, **options) if name is None else translate[name]

    monkeypatch.setattr(GeneratorTranslator, "load", loaded)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of plain photos of façades."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(24):
        Image.fromarray(draw_pair(5, number, *SIZE)[0]).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def photo(photos):
    return np.asarray(Image.open(photos / "3.png"))


def predicted(run, given, tmp_path, **options):
    """What ``predict`` makes of an image, of uint8 or in a Pillow mode."""
    image = given if isinstance(given, Image.Image) else Image.fromarray(np.squeeze(given))
    image.save(tmp_path / "given.png")
    predict(PredictOptions(run, [tmp_path / "given.png"], tmp_path / "out", **options))
    return np.asarray(Image.open(tmp_path / "out" / "given.png"))


@pytest.fixture(scope="module")
def trained(photos, tmp_path_factory):
    """A short run on the folder."""
    settings = {"task": "inpaint", "dataset": str(photos), "direction": "AtoB", "ema_decay": 0.5}
    config = small_config(tmp_path_factory.mktemp("trained") / "run", **settings, steps=3)
    return train(config, report=lambda line: None)


def test_samples_equal_predict(trained, tmp_path):
    config = trained.read_config()
    assert (config.data.input_channels, config.data.output_channels) == (None, 3)
    rows = held_out_images(open_dataset(config), (64, 64), 4)
    grid = np.asarray(Image.open(trained.final_grid))
    output = predicted(trained.path, rows[0][1], tmp_path)
    places = np.lib.stride_tricks.sliding_window_view(grid, output.shape)
    assert (places == output).all(axis=(-3, -2, -1)).any()


def test_evaluate_a_task(trained, tmp_path):
    options = EvaluateOptions((str(trained.path),), out=tmp_path / "report")
    [model] = evaluate(options, lambda line: None).models
    # Known pixels are the photo's own: what is left is the mask, at most 40 % and wrong by less than all.
    assert 0 < model.values["l1"].value < 0.4
    with pytest.raises(ConfigError, match="inpaint"):
        evaluate(dataclasses.replace(options, task="deblur"))


@pytest.mark.parametrize(
    ("task", "given"), [("deblur", (-1.0, 3.0)), ("upscale", (-1.0, 3.0)), ("edges", None)]
)
def test_value_ranges_of_photo_inputs(tmp_path, task, given):
    config = small_config(
        tmp_path, task=task, input_channels=None, output_channels=1, output_range=(-1.0, 3.0)
    )
    (generator,) = model_for(config).published_generators().values()
    assert (generator.input.value_range, generator.output.value_range) == (given, (-1.0, 3.0))


def test_inpainting_measurements_is_refused(tmp_path):
    for number in range(3):
        np.save(tmp_path / f"{number}.npy", np.random.default_rng(number).normal(size=SIZE))
    with pytest.raises(DataError, match="inpaint"):
        open_dataset(
            small_config(tmp_path / "run", task="inpaint", input_channels=None, dataset=str(tmp_path))
        )


def test_changed_task_is_refused(trained, photos, capsys):
    flags = ["--dataset", str(photos), "--task", "edges", "--run-dir", str(trained.path), "--steps", "9"]
    assert main(["train", *flags]) == 2
    assert "--task" in capsys.readouterr().err


def test_preview_of_a_task(photos, tmp_path, capsys):
    out = tmp_path / "preview.png"
    for name in PHOTO_TASKS:
        flags = ["--task", name, "--image-size", "64", "--count", "2", "--out", str(out)]
        assert main(["data", "preview", str(photos), *flags]) == 0
        assert np.asarray(Image.open(out)).shape[1] > 2 * 64
    assert main(["data", "preview", str(photos), *flags, "--kind", "unpaired"]) == 2
    assert "--kind" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["edges", "deblur"])
def test_predict_edges_and_deblur(name, runs, translate, photo, tmp_path):
    output = predicted(runs[name], photo, tmp_path)
    assert output.shape == (*SIZE, 3)
    np.testing.assert_array_equal(output, translate[name](photo))


def test_colorize_takes_the_input_of_training_and_keeps_its_lightness(runs, translate, photo, tmp_path):
    def lightness(image):
        place = tf.constant([0, 0], tf.int64)
        return PHOTO_TASKS["colorize"]().held_out_row((tf.constant(image),), place)[0].numpy()

    gray = lightness(photo)
    output = predicted(runs["colorize"], gray, tmp_path)
    np.testing.assert_array_equal(output, translate["colorize"](gray))
    assert np.ptp(output, axis=-1).max() > 8
    assert np.abs(lightness(output).astype(int) - gray).max() <= 1
    # In color, a photo's lightness isn't rounded to levels.
    of_color = predicted(runs["colorize"], photo, tmp_path)
    assert np.abs(of_color.astype(int) - output).mean() < 1


def test_inpaint_keeps_known_pixels(runs, photo, tmp_path):
    mask = np.zeros(SIZE, bool)
    mask[20:40, 30:60] = True
    hidden = [np.where(mask[..., None], color, photo) for color in (0, 255)]
    pictures = [
        predicted(runs["inpaint"], np.dstack([rgb, np.where(mask, 0, 255)]).astype(np.uint8), tmp_path)
        for rgb in hidden
    ]
    np.testing.assert_array_equal(pictures[0][~mask], photo[~mask])
    assert not np.array_equal(pictures[0][mask], photo[mask])
    np.testing.assert_array_equal(*pictures)  # what lies below the mask is not looked at

    Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(tmp_path / "mask.png")
    by_mask = predicted(runs["inpaint"], photo, tmp_path, masks=tmp_path / "mask.png")
    np.testing.assert_array_equal(by_mask, pictures[0])


def test_folder_of_masks(runs, photo, tmp_path):
    tops = {"a": 5, "deep/b": 30}
    for name, top in tops.items():
        for folder, pixels in (("in", photo), ("masks", np.zeros(SIZE, np.uint8))):
            path = tmp_path / folder / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = pixels.copy()
            if folder == "masks":
                pixels[top : top + 9] = 255
            Image.fromarray(pixels).save(path)
    predict(PredictOptions(runs["inpaint"], [tmp_path / "in"], tmp_path / "out", masks=tmp_path / "masks"))
    for name, top in tops.items():
        output = np.asarray(Image.open(tmp_path / "out" / f"{name}.png"))
        changed = np.flatnonzero((output != photo).any(axis=(1, 2)))
        assert (changed.min(), changed.max()) == (top, top + 8)
    (tmp_path / "masks" / "a.png").unlink()
    with pytest.raises(DataError, match="masks"):
        predict(
            PredictOptions(runs["inpaint"], [tmp_path / "in"], tmp_path / "again", masks=tmp_path / "masks")
        )
    assert not (tmp_path / "again").exists()


def test_masks_that_do_not_fit_are_refused(runs, photo, tmp_path):
    with pytest.raises(DataError, match=r"given\.png"):
        predicted(runs["inpaint"], photo, tmp_path)
    Image.new("L", (5, 6), 255).save(tmp_path / "mask.png")
    with pytest.raises(DataError, match="5x6"):
        predicted(runs["inpaint"], photo, tmp_path, masks=tmp_path / "mask.png")
    with pytest.raises(ConfigError, match="--masks"):
        predicted(runs["deblur"], photo, tmp_path, masks=tmp_path / "mask.png")


def test_a_small_photo_is_enlarged(runs, translate, photo, tmp_path):
    output = predicted(runs["upscale"], photo, tmp_path)
    assert output.shape == (4 * SIZE[0], 4 * SIZE[1], 3)
    np.testing.assert_array_equal(output, translate["upscale"](enlarged_levels(photo, 4)))


def test_side_by_side_takes_the_photo(photo, tmp_path, runs, translate):
    pair = [photo, np.zeros_like(photo)]  # the photo is the target of BtoA
    output = predicted(runs["deblur"], np.concatenate(pair, axis=1), tmp_path, side_by_side=True)
    np.testing.assert_array_equal(output, translate["deblur"](photo))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB", "L"])
def test_alpha_is_read_with_orientation(mode, photo, tmp_path):
    image = Image.fromarray(photo)
    alpha = Image.fromarray(np.tile(np.arange(80, dtype=np.uint8), (72, 1)))
    if mode == "P":
        image = image.quantize(16)
        image.info["transparency"] = 0
    else:
        image = image.convert(mode.rstrip("A"))
        if mode.endswith("A"):
            image.putalpha(alpha)
    image.save(tmp_path / "upright.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    loaded = read_input(tmp_path / "upright.png", PixelFormat(4), with_alpha=True)
    np.testing.assert_array_equal(
        loaded, read_input(tmp_path / "turned.png", PixelFormat(4), with_alpha=True)
    )
    expected = np.asarray(image.convert("RGBA"))
    np.testing.assert_array_equal(loaded, expected)
    assert read_input(tmp_path / "upright.png", PixelFormat(2), with_alpha=True).shape == (*SIZE, 2)


@pytest.fixture(scope="module")
def masked_photos(photos, tmp_path_factory):
    """Photos with a mask each, as files."""
    folder = tmp_path_factory.mktemp("masked_photos")
    for number in range(3):
        photo = np.asarray(Image.open(photos / f"{number}.png"))
        alpha = np.full((*SIZE, 1), 255, np.uint8)
        alpha[10 * number : 10 * number + 30, 20:50] = 0
        Image.fromarray(np.concatenate([photo, alpha], axis=-1)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def exported(runs, masked_photos, tmp_path_factory):
    """Both formats of two tasks, verified without the seconds that a process takes to load TensorFlow."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verification, "translate_in_fresh_process", translate_in_this_process)
        for name, kinds in {"colorize": ("none",), "inpaint": ("none", "int8")}.items():
            out = tmp_path_factory.mktemp("exported") / name
            settings = FormatSettings(tflite=TFLite(quantize=kinds))
            options = ExportOptions(runs[name], out, settings=settings, verification_images=masked_photos)
            [found[name]] = export(options)
    return found


@pytest.mark.parametrize("name", ["colorize", "inpaint"])
def test_exports_of_tasks_equal_the_run(name, exported):
    saved, mobile, *_ = exported[name].verifications
    assert len(exported[name].published) == len(exported[name].verifications)
    assert set(saved.signatures) == {"serving_default", "bytes", "float"}
    assert saved.difference.max_levels == 0
    assert mobile.difference.max_levels <= 1


def test_exported_inpaint_keeps_known_pixels(exported, masked_photos, tmp_path):
    given = np.asarray(Image.open(masked_photos / "1.png"))
    model = exported["inpaint"].published[0]
    predict(PredictOptions(str(model), [masked_photos / "1.png"], tmp_path))
    output = np.asarray(Image.open(tmp_path / "1.png"))
    known = given[..., 3] > 0
    np.testing.assert_array_equal(output[known], given[known][:, :3])
    signature = tf.saved_model.load(str(model)).signatures["bytes"]
    of_file = signature(image_bytes=tf.io.read_file(str(masked_photos / "1.png"))[tf.newaxis])["image_bytes"]
    np.testing.assert_array_equal(tf.io.decode_png(of_file[0]), output)
    with pytest.raises(tf.errors.InvalidArgumentError, match="not a PNG"):
        signature(image_bytes=tf.io.encode_jpeg(tf.zeros([8, 8, 3], tf.uint8))[tf.newaxis])


def test_fitted_photo_keeps_known_pixels(exported, masked_photos, tmp_path):
    given = np.asarray(Image.open(masked_photos / "1.png"))
    assert given.shape[:2] != (64, 64)
    mobile = next(path for path in exported["inpaint"].published if path.name.endswith("_64x64.tflite"))
    predict(PredictOptions(str(mobile), [masked_photos / "1.png"], tmp_path, fit_input=True))
    output = np.asarray(Image.open(tmp_path / "1.png"))
    known = given[..., 3] > 0
    np.testing.assert_array_equal(output[known], given[known][:, :3])
    assert (output[~known] != given[~known][:, :3]).any()


def test_published_keras_file_inpaints(trained, tmp_path):
    network = keras.models.load_model(trained.keras_file("generator"), compile=False)
    given = np.random.default_rng(0).uniform(-1, 1, (1, 64, 64, 4)).astype(np.float32)
    given[..., 3] = np.where(given[..., 3] > 0, 1, -1)
    known = given[..., 3] > 0
    np.testing.assert_array_equal(network.predict(given, verbose=0)[known], given[known][:, :3])
