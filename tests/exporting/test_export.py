"""pix2pix export: what it writes, what it proves, what it refuses to publish."""

import contextlib
import json
import shutil
import signal

import numpy as np
import pytest
from PIL import Image

from pix2pix_tf import cli
from pix2pix_tf.errors import ConfigError, DataError, ProofFailed, RunError, SystemFault
from pix2pix_tf.exporting import export as exporting
from pix2pix_tf.exporting.export import ExportOptions, export
from pix2pix_tf.exporting.parity import BARS, Bar
from pix2pix_tf.exporting.report import Report, refuse_worse
from pix2pix_tf.exporting.saved_model import Limits
from pix2pix_tf.prediction import predict
from pix2pix_tf.runs import RunDirectory


@pytest.fixture(scope="module")
def exported(tiny_run, tmp_path_factory):
    """An export of everything, to be read only: where it went, and its report."""
    out = tmp_path_factory.mktemp("exported") / "내 수출"
    options = ExportOptions(out=out, name="tiny", quantize=("none", "float16", "int8"), allow_worse=True)
    return out, export(tiny_run.path, options)


def report_of(out):
    return json.loads((out / "tiny-1" / "export.json").read_text(encoding="utf-8"))


def below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


# ---------------------------------------------------------------- what is written


def test_it_is_laid_out_as_servers_and_people_look_for_it(exported):
    out, report = exported
    assert {path.name for path in out.iterdir()} == {
        ".lock",
        "README.md",
        "batching.config",
        "docker-compose.yml",
        "models.config",
        "tiny",
        "tiny-1",
    }
    assert (out / "tiny" / "1" / "saved_model.pb").is_file()
    assert (out / "tiny" / "1" / "assets.extra" / "tf_serving_warmup_requests").is_file()
    assert below(out / "tiny-1") == [
        "export.json",
        "parity.png",
        "tiny_64x64.tflite",
        "tiny_64x64_float16.tflite",
        "tiny_64x64_int8.tflite",
    ]
    assert report.published[0] == out / "tiny" / "1"
    assert all(path.exists() for path in report.published)
    assert len(report.published) == 4


def test_the_report_has_all_that_was_measured(exported):
    out, report = exported
    stored = report_of(out)
    assert stored["name"] == "tiny"
    assert stored["step"] == 20
    assert stored["config"]["network"]["base_filters"] == 8
    assert [each["artifact"] for each in stored["artifacts"]] == [
        "SavedModel",
        "TFLite float32 64x64",
        "TFLite float16 64x64",
        "TFLite int8 64x64",
    ]
    saved_model, float32, _, int8 = stored["artifacts"]
    assert saved_model["max_levels"] <= 1
    assert set(saved_model["ways"]) == {"serving_default", "bytes", "float"}
    assert saved_model["images"] == 20
    assert {"64x64", "61x35", "33x21", "109x127", "1x1"} == set(saved_model["sizes"])
    assert float32["off_by_more_than_1"] <= 1e-4
    assert float32["images"] == 16
    assert int8["bytes"] == (out / "tiny-1" / "tiny_64x64_int8.tflite").stat().st_size < float32["bytes"]
    assert all(each["milliseconds"] > 0 for each in stored["artifacts"])
    table = report.table()
    assert "TFLite int8 64x64" in table
    assert str(out / "tiny-1" / "parity.png") in table


def test_the_picture_shows_every_artifact(exported):
    out, _ = exported
    sheet = np.asarray(Image.open(out / "tiny-1" / "parity.png"))
    assert sheet.shape[1] >= 6 * 64
    assert sheet.shape[0] >= 4 * 64


def test_predict_paints_the_runs_picture_with_the_saved_model(exported, tiny_run, save_image, tmp_path):
    out, _ = exported
    for number, (width, height) in enumerate(((64, 64), (30, 20), (51, 38), (100, 70))):
        save_image(tmp_path / "in" / f"{number}.png", width=width, height=height, seed=number)
    predict(tiny_run.path, [tmp_path / "in"], tmp_path / "by_run")
    predict(out / "tiny", [tmp_path / "in"], tmp_path / "by_model")
    for number in range(4):
        one, other = (
            np.asarray(Image.open(tmp_path / folder / f"{number}.png")).astype(int)
            for folder in ("by_run", "by_model")
        )
        assert one.shape == other.shape
        assert np.abs(one - other).max() <= 1


def test_a_new_version_stands_beside_the_old_one(exported, tiny_run, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(exported[0], out)
    before = {name: (out / name).read_bytes() for name in ("tiny/1/saved_model.pb", "tiny-1/export.json")}
    report = export(tiny_run.path, ExportOptions(out=out, name="tiny", formats=("saved_model",), step=10))
    assert report.published == [out / "tiny" / "2"]
    assert json.loads((out / "tiny-2" / "export.json").read_text())["step"] == 10
    for name, content in before.items():
        assert (out / name).read_bytes() == content


def test_several_sizes_give_a_file_each(tiny_run, tmp_path):
    options = ExportOptions(
        out=tmp_path / "out", name="tiny", formats=("tflite",), sizes=((64, 96), (65, 99), (64, 96))
    )
    export(tiny_run.path, options)
    files = {path.name for path in (tmp_path / "out" / "tiny-1").glob("*.tflite")}
    assert files == {"tiny_64x96.tflite", "tiny_65x99.tflite"}
    assert not (tmp_path / "out" / "models.config").exists()


def test_a_folder_of_images_proves_as_well(tiny_run, tmp_path, save_image):
    save_image(tmp_path / "images" / "깊이" / "one.png", width=91, height=77)
    options = ExportOptions(out=tmp_path / "out", formats=("saved_model",), proof_images=tmp_path / "images")
    report = export(tiny_run.path, options)
    assert report.proofs[0].images == 5
    assert report.failures() == []


# ---------------------------------------------------------------- what is not published


@pytest.fixture
def strict(monkeypatch):
    monkeypatch.setitem(BARS, "int8", Bar(psnr=200.0))


def test_what_misses_its_bar_is_not_published_and_said(tiny_run, tmp_path, strict):
    out = tmp_path / "out"
    report = export(
        tiny_run.path, ExportOptions(out=out, name="tiny", formats=("tflite",), quantize=("none", "int8"))
    )
    assert [path.name for path in report.published] == ["tiny_64x64.tflite"]
    assert below(out / "tiny-1") == ["export.json", "parity.png", "tiny_64x64.tflite"]
    published = {each["file"]: each["published"] for each in report_of(out)["artifacts"]}
    assert published == {"tiny-1/tiny_64x64.tflite": True, "tiny-1/tiny_64x64_int8.tflite": False}
    with pytest.raises(ProofFailed, match=r"TFLite int8 64x64: PSNR only .*--allow-worse") as caught:
        refuse_worse(report, allow_worse=False)
    assert caught.value.exit_code == 4


def test_a_worse_one_may_be_published_none_the_less(tiny_run, tmp_path, strict):
    options = ExportOptions(
        out=tmp_path, name="tiny", formats=("tflite",), quantize=("int8",), allow_worse=True
    )
    report = export(tiny_run.path, options)
    refuse_worse(report, allow_worse=True)
    assert (tmp_path / "tiny-1" / "tiny_64x64_int8.tflite").is_file()
    [artifact] = report_of(tmp_path)["artifacts"]
    assert artifact["meets_bar"] is False
    assert report_of(tmp_path)["allow_worse"] is True


def test_a_saved_model_below_its_bar_is_not_served(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setitem(BARS, "saved_model", Bar(max_levels=-1))
    report = export(tiny_run.path, ExportOptions(out=tmp_path, name="tiny", formats=("saved_model",)))
    assert report.published == []
    assert not (tmp_path / "tiny").exists()
    assert not (tmp_path / "models.config").exists()


def test_a_failure_leaves_nothing_half_written(tiny_run, tmp_path, monkeypatch):
    def fails(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "prove", fails)
    with pytest.raises(SystemFault, match="the disk is full"):
        export(tiny_run.path, ExportOptions(out=tmp_path, formats=("saved_model",)))
    assert below(tmp_path) == [".lock"]


def test_ctrl_c_stops_even_where_keras_swallows_it(tiny_run, tmp_path, monkeypatch):
    write = exporting.write_saved_model

    def swallowing(*arguments):
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        write(*arguments)

    monkeypatch.setattr(exporting, "write_saved_model", swallowing)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        export(tiny_run.path, ExportOptions(out=tmp_path, formats=("saved_model",)))
    assert below(tmp_path) == [".lock"]
    assert signal.getsignal(signal.SIGINT) is before


def test_what_a_killed_export_left_is_no_obstacle(tiny_run, tmp_path):
    (tmp_path / ".lock").touch()
    (tmp_path / ".tiny-1.unfinished" / "served").mkdir(parents=True)
    export(tiny_run.path, ExportOptions(out=tmp_path, name="tiny", formats=("tflite",)))
    assert not (tmp_path / ".tiny-1.unfinished").exists()
    assert (tmp_path / "tiny-1" / "tiny_64x64.tflite").is_file()


# ---------------------------------------------------------------- what is refused


def refused(error, run, tmp_path, **options):
    with pytest.raises(error) as caught:
        export(run, ExportOptions(**{"out": tmp_path / "out", **options}))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("out/*"))
    return str(caught.value)


def test_flags_without_meaning_are_refused(tiny_run, tmp_path):
    run = tiny_run.path
    assert "--formats" in refused(ConfigError, run, tmp_path, formats=())
    assert "--quantize" in refused(ConfigError, run, tmp_path, quantize=())
    assert "'a/b'" in refused(ConfigError, run, tmp_path, name="a/b")
    assert "0x64" in refused(ConfigError, run, tmp_path, sizes=((0, 64),))
    assert "without tflite" in refused(
        ConfigError, run, tmp_path, sizes=((64, 64),), formats=("saved_model",)
    )
    assert "--quantize has no meaning" in refused(
        ConfigError, run, tmp_path, quantize=("int8",), formats=("saved_model",)
    )
    assert "would refuse the run's own" in refused(ConfigError, run, tmp_path, limits=Limits(64 * 64 - 1))
    assert "no such folder" in refused(DataError, run, tmp_path, proof_images=tmp_path / "nowhere")
    assert "no checkpoint of step 7" in refused(RunError, run, tmp_path, step=7)
    assert "there are no images" in refused(DataError, run, tmp_path, proof_images=tmp_path)


def test_noise_can_not_be_converted_to_tflite(tiny_run, tmp_path):
    assert "--noise drop" in refused(ConfigError, tiny_run.path, tmp_path, stochastic=True)


def test_a_directory_with_something_else_is_left_alone(tiny_run, tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ConfigError, match=r"holds something else \('thesis.tex'\)"):
        export(tiny_run.path, ExportOptions(out=tmp_path))
    with pytest.raises(ConfigError, match="is a file"):
        export(tiny_run.path, ExportOptions(out=tmp_path / "thesis.tex"))
    with pytest.raises(ConfigError, match="holds something else"):
        export(tiny_run.path, ExportOptions(out=tiny_run.path))
    assert below(tmp_path) == ["thesis.tex"]


def test_a_run_without_a_checkpoint_is_refused(tiny_run, tmp_path):
    shutil.copytree(tiny_run.path, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    assert "no checkpoint yet" in refused(RunError, tmp_path / "run", tmp_path)
    assert "there is no run" in refused(RunError, tmp_path / "other", tmp_path)


def test_a_run_of_another_version_is_refused(tiny_run, tmp_path):
    shutil.copytree(tiny_run.path, tmp_path / "run")
    config = RunDirectory(tmp_path / "run").config_file
    config.write_text(json.dumps({**json.loads(config.read_text()), "format": 99}))
    assert "in format 99" in refused(RunError, tmp_path / "run", tmp_path)


def test_weights_that_are_not_finite_are_refused_by_name(tiny_run, tmp_path, monkeypatch):
    load = exporting.GeneratorTranslator.load

    def poisoned(*arguments, **options):
        translator = load(*arguments, **options)
        weight = next(w for w in translator.generator.weights if w.path.endswith("down_2_conv/kernel"))
        weight.assign(np.full(weight.shape, np.nan))
        return translator

    monkeypatch.setattr(exporting.GeneratorTranslator, "load", poisoned)
    message = refused(RunError, tiny_run.path, tmp_path)
    assert message.startswith("'down_2_conv/kernel' in ")
    assert "is not finite; export another checkpoint with --step" in message


# ---------------------------------------------------------------- the command


def test_the_command_passes_its_flags_on_and_leaves_with_0(tiny_run, tmp_path, monkeypatch, capsys):
    seen = []

    def record(run, options):
        seen.append((run, options))
        return Report([], [], tmp_path, 1.0)

    monkeypatch.setattr(exporting, "export", record)
    flags = "--formats tflite --quantize none int8 --tflite-sizes 64x96 65x99 --noise drop --step 10"
    limits = "--max-pixels-per-image 1000 --max-pixels-per-request 2000 --allow-worse --name tiny"
    command = ["export", str(tiny_run.path), "--out", str(tmp_path), *flags.split(), *limits.split()]
    assert cli.main(command) == 0
    [(run, options)] = seen
    assert run == tiny_run.path
    assert options == ExportOptions(
        out=tmp_path,
        name="tiny",
        formats=("tflite",),
        quantize=("none", "int8"),
        sizes=[(64, 96), (65, 99)],
        step=10,
        stochastic=False,
        allow_worse=True,
        limits=Limits(1000, 2000),
    )
    assert str(tmp_path / "parity.png") in capsys.readouterr().out


def test_the_command_leaves_with_4_and_a_line_below_the_bar(tiny_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(BARS, "none", Bar(max_levels=-1))
    assert cli.main(["export", str(tiny_run.path), "--out", str(tmp_path), "--formats", "tflite"]) == 4
    printed = capsys.readouterr()
    assert "missed: off by" in printed.out
    [line] = [line for line in printed.err.splitlines() if line.startswith("pix2pix")]
    assert line.startswith("pix2pix: error: not published, because")
    assert not list(tmp_path.rglob("*.tflite"))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--tflite-sizes 256", "--tflite-sizes 256: a size is HEIGHTxWIDTH"),
        ("--quantize int4", "int4"),
        ("--max-pixels-per-image 0", "pixels per image"),
    ],
)
def test_the_command_refuses_flags_in_a_line(tiny_run, capsys, flags, said):
    assert cli.main(["export", str(tiny_run.path), *flags.split()]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("pix2pix: error: ")
    assert said in line
