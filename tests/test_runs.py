"""Run directories: stored facts are read back, and other folders are refused."""

import contextlib
import json
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from pix2pix_tf import preset, replace
from pix2pix_tf.config import to_json
from pix2pix_tf.data.dataset import ImageDataset, Images
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.errors import ConfigError, RunError
from pix2pix_tf.runs import FORMAT, RunDirectory, find_run, open_run


@pytest.fixture
def run(tmp_path):
    return RunDirectory(tmp_path / "내 실행")


def fault_of(run):
    with pytest.raises(RunError) as caught:
        run.read_config()
    assert "\n" not in str(caught.value)
    assert str(run.path) in str(caught.value)
    return str(caught.value)


def add_checkpoints(run, *steps):
    for step in steps:
        run.checkpoint(step).mkdir(parents=True)


def test_configuration_is_stored(run):
    config = replace(preset("facades"), run_dir=run.path, archive=run.path / "한 장.tar.gz")
    assert not run.exists()
    run.write_config(config, {})
    assert run.exists()
    assert run.read_config() == config
    stored = json.loads(run.config_file.read_text(encoding="utf-8"))
    assert stored["format"] == FORMAT
    assert stored["config"] == to_json(config)
    assert stored["packages"]["tensorflow"] == metadata.version("tensorflow")
    assert stored["packages"]["keras"] == metadata.version("keras")
    assert [file.name for file in run.path.iterdir()] == ["config.json"]


def test_folder_without_configuration_is_refused(run):
    assert f"--run-dir '{run.path}'" in fault_of(run)  # as a shell takes it: there is a space in it
    run.path.mkdir()
    assert "config.json" in fault_of(run)


def test_other_format_is_refused(run):
    run.write_config(preset("maps"), {})
    stored = json.loads(run.config_file.read_text(encoding="utf-8"))
    stored.update(format=FORMAT + 1, packages={"pix2pix-tf": "9.8"}, config={"of": "the future"})
    run.config_file.write_text(json.dumps(stored), encoding="utf-8")
    message = fault_of(run)
    assert f"pix2pix-tf 9.8 in format {FORMAT + 1}," in message
    assert f"reads format {FORMAT}" in message
    assert "run-dir" in message


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe\x00{",
        b"null",
        b"[]",
        b'{"format": 1}',
        b'{"format": FORMAT, "packages": []}',
        b'{"format": FORMAT, "config": null}',
        b'{"format": FORMAT, "config": {"data": 5}}',
        b'{"format": FORMAT, "config": {"data": {"color": "red"}}}',
        b'{"format": 99, "packages": {"pix2pix-tf": "two\\nlines"}}',
        b'{"format": FORMAT, "config": {"data": {"two\\nlines": 1}}}',
        b'{"format": FORMAT, "config": {"record": {"log_every": 1' + b"0" * 400 + b"}}}",
        b'{"format": FORMAT, "config": ' + b"[" * 10**5 + b"]" * 10**5 + b"}",
    ],
)
def test_a_damaged_configuration_is_refused(run, content):
    run.path.mkdir()
    run.config_file.write_bytes(content.replace(b"FORMAT", str(FORMAT).encode()))
    fault_of(run)


def identity_of(shades):
    images = Images(list(map(str, shades)), lambda index: (np.full((2, 2, 3), shades[index], np.uint8),))
    return ImageDataset("made up", (PixelFormat(),), {"train": (images,)}).identity()


def test_other_images_are_refused(run):
    shades = list(range(40))
    run.write_config(preset("maps"), identity_of(shades))
    run.refuse_other_images(identity_of(list(shades)))
    for others in (shades[:-1], shades[::-1], [*shades[:3], 99, *shades[4:]]):
        with pytest.raises(RunError):
            run.refuse_other_images(identity_of(others))


def test_training_images(run):
    assert len(run.training_images()) == 0
    run.write_training_images(np.array([3, 2**64 - 1], np.uint64))
    assert run.training_images().tolist() == [3, 2**64 - 1]
    run.images_file.write_bytes(b"")
    with pytest.raises(RunError, match=run.images_file.name):
        run.training_images()


@pytest.mark.parametrize("images", [None, "many", [3], {}, {"count": "3"}, {"digest": "01"}])
def test_damaged_image_count_is_refused(run, images):
    run.write_config(preset("maps"), {})
    stored = json.loads(run.config_file.read_text(encoding="utf-8"))
    run.config_file.write_text(json.dumps({**stored, "pairs": images}), encoding="utf-8")
    for read in (run.image_count, lambda: run.refuse_other_images({"count": 1, "digest": "01"})):
        with pytest.raises(RunError):
            read()


@pytest.mark.parametrize("content", ["", "[]", "[" * 10**5])
def test_damaged_best_file_is_refused(run, content):
    add_checkpoints(run, 5)
    (run.checkpoint(5) / "best.json").write_text(content)
    with pytest.raises(RunError, match="best"):
        run.best()


def test_checkpoints_in_order(run):
    assert run.checkpoint_steps() == []
    assert run.latest_step() is None
    add_checkpoints(run, 1000, 5, 123456789)
    (run.checkpoints / "step_000000007.unfinished").mkdir()
    (run.checkpoints / "step_12").mkdir()
    (run.checkpoints / "notes.txt").write_text("")
    assert run.checkpoint_steps() == [5, 1000, 123456789]
    assert run.latest_step() == 123456789


def test_newest_checkpoint_is_the_default(run):
    run.write_config(preset("procedural"), {})
    with pytest.raises(RunError, match="has no checkpoint yet"):
        open_run(run.path).step()
    add_checkpoints(run, 5, 10)
    opened = open_run(run.path)
    assert [opened.step(step) for step in (None, 5)] == [10, 5]
    assert open_run(f"{run.path}@5").checkpoint() == run.checkpoint(5)
    with pytest.raises(RunError, match="no checkpoint of step 7; it has 5, 10"):
        opened.step(7)


def test_checkpoint_as_run_directory_is_refused(tmp_path):
    RunDirectory(tmp_path / "run").write_config(preset("procedural"), {})
    with pytest.raises(RunError, match="init-from"):
        RunDirectory(tmp_path / "run@4").refuse_unreadable_path()
    for other in ("else@4", "run@4-distilled", "run@best-distilled"):  # as 'distill RUN@4' makes
        RunDirectory(tmp_path / other).refuse_unreadable_path()


def test_a_folder_beside_a_run_is_not_a_checkpoint(tmp_path):
    RunDirectory(tmp_path / "run").write_config(preset("procedural"), {})
    outputs = tmp_path / "run@4 outputs"
    with pytest.raises(RunError, match="after @"):
        find_run(outputs)
    outputs.mkdir()
    assert find_run(outputs) is None


def test_run_at_an_address(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    run = RunDirectory(Path("gs://bucket/run"))
    run.refuse_unreadable_path()
    assert run.place == "gs://bucket/run"
    assert run.path.is_relative_to(tmp_path)
    with pytest.raises(ConfigError):
        run.beside("export")


HOLD = """
import sys, pathlib
from pix2pix_tf.errors import RunError
from pix2pix_tf.runs import RunDirectory, find_run
try:
    with RunDirectory(pathlib.Path(sys.argv[1])).locked():
        print("held")
except RunError as error:
    print(error)
"""


@pytest.mark.slow
def test_run_is_locked_by_one_process(run, python):
    with contextlib.suppress(KeyError), run.locked():
        refused = python(HOLD, run.path)
        raise KeyError
    assert str(run.path) in refused.stdout, refused.stderr
    assert "held" not in refused.stdout
    kill = "import os, signal\n" + HOLD.replace('print("held")', "os._exit(9)")
    assert python(kill, run.path).returncode == 9
    with run.locked():  # after a failed and after a killed training
        assert run.path.is_dir()
