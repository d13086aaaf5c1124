"""``pix2pix evaluate``: runs and folders of outputs side by side, and models that can't be compared."""

import json
import shutil
import unicodedata

import keras
import numpy as np
import pytest
from PIL import Image

from pix2pix_tf import load, open_dataset, preset, replace
from pix2pix_tf.data.pipeline import held_out_images
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.reading.numbers import dequantize, quantize
from pix2pix_tf.errors import ConfigError, DataError, RunError, UserError
from pix2pix_tf.evaluation import candidates, evaluator, inception
from pix2pix_tf.evaluation.candidates import open_candidates, short_names
from pix2pix_tf.evaluation.evaluator import EvaluateOptions, evaluate
from pix2pix_tf.evaluation.measure import Pairs, unit_range
from pix2pix_tf.formats.translator import Translator
from pix2pix_tf.metrics import CONFUSION, METRICS, psnr
from pix2pix_tf.runs import RunDirectory, open_run
from tests.conftest import small_config

pytestmark = pytest.mark.slow


def evaluated(models, out, **options):
    options = EvaluateOptions(tuple(map(str, models)), out=out, segmentation=False, **options)
    return evaluate(options, lambda line: None)


def rows():
    config = small_config(None)
    dataset = open_dataset(config)
    return held_out_images(dataset, config.data.size, dataset.count(dataset.held_out))


def write_images(folder, images):
    for name, image in images.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def compared(tiny_run, tmp_path_factory):
    """A run, its own outputs as files, and the targets with some noise."""
    place = tmp_path_factory.mktemp("evaluation")
    translate, pairs = load(tiny_run.path), rows()
    own = write_images(place / "its own 사진", {name: translate(image) for name, image, _ in pairs})
    random = np.random.default_rng(0)
    noisy = write_images(
        place / "noisy",
        {
            name: np.clip(target + random.normal(0, 8, target.shape), 0, 255).astype(np.uint8)
            for name, _, target in pairs
        },
    )
    return evaluated([tiny_run.path, own, noisy], place / "out"), place / "out"


def test_a_run_and_the_files_of_its_outputs_have_the_numbers_of_the_images(compared, tiny_run):
    evaluation, _ = compared
    run, own, _ = evaluation.models
    assert (run.step, own.step) == (20, None)
    assert run.values == own.values
    assert run.spectrum == own.spectrum
    translate, pairs = load(tiny_run.path), rows()
    values = [psnr(unit_range(translate(image)), unit_range(target))[0] for _, image, target in pairs]
    found = run.values["psnr"]
    assert found.value == pytest.approx(np.mean(values), abs=1e-4)
    assert found.low < found.value < found.high
    assert found.count == evaluation.count == len(pairs)


def test_a_comparison_reports_what_is_better_and_no_difference_between_equals(compared, tiny_run):
    evaluation, _ = compared
    run, own, noisy = (model.name for model in evaluation.models)
    of_equals = [each for each in evaluation.comparisons if each.models == (run, own)]
    assert of_equals
    assert not any(each.larger_than_chance or each.better for each in of_equals)
    better = {each.metric.name: each.better for each in evaluation.comparisons if each.models == (run, noisy)}
    assert better["l1"] == better["ssim"] == better["psnr"] == noisy


def test_every_output_has_every_metric(compared):
    evaluation, out = compared
    assert {"MS-SSIM", "FID and KID"} <= set(evaluation.left_out)  # of 64 pixels; without weights
    expected = {metric for metric in METRICS if metric.measure != CONFUSION and metric.name != "ms_ssim"}
    assert set(evaluation.metrics) == expected
    content = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "its own 사진" in page
    assert len(page) < 5_000_000
    for metric in expected:
        assert content["metrics"][metric.name]["label"] in evaluation.table()
        assert metric.label in page
        for model in evaluation.models:
            estimate = content["models"][model.name]["values"][metric.name]
            assert estimate["value"] == pytest.approx(model.values[metric.name].value, rel=1e-5)
    assert len(content["comparisons"]) == 3 * len(expected)


def test_size_answers_and_weights_of_inception_are_options(tiny_run, tmp_path, monkeypatch):
    """A model with the name of the real images in answer files has its own answers."""
    run = shutil.copytree(tiny_run.path, tmp_path / "real")
    taken = {"real (model)": [True, False, False], "real": [True, False, True, True]}
    answers = [
        {"image": "1", "model": name, "real": name == "real", "taken_for_real": answer}
        for name, each in taken.items()
        for answer in each
    ]
    path = tmp_path / "answers.json"
    path.write_text(json.dumps({"format": 1, "answers": answers}), encoding="utf-8")
    weights = tmp_path / "weights.weights.h5"
    network = keras.applications.InceptionV3(include_top=False, weights=None, pooling="avg")
    network.save_weights(weights)
    monkeypatch.setattr(inception, "SIDE", 75)
    options = {"image_size": (96, 80), "answers": [path], "inception_weights": weights}
    evaluation = evaluated([run], tmp_path / "out", **options)
    assert evaluation.image_size == (96, 80)
    [model] = evaluation.models
    for result, share, count in ((model, 1 / 3, 3), (evaluation.targets, 3 / 4, 4)):
        found = result.values["taken_for_real"]
        assert (found.value, found.count) == (share, count)
    assert "taken for real" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert model.values["fid"].value > 0
    assert model.values["kid"].low <= model.values["kid"].value <= model.values["kid"].high
    names = [metric.name for metric in evaluation.metrics]
    assert names[-3:] == ["kid", "fid", "taken_for_real"]  # KID is to be read first, of so few
    assert len(evaluation.inception["sha256"]) == 64


@pytest.mark.parametrize(("complete", "incomplete"), [(5, 2), (3, 2)])
def test_images_with_missing_pixels_are_left_out_of_fid_and_kid(complete, incomplete, tmp_path, monkeypatch):
    class Means:
        def __init__(self, weights):
            self.description = {}

        def __call__(self, image):
            return image.mean(axis=(0, 1)).repeat(2)

    monkeypatch.setattr(evaluator, "Inception", Means)
    monkeypatch.setattr(inception, "find_weights", lambda given: given)
    random = np.random.default_rng(0)
    for number in range(complete + incomplete):
        image = random.integers(8, 256, (32, 32), np.uint8)
        image[:4, :4] = 7 if number < incomplete else 8
        for place in ("data/val/A", "data/val/B", "model"):
            write_images(tmp_path / place, {str(number): image})
    data = str(tmp_path / "data")
    evaluation = evaluated(
        [tmp_path / "model"], tmp_path / "out", dataset=data, ignore=7, inception_weights=tmp_path
    )
    assert f"{incomplete} images" in str(evaluation.left_out)
    values = evaluation.models[0].values
    assert values["l1"].count == complete + incomplete
    assert ("kid" in values) == (complete >= inception.FEWEST)
    assert "kid" not in values or values["kid"].count == complete


def test_outputs_are_compared_in_the_values_of_the_pairs(tmp_path, monkeypatch):
    """For a model with other value ranges, and for files with the pairs' values."""
    heights = [np.random.default_rng(n).uniform(0, 200, (64, 64)).astype(np.float32) for n in range(4)]
    for folder, factor in (("data/A", 1), ("data/B", 2), ("files", 2)):
        (tmp_path / folder).mkdir(parents=True)
        for number, each in enumerate(heights):
            np.save(tmp_path / folder / f"{number}.npy", factor * each)

    class Doubling(Translator):
        input = PixelFormat(1, value_range=(-100.0, 1000.0))
        output = PixelFormat(1, bits=16, value_range=(0.0, 2000.0))

        def _translate(self, given):
            values = 2 * dequantize(given.numpy(), self.input.value_range)
            return quantize(values, self.output.value_range)

    monkeypatch.setattr(candidates.formats, "load", lambda *_, **__: Doubling())
    config = replace(
        preset(str(tmp_path / "data")), image_size=64, data_dir=tmp_path, output_range=(-50.0, 450.0)
    )
    monkeypatch.setattr(EvaluateOptions, "configs", lambda self, runs: (config, config))
    found = evaluated(["model", tmp_path / "files"], tmp_path / "out", split="train")
    assert max(model.values["l1"].value for model in found.models) < 1e-4


def test_measurements_without_a_level_are_no_values(tmp_path):
    """Reports values outside of the targets' range; refuses missing pixels where targets have values."""
    targets = [np.random.default_rng(n).uniform(0, 200, (64, 64)).astype(np.float32) for n in range(4)]
    for target in targets:
        target[:8] = np.nan
    outputs = {"same": targets, "missing": [], "far": []}
    for target in targets:
        for name, value in (("missing", np.nan), ("far", 1e6)):
            outputs[name].append(target.copy())
            outputs[name][-1][8:22] = value
    for folder, images in {"data/val/A": targets, "data/val/B": targets, **outputs}.items():
        (tmp_path / folder).mkdir(parents=True)
        for number, image in enumerate(images):
            np.save(tmp_path / folder / f"{number}.npy", image)
    options = {"dataset": str(tmp_path / "data"), "data_dir": tmp_path}
    found = evaluated([tmp_path / "same", tmp_path / "far"], tmp_path / "out", **options)
    [clipped] = [reason for name, reason in found.left_out.items() if "outside" in name]
    assert clipped.startswith("25.00%")
    with pytest.raises(DataError, match=r"missing pixels.*fill"):
        evaluated([tmp_path / "missing"], tmp_path / "out", **options)


def test_outputs_of_16_bits_have_the_classes_of_8_bit_label_maps(tmp_path, monkeypatch):
    for number in range(4):
        classes = np.random.default_rng(number).integers(0, 3, (64, 64))
        image = np.array([[10, 20, 30], [90, 0, 200], [255, 250, 60]], np.uint8)[classes]
        for place in ("A", "B"):
            write_images(tmp_path / "val" / place, {str(number): image})

    class Repeating(Translator):
        input, output = PixelFormat(), PixelFormat(bits=16)

        def _translate(self, given):
            return given.numpy().astype(np.uint16) * 257

    monkeypatch.setattr(candidates.formats, "load", lambda *_, **__: Repeating())
    options = EvaluateOptions(
        ("model",), str(tmp_path), tmp_path / "out", data_dir=tmp_path, label_maps="both", image_size=(64,)
    )
    found = evaluate(options, lambda line: None)
    assert found.models[0].values["pixel_accuracy"].value == 1


def test_short_names_distinguish_models_from_any_working_directory(tmp_path, monkeypatch):
    assert short_names(["runs/a", "runs/b@4000"]) == ["a", "b@4000"]
    assert short_names(["http://host:8501/v1/models/facades"]) == ["facades"]
    for place in ("a/run", "b/run"):
        (tmp_path / place).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "run")
    assert short_names(["."]) == ["run"]
    assert short_names([".", "../../b/run@best"]) == ["run", "run@best"]
    assert short_names([".", "../../b/run"]) == ["a/run", "b/run"]
    with pytest.raises(ConfigError):
        short_names([".", "../run"])


def test_models_that_can_not_be_compared_are_refused(tiny_run, tmp_path, monkeypatch):
    pairs = rows()
    (tmp_path / "empty").mkdir()
    some = write_images(tmp_path / "some", {"not one of them": pairs[0][2]})
    large = write_images(tmp_path / "large", {name: np.tile(each, (2, 2, 1)) for name, _, each in pairs})
    run = tiny_run.path
    for models, options, error in (
        ([tmp_path / "empty"], {"dataset": "procedural"}, UserError),
        ([some], {"dataset": "procedural"}, DataError),
        ([large], {"dataset": "procedural", "image_size": (64,)}, DataError),
        ([large], {}, ConfigError),
        ([run, run], {}, ConfigError),
        ([f"{run}@7"], {}, RunError),
        ([tmp_path / "nothing"], {}, RunError),
        ([run], {"direction": "AtoB"}, ConfigError),
    ):
        with pytest.raises(error):
            evaluated(models, tmp_path / "out", **options)
    gray = small_config(None, output_channels=1)
    monkeypatch.setattr(EvaluateOptions, "configs", lambda self, runs: (gray, gray))
    with pytest.raises(DataError, match="1 channel"):
        evaluated([run], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_images_are_found_by_their_whole_names(tmp_path):
    pair = np.random.default_rng(0).integers(0, 256, (64, 128, 3), np.uint8)
    names = [f"{'deep/' * (number % 2)}건물 {number}.v1" for number in range(60)]
    folder = str(write_images(tmp_path / "pairs", dict.fromkeys(names, pair)))
    held_out = open_dataset(small_config(None, dataset=folder)).splits["val"][0].names
    for split, wanted in (("all", names), (None, held_out)):
        images = {unicodedata.normalize("NFD", name): pair[:, 64:] for name in wanted}
        made = write_images(tmp_path / f"made {split}", images)
        options = {"dataset": folder, "image_size": (64,), "split": split}
        assert evaluated([made], tmp_path / "out", **options).count == len(wanted)
    wrong = write_images(tmp_path / "wrong", {f"x/{name}": image for name, image in images.items()})
    with pytest.raises(DataError, match="no image for"):
        evaluated([wrong], tmp_path / "out", dataset=folder)


def test_a_run_that_was_trained_on_the_pairs_is_refused_or_reported(tiny_run, tmp_path):
    """Pairs are identified by pixels: the run was trained on side-by-side images, here are two folders."""
    for number, pair in enumerate(np.random.default_rng(0).integers(0, 256, (8, 64, 128, 3), np.uint8)):
        split = "train" if number < 4 else "val"
        write_images(tmp_path / "pairs", {f"{split}/{number}": pair})
        write_images(
            tmp_path / "copy", {f"{split}A/x{number}": pair[:, :64], f"{split}B/x{number}": pair[:, 64:]}
        )
    own = open_dataset(small_config(None, dataset=str(tmp_path / "pairs")))
    run = RunDirectory(shutil.copytree(tiny_run.path, tmp_path / "run"))
    trained_on, [held_out] = own.digests("train"), own.splits["val"]

    def after_training_on(digests, **options):
        run.write_training_images(digests)
        return evaluated([run.path], tmp_path / "out", dataset=str(tmp_path / "copy"), **options)

    assert after_training_on(trained_on).models[0].trained_on == 0
    evaluation = after_training_on(np.append(trained_on, held_out.digests()[0]))
    assert evaluation.models[0].trained_on == 1
    assert any("trained on 1 of" in each for each in evaluation.left_out.values())
    seen = held_out.digests()
    with pytest.raises(ConfigError, match=f"{len(held_out)} of the"):
        after_training_on(seen.ravel())
    assert after_training_on(seen.ravel(), split="train").count == 4
    # A held-out pair may share one image with a training pair; for unpaired sets, one image is enough.
    assert after_training_on(seen[:, 0]).models[0].trained_on == 0
    run.write_config(replace(small_config(None, "cyclegan"), input_channels=3, output_channels=3), {})
    with pytest.raises(ConfigError, match=f"{len(held_out)} of the"):
        candidates.count_trained_on(open_run(run.path), held_out)


def test_training_pairs_are_evaluated_only_on_request(tiny_run, tmp_path):
    pair = np.random.default_rng(0).integers(0, 256, (64, 128, 3), np.uint8)
    folder = write_images(tmp_path / "pairs" / "train", {"1": pair}).parent
    with pytest.raises(ConfigError, match="train"):
        evaluated([tiny_run.path], tmp_path / "out", dataset=str(folder))
    models = [tiny_run.path, f"{tiny_run.path}@10"]
    evaluation = evaluated(models, tmp_path / "out", dataset=str(folder), split="train")
    assert not evaluation.comparisons
    assert "too few to compare" in evaluation.table()
    assert {"which model is better", "FID and KID"} <= set(evaluation.left_out)


def test_an_exported_model_gets_the_image_that_its_run_gets(tiny_run, monkeypatch):
    dataset, seen = open_dataset(small_config(None, image_size=128)), []

    class Identity:
        noise, input, output = 0, PixelFormat(), PixelFormat()

        def __call__(self, image):
            seen.append(image)
            return image

    monkeypatch.setattr(candidates.formats, "load", lambda model, **options: Identity())
    monkeypatch.setattr(candidates, "is_folder_of_images", lambda model: False)
    config = small_config(None)
    pairs = Pairs(dataset, "val", config.data.size)
    for each in open_candidates([open_run(tiny_run.path), "model.tflite"], dataset, "val", config):
        each.generate(*pairs.read(0))
    np.testing.assert_array_equal(*seen)
    assert seen[0].shape == (64, 64, 3)


def test_the_report_of_many_pairs_has_the_worst_and_some_others(tiny_run, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(evaluator, "_MOST_SHOWN", 4)
    monkeypatch.setattr(evaluator, "write_report", lambda path, found, images, curves: shown.extend(images))
    evaluated([tiny_run.path], tmp_path)
    translate = load(tiny_run.path)
    errors = {
        name: np.abs(unit_range(translate(image)) - unit_range(target)).mean()
        for name, image, target in rows()
    }
    worst = sorted(errors, key=errors.get)[-2:]
    assert len(shown) <= 4
    assert set(worst) <= {image.name for image in shown}
