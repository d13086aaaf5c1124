"""``train()``: starts, continues or refuses a run, and trains it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from pix2pix_tf import config as configs
from pix2pix_tf.config import TrainConfig
from pix2pix_tf.data.sources import open_dataset, open_existing
from pix2pix_tf.devices import resolve_precision
from pix2pix_tf.distribution import Cluster, joined
from pix2pix_tf.recording import Sink
from pix2pix_tf.runs import RunDirectory, package_versions
from pix2pix_tf.training.framework_errors import framework_errors_explained
from pix2pix_tf.training.loop import Session
from pix2pix_tf.training.start import FROM_DATA, LOCAL, Start, complete, prepare
from pix2pix_tf.wording import flag

# Settings that only the first host decides.
_OF_CHIEF = ("run_dir", "dataset", "init_from", "teacher", "precision", *FROM_DATA)


def train(
    config: TrainConfig,
    report: Callable[[str], None] = print,
    cluster: Cluster | None = None,
    sinks: Sequence[Sink] = (),
) -> RunDirectory:
    """Trains a model, from the start or from the newest checkpoint in the run directory.

    Killed at any instant and called again on the same machine, it ends with the weights of an undisturbed
    run.

    Args:
        config: what to train. If the run directory holds a run, ``config`` must agree with it in everything
            that decides the weights; the length of the run may change.
        report: called with each line of information.
        cluster: the hosts that train together, from ``pix2pix_tf.distribution.find_cluster``. Each host calls
            ``train`` once, before it uses TensorFlow. Only the first host uses the run directory; each needs
            the data. If ``train`` raises, the process must exit: the other hosts wait for it until then.
        sinks: objects that receive metrics and sample grids during training, for example to show them in a
            notebook; on the first host only.

    Returns:
        The finished run. Its directory is ``path``.

    Raises:
        UserError: a setting, the data or the run directory is wrong.
        SystemFault: no space, no network, no permission.
        TrainingDiverged: a loss or a weight is no longer finite; the last good checkpoint remains.
        Interrupted: SIGTERM or Ctrl-C; everything is saved.
        HostLost: another host has stopped or did not start.
    """
    at_once = config.optimization.batch_size // config.optimization.accumulate
    with joined(cluster, at_once, _facts_to_compare(config)) as hosts, contextlib.ExitStack() as stack:
        decided_by_chief = functools.partial(
            hosts.chief_decides, to_json=Start.to_json, from_json=lambda plain: Start.from_json(plain, config)
        )
        start = decided_by_chief(lambda: prepare(config, RunDirectory(config.run_dir)))
        if start.finished:
            report(f"{start.config.run_dir} is finished already: all {start.done} steps are done")
            return RunDirectory(start.config.run_dir)

        run = RunDirectory(start.config.run_dir, writing=True)
        dataset = open_dataset(start.config)
        if hosts.strategy.num_replicas_in_sync > 1:
            dataset = dataset.using("all_reduce")
        with framework_errors_explained():
            images = dataset.identity()
            hosts.refuse_difference("the training images", images)

            def lock_and_complete() -> Start:
                stack.enter_context(run.locked())
                run.fetch()
                return complete(start, run, dataset, images)

            session = Session(decided_by_chief(lock_and_complete), run, dataset, hosts)
            for line in (*session.record_start(), *session.description()):
                report(line)
            session.run(sinks)
    return run


def dry_run(config: TrainConfig) -> TrainConfig:
    """Returns what a config resolves to; checks what can be checked without training or downloading."""
    run = RunDirectory(config.run_dir)
    start = prepare(config, run)
    dataset = open_existing(start.config)
    if dataset is not None:
        dataset = dataset.using("all_reduce")  # the number of devices isn't known here
        start = complete(start, run, dataset, dataset.identity())
    precision = resolve_precision(start.config.optimization.precision)
    return configs.replace(start.config, precision=precision, run_dir=config.run_dir)


def _facts_to_compare(config: TrainConfig) -> dict[str, Any]:
    """Returns what must be equal on all hosts, by its name in messages."""
    settings = {name: value for group in configs.to_json(config).values() for name, value in group.items()}
    free = (*LOCAL, *_OF_CHIEF)
    return {
        **{flag(name): value for name, value in settings.items() if name not in free},
        "the number of GPUs": len(tf.config.list_physical_devices("GPU")),
        **{f"the version of {package}": version for package, version in package_versions().items()},
    }
