"""What ``pix2pix train`` calls: prepares, continues or refuses a run, and trains it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from pix2pix_tf import config as configs
from pix2pix_tf.config import TrainConfig
from pix2pix_tf.data.sets import ImageDataset
from pix2pix_tf.data.sources import open_dataset, open_existing
from pix2pix_tf.devices import resolve_precision
from pix2pix_tf.distribution import Cluster, Hosts, joined
from pix2pix_tf.models.registry import config_from_json
from pix2pix_tf.runs import RunDirectory, package_versions
from pix2pix_tf.training.agreement import (
    OF_THE_DATA,
    agreeing,
    changed_rate,
    checkpoint_to_start_from,
    from_anywhere,
    is_finished,
    resolved,
    sources,
)
from pix2pix_tf.training.faults import explaining_framework_errors
from pix2pix_tf.training.loop import Session
from pix2pix_tf.wording import flag


def train(
    config: TrainConfig, say: Callable[[str], None] = print, cluster: Cluster | None = None
) -> RunDirectory:
    """Trains a model, from the start or from where the run directory stands.

    Killed at any instant and called again, it ends with the same weights as if nothing had happened.

    Args:
        config: what to train. Where the run directory holds a run already, it must agree with it in
            everything that decides the weights; the length of the run may change.
        say: is told in a line or two what happens.
        cluster: of several hosts, as `find_cluster` finds it; all of them call this, before anything else is
            done with TensorFlow. The first one alone uses the run directory, and must come to it; the data
            each must have. Where this raises, the process must end: until then the others wait for it.

    Returns:
        The finished run.

    Raises:
        UserError: a setting, the data or the run directory is wrong.
        SystemFault: no space, no network, no permission.
        TrainingDiverged: a loss or a weight is no longer finite; the last good checkpoint is kept.
        Interrupted: SIGTERM or Ctrl-C; everything is saved.
        HostLost: another host is gone, or did not come.
    """
    config = from_anywhere(config)
    at_once = config.optimization.batch_size // config.optimization.accumulate
    with joined(cluster, at_once, _to_agree_on(config)) as hosts, contextlib.ExitStack() as held:
        return _train(config, say, hosts, held)


def dry_run(config: TrainConfig) -> TrainConfig:
    """Returns what a configuration resolves to; checks what can be without training or downloading."""
    run = RunDirectory(config.run_dir)
    run.fetch()
    config = _agreed(from_anywhere(config), run)
    dataset = open_existing(config)
    if dataset is not None:
        dataset = _reducing(dataset)  # on how many devices isn't known here
        config = resolved(agreeing(config, run, dataset), dataset)
        if run.latest_step() is not None:
            run.refuse_other_images(dataset.identity())
    precision = resolve_precision(config.optimization.precision)
    return configs.replace(config, precision=precision, run_dir=config.run_dir)


def _reducing(dataset: ImageDataset) -> ImageDataset:
    """Notes that gradients are summed over devices."""
    return dataclasses.replace(dataset, used=dataset.used | {"all_reduce"})


def _agreed(config: TrainConfig, run: RunDirectory) -> TrainConfig:
    """Returns what is to be trained, where that can be: from another run's weights only at the start."""
    agreed = agreeing(config, run)
    if run.latest_step() is None:
        sources(agreed)  # are there
        if config.record.init_from is not None:
            checkpoint_to_start_from(config.record.init_from, agreed)
    return agreed


def _train(
    config: TrainConfig, say: Callable[[str], None], hosts: Hosts, held: contextlib.ExitStack
) -> RunDirectory:
    run = RunDirectory(config.run_dir, writing=True)

    def agree() -> dict[str, Any]:
        seen = RunDirectory(config.run_dir)
        seen.fetch()
        agreed = _agreed(config, seen)
        finished = seen.latest_step() if is_finished(seen, agreed) else None
        return {"config": configs.to_json(agreed), "finished": finished}

    def start() -> dict[str, Any]:
        held.enter_context(run.locked())
        run.fetch()
        agreed = agreeing(config, run, dataset)  # again: another process may have trained here meanwhile
        if run.latest_step() is not None:
            run.refuse_other_images(identity)
        return configs.to_json(resolved(agreed, dataset))

    def describe() -> None:
        if session.first_step:
            line = changed_rate(run.read_config(), config, session.first_step, dataset.count("train"))
            if line is not None:
                say(line)
        run.write_config(config, identity)
        if run.latest_step() is None:
            seen = [dataset.digests("train"), *(each.training_images() for each in sources(config))]
            run.write_training_images(np.unique(np.concatenate(seen)))
        session.keep_start()  # after the settings: a checkpoint without them is no run

    # Before the data are opened, so that a contradiction costs no download and leaves no directory.
    own = {name: getattr(config.data, name) for name in _OWN}
    agreed = hosts.chief_decides(agree)
    config = configs.replace(config_from_json(agreed["config"]), **own)
    if agreed["finished"] is not None:
        say(f"this run is finished already: all {agreed['finished']} steps are done")
        return RunDirectory(config.run_dir)

    dataset = open_dataset(config)
    if hosts.strategy.num_replicas_in_sync > 1:
        dataset = _reducing(dataset)
    with explaining_framework_errors():
        identity = dataset.identity()
        hosts.refuse_difference("the training images", identity)
        config = configs.replace(config_from_json(hosts.chief_decides(start)), **own)
        session = Session(config, run, dataset, hosts)
        hosts.chief_decides(describe)
        say(session.description())
        for name, side in zip(
            ("A", "B") if dataset.kind == "unpaired" else ("input", "target"), dataset.sides, strict=False
        ):
            if side.values is not None:
                lacking = "" if side.missing is None else "; missing pixels count nowhere"
                say(f"{name}: values from {side.values[0]:.6g} to {side.values[1]:.6g}{lacking}")
        for note in dataset.notes:
            say(note)
        session.run()
    return run


_OWN = ("data_dir", "archive", "mirror_url")
"""What each host may have in its own place."""
_CHIEFS = ("run_dir", "dataset", "init_from", "teacher", "precision", *OF_THE_DATA)
"""What the first host decides, which alone need know how the run was started."""


def _to_agree_on(config: TrainConfig) -> dict[str, Any]:
    """What hosts must have alike, by what messages call it."""
    settings = {name: value for group in configs.to_json(config).values() for name, value in group.items()}
    return {
        **{flag(name): each for name, each in settings.items() if name not in (*_OWN, *_CHIEFS)},
        "the number of GPUs": len(tf.config.list_physical_devices("GPU")),
        **{f"the version of {package}": version for package, version in package_versions().items()},
    }
