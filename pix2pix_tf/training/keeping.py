"""What a run keeps of its training: checkpoints, records, samples, looks at held-out pairs."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pix2pix_tf import config as configs
from pix2pix_tf.checkpoints import CheckpointWriter, has_moments, restore
from pix2pix_tf.config import TrainConfig
from pix2pix_tf.data.pipeline import held_out_images
from pix2pix_tf.data.sets import ImageDataset
from pix2pix_tf.errors import DamagedCheckpoint, TrainingDiverged
from pix2pix_tf.evaluation.validation import Validation
from pix2pix_tf.formats.run import GeneratorTranslator, translators_for
from pix2pix_tf.models.base import Model, Sheet
from pix2pix_tf.recording import Recorder
from pix2pix_tf.runs import RunDirectory
from pix2pix_tf.training.agreement import checkpoint_to_start_from, steps_per_epoch
from pix2pix_tf.training.step import Trainer
from pix2pix_tf.training.teaching import judge_to_start_from
from pix2pix_tf.training.watching import Watch

SHEET_ROWS = 4


class Keeper:
    """Writes the run directory; of several hosts one has a keeper.

    Args:
        config: resolved.
        run: a directory that this process holds the lock of.
        model: what is trained.
        trainer: of the model.

    Attributes:
        translators: what paints the samples, by the painters' names.
        damaged: where the checkpoints are now that were found damaged, if any.
    """

    def __init__(self, config: TrainConfig, run: RunDirectory, model: Model, trainer: Trainer):
        self._config = config
        self._run = run
        self._model = model
        self._trainer = trainer
        record = config.record
        self._writer = CheckpointWriter(
            run, trainer.state(), trainer.lasting_state(), record.checkpoint_every, record.keep_every
        )
        self.translators = translators_for(model, seed=config.optimization.seed)
        self.damaged: list[Path] = []
        self._begins_elsewhere = False

    def restore_or_start(self) -> int:
        """Brings the model to where the run stands; returns the steps done."""
        run, damaged = self._run, []
        for step in reversed(run.checkpoint_steps()):
            checkpoint = run.checkpoint(step)
            try:
                if not has_moments(checkpoint):
                    raise DamagedCheckpoint(f"the checkpoint {checkpoint} holds weights only")
                restore(checkpoint, self._trainer.state())
            except DamagedCheckpoint:
                damaged.append(step)
                continue
            self.damaged = [run.set_aside(each) for each in damaged]
            return step
        if damaged:  # to begin anew is not for the program to decide
            raise DamagedCheckpoint(
                f"no checkpoint in {run.checkpoints} can be continued from any more: the last are damaged, "
                "those before hold weights only; restore one, or train in another --run-dir with --init-from"
            )
        start: tuple[Path, Mapping[str, str] | None] | None
        if self._config.record.init_from is not None:
            start = checkpoint_to_start_from(self._config.record.init_from, self._config), None
        else:
            start = judge_to_start_from(self._model)
        if start is not None:
            self._trainer.take_weights(*start)
        self._begins_elsewhere = start is not None
        return 0

    def keep_start(self) -> None:
        """Saves the weights that a run takes from another, which may be trained on meanwhile."""
        if self._begins_elsewhere:
            self._writer.save(0)  # which publishes
            self._writer.wait()
        else:
            self._run.publish()

    @contextlib.contextmanager
    def opened(self, dataset: ImageDataset, first_step: int, last_step: int) -> Iterator[None]:
        """Opens the records of a session, and closes them.

        Args:
            dataset: of the kind that the model is trained on.
            first_step: steps done before.
            last_step: steps of the whole run.
        """
        data = self._config.data
        self._run.reopen()
        self._last_step = last_step
        held_out = held_out_images(dataset, data.size, SHEET_ROWS, fit=data.fit)
        self._held_out = [images for _, *images in held_out]
        validation = Validation(dataset, data, self._model.painters()) if dataset.has_targets else None
        digest = str(dataset.identity(dataset.held_out)["digest"]) if dataset.has_targets else "0"
        self._images_watched = {"held_out": int(digest[:12], 16)}
        best = self._run.best()
        if best is not None and best.get("held_out") != self._images_watched["held_out"]:
            best = None  # values of other images say nothing about which checkpoint is better
        self._watch = Watch(validation, self._config.record, best)
        run_name = Path(self._run.place).absolute().name
        self._recorder = Recorder(
            self._run,
            metrics=self._model.metrics(),
            first_step=first_step,
            last_step=last_step,
            steps_per_epoch=steps_per_epoch(self._config, dataset.count("train")),
            title=f"{run_name}: {configs.dataset_label(data.dataset)} ({dataset.held_out})",
            config_text=json.dumps(configs.to_json(self._config), indent=2),
        )
        with contextlib.closing(self._writer), self._recorder:
            yield

    def keep(
        self, step: int, means: Mapping[str, float] | None, saving: bool, check: Callable[[], object]
    ) -> None:
        """Keeps what is due after a step.

        Args:
            step: steps done with this one.
            means: of the metrics since the last ones, if they are to be logged.
            saving: a checkpoint is due.
            check: raises where the metrics are not finite; called before anything is saved.
        """
        record, recorder = self._config.record, self._recorder
        recorder.advance()
        if means is not None:
            recorder.log(step, {**means, "learning_rate": float(self._trainer.learning_rate(step - 1))})
        if step % record.sample_every == 0 and step < self._last_step:
            recorder.sample(step, self._current_sheet())
        best = None
        if self._watch.is_due(step, step == self._last_step):
            values, is_best = self._watch.look(self._current_painters())
            recorder.validate(step, values)
            best = {**values, **self._images_watched} if is_best else None
        if saving or best is not None:
            check()
            self._writer.save(step, best)

    def finish(self) -> None:
        """Writes what a finished run leaves."""
        self.wait()
        networks = {each.painter.network: each.network for each in self.translators.values()}
        self._recorder.finish(self._last_step, self._current_sheet(), networks)
        self._run.publish()

    def wait(self) -> None:
        """Waits until the last checkpoint is on disk."""
        self._writer.wait()

    def last_good(self) -> int | None:
        """Returns the step of the last good checkpoint, when what is being written has come to its end."""
        with contextlib.suppress(TrainingDiverged):
            self._writer.wait()
        return self._run.latest_step()

    def _current_sheet(self) -> Sheet:
        """The samples as the networks paint them now."""
        return self._model.sheet(self._held_out, self._current_painters())

    def _current_painters(self) -> Mapping[str, GeneratorTranslator]:
        """The translators with the weights of now."""
        published = self._trainer.published_weights()
        weights = {name: variable.read_value() for name, variable in published.items()}
        for translator in self.translators.values():
            translator.set_weights(weights)
        return self.translators


def is_kept(step: int, config: TrainConfig) -> bool:
    """Whether there is to be a checkpoint of a step in any case."""
    keep_every = config.record.keep_every
    return step % config.record.checkpoint_every == 0 or bool(keep_every and step % keep_every == 0)
