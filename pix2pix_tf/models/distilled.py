"""A small generator that learns from the outputs and with the discriminator of a large one.

Knowledge distillation of conditional GANs, as in GAN compression (Li et al. 2020): the student is trained as
its teacher was, against the teacher's discriminator, and its outputs should also equal the teacher's.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pix2pix_tf import config as configs
from pix2pix_tf.config import DataKind, TrainConfig
from pix2pix_tf.effects import READ_IF
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.models import pix2pix
from pix2pix_tf.models.base import Metric, SampleGrid, Teacher, Translate
from pix2pix_tf.validation import limited

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from pix2pix_tf.models.forward import ForwardPass

STUDENT_FILTERS = 16


@dataclasses.dataclass(frozen=True)
class StudentSettings(pix2pix.Settings):
    """What students have in common."""

    teacher: Path | None = None
    """The run that is learned from, or one of its checkpoints, RUN@STEP. What is needed of it is kept."""


class _Student(pix2pix.Pix2Pix):
    settings: StudentSettings

    def teacher(self) -> Teacher:
        settings = self.settings
        if settings.teacher is None:
            raise ConfigError(f"--model {settings.model} needs a --teacher; pix2pix distill RUN names it")
        [generator] = self.published_generators()
        discriminator = self.adversarial.name if settings.gan_weight else ""
        inherited = functools.partial(
            student_of,
            run=settings.teacher,
            direction=self.config.data.direction,
            has_targets=settings.data == "pairs",
            has_discriminator=settings.gan_weight > 0,
        )
        return Teacher(settings.teacher, generator, discriminator, inherited)


@dataclasses.dataclass(frozen=True)
class PairsSettings(StudentSettings):
    """The settings of pix2pix, and the teacher's part."""

    l1_weight: Annotated[float, *limited(0.0)] = 50.0
    """Weight of the pixel loss against the adversarial loss."""
    teacher_weight: Annotated[float, *limited(0.0)] = 50.0
    """Weight of the same distance to the teacher's output instead of the target."""


class Distilled(_Student):
    """pix2pix whose generator learns its teacher's outputs besides the targets."""

    Settings = PairsSettings
    settings: PairsSettings

    def metrics(self) -> Sequence[Metric]:
        apart = Metric("gen_teacher", "generator/teacher", bar="T", plot="generator, to its teacher")
        first, *others = super().metrics()
        return [first, apart, *others]

    def _pixel_losses(
        self, forward: ForwardPass, given: pix2pix.Given, fake: tf.Tensor
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        total, metrics = super()._pixel_losses(forward, given, fake)
        distilled = self._composed(given, forward.recall(Teacher.NETWORK, given.inputs))
        apart = self._distance(given, fake, distilled)
        return total + self.settings.teacher_weight * apart, {**metrics, "gen_teacher": apart}


@dataclasses.dataclass(frozen=True)
class InputsSettings(StudentSettings):
    """The settings of pix2pix."""

    data: ClassVar[DataKind] = "images"
    side: ClassVar[int] = 0


class DistilledFromInputs(_Student):
    """pix2pix whose targets are its teacher's outputs: it needs nothing but inputs."""

    Settings = InputsSettings

    def sample_grid(
        self, held_out: Sequence[Sequence[np.ndarray]], generators: Mapping[str, Translate]
    ) -> SampleGrid:
        """Returns rows of input and output."""
        (translate,) = generators.values()
        return SampleGrid(("input", "output"), [(image, translate(image)) for (image,) in held_out])

    def _given(self, batch: Sequence[tf.Tensor], forward: ForwardPass) -> pix2pix.Given:
        inputs, *weight = batch
        return super()._given([inputs, forward.recall(Teacher.NETWORK, inputs), *weight], forward)


def student_of(
    teacher: TrainConfig,
    run: Path,
    direction: configs.Direction | None = None,
    has_targets: bool = True,
    has_discriminator: bool = True,
) -> TrainConfig:
    """Returns the configuration of a teacher's student, where nothing else is said.

    Args:
        teacher: what the teacher was trained with.
        run: where it is: a run directory, or one of its checkpoints.
        direction: which of its generators is the teacher; that of its training if not given.
        has_targets: whether there are pairs to learn from, or inputs only.
        has_discriminator: whether there is an adversarial loss; never where the teacher had none.

    Returns:
        The teacher's data, network and training, with a sixteenth of the weights or so.
    """
    if teacher.model.data == "images" and teacher.model.side == 1:
        raise ConfigError(f"{run} makes images from noise; a run is distilled that translates images")
    if not has_targets and (teacher.data.task != "pairs" or teacher.data.one_hot_labels):
        raise ConfigError(
            f"{run} takes its inputs from a --task, or one channel a class; it is distilled with its targets"
        )
    is_unpaired = teacher.model.data == "unpaired"
    has_targets = has_targets and teacher.model.data == "pairs"
    kind, name = (PairsSettings, "distilled") if has_targets else (InputsSettings, "distilled_from_inputs")
    student = TrainConfig(kind(model=name, recipe=teacher.model.recipe, teacher=run))
    known = {setting for _, setting, _, _ in configs.each_setting(student)}
    left_open = {"model", "recipe", "teacher", "precision", "run_dir", "init_from", "l1_weight"}
    left_open |= set() if has_targets else {"evaluate_every", "best_metric"}
    given = {
        setting: value
        for _, setting, _, value in configs.each_setting(teacher)
        if setting in known - left_open
    }
    gan_weight = given["gan_weight"] if has_discriminator else 0.0
    given |= {
        "base_filters": STUDENT_FILTERS,
        "discriminator_filters": given.get("discriminator_filters") or given["base_filters"],
        "direction": direction or teacher.data.direction,
        "run_dir": student_directory(run),
    }
    if not gan_weight:
        of_discriminator = [name for name, others in READ_IF.items() if "gan_weight" in others]
        given = {name: value for name, value in given.items() if name not in of_discriminator}
        given["gan_weight"] = 0.0
    if is_unpaired:
        if gan_weight:
            given["unconditional"] = True
        if given["direction"] == "BtoA":  # its channels and ranges are A's and B's
            for setting in ("channels", "range"):
                there, back = f"input_{setting}", f"output_{setting}"
                given |= {there: given[back], back: given[there]}
    return configs.replace(student, **given)


def student_directory(teacher: Path) -> Path:
    """Returns where a teacher's student is kept, where nothing else is said: beside it."""
    path = teacher if teacher.name not in ("", "..") else teacher.resolve()
    return path.with_name(f"{path.name}-distilled")
