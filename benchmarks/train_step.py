"""Steps per second of the training step, beside the textbook step and PyTorch's, in one run.

    python benchmarks/train_step.py [--model pix2pix] [--batch-size 1] [--steps 20] [--rounds 3] [--json]

Every measurement is a process of its own, and the contenders take turns, so that a machine that slows down
slows them all. Machines differ and are noisy: compare ratios of one run only. PyTorch takes part where it is
installed (``pip install torch``): plain, and "fast" with channels_last and bfloat16 autocast; it
knows pix2pix only.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from contenders import textbook_cyclegan_step, textbook_step, torch_step

TEXTBOOKS = {"pix2pix": textbook_step, "cyclegan": textbook_cyclegan_step}
CONTENDERS = (
    "textbook float32",
    "pix2pix_tf float32",
    "pix2pix_tf auto",
    "pix2pix_tf auto, recipe paper",
    "torch plain",
    "torch fast",
)


def main() -> None:
    """Measures all contenders, or with ``--contender`` one of them, in this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=tuple(TEXTBOOKS), default="pix2pix")
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument(
        "--image-size", type=int, default=256, help="a multiple of 256, for the textbook's sake"
    )
    parser.add_argument("--steps", type=int, default=20, help="timed steps of each process")
    parser.add_argument("--rounds", type=int, default=3, help="processes for each contender")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.contender:
        print(json.dumps(measure(args.contender, args.model, args.batch_size, args.image_size, args.steps)))
        return

    has_torch = importlib.util.find_spec("torch") is not None and args.model == "pix2pix"
    names = [name for name in CONTENDERS if has_torch or not name.startswith("torch")]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(args.rounds):
        for name in names:
            command = [sys.executable, __file__, *sys.argv[1:], "--contender", name]
            result = subprocess.run(command, capture_output=True, text=True, check=True)
            found[name].append(json.loads(result.stdout.splitlines()[-1]))
    rows = summarise(found, args.batch_size)
    print(json.dumps(rows, indent=2) if args.json else table(rows))


def summarise(found: dict[str, list[dict[str, float]]], batch_size: int) -> list[dict[str, object]]:
    """Returns a row for each contender: medians over its processes, and the ratio to the first one."""
    rates = {
        name: statistics.median(each["steps_per_second"] for each in runs) for name, runs in found.items()
    }
    return [
        {
            "step": name,
            "steps_per_second": round(rate, 3),
            "images_per_second": round(rate * batch_size, 3),
            "ratio": round(rate / rates[CONTENDERS[0]], 2),
            "peak_rss_mb": max(each["peak_rss_mb"] for each in found[name]),
        }
        for name, rate in rates.items()
    ]


def table(rows: list[dict[str, object]]) -> str:
    """Returns the rows as a Markdown table."""
    lines = ["| step | steps/s | images/s | ratio | peak memory |", "|---|---|---|---|---|"]
    lines += [
        f"| {row['step']} | {row['steps_per_second']} | {row['images_per_second']} | {row['ratio']}× "
        f"| {row['peak_rss_mb']} MB |"
        for row in rows
    ]
    return "\n".join(lines)


def measure(contender: str, model: str, batch_size: int, size: int, steps: int) -> dict[str, float]:
    """Times one contender in this process."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    kind, variant = contender.split(maxsplit=1)
    if kind == "torch":
        step = torch_step(batch_size, size, fast=variant == "fast")
    elif kind == "textbook":
        step = TEXTBOOKS[model](batch_size, size)
    else:
        precision, _, recipe = variant.partition(", recipe ")
        step = project_step(model, precision, recipe or "default", batch_size, size)
    for _ in range(3):
        step()
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"steps_per_second": 1 / statistics.median(seconds), "peak_rss_mb": peak}


def project_step(model: str, precision: str, recipe: str, batch_size: int, size: int) -> Callable[[], object]:
    """Returns the project's own step as ``train.py`` runs it."""
    import tensorflow as tf

    from pix2pix_tf import replace
    from pix2pix_tf.devices import resolve_precision
    from pix2pix_tf.models.registry import defaults, model_for
    from pix2pix_tf.training.step import Trainer

    config = replace(
        defaults(model, recipe),
        precision=resolve_precision(precision),
        batch_size=batch_size,
        image_size=(size, size),
        input_channels=3,
        output_channels=3,
    )
    trainer = Trainer(model_for(config), config, total_steps=1000)
    shape = (batch_size, size, size, 3)
    batch = tuple(tf.random.stateless_uniform(shape, (seed, seed + 1), -1, 1) for seed in (1, 3))
    counter = itertools.count(1000)  # the first steps update the averages more often than all others
    return lambda: trainer.train_step(batch, tf.constant(next(counter), tf.int64)).numpy()


if __name__ == "__main__":
    main()
