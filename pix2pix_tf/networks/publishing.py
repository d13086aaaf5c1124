"""Adds a task's pre- and postprocessing to a generator, so that the published model maps images to images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from pix2pix_tf.data.label_maps import one_hot
from pix2pix_tf.data.tasks import TASKS, Task


def with_task_layers(generator: keras.Model, task: Task) -> keras.Model:
    """Returns the generator as a model with the task's pre- and postprocessing.

    The model maps [batch, height, width, taken channels] to [batch, height, width, picture channels]. Its
    weights are named as the generator's, but aren't copied yet. If the task adds nothing, the generator
    itself is returned.
    """
    if not task.adds_layers:
        return generator
    image = keras.Input((None, None, task.published_input_channels), name="image", dtype="float32")
    given = TaskInput(task.name, task.photo_channels, name="given", dtype="float32")(image)
    picture = TaskOutput(task.name, task.photo_channels, name="picture", dtype="float32")
    return _whole(image, picture([given, generator.call(given)]), generator.name)


def with_one_hot_input(generator: keras.Model, colors: Sequence[Sequence[int]]) -> keras.Model:
    """Returns a model that takes label maps in ``colors``; see `with_task_layers`."""
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
    def __init__(self, task: str, photo_channels: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.task = TASKS[task](photo_channels)

    def get_config(self) -> dict[str, Any]:
        own = {"task": self.task.name, "photo_channels": self.task.photo_channels}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class TaskInput(_TaskLayer):
    """Applies `Task.network_input`: from the published model's input to the network's."""

    def call(self, image: Any) -> Any:
        return self.task.network_input(image)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.task.input_channels)


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class TaskOutput(_TaskLayer):
    """Applies `Task.composed` and `Task.to_image` to [network input, network output]."""

    def call(self, inputs: Any) -> Any:
        given, output = inputs
        return self.task.to_image(given, self.task.composed(given, output))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (*input_shape[0][:-1], self.task.photo_channels)
