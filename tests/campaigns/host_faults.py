"""Kills random hosts of a training at random instants, starts all again, and compares what comes out.

    python -m tests.campaigns.host_faults --kills 100 --hosts 2

The hosts are processes on loopback. Each kill is SIGKILL or, one in four, SIGTERM, of one host: mostly while
it trains, sometimes while it starts. Told are the longest time until the others had stopped, their exit
codes, and whether the finished run's weights are those of a run that nobody disturbed.
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.campaigns import loopback

FLAGS = ("--base-filters", "8", "--image-size", "64", "--precision", "float32", "--log-every", "1")
HANGS = 90.0  # seconds: the minute of the rendezvous, and some more


def wait(processes: list[subprocess.Popen[str]]) -> tuple[list[int], float, list[str]]:
    """Waits for all; returns exit codes (-99: it hung), the seconds until the last, and what they wrote."""
    began = time.monotonic()
    codes, errors = [], []
    for process in processes:
        try:
            errors.append(process.communicate(timeout=max(0.1, HANGS - (time.monotonic() - began)))[1])
            codes.append(process.returncode)
        except subprocess.TimeoutExpired:
            process.kill()
            errors.append(process.communicate()[1])
            codes.append(-99)
    return codes, time.monotonic() - began, errors


def disturb(processes: list[subprocess.Popen[str]], metrics: Path, draw: random.Random) -> tuple[int, int]:
    """Kills one host at a random instant; returns which, and the signal."""
    victim = draw.randrange(len(processes))
    number = signal.SIGTERM if draw.random() < 0.25 else signal.SIGKILL
    if draw.random() < 0.25:
        time.sleep(draw.uniform(0.0, 20.0))
    else:
        lines = metrics.read_text().count("\n") if metrics.exists() else 0
        more = draw.randrange(1, 25)
        until = time.monotonic() + HANGS
        while all(each.poll() is None for each in processes) and time.monotonic() < until:
            now = metrics.read_text().count("\n") if metrics.exists() else 0
            if now < lines:  # it goes on from a checkpoint before
                lines = now
            if now >= lines + more:
                break
            time.sleep(0.01)
        time.sleep(draw.uniform(0.0, 0.3))
    processes[victim].send_signal(number)
    return victim, number


def main() -> None:
    """Runs the campaign."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--hosts", type=int, default=2)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=2017)
    given = parser.parse_args()
    draw = random.Random(given.seed)
    folder = Path(tempfile.mkdtemp())

    def flags(name: str) -> list[str]:
        sizes = ["--batch-size", str(given.hosts), "--steps", str(given.steps), "--checkpoint-every", "7"]
        return [*FLAGS, *sizes, "--sample-every", "50", "--run-dir", str(folder / name)]

    loopback.finish(loopback.start(flags("undisturbed"), given.hosts))
    expected = loopback.state(folder / "undisturbed")
    tally: dict[str, object] = {"kills": 0, "runs": 0, "other_weights": 0, "hung": 0, "tracebacks": 0}
    others: collections.Counter[int] = collections.Counter()
    longest, kills, runs, wrong = 0.0, 0, 0, 0
    while kills < given.kills:
        name = f"run{runs}"
        while True:
            processes = loopback.start(flags(name), given.hosts)
            victim, number = disturb(processes, folder / name / "metrics.jsonl", draw)
            codes, seconds, errors = wait(processes)
            if not any(codes):
                break  # it was done before
            kills += 1
            longest = max(longest, seconds)
            others.update(code for index, code in enumerate(codes) if index != victim)
            tally["hung"] += codes.count(-99)
            tally["tracebacks"] += sum("Traceback" in text for text in errors)
            print(
                json.dumps(
                    {
                        "kill": kills,
                        "signal": int(number),
                        "victim": victim,
                        "codes": codes,
                        "seconds": round(seconds, 1),
                        "errors": [text[-200:] for text in errors],
                    }
                ),
                flush=True,
            )
            if kills >= given.kills:
                break
        loopback.finish(loopback.start(flags(name), given.hosts))
        found = loopback.state(folder / name)
        wrong += any(not np.array_equal(expected[key], found[key]) for key in expected)
        runs += 1
    tally |= {"kills": kills, "runs": runs, "other_weights": wrong, "longest_seconds": round(longest, 1)}
    print(json.dumps({**tally, "exit_codes_of_the_others": {str(key): others[key] for key in others}}))


if __name__ == "__main__":
    main()
