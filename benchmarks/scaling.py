"""What a step costs on 1, 2 and 4 hosts: processes on loopback, pinned to equal shares of the cores.

    python -m benchmarks.scaling [--base-filters 64] [--image-size 128] [--all-reduce float32 bfloat16]

Every process has a batch of one, whatever their number. Beside the hosts that train together, as many
processes train by themselves, pinned the same way: what these are slower by than a lone one is the memory's
and the shared cores' doing, and the rest is the network's. Bytes are those of the loopback interface.
Processes to a core are told; with more than one, hosts wait for each other's turn as well. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.campaigns import loopback

WARM = 2  # steps that are not counted


def sent_bytes() -> int:
    """Returns what the loopback interface has sent."""
    lines = Path("/proc/net/dev").read_text().splitlines()
    [loopback] = [line.split(":")[1].split() for line in lines if line.strip().startswith("lo:")]
    return int(loopback[8])


def start(flags: list[str], cores: list[int], index: int, addresses: str | None) -> subprocess.Popen[bytes]:
    """Starts a process on some cores, one of several hosts or alone."""
    command = [
        "taskset",
        "-c",
        ",".join(map(str, cores)),
        sys.executable,
        "-m",
        "pix2pix_tf",
        "train",
        *flags,
    ]
    if addresses is not None:
        command += ["--hosts", addresses, "--host-index", str(index)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def seconds_of(run: Path) -> list[float]:
    """Returns the seconds of each step after the warm ones."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [1.0 / line["steps_per_second"] for line in lines[WARM:]]


def measure(count: int, together: bool, given: argparse.Namespace, all_reduce: str) -> tuple[float, float]:
    """Returns the median seconds of a step, and the bytes that a step sends."""
    cores = sorted(os.sched_getaffinity(0))
    folder = Path(tempfile.mkdtemp())
    addresses = loopback.free_addresses(count)
    processes, runs = [], []
    for index in range(count):
        share = max(1, len(cores) // max(count, given.widest))
        own = [cores[(index * share + each) % len(cores)] for each in range(share)]
        runs.append(folder / ("run" if together else f"run{index}"))
        flags = ["--base-filters", str(given.base_filters), "--image-size", str(given.image_size)]
        flags += ["--batch-size", str(count if together else 1), "--precision", "float32"]
        flags += ["--steps", str(given.steps), "--log-every", "1", "--all-reduce", all_reduce]
        flags += ["--sample-every", "100000", "--checkpoint-every", "100000", "--evaluate-every", "100000"]
        shared = addresses if together and count > 1 else None
        processes.append(start([*flags, "--run-dir", str(runs[-1])], own, index, shared))
    metrics = runs[0] / "metrics.jsonl"
    marks: list[tuple[int, int]] = []  # steps done, bytes sent
    while processes[0].poll() is None:
        done = metrics.read_text().count("\n") if metrics.exists() else 0
        if not marks or done > marks[-1][0]:
            marks.append((done, sent_bytes()))
        time.sleep(0.005)
    assert not any(process.wait() for process in processes)
    counted = [mark for mark in marks if WARM <= mark[0] < given.steps]
    sent = (counted[-1][1] - counted[0][1]) / (counted[-1][0] - counted[0][0])
    return statistics.median(second for run in set(runs) for second in seconds_of(run)), sent


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--base-filters", type=int, default=64)
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=14)
    parser.add_argument("--hosts", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--all-reduce", nargs="+", default=["float32", "bfloat16"])
    given = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    given.widest = min(max(given.hosts), cores)
    table = Table(
        "hosts", "processes to a core", "all-reduce", "s together", "s apart", "ratio", "MB sent a step"
    )
    for count in given.hosts:
        apart, _ = measure(count, False, given, "float32")
        for all_reduce in given.all_reduce if count > 1 else ["float32"]:
            seconds, sent = measure(count, True, given, all_reduce) if count > 1 else (apart, 0.0)
            row = (count, max(1, count // cores), all_reduce if count > 1 else "", f"{seconds:.2f}")
            table.add_row(*map(str, row), f"{apart:.2f}", f"{seconds / apart:.2f}", f"{sent / 1e6:.0f}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
