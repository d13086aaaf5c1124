"""Nothing is lost: killed, stopped or extended, a run ends with the weights of an undisturbed one."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.runs import RunDirectory, open_run
from tests.end_to_end.commands import SMALL, command, environment, error_line, typed

pytestmark = pytest.mark.slow

STEPS = 50
TRAIN = ("train", *SMALL, "--log-every", 3, "--sample-every", 25, "--checkpoint-every", 5, "--run-dir")


def weights(run_dir: Path, step: int | None = None) -> dict[str, np.ndarray]:
    checkpoint = open_run(run_dir).checkpoint(step)
    readers = [tf.train.load_checkpoint(str(checkpoint / part)) for part in ("state", "moments")]
    return {
        name: reader.get_tensor(name) for reader in readers for name in reader.get_variable_to_shape_map()
    }


def assert_same_weights(one: Path, other: Path) -> None:
    expected, found = weights(one), weights(other)
    assert expected.keys() == found.keys()
    assert not [name for name in expected if not np.array_equal(expected[name], found[name])]


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*arguments), env=environment(), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )


def stop(process: subprocess.Popen[str], run_dir: RunDirectory, number: int) -> str:
    """Sends a signal once the process has logged three more lines; returns what it wrote to stderr."""

    def logged() -> int:
        return run_dir.metrics_file.read_text().count("\n") if run_dir.metrics_file.exists() else 0

    before = logged()
    while process.poll() is None and logged() < before + 3:
        time.sleep(0.01)
    process.send_signal(number)
    errors = process.communicate()[1]
    assert not run_dir.final_grid.exists(), "the run was over before the signal came"
    return errors


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    result = typed(*TRAIN, folder / "run", "--steps", STEPS, cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder / "run"


def test_killed_run_ends_with_equal_weights(undisturbed: Path, tmp_path: Path):
    run_dir = RunDirectory(tmp_path / "run")
    assert typed(*TRAIN, run_dir.path, "--steps", 10, cwd=tmp_path).returncode == 0
    again = typed(*TRAIN, run_dir.path, "--steps", 10, cwd=tmp_path)
    assert again.returncode == 0
    assert "finished already: all 10 steps are done" in again.stdout
    assert "--steps 20" in again.stdout

    # The settings of a run need not be repeated.
    longer = ("train", "--run-dir", run_dir.path, "--steps", STEPS)
    stop(start(*longer), run_dir, signal.SIGKILL)
    assert not run_dir.final_grid.exists()  # else a kill before the last image would keep the old one
    result = typed(*longer, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert_same_weights(undisturbed, run_dir.path)

    logged = [json.loads(line)["step"] for line in run_dir.metrics_file.read_text().splitlines()]
    assert logged == sorted(set(logged))
    assert logged[-1] == STEPS
    assert not list(tmp_path.rglob("*.unfinished"))
    for name in ("final.png", "samples/step_000000025.png"):
        assert (undisturbed / name).read_bytes() == (run_dir.path / name).read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM that a process can catch")
def test_signals_save_first_and_the_same_command_continues(undisturbed: Path, tmp_path: Path):
    run_dir = RunDirectory(tmp_path / "run")
    arguments = ("train", *SMALL, "--checkpoint-every", 10**6, "--log-every", 1)
    arguments += ("--steps", STEPS, "--run-dir", run_dir.path)
    saved = 0
    for number in (signal.SIGTERM, signal.SIGINT):
        process = start(*arguments)
        errors = stop(process, run_dir, number)
        assert process.returncode == 128 + number, errors
        assert f"stopped by {number.name}" in errors
        before, saved = saved, run_dir.latest_step() or 0
        assert before + 3 <= saved < STEPS
    result = typed(*arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert f"continuing after step {saved}" in result.stdout
    assert_same_weights(undisturbed, run_dir.path)


# Whatever else a model's checkpoint holds: pools, singular vectors, several updates a step.
MODELS = {
    "pix2pix": (
        *("--base-filters", 4, "--gan-loss", "wgan-gp", "--critic-steps", 2),
        *("--spectral-norm", "--unconditional", "--pool-size", 4),
    ),
    "wgan": ("--generator-filters", 2, "--critic-filters", 2, "--batch-size", 4, "--critic-steps", 2),
    "cyclegan": ("--base-filters", 4, "--pool-size", 5, "--precision", "float32"),
}


@pytest.mark.parametrize("model", MODELS)
def test_every_model_continues_with_equal_weights(model: str, tmp_path: Path):
    train = ("train", "--model", model, "--image-size", 64, *MODELS[model], "--steps", 4)
    train += ("--log-every", 2, "--sample-every", 10, "--checkpoint-every", 3, "--run-dir")
    undisturbed = tmp_path / "undisturbed/run"
    result = typed(*train, undisturbed, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    run_dir = RunDirectory(
        Path(shutil.copytree(undisturbed, tmp_path / "run"))
    )  # of one name: samples show it
    run_dir.final_grid.unlink()
    shutil.rmtree(run_dir.checkpoint(4))
    result = typed(*train, run_dir.path, cwd=tmp_path)
    assert "continuing after step 3" in result.stdout, result.stderr
    assert_same_weights(undisturbed, run_dir.path)
    assert (undisturbed / "final.png").read_bytes() == run_dir.final_grid.read_bytes()


def cut(checkpoint: Path) -> None:
    [file] = checkpoint.glob("state.data*")
    file.write_bytes(file.read_bytes()[:-100])


def test_damaged_checkpoint_of_a_moved_run(undisturbed: Path, tmp_path: Path):
    run_dir = RunDirectory(Path(shutil.copytree(undisturbed, tmp_path / "옮긴 폴더" / "run")))
    run_dir.final_grid.unlink()  # a finished run does not read its checkpoints
    newest = open_run(run_dir.path).checkpoint()
    cut(newest)
    result = typed("train", "--run-dir", run_dir.path, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert f"{newest}.damaged" in result.stdout
    assert_same_weights(undisturbed, run_dir.path)

    for step in run_dir.checkpoint_steps():
        cut(run_dir.checkpoint(step))
    run_dir.final_grid.unlink()
    result = typed("train", "--run-dir", run_dir.path, cwd=tmp_path)
    assert result.returncode == 2
    assert str(run_dir.checkpoints) in error_line(result)


def test_fewer_steps_and_changed_flags_are_refused(undisturbed: Path, tmp_path: Path):
    before = weights(undisturbed)
    fewer = typed("train", "--run-dir", undisturbed, "--steps", STEPS - 1, cwd=tmp_path)
    assert fewer.returncode == 2
    assert f"{STEPS} steps" in error_line(fewer)
    changed = typed(*TRAIN, undisturbed, "--steps", 500, "--seed", 3, "--norm", "batch", cwd=tmp_path)
    assert changed.returncode == 2
    assert "--seed: 0 → 3" in error_line(changed)
    assert "--norm: instance → batch" in error_line(changed)
    after = weights(undisturbed)
    assert all(np.array_equal(before[name], after[name]) for name in before)
