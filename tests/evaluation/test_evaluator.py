"""``pix2pix evaluate`` as a whole: runs and folders of pictures side by side, and what can't be compared."""

import json
import shutil
import unicodedata

import numpy as np
import pytest
from PIL import Image

from pix2pix_tf import load, open_dataset, preset, replace
from pix2pix_tf.data.pipeline import held_out_images
from pix2pix_tf.data.rasters import dequantize, quantize
from pix2pix_tf.errors import ConfigError, DataError, RunError, UserError
from pix2pix_tf.evaluation import evaluator, inception, judged
from pix2pix_tf.evaluation.evaluator import EvaluateOptions, evaluate
from pix2pix_tf.evaluation.inception import Inception
from pix2pix_tf.evaluation.judged import open_judged, short_names
from pix2pix_tf.evaluation.measuring import Pairs, unit
from pix2pix_tf.evaluation.metrics import METRICS, peak_signal_to_noise_ratio
from pix2pix_tf.evaluation.table import table
from pix2pix_tf.formats.translator import Translator
from pix2pix_tf.runs import RunDirectory
from tests.conftest import small_config


def judge(models, out, **options):
    config = options.pop("config", small_config(None))
    return evaluate(
        list(map(str, models)), out, EvaluateOptions(config, segmentation=False, **options), lambda line: None
    )


def rows(config=None):
    config = config or small_config(None)
    dataset = open_dataset(config)
    return held_out_images(dataset, config.data.size, dataset.count(dataset.held_out))


def write_pictures(folder, pictures):
    for name, picture in pictures.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def compared(tiny_run, tmp_path_factory):
    """A run, its own pictures as files, and the targets with some noise."""
    place = tmp_path_factory.mktemp("evaluation")
    translate, pairs = load(tiny_run.path), rows()
    own = write_pictures(place / "its own 사진", {name: translate(image) for name, image, _ in pairs})
    random = np.random.default_rng(0)
    noisy = write_pictures(
        place / "noisy",
        {
            name: np.clip(target + random.normal(0, 8, target.shape), 0, 255).astype(np.uint8)
            for name, _, target in pairs
        },
    )
    return judge([tiny_run.path, own, noisy], place / "out"), place / "out"


def test_a_runs_pictures_and_the_files_of_them_have_the_same_numbers(compared, tiny_run):
    results, _ = compared
    run, own, _ = results["models"].values()
    assert (run["step"], own["step"]) == (20, None)
    assert run["values"] == own["values"]
    assert run["spectrum"] == own["spectrum"]


def test_numbers_are_those_of_the_pictures(compared, tiny_run):
    results, _ = compared
    translate, pairs = load(tiny_run.path), rows()
    assert results["count"] == len(pairs)
    found = results["models"][tiny_run.path.name]["values"]["psnr"]
    own = [peak_signal_to_noise_ratio(unit(translate(image)), unit(target))[0] for _, image, target in pairs]
    assert found["value"] == pytest.approx(np.mean(own), abs=1e-4)
    assert found["low"] < found["value"] < found["high"]
    assert found["count"] == len(pairs)


def test_a_comparison_tells_what_is_better_and_finds_no_difference_in_the_same(compared, tiny_run):
    results, _ = compared
    run, own, noisy = results["models"]
    for pair in results["comparisons"]:
        if pair["models"] == [run, own]:
            assert not pair["larger_than_chance"]
            assert pair["better"] is None
    better = {
        each["metric"]: each["better"] for each in results["comparisons"] if each["models"] == [run, noisy]
    }
    assert better["l1"] == better["ssim"] == better["psnr"] == noisy


def test_metrics_json_and_the_report_hold_the_results(compared):
    results, out = compared
    assert json.loads((out / "metrics.json").read_text(encoding="utf-8")) == results
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "its own 사진" in page
    assert len(page) < 5_000_000


def test_what_is_not_measured_is_named_with_a_reason(compared):
    results, _ = compared
    assert "ms_ssim" not in results["metrics"]  # of 64 pixels
    assert {"MS-SSIM", "FID and KID"} <= {each["metric"] for each in results["left_out"]}


def test_models_of_other_sizes_are_compared_at_the_size_that_is_asked_for(tiny_run, tmp_path):
    results = judge([tiny_run.path], tmp_path, size=(96, 80))
    assert results["image_size"] == [96, 80]
    names = {metric.name for metric in METRICS if metric.smallest <= 64 and metric.measurement != "confusion"}
    assert results["metrics"].keys() == names


def test_what_people_answered_stands_among_the_numbers(tiny_run, tmp_path):
    shown = [
        (model, taken) for model in (tiny_run.path.name, "real") for taken in (True, False, model == "real")
    ]
    answers = {
        "format": 1,
        "dataset": "procedural",
        "models": {
            model: {"shown": 3, "taken_for_real": sum(taken for name, taken in shown if name == model)}
            for model in (tiny_run.path.name, "real")
        },
        "answers": [
            {"picture": str(n), "model": model, "real": model == "real", "taken_for_real": taken}
            for n, (model, taken) in enumerate(shown)
        ],
    }
    path = tmp_path / "answers.json"
    path.write_text(json.dumps(answers), encoding="utf-8")
    results = judge([tiny_run.path], tmp_path / "out", answers=[path])
    found = results["models"][tiny_run.path.name]["values"]["taken_for_real"]
    assert (found["value"], found["count"]) == (1 / 3, 3)
    assert results["targets"]["values"]["taken_for_real"]["value"] == 2 / 3
    assert "taken for real" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_the_answers_of_a_model_called_real_are_its_own(tiny_run, tmp_path):
    run = shutil.copytree(tiny_run.path, tmp_path / "real")
    counts = {"real (model)": 1, "real": 3}
    answers = {
        "format": 1,
        "dataset": "procedural",
        "models": {name: {"shown": count, "taken_for_real": count} for name, count in counts.items()},
        "answers": [
            {"picture": str(number), "model": name, "real": name == "real", "taken_for_real": True}
            for name, count in counts.items()
            for number in range(count)
        ],
    }
    (tmp_path / "answers.json").write_text(json.dumps(answers), encoding="utf-8")
    results = judge([run], tmp_path / "out", answers=[tmp_path / "answers.json"])
    assert results["models"]["real"]["values"]["taken_for_real"]["count"] == 1
    assert results["targets"]["values"]["taken_for_real"]["count"] == 3


def test_fid_and_kid_are_measured_where_there_are_weights(tiny_run, tmp_path, monkeypatch):
    network = keras_inception(tmp_path / "weights.weights.h5")
    monkeypatch.setattr(inception, "SIDE", 75)
    results = judge([tiny_run.path], tmp_path / "out", inception_weights=network)
    values = results["models"][tiny_run.path.name]["values"]
    assert values["fid"]["value"] > 0
    assert values["kid"]["low"] <= values["kid"]["value"] <= values["kid"]["high"]
    assert list(results["metrics"])[-2:] == ["kid", "fid"]  # KID is to be read first, of so few
    assert len(results["inception"]["sha256"]) == 64


@pytest.mark.parametrize(("complete", "incomplete"), [(5, 2), (3, 2)])
def test_pictures_with_missing_pixels_are_in_no_fid(complete, incomplete, tmp_path, monkeypatch):
    class Means:
        digest = "0"

        def __init__(self, weights):
            pass

        def __call__(self, picture):
            return picture.mean(axis=(0, 1)).repeat(2)

    monkeypatch.setattr(inception, "Inception", Means)
    monkeypatch.setattr(inception, "find_weights", lambda given: given)
    random = np.random.default_rng(0)
    for number in range(complete + incomplete):
        image = random.integers(8, 256, (32, 32), np.uint8)
        image[:4, :4] = 7 if number < incomplete else 8
        for place in ("data/val/A", "data/val/B", "model"):
            (tmp_path / place).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(tmp_path / place / f"{number}.png")
    config = replace(preset(str(tmp_path / "data")), ignore=7)
    results = judge([tmp_path / "model"], tmp_path / "out", config=config, inception_weights=tmp_path)
    assert f"{incomplete} pictures" in str(results["left_out"])
    values = results["models"]["model"]["values"]
    assert values["l1"]["count"] == complete + incomplete
    assert ("kid" in values) == (complete >= inception.FEWEST)
    assert "kid" not in values or values["kid"]["count"] == complete


def keras_inception(path):
    network = Inception(None)
    network._network.save_weights(path)
    return path


def test_pictures_are_compared_in_the_values_of_the_pairs(tmp_path, monkeypatch):
    """Whatever range a model has learned from, and in files of its values, too."""
    heights = [np.random.default_rng(n).uniform(0, 200, (64, 64)).astype(np.float32) for n in range(4)]
    for folder, factor in (("data/A", 1), ("data/B", 2), ("files", 2)):
        (tmp_path / folder).mkdir(parents=True)
        for number, each in enumerate(heights):
            np.save(tmp_path / folder / f"{number}.npy", factor * each)

    class Doubling(Translator):
        input_channels = output_channels = 1
        output_bits = 16
        input_range, output_range = (-100.0, 1000.0), (0.0, 2000.0)

        def _translate(self, given):
            values = 2 * dequantize(given.numpy(), self.input_range)
            return quantize(values, self.output_range)

    monkeypatch.setattr(judged.formats, "load", lambda *_, **__: Doubling())
    config = replace(
        preset(str(tmp_path / "data")), image_size=64, data_dir=tmp_path, output_range=(-50.0, 450.0)
    )
    results = judge(["model", tmp_path / "files"], tmp_path / "out", config=config, split="train")
    errors = [model["values"]["l1"]["value"] for model in results["models"].values()]
    assert max(errors) < 1e-4


@pytest.mark.parametrize(
    ("models", "names"),
    [
        (["runs/a", "runs/b@4000"], ["a", "b@4000"]),
        (["x/run", "y/run"], ["x/run", "y/run"]),
        (["http://host:8501/v1/models/facades"], ["facades"]),
    ],
)
def test_names_are_short_and_tell_models_apart(models, names):
    assert short_names(models) == names


def test_names_are_those_of_the_folders_from_wherever_they_are_given(tmp_path, monkeypatch):
    for place in ("a/run", "b/run"):
        (tmp_path / place).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "run")
    assert short_names(["."]) == ["run"]
    assert short_names([".", "../../b/run@best"]) == ["run", "run@best"]
    assert short_names([".", "../../b/run"]) == ["a/run", "b/run"]
    with pytest.raises(ConfigError):
        short_names([".", "../run"])


def test_what_can_not_be_compared_is_named(tiny_run, tmp_path):
    pairs = rows()
    empty = tmp_path / "empty"
    empty.mkdir()
    some = write_pictures(tmp_path / "some", {"not one of them": pairs[0][2]})
    large = write_pictures(
        tmp_path / "large", {name: np.tile(target, (2, 2, 1)) for name, _, target in pairs}
    )
    run = tiny_run.path
    for models, error in (
        ([empty], UserError),
        ([some], DataError),
        ([large], DataError),
        ([run, run], ConfigError),
        ([f"{run}@7"], RunError),
        ([tmp_path / "nothing"], RunError),
    ):
        with pytest.raises(error):
            judge(models, tmp_path / "out")
    backwards = small_config(None, direction="AtoB")
    with pytest.raises(ConfigError):
        judge([run], tmp_path / "out", config=backwards)
    grey = small_config(None, output_channels=1)
    with pytest.raises(DataError):
        judge([run], tmp_path / "out", config=grey)
    assert not (tmp_path / "out").exists()


def flat_pairs(folder, count=60):
    pair = np.random.default_rng(0).integers(0, 256, (64, 128, 3), np.uint8)
    return write_pictures(
        folder, {f"{'deep/' * (number % 2)}건물 {number}.v1": pair for number in range(count)}
    )


def test_pictures_are_found_by_their_whole_names(tmp_path):
    folder = flat_pairs(tmp_path / "pairs")
    config = small_config(None, dataset=str(folder))
    names = open_dataset(config).splits["val"][0].names
    pictures = {unicodedata.normalize("NFD", name): np.zeros((64, 64, 3), np.uint8) for name in names}
    made = write_pictures(tmp_path / "made", pictures)
    results = judge([made], tmp_path / "out", config=config)
    assert results["count"] == len(names)
    wrong = write_pictures(tmp_path / "wrong", {f"x/{name}": picture for name, picture in pictures.items()})
    with pytest.raises(DataError, match="no picture for"):
        judge([wrong], tmp_path / "out", config=config)


def test_a_folder_that_is_all_held_out_is_evaluated_as_a_whole(tmp_path):
    folder = flat_pairs(tmp_path / "pairs", 11)
    config = small_config(None, dataset=str(folder))
    names = [file.relative_to(folder).with_suffix("").as_posix() for file in folder.rglob("*.png")]
    made = write_pictures(tmp_path / "made", {name: np.zeros((64, 64, 3), np.uint8) for name in names})
    assert judge([made], tmp_path / "out", config=config, split="all")["count"] == 11


def test_a_run_that_has_seen_the_pairs_is_refused_or_reported(tiny_run, tmp_path):
    """Whatever they are called now: here a copy in two folders, of what the run has seen side by side."""
    for number, pair in enumerate(np.random.default_rng(0).integers(0, 256, (8, 64, 128, 3), np.uint8)):
        split = "train" if number < 4 else "val"
        write_pictures(tmp_path / "pairs", {f"{split}/{number}": pair})
        write_pictures(
            tmp_path / "copy", {f"{split}A/x{number}": pair[:, :64], f"{split}B/x{number}": pair[:, 64:]}
        )
    own = open_dataset(small_config(None, dataset=str(tmp_path / "pairs")))
    config = small_config(None, dataset=str(tmp_path / "copy"))
    run = RunDirectory(shutil.copytree(tiny_run.path, tmp_path / "run"))
    trained_on, [held_out] = own.digests("train"), own.splits["val"]

    def evaluated(seen):
        run.write_training_images(seen)
        return judge([run.path], tmp_path / "out", config=config)

    assert evaluated(trained_on)["models"]["run"]["trained_on"] == 0
    results = evaluated(np.append(trained_on, held_out.digests()[0]))
    assert results["models"]["run"]["trained_on"] == 1
    assert any("trained on 1 of" in each["because"] for each in results["left_out"])
    with pytest.raises(ConfigError, match=f"{len(held_out)} of the"):
        evaluated(held_out.digests().ravel())
    run.write_training_images(held_out.digests().ravel())
    assert judge([run.path], tmp_path / "out", config=config, split="train")["count"] == 4
    # Of two pairs that share one image, one may be held out; of unpaired sets either image counts.
    assert evaluated(held_out.digests()[:, 0])["models"]["run"]["trained_on"] == 0
    run.write_config(replace(small_config(None, "cyclegan"), input_channels=3, output_channels=3), {})
    with pytest.raises(ConfigError, match=f"{len(held_out)} of the"):
        judged._trained_on(run, held_out)


def test_pairs_of_training_are_judged_on_only_if_asked_for(tiny_run, tmp_path):
    pair = np.random.default_rng(0).integers(0, 256, (64, 128, 3), np.uint8)
    folder = write_pictures(tmp_path / "pairs" / "train", {"1": pair}).parent
    config = small_config(None, dataset=str(folder), direction="BtoA")
    with pytest.raises(ConfigError, match="train"):
        judge([tiny_run.path], tmp_path / "out", config=config)
    results = judge([tiny_run.path, f"{tiny_run.path}@10"], tmp_path / "out", config=config, split="train")
    assert not results["comparisons"]
    assert "too few to compare" in table(results)
    assert (
        "too few to compare"
        in (tmp_path / "out" / "report.html").read_text(encoding="utf-8").partition("</h1>")[0]
    )
    assert {"which model is better", "FID and KID"} <= {each["metric"] for each in results["left_out"]}


def test_an_exported_model_gets_the_image_that_its_run_gets(tiny_run, monkeypatch):
    dataset, seen = open_dataset(small_config(None, image_size=128)), []

    class Painting:
        noise, output_channels, input_range, output_range = 0, 3, None, None

        def __call__(self, image):
            seen.append(image)
            return image

    monkeypatch.setattr(judged.formats, "load", lambda model, **options: Painting())
    monkeypatch.setattr(judged, "is_folder_of_pictures", lambda model: False)
    config = small_config(None)
    pairs = Pairs(dataset, "val", config.data.size)
    for each in open_judged([str(tiny_run.path), "model.tflite"], dataset, "val", config):
        each.paint(*pairs.read(0))
    np.testing.assert_array_equal(*seen)
    assert seen[0].shape == (64, 64, 3)


def test_of_many_pairs_the_report_gets_the_worst_and_some_others(tiny_run, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(evaluator, "_MOST_SHOWN", 4)
    monkeypatch.setattr(
        evaluator, "write_report", lambda path, results, pictures, curves: shown.extend(pictures)
    )
    judge([tiny_run.path], tmp_path)
    translate = load(tiny_run.path)
    errors = {name: np.abs(unit(translate(image)) - unit(target)).mean() for name, image, target in rows()}
    worst = sorted(errors, key=errors.get)[-2:]
    assert len(shown) <= 4
    assert set(worst) <= {picture.name for picture in shown}
