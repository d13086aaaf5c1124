"""The commands: what their flags mean, and one line for every wrong one."""

import dataclasses
import io
import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import pix2pix_tf
from pix2pix_tf import preset, replace
from pix2pix_tf.commands import train as train_command
from pix2pix_tf.commands.main import command_options, main
from pix2pix_tf.commands.options import options_of
from pix2pix_tf.commands.reporting import report_error
from pix2pix_tf.commands.train import train_args
from pix2pix_tf.config import TrainConfig, each_setting, to_json
from pix2pix_tf.devices import resolve_precision
from pix2pix_tf.errors import ConfigError, Interrupted, RunError, SystemFault, TrainingDiverged
from pix2pix_tf.runs import RunDirectory
from pix2pix_tf.wording import flag, shown


def parse_train(arguments):
    return train_args(arguments).config


@pytest.fixture(autouse=True)
def empty_place(tmp_path, monkeypatch):
    """The default run directory is relative: tests must not find a real one."""
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


def error_of(capsys, arguments, exit_code=2):
    """Runs a command that must fail in one line; returns the line."""
    assert main(arguments) == exit_code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("\n")
    assert err.count("\n") == 1
    assert err.startswith("pix2pix: error: ")
    return err.removeprefix("pix2pix: error: ").rstrip("\n")


def test_a_console_without_letters_for_frames_gets_the_same_line(capsys, monkeypatch):
    arguments = ["train", "--steps", "1e3"]
    expected = error_of(capsys, arguments)
    assert expected.startswith("--steps takes a whole number")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "latin-1"))
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"pix2pix: error: {expected}\n"


@pytest.mark.parametrize("flags", [["--run-dir", "~nobody-here/x"], ["--run-dir=~nobody-here/x"]])
def test_the_home_of_nobody_is_named(capsys, flags):
    assert "~nobody-here/x" in error_of(capsys, ["train", *flags])


def test_a_name_that_is_not_utf_8_is_named(capsys, empty_place):
    with pytest.raises(UnicodeEncodeError) as fault:
        RunDirectory(empty_place / "run").write_config(preset("./caf\udce9"), {})
    assert report_error(fault.value, "train") == 2
    assert capsys.readouterr().err.startswith("pix2pix: error: ./caf\\udce9: ")


# ---------------------------------------------------------------- what the flags of train mean


@pytest.mark.parametrize(
    ("flags", "dataset"),
    [([], "procedural"), (["--dataset", "edges2shoes"], "edges2shoes"), (["--dataset=maps"], "maps")],
)
def test_the_defaults_are_the_preset_of_the_data_set(flags, dataset):
    assert parse_train(flags) == preset(dataset)


@pytest.mark.parametrize(
    ("flags", "settings"),
    [
        (["--batch-size", "3"], {"batch_size": 3}),
        (["--batch_size", "3"], {"batch_size": 3}),
        (["--direction", "AtoB"], {"direction": "AtoB"}),
        (["--image-size", "96"], {"image_size": (96,)}),
        (["--image-size", "96", "128"], {"image_size": (96, 128)}),
        (["--image-size", "96x128"], {"image_size": (96, 128)}),
        (["--skip-bad-images", "--image-size=96x128"], {"skip_bad_images": True, "image_size": (96, 128)}),
        (["--no-jitter", "--flip", "none"], {"jitter": False, "flip": "none"}),
        (["--stochastic", "--norm", "none"], {"stochastic": True, "norm": "none"}),
        (["--input-channels", "1"], {"input_channels": 1}),
        (["--learning-rate", "1e-3"], {"learning_rate": 1e-3}),
        (["--run-dir", "내 실행/첫 번째"], {"run_dir": Path("내 실행/첫 번째")}),
        (["--archive", "/이 폴더/facades.tar.gz"], {"archive": Path("/이 폴더/facades.tar.gz")}),
        (["--keep-every", "500"], {"keep_every": 500}),
    ],
)
def test_flags_override_the_preset(flags, settings):
    assert parse_train(["--dataset", "facades", *flags]) == replace(preset("facades"), **settings)


def test_steps_take_the_place_of_epochs_and_epochs_of_steps():
    by_steps = parse_train(["--dataset", "facades", "--steps", "7"]).optimization
    assert (by_steps.steps, by_steps.epochs) == (7, None)
    RunDirectory(Path("runs/procedural")).write_config(preset("procedural"), {})  # a run of steps
    by_epochs = parse_train(["--epochs", "2.5"]).optimization
    assert (by_epochs.steps, by_epochs.epochs) == (None, 2.5)


@pytest.mark.parametrize("form", [["--steps", "5", "--epochs", "3"], ["--epochs=3", "--steps=5"]])
def test_steps_and_epochs_together_are_refused(capsys, form):
    line = error_of(capsys, ["train", *form])
    assert "--steps" in line
    assert "--epochs" in line


# ---------------------------------------------------------------- continuing


def test_the_defaults_of_a_started_run_are_its_own(tmp_path):
    stored = replace(preset("facades"), base_filters=5, seed=9, precision="float32", steps=77, epochs=None)
    path = tmp_path / "run 하나"
    RunDirectory(path).write_config(stored, {})
    config = parse_train(["--run-dir", str(path), "--log-every", "3"])
    assert config == replace(stored, run_dir=path, log_every=3)


def test_the_same_command_finds_the_run_in_its_default_place():
    stored = replace(preset("maps"), base_filters=5)
    RunDirectory(Path("runs/maps")).write_config(stored, {})
    assert parse_train(["--dataset", "maps"]).model.base_filters == 5
    assert parse_train(["--dataset", "facades"]).model.base_filters == 64


def test_a_moved_run_is_continued_where_it_is_now(tmp_path):
    RunDirectory(tmp_path / "new").write_config(replace(preset("maps"), run_dir=tmp_path / "old"), {})
    assert parse_train(["--run-dir", str(tmp_path / "new")]).run_dir == tmp_path / "new"


# ---------------------------------------------------------------- wrong flags


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("train --bogus 3", ["--bogus"]),
        ("train --dry-run --bogus 3", ["--bogus is unknown"]),
        ("train --steps -1", ["--steps must be from 1 to 999999999, got -1"]),
        ("train --steps many", ["--steps takes a whole number", "many"]),
        ("train --steps", ["--steps"]),
        ("train --image-size 7", ["--image-size", "from 64 to 2048", "got 7"]),
        ("train --image-size 256 300 1", ["--image-size", "one or two", "got 256 300 1"]),
        ("train --image-size 256,300", ["--image-size takes a size, such as 256 or 256x384", "256,300"]),
        ("train --norm layer", ["--norm", "layer", "instance", "batch", "none"]),
        ("train --learning-rate nan", ["--learning-rate", "from 1e-08 to 1,", "got nan"]),
        ("train stray", ["stray"]),
        ("train --lr 0.1", ["did you mean --learning-rate?"]),
        ("train --model gan", ["pix2pix, cyclegan"]),
        ("--completion fish", ["fish"]),
        ("frobnicate", ["frobnicate", "train", "predict", "data"]),
        ("evalute", ["did you mean evaluate?"]),
        ("data check facade", ["did you mean facades?"]),
        ("data chek", ["did you mean check?"]),
        ("data frobnicate", ["data frobnicate", "list", "download", "check", "preview"]),
        ("data download ./some/folder", ["some/folder", "pix2pix data list"]),
        ("data preview facades --count 0", ["--count must be from 1 to 64, got 0"]),
        ("predict run in.png", ["--out is missing"]),
        ("predict", ["MODEL", "INPUTS", "--out"]),
        ("predict emoji-smal in.png --out o", ["did you mean emoji-small?"]),
        ("predict run in.png --out o --direction up", ["--direction", "AtoB"]),
        ("timeline run --out film.mp4", ["film.mp4", ".gif"]),
        ("export run --tflite-sizes 64", ["--tflite-sizes takes sizes, such as 256x384", "'64'"]),
        ("evaluate runs/none", ["runs/none"]),
    ],
)
def test_a_wrong_command_costs_one_line_and_exit_code_2(capsys, empty_place, command, expected):
    line = error_of(capsys, command.split())
    assert all(words in line for words in expected), line
    assert not any(alien in line for alien in ("╭", "'None'", "int()"))
    assert list(empty_place.iterdir()) == []


@pytest.mark.parametrize("command", ["predict run in.png", "evaluate run --dataset data"])
def test_outputs_are_refused_in_the_place_of_a_file_before_anything_else(capsys, empty_place, command):
    (empty_place / "taken").write_text("mine", encoding="utf-8")
    assert "taken is a file" in error_of(capsys, [*command.split(), "--out", "taken"])


@pytest.mark.parametrize("arguments", [[], ["data"]])
def test_no_command_shows_the_usage_and_exits_2(capsys, arguments):
    assert main(arguments) == 2
    assert "usage: pix2pix" in capsys.readouterr().out


def test_the_version_is_shown(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"pix2pix-tf {pix2pix_tf.__version__}\n"


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (ConfigError("a\nb"), 2),
        (RunError("a b"), 2),
        (SystemFault("a b"), 1),
        (TrainingDiverged("a b"), 3),
        (OSError(28, "a b"), 1),
        (PermissionError(13, "a b"), 1),
        (MemoryError(), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_known_errors_become_one_line_and_their_exit_code(capsys, monkeypatch, error, exit_code):
    def fail(arguments):
        raise error

    monkeypatch.setattr(train_command, "run", fail)
    line = error_of(capsys, ["train"], exit_code)
    assert isinstance(error, MemoryError | KeyboardInterrupt) or "a b" in line


def test_an_interruption_is_reported_but_is_no_error(capsys, monkeypatch):
    def stop(arguments):
        raise Interrupted("stopped by SIGTERM, everything is saved", 15)

    monkeypatch.setattr(train_command, "run", stop)
    assert main(["train"]) == 143
    assert capsys.readouterr().err == "pix2pix: stopped by SIGTERM, everything is saved\n"


# ---------------------------------------------------------------- dry run and help


def test_a_dry_run_prints_the_configuration_as_json_and_creates_nothing(capsys, empty_place):
    assert main(["train", "--dataset", "facades", "--dry-run", "--seed", "5"]) == 0
    printed = json.loads(capsys.readouterr().out)
    precision = resolve_precision("auto")
    run_dir = Path("runs/facades")
    assert printed == to_json(replace(preset("facades"), seed=5, run_dir=run_dir, precision=precision))
    assert list(empty_place.iterdir()) == []


def test_a_dry_run_opens_what_is_here(capsys, empty_place):
    for dataset in ("./nowhere", "nowhere"):
        assert "nowhere" in error_of(capsys, ["train", "--dry-run", "--dataset", dataset])
    folder = empty_place / "gray"
    for side, number in itertools.product("AB", range(12)):
        (folder / side).mkdir(parents=True, exist_ok=True)
        Image.new("L", (64, 64), number).save(folder / side / f"{number}.png")
    train = ["train", "--dataset", str(folder), "--dry-run"]
    assert main(train) == 0
    assert json.loads(capsys.readouterr().out)["data"]["input_channels"] == 1
    assert "--mirror-url has no effect with --dataset" in error_of(capsys, [*train, "--mirror-url", "a"])
    (folder / "A" / "0.png").write_bytes(b"")
    assert "0.png" in error_of(capsys, train)
    assert [path.name for path in empty_place.iterdir()] == ["gray"]


HELP = """
import contextlib, sys
from pix2pix_tf.commands.main import command_options, main
from pix2pix_tf.commands.options import options_of
code = 0
try:
    code = main(sys.argv[1:])
except SystemExit as leaving:
    code = leaving.code or 0
heavy = sorted({"tensorflow", "keras", "matplotlib"} & set(sys.modules))
print("exit", code, "heavy", heavy)
"""


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["train", "--help"], ["predict", "--help"], ["data", "preview", "--help"], ["train", "--x"]],
)
def test_help_and_wrong_flags_answer_without_tensorflow(python, arguments):
    done = python(HELP, *arguments)
    code = 2 if "--x" in arguments else 0
    assert done.stdout.splitlines()[-1] == f"exit {code} heavy []", done.stderr


def test_importing_the_package_imports_nothing_heavy(python):
    done = python("import sys, pix2pix_tf; print('tensorflow' in sys.modules, 'keras' in sys.modules)")
    assert done.stdout == "False False\n", done.stderr


def help_of(capsys, *arguments):
    with pytest.raises(SystemExit) as leaving:
        main([*arguments])
    assert leaving.value.code in (0, None)
    return capsys.readouterr().out


def test_help_of_everything_lists_every_flag_in_its_group_with_limits_and_default(capsys):
    texts = [help_of(capsys, "train", *flags, "--help-all") for flags in ([], ["--dataset", "edges2shoes"])]
    titles = [line.partition(" options:")[0].lower() for line in texts[0].splitlines() if " options:" in line]
    assert titles == [group.name for group in dataclasses.fields(TrainConfig)]
    plain = [" ".join(text.split()) for text in texts]
    entries = {entry.split()[0].strip(","): " ".join(entry.split()) for entry in texts[0].split("\n  --")}
    for _, name, _, value in each_setting(preset("procedural")):
        entry = entries[flag(name).removeprefix("--")]
        assert value is None or value is False or f"default: {shown(value)})" in entry, name
    assert "(from 1 to 999999999; default: 3000)" in plain[0]
    assert "(at least 0; default: 100)" in plain[0]  # not 100.0
    assert "(at least 1; default: 4)" in plain[1]  # the data set's batch size
    assert "wgan" in texts[0]
    assert "distilled" not in texts[0]  # students are trained by distill


@pytest.mark.parametrize("command", command_options())
def test_help_is_short_and_every_option_has_a_text(capsys, command):
    assert len(help_of(capsys, *command.split(), "--help").splitlines()) <= 48
    assert all(option.help for option in options_of(command_options()[command]))


def test_help_fits_a_narrow_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    assert "--run-dir" in help_of(capsys, "train", "--help")


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("tim", "timeline"),
        ("data pr", "preview"),
        ("data check fac", "facades"),
        ("predict em", "emoji-small"),
        ("predict em@", ""),  # then bash completes paths
        ("train --dir", "--direction"),
        ("train --dataset photos --direction B", "BtoA"),
        ("train --model = cy", "cyclegan"),  # --model=cy, as bash splits it
        ("train --model =", "pix2pix cyclegan wgan"),
        ("train --model=cy", "--model=cyclegan"),  # zsh doesn't split it
        ("train --cycle", "--cycle-weight"),  # an option of one model
        ("export run --no-al", "--no-allow-worse"),
    ],
)
def test_the_script_completes_commands_options_and_choices(capsys, words, completed):
    assert main(["--completion"]) == 0
    script = (
        capsys.readouterr().out
        + f"""
        COMP_WORDS=(pix2pix {words})
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _pix2pix
        echo "${{COMPREPLY[@]}}"
    """
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == (completed, "")


def test_a_url_reaches_the_client_as_it_was_typed(capsys, empty_place, save_image):
    save_image(empty_place / "one.png")
    url = "http://127.0.0.1:1/v1/models/facades"
    predict = ["predict", url, "one.png", "--out", "out"]
    assert f"{url}: the server can't be reached" in error_of(capsys, predict, exit_code=1)
    assert "--direction AtoB or BtoA" in error_of(capsys, [*predict, "--side-by-side"])
