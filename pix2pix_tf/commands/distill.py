"""``pix2pix distill``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pix2pix_tf import config as configs
from pix2pix_tf.commands.options import HELP_FLAGS
from pix2pix_tf.commands.parsing import parse
from pix2pix_tf.commands.train import TrainArgs, early, refuse_unread_flags, run_training, with_length
from pix2pix_tf.config import TrainConfig
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.models.distilled import StudentSettings, student_defaults, student_directory
from pix2pix_tf.models.registry import defaults
from pix2pix_tf.storage import absolute
from pix2pix_tf.validation import COMMON
from pix2pix_tf.wording import quoted


@dataclasses.dataclass(frozen=True)
class DistillArgs(TrainArgs):
    """Trains a small student of a run, for phones and browsers.

    The same command again resumes it. RUN is the teacher's run directory or one of its checkpoints; all
    settings are the teacher's by default.

    Examples:
      pix2pix distill runs/facades
      pix2pix distill runs/facades@best --base-filters 8 --run-dir runs/facades-tiny
    """

    inputs_only: Annotated[bool, COMMON] = False
    """Train only on the teacher's outputs, without targets: --dataset can be a folder of input images.
    Always on if the teacher was not trained on pairs."""


OPTIONS = DistillArgs(student_defaults(defaults(), Path("RUN")))


def run(arguments: list[str]) -> int:
    return run_training(distill_args(arguments))


def distill_args(arguments: Sequence[str]) -> DistillArgs:
    """Parses the flags of ``pix2pix distill``; the defaults are the teacher's settings."""
    if not set(arguments).isdisjoint(HELP_FLAGS) and arguments[0].startswith("-"):
        return parse(DistillArgs, "distill RUN", arguments, OPTIONS)
    if not arguments or arguments[0].startswith("-"):
        raise ConfigError("RUN is missing; give the teacher's run first: pix2pix distill RUN")
    run, *flags = arguments
    given = early(flags, "--model", "--recipe", "--teacher", "--direction", "--run-dir")
    for name in ("--model", "--recipe", "--teacher"):
        if given[name] is not None:
            raise ConfigError(f"{name} has no effect, because RUN, the teacher, determines it; leave it out")
    inputs_only = "--inputs-only" in flags or "--inputs_only" in flags
    student = with_length(_student_defaults(Path(run), inputs_only, given), flags)
    args = parse(DistillArgs, "distill RUN", flags, DistillArgs(student))
    refuse_unread_flags(args.config, flags)
    return args


def _student_defaults(teacher: Path, inputs_only: bool, given: dict[str, str | None]) -> TrainConfig:
    from pix2pix_tf.runs import RunDirectory, open_run

    place = Path(given["--run-dir"] or student_directory(teacher))
    directory = RunDirectory(place)
    directory.fetch("config.json")
    if directory.exists():  # resuming doesn't need the teacher
        stored = directory.read_config()
        before = stored.model.teacher if isinstance(stored.model, StudentSettings) else None
        if before is None or absolute(before) != absolute(teacher):
            whose = "is not a student" if before is None else f"has the teacher {quoted(before)}"
            raise ConfigError(
                f"--run-dir {quoted(directory.place)}: the existing run {whose}; choose another directory"
            )
        if inputs_only and stored.model.data == "pairs":
            raise ConfigError(
                f"--inputs-only has no effect on the existing run {quoted(directory.place)}; leave it out"
            )
        return configs.replace(stored, run_dir=place)
    directions: dict[str | None, configs.Direction] = {"AtoB": "AtoB", "BtoA": "BtoA"}
    direction = directions.get(given["--direction"])
    run = open_run(teacher)
    run.step()  # raises if it has no checkpoint
    return student_defaults(run.config, teacher, direction, inputs_only)
