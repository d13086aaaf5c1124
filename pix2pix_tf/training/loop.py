"""The training loop: it counts steps, not epochs."""

from __future__ import annotations

import contextlib
import functools
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pix2pix_tf.data.dataset import ImageDataset
from pix2pix_tf.data.pipeline import in_memory, training_batches
from pix2pix_tf.distribution import Hosts
from pix2pix_tf.errors import Interrupted, TrainingDiverged
from pix2pix_tf.models.registry import model_for
from pix2pix_tf.recording import Sink
from pix2pix_tf.runs import RunDirectory
from pix2pix_tf.signals import caught_signals
from pix2pix_tf.training.chief import Chief
from pix2pix_tf.training.distillation import load_teacher
from pix2pix_tf.training.schedules import total_steps
from pix2pix_tf.training.start import Start
from pix2pix_tf.training.step import Trainer
from pix2pix_tf.wording import counted, quoted


class Session:
    """Trains from the newest checkpoint to the last step, or until a signal; each host has a session.

    ``start`` is completed, ``run`` is locked by the first host, and ``clock`` returns seconds.

    Attributes:
        first_step: steps done before this session.
        last_step: steps of the whole run.
    """

    def __init__(
        self,
        start: Start,
        run: RunDirectory,
        dataset: ImageDataset,
        hosts: Hosts,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.config = config = start.config
        self.run_directory = run
        self.dataset = dataset
        self.hosts = hosts
        self._clock = clock
        self.last_step = total_steps(config, dataset.count("train"))
        model = model_for(config)
        teacher = load_teacher(model, start.teacher, run, hosts)
        self.trainer = Trainer(model, config, self.last_step, hosts.strategy, teacher)
        self.chief = Chief(start, run, dataset, model, self.trainer) if hosts.is_chief else None
        self.first_step = hosts.chief_decides(lambda: self._on_chief().restore_or_initialize())
        hosts.share(self.trainer.state())
        self._pending: list[tf.Tensor] = []  # metrics since the last log

    def _on_chief(self) -> Chief:
        assert self.chief is not None
        return self.chief

    def record_start(self) -> list[str]:
        """On the first host: writes what the run starts with. Returns lines to report."""
        return self.hosts.chief_decides(lambda: self._on_chief().record_start(self.first_step))

    def description(self) -> list[str]:
        """Returns lines that describe what is about to happen."""
        config = self.config
        height, width = config.data.size
        if self.chief is None:
            return [f"{self.hosts.name} takes part, after step {self.first_step} of {self.last_step}"]
        continuing = f", continuing after step {self.first_step}" if self.first_step else ""
        if damaged := self.chief.damaged:
            continuing += f", as later checkpoints are damaged (see {', '.join(map(str, damaged))})"
        steps, minutes = config.record.checkpoint_every, config.record.checkpoint_minutes
        no_lock = ", where no lock prevents others from training too" if self.run_directory.is_stored else ""
        base_filters = getattr(config.model, "base_filters", None)  # WGAN has none
        filters = f"{base_filters} filters, " if base_filters else ""
        lines = [
            f"{config.model.model} on {self.dataset.description()}; {' and '.join(self.chief.translators)}, "
            f"{width}x{height}, {filters}batch size {config.optimization.batch_size}, "
            f"{config.optimization.precision}{self.hosts.description()}",
            f"{self.run_directory.place}: {counted(self.last_step, 'step')}, saved every "
            f"{counted(steps, 'step')} and {minutes:g} minutes{no_lock}{continuing}",
        ]
        names = ("A", "B") if self.dataset.kind == "unpaired" else ("input", "target")
        ranges = [
            f"{name}: values from {side.value_range[0]:.6g} to {side.value_range[1]:.6g}"
            + ("" if side.missing is None else "; missing pixels are ignored")
            for name, side in zip(names, self.dataset.sides, strict=False)
            if side.value_range is not None
        ]
        return [*lines, *ranges, *self.dataset.notes]

    def run(self, sinks: Sequence[Sink] = ()) -> None:
        """Trains to the last step; the first host also records to ``sinks``."""
        dataset = in_memory(self.dataset, "train", self.hosts.processes_here)
        first, last = self.first_step, self.last_step
        batches = self.hosts.batches(
            lambda share: training_batches(
                dataset, self.config, first, last, self.trainer.batches_per_step, share
            )
        )
        recording = self.chief.recording(first, last, sinks) if self.chief else contextlib.nullcontext()
        with recording, caught_signals() as signals:
            self._train(batches, signals)
            self.hosts.chief_decides(lambda: self._on_chief().finish())

    def _train(self, batches: Iterator[Any], signals: list[int]) -> None:
        record = self.config.record
        saved_at = self._clock()
        for done in range(self.first_step, self.last_step):
            self._pending.append(self.trainer.train_step(next(batches), tf.constant(done, tf.int64)))
            step = done + 1
            # The first host's clock decides, and all hosts must know, because all check before a checkpoint.
            is_late = self._clock() - saved_at >= 60 * record.checkpoint_minutes
            stopped, timed = self.hosts.any(bool(signals), is_late and self.hosts.is_chief)
            stopping = stopped or step == self.last_step
            logging = stopping or step % record.log_every == 0
            saving = stopping or timed or step % record.checkpoint_every == 0
            saving = saving or bool(record.keep_every and step % record.keep_every == 0)
            if saving or is_late:
                saved_at = self._clock()
            check = functools.partial(self._finite_means, step)
            try:
                means = check() if logging or saving else None
                if self.chief is not None:
                    self.chief.record(step, means if logging else None, saving, check)
            except TrainingDiverged as error:
                raise self._diverged(str(error)) from error
            if logging:
                self._pending.clear()
            if stopped and step < self.last_step:
                self.hosts.chief_decides(lambda: self._on_chief().wait())
                number = signals[0] if signals else signal.SIGTERM  # another host received it
                raise Interrupted(
                    f"stopped by {signal.Signals(number).name} after step {step} of {self.last_step}; "
                    "everything is saved, the same command continues",
                    number,
                )

    def _finite_means(self, step: int) -> dict[str, float]:
        """Returns the means of the metrics since the last log; raises if one is not finite."""
        values = np.stack([metrics.numpy() for metrics in self._pending])
        if not np.isfinite(values).all():
            row, column = np.argwhere(~np.isfinite(values))[0]
            first_bad = step - len(values) + 1 + int(row)
            raise TrainingDiverged(f"{self.trainer.metrics[column]} is no longer finite at step {first_bad}")
        return dict(zip(self.trainer.metrics, map(float, values.mean(axis=0)), strict=True))

    def _diverged(self, reason: str) -> TrainingDiverged:
        good = self.chief.last_good_step() if self.chief else None
        state = f"the last good checkpoint is step {good}" if good else "there is no good checkpoint yet"
        start = f" --init-from {quoted(self.run_directory.place)}" if good else ""
        return TrainingDiverged(
            f"{reason}; {state} in {self.run_directory.place}; try another --run-dir{start} with a lower "
            "--learning-rate or --precision float32"
        )
