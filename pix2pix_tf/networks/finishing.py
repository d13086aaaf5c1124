"""Adds a task's pre- and postprocessing to a generator, so that the published model maps images to images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from pix2pix_tf.data.label_maps import one_hot
from pix2pix_tf.data.tasks import TASKS, Task


def finished(generator: keras.Model, task: Task) -> keras.Model:
    """Returns the generator as a model with the task's pre- and postprocessing.

    The model maps [batch, height, width, taken channels] to [batch, height, width, picture channels]. Its
    weights are named as the generator's, but aren't copied yet. If the task adds nothing, the generator
    itself is returned.
    """
    if not task.finishes:
        return generator
    image = keras.Input((None, None, task.taken_channels), name="image", dtype="float32")
    given = TaskInput(task.name, task.picture_channels, name="given", dtype="float32")(image)
    picture = TaskPicture(task.name, task.picture_channels, name="picture", dtype="float32")
    return _whole(image, picture([given, generator.call(given)]), generator.name)


def of_label_maps(generator: keras.Model, colors: Sequence[Sequence[int]]) -> keras.Model:
    """Returns a model that takes label maps in ``colors``, not one channel per class; see `finished`."""
    image = keras.Input((None, None, len(colors[0])), name="image", dtype="float32")
    classes = OneHotLabels(colors, name="classes", dtype="float32")(image)
    return _whole(image, generator.call(classes), generator.name)


def _whole(image: keras.KerasTensor, picture: keras.KerasTensor, name: str) -> keras.Model:
    # Calling `generator.call` puts the generator's own layers into the new model, which exports need to see
    # one by one. Cloning gives copies that belong to this graph only.
    return keras.models.clone_model(keras.Model(image, picture, name=name))


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class OneHotLabels(layers.Layer):
    """Converts label maps to one channel per class; see `pix2pix_tf.data.label_maps.one_hot`."""

    def __init__(self, colors: Sequence[Sequence[int]], **kwargs: Any):
        super().__init__(**kwargs)
        self.colors = [list(color) for color in colors]

    def call(self, image: Any) -> Any:
        return one_hot(image, self.colors)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], len(self.colors))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "colors": self.colors}


class _TaskLayer(layers.Layer):
    def __init__(self, task: str, picture_channels: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.task = TASKS[task](picture_channels)

    def get_config(self) -> dict[str, Any]:
        own = {"task": self.task.name, "picture_channels": self.task.picture_channels}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class TaskInput(_TaskLayer):
    """Applies `Task.prepared`: from the published model's input to the network's."""

    def call(self, image: Any) -> Any:
        return self.task.prepared(image)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.task.input_channels)


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class TaskPicture(_TaskLayer):
    """Applies `Task.composed` and `Task.finished` to [network input, network output]."""

    def call(self, inputs: Any) -> Any:
        given, output = inputs
        return self.task.finished(given, self.task.composed(given, output))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (*input_shape[0][:-1], self.task.picture_channels)
