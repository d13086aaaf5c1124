"""Images per second of the tf.data pipeline alone, jitter and mirror included.

    python benchmarks/pipeline.py [--dataset facades] [--archive FILE] [--seconds 10] [--stream] [--cores=2]

On Linux it pins itself to one core, or to two.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if hasattr(os, "sched_setaffinity"):  # before TensorFlow counts them
    os.sched_setaffinity(0, {0, 1} if "--cores=2" in sys.argv else {0})

from pix2pix_tf import open_dataset, preset, replace, training_batches
from pix2pix_tf.data.pipeline import in_memory


def main() -> None:
    """Measures pairs held in memory, or with ``--stream`` pairs read and decoded at every step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="facades")
    parser.add_argument("--archive", type=Path)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--stream", action="store_true", help="read from the disk instead of memory")
    parser.add_argument("--cores", type=int, choices=(1, 2), default=1, help="how many to use")
    args = parser.parse_args()

    config = replace(preset(args.dataset), archive=args.archive, data_dir=args.data_dir)
    dataset = open_dataset(config)
    if not args.stream:
        dataset = in_memory(dataset, "train")
    batches = iter(training_batches(dataset, config, 0, 10**6))
    for _ in range(50):
        next(batches)
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < args.seconds:
        next(batches)
        count += config.optimization.batch_size
    rate = count / (time.perf_counter() - start)
    where = "the disk" if args.stream else "memory"
    print(f"{args.dataset} from {where}: {rate:.0f} pairs/s on {args.cores} core(s)")


if __name__ == "__main__":
    main()
