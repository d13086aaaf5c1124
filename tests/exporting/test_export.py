"""``pix2pix export``: what it writes, how it verifies, what it refuses to publish."""

import contextlib
import errno
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from PIL import Image

from pix2pix_tf import formats
from pix2pix_tf.commands.main import main
from pix2pix_tf.data.pipeline import held_out_images
from pix2pix_tf.data.reading import MAX_PIXELS
from pix2pix_tf.errors import ConfigError, DataError, RunError, SystemFault
from pix2pix_tf.exporting import verification
from pix2pix_tf.exporting.export import export, refuse_worse, table
from pix2pix_tf.exporting.options import ExportOptions, FormatSettings
from pix2pix_tf.exporting.samples import dataset_samples, run_dataset
from pix2pix_tf.formats.base import Tolerance
from pix2pix_tf.formats.run import GeneratorTranslator, translators_for
from pix2pix_tf.formats.saved_model import SavedModel
from pix2pix_tf.formats.tflite import TFLite
from pix2pix_tf.inference.options import PredictOptions
from pix2pix_tf.inference.predict import predict
from pix2pix_tf.models.registry import model_for
from pix2pix_tf.runs import RunDirectory, open_run
from tests.end_to_end.commands import environment
from tests.formats.models import NOISE, SIZE, psnr, smooth_images, translate_in_this_process, write_run

pytestmark = pytest.mark.slow

BOTH = FormatSettings(tflite=TFLite(quantize=("none", "int8")))
IMPOSSIBLE = Tolerance(max_levels=-1)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run, to be read only."""
    return write_run(tmp_path_factory.mktemp("run") / "tiny").path


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A run of the smallest model, which takes noise, to be read only."""
    return write_run(tmp_path_factory.mktemp("run") / "small", "wgan").path


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder of input images, at two depths."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "깊이").mkdir()
    for number, image in enumerate(smooth_images(4, (70, 81))):
        Image.fromarray(image).save(folder / ("깊이" if number % 2 else "") / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def exported(run, images, tmp_path_factory):
    """An export, verified in processes of its own, to be read only: its folder and its models."""
    out = tmp_path_factory.mktemp("exported") / "내 수출"
    return out, export(ExportOptions(run, out, "tiny", verification_images=images))


@pytest.fixture
def in_this_process(monkeypatch):
    """Verifies in this process, because a new one takes seconds to load TensorFlow."""
    monkeypatch.setattr(verification, "translate_in_fresh_process", translate_in_this_process)


@pytest.fixture
def quickly(small, in_this_process):
    """Exports a run, the smallest one unless another is given, as one file unless more is asked for."""

    def run_export(out, run=small, **options):
        return export(ExportOptions(run, out, "tiny", **{"formats": ("tflite",), **options}))

    return run_export


def report_of(out, name="tiny-1"):
    return json.loads((out / name / "export.json").read_text(encoding="utf-8"))


def below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


# ---------------------------------------------------------------- what is written


def test_it_is_laid_out_as_servers_and_people_look_for_it(exported):
    out, [model] = exported
    served = {"README.md", "batching.config", "docker-compose.yml", "models.config"}
    assert {path.name for path in out.iterdir()} == {".lock", "tiny", "tiny-1", *served}
    assert (out / "tiny" / "1" / "saved_model.pb").is_file()
    assert (out / "tiny" / "1" / "assets.extra" / "tf_serving_warmup_requests").is_file()
    files = ["export.json", "parity.png", "tiny_64x64.samples.png", "tiny_64x64.tflite"]
    assert below(out / "tiny-1") == files
    with Image.open(out / "tiny-1" / "tiny_64x64.samples.png") as samples:  # one below the other
        assert (samples.width, samples.height % SIZE[0], samples.mode) == (SIZE[1], 0, "RGB")
    assert model.published == [out / "tiny" / "1", out / "tiny-1" / "tiny_64x64.tflite"]


def test_the_report_has_all_that_was_measured(exported):
    out, models = exported
    stored = report_of(out)
    assert (stored["name"], stored["step"], stored["config"]["model"]["base_filters"]) == ("tiny", 20, 8)
    served, tflite = stored["artifacts"]
    assert served["max_levels"] <= 1
    assert set(served["signatures"]) == {"serving_default", "bytes", "float"}
    assert (served["images"], served["file"]) == (8, "tiny/1")
    assert set(served["sizes"]) == {"64x64", "61x35", "33x21", "109x127", "1x1"}
    assert tflite["off_by_more_than_1"] <= 1e-4
    assert tflite["bytes"] == (out / tflite["file"]).stat().st_size
    assert all(each["milliseconds"] > 0 and each["within_tolerance"] for each in stored["artifacts"])
    text = table(models)
    assert all(each["artifact"] in text for each in stored["artifacts"])
    assert str(out / "tiny-1" / "parity.png") in text
    grid = np.asarray(Image.open(out / "tiny-1" / "parity.png"))
    assert grid.shape[1] >= 4 * SIZE[1]
    assert grid.shape[0] >= 4 * SIZE[0]


def test_a_new_version_stands_beside_the_old_ones(quickly, tmp_path):
    before = [tmp_path / "tiny" / "2" / "saved_model.pb", tmp_path / "tiny-1" / "export.json"]
    for path in before:
        path.parent.mkdir(parents=True)
        path.write_text("kept")
    [model] = quickly(tmp_path, formats=("saved_model",), step=10)
    assert model.published == [tmp_path / "tiny" / "3"]
    assert report_of(tmp_path, "tiny-3")["step"] == 10
    assert all(path.read_text() == "kept" for path in before)


# ---------------------------------------------------------------- several generators, and noise


@pytest.fixture(scope="module")
def cyclegan(tmp_path_factory):
    settings = {"generator": "unet", "base_filters": 2, "steps": (20,)}
    return write_run(tmp_path_factory.mktemp("run") / "tiny", "cyclegan", **settings).path


def test_both_generators_are_models_served_side_by_side(quickly, cyclegan, tmp_path):
    config_pb2 = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2")
    models = quickly(tmp_path, cyclegan, formats=("saved_model",), verification_images=None)
    config = config_pb2.ModelServerConfig()
    text_format.Parse((tmp_path / "models.config").read_text(encoding="utf-8"), config)
    names = ["tiny_AtoB", "tiny_BtoA"]
    assert [model.name for model in config.model_config_list.config] == names
    assert [model.name for model in models] == names
    refuse_worse(models, allow_worse=False)
    [image] = smooth_images(1)
    expected = GeneratorTranslator.load(open_run(cyclegan), direction="BtoA")(image)
    np.testing.assert_array_equal(formats.load(tmp_path / "tiny_BtoA")(image), expected)
    for name in names:
        report = report_of(tmp_path, f"{name}-1")
        assert (report["name"], report["samples"]) == (name, "procedural val")
    assert "# tiny_AtoB\n" in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_one_of_several_generators_and_several_sizes_can_be_chosen(
    cyclegan, images, tmp_path, in_this_process
):
    flags = "--name tiny --formats tflite --direction BtoA --tflite-sizes 64x96 65x99 64x96"
    command = ["export", str(cyclegan), "--out", str(tmp_path), *flags.split()]
    assert main([*command, "--verification-images", str(images)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "tiny_BtoA-1"}
    models = [
        f"tiny_BtoA_{size}{suffix}" for size in ("64x96", "65x99") for suffix in (".samples.png", ".tflite")
    ]
    assert below(tmp_path / "tiny_BtoA-1") == ["export.json", "parity.png", *models]


def test_a_model_of_noise_is_verified_with_noise(quickly, small, tmp_path):
    [model] = quickly(tmp_path / "out", formats=("saved_model", "tflite"), settings=BOTH)
    refuse_worse([model], allow_worse=False)
    assert [len(each.sizes) for each in model.verifications] == [16, 16, 16]
    z = np.random.default_rng(1).standard_normal(NOISE, np.float32)
    trained = GeneratorTranslator.load(open_run(small))
    expected = trained(z)
    for path, least in zip(model.published, (90, 50, 35), strict=True):
        translate = formats.load(path)
        assert (translate.noise, translate.input.channels, translate.output.channels) == (NOISE, 0, 3)
        assert psnr(translate(z), expected) >= least
        for way in translate.signatures().values():
            np.testing.assert_array_equal(way(z), translate(z))
    served = tf.saved_model.load(str(model.published[0])).signatures
    floats = served["float"](z=np.stack([z, -z]))["images"]
    np.testing.assert_array_equal(floats[0], trained.translate_floats(tf.constant(z)))
    assert served["serving_default"](z=np.zeros((0, NOISE), np.float32))["images"].shape == (0, *SIZE, 3)
    for place in (small, model.published[0], model.published[1]):
        predict(PredictOptions(place, [], tmp_path / place.name, count=3, seed=5))
    by_run, *by_exports = (
        np.stack([Image.open(path) for path in sorted((tmp_path / place.name).iterdir())]).astype(int)
        for place in (small, *model.published[:2])
    )
    assert by_run.shape == (3, *SIZE, 3)
    np.testing.assert_array_equal(by_exports[0], by_run)
    assert np.abs(by_exports[1] - by_run).max() <= 1
    sizes = FormatSettings(tflite=TFLite(tflite_sizes=(SIZE,)))
    for options in ({"verification_images": tmp_path}, {"settings": sizes}):
        with pytest.raises(ConfigError):
            quickly(tmp_path / "again", **options)
    assert not (tmp_path / "again").exists()


def test_each_generator_is_verified_with_images_of_its_own_side(cyclegan):
    config = RunDirectory(cyclegan).read_config()
    dataset = run_dataset(config, None)
    rows = held_out_images(dataset, SIZE, 3)
    for side, translator in enumerate(translators_for(model_for(config)).values()):
        samples = dataset_samples(dataset, config.data.fit, translator)
        np.testing.assert_array_equal(samples.held_out(SIZE, 3), [row[1 + side] for row in rows])
        assert len(samples.for_calibration(SIZE, 2)) == 2


# ---------------------------------------------------------------- what is not published


def test_what_exceeds_its_tolerance_is_not_published(small, tmp_path, monkeypatch, capsys, in_this_process):
    monkeypatch.setattr(SavedModel, "tolerance", IMPOSSIBLE)
    monkeypatch.setitem(TFLite.tolerances, "float16", IMPOSSIBLE)
    command = ["export", str(small), "--out", str(tmp_path), "--name", "tiny"]
    assert main([*command, "--quantize", "none", "float16"]) == 4
    printed = capsys.readouterr()
    assert "missed: off by" in printed.out
    [line] = [line for line in printed.err.splitlines() if line.startswith("pix2pix")]
    assert line.startswith("pix2pix: error: not published")
    assert "TFLite float16 64x64" in line
    assert "--allow-worse" in line
    files = ["export.json", "parity.png", "tiny_64x64.tflite"]
    assert below(tmp_path) == [".lock", "tiny-1", *(f"tiny-1/{name}" for name in files)]
    assert [each["published"] for each in report_of(tmp_path)["artifacts"]] == [False, True, False]

    assert main([*command, "--formats", "tflite", "--quantize", "float16", "--allow-worse"]) == 0
    assert below(tmp_path / "tiny-2") == ["export.json", "parity.png", "tiny_64x64_float16.tflite"]
    stored = report_of(tmp_path, "tiny-2")
    assert stored["allow_worse"]
    assert [each["within_tolerance"] for each in stored["artifacts"]] == [False]


def test_ctrl_c_stops_even_where_keras_swallows_it(quickly, tmp_path, monkeypatch):
    write = TFLite.write

    def swallowing(*arguments):
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        return write(*arguments)

    monkeypatch.setattr(TFLite, "write", swallowing)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        quickly(tmp_path)
    assert below(tmp_path) == [".lock"]
    assert signal.getsignal(signal.SIGINT) is before


def test_what_a_killed_export_published_in_part_is_taken_back(quickly, tmp_path):
    """Killed after its files were moved, and before the SavedModel was."""
    (tmp_path / "tiny-1").mkdir()
    (tmp_path / "tiny-1" / "export.json").write_text("{}")
    (tmp_path / ".tiny-1.unfinished" / "tiny" / "1").mkdir(parents=True)
    quickly(tmp_path)
    assert report_of(tmp_path)["version"] == 1
    assert below(tmp_path / "tiny-1") == ["export.json", "parity.png", "tiny_64x64.tflite"]
    assert not (tmp_path / ".tiny-1.unfinished").exists()


def test_an_export_that_fails_while_it_publishes_takes_back_what_it_had_published(
    quickly, tmp_path, monkeypatch
):
    rename = Path.replace

    def full(path, target):
        if path.name == "1":  # the SavedModel, when the report has been moved
            raise OSError(errno.ENOSPC, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(SystemFault, match="the disk is full"):
        quickly(tmp_path, formats=("saved_model",))
    assert below(tmp_path) == [".lock"]


def test_the_process_that_verifies_ends_with_whoever_started_it(exported, tmp_path):
    out, _ = exported
    np.savez(tmp_path / "inputs.npz", **{"0": smooth_images(1, SIZE)[0]})
    command = [
        sys.executable,
        "-m",
        "pix2pix_tf.exporting.fresh_process",
        str(out / "tiny-1" / "tiny_64x64.tflite"),
    ]
    command += [str(tmp_path / name) for name in ("inputs.npz", "outputs.npz")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment())
    process.stdin.close()
    assert process.wait() == 1
    assert not (tmp_path / "outputs.npz").exists()


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("error", "options"),
    [
        (ConfigError, {"formats": ()}),
        *((ConfigError, {"name": name}) for name in ("a/b", "a b", "../x", "façade", "-v", "a:b", ".hidden")),
        (ConfigError, {"direction": "AtoB"}),  # the run's is BtoA
        (ConfigError, {"noise": "keep"}),  # which no .tflite can be
        (ConfigError, {"settings": FormatSettings(saved_model=SavedModel(max_pixels_per_image=64 * 64 - 1))}),
        (DataError, {"verification_images": "nowhere"}),
        (DataError, {"verification_images": "."}),
        (RunError, {"step": 7}),
    ],
    ids=str,
)
def test_what_has_no_meaning_is_refused_before_anything_is_written(run, images, tmp_path, error, options):
    if "verification_images" in options:
        options = {"verification_images": tmp_path / options["verification_images"]}
    with pytest.raises(error) as caught:
        export(ExportOptions(run, tmp_path / "out", **{"verification_images": images, **options}))
    assert "\n" not in str(caught.value)
    assert below(tmp_path) == []


def test_a_directory_with_something_else_is_left_alone(run, tmp_path):
    (tmp_path / "thesis.tex").touch()
    for out in (tmp_path, tmp_path / "thesis.tex", run):
        with pytest.raises(ConfigError, match=str(out)):
            export(ExportOptions(run, out))
    assert below(tmp_path) == ["thesis.tex"]


def test_weights_that_are_not_finite_are_refused_by_name(quickly, tmp_path, monkeypatch):
    load = GeneratorTranslator.load

    def poisoned(*arguments, **options):
        translator = load(*arguments, **options)
        weight = next(w for w in translator.network.weights if w.path.endswith("up_2_conv/kernel"))
        weight.assign(np.full(weight.shape, np.nan))
        return translator

    monkeypatch.setattr(GeneratorTranslator, "load", poisoned)
    with pytest.raises(RunError, match="up_2_conv/kernel"):
        quickly(tmp_path / "out")
    assert below(tmp_path) == []


def test_the_report_has_the_step_of_the_weights_though_training_goes_on(
    quickly, small, tmp_path, monkeypatch
):
    run, load = RunDirectory(tmp_path / "run"), GeneratorTranslator.load
    shutil.copytree(small, run.path)
    before = run.latest_step()

    def later(*arguments, **options):
        run.checkpoint(before + 1).mkdir(exist_ok=True)  # without weights, which loading it would miss
        return load(*arguments, **options)

    monkeypatch.setattr(GeneratorTranslator, "load", later)
    quickly(tmp_path / "out", run=run.path)
    assert report_of(tmp_path / "out")["step"] == before


# ---------------------------------------------------------------- the command


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ("--tflite-sizes 256", "256"),
        ("--tflite-sizes 0x64", "tflite-sizes"),
        ("--tflite-sizes 9x4097", "4097"),
        ("--quantize int4", "int4"),
        ("--quantize", "--quantize"),
        ("--formats", "--formats"),
        ("--formats saved_model --quantize int8", "--quantize"),
        ("--formats saved_model --tflite-sizes 64x64", "--tflite-sizes"),
        ("--formats tflite --max-pixels-per-image 9", "--max-pixels-per-image"),
        ("--max-pixels-per-image 0", "max-pixels-per-image"),
        (f"--max-pixels-per-image {MAX_PIXELS + 1}", "pixels-per"),
        ("--max-pixels-per-image 100 --max-pixels-per-request 99", "pixels per"),
    ],
)
def test_the_command_refuses_flags_in_a_line(run, capsys, flags, named):
    assert main(["export", str(run), *flags.split()]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("pix2pix: error: ")
    assert named in line
