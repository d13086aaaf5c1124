"""Adds a task's pre- and postprocessing to a generator, which then maps images to images."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
from keras import layers

from pix2pix_tf.data.tasks import TASKS, Task


def with_task_layers(generator: keras.Model, task: Task) -> keras.Model:
    """Returns a copy of the generator with the task's pre- and postprocessing, without the weights' values.

    It maps [batch, height, width, published input channels] to [batch, height, width, image channels]. Its
    weights have the same names as the generator's. If the task adds nothing, the generator is returned.
    """
    if not task.adds_layers:
        return generator
    image = keras.Input((None, None, task.published_input_channels), name="image", dtype="float32")
    settings = dataclasses.asdict(task)
    given = TaskInput(task.name, settings, name="given", dtype="float32")(image)
    output = TaskOutput(task.name, settings, name="picture", dtype="float32")
    # `generator.call` adds the generator's layers to the model one by one, as exports need them. The clone
    # owns copies of them.
    return keras.models.clone_model(
        keras.Model(image, output([given, generator.call(given)]), name=generator.name)
    )


class _TaskLayer(layers.Layer):
    def __init__(self, task: str, settings: dict[str, Any], **kwargs: Any):
        super().__init__(**kwargs)
        self.task = TASKS[task](**settings)

    def get_config(self) -> dict[str, Any]:
        own = {"task": self.task.name, "settings": dataclasses.asdict(self.task)}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class TaskInput(_TaskLayer):
    """Applies `Task.network_input`, which converts the published model's input to the network's."""

    def call(self, image: Any) -> Any:
        return self.task.network_input(image)


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class TaskOutput(_TaskLayer):
    """Applies `Task.composed` and `Task.to_image` to [network input, network output]."""

    def call(self, inputs: Any) -> Any:
        given, output = inputs
        return self.task.to_image(given, self.task.composed(given, output))
