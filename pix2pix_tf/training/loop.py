"""The training loop: steps, not epochs. Run, log, sample, evaluate, save, stop."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from pix2pix_tf import config as configs
from pix2pix_tf.checkpoints import CheckpointWriter, restore
from pix2pix_tf.config import TrainConfig
from pix2pix_tf.data.pipeline import held_out_images, in_memory, training_batches
from pix2pix_tf.data.sets import ImageDataset
from pix2pix_tf.devices import strategy_for
from pix2pix_tf.errors import DamagedCheckpoint, Interrupted, TrainingDiverged
from pix2pix_tf.evaluation.validation import Validation
from pix2pix_tf.models.base import Sheet
from pix2pix_tf.models.registry import model_for
from pix2pix_tf.recording import Recorder
from pix2pix_tf.runs import RunDirectory
from pix2pix_tf.training.agreement import checkpoint_to_start_from, steps_per_epoch, total_steps
from pix2pix_tf.training.interruption import catching_signals
from pix2pix_tf.training.step import Trainer
from pix2pix_tf.training.teaching import judge_to_start_from, kept_teacher
from pix2pix_tf.training.watching import Watch
from pix2pix_tf.translators.run import GeneratorTranslator, translators_for
from pix2pix_tf.wording import quoted

SHEET_ROWS = 4


class Session:
    """One process' part in a run: from the step it stands at to its end, or to a signal.

    Args:
        config: resolved.
        run: a directory that this process holds the lock of.
        dataset: of the kind that the model is trained on.

    Attributes:
        first_step: steps done before.
        damaged: where the checkpoints are now that were found damaged, if any.
        last_step: steps of the whole run.
    """

    def __init__(self, config: TrainConfig, run: RunDirectory, dataset: ImageDataset):
        self.config = config
        self.run_directory = run
        self.dataset = dataset
        self.strategy = strategy_for(config.optimization.batch_size)
        self.last_step = total_steps(config, dataset.count("train"))
        self.model = model_for(config)
        with self.strategy.scope():
            teacher = kept_teacher(self.model, run, config.optimization.precision)
        self.trainer = Trainer(self.model, config, self.last_step, self.strategy, teacher)
        self.writer = CheckpointWriter(run, self.trainer.state(), config.record.keep_every)
        self.damaged: list[Path] = []
        self.first_step = self._restore_or_start()
        self.translators = translators_for(self.model, seed=config.optimization.seed)
        self._pending: list[tf.Tensor] = []

    def description(self) -> str:
        """Returns what is about to happen, in a line."""
        config = self.config
        height, width = config.data.size
        devices = self.strategy.num_replicas_in_sync
        shared = f" on {devices} GPUs" if devices > 1 else ""
        continuing = f", continuing after step {self.first_step}" if self.first_step else ""
        if self.damaged:
            continuing += f", as what came later is damaged (see {', '.join(map(str, self.damaged))})"
        return (
            f"{config.model.model} on {self.dataset.description()}; {' and '.join(self.translators)}; "
            f"{self.last_step} steps of {config.optimization.batch_size} at {width}x{height} in "
            f"{config.optimization.precision}{shared}; run directory {config.run_dir}{continuing}"
        )

    def _restore_or_start(self) -> int:
        """Brings the model to where the run stands; returns the steps done."""
        run, damaged = self.run_directory, []
        for step in reversed(run.checkpoint_steps()):
            try:
                restore(run.checkpoint(step), self.trainer.state())
            except DamagedCheckpoint:
                damaged.append(step)
                continue
            self.damaged = [run.set_aside(each) for each in damaged]
            return step
        if damaged:  # to begin anew is not for the program to decide
            raise DamagedCheckpoint(
                f"no checkpoint in {run.checkpoints} can be read any more; restore one of them, or train in "
                "another `run_dir`"
            )
        if self.config.record.init_from is not None:
            self._take_weights(checkpoint_to_start_from(self.config.record.init_from, self.config))
        elif (judge := judge_to_start_from(self.model)) is not None:
            self._take_weights(*judge)
        return 0

    def _take_weights(self, checkpoint: Path, renamed: Mapping[str, str] | None = None) -> None:
        self.trainer.take_weights(checkpoint, renamed)
        # Kept, because the other run may be trained on before this one has a checkpoint of its own.
        self.writer.save(0)
        self.writer.wait()

    def run(self) -> None:
        """Trains to the last step."""
        self.run_directory.reopen()
        dataset = in_memory(self.dataset, "train")
        batches = training_batches(
            dataset, self.config, self.first_step, self.last_step, self.trainer.batches_per_step
        )
        data = self.config.data
        held_out = held_out_images(dataset, data.size, SHEET_ROWS, fit=data.fit)
        self._held_out = [images for _, *images in held_out]
        label = configs.dataset_label(self.config.data.dataset)
        validation = Validation(dataset, data, self.model.painters()) if dataset.has_targets else None
        watch = Watch(validation, self.config.record, self.run_directory.best())
        recorder = Recorder(
            self.run_directory,
            metrics=self.model.metrics(),
            first_step=self.first_step,
            last_step=self.last_step,
            steps_per_epoch=steps_per_epoch(self.config, dataset.count("train")),
            title=f"{label} ({dataset.held_out})",
            config_text=json.dumps(configs.to_json(self.config), indent=2),
        )
        with contextlib.closing(self.writer), recorder, catching_signals() as caught:
            distributed = iter(self.strategy.experimental_distribute_dataset(batches))
            self._train(distributed, recorder, watch, caught)

    def _train(self, batches: Iterator[Any], recorder: Recorder, watch: Watch, caught: list[int]) -> None:
        record = self.config.record
        for done in range(self.first_step, self.last_step):
            self._pending.append(self.trainer.train_step(next(batches), tf.constant(done, tf.int64)))
            step = done + 1
            recorder.advance()
            stopping = bool(caught) or step == self.last_step
            if stopping or step % record.log_every == 0:
                rate = float(self.trainer.learning_rate(done))
                recorder.log(step, {**self._finite_means(step), "learning_rate": rate})
                self._pending.clear()
            if step % record.sample_every == 0 and step < self.last_step:
                recorder.sample(step, self._current_sheet())
            best = None
            if watch.is_due(step, step == self.last_step):
                values, is_best = watch.look(self._current_painters())
                recorder.validate(step, values)
                best = values if is_best else None
            keep = record.keep_every is not None and step % record.keep_every == 0
            if stopping or keep or best is not None or step % record.checkpoint_every == 0:
                self._save(step, best)
            if stopping and step < self.last_step:
                self._leave(step, caught[0])
        self.writer.wait()
        sheet = self._current_sheet()
        networks = {each.painter.network: each.network for each in self.translators.values()}
        recorder.finish(self.last_step, sheet, networks)
        if caught:
            self._leave(self.last_step, caught[0])

    def _save(self, step: int, best: Mapping[str, float] | None) -> None:
        self._finite_means(step)
        try:
            self.writer.save(step, best)
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
            raise self._diverged(f"{self.trainer.metrics[column]} is no longer finite at step {first_bad}")
        return dict(zip(self.trainer.metrics, map(float, values.mean(axis=0)), strict=True))

    def _diverged(self, what: str) -> TrainingDiverged:
        with contextlib.suppress(TrainingDiverged):
            self.writer.wait()
        kept = self.run_directory.latest_step()
        good = f"the last good checkpoint is step {kept}" if kept else "there is no good checkpoint yet"
        start = f" `init_from` {quoted(self.run_directory.path)}" if kept else ""
        return TrainingDiverged(
            f"{what}; {good} in {self.run_directory.path}; try another `run_dir`{start} with a lower "
            "`learning_rate` or `precision` float32"
        )

    def _current_sheet(self) -> Sheet:
        """The samples as the networks paint them now."""
        return self.model.sheet(self._held_out, self._current_painters())

    def _current_painters(self) -> Mapping[str, GeneratorTranslator]:
        """The translators with the weights of now."""
        weights = {name: variable.read_value() for name, variable in self.trainer.published_weights().items()}
        for translator in self.translators.values():
            translator.set_weights(weights)
        return self.translators

    def _leave(self, step: int, signal_number: int) -> None:
        self.writer.wait()
        name = signal.Signals(signal_number).name
        raise Interrupted(
            f"stopped by {name} after step {step} of {self.last_step}; everything is saved, the same command "
            "continues",
            signal_number,
        )
