"""Distillation: a small generator learns from a large one, its teacher.

As in GAN compression (Li et al. 2020), the student is trained like its teacher, starts with the teacher's
discriminator, and its outputs should also equal the teacher's.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import tyro

from pix2pix_tf import config as configs
from pix2pix_tf.config import DataKind, Recipe, TrainConfig
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.models.base import Metric, Rows, SampleGrid, Teacher, Tensors, Translate
from pix2pix_tf.models.pix2pix import Batch, Pix2Pix, Pix2PixSettings
from pix2pix_tf.validation import Limits

if TYPE_CHECKING:
    import tensorflow as tf

    from pix2pix_tf.models.forward import ForwardPass

_STUDENT_FILTERS = 16


@dataclasses.dataclass(frozen=True)
class StudentSettings(Pix2PixSettings):
    """Settings shared by students with and without targets."""

    # The teacher determines these, so they are no flags.
    model: Annotated[str, tyro.conf.Fixed]
    recipe: Annotated[Recipe, tyro.conf.Fixed] = "default"
    teacher: Annotated[Path | None, tyro.conf.Fixed] = None


class _Student(Pix2Pix):
    settings: StudentSettings

    def teacher(self) -> Teacher:
        settings = self.settings
        if settings.teacher is None:
            raise ConfigError(f"--model {settings.model} needs a --teacher; pix2pix distill RUN sets it")
        [generator] = self.published_generators()
        defaults = functools.partial(
            student_defaults,
            run=settings.teacher,
            direction=self.config.data.direction,
            inputs_only=settings.data == "images",
        )
        discriminator = self.adversarial.name if settings.gan_weight else ""
        return Teacher(settings.teacher, generator, discriminator, defaults)


@dataclasses.dataclass(frozen=True)
class PairsSettings(StudentSettings):
    """Settings of students that learn from targets and from their teacher."""

    l1_weight: Annotated[float, Limits(0.0)] = 50.0
    """Weight of the pixel loss relative to the adversarial loss."""
    teacher_weight: Annotated[float, Limits(0.0)] = 50.0
    """Weight of the pixel loss with the teacher's output as the target."""


class Distilled(_Student):
    """pix2pix with an additional pixel loss between the generator's and its teacher's outputs."""

    Settings = PairsSettings
    settings: PairsSettings

    def metrics(self) -> Sequence[Metric]:
        total, *others = super().metrics()
        return [
            total,
            Metric("gen_teacher", "generator/teacher", bar="T", plot="generator, teacher"),
            *others,
        ]

    def _pixel_losses(
        self, forward: ForwardPass, batch: Batch, fake: tf.Tensor
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        total, metrics = super()._pixel_losses(forward, batch, fake)
        targets = self._composed(batch, forward.infer(Teacher.NETWORK, batch.inputs))
        distance = self._distance(batch, fake, targets)
        return total + self.settings.teacher_weight * distance, {**metrics, "gen_teacher": distance}


@dataclasses.dataclass(frozen=True)
class InputsSettings(StudentSettings):
    """Settings of students that learn from their teacher only."""

    data: ClassVar[DataKind] = "images"
    side: ClassVar[int] = 0


class DistilledFromInputs(_Student):
    """pix2pix with the teacher's outputs as targets; the data set has inputs only."""

    Settings = InputsSettings

    def sample_grid(self, held_out: Rows, generators: Mapping[str, Translate]) -> SampleGrid:
        (translate,) = generators.values()
        rows = [(image, self._shown(translate(image))) for (image,) in held_out]
        return SampleGrid(("input", "output"), rows)

    def _prepare(self, tensors: Tensors, forward: ForwardPass) -> Batch:
        inputs, *weight = tensors
        return super()._prepare([inputs, forward.infer(Teacher.NETWORK, inputs), *weight], forward)


def student_defaults(
    teacher: TrainConfig, run: Path, direction: configs.Direction | None = None, inputs_only: bool = False
) -> TrainConfig:
    """Returns the default config of a teacher's student: the teacher's settings, with fewer filters.

    Args:
        teacher: Config of the teacher.
        run: Run directory or checkpoint of the teacher.
        direction: Name of the teacher's generator; by default the direction that it was trained in.
        inputs_only: Whether to learn from the teacher's outputs only. Always true for unpaired teachers.
    """
    if not teacher.model.takes_images:
        raise ConfigError(
            f"{run} generates images from noise; only runs that translate images can be distilled"
        )
    if inputs_only and (teacher.data.task != "pairs" or teacher.data.one_hot_labels):
        raise ConfigError(
            f"{run} has inputs of a --task or one-hot labels, so it can only be distilled with its targets; "
            "leave out --inputs-only"
        )
    settings = configs.settings_of(teacher)
    student: StudentSettings
    if inputs_only or teacher.model.data != "pairs":
        student = InputsSettings("distilled_from_inputs", settings["recipe"], teacher=run)
    else:
        student = PairsSettings("distilled", settings["recipe"], teacher=run)
    settings |= {
        "base_filters": _STUDENT_FILTERS,
        "discriminator_filters": settings["discriminator_filters"] or settings["base_filters"],
        "direction": direction or settings["direction"],
        "run_dir": student_directory(run),
    }
    if teacher.model.data == "unpaired":
        settings["unconditional"] = True
        if settings["direction"] == "BtoA":  # a CycleGAN's channels and ranges are those of A and B
            for name in ("channels", "range"):
                first, second = f"input_{name}", f"output_{name}"
                settings |= {first: settings[second], second: settings[first]}
    defaults = TrainConfig(student)
    own = {"model", "recipe", "teacher", "precision", "init_from", "l1_weight"}
    inherited = configs.settings_of(defaults).keys() - own
    return configs.replace(defaults, **{name: settings[name] for name in inherited & settings.keys()})


def student_directory(teacher: Path) -> Path:
    """Returns the default run directory of a teacher's student: next to the teacher's."""
    path = teacher if teacher.name not in ("", "..") else teacher.resolve()
    return path.with_name(f"{path.name}-distilled")
