"""Seconds from the command to its first finished step, and to the end of ``--help``.

    python benchmarks/start.py [train flags, for example --dataset facades]

The data should be prepared before; the run goes to a temporary directory.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    """Starts the commands and watches for the first line of metrics.jsonl."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "pix2pix_tf", "train", "--help"], check=True, capture_output=True)
    print(f"--help: {time.perf_counter() - start:.2f} s")
    with tempfile.TemporaryDirectory() as folder:
        metrics = Path(folder) / "run" / "metrics.jsonl"
        flags = ["--log-every", "1", "--run-dir", str(metrics.parent), *sys.argv[1:]]
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "pix2pix_tf", "train", *flags],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while process.poll() is None and not (metrics.exists() and metrics.stat().st_size):
            time.sleep(0.02)
        print(f"first step: {time.perf_counter() - start:.2f} s")
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
