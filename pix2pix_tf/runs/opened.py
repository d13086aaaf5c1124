"""Opens an existing run and one of its checkpoints."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pix2pix_tf import config as configs
from pix2pix_tf.config import TrainConfig
from pix2pix_tf.errors import ConfigError, RunError
from pix2pix_tf.runs.directory import RunDirectory
from pix2pix_tf.wording import quoted


@dataclasses.dataclass(frozen=True)
class OpenedRun:
    """A run and the checkpoint that a MODEL argument names: RUN (the newest), RUN@4000 or RUN@best.

    Args:
        name: the argument as given by the user.
        directory: the run's directory.
        config: the config of the run.
        named_step: the step of the named checkpoint, or ``None`` for the newest.
    """

    name: str
    directory: RunDirectory
    config: TrainConfig
    named_step: int | None = None

    def __str__(self) -> str:
        return self.name

    def step(self, step: int | None = None) -> int:
        """Returns the step of the checkpoint: the named one, else ``step``, else the newest."""
        if step is not None and self.named_step is not None:
            raise ConfigError(f"--step {step}: {self.name} already names a checkpoint; remove one of them")
        place, steps = self.directory.place, self.directory.checkpoint_steps()
        if not steps:
            raise RunError(
                f"{place} has no checkpoint yet; pix2pix train --run-dir {quoted(place)} continues, and "
                "Ctrl-C saves a checkpoint at once"
            )
        found = next(each for each in (self.named_step, step, steps[-1]) if each is not None)
        if found not in steps:
            raise RunError(f"{place} has no checkpoint of step {found}; it has {', '.join(map(str, steps))}")
        return found

    def checkpoint(self, step: int | None = None) -> Path:
        """Returns the path of the checkpoint of :meth:`step`."""
        return self.directory.checkpoint(self.step(step))

    def at(self, step: int | None = None) -> OpenedRun:
        """Returns the run at the checkpoint of :meth:`step`, even if training saves newer ones meanwhile."""
        return dataclasses.replace(self, named_step=self.step(step))

    @property
    def records_direction(self) -> bool:
        """Whether the config has the direction of training; the file of an imported run doesn't record it."""
        return self.directory.imported() != {"direction": None}

    def config_for(self, direction: str | None) -> TrainConfig:
        """Returns the config, with another direction if the run is imported."""
        if direction and self.directory.imported():
            return configs.replace(self.config, direction=direction)
        return self.config


def find_run(model: str | Path) -> OpenedRun | None:
    """Returns the run that a MODEL argument names, or ``None``; runs in object stores are fetched.

    Raises `RunError` if the run is damaged or has no such checkpoint.
    """
    directory = _existing(model)
    if directory is not None:
        return OpenedRun(str(model), directory, directory.read_config())
    place, at, which = str(model).rpartition("@")
    directory = _existing(place) if at else None
    if directory is None:
        return None
    if which == "best":
        best = directory.best()
        if best is None:
            raise RunError(f"{directory.place} has no best checkpoint: none was validated")
        which = str(best["step"])
    if not which.isdecimal():
        if RunDirectory(Path(model)).path.exists():
            return None  # a model or outputs beside the run
        raise RunError(f"{model}: give a step or 'best' after @")
    return OpenedRun(str(model), directory, directory.read_config(), int(which))


def open_run(model: str | Path) -> OpenedRun:
    """Returns the run that a MODEL argument names; raises `RunError` if there is none or it is damaged."""
    directory = RunDirectory(Path(model))
    # Without a run, `read_config` raises the reason.
    return find_run(model) or OpenedRun(str(model), directory, directory.read_config())


def _existing(path: str | Path) -> RunDirectory | None:
    directory = RunDirectory(Path(path))
    directory.fetch()
    return directory if directory.exists() else None
