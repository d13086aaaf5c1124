"""Nothing is lost: killed, stopped or extended, a run ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.runs import RunDirectory
from tests.end_to_end.commands import SMALL, command, environment, error_line, run, typed

# Checkpoints often, so that kills fall into their writing too.
TRAIN = ("train", *SMALL, "--log-every", 7, "--sample-every", 25, "--checkpoint-every", 9, "--run-dir")
# The suite takes few, for it must stay short; the promise was tried with 20.
KILLS = int(os.environ.get("PIX2PIX_TEST_KILLS", "3"))
STEPS = 40 * (KILLS + 1)


def weights(run_dir: Path) -> dict[str, np.ndarray]:
    checkpoint = RunDirectory(run_dir).existing_checkpoint()
    readers = [tf.train.load_checkpoint(str(checkpoint / part)) for part in ("state", "moments")]
    return {
        name: reader.get_tensor(name) for reader in readers for name in reader.get_variable_to_shape_map()
    }


def assert_same_weights(one: Path, other: Path) -> None:
    expected, found = weights(one), weights(other)
    assert expected.keys() == found.keys()
    assert not [name for name in expected if not np.array_equal(expected[name], found[name])]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    result = run(*TRAIN, folder / "run", "--steps", STEPS, cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder / "run"


def taken_back(run_dir: Path, there: Path) -> Path:
    """Copies a finished run as a kill would have left it when it had one checkpoint of the last two."""
    copy = RunDirectory(Path(shutil.copytree(run_dir, there)))
    copy.final_grid.unlink()
    shutil.rmtree(copy.existing_checkpoint())
    return copy.path


def kill_at_random(arguments: list[str], metrics: Path, instants: random.Random) -> None:
    """Starts a training and kills it: mostly while it trains, sometimes while it starts."""
    before = metrics.read_text() if metrics.exists() else ""
    process = subprocess.Popen(
        arguments, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    if instants.random() < 0.2:
        time.sleep(instants.uniform(0.0, 8.0))
    else:
        lines = before.count("\n")
        while process.poll() is None and not (metrics.exists() and metrics.read_text().count("\n") > lines):
            time.sleep(0.01)
        time.sleep(instants.uniform(0.0, 0.5))
    process.kill()
    process.wait()


def test_sigkill_at_random_instants_changes_nothing(undisturbed: Path, tmp_path: Path):
    instants = random.Random(2017)
    run_dir = RunDirectory(tmp_path / "run")
    arguments = command(*TRAIN, run_dir.path, "--steps", STEPS)
    for _ in range(KILLS):
        kill_at_random(arguments, run_dir.metrics_file, instants)
        assert not run_dir.is_finished(STEPS), "the run was over before the kills were: they proved nothing"
    result = run(*TRAIN, tmp_path / "run", "--steps", STEPS, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert_same_weights(undisturbed, tmp_path / "run")

    logged = [json.loads(line)["step"] for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert logged == sorted(set(logged))
    assert logged[-1] == STEPS
    assert not list(tmp_path.rglob("*.unfinished"))
    for name in ("final.png", "samples/step_000000025.png"):
        assert (undisturbed / name).read_bytes() == (tmp_path / "run" / name).read_bytes()


# Whatever else a model's checkpoint holds: pools, singular vectors, several updates a step.
OTHERS = {
    "pix2pix": (
        "--base-filters",
        8,
        "--gan-loss",
        "wgan-gp",
        "--critic-steps",
        2,
        "--spectral-norm",
        "--unconditional",
        "--pool-size",
        4,
    ),
    "wgan": ("--generator-filters", 2, "--critic-filters", 2, "--batch-size", 4, "--critic-steps", 2),
    "cyclegan": ("--base-filters", 4, "--pool-size", 5, "--precision", "float32"),
}


@pytest.mark.parametrize("model", OTHERS)
def test_continuing_changes_nothing_in_any_model(model: str, tmp_path: Path):
    train = ("train", "--model", model, "--image-size", 64, *OTHERS[model], "--steps", 20)
    train += ("--log-every", 4, "--sample-every", 10, "--checkpoint-every", 6, "--run-dir")
    undisturbed = tmp_path / "undisturbed/run"  # of one name, which the samples show
    result = run(*train, undisturbed, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    run_dir = RunDirectory(taken_back(undisturbed, tmp_path / "run"))
    result = run(*train, run_dir.path, cwd=tmp_path)
    assert "continuing after step 18" in result.stdout, result.stderr
    assert_same_weights(undisturbed, run_dir.path)
    assert (undisturbed / "final.png").read_bytes() == run_dir.final_grid.read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM that a process can catch")
def test_signals_save_first_and_the_same_command_continues(undisturbed: Path, tmp_path: Path):
    run_dir = RunDirectory(tmp_path / "run")
    arguments = ("train", *SMALL, "--checkpoint-every", 10**6, "--log-every", 1)
    arguments += ("--steps", STEPS, "--run-dir", run_dir.path)
    saved = 0
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        process = subprocess.Popen(
            command(*arguments), env=environment(), stderr=subprocess.PIPE, encoding="utf-8"
        )
        metrics = run_dir.metrics_file
        while process.poll() is None and not (
            metrics.exists() and metrics.read_text().count("\n") >= saved + 5
        ):
            time.sleep(0.05)
        process.send_signal(signal_number)
        errors = process.communicate()[1]
        assert process.returncode == 128 + signal_number, errors
        assert f"stopped by {signal_number.name}" in errors
        before, saved = saved, run_dir.latest_step() or 0
        assert before + 5 <= saved < STEPS

    result = run(*arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert f"continuing after step {saved}" in result.stdout
    assert_same_weights(undisturbed, run_dir.path)


def test_finished_run_says_so_and_can_be_trained_longer(undisturbed: Path, tmp_path: Path):
    shorter = tmp_path / "run"
    assert run(*TRAIN, shorter, "--steps", 50, cwd=tmp_path).returncode == 0
    again = typed(*TRAIN, shorter, "--steps", 50, cwd=tmp_path)
    assert again.returncode == 0
    assert "finished already: all 50 steps are done" in again.stdout
    assert "--steps 100" in again.stdout

    # What a run was started with need not be said again.
    longer = run("train", "--run-dir", shorter, "--steps", STEPS, cwd=tmp_path)
    assert longer.returncode == 0, longer.stderr
    assert_same_weights(undisturbed, shorter)


def test_a_run_that_is_trained_longer_is_unfinished_from_the_start(undisturbed: Path, tmp_path: Path):
    """Else a kill between its last checkpoint and its last picture would leave the old picture for good."""
    run_dir = Path(shutil.copytree(undisturbed, tmp_path / "run"))
    assert (run_dir / "final.png").exists()
    logged = (run_dir / "metrics.jsonl").read_text().count("\n")
    process = subprocess.Popen(
        command("train", "--run-dir", run_dir, "--steps", 10**6), env=environment(), stdout=subprocess.DEVNULL
    )
    while process.poll() is None and (run_dir / "metrics.jsonl").read_text().count("\n") <= logged:
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert not (run_dir / "final.png").exists()


def test_a_total_below_what_is_done_is_refused(undisturbed: Path, tmp_path: Path):
    result = typed("train", "--run-dir", undisturbed, "--steps", STEPS - 1, cwd=tmp_path)
    assert result.returncode == 2
    assert f"{STEPS} steps" in error_line(result)


def test_a_run_without_a_checkpoint_may_be_started_anew(tmp_path: Path):
    """Out of memory at the first step, say: the smaller batch that then helps must not be refused."""
    run_dir = tmp_path / "run"
    first = typed(*TRAIN, run_dir, "--steps", 5, "--l1-weight", 1e39, cwd=tmp_path)
    assert first.returncode == 3
    again = typed(*TRAIN, run_dir, "--steps", 5, "--l1-weight", 10, "--batch-size", 2, cwd=tmp_path)
    assert again.returncode == 0, again.stderr


def test_changed_flags_are_refused_with_the_difference(undisturbed: Path, tmp_path: Path):
    before = weights(undisturbed)
    result = typed(*TRAIN, undisturbed, "--steps", 500, "--seed", 3, "--norm", "batch", cwd=tmp_path)
    assert result.returncode == 2
    line = error_line(result)
    assert "--seed: 0 → 3" in line
    assert "--norm: instance → batch" in line
    after = weights(undisturbed)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_a_moved_run_continues(undisturbed: Path, tmp_path: Path):
    there = taken_back(undisturbed, tmp_path / "옮긴 폴더" / "run")
    result = run("train", "--run-dir", there, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert_same_weights(undisturbed, there)


def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_it_used(undisturbed: Path, tmp_path: Path):
    run_dir = RunDirectory(Path(shutil.copytree(undisturbed, tmp_path / "run")))
    run_dir.final_grid.unlink()  # the run is not finished then, and its checkpoints are read
    newest = run_dir.existing_checkpoint()
    [file] = newest.glob("state.data*")
    file.write_bytes(file.read_bytes()[:-100])
    result = run("train", "--run-dir", run_dir.path, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert f"{newest}.damaged" in result.stdout
    assert_same_weights(undisturbed, run_dir.path)

    for file in run_dir.checkpoints.glob("step_?????????/state.data*"):
        file.write_bytes(file.read_bytes()[:-100])
    run_dir.final_grid.unlink()
    result = typed("train", "--run-dir", run_dir.path, cwd=tmp_path)
    assert result.returncode == 2
    assert str(run_dir.checkpoints) in error_line(result)
