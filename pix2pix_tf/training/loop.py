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
from typing import Any

import numpy as np
import tensorflow as tf

from pix2pix_tf import config as configs
from pix2pix_tf.checkpoints import CheckpointWriter, restore
from pix2pix_tf.config import TrainConfig
from pix2pix_tf.data.pipeline import held_out_images, in_memory, training_batches
from pix2pix_tf.data.sets import ImageDataset
from pix2pix_tf.data.sources import open_dataset
from pix2pix_tf.devices import resolve_precision, strategy_for
from pix2pix_tf.errors import DataError, Interrupted, RunError, SystemFault, TrainingDiverged
from pix2pix_tf.files import first_line
from pix2pix_tf.runs import RunDirectory
from pix2pix_tf.training.pix2pix import METRICS, Pix2Pix
from pix2pix_tf.training.recorder import SHEET_ROWS, Recorder
from pix2pix_tf.translator import GeneratorTranslator


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
    # Before the data are opened, so that a contradiction costs no download and leaves no directory.
    config = agreeing(config, run)
    if config.record.init_from is not None:
        _checkpoint_to_start_from(config.record.init_from)
    if _is_finished(run, config):
        say(f"this run is finished already: all {run.latest_step()} steps are done")
        return run

    dataset = open_dataset(config)
    with run.locked():
        config = agreeing(config, run)  # again: another process may have trained here meanwhile
        pairs = dataset.identity()
        if run.latest_step() is not None:
            run.refuse_other_pairs(pairs)
        config = resolved(config, dataset)
        session = Session(config, run, dataset)
        run.write_config(config, pairs)
        say(session.description())
        session.run()
    return run


def agreeing(config: TrainConfig, run: RunDirectory) -> TrainConfig:
    """Returns ``config`` with what it leaves open filled in as the run was started, if it was.

    A run without a checkpoint has nothing to lose: it may be started anew with other settings.

    Raises:
        RunError: ``config`` contradicts the run, or the directory can't be used.
    """
    run.refuse_unreadable_path()
    latest = run.latest_step()
    if latest is None:
        return config
    config = continued(run.read_config(), config)
    if total_steps(config, run.pair_count()) < latest:
        raise RunError(
            f"{latest} steps of the run in {run.path} are done already; give a larger --steps or --epochs, "
            "or another --run-dir"
        )
    return config


def _is_finished(run: RunDirectory, config: TrainConfig) -> bool:
    """Whether there is nothing left to do, as far as that can be told without opening the data."""
    if run.latest_step() is None or not run.is_finished(total_steps(config, run.pair_count())):
        return False
    # Of a folder elsewhere, only its pairs can tell whether it is the one that the run was trained on.
    return _absolute(run.read_config().data.dataset) == _absolute(config.data.dataset)


def _absolute(dataset: str) -> str:
    """A folder's full path; the name of a data set that has one as it is."""
    return str(Path(dataset).expanduser().resolve()) if configs.looks_like_path(dataset) else dataset


def _checkpoint_to_start_from(path: Path) -> Path:
    """The newest checkpoint of the run that ``--init-from`` names."""
    other = RunDirectory(path)
    other.read_config()
    return other.existing_checkpoint()


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


def resolved(config: TrainConfig, dataset: ImageDataset) -> TrainConfig:
    """Returns the configuration with nothing left open: precision and channels are decided."""
    network = config.network
    return configs.replace(
        config,
        dataset=_absolute(config.data.dataset),  # it may be continued from another working directory
        precision=resolve_precision(config.optimization.precision),
        input_channels=network.input_channels or dataset.sides[0].channels,
        output_channels=network.output_channels or dataset.sides[1].channels,
    )


def total_steps(config: TrainConfig, pair_count: int) -> int:
    """Returns the steps of the whole run over ``pair_count`` training pairs."""
    if config.optimization.steps is not None:
        return config.optimization.steps
    assert config.optimization.epochs is not None  # the configuration has checked that
    return math.ceil(config.optimization.epochs * pair_count / config.optimization.batch_size)


class Session:
    """One process' part in a run: from the step it stands at to its end, or to a signal.

    Args:
        config: resolved.
        run: a directory that this process holds the lock of.
        dataset: directed.

    Attributes:
        first_step: steps done before.
        last_step: steps of the whole run.
    """

    def __init__(self, config: TrainConfig, run: RunDirectory, dataset: ImageDataset):
        self.config = config
        self.run_directory = run
        self.dataset = dataset
        self.strategy = strategy_for(config.optimization.batch_size)
        self.model = Pix2Pix(config, self.strategy)
        self.writer = CheckpointWriter(run, self.model.state(), config.record.keep_every)
        self.first_step = self._restore_or_start()
        self.last_step = total_steps(config, dataset.count("train"))
        self.translator = GeneratorTranslator.for_run(config, seed=config.optimization.seed)
        self._pending: list[tf.Tensor] = []

    def description(self) -> str:
        """Returns what is about to happen, in a line."""
        config = self.config
        height, width = config.data.size
        devices = self.strategy.num_replicas_in_sync
        shared = f" on {devices} GPUs" if devices > 1 else ""
        continuing = f", continuing after step {self.first_step}" if self.first_step else ""
        return (
            f"{self.dataset.description()}; {config.data.direction}; {self.last_step} steps of "
            f"{config.optimization.batch_size} at {height}x{width} in {config.optimization.precision}"
            f"{shared}; run directory {config.run_dir}{continuing}"
        )

    def _restore_or_start(self) -> int:
        """Brings the model to where the run stands; returns the steps done."""
        step = self.run_directory.latest_step()
        if step is not None:
            restore(self.run_directory.checkpoint(step), self.model.state())
            return step
        if self.config.record.init_from is not None:
            self._take_weights(_checkpoint_to_start_from(self.config.record.init_from))
        return 0

    def _take_weights(self, checkpoint: Path) -> None:
        state = self.model.state()
        weights = {name: state[name] for name in state if name.startswith(("generator/", "discriminator/"))}
        restore(checkpoint, weights)
        # Kept, because the other run may be trained on before this one has a checkpoint of its own.
        self.writer.save(0)
        self.writer.wait()

    def run(self) -> None:
        """Trains to the last step."""
        self.run_directory.reopen()
        dataset = in_memory(self.dataset, "train")
        batches = training_batches(dataset, self.config, self.first_step, self.last_step)
        recorder = Recorder(
            self.run_directory,
            first_step=self.first_step,
            last_step=self.last_step,
            steps_per_epoch=dataset.count("train") / self.config.optimization.batch_size,
            held_out=held_out_images(dataset, self.config.data.size, SHEET_ROWS),
            dataset=configs.dataset_label(self.config.data.dataset),
            split=dataset.held_out,
            config_text=json.dumps(configs.to_json(self.config), indent=2),
        )
        with _explaining_framework_errors(), recorder, _catching_signals() as caught:
            self._train(iter(self.strategy.experimental_distribute_dataset(batches)), recorder, caught)

    def _train(self, batches: Iterator[Any], recorder: Recorder, caught: list[int]) -> None:
        record = self.config.record
        for done in range(self.first_step, self.last_step):
            inputs, targets = next(batches)
            self._pending.append(self.model.train_step(inputs, targets, tf.constant(done, tf.int64)))
            step = done + 1
            recorder.advance()
            stopping = bool(caught) or step == self.last_step
            if stopping or step % record.log_every == 0:
                recorder.log(step, self._finite_means(step), self.config.optimization.learning_rate)
                self._pending.clear()
            if step % record.sample_every == 0 and step < self.last_step:
                recorder.sample(step, self._current_translator())
            keep = record.keep_every is not None and step % record.keep_every == 0
            if stopping or keep or step % record.checkpoint_every == 0:
                self._save(step)
            if stopping and step < self.last_step:
                self._leave(step, caught[0])
        self.writer.wait()
        recorder.finish(self.last_step, self._current_translator())
        if caught:
            self._leave(self.last_step, caught[0])

    def _save(self, step: int) -> None:
        self._finite_means(step)
        try:
            self.writer.save(step)
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

    def _current_translator(self) -> GeneratorTranslator:
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


@contextlib.contextmanager
def _explaining_framework_errors() -> Iterator[None]:
    """Turns what TensorFlow raises while it trains into one line.

    Raises:
        SystemFault: there is not enough memory.
        DataError: a training image can no longer be read.
    """
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise SystemFault(
            "not enough memory; take a smaller --image-size, --batch-size or --base-filters"
        ) from error
    except (tf.errors.InvalidArgumentError, tf.errors.NotFoundError, tf.errors.DataLossError) as error:
        raise DataError(
            f"a training image could not be read ({first_line(error)}); 'pix2pix data check DATASET' names it"
        ) from error


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
