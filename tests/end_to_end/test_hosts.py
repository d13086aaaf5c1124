"""Several hosts, as processes on loopback: they do the step of one, stop together, and lose nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from pix2pix_tf.runs import RunDirectory
from tests.end_to_end.commands import SMALL, command, environment, typed
from tests.end_to_end.servers import free_port
from tests.end_to_end.test_resume import assert_same_weights, weights

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="TensorFlow's collectives are for Linux")

LATE = 30  # seconds, on a busy machine

MODELS = {
    # Dropout and random changes; below noise, batch normalisation and several batches a step.
    "pix2pix": (*SMALL, "--recipe", "paper", "--diff-augment"),
    "wgan": ("--generator-filters", 2, "--critic-filters", 2, "--image-size", 64, "--critic-steps", 2),
}

ALL = bool(os.environ.get("PIX2PIX_TEST_ALL_HOSTS"))
if ALL:  # minutes on two cores: the suite takes the others
    MODELS["cyclegan"] = ("--base-filters", 4, "--image-size", 64, "--pool-size", 2)


def start(arguments: tuple[object, ...], count: int) -> list[subprocess.Popen[str]]:
    hosts = ",".join(f"localhost:{free_port()}" for _ in range(count))
    return [
        subprocess.Popen(
            command(*arguments, "--hosts", hosts, "--host-index", index),
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        for index in range(count)
    ]


def end(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Waits for all; returns their exit codes and what they wrote."""
    written = [process.communicate(timeout=300) for process in processes]
    return [(process.returncode, *texts) for process, texts in zip(processes, written, strict=True)]


def until_step(process: subprocess.Popen[str], run_dir: RunDirectory, lines: int) -> None:
    metrics = run_dir.metrics_file
    while process.poll() is None and not (metrics.exists() and metrics.read_text().count("\n") >= lines):
        time.sleep(0.02)


def gap(expected: dict[str, np.ndarray], found: dict[str, np.ndarray], names: Iterable[str]) -> float:
    """How far tensors are apart, relative to their norm."""
    apart = [np.linalg.norm((found[name] - expected[name]).astype(np.float64)) for name in names]
    size = [np.linalg.norm(expected[name].astype(np.float64)) for name in names]
    return float(np.linalg.norm(apart) / (np.linalg.norm(size) + 1e-12))


@pytest.mark.parametrize("model", MODELS)
def test_two_hosts_do_the_steps_of_one(model: str, tmp_path: Path):
    """All that steps change, Adam's moments included; of many more steps rounding would be seen."""
    train = ("train", "--model", model, *MODELS[model], "--batch-size", 4, "--precision", "float32")
    train += ("--steps", 3, "--log-every", 1, "--run-dir")
    assert typed(*train, tmp_path / "alone", cwd=tmp_path).returncode == 0
    (code, said, errors), (other_code, other_said, other_errors) = end(start((*train, tmp_path / "two"), 2))
    assert (code, other_code) == (0, 0), errors + other_errors
    assert "on 2 devices of 2 hosts" in said
    assert "takes part" in other_said
    assert "step/s" not in other_errors

    expected, found = weights(tmp_path / "alone"), weights(tmp_path / "two")
    assert expected.keys() == found.keys()
    assert gap(expected, found, expected) <= 1e-5
    for name in expected:  # a weight whose gradient is nearly 0 moves as far as others, by its sign
        assert gap(expected, found, [name]) <= (3e-5 if "_adam/" in name else 1e-3), name
    logs = ((tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("alone", "two"))
    for one, two in zip(*(map(json.loads, log) for log in logs), strict=True):
        for name in one.keys() - {"seconds", "steps_per_second"}:
            assert two[name] == pytest.approx(one[name], rel=1e-5, abs=1e-9), name


TRAIN = ("train", *SMALL, "--batch-size", 2, "--precision", "float32", "--log-every", 1)
TRAIN += ("--checkpoint-every", 5, "--sample-every", 1000, "--steps", 25, "--run-dir")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    found = end(start((*TRAIN, folder / "run"), 2))
    assert [code for code, *_ in found] == [0, 0], found
    return folder / "run"


def test_a_signal_saves_and_stops_all_and_a_kill_stops_the_others(undisturbed: Path, tmp_path: Path):
    run_dir = RunDirectory(tmp_path / "run")
    processes = start((*TRAIN, run_dir.path), 2)
    until_step(processes[0], run_dir, 7)
    processes[1].send_signal(signal.SIGTERM)
    found = end(processes)
    assert [code for code, *_ in found] == [128 + signal.SIGTERM] * 2, found
    assert run_dir.latest_step() not in (None, 5, 25)

    processes = start((*TRAIN, run_dir.path), 2)
    until_step(processes[0], run_dir, 17)
    processes[0].kill()  # which also leads the cluster
    processes[1].wait(LATE)
    _, (code, _, errors) = end(processes)
    assert code == 128 + signal.SIGTERM, errors
    assert "Traceback" not in errors

    again = end(start((*TRAIN, run_dir.path), 2))
    assert [code for code, *_ in again] == [0, 0], again
    assert "continuing after step" in again[0][1]
    assert_same_weights(undisturbed, run_dir.path)


@pytest.mark.skipif(not ALL, reason="PIX2PIX_TEST_ALL_HOSTS=1 asks for it")
def test_a_teacher_is_handed_to_all_hosts(undisturbed: Path, tmp_path: Path):
    distill = ("distill", undisturbed, "--base-filters", 4, "--precision", "float32")
    distill += ("--steps", 1, "--run-dir")
    assert typed(*distill, tmp_path / "alone", cwd=tmp_path).returncode == 0
    found = end(start((*distill, tmp_path / "two"), 2))
    assert [code for code, *_ in found] == [0, 0], found
    expected, two = weights(tmp_path / "alone"), weights(tmp_path / "two")
    assert gap(expected, two, expected) <= 1e-5


def test_hosts_that_can_not_train_together_say_so_in_a_line(tmp_path: Path):
    hosts = ",".join(f"localhost:{free_port()}" for _ in range(2))
    flags = ("--run-dir", tmp_path / "run", "--hosts", hosts, "--host-index")
    each = [
        subprocess.Popen(
            command("train", *SMALL, "--steps", 5, "--batch-size", size, *flags, index),
            env=environment(),
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        for index, size in enumerate((2, 4))
    ]
    found = end(each)
    assert [code for code, *_ in found] == [2, 2], found
    assert all(len(errors.splitlines()) == 1 and "--batch-size" in errors for *_, errors in found)

    odd = end(start(("train", *SMALL, "--steps", 5, "--batch-size", 1, "--run-dir", tmp_path / "run"), 2))
    assert [code for code, *_ in odd] == [2, 2], odd
    assert not (tmp_path / "run").exists()
