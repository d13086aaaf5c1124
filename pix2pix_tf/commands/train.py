"""``pix2pix train``."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from pix2pix_tf import config as configs
from pix2pix_tf.commands.parsing import parse, start_frameworks
from pix2pix_tf.commands.reporting import report_error
from pix2pix_tf.config import Recipe, TrainConfig
from pix2pix_tf.effects import refuse_unread
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.models.registry import defaults, preset
from pix2pix_tf.validation import COMMON
from pix2pix_tf.wording import quoted

if TYPE_CHECKING:
    from pix2pix_tf.runs import RunDirectory


@dataclasses.dataclass(frozen=True)
class TrainArgs:
    """Trains a model; the same command again resumes the run.

    Options and defaults depend on --model and --dataset, or on the resumed run.

    Examples:
      pix2pix train --dataset facades
      pix2pix train --dataset my_pairs --direction BtoA --epochs 100
    """

    config: Annotated[TrainConfig, tyro.conf.arg(name="")]
    dry_run: Annotated[bool, COMMON] = False
    """Check the settings and local data, print the complete config as JSON, and stop."""
    hosts: str | None = None
    """Addresses of all hosts, such as node1:2222,node2:2222; the first host writes the run. Not needed with
    TF_CONFIG or srun."""
    host_index: int | None = None
    """Index of this host, from 0."""


OPTIONS = TrainArgs(defaults())


def run(arguments: list[str]) -> int:
    return run_training(train_args(arguments))


def run_training(args: TrainArgs) -> int:
    start_frameworks()
    from pix2pix_tf.distribution import find_cluster
    from pix2pix_tf.training.train import dry_run, train

    cluster = find_cluster(args.hosts.split(",") if args.hosts else (), args.host_index)
    if args.dry_run:
        print(json.dumps(configs.to_json(dry_run(args.config)), indent=2, ensure_ascii=False))
        return 0
    try:
        run = train(args.config, print, cluster)
    except BaseException as error:
        if cluster is None:
            raise
        # Exits immediately, because TensorFlow's shutdown would wait for the other hosts.
        code = report_error(error, "train")
        sys.stderr.flush()
        os._exit(code)
    if cluster is None or cluster.index == 0:
        print(_what_next(run))
    return 0


def train_args(arguments: Sequence[str]) -> TrainArgs:
    """Parses the flags. Defaults come from the resumed run, or else from the data set's preset."""
    default = with_length(_train_defaults(arguments), arguments)
    args = parse(TrainArgs, "train", arguments, TrainArgs(default))
    refuse_unread_flags(args.config, arguments)
    return args


def refuse_unread_flags(config: TrainConfig, arguments: Sequence[str]) -> None:
    """Raises `ConfigError` if a given flag has no effect, also if its value is the default."""
    flags = (each.partition("=")[0] for each in arguments if each.startswith("--"))
    named = {each.removeprefix("--").replace("-", "_").removeprefix("no_") for each in flags}
    refuse_unread(config, config, named=named)


def early(arguments: Sequence[str], *names: str) -> dict[str, str | None]:
    """Reads flags that determine the defaults of others; ``None`` if not given."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name in names:
        parser.add_argument(name, name.replace("-", "_").replace("__", "--", 1), nargs="?", dest=name)
    return vars(parser.parse_known_args(list(arguments))[0])


def with_length(default: TrainConfig, arguments: Sequence[str]) -> TrainConfig:
    """Switches the default length between steps and epochs, as given in the arguments."""
    given = early(arguments, "--steps", "--epochs")
    if given["--steps"] is not None and given["--epochs"] is not None:
        raise ConfigError("--steps and --epochs both set the length of the run; give only one")
    if given["--steps"] is not None:
        return configs.replace(default, epochs=None, steps=1)
    return default if given["--epochs"] is None else configs.replace(default, steps=None, epochs=1.0)


def _train_defaults(arguments: Sequence[str]) -> TrainConfig:
    from pix2pix_tf.runs import RunDirectory

    names = ("--model", "--recipe", "--dataset", "--task", "--run-dir")
    model, recipe, dataset, task, run_dir = early(arguments, *names).values()
    known: Recipe = "paper" if recipe == "paper" else "default"  # the parser rejects others
    asked = preset(dataset or "procedural", model or configs.DEFAULT_MODEL, known)
    if task in typing.get_args(configs.TaskName):
        asked = configs.replace(asked, task=task)
    run = RunDirectory(Path(run_dir) if run_dir is not None else asked.run_dir)
    run.fetch("config.json")
    if not run.exists():
        return asked
    stored = run.read_config()
    fixed = ((model, stored.model.model), (recipe, stored.model.recipe), (task, stored.data.task))
    if any(given not in (None, before) for given, before in fixed):
        return asked  # resuming reports the differences
    # Resumes a copied or moved run in its new location.
    return configs.replace(stored, run_dir=Path(run_dir) if run_dir is not None else None)


def _what_next(run: RunDirectory) -> str:
    from pix2pix_tf.models.registry import model_for

    place = quoted(run.place)
    is_validated = run.validation_file.is_file() and run.validation_file.stat().st_size > 0
    generators = model_for(run.read_config()).published_generators()
    hints = [("see the losses", f"tensorboard --logdir {quoted(run.path)}")]
    for name, generator in generators.items():
        inputs = "" if generator.noise else " IMAGE_OR_FOLDER"
        direction = f" --direction {name}" if len(generators) > 1 else ""
        hints.append(("create images", f"pix2pix predict {place}{inputs}{direction} --out outputs"))
    hints += [("evaluate", f"pix2pix evaluate {place}")] if is_validated else []
    hints += [
        ("train for longer", f"pix2pix train --run-dir {place} --steps {2 * (run.latest_step() or 0)}"),
        ("start another run", "the same command with another --run-dir"),
    ]
    shown = f"{run.final_grid} shows outputs of the generator{' for held-out pairs' if is_validated else ''}"
    return "\n".join((shown, *(f"{f'To {aim}:':<22}{command}" for aim, command in hints)))
