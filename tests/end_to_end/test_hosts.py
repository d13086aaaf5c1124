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
from tests.end_to_end.commands import SMALL, command, environment, free_port, typed
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


def gap(expected: dict[str, np.ndarray], found: dict[str, np.ndarray], names: Iterable[str]) -> float:
    """How far tensors are apart, relative to their norm."""
    apart = [np.linalg.norm((found[name] - expected[name]).astype(np.float64)) for name in names]
    size = [np.linalg.norm(expected[name].astype(np.float64)) for name in names]
    return float(np.linalg.norm(apart) / (np.linalg.norm(size) + 1e-12))


TRAIN = ("train", *SMALL, "--batch-size", 4, "--precision", "float32", "--log-every", 1)
TRAIN += ("--recipe", "paper", "--diff-augment")  # dropout, random changes and batch normalization
TRAIN += ("--checkpoint-every", 3, "--sample-every", 1000, "--run-dir")
STEPS = 15


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run of two hosts whose first one, which leads the cluster, was killed after its first checkpoint."""
    run = RunDirectory(tmp_path_factory.mktemp("killed") / "run")
    first, second = processes = start(*TRAIN, run.path, "--steps", STEPS)
    while first.poll() is None and not run.checkpoint(3).exists():
        time.sleep(0.02)
    first.kill()
    second.wait(LATE)
    _, (code, output, errors) = end(processes)
    assert code == 128 + signal.SIGTERM, errors
    assert "takes part" in output
    assert "Traceback" not in errors
    return run


def test_two_hosts_do_the_steps_of_one(killed: RunDirectory, tmp_path: Path):
    """All that steps change, Adam's moments included; of many more steps rounding would be seen."""
    assert typed(*TRAIN, tmp_path / "alone", "--steps", 3, cwd=tmp_path).returncode == 0
    expected, found = weights(tmp_path / "alone"), weights(killed.path, 3)
    assert expected.keys() == found.keys()
    assert gap(expected, found, expected) <= 1e-5
    for name in expected:  # a weight whose gradient is nearly 0 moves as far as others, by its sign
        assert gap(expected, found, [name]) <= (3e-5 if "_adam/" in name else 1e-3), name
    logs = [(run / "metrics.jsonl").read_text().splitlines()[:3] for run in (tmp_path / "alone", killed.path)]
    for one, other in zip(*(map(json.loads, log) for log in logs), strict=True):
        for name in one.keys() - {"seconds", "steps_per_second"}:
            assert other[name] == pytest.approx(one[name], rel=1e-5, abs=1e-9), name


def test_a_killed_run_of_two_hosts_ends_with_equal_weights(killed: RunDirectory, tmp_path: Path):
    shutil.copytree(killed.path, tmp_path / "killed")
    for name in ("killed", "undisturbed"):
        found = end(start(*TRAIN, tmp_path / name, "--steps", STEPS))
        assert [code for code, *_ in found] == [0, 0], found
        assert "on 2 devices of 2 hosts" in found[0][1]
        assert ("continuing after step" in found[0][1]) == (name == "killed")
        assert "step/s" not in found[1][2]
    assert_same_weights(tmp_path / "undisturbed", tmp_path / "killed")
