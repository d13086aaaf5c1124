"""Hosts of a training as processes on loopback, for campaigns and benchmarks."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np


def free_addresses(count: int) -> str:
    """Returns as many addresses on loopback, as ``--hosts`` takes them."""
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{server.getsockname()[1]}" for server in taken]
    for server in taken:
        server.close()
    return ",".join(addresses)


def start(flags: Sequence[str], hosts: int) -> list[subprocess.Popen[str]]:
    """Starts ``pix2pix train`` as one process a host; one alone if there is but one."""
    command = [sys.executable, "-m", "pix2pix_tf", "train", *flags]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "encoding": "utf-8"}
    if hosts == 1:
        return [subprocess.Popen(command, **pipes)]
    command += ["--hosts", free_addresses(hosts), "--host-index"]
    return [subprocess.Popen([*command, str(index)], **pipes) for index in range(hosts)]


def finish(processes: Sequence[subprocess.Popen[str]]) -> None:
    """Waits for a training that nobody disturbs."""
    errors = [process.communicate()[1] for process in processes]
    if any(process.returncode for process in processes):
        raise SystemExit("\n".join(errors))


def state(run_dir: Path) -> dict[str, np.ndarray]:
    """Reads what the newest checkpoint keeps: weights, averages, Adam's moments."""
    import tensorflow as tf

    newest = sorted((run_dir / "checkpoints").glob("step_?????????"))[-1]
    readers = [tf.train.load_checkpoint(str(newest / part)) for part in ("state", "moments")]
    return {
        name: reader.get_tensor(name) for reader in readers for name in reader.get_variable_to_shape_map()
    }
