"""Several hosts, as processes on loopback: they do the steps of one, stop together, and lose nothing.

`tests.campaigns.hosts_alike` does the same for every model, `tests.campaigns.host_faults` at random instants.
"""

from __future__ import annotations

import json
import shutil
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

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="TensorFlow's collectives are for Linux"),
]

LATE = 30  # seconds, on a busy machine


def start(*arguments: object) -> list[subprocess.Popen[str]]:
    """Starts a command on two hosts."""
    hosts = ",".join(f"localhost:{free_port()}" for _ in range(2))
    return [
        subprocess.Popen(
            command(*arguments, "--hosts", hosts, "--host-index", index),
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        for index in range(2)
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


TRAIN = ("train", *SMALL, "--batch-size", 4, "--precision", "float32", "--log-every", 1)
TRAIN += ("--recipe", "paper", "--diff-augment")  # dropout, random changes and batch normalization
TRAIN += ("--checkpoint-every", 5, "--sample-every", 1000, "--run-dir")
STEPS = 25


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two hosts that was extended once; its first three steps are in a copy beside it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    for steps in (3, STEPS):
        found = end(start(*TRAIN, folder / "run", "--steps", steps))
        assert [code for code, *_ in found] == [0, 0], found
        (_, output, _), (_, other_output, other_errors) = found
        assert "on 2 devices of 2 hosts" in output
        assert "takes part" in other_output
        assert "step/s" not in other_errors
        if steps == 3:
            shutil.copytree(folder / "run", folder / "first")
    return folder / "run"


def test_two_hosts_do_the_steps_of_one(undisturbed: Path, tmp_path: Path):
    """All that steps change, Adam's moments included; of many more steps rounding would be seen."""
    assert typed(*TRAIN, tmp_path / "alone", "--steps", 3, cwd=tmp_path).returncode == 0
    two = undisturbed.parent / "first"
    expected, found = weights(tmp_path / "alone"), weights(two)
    assert expected.keys() == found.keys()
    assert gap(expected, found, expected) <= 1e-5
    for name in expected:  # a weight whose gradient is nearly 0 moves as far as others, by its sign
        assert gap(expected, found, [name]) <= (3e-5 if "_adam/" in name else 1e-3), name
    logs = ((run / "metrics.jsonl").read_text().splitlines() for run in (tmp_path / "alone", two))
    for one, other in zip(*(map(json.loads, log) for log in logs), strict=True):
        for name in one.keys() - {"seconds", "steps_per_second"}:
            assert other[name] == pytest.approx(one[name], rel=1e-5, abs=1e-9), name


def test_a_signal_saves_and_stops_all_and_a_kill_stops_the_others(undisturbed: Path, tmp_path: Path):
    run_dir = RunDirectory(tmp_path / "run")
    train = (*TRAIN, run_dir.path, "--steps", STEPS)
    processes = start(*train)
    until_step(processes[0], run_dir, 7)
    processes[1].send_signal(signal.SIGTERM)
    found = end(processes)
    assert [code for code, *_ in found] == [128 + signal.SIGTERM] * 2, found
    assert run_dir.latest_step() not in (None, 5, STEPS)

    processes = start(*train)
    until_step(processes[0], run_dir, 17)
    processes[0].kill()  # which also leads the cluster
    processes[1].wait(LATE)
    _, (code, _, errors) = end(processes)
    assert code == 128 + signal.SIGTERM, errors
    assert "Traceback" not in errors

    again = end(start(*train))
    assert [code for code, *_ in again] == [0, 0], again
    assert "continuing after step" in again[0][1]
    assert_same_weights(undisturbed, run_dir.path)


def test_hosts_that_can_not_train_together_report_it_in_a_line(tmp_path: Path):
    flags = ("--run-dir", tmp_path / "run", "--hosts", f"localhost:{free_port()},localhost:{free_port()}")
    train = command("train", *SMALL, "--steps", 5, *flags, "--batch-size")
    found = end(
        [
            subprocess.Popen(
                [*train, str(size), "--host-index", str(index)],
                env=environment(),
                stderr=subprocess.PIPE,
                encoding="utf-8",
            )
            for index, size in enumerate((2, 4))
        ]
    )
    assert [code for code, *_ in found] == [2, 2], found
    assert all(len(errors.splitlines()) == 1 and "--batch-size" in errors for *_, errors in found)

    odd = end(start("train", *SMALL, "--steps", 5, "--batch-size", 1, "--run-dir", tmp_path / "run"))
    assert [code for code, *_ in odd] == [2, 2], odd
    assert not (tmp_path / "run").exists()
