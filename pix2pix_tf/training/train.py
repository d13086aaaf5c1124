"""``train()``: starts, continues or refuses a run, and trains it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from pix2pix_tf import config as configs
from pix2pix_tf.config import TrainConfig
from pix2pix_tf.data.dataset import ImageDataset
from pix2pix_tf.data.sources import open_dataset, open_existing
from pix2pix_tf.devices import resolve_precision
from pix2pix_tf.distribution import Cluster, joined
from pix2pix_tf.models.registry import config_from_json
from pix2pix_tf.runs import RunDirectory, package_versions
from pix2pix_tf.training.framework_errors import framework_errors_explained
from pix2pix_tf.training.loop import Session
from pix2pix_tf.training.resume import (
    FROM_DATA,
    completed_config,
    initial_checkpoint,
    is_finished,
    requested_config,
    schedule_change,
    source_runs,
    with_absolute_paths,
)
from pix2pix_tf.wording import flag

# Settings that each host may have in its own way.
_LOCAL = ("data_dir", "archive", "mirror_url")
# Settings that only the first host decides.
_OF_CHIEF = ("run_dir", "dataset", "init_from", "teacher", "precision", *FROM_DATA)


def train(
    config: TrainConfig, report: Callable[[str], None] = print, cluster: Cluster | None = None
) -> RunDirectory:
    """Trains a model, from the start or from the newest checkpoint in the run directory.

    Killed at any instant and called again, it ends with the weights of an undisturbed run.

    Args:
        config: what to train. If the run directory holds a run, ``config`` must agree with it in everything
            that decides the weights; the length of the run may change.
        report: called with each line of information.
        cluster: of several hosts, from `find_cluster`. All of them call ``train`` once, before anything else
            is done with TensorFlow. Only the first one uses the run directory; each needs the data. If this
            raises, the process must exit: the other hosts wait for it until then.

    Returns:
        The finished run.

    Raises:
        UserError: a setting, the data or the run directory is wrong.
        SystemFault: no space, no network, no permission.
        TrainingDiverged: a loss or a weight is no longer finite; the last good checkpoint remains.
        Interrupted: SIGTERM or Ctrl-C; everything is saved.
        HostLost: another host has stopped or did not start.
    """
    config = with_absolute_paths(config)
    at_once = config.optimization.batch_size // config.optimization.accumulate
    with joined(cluster, at_once, _facts_to_compare(config)) as hosts, contextlib.ExitStack() as stack:
        # Before the data are opened, so that a contradiction costs no download and creates no directory.
        plain, done = hosts.chief_decides(lambda: _requested(config, RunDirectory(config.run_dir)))
        config = _with_local_settings(plain, config)
        if done is not None:
            report(f"this run is finished already: all {done} steps are done")
            return RunDirectory(config.run_dir)

        run = RunDirectory(config.run_dir, writing=True)
        dataset = open_dataset(config)
        if hosts.strategy.num_replicas_in_sync > 1:
            dataset = dataset.using("all_reduce")
        with framework_errors_explained():
            identity = dataset.identity()
            hosts.refuse_difference("the training images", identity)

            def lock_and_complete() -> dict[str, Any]:
                stack.enter_context(run.locked())
                run.fetch()
                return configs.to_json(_completed(config, run, dataset, identity))

            config = _with_local_settings(hosts.chief_decides(lock_and_complete), config)
            session = Session(config, run, dataset, hosts)

            def record_start() -> list[str]:
                notes = _record_start(config, run, dataset, identity, session.first_step)
                session.save_start()  # after config.json: a checkpoint without it is no run
                return notes

            for line in hosts.chief_decides(record_start):
                report(line)
            for line in session.description():
                report(line)
            session.run()
    return run


def dry_run(config: TrainConfig) -> TrainConfig:
    """Returns what a config resolves to; checks what can be checked without training or downloading."""
    run = RunDirectory(config.run_dir)
    config = config_from_json(_requested(with_absolute_paths(config), run)[0])
    dataset = open_existing(config)
    if dataset is not None:
        dataset = dataset.using("all_reduce")  # the number of devices isn't known here
        config = _completed(config, run, dataset, dataset.identity())
    precision = resolve_precision(config.optimization.precision)
    return configs.replace(config, precision=precision, run_dir=config.run_dir)


def _requested(config: TrainConfig, run: RunDirectory) -> tuple[dict[str, Any], int | None]:
    """Returns the config as the run allows it, as JSON, and the number of steps if the run is finished."""
    run.fetch()
    config = requested_config(config, run)
    if run.latest_step() is None:
        source_runs(config)  # raises if one is missing
        if config.record.init_from is not None:
            initial_checkpoint(config.record.init_from, config)  # raises if its networks differ
    return configs.to_json(config), run.latest_step() if is_finished(run, config) else None


def _completed(
    config: TrainConfig, run: RunDirectory, dataset: ImageDataset, identity: Mapping[str, Any]
) -> TrainConfig:
    """Returns the config with everything decided that depends on the data."""
    config = requested_config(config, run, dataset)  # again: another process may have trained meanwhile
    if run.latest_step() is not None:
        run.refuse_other_images(identity)
    return completed_config(config, dataset)


def _record_start(
    config: TrainConfig,
    run: RunDirectory,
    dataset: ImageDataset,
    identity: Mapping[str, Any],
    first_step: int,
) -> list[str]:
    """Writes what the run is trained with; returns lines to report."""
    line = None
    if first_step:
        line = schedule_change(run.read_config(), config, first_step, dataset.count("train"))
    run.write_config(config, identity)
    if run.latest_step() is None:
        digests = [dataset.digests("train"), *(each.training_images() for each in source_runs(config))]
        run.write_training_images(np.unique(np.concatenate(digests)))
    return [] if line is None else [line]


def _with_local_settings(plain: dict[str, Any], own: TrainConfig) -> TrainConfig:
    """Returns the first host's config with the settings that each host has in its own way."""
    local = {name: getattr(own.data, name) for name in _LOCAL}
    return configs.replace(config_from_json(plain), **local)


def _facts_to_compare(config: TrainConfig) -> dict[str, Any]:
    """Returns what must be equal on all hosts, by its name in messages."""
    settings = {name: value for group in configs.to_json(config).values() for name, value in group.items()}
    free = (*_LOCAL, *_OF_CHIEF)
    return {
        **{flag(name): value for name, value in settings.items() if name not in free},
        "the number of GPUs": len(tf.config.list_physical_devices("GPU")),
        **{f"the version of {package}": version for package, version in package_versions().items()},
    }
