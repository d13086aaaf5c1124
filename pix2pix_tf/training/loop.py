"""The training loop: steps, not epochs. Run, check, keep, stop."""

from __future__ import annotations

import contextlib
import functools
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from pix2pix_tf.config import TrainConfig
from pix2pix_tf.data.pipeline import in_memory, training_batches
from pix2pix_tf.data.sets import ImageDataset
from pix2pix_tf.distribution import Hosts
from pix2pix_tf.errors import Interrupted, TrainingDiverged
from pix2pix_tf.models.registry import model_for
from pix2pix_tf.runs import RunDirectory
from pix2pix_tf.training.agreement import total_steps
from pix2pix_tf.training.interruption import catching_signals
from pix2pix_tf.training.keeping import Keeper, is_kept
from pix2pix_tf.training.step import Trainer
from pix2pix_tf.training.teaching import taken_teacher
from pix2pix_tf.wording import counted, quoted


class Session:
    """One process' part in a run: from the step it stands at to its end, or to a signal.

    Args:
        config: resolved.
        run: the first of the hosts holds its lock.
        dataset: of the kind that the model is trained on.
        hosts: that train together.
        clock: gives seconds.

    Attributes:
        first_step: steps done before.
        last_step: steps of the whole run.
    """

    def __init__(
        self,
        config: TrainConfig,
        run: RunDirectory,
        dataset: ImageDataset,
        hosts: Hosts,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.config = config
        self.run_directory = run
        self.dataset = dataset
        self.hosts = hosts
        self._clock = clock
        self.last_step = total_steps(config, dataset.count("train"))
        model = model_for(config)
        teacher = taken_teacher(model, run, config.optimization.precision, hosts)
        self.trainer = Trainer(model, config, self.last_step, hosts.strategy, teacher)
        self.keeper = Keeper(config, run, model, self.trainer) if hosts.is_chief else None
        self.first_step = hosts.chief_decides(lambda: self._chief().restore_or_start())
        hosts.share(self.trainer.state())
        self._pending: list[tf.Tensor] = []

    def keep_start(self) -> None:
        """Keeps what the first host begins with, when the run says by which settings."""
        self._chief().keep_start()

    def description(self) -> str:
        """Returns what is about to happen, in a line."""
        config = self.config
        height, width = config.data.size
        if self.keeper is None:
            return f"{self.hosts.name} takes part, after step {self.first_step} of {self.last_step}"
        continuing = f", continuing after step {self.first_step}" if self.first_step else ""
        if damaged := self.keeper.damaged:
            continuing += f", as what came later is damaged (see {', '.join(map(str, damaged))})"
        steps, minutes = config.record.checkpoint_every, config.record.checkpoint_minutes
        no_lock = ", where no lock keeps others from training too" if self.run_directory.is_stored else ""
        return (
            f"{config.model.model} on {self.dataset.description()}; {' and '.join(self.keeper.translators)}; "
            f"{self.last_step} steps of {config.optimization.batch_size} at {width}x{height} in "
            f"{config.optimization.precision}{self.hosts.description()}; run directory "
            f"{self.run_directory.place}, saved every {counted(steps, 'step')} and {minutes:g} "
            f"minutes{no_lock}{continuing}"
        )

    def run(self) -> None:
        """Trains to the last step."""
        dataset = in_memory(self.dataset, "train", self.hosts.processes_here)
        first, last = self.first_step, self.last_step
        batches = self.hosts.batches(
            lambda share: training_batches(
                dataset, self.config, first, last, self.trainer.batches_per_step, share
            )
        )
        keeping = self.keeper.opened(dataset, first, last) if self.keeper else contextlib.nullcontext()
        with keeping, catching_signals() as caught:
            self._train(batches, caught)
            self.hosts.chief_decides(lambda: self._chief().finish())

    def _train(self, batches: Iterator[Any], caught: list[int]) -> None:
        saved_at = self._clock()
        for done in range(self.first_step, self.last_step):
            self._pending.append(self.trainer.train_step(next(batches), tf.constant(done, tf.int64)))
            step = done + 1
            # The first host's clock decides, but all check what is saved, and so must know.
            is_late = self._clock() - saved_at >= 60 * self.config.record.checkpoint_minutes
            stopped, timed = self.hosts.any(bool(caught), is_late and self.hosts.is_chief)
            stopping = stopped or step == self.last_step
            logging = stopping or step % self.config.record.log_every == 0
            saving = stopping or timed or is_kept(step, self.config)
            if saving or is_late:
                saved_at = self._clock()
            check = functools.partial(self._finite_means, step)
            try:
                means = check() if logging or saving else None
                if self.keeper is not None:
                    self.keeper.keep(step, means if logging else None, saving, check)
            except TrainingDiverged as error:
                raise self._diverged(str(error)) from error
            if logging:
                self._pending.clear()
            if stopped and step < self.last_step:
                self.hosts.chief_decides(lambda: self._chief().wait())
                raise self._interrupted(step, caught)

    def _finite_means(self, step: int) -> dict[str, float]:
        """Means of the metrics since the last line."""
        values = np.stack([metrics.numpy() for metrics in self._pending])
        if not np.isfinite(values).all():
            row, column = np.argwhere(~np.isfinite(values))[0]
            first_bad = step - len(values) + 1 + int(row)
            raise TrainingDiverged(f"{self.trainer.metrics[column]} is no longer finite at step {first_bad}")
        return dict(zip(self.trainer.metrics, map(float, values.mean(axis=0)), strict=True))

    def _diverged(self, what: str) -> TrainingDiverged:
        kept = self.keeper.last_good() if self.keeper else None
        good = f"the last good checkpoint is step {kept}" if kept else "there is no good checkpoint yet"
        start = f" --init-from {quoted(self.run_directory.place)}" if kept else ""
        return TrainingDiverged(
            f"{what}; {good} in {self.run_directory.place}; try another --run-dir{start} with a lower "
            "--learning-rate or --precision float32"
        )

    def _chief(self) -> Keeper:
        assert self.keeper is not None  # only the first host calls this
        return self.keeper

    def _interrupted(self, step: int, caught: list[int]) -> Interrupted:
        number = caught[0] if caught else signal.SIGTERM  # another host was told to stop
        return Interrupted(
            f"stopped by {signal.Signals(number).name} after step {step} of {self.last_step}; everything is "
            "saved, the same command continues",
            number,
        )
