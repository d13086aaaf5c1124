"""Trains the same steps on 1, 2 and 4 hosts, and tells how far apart they come out.

    python -m tests.campaigns.hosts_alike [--models pix2pix paper cyclegan wgan] [--learning-rate 1e-6]

The hosts are processes on loopback. One host that computes its batch in parts (``--accumulate``) adds up the
same numbers in nearly the same order as that many hosts, with nothing sent: what it is away from the plain
run is float32's rounding, and what hosts are away from it would be a fault of theirs.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.campaigns import loopback

SMALL = ("--base-filters", "8", "--image-size", "64")
MODELS = {
    "pix2pix": SMALL,
    "paper": ("--recipe", "paper", *SMALL),
    "cyclegan": ("--model", "cyclegan", "--base-filters", "4", "--image-size", "64", "--pool-size", "8"),
    "wgan": ("--model", "wgan", "--generator-filters", "8", "--critic-filters", "8", "--image-size", "64"),
}
BATCH_SIZE = 4


def train(flags: tuple[str, ...], hosts: int, run_dir: Path) -> Path:
    """Trains to the end."""
    common = ("--batch-size", str(BATCH_SIZE), "--precision", "float32", "--log-every", "1")
    loopback.finish(loopback.start([*flags, *common, "--run-dir", str(run_dir)], hosts))
    return run_dir


def apart(one: Path, other: Path) -> float:
    """How far the weights of two runs are apart, relative to their norm."""
    first, second = loopback.state(one), loopback.state(other)
    names = [name for name in first if "_adam/" not in name and first[name].dtype == np.float32]
    gap = np.linalg.norm([np.linalg.norm(first[name] - second[name]) for name in names])
    return float(gap / np.linalg.norm([np.linalg.norm(first[name]) for name in names]))


def furthest_metric(one: Path, other: Path) -> float:
    """How far any metric of any step is apart, relative to the mean size of that metric."""
    runs = [[json.loads(line) for line in (run / "metrics.jsonl").open()] for run in (one, other)]
    names = runs[0][0].keys() - {"seconds", "steps_per_second", "step"}
    values = [np.array([[line[name] for name in sorted(names)] for line in run]) for run in runs]
    return float((np.abs(values[0] - values[1]) / np.abs(values[0]).mean(axis=0).clip(1e-9)).max())


def main() -> None:
    """Trains all, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--hosts", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--learning-rate", help="a small one keeps rounding from growing; the models' own")
    given = parser.parse_args()
    table = Table("model", "steps", "of", "and", "weights apart", "metrics apart")
    for model in given.models:
        flags = (*MODELS[model], "--steps", str(given.steps))
        flags += ("--learning-rate", given.learning_rate) if given.learning_rate else ()
        folder = Path(tempfile.mkdtemp())
        alone = train(flags, 1, folder / "alone")
        for count in given.hosts:
            together = train(flags, count, folder / f"hosts{count}")
            parts = train((*flags, "--accumulate", str(count)), 1, folder / f"parts{count}")
            names = {alone: "1 host", together: f"{count} hosts", parts: f"1 host, {count} parts"}
            for one, other in ((alone, together), (alone, parts), (parts, together)):
                gaps = (f"{apart(one, other):.1e}", f"{furthest_metric(one, other):.1e}")
                table.add_row(model, str(given.steps), names[one], names[other], *gaps)
                print(model, names[one], names[other], *gaps, flush=True)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
