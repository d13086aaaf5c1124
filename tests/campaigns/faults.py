"""Nothing is lost: faults at every file operation, in real commands, and what is left after each of them.

    python -m tests.campaigns.faults [--every 1] [--only NAME ...]

prints a table, and leaves with 1 where anything was lost, wrong or half written. ``--every 10`` takes each
tenth operation. Linux on x86-64 only (see injector.py).

A killed process leaves its files as they are at that instant, and nothing else. So a command is run once,
held before each of its file operations, and the files as they are there are copied: the same command goes
on in the copy, and must end with the files that an undisturbed run has, bit for bit. "real processes" are
killed themselves, to show that it is the same. What goes on does so in a process that keeps its compiled
steps, and otherwise runs the command from its flags to its exit code.
"""

from __future__ import annotations

import argparse
import dataclasses
import errno
import hashlib
import io
import json
import multiprocessing
import os
import random
import re
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from tests.campaigns import injector
from tests.campaigns.injector import Child, Operation

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
    from pix2pix_tf.commands.main import main

    return main(list(arguments))


def import_package() -> None:
    """Imports what commands need, so that processes that are forked have it; nothing is computed."""
    os.environ.update(PYTHONDONTWRITEBYTECODE="1", CUDA_VISIBLE_DEVICES="")
    from pix2pix_tf.quiet import import_frameworks

    import_frameworks()
    import keras
    import tensorflow as tf

    # Two parts run at a time, so a second thread for a convolution would only wait for the first.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(2)
    keras.utils.disable_interactive_logging()
    import matplotlib.figure  # noqa: F401

    import pix2pix_tf.data.checking.report
    import pix2pix_tf.data.preview
    import pix2pix_tf.exporting.export
    import pix2pix_tf.training.train  # noqa: F401


def keep_compiled() -> None:
    """Lets this process train again without compiling again: the same networks, as they were at first."""
    from pix2pix_tf.recording import plots
    from pix2pix_tf.training import chief, loop

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
    chief.translators_for = once(chief.translators_for)
    loop.in_memory = once(loop.in_memory)  # the pairs are the same
    plots.plot_metrics = once(plots.plot_metrics, lambda lines, *_: lines[-1]["step"])
    plots.plot_validation = once(plots.plot_validation, lambda lines, *_: lines[-1]["step"])


# ---------------------------------------------------------------- what files say


def digests(folder: Path) -> dict[str, str]:
    """Returns a hash of each file but TensorBoard's, without times and the folder's own name."""
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
    """Holds a training at every operation; it goes on with a finished one of ``begun_with`` steps, if any."""
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
    prepared = Path("data/images/maps")
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


def kill_export(folder: Path, every: int) -> Iterator[Tally]:
    """An export, killed at every operation."""
    going_on = Continuing(folder)
    tally = Tally("export", "killed")
    undisturbed(folder / "reference", going_on)
    seen: list[tuple[str, dict[str, str]]] = []

    def check(copy: Path, operation: Operation) -> None:
        tally.injected += 1
        at = f"{operation.kind} {operation.path}"
        seen.append((at, digests(copy / "out")))
        if tally.injected % 30 == 0 and going_on(export_command(copy)):
            tally.lost.append(at)
        from pix2pix_tf.exporting.export import _clear_leftovers, _refuse_foreign

        for begin in (_refuse_foreign, _clear_leftovers, _refuse_foreign):  # what the next export begins with
            begin(copy / "out")
        left = {path.relative_to(copy / "out") for path in (copy / "out").glob("*")} - {Path(".lock")}
        if (Path("model-1") in left) != (copy / "out/model/1").exists() or any(
            path.name.endswith("-1.unfinished") for path in left
        ):
            tally.lost.append(f"{sorted(map(str, left))} after {at}")

    (folder / "held").mkdir()
    os.environ["TMPDIR"] = str(folder / "held")
    assert at_every_operation(export_command, folder / "held", every, check) == 0
    final = digests(folder / "held" / "out")
    for at, found in seen:
        visible = {name for name in found if not any(part.startswith(".") for part in Path(name).parts)}
        tally.half += [f"{name} at {at}" for name in visible if found[name] != final.get(name)]
    yield tally


def kill_checkpoints(folder: Path, every: int) -> Iterator[Tally]:
    """The saving of checkpoints: a process is killed at an operation, the next one reads and goes on."""
    tally, root = Tally("saving checkpoints, real processes", "SIGKILL"), folder / "root"
    root.mkdir()
    at = every
    while True:
        child, count, where = Child(lambda: save_checkpoints(root / "run"), root, folder / "out.txt"), 0, ""

        def kill(operation: Operation, child: Child = child, at: int = at) -> int:
            nonlocal count, where
            count += 1
            if count == at:
                where = f"{operation.kind} {operation.path}"
                child.send(signal.SIGKILL)
            return 0

        code = child.watch(kill)
        if not where:
            break
        tally.injected += code == -signal.SIGKILL
        at += every
        check = Child(lambda: save_checkpoints(root / "run"), root, folder / "out.txt")
        if check.watch(lambda operation: 0):
            tally.lost.append(where)
        shutil.rmtree(root / "run")
    yield tally


def save_checkpoints(path: Path) -> int:
    """Goes on from a run's last checkpoint to step 5; every tensor of step n is n."""
    import tensorflow as tf

    from pix2pix_tf.runs import RunDirectory
    from pix2pix_tf.runs.checkpoints import CheckpointWriter, read_checkpoint, restore

    run = RunDirectory(path)
    state = {f"weight_{number}": tf.Variable(tf.zeros([64, number + 1])) for number in range(3)}
    for step in run.checkpoint_steps():
        for value in read_checkpoint(run.checkpoint(step), list(state)).values():
            assert (value == step).all(), step
    writer = CheckpointWriter(run, state)
    done = run.latest_step() or 0
    best = run.best()
    assert best is None or best["step"] in run.checkpoint_steps(), best
    if done:
        restore(run.checkpoint(done), state)
        assert (best or {}).get("step", 0) == done - (done + 1) % 2 if done else best is None, (best, done)
    for step in range(done + 1, 6):
        for variable in state.values():
            variable.assign_add(tf.ones_like(variable))
        writer.save(step, {"ssim": float(step)} if step % 2 else None)
    writer.wait()
    assert run.checkpoint_steps() == [4, 5], run.checkpoint_steps()
    assert not list(path.rglob("*.unfinished*"))
    return 0


def kill_processes(folder: Path, every: int) -> Iterator[Tally]:
    """Trainings that are killed, or stopped, each going on with what the one before left."""
    going_on, draw = Continuing(folder), random.Random(2017)
    expected = digests(undisturbed(folder / "reference", going_on))
    for number, name in ((signal.SIGKILL, "SIGKILL"), (signal.SIGTERM, "SIGTERM")):
        tally, root = Tally("training, real processes", name), folder / name
        root.mkdir()
        for _ in range(max(1, 8 // every)):
            tally.injected += _signalled(train_command(root), root, number, draw.randint(20, 70), tally)
            if (root / "run" / "final.png").exists():
                _compare(root, expected, tally)
                shutil.rmtree(root / "run")
        if going_on(train_command(root)):
            tally.lost.append(name)
        else:
            _compare(root, expected, tally)
        yield tally


def _compare(root: Path, expected: Mapping[str, str], tally: Tally) -> None:
    found = digests(root / "run")
    if tally.fault == "SIGTERM":  # what it saved where it stopped is one of the last checkpoints, too
        last = f"checkpoints/step_{STEPS:09d}"
        found, expected = (
            {name: digest for name, digest in each.items() if last in name or "checkpoints/" not in name}
            for each in (found, expected)
        )
    if differ := differences(found, expected):
        tally.wrong.append(f"{differ} in {root.name}")


def _signalled(arguments: list[str], root: Path, number: int, at: int, tally: Tally) -> bool:
    """Runs a command in a process that gets a signal before an operation; returns whether it came to that."""
    output, count = root.parent / "signalled.txt", 0
    output.unlink(missing_ok=True)
    child = Child(lambda: run_command(arguments), root, output)

    def send(operation: Operation) -> int:
        nonlocal count
        count += 1
        if count == at:
            child.send(number)
        return 0

    code = child.watch(send)
    # Before the first step there is nothing to save, and nobody catches SIGTERM.
    expected = (-number,) if number == signal.SIGKILL else (128 + number, -number)
    if count >= at and code not in expected:
        tally.wrong.append(f"exit code {code} at operation {at}: {output.read_text()[-200:]}")
    if number == signal.SIGTERM and "Traceback" in output.read_text():
        tally.wrong.append(f"a traceback at operation {at}")
    return count >= at


# ---------------------------------------------------------------- errors at every operation


class Disturbing:
    """Lets one operation of a child fail; the child says which by making a folder.

    Args:
        marks: the folder of such folders: ``ERROR-NUMBER``, and any other name to disturb nothing more.
        fired: a file that is written when an operation failed, with what it was.
    """

    def __init__(self, marks: Path, fired: Path):
        self._marks, self._fired = str(marks), fired
        self._error = self._left = 0

    def __call__(self, operation: Operation) -> int:
        """Decides on an operation."""
        if os.path.dirname(operation.path) == self._marks:
            error, _, number = os.path.basename(operation.path).partition("-")
            self._error, self._left = int(error), int(number)
            return 0
        self._left -= 1
        if self._left or not self._error:
            return 0
        self._fired.write_text(f"{operation.kind} {operation.path}")
        return self._error


@dataclasses.dataclass(frozen=True)
class Work:
    """A command to be disturbed, and what it makes.

    Args:
        name: for the table.
        command: its flags, below a folder.
        result: the folder of what it makes, below that one.
        facts: what must be equal in it, by file.
        expected: the facts of an undisturbed one.
        half_written: names what is there in part only, after a fault.
        every: which operations to let fail.
    """

    name: str
    command: Callable[[Path], list[str]]
    result: str
    facts: Callable[[Path], Mapping[str, str]]
    expected: Mapping[str, str]
    half_written: Callable[[Path], list[str]]
    every: int


def fail_at_every_operation(folder: Path, prepare: Callable[[], Work]) -> list[Tally]:
    """Runs a command again and again, and lets in each run one operation more succeed before one fails.

    Args:
        folder: where all is.
        prepare: is called in the process that runs the command.
    """
    fired, results = folder / "fired", folder / "results.json"
    root = folder / "watched" / "root"
    (folder / "watched" / "marks").mkdir(parents=True)
    for name in ("pairs", "maps.tar.gz", "reference"):  # where the commands look for them
        (folder / "watched" / name).symlink_to(folder / name)

    def work() -> int:
        job = prepare()
        tallies = [_fail(job, root, fired, number) for number in (errno.ENOSPC, errno.EIO)]
        results.write_text(json.dumps([dataclasses.asdict(each) for each in tallies]))
        return 0

    child = Child(work, folder / "watched", folder / "failing.txt")
    code = child.watch(Disturbing(folder / "watched" / "marks", fired))
    assert code == 0, (folder / "failing.txt").read_text()[-2000:]
    return [Tally(**each) for each in json.loads(results.read_text())]


def _fail(job: Work, root: Path, fired: Path, number: int) -> Tally:
    tally = Tally(job.name, errno.errorcode[number])
    output = fired.with_name("failing.txt")
    at, is_new = job.every, True
    while True:
        fired.unlink(missing_ok=True)
        _mark(root, f"{number}-{at}")
        begin = output.stat().st_size
        code = run_command(job.command(root))
        sys.stderr.flush()
        _mark(root, "0-0")
        said = output.read_bytes()[begin:].decode()
        where = fired.read_text() if fired.exists() else ""
        if where:
            tally.injected += 1
            at += job.every
            tally.half += [f"{name} at {where}" for name in job.half_written(root / job.result)]
        if code == 0:
            found = job.facts(root / job.result)
            # What could not be deleted stays under such a name, and is deleted by the next command.
            found = {name: fact for name, fact in found.items() if ".unfinished" not in name}
            if where:  # as does a checkpoint that could not be given such a name
                found = {k: v for k, v in found.items() if k in job.expected or "checkpoints/" not in k}
            if differ := differences(found, job.expected):
                tally.wrong.append(f"{differ} after {where}")
            shutil.rmtree(root, ignore_errors=True)
            if is_new and not where:
                return tally
            is_new = True
            continue
        is_new = False
        if not where:
            tally.lost.append(f"operation {at}: {said[-300:]}")
            shutil.rmtree(root, ignore_errors=True)
        elif code != 1 or not _is_one_line(said):
            tally.wrong.append(f"exit code {code} after {where}: {said[-300:]}")


def _mark(root: Path, name: str) -> None:
    root.mkdir(exist_ok=True)
    (root.with_name("marks") / name).mkdir(exist_ok=True)


def _is_one_line(said: str) -> bool:
    """Whether a command said what is wrong in one line, besides its progress bar."""
    lines = said.splitlines()
    return sum(line.startswith("pix2pix: error: ") for line in lines) == 1 and "Traceback" not in said


def fail_training(folder: Path, every: int) -> Iterator[Tally]:
    """A training whose operations fail: each second, as there are many, and two errors."""

    def prepare() -> Work:
        keep_compiled()
        assert run_command(train_command(folder / "reference")) == 0
        assert run_command([*train_command(folder / "whole"), "--keep-every", "1"]) == 0
        expected = digests(folder / "reference" / "run")
        whole = [expected, digests(folder / "whole" / "run")]
        return Work(
            "training",
            train_command,
            "run",
            digests,
            expected,
            lambda run: half_written(run, whole),
            2 * every,
        )

    yield from fail_at_every_operation(folder, prepare)


def fail_data(folder: Path, every: int) -> Iterator[Tally]:
    """The preparation of a data set, whose operations fail."""

    def prepare() -> Work:
        assert run_command(data_command(folder / "reference")) == 0
        result = "data/images/maps"
        expected = digests(folder / "reference" / result)

        def half(prepared: Path) -> list[str]:
            return [str(prepared)] if prepared.exists() and digests(prepared) != expected else []

        return Work("preparing a data set", data_command, result, digests, expected, half, every)

    yield from fail_at_every_operation(folder, prepare)


def fail_export(folder: Path, every: int) -> Iterator[Tally]:
    """An export whose operations fail: each twelfth, as an export takes long."""

    def command(root: Path) -> list[str]:
        return [*export_command(root), "--formats", "saved_model"]

    def names(out: Path) -> dict[str, str]:
        # No two SavedModels have the same bytes; what was published before an error is a version, too.
        return {re.sub(r"^(model[-/])\d+", r"\1N", name): "" for name in digests(out)}

    def half(out: Path) -> list[str]:
        is_served, has_report = (out / "model/1").exists(), (out / "model-1").exists()
        return ["a part of version 1"] if is_served != has_report else []

    def prepare() -> Work:
        from pix2pix_tf.exporting import verification

        assert run_command(train_command(folder / "reference")) == 0
        verify, found = verification.verify, []

        def verify_once(artifact: Any, *arguments: Any) -> Any:
            found[:] = found or [verify(artifact, *arguments)]
            return dataclasses.replace(found[0], artifact=artifact)

        verification.verify = verify_once
        (folder / "undisturbed").mkdir()
        assert run_command(command(folder / "undisturbed")) == 0
        expected = names(folder / "undisturbed" / "out")
        return Work("export", command, "out", names, expected, half, 12 * every)

    yield from fail_at_every_operation(folder, prepare)


# ---------------------------------------------------------------- other faults


def damage_checkpoints(folder: Path, every: int) -> Iterator[Tally]:
    """Checkpoints that are cut off or have a flipped bit: the one before is used, or the run refused."""
    going_on, draw = Continuing(folder), random.Random(2017)
    said = folder / "continuing.txt"
    expected = digests(undisturbed(folder / "reference", going_on))
    (undisturbed(folder / "begun", going_on) / "final.png").unlink()  # else it is finished, and nothing read
    root = folder / "damaged"
    for how, harm in (("cut off", _cut), ("a flipped bit", _flip)):
        tally = Tally("the newest checkpoint", how)
        for _ in range(max(1, 12 // every)):
            shutil.rmtree(root, ignore_errors=True)
            shutil.copytree(folder / "begun", root)
            newest = max((root / "run/checkpoints").glob("step_*"))
            what = harm(draw.choice(sorted(newest.glob("state.*"))), draw)
            begin = said.stat().st_size
            tally.injected += 1
            if going_on(train_command(root)):
                tally.lost.append(what)
                continue
            found = digests(root / "run")
            aside = {name for name in found if ".damaged/" in name}
            if not aside or f"{newest}.damaged" not in said.read_bytes()[begin:].decode():
                tally.wrong.append(f"not told: {what}")
            if differ := differences({k: v for k, v in found.items() if k not in aside}, expected):
                tally.wrong.append(f"{differ} after {what}")
        yield tally
    tally = Tally("all checkpoints", "a flipped bit")
    shutil.rmtree(root)
    shutil.copytree(folder / "begun", root)
    for file in root.glob("run/checkpoints/*/state.data*"):
        _flip(file, draw)
    before = digests(root)
    tally.injected += 1
    if going_on(train_command(root)) != 2 or digests(root) != before:
        tally.wrong.append("not refused, or something changed")
    yield tally


def _cut(file: Path, draw: random.Random) -> str:
    content = file.read_bytes()
    length = draw.randrange(len(content))
    file.write_bytes(content[:length])
    return f"{file.name} of {length} bytes"


def _flip(file: Path, draw: random.Random) -> str:
    content = bytearray(file.read_bytes())
    at = draw.randrange(len(content) - 48)  # an index ends with 48 bytes, some of which say nothing
    content[at] ^= 1 << draw.randrange(8)
    file.write_bytes(content)
    return f"{file.name}, byte {at}"


def other_faults(folder: Path, every: int) -> Iterator[Tally]:
    """Whatever else happens: each is a process of its own, and once."""
    going_on = Continuing(folder)
    expected = digests(undisturbed(folder / "reference", going_on))
    root, output = folder / "root", folder / "other.txt"

    def outcome(
        where: str, fault: str, code: int, work: Callable[[], int], decide: Any = lambda operation: 0
    ) -> Tally:
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        output.write_text("")
        tally = Tally(where, fault, injected=1)
        found = Child(work, root, output).watch(decide)
        said = output.read_text()
        if found != code or (code and not _is_one_line(said)):
            tally.wrong.append(f"exit code {found}: {said[-300:]}")
        return tally

    def train(*flags: str) -> Callable[[], int]:
        return lambda: run_command([*train_command(root), *flags])

    def with_a_clock_that_runs_back() -> int:
        start, real = time.time(), time.time
        time.time = lambda: start - 60 * (real() - start)
        return train()()

    tally = outcome("training", "the clock runs back", 0, with_a_clock_that_runs_back)
    _compare(root, expected, tally)
    yield tally

    second: list[int] = []

    def start_second(operation: Operation) -> int:
        if not second and "samples" in operation.path:
            second.append(going_on(train_command(root)))
        return 0

    tally = outcome("training", "a second process in the same run", 0, train(), start_second)
    if second != [2]:
        tally.wrong.append(f"the second one's exit codes: {second}")
    _compare(root, expected, tally)
    yield tally

    for number in (errno.EROFS, errno.EACCES):
        name = f"nothing can be written ({errno.errorcode[number]})"
        yield outcome("training", name, 1, train(), lambda operation, number=number: number)
    yield outcome("training", "losses that stop being finite", 3, train("--l1-weight", "1e39"))

    def without_memory() -> int:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 600 * 2**20,) * 2)
        return train("--image-size", "1024", "--base-filters", "64")()

    yield outcome("training", "little memory", 1, without_memory)

    broken = next((folder / "pairs/train").glob("*.png"))
    broken.write_bytes(broken.read_bytes()[:300])
    tally = outcome("training", "a broken image", 2, train())
    if broken.name not in output.read_text():
        tally.wrong.append("not named")
    yield tally


PARTS: dict[str, Callable[[Path, int], Iterator[Tally]]] = {
    "kill_training": kill_training,
    "kill_longer_training": kill_longer_training,
    "fail_training": fail_training,
    "kill_export": kill_export,
    "kill_checkpoints": kill_checkpoints,
    "kill_processes": kill_processes,
    "kill_data": kill_data,
    "fail_data": fail_data,
    "fail_export": fail_export,
    "damage_checkpoints": damage_checkpoints,
    "other_faults": other_faults,
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
    with ThreadPoolExecutor(2) as lanes:
        parts = lanes.map(lambda name: run_part(name, args.every), args.only)
        tallies = [tally for part in parts for tally in part]
    sys.exit(report(tallies))


def run_part(name: str, every: int) -> list[Tally]:
    """Runs a part in a process of its own."""
    command = [sys.executable, "-m", "tests.campaigns.faults", "--part", name, "--every", str(every)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name} ended with exit code {done.returncode}:\n{done.stderr[-3000:]}")
    return [Tally(**json.loads(line)) for line in done.stdout.splitlines() if line.startswith("{")]


def report(tallies: Sequence[Tally]) -> int:
    """Prints the table, and below it every complaint; returns 1 where there is one."""
    table = Table("what", "fault", "injected", "lost", "wrong", "half written")
    for column in table.columns[2:]:
        column.justify = "right"
    for each in tallies:
        counts = (each.injected, len(each.lost), len(each.wrong), len(each.half))
        table.add_row(each.where, each.fault, *map(str, counts))
    sums = [sum(each.injected for each in tallies)]
    sums += [sum(len(getattr(each, name)) for each in tallies) for name in ("lost", "wrong", "half")]
    table.add_section()
    table.add_row("together", "", *map(str, sums))
    console = Console()
    console.print(table)
    for each in tallies:
        for complaint in (*each.lost, *each.wrong, *each.half):
            console.print(f"{each.where}, {each.fault}: {complaint}", markup=False)
    return int(any(sums[1:]))


if __name__ == "__main__":
    main()
