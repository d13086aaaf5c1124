"""The interface of models; the rest of the program uses no model by name.

To add a model, write a subclass of `Model` and one of `ModelSettings` in a new file, and list it in
`pix2pix_tf.models.registry`. Model files import TensorFlow inside functions only, so that ``--help`` is fast.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pix2pix_tf.config import ModelSettings, TrainConfig
from pix2pix_tf.data.names import label_sides

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

    from pix2pix_tf.data.pixel_format import PixelFormat
    from pix2pix_tf.data.tasks import Task
    from pix2pix_tf.models.forward import ForwardPass

Tensors = Sequence["tf.Tensor"]
Rows = Sequence[Sequence["np.ndarray"]]
# The losses to minimize and the metrics, by name: float32 scalars, means over the batch.
LossesAndMetrics = tuple[dict[str, "tf.Tensor"], dict[str, "tf.Tensor"]]
# Maps an image or noise to an image, uint8 or uint16 [height, width, channels].
Translate = Callable[["np.ndarray"], "np.ndarray"]


def masked(images: tf.Tensor, weight: tf.Tensor | None) -> tf.Tensor:
    """Sets missing pixels, whose weight is 0, to 0, so that real and generated images don't differ there."""
    return images if weight is None else images * weight


def input_format(form: PixelFormat, config: TrainConfig, side: int = 0) -> PixelFormat:
    """Adds a data set's label maps and ignored value to the format of a generator's input."""
    if config.model.data != "unpaired" and config.data.direction == "BtoA":
        side = 1 - side
    is_label_map = config.data.task == "pairs" and "AB"[side] in label_sides(config.data)
    return dataclasses.replace(
        form, labels=is_label_map or config.data.one_hot_labels, ignore=config.data.ignored[side]
    )


@dataclasses.dataclass(frozen=True)
class Metric:
    """A number that every training step measures. It is only shown where it has a name."""

    name: str  # name in metrics.jsonl
    tag: str  # name in TensorBoard
    bar: str = ""  # name in the progress bar
    plot: str = ""  # name in losses.png
    level: tuple[float, str] | None = None  # reference value to mark in the plot, and its description


@dataclasses.dataclass(frozen=True)
class Phase:
    """An update of one or more networks from one forward pass."""

    # Computes the losses and metrics of a batch from `training_batches`.
    losses: Callable[[Tensors, ForwardPass], LossesAndMetrics]
    trains: Mapping[str, Sequence[str]]  # networks to update, by loss; a network has at most one loss
    repeats: int = 1  # number of updates per step, each with a different batch


def _identity() -> Task:
    from pix2pix_tf.data.tasks import Task  # needs TensorFlow

    return Task()


@dataclasses.dataclass(frozen=True)
class PublishedGenerator:
    """A network that makes samples, predictions and exports."""

    network: str  # key of `Model.networks`
    input: PixelFormat  # format of input files; 0 channels for noise
    output: PixelFormat  # format of output files
    noise: int = 0  # size of the noise vector; 0 if the input is an image
    stochastic: bool = False  # whether dropout stays active, as noise
    side: int = 0  # index of the input in the data set's rows
    task: Task = dataclasses.field(default_factory=_identity)  # pre- and postprocessing when published
    discriminator: str = ""  # key of `Model.networks`; empty without a discriminator


@dataclasses.dataclass(frozen=True)
class Teacher:
    """The run that a student is distilled from.

    A copy of the teacher's network is saved in the student's run before the first step.
    """

    NETWORK: ClassVar[str] = "teacher"  # name of the copy in the forward pass

    run: Path  # run directory or checkpoint
    generator: str  # name of the published generator
    discriminator: str  # network of the student that starts with the teacher's weights; empty without one
    student_defaults: Callable[[TrainConfig], TrainConfig]  # makes a config from the teacher's


@dataclasses.dataclass(frozen=True)
class SampleGrid:
    """Rows of images, ``uint8`` or ``uint16`` [height, width, channels], under column titles."""

    columns: Sequence[str]
    rows: Rows
    caption: str = ""


class Model(abc.ABC):
    """A method of training generators: its networks, losses, samples and published generators.

    ``config`` has resolved precision and channels (no 'auto', no ``None``).
    """

    Settings: ClassVar[type[ModelSettings]]
    # Defaults that differ from those in `pix2pix_tf.config`. Further ones for the recipe 'paper', and for the
    # procedural data set, where they give good images within minutes on a laptop.
    defaults: ClassVar[Mapping[str, Any]] = {}
    paper: ClassVar[Mapping[str, Any]] = {}
    procedural: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, config: TrainConfig):
        self.config, self.settings = config, config.model

    @abc.abstractmethod
    def networks(self) -> Mapping[str, Callable[[str], keras.Model]]:
        """Returns a function for each network, by name, which builds it for a Keras dtype policy.

        Networks are built in this order, which determines the initial weights together with the seed.
        """

    @abc.abstractmethod
    def metrics(self) -> Sequence[Metric]:
        """Returns the metrics of a step, in display order."""

    @abc.abstractmethod
    def phases(self) -> Sequence[Phase]:
        """Returns the updates of a step, in execution order."""

    @abc.abstractmethod
    def published_generators(self) -> Mapping[str, PublishedGenerator]:
        """Returns the published generators by name, such as 'AtoB'; the first is the default."""

    @abc.abstractmethod
    def sample_grid(self, held_out: Rows, generators: Mapping[str, Translate]) -> SampleGrid:
        """Returns the samples of a step; ``held_out`` has rows of images that aren't trained on."""

    def teacher(self) -> Teacher | None:
        """Returns the teacher of a student, ``None`` for other models."""
        return None

    def batches_per_step(self) -> int:
        """Returns the number of batches per step, one per update."""
        return sum(phase.repeats for phase in self.phases())

    def extra_state(self) -> Mapping[str, tf.Variable]:
        """Creates the variables, besides weights, that training changes and checkpoints contain, by name."""
        return {}
