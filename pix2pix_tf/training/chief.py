"""What only the first host does: checkpoints, logs, samples and validation."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from pix2pix_tf import config as configs
from pix2pix_tf.data.dataset import ImageDataset
from pix2pix_tf.data.pipeline import held_out_images
from pix2pix_tf.errors import DamagedCheckpoint, TrainingDiverged
from pix2pix_tf.formats.run import GeneratorTranslator, translators_for
from pix2pix_tf.models.base import Model, SampleGrid
from pix2pix_tf.recording import Recorder, Sink
from pix2pix_tf.runs import RunDirectory
from pix2pix_tf.runs.checkpoints import CheckpointWriter, has_moments, restore
from pix2pix_tf.training.distillation import teacher_discriminator
from pix2pix_tf.training.schedules import schedule_change, steps_per_epoch
from pix2pix_tf.training.start import Start
from pix2pix_tf.training.step import Trainer
from pix2pix_tf.training.validation import Validation

SAMPLE_ROWS = 4


class Chief:
    """Writes the run directory, whose lock this process holds.

    Attributes:
        translators: the published generators, which make the samples.
        damaged: where damaged checkpoints were moved.
    """

    def __init__(
        self, start: Start, run: RunDirectory, dataset: ImageDataset, model: Model, trainer: Trainer
    ):
        self._start = start
        self._config = config = start.config
        self._run = run
        self._dataset = dataset
        self._model = model
        self._trainer = trainer
        record = config.record
        self._writer = CheckpointWriter(
            run, trainer.state(), trainer.weights_and_averages(), record.checkpoint_every, record.keep_every
        )
        self.translators = translators_for(model, seed=config.optimization.seed)
        self.damaged: list[Path] = []
        self._has_initial_weights = False

    def restore_or_initialize(self) -> int:
        """Restores the newest good checkpoint, else loads initial weights; returns the steps done."""
        run, damaged = self._run, []
        for step in reversed(run.checkpoint_steps()):
            checkpoint = run.checkpoint(step)
            try:
                if not has_moments(checkpoint):
                    raise DamagedCheckpoint(f"the checkpoint {checkpoint} has weights only")
                restore(checkpoint, self._trainer.state())
            except DamagedCheckpoint:
                damaged.append(step)
                continue
            self.damaged = [run.set_aside(each) for each in damaged]
            return step
        if damaged:  # only the user may decide to start again
            raise DamagedCheckpoint(
                f"no checkpoint in {run.checkpoints} can be continued from: the last are damaged, earlier "
                "ones have weights only; restore one, or train in another --run-dir with --init-from"
            )
        init_from, teacher = self._start.init_from, self._start.teacher
        if init_from is not None:
            self._trainer.load_weights(init_from.checkpoint())
            self._has_initial_weights = True
        elif teacher is not None and (networks := teacher_discriminator(self._model, teacher)):
            self._trainer.load_weights(teacher.checkpoint(), networks)
            self._has_initial_weights = True
        return 0

    def record_start(self, first_step: int) -> list[str]:
        """Writes what the run starts with; returns lines to report."""
        start, run, dataset = self._start, self._run, self._dataset
        line = None
        if first_step:
            line = schedule_change(start.usual, start.config, first_step, dataset.count("train"))
        run.write_config(start.config, start.images)  # before a checkpoint, which would be no run without it
        if run.latest_step() is None:
            sources = [each.directory for each in (start.init_from, start.teacher) if each is not None]
            digests = [dataset.digests("train"), *(each.training_images() for each in sources)]
            run.write_training_images(np.unique(np.concatenate(digests)))
        if self._has_initial_weights:  # the other run may be trained on meanwhile
            self._writer.save(0)  # which publishes
            self._writer.wait()
        else:
            run.publish()
        return [] if line is None else [line]

    @contextlib.contextmanager
    def recording(self, first_step: int, last_step: int, sinks: Sequence[Sink]) -> Iterator[None]:
        """Opens logs and validation for the steps of a session."""
        dataset, data = self._dataset, self._config.data
        self._run.final_grid.unlink(missing_ok=True)  # marks a finished run
        self._last_step = last_step
        held_out = held_out_images(dataset, data.size, SAMPLE_ROWS, fit=data.fit)
        self._held_out = [images for _, *images in held_out]
        self._validation = None
        if dataset.has_targets:
            generators = self._model.published_generators()
            self._validation = Validation(dataset, self._config, generators, self._run.best())
        run_name = Path(self._run.place).absolute().name
        title = f"{run_name}: {configs.dataset_label(data.dataset)} ({dataset.held_out})"
        per_epoch = steps_per_epoch(self._config, dataset.count("train"))
        self._recorder = Recorder(
            self._run, self._config, self._model.metrics(), first_step, last_step, per_epoch, title, sinks
        )
        with contextlib.closing(self._writer), self._recorder:
            yield

    def record(
        self, step: int, means: Mapping[str, float] | None, saving: bool, check: Callable[[], object]
    ) -> None:
        """Logs, samples, validates and saves whatever is due after a step.

        Args:
            step: steps done, including this one.
            means: metrics to log, if any.
            saving: whether a checkpoint is due.
            check: raises if a metric is not finite; called before anything is saved.
        """
        record, recorder = self._config.record, self._recorder
        recorder.advance()
        if means is not None:
            recorder.log(step, {**means, "learning_rate": float(self._trainer.learning_rate(step - 1))})
        if step % record.sample_every == 0 and step < self._last_step:
            recorder.sample(step, self._sample_grid())
        best = None
        if self._validation is not None and self._validation.is_due(step, step == self._last_step):
            values, best = self._validation.measure(self._current_translators())
            recorder.validate(step, values)
        if saving or best is not None:
            check()
            self._writer.save(step, best)

    def finish(self) -> None:
        """Writes the files of a finished run."""
        self.wait()
        networks = {each.generator.network: each.network for each in self.translators.values()}
        self._recorder.finish(self._last_step, self._sample_grid(), networks)
        self._run.publish()

    def wait(self) -> None:
        """Waits until the last checkpoint is on disk."""
        self._writer.wait()

    def last_good_step(self) -> int | None:
        """Returns the step of the newest good checkpoint, once the writer is idle."""
        with contextlib.suppress(TrainingDiverged):
            self._writer.wait()
        return self._run.latest_step()

    def _sample_grid(self) -> SampleGrid:
        return self._model.sample_grid(self._held_out, self._current_translators())

    def _current_translators(self) -> Mapping[str, GeneratorTranslator]:
        """Returns the translators with the current weights."""
        published = self._trainer.published_weights()
        weights = {name: variable.read_value() for name, variable in published.items()}
        for translator in self.translators.values():
            translator.set_weights(weights)
        return self.translators
