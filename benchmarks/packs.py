"""A packed data set of a million pairs: how long it takes to open, in what memory, and how fast it is read.

    python benchmarks/packs.py [--pairs 1000000] [--size 16]

The pairs are small drawn images, a hundred different ones over and over: what is measured here grows with
their number, not with their size. Opening and reading happen in a process of its own. Beside it stands a
tenth of the pairs as a folder.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

READING = """
import json, resource, sys, time
from pathlib import Path
from pix2pix_tf import preset, replace
from pix2pix_tf.quiet import import_frameworks
import_frameworks()
import tensorflow as tf
from pix2pix_tf.data.pipeline import training_batches
from pix2pix_tf.data.sources import open_dataset

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

path, batches = sys.argv[1], int(sys.argv[2])
config = replace(preset(path), image_size=64, batch_size=16, data_dir=str(Path(path).parent))
tf.constant(0) + 1
before, began = peak(), time.perf_counter()
dataset = open_dataset(config)
dataset.identity()
opened, memory = time.perf_counter() - began, peak() - before
stream = iter(training_batches(dataset, config, 1000, 1000 + 2 * batches))
for _ in range(batches):
    next(stream)
began = time.perf_counter()
for _ in range(batches):
    next(stream)
rate = batches * 16 / (time.perf_counter() - began)
print(json.dumps([dataset.count("train"), opened, memory, rate]))
"""


def drawn(size: int) -> list[bytes]:
    """Returns a hundred side-by-side pairs as PNGs."""
    files = []
    for seed in range(100):
        pixels = np.random.default_rng(seed).integers(0, 256, (size, 2 * size, 3), np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        files.append(file.getvalue())
    return files


def measured(path: Path, batches: int) -> list[float]:
    """Opens and reads a data set in a process of its own."""
    command = [sys.executable, "-c", READING, str(path), str(batches)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=16)
    parser.add_argument("--batches", type=int, default=200)
    given = parser.parse_args()
    from pix2pix_tf.quiet import import_frameworks

    import_frameworks()
    from pix2pix_tf.data.packed import write_manifest, write_records
    from pix2pix_tf.data.pixel_format import PixelFormat

    files = drawn(given.size)
    with tempfile.TemporaryDirectory() as temporary:
        folder, pack = Path(temporary, "folder"), Path(temporary, "pack")

        def records() -> Iterator[tuple[str, list[bytes]]]:
            return ((f"{number:07d}", [files[number % 100]]) for number in range(given.pairs))

        began = time.perf_counter()
        digests = np.arange(2 * given.pairs, dtype=np.uint64).reshape(-1, 2)
        written = write_records(pack, "train", records(), digests)
        sides = [PixelFormat(), PixelFormat()]
        write_manifest(pack, "pack", sides, {"train": [{**written, "halved": True}]})
        packed = time.perf_counter() - began
        (folder / "train").mkdir(parents=True)
        for number in range(given.pairs // 10):
            (folder / f"train/{number:07d}.png").write_bytes(files[number % 100])
        table = Table("", "pairs", "to open, s", "memory, MB", "pairs a second")
        for name, path in (("packed", pack), ("folder, first time", folder), ("folder, again", folder)):
            count, opened, memory, rate = measured(path, given.batches)
            table.add_row(name, f"{count:,.0f}", f"{opened:.2f}", f"{memory:.0f}", f"{rate:.0f}")
        size = sum(file.stat().st_size for file in pack.iterdir()) / 1e6
    Console(width=100).print(table)
    print(f"packed in {packed:.0f} s, {size:.0f} MB in {len(written['shards'])} shards")


if __name__ == "__main__":
    main()
