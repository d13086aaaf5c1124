"""What a model is to the rest of the program, which knows no model by name.

A model is a file with a subclass of `Model` and one of `ModelSettings`, and a line in
`pix2pix_tf.models.registry`. Importing it needs no TensorFlow, so that ``--help`` answers at once: what does
is imported where a network is built or a loss computed.
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
    from pix2pix_tf.models.forward import ForwardPass

# From the batch, as `training_batches` gives it, to objectives and metrics by name.
Objectives = Callable[
    [Sequence["tf.Tensor"], "ForwardPass"], tuple[Mapping[str, "tf.Tensor"], Mapping[str, "tf.Tensor"]]
]
# From an image, or from noise, to an image: uint8 [height, width, channels].
Translate = Callable[["np.ndarray"], "np.ndarray"]


def masked(images: tf.Tensor, weight: tf.Tensor | None) -> tf.Tensor:
    """Returns images with 0 in pixels of weight 0: what is real and what is generated are alike there."""
    return images if weight is None else images * weight


def as_files_are_read(form: PixelFormat, config: TrainConfig, side: int = 0) -> PixelFormat:
    """Completes the format of a generator's input by what the data set says of the side that it takes."""
    if config.model.data != "unpaired" and config.data.direction == "BtoA":
        side = 1 - side
    is_label_map = config.data.task == "pairs" and "AB"[side] in label_sides(config.data)
    return dataclasses.replace(
        form, labels=is_label_map or config.data.one_hot_labels, ignore=config.data.ignored[side]
    )


@dataclasses.dataclass(frozen=True)
class Metric:
    """A number that every step gives.

    Args:
        name: in metrics.jsonl.
        tag: in TensorBoard.
        bar: what the progress bar calls it; not there if empty.
        plot: what losses.png calls it; not there if empty.
        level: a value worth a line in its plot, and what it means.
    """

    name: str
    tag: str
    bar: str = ""
    plot: str = ""
    level: tuple[float, str] | None = None


@dataclasses.dataclass(frozen=True)
class Phase:
    """Updates of some networks from one forward pass.

    Args:
        objectives: gives the losses to minimize, means over the batch, float32 scalars; and metrics.
        trains: for each objective the networks that it updates; no network is in two objectives.
        repeats: how often in a step; each time with a batch of its own.
    """

    objectives: Objectives
    trains: Mapping[str, Sequence[str]]
    repeats: int = 1


@dataclasses.dataclass(frozen=True)
class PublishedGenerator:
    """A network that makes samples, predictions and exports.

    Args:
        network: its name in `Model.networks`.
        input: of the published input, as files are read; without channels if it takes noise.
        output: of the published output.
        noise: how many standard normal numbers it takes; 0 if it takes an image.
        stochastic: dropout is kept as noise.
        side: which image of the data set's row it takes; the first of a pair is the input.
        publish: returns the published functional model, which keeps the names of the network's weights;
            by default the network itself is published.
        inpaints: transparent pixels of its input are the mask that it fills.
        enlarges: how many times larger than an input file the output is. The network takes it enlarged.
        discriminator: the network that it is trained against; none if empty.
    """

    network: str
    input: PixelFormat
    output: PixelFormat
    noise: int = 0
    stochastic: bool = False
    side: int = 0
    publish: Callable[[keras.Model], keras.Model] | None = None
    inpaints: bool = False
    enlarges: int = 1
    discriminator: str = ""


@dataclasses.dataclass(frozen=True)
class Teacher:
    """Another run that a model learns from.

    A copy of its network is stored in the student's run when training begins, and is called `Teacher.NETWORK`
    in the forward pass.

    Args:
        run: a run directory, or one of its checkpoints.
        generator: which of its generators.
        discriminator: this model's network that begins with the weights of the teacher's; none if empty.
        inherited: from the configuration of that run to the default configuration of this one.
    """

    NETWORK: ClassVar[str] = "teacher"

    run: Path
    generator: str
    discriminator: str
    inherited: Callable[[TrainConfig], TrainConfig]


@dataclasses.dataclass(frozen=True)
class SampleGrid:
    """Named columns, and rows with an image ``uint8`` or ``uint16`` [height, width, channels] for each."""

    columns: Sequence[str]
    rows: Sequence[Sequence[np.ndarray]]
    caption: str = ""


class Model(abc.ABC):
    """A method to train, described without computing anything.

    Args:
        config: with ``precision`` and the channels resolved (no 'auto', no ``None``).

    Attributes:
        Settings: the model's own settings; its fields become flags, help and config.json.
        defaults: other defaults of the shared settings than a configuration has by itself.
        paper: what the recipe 'paper' has besides that, where the defaults are not the paper's.
        procedural: settings for the built-in data: a picture within minutes on a laptop.
    """

    Settings: ClassVar[type[ModelSettings]]
    defaults: ClassVar[Mapping[str, Any]] = {}
    paper: ClassVar[Mapping[str, Any]] = {}
    procedural: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, config: TrainConfig):
        self.config = config

    @abc.abstractmethod
    def networks(self) -> Mapping[str, Callable[[str], keras.Model]]:
        """Returns what builds each network for a Keras precision policy, by the network's name.

        They are built in this order, which with the seed decides the first weights.
        """

    @abc.abstractmethod
    def metrics(self) -> Sequence[Metric]:
        """Returns all that a step measures, in the order in which it is shown."""

    @abc.abstractmethod
    def phases(self) -> Sequence[Phase]:
        """Returns the updates of a step, in their order."""

    @abc.abstractmethod
    def published_generators(self) -> Mapping[str, PublishedGenerator]:
        """Returns what is published, the usual one first, by name: a direction such as 'AtoB'."""

    @abc.abstractmethod
    def sample_grid(
        self, held_out: Sequence[Sequence[np.ndarray]], generators: Mapping[str, Translate]
    ) -> SampleGrid:
        """Returns the samples of a training step.

        Args:
            held_out: images that were not trained on, a row of them one for each image of the data set.
            generators: those of :meth:`published_generators`, as they stand.
        """

    def teacher(self) -> Teacher | None:
        """Returns the run that is learned from besides the data, or ``None``."""
        return None

    def batches_per_step(self) -> int:
        """Returns how many batches a step takes, one for each update."""
        return sum(phase.repeats for phase in self.phases())

    def extra_state(self) -> Mapping[str, tf.Variable]:
        """Creates what else training changes and a checkpoint holds, by name."""
        return {}
