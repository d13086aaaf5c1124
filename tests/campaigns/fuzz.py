"""Files that are damaged, foreign or made to do harm, through every way into the package.

    python -m tests.campaigns.fuzz [--count 6000] [--seed 0] [--only NAME ...] [--keep FOLDER]

prints a table, and leaves with 1 where a fault was found. An input is decided by the seed, its way and its
number; ``--keep`` stores those that show a fault.

Each must be accepted, or refused by one error of `pix2pix_tf.errors`, of one line that names the file. A
fault is any other exception, a process that dies or needs more than 5 seconds of its processors (or a minute
altogether), more than 1 GB of memory above what the process had before, and code from a file that is executed
(`mutations.CANARY`). Inputs go through processes that live on; who dies is replaced. Linux only.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import multiprocessing
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from tests.campaigns import ways
from tests.campaigns.mutations import CANARY
from tests.campaigns.ways import Way

MOST_SECONDS = 5.0
MOST_WAITING = 60.0  # other processes may have the processors
MOST_MEMORY = 2**30
MOST_LETTERS = 1000  # of a message
_ADDRESS_SPACE = 6 * 2**30  # beyond the process' own: what asks for more gets MemoryError, not the machine


@dataclasses.dataclass
class Outcome:
    """What became of one input.

    Args:
        kind: of the input.
        change: what was done to it.
        problem: the fault; empty where there is none.
        accepted: it was no error.
        memory: the peak in bytes above what there was before.
        seconds: of the processors.
    """

    kind: str
    change: str
    problem: str = ""
    accepted: bool = False
    memory: int = 0
    seconds: float = 0.0


# ---------------------------------------------------------------- the process that tries


class Worker:
    """A process that tries inputs of one way, one after the other.

    Args:
        way: which way.
        folder: for its files, which it alone uses.
        seed: of the campaign.
    """

    def __init__(self, way: Way, folder: Path, seed: int):
        self._ours, theirs = multiprocessing.Pipe()
        fork = multiprocessing.get_context("fork")  # the frameworks are imported already
        self._process = fork.Process(target=_work, args=(self._ours, theirs, way, folder, seed), daemon=True)
        self._process.start()
        theirs.close()
        self._own = psutil.Process(self._process.pid)
        self._ours.recv()  # it is ready

    def __call__(self, number: int) -> Outcome:
        """Tries an input; where that never comes back, this worker is gone."""
        outcome = Outcome("", "")
        try:
            self._ours.send(number)
            outcome.kind, outcome.change = self._ours.recv()
            outcome = self._answer() or dataclasses.replace(outcome, problem="hang")
        except (EOFError, ConnectionError):
            self._process.join()
            outcome.problem = f"crash (exit code {self._process.exitcode})"
        if outcome.problem.startswith(("hang", "crash")):
            self.stop()
        return outcome

    def _answer(self) -> Outcome | None:
        start, used = time.monotonic(), _processor_seconds(self._own)
        while not self._ours.poll(0.5):
            waited = time.monotonic() - start
            with contextlib.suppress(psutil.NoSuchProcess):
                if waited > MOST_WAITING or (
                    waited > MOST_SECONDS and _processor_seconds(self._own) - used > MOST_SECONDS
                ):
                    return None
        return self._ours.recv()

    @property
    def is_alive(self) -> bool:
        """Whether it can try another input."""
        return self._process.is_alive()

    def stop(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.join()


def _processor_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _work(parents: Any, channel: Any, way: Way, folder: Path, seed: int) -> None:
    parents.close()  # so that its end is noticed here
    output = os.open(folder / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(folder)
    make = way.prepare(folder)
    mapped = psutil.Process().memory_info().vms
    resource.setrlimit(resource.RLIMIT_AS, (mapped + _ADDRESS_SPACE, mapped + _ADDRESS_SPACE))
    channel.send("ready")
    while True:
        with contextlib.suppress(EOFError):
            number = channel.recv()
            draw = random.Random(f"{seed} {way.name} {number}")
            trial = make(draw)
            channel.send((trial.kind, trial.change))
            channel.send(tried(trial))
            continue
        return


def tried(trial: ways.Trial) -> Outcome:
    """Tries one input in this process."""
    own = psutil.Process()
    outcome = Outcome(trial.kind, trial.change)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before, used = own.memory_info().rss, _processor_seconds(own)
    try:
        trial.run()
        outcome.accepted = True
    except trial.refusals as error:
        outcome.problem = _unclear(str(error), trial.named)
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        told = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        outcome.problem = f"{told} at {Path(place.filename).name}:{place.lineno}"
    outcome.seconds = _processor_seconds(own) - used
    outcome.memory = max(0, _peak() - before)
    if Path(CANARY).exists():
        Path(CANARY).rmdir()
        outcome.problem = "code was executed"
    elif not outcome.problem and outcome.memory > MOST_MEMORY:
        outcome.problem = "more than 1 GB"
    return outcome


def _unclear(message: str, named: str) -> str:
    """What is wrong with a message; nothing where it is one line that names the file."""
    if "\n" in message.strip():
        return f"several lines: {message[:200]!r}"
    if len(message) > MOST_LETTERS:
        return f"{len(message)} letters: {message[:200]}"
    return "" if named in message else f"unnamed: {message[:200]}"


def _peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    [kilobytes] = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return int(kilobytes) * 1024


# ---------------------------------------------------------------- the campaign


def _apart(function: Callable[[Path], None], *arguments: Path) -> None:
    """Calls a function in a process of its own: processes can't be forked from one that has computed."""
    process = multiprocessing.get_context("fork").Process(target=function, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit("the models could not be made")


def outcomes(way: Way, count: int, seed: int, folder: Path, keep: Path | None) -> Iterator[Outcome]:
    """Tries ``count`` inputs of one way.

    Args:
        way: which way.
        count: how many.
        seed: of the campaign.
        folder: for files, emptied for each way.
        keep: where what shows a fault is stored.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    worker = Worker(way, folder, seed)
    for number in range(count):
        if not worker.is_alive:
            worker = Worker(way, folder, seed)
        outcome = worker(number)
        if outcome.problem and keep is not None:
            shutil.copytree(folder, keep / f"{way.name} {number}".replace("/", "-"), dirs_exist_ok=True)
        yield outcome
    worker.stop()


def table(rows: dict[tuple[str, str], list[Outcome]]) -> Table:
    """Returns what was tried by way and kind."""
    titled = Table(title="mutated inputs")
    for column in ("way in", "kind"):
        titled.add_column(column)
    for column in ("inputs", "accepted", "refused", "faults", "longest", "most memory"):
        titled.add_column(column, justify="right")
    everything = [outcome for each in rows.values() for outcome in each]
    for (way, kind), each in [*rows.items(), (("all", ""), everything)]:
        accepted = sum(outcome.accepted and not outcome.problem for outcome in each)
        faults = sum(bool(outcome.problem) for outcome in each)
        titled.add_row(
            way,
            kind,
            str(len(each)),
            str(accepted),
            str(len(each) - accepted - faults),
            f"[red]{faults}[/]" if faults else "0",
            f"{max((outcome.seconds for outcome in each), default=0):.1f} s",
            f"{max((outcome.memory for outcome in each), default=0) / 2**20:.0f} MB",
        )
    return titled


def main() -> int:
    """Runs the campaign; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=6000, help="inputs altogether")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=[way.name for way in ways.WAYS])
    parser.add_argument("--keep", type=Path, help="folder for the inputs that show a fault")
    args = parser.parse_args()

    chosen = [way for way in ways.WAYS if not args.only or way.name in args.only]
    share = args.count / sum(way.share for way in chosen)
    rows: dict[tuple[str, str], list[Outcome]] = collections.defaultdict(list)
    with tempfile.TemporaryDirectory() as temporary:
        ways.import_package()
        if any(way.needs_models for way in chosen):
            _apart(ways.make_models, Path(temporary) / "models")
        for way in chosen:
            count = round(way.share * share)
            for outcome in outcomes(way, count, args.seed, Path(temporary) / "fuzz", args.keep):
                kind = outcome.kind.partition(" ")[0] if way.by_kind else ""
                rows[way.name, kind].append(outcome)
                if outcome.problem:
                    print(f"{way.name}, {outcome.kind}, {outcome.change}: {outcome.problem}", flush=True)
    Console().print(table(rows))
    return int(any(outcome.problem for each in rows.values() for outcome in each))


if __name__ == "__main__":
    sys.exit(main())
