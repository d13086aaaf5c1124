"""The training loop: steps, not epochs. Run, log, sample, save, resume, stop."""

from __future__ import annotations

import contextlib
import json
import math
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import numpy as np
import tensorflow as tf

from pix2pix_tf import config as configs
from pix2pix_tf.checkpoints import CheckpointWriter, restore
from pix2pix_tf.config import TrainConfig
from pix2pix_tf.data.pairs import PairDataset
from pix2pix_tf.data.pipeline import held_out_pairs, training_batches
from pix2pix_tf.data.sources import open_dataset
from pix2pix_tf.devices import default_strategy, resolve_precision
from pix2pix_tf.errors import ConfigError, Interrupted, RunError, TrainingDiverged
from pix2pix_tf.runs import RunDirectory
from pix2pix_tf.training.pix2pix import METRICS, Pix2Pix
from pix2pix_tf.training.recorder import SHEET_ROWS, Recorder
from pix2pix_tf.translator import Translator


def train(config: TrainConfig, say: Callable[[str], None] = print) -> RunDirectory:
    """Trains pix2pix, from the start or from where the run directory stands.

    Killed at any instant and called again, it ends with the same weights as if nothing had happened.

    Args:
        config: what to train. Where the run directory holds a run already, it must agree with it in
            everything that decides the weights; the length of the run may change.
        say: is told in a line or two what happens.

    Returns:
        The finished run.

    Raises:
        UserError: a setting, the data or the run directory is wrong.
        SystemFault: no space, no network, no permission.
        TrainingDiverged: a loss or a weight is no longer finite; the last good checkpoint is kept.
        Interrupted: SIGTERM or Ctrl-C; everything is saved.
    """
    run = RunDirectory(config.run_dir)
    if run.exists():
        config = continued(run.read_config(), config)
    with run.locked():
        dataset = open_dataset(config)
        if run.exists():
            run.refuse_other_pairs(dataset.splits["train"].identity())
        config = resolved(config, dataset)
        total = total_steps(config, dataset)
        say(_described(config, dataset, total))
        if run.is_finished(total):
            say(f"this run is finished already: {run.latest_step()} of {total} steps are done")
        else:
            session = Session(config, run, dataset, total)
            if session.first_step:
                say(f"continuing after step {session.first_step}")
            session.run()
    return run


def _described(config: TrainConfig, dataset: PairDataset, total: int) -> str:
    pairs = ", ".join(f"{len(split)} {name}" for name, split in dataset.splits.items())
    left_out = f" ({len(dataset.skipped)} unreadable left out)" if dataset.skipped else ""
    height, width = config.data.size
    return (
        f"{dataset.name} {config.data.direction}: {pairs} pairs{left_out}; {total} steps of "
        f"{config.optimization.batch_size} at {height}x{width} in {config.optimization.precision}; "
        f"run directory {config.run_dir}"
    )


def continued(stored: TrainConfig, asked: TrainConfig) -> TrainConfig:
    """Returns ``asked`` with 'auto' and the channels filled in as the run was started.

    Raises:
        RunError: ``asked`` changes something that decides the weights.
    """
    settings = {
        "precision": (asked.optimization.precision, "auto", stored.optimization.precision),
        "input_channels": (asked.network.input_channels, None, stored.network.input_channels),
        "output_channels": (asked.network.output_channels, None, stored.network.output_channels),
    }
    asked = configs.replace(
        asked, **{name: before if now == unset else now for name, (now, unset, before) in settings.items()}
    )
    changes = configs.differences(stored, asked)
    if changes:
        raise RunError(
            f"the run in {asked.run_dir} was started with other settings ({'; '.join(changes)}); leave these "
            "flags as they were to continue it, or start another run with --run-dir"
        )
    return asked


def resolved(config: TrainConfig, dataset: PairDataset) -> TrainConfig:
    """Returns the configuration with nothing left open: precision and channels are decided."""
    network = config.network
    return configs.replace(
        config,
        precision=resolve_precision(config.optimization.precision),
        input_channels=network.input_channels or dataset.sides[0].channels,
        output_channels=network.output_channels or dataset.sides[1].channels,
    )


def total_steps(config: TrainConfig, dataset: PairDataset) -> int:
    """Returns the steps of the whole run."""
    if config.optimization.steps is not None:
        return config.optimization.steps
    assert config.optimization.epochs is not None  # the configuration has checked that
    return math.ceil(config.optimization.epochs * _steps_per_epoch(config, dataset))


def _steps_per_epoch(config: TrainConfig, dataset: PairDataset) -> float:
    return len(dataset.splits["train"]) / config.optimization.batch_size


class Session:
    """One process' part in a run: from the step it stands at to its end, or to a signal.

    Args:
        config: resolved.
        run: a directory that this process holds the lock of.
        dataset: directed.
        last_step: steps of the whole run.
    """

    def __init__(self, config: TrainConfig, run: RunDirectory, dataset: PairDataset, last_step: int):
        self.config = config
        self.run_directory = run
        self.last_step = last_step
        self.strategy = default_strategy()
        _refuse_uneven_batch(config, self.strategy)

        self.model = Pix2Pix(config, self.strategy)
        self.first_step = self._restore_or_start()
        run.write_config(config, dataset.splits["train"].identity())
        self.translator = Translator.for_run(config, seed=config.optimization.seed)
        self.writer = CheckpointWriter(run, config.record.keep_every)
        batches = training_batches(dataset, config, self.first_step, last_step)
        self.batches = iter(self.strategy.experimental_distribute_dataset(batches))
        self.recorder = Recorder(
            run,
            first_step=self.first_step,
            last_step=last_step,
            steps_per_epoch=_steps_per_epoch(config, dataset),
            held_out=held_out_pairs(dataset, config.data.size, SHEET_ROWS),
            title=f"{configs.dataset_label(config.data.dataset)} ({dataset.held_out})",
        )
        self._pending: list[tf.Tensor] = []

    def _restore_or_start(self) -> int:
        """Brings the model to where the run stands; returns the steps done."""
        step = self.run_directory.latest_step()
        if step is not None:
            restore(self.run_directory.checkpoint(step), self.model.state())
            return step
        if self.config.record.init_from is not None:
            self._take_weights_of(self.config.record.init_from)
        return 0

    def _take_weights_of(self, path: Path) -> None:
        other = RunDirectory(path)
        other.read_config()
        state = self.model.state()
        weights = {name: state[name] for name in state if name.startswith(("generator/", "discriminator/"))}
        restore(other.existing_checkpoint(), weights)

    def run(self) -> None:
        """Trains to the last step."""
        record = self.config.record
        self.recorder.begin(json.dumps(configs.to_json(self.config), indent=2))
        try:
            with _catching_signals() as caught:
                for done in range(self.first_step, self.last_step):
                    inputs, targets = next(self.batches)
                    self._pending.append(self.model.train_step(inputs, targets, tf.constant(done, tf.int64)))
                    step = done + 1
                    self.recorder.bar.update()
                    at_end = step == self.last_step
                    if step % record.log_every == 0 or at_end:
                        self._log(step)
                    if step % record.sample_every == 0 and not at_end:
                        self.recorder.sample(step, self._current_translator())
                    if step % record.checkpoint_every == 0 or at_end or caught:
                        self._save(step)
                    if caught and not at_end:
                        self._leave(step, caught[0])
                self.writer.wait()
                self.recorder.finish(self.last_step, self._current_translator())
        finally:
            self.recorder.close()

    def _log(self, step: int) -> None:
        means = self._finite_means(step)
        self._pending.clear()
        self.recorder.log(step, means, self.config.optimization.learning_rate)

    def _save(self, step: int) -> None:
        self._finite_means(step)
        try:
            self.writer.save(step, self.model.state())
        except TrainingDiverged as error:
            raise self._diverged(str(error)) from error

    def _finite_means(self, step: int) -> dict[str, float]:
        """Means of the metrics since the last line.

        Raises:
            TrainingDiverged: one of them is not finite.
        """
        if not self._pending:
            return {}
        values = np.stack([metrics.numpy() for metrics in self._pending])
        if not np.isfinite(values).all():
            row, column = np.argwhere(~np.isfinite(values))[0]
            first_bad = step - len(values) + 1 + int(row)
            raise self._diverged(f"{METRICS[column]} is no longer finite at step {first_bad}")
        return dict(zip(METRICS, map(float, values.mean(axis=0)), strict=True))

    def _diverged(self, what: str) -> TrainingDiverged:
        with contextlib.suppress(TrainingDiverged):
            self.writer.wait()
        kept = self.run_directory.latest_step()
        good = f"the last good checkpoint is step {kept}" if kept else "there is no good checkpoint yet"
        start = f" --init-from {self.run_directory.path}" if kept else ""
        return TrainingDiverged(
            f"{what}; {good} in {self.run_directory.path}; try another --run-dir{start} with a lower "
            "--learning-rate or --precision float32"
        )

    def _current_translator(self) -> Translator:
        state = self.model.state()
        weights = {
            name.removeprefix("generator/"): variable.read_value()
            for name, variable in state.items()
            if name.startswith("generator/")
        }
        self.translator.set_weights(weights)
        return self.translator

    def _leave(self, step: int, signal_number: int) -> None:
        self.writer.wait()
        name = signal.Signals(signal_number).name
        raise Interrupted(
            f"stopped by {name} after step {step} of {self.last_step}; everything is saved, the same command "
            "continues",
            signal_number,
        )


def _refuse_uneven_batch(config: TrainConfig, strategy: tf.distribute.Strategy) -> None:
    devices = strategy.num_replicas_in_sync
    batch_size = config.optimization.batch_size
    if batch_size % devices:
        raise ConfigError(
            f"--batch-size {batch_size} can't be shared by {devices} devices; take a multiple of {devices}, "
            "or hide devices with CUDA_VISIBLE_DEVICES"
        )


@contextlib.contextmanager
def _catching_signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM in a list; a second one acts as if nobody had caught the first."""
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught  # Python delivers signals to the main thread only
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: FrameType | None) -> None:
        caught.append(number)
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in before:
        signal.signal(number, note)
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
