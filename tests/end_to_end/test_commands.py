"""The commands as a user types them: training, prediction, evaluation and errors."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.end_to_end.commands import SMALL, error_line, typed

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def user_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a user's own: side-by-side pairs of odd sizes, below a name with a space and Korean."""
    from pix2pix_tf.data.procedural import draw_pair

    folder = tmp_path_factory.mktemp("data") / "내 사진 folder"
    for split, count in (("train", 6), ("val", 3)):
        (folder / split).mkdir(parents=True)
        for number in range(count):
            pair = np.concatenate(draw_pair(7, 100 * len(split) + number, 75, 90), axis=1)
            Image.fromarray(pair).save(folder / split / f"집 {number}.png")
    return folder


@pytest.fixture(scope="module")
def trained(user_folder: Path) -> Path:
    run_dir = user_folder.parent / "실행 run"
    result = typed(
        "train", "--dataset", user_folder, *SMALL, "--direction", "BtoA", "--steps", 12, "--log-every", 5,
        "--sample-every", 5, "--checkpoint-every", 5, "--run-dir", run_dir, cwd=user_folder.parent,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return run_dir


def test_files_of_a_run(trained: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    left = {path.relative_to(trained).as_posix() for path in trained.rglob("*") if path.is_file()}
    plots = {"final.png", "losses.png", "validation.png"}
    assert {"config.json", "metrics.jsonl", "validation.jsonl", "generator.keras"} | plots <= left
    assert {f"samples/step_{step:09d}.png" for step in (5, 10, 12)} <= left
    assert {f"checkpoints/step_{step:09d}/state.index" for step in (5, 10, 12)} <= left
    events = EventAccumulator(str(trained / "tensorboard"), size_guidance={"tensors": 0}).Reload()
    of_phases = {"generator/total", "generator/gan", "discriminator/loss", "discriminator/accuracy_on_real"}
    assert of_phases | {"learning_rate", "config", "samples/3"} <= set(events.Tags()["tensors"])
    assert [event.step for event in events.Tensors("generator/l1")] == [5, 10, 12]

    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [5, 10, 12]
    assert lines[-1]["epoch"] == 2.0
    for line in lines:
        assert line["gen_total"] == pytest.approx(line["gen_gan"] + 100 * line["gen_l1"], abs=1e-4)
        assert {"disc", "steps_per_second", "seconds"} <= line.keys()
    stored = json.loads((trained / "config.json").read_text())
    assert stored["config"]["optimization"]["precision"] in ("float32", "mixed_bfloat16")
    assert stored["packages"]["tensorflow"]


def test_resume_with_a_moved_or_changed_data_set(trained: Path, user_folder: Path, tmp_path: Path):
    there = tmp_path / "there"
    shutil.copytree(user_folder, there)
    shutil.copytree(trained, tmp_path / "run")
    arguments = ("train", "--dataset", there, "--run-dir", tmp_path / "run", "--steps", 14)
    assert typed(*arguments, cwd=tmp_path).returncode == 0

    shutil.copytree(there, tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "train" / "집 1.png").unlink()
    other = typed("train", "--dataset", tmp_path / "elsewhere", *arguments[3:], cwd=tmp_path)
    assert other.returncode == 2
    assert "--init-from" in error_line(other)

    shutil.copy(there / "train" / "집 1.png", there / "train" / "집 99.png")
    result = typed(*arguments[:-1], 16, cwd=tmp_path)
    assert result.returncode == 2
    assert "6 images" in error_line(result)
    assert "7 images" in error_line(result)


def test_non_finite_losses_stop_the_run(tmp_path: Path):
    train = ("train", *SMALL, "--steps", 3, "--log-every", 2, "--run-dir", "run", "--l1-weight")
    result = typed(*train, 1e39, cwd=tmp_path)
    assert result.returncode == 3
    assert "gen_total is no longer finite at step 1" in result.stderr.splitlines()[-1]
    assert not list((tmp_path / "run" / "checkpoints").iterdir())
    again = typed(*train, 10, "--batch-size", 2, cwd=tmp_path)
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["train", "--dataset", "empty"], "empty"),
        (["train", "--init-from", "nowhere"], "nowhere"),
        (["data", "check", "empty"], "empty"),
        (["train", "--run-dir", "a[1]"], "a[1]"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, arguments: list[str], expected: str):
    (tmp_path / "empty").mkdir()
    result = typed(*arguments, cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    assert expected.lower() in error_line(result).lower()
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_directory_is_one_line_and_exit_code_1(tmp_path: Path):
    (tmp_path / "locked").mkdir(mode=0o500)
    result = typed("train", *SMALL, "--steps", 1, "--run-dir", tmp_path / "locked" / "run", cwd=tmp_path)
    assert result.returncode == 1
    assert "locked" in error_line(result)


def test_timeline_of_a_run(trained: Path, tmp_path: Path):
    result = typed("timeline", trained, "--out", tmp_path / "run.gif", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "run.gif").read_bytes().startswith(b"GIF8")
