"""A run that is read: looked up once by a command, and passed on."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

from pix2pix_tf.config import TrainConfig
from pix2pix_tf.errors import ConfigError, RunError
from pix2pix_tf.runs.directory import RunDirectory


@dataclasses.dataclass(frozen=True)
class OpenedRun:
    """A run and the checkpoint that a MODEL names: RUN is the newest one, RUN@4000 or RUN@best another.

    Args:
        name: as the user spelled it.
        directory: the run's directory.
        named_step: of the checkpoint; ``None`` if the name has none.
    """

    name: str
    directory: RunDirectory
    named_step: int | None = None

    def __str__(self) -> str:
        return self.name

    @functools.cached_property
    def config(self) -> TrainConfig:
        """What the run was started with; raises `RunError` if it can't be read."""
        return self.directory.read_config()

    def step(self, step: int | None = None) -> int:
        """Returns the step of the checkpoint: the named one, else ``step``, else the newest."""
        if step is not None and self.named_step is not None:
            raise ConfigError(f"--step {step}: {self.name} names a checkpoint already")
        return self.directory.existing_step(self.named_step if step is None else step)


def find_run(model: str | Path) -> OpenedRun | None:
    """Returns the run that a MODEL names, fetched from an object store; ``None`` if it is no run."""
    directory = _existing(model)
    if directory is not None:
        return OpenedRun(str(model), directory)
    place, at, which = str(model).rpartition("@")
    directory = _existing(place) if at else None
    if directory is None:
        return None
    if which == "best":
        best = directory.best()
        if best is None:
            raise RunError(f"{directory.place} has no best checkpoint: its training measured none")
        return OpenedRun(str(model), directory, int(best["step"]))
    if not which.isdecimal():
        raise RunError(f"{model}: after @ comes a step or 'best'")
    return OpenedRun(str(model), directory, int(which))


def open_run(model: str | Path) -> OpenedRun:
    """Returns the run that a MODEL names; raises `RunError` if it is none or can't be read."""
    run = find_run(model) or OpenedRun(str(model), RunDirectory(Path(model)))
    _ = run.config
    return run


def _existing(path: str | Path) -> RunDirectory | None:
    directory = RunDirectory(Path(path))
    directory.fetch()
    return directory if directory.exists() else None
