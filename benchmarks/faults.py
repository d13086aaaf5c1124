"""Nothing is lost: faults at every file operation, in real commands, and what is left after each of them.

    python benchmarks/faults.py [--every 1] [--only NAME ...]

takes about a quarter of an hour on two cores, prints a table, and leaves with 1 where anything was lost, wrong
or half written. ``--every 10`` takes each tenth operation. Linux on x86-64 only (see injector.py).

A killed process leaves its files as they are at that instant, and nothing else. So a command is run once, held
before each of its file operations, and the files as they are there are copied: the same command goes on in
the copy, and must end with the files that an undisturbed run has, bit for bit. "checkpoint" and "SIGKILL"
do kill processes, to show that it is the same. What goes on does so in a process that keeps its compiled steps, and
otherwise runs the command from its flags to its exit code.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import errno
import hashlib
import io
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))

import injector
from injector import Child, Operation

IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a kill can't tell, and it is quicker
STEPS = 8
SMALL = ("--base-filters", "8", "--image-size", "64", "--precision", "float32")
OFTEN = ("--log-every", "1", "--sample-every", "4", "--checkpoint-every", "2", "--evaluate-every", "4")


@dataclasses.dataclass
class Tally:
    """What became of the faults of one kind.

    Args:
        where: what was disturbed.
        fault: by what.
        injected: how often.
        lost: runs, exports or data sets that could not be gone on with.
        wrong: results that differ from the undisturbed ones, or a fault that was not told in one line.
        half: files that had a whole one's name, and weren't.
    """

    where: str
    fault: str
    injected: int = 0
    lost: list[str] = dataclasses.field(default_factory=list)
    wrong: list[str] = dataclasses.field(default_factory=list)
    half: list[str] = dataclasses.field(default_factory=list)


# ---------------------------------------------------------------- commands


def train_command(root: Path, steps: int = STEPS) -> list[str]:
    """Returns the flags of a small training below ``root``, whose pairs are in ``root.parent``."""
    folders = ("--dataset", root.parent / "pairs", "--data-dir", root / "data", "--run-dir", root / "run")
    return ["train", *SMALL, *OFTEN, "--steps", str(steps), *map(str, folders)]


def export_command(root: Path) -> list[str]:
    """Returns the flags of an export from ``root.parent``'s run to ``root``."""
    return ["export", str(root.parent / "reference" / "run"), "--out", str(root / "out"), "--name", "model"]


def data_command(root: Path) -> list[str]:
    """Returns the flags that prepare a data set below ``root`` from an archive in ``root.parent``."""
    archive, data_dir = root.parent / "maps.tar.gz", root / "data"
    return ["data", "download", "maps", "--archive", str(archive), "--data-dir", str(data_dir)]


def write_inputs(folder: Path) -> None:
    """Writes what the commands read: a folder of pairs, and an archive of a data set."""
    draw = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 1)):
        (folder / "pairs" / split).mkdir(parents=True)
        for number in range(count):
            pixels = draw.integers(0, 256, (8, 16, 3), np.uint8)
            Image.fromarray(pixels).resize((128, 64)).save(folder / "pairs" / split / f"{number}.png")
    with tarfile.open(folder / "maps.tar.gz", "w:gz") as archive:
        for path in sorted((folder / "pairs").rglob("*.png")):
            file = io.BytesIO()
            Image.open(path).save(file, "jpeg")
            member = tarfile.TarInfo(f"maps/{path.parent.name}/{path.stem}.jpg")
            member.size = file.tell()
            file.seek(0)
            archive.addfile(member, file)


def run_command(arguments: Sequence[str]) -> int:
    """Runs a command of the package in this process."""
    from pix2pix_tf.cli import main

    return main(list(arguments))


def import_package() -> None:
    """Imports what commands need, so that processes that are forked have it; nothing is computed."""
    os.environ.update(PYTHONDONTWRITEBYTECODE="1", CUDA_VISIBLE_DEVICES="")
    from pix2pix_tf.quiet import import_frameworks

    import_frameworks()
    import keras

    keras.utils.disable_interactive_logging()
    import matplotlib.figure  # noqa: F401

    import pix2pix_tf.exporting.export
    import pix2pix_tf.inspection
    import pix2pix_tf.training.train  # noqa: F401


def keep_compiled() -> None:
    """Lets this process train again without compiling again: with the same networks, as they were at first."""
    from pix2pix_tf.recording import recorder
    from pix2pix_tf.training import loop

    def once(function: Callable[..., Any], key: Callable[..., object] = lambda *_: None) -> Any:
        results: dict[object, Any] = {}

        def again(*arguments: Any, **options: Any) -> Any:
            if key(*arguments) not in results:
                results[key(*arguments)] = function(*arguments, **options)
            return results[key(*arguments)]

        return again

    made = once(loop.Trainer)
    first: dict[str, np.ndarray] = {}

    def trainer(*arguments: Any) -> Any:
        state = made(*arguments).state()
        first.update({name: variable.numpy() for name, variable in state.items() if name not in first})
        for name, variable in state.items():
            variable.assign(first[name])
        return made()

    loop.Trainer = trainer
    loop.translators_for = once(loop.translators_for)
    loop.in_memory = once(loop.in_memory)  # the pairs are the same
    recorder.plot_metrics = once(recorder.plot_metrics, lambda lines, *_: lines[-1]["step"])
    recorder.plot_validation = once(recorder.plot_validation, lambda lines, *_: lines[-1]["step"])


# ---------------------------------------------------------------- what files say


def digests(folder: Path) -> dict[str, str]:
    """Returns the contents of all files but TensorBoard's, without times and without the folder's own name."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".lock")
    return {
        str(path.relative_to(folder)): hashlib.sha256(_lasting(path, folder)).hexdigest()
        for path in files
        if "tensorboard" not in path.parts and path.name != ".lock"
    }


def _lasting(path: Path, folder: Path) -> bytes:
    if path.suffix == ".jsonl":
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        times = ("seconds", "steps_per_second")
        return json.dumps([{k: v for k, v in each.items() if k not in times} for each in lines]).encode()
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as packed:
            return json.dumps([(each.filename, each.file_size) for each in packed.infolist()]).encode()
    return path.read_bytes().replace(str(folder.parent).encode(), b"")


def half_written(run: Path, expected: Sequence[Mapping[str, str]]) -> list[str]:
    """Names the files of a run that have a whole one's name and aren't.

    Args:
        run: as a fault left it.
        expected: digests of undisturbed ones, between them with everything that a run has on its way.
    """
    found = []
    for path in sorted(run.rglob("*")):
        name = str(path.relative_to(run))
        is_hidden = any(part.startswith(".") or ".unfinished" in part for part in path.relative_to(run).parts)
        if not path.is_file() or is_hidden or "tensorboard" in path.parts or ".damaged" in name:
            continue
        if path.suffix == ".jsonl":
            lines = path.read_bytes().split(b"\n")[:-1]  # a kill may cut the last one
            is_whole = all(isinstance(json.loads(line), dict) for line in lines)
        elif name == "best.json":
            is_whole = "step" in json.loads(path.read_text())
        elif path.suffix == ".keras":
            is_whole = zipfile.ZipFile(path).testzip() is None
        elif name in ("config.json", "losses.png", "validation.png") or path.suffix != ".png":
            # Of a checkpoint the best one's note depends on how often one is kept, as does config.json.
            is_tensors = path.name.startswith("state.")
            is_whole = path.stat().st_size > 0 and (not is_tensors or _same(path, expected, run))
        else:
            is_whole = _same(path, expected, run)
        if not is_whole:
            found.append(name)
    return found


def _same(path: Path, expected: Sequence[Mapping[str, str]], run: Path) -> bool:
    digest = hashlib.sha256(_lasting(path, run)).hexdigest()
    return digest in [each.get(str(path.relative_to(run))) for each in expected]


def differences(found: Mapping[str, str], expected: Mapping[str, str]) -> str:
    """Says in a few words which files differ; nothing where none does."""
    names = sorted({*found, *expected})
    return ", ".join(name for name in names if found.get(name) != expected.get(name))[:200]


# ---------------------------------------------------------------- killed at every operation


class Continuing:
    """A process that goes on with what a fault left, keeping what it has compiled.

    Args:
        folder: where its output goes.
    """

    def __init__(self, folder: Path):
        self._ours, theirs = multiprocessing.Pipe()
        fork = multiprocessing.get_context("fork")
        self._process = fork.Process(target=_serve, args=(theirs, folder / "continuing.txt"), daemon=True)
        self._process.start()

    def __call__(self, arguments: Sequence[str]) -> int:
        """Runs a command; returns its exit code."""
        self._ours.send(list(arguments))
        return self._ours.recv()


def _serve(channel: Any, output: Path) -> None:
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    keep_compiled()
    while True:
        channel.send(run_command(channel.recv()))


def at_every_operation(
    command: Callable[[Path], list[str]],
    root: Path,
    every: int,
    check: Callable[[Path, Operation], None],
) -> int:
    """Runs a command once, and checks a copy of its files as they are before each of its operations.

    Returns:
        Its exit code.
    """
    copy, count = root.with_name("killed"), 0

    def look(operation: Operation) -> int:
        nonlocal count
        count += 1
        if count % every == 0:
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(root, copy)
            check(copy, operation)
        return 0

    arguments = command(root)
    child = Child(lambda: run_command(arguments), root, root.parent / "held.txt")
    return child.watch(look)


def undisturbed(root: Path, going_on: Continuing, *begun_with: int) -> Path:
    """Trains, in one go or first for fewer steps; returns the run."""
    for steps in (*begun_with, STEPS):
        assert going_on(train_command(root, steps)) == 0
    return root / "run"


def kill_training(folder: Path, every: int) -> Iterator[Tally]:
    """A new run, killed at every operation."""
    yield kill_run(folder, every, Tally("training", "killed"))


def kill_longer_training(folder: Path, every: int) -> Iterator[Tally]:
    """A finished run that is trained longer, killed at every operation."""
    yield kill_run(folder, every, Tally("training a finished run longer", "killed"), STEPS - 2)


def kill_run(folder: Path, every: int, tally: Tally, *begun_with: int) -> Tally:
    """Holds a training at every operation; ``begun_with`` are the steps of a finished one that it goes on with."""
    going_on = Continuing(folder)
    expected = digests(undisturbed(folder / "reference", going_on, *begun_with))
    root = folder / "held"
    root.mkdir()
    for steps in begun_with:
        assert going_on(train_command(root, steps)) == 0
    assert going_on([*train_command(folder / "whole"), "--keep-every", "1"]) == 0
    whole = [expected, digests(folder / "whole" / "run"), digests(root / "run")]

    def check(copy: Path, operation: Operation) -> None:
        tally.injected += 1
        at = f"{operation.kind} {operation.path}"
        tally.half += [f"{name} at {at}" for name in half_written(copy / "run", whole)]
        if going_on(train_command(copy)):
            tally.lost.append(at)
        elif differ := differences(digests(copy / "run"), expected):
            tally.wrong.append(f"{differ} after {at}")

    assert at_every_operation(train_command, root, every, check) == 0
    if differ := differences(digests(root / "run"), expected):
        tally.wrong.append(f"{differ} in a process that compiled")
    return tally


def kill_data(folder: Path, every: int) -> Iterator[Tally]:
    """The preparation of a data set."""
    going_on = Continuing(folder)
    tally = Tally("preparing a data set", "killed")
    assert going_on(data_command(folder / "reference")) == 0
    prepared = Path("data/pix2pix/maps/1.0.0")
    expected = digests(folder / "reference" / prepared)

    def check(copy: Path, operation: Operation) -> None:
        tally.injected += 1
        at = f"{operation.kind} {operation.path}"
        if (copy / prepared).exists() and digests(copy / prepared) != expected:
            tally.half.append(at)
        if going_on(data_command(copy)):
            tally.lost.append(at)
        elif differ := differences(digests(copy / prepared), expected):
            tally.wrong.append(f"{differ} after {at}")

    (folder / "root").mkdir()
    assert at_every_operation(data_command, folder / "root", every, check) == 0
    yield tally


PARTS: dict[str, Callable[[Path, int], Iterator[Tally]]] = {
    "kill_training": kill_training,
    "kill_longer_training": kill_longer_training,
    "kill_data": kill_data,
}


def main() -> None:
    """Runs all parts, two at a time, each in a process of its own; or with ``--part`` one of them, here."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--every", type=int, default=1, help="take each n-th file operation only")
    parser.add_argument("--only", nargs="+", choices=tuple(PARTS), default=tuple(PARTS), metavar="NAME")
    parser.add_argument("--part", choices=tuple(PARTS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if injector.missing():
        sys.exit(injector.missing())
    if args.part:
        with tempfile.TemporaryDirectory(prefix="faults_", dir=IN_MEMORY) as folder:
            write_inputs(Path(folder))
            import_package()
            for tally in PARTS[args.part](Path(folder), args.every):
                print(json.dumps(dataclasses.asdict(tally)), flush=True)
        return


if __name__ == "__main__":
    main()
