"""What a task adds to a generator, so that whatever is published takes images and gives finished pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from pix2pix_tf.data.label_maps import one_hot
from pix2pix_tf.data.tasks import TASKS, Task


def finished(generator: keras.Model, task: Task) -> keras.Model:
    """Returns a generator as it is published for a task.

    Args:
        generator: from [batch, height, width, input channels] to [batch, height, width, output channels].
        task: whose channels these are.

    Returns:
        A functional model from [batch, height, width, taken channels] to [batch, height, width, picture
        channels], whose weights have the names of the generator's, but are still to be set; the generator
        itself, where the task has nothing to add.
    """
    if not task.finishes:
        return generator
    image = keras.Input((None, None, task.taken_channels), name="image", dtype="float32")
    given = TaskInput(task.name, task.picture_channels, name="given", dtype="float32")(image)
    picture = TaskPicture(task.name, task.picture_channels, name="picture", dtype="float32")
    return _whole(image, picture([given, generator.call(given)]), generator.name)


def of_label_maps(generator: keras.Model, colors: Sequence[Sequence[int]]) -> keras.Model:
    """Returns a generator that takes one channel a class as one that takes label maps.

    Args:
        generator: from [batch, height, width, classes].
        colors: of the classes, see :func:`pix2pix_tf.data.label_maps.one_hot`.

    Returns:
        A functional model as :func:`finished` returns it.
    """
    image = keras.Input((None, None, len(colors[0])), name="image", dtype="float32")
    classes = OneHotLabels(colors, name="classes", dtype="float32")(image)
    return _whole(image, generator.call(classes), generator.name)


def _whole(image: keras.KerasTensor, picture: keras.KerasTensor, name: str) -> keras.Model:
    # Of a generator that was not called but whose `call` was, the layers become the model's own: exports look
    # at them one by one. They are then in two graphs; their copies are in one.
    return keras.models.clone_model(keras.Model(image, picture, name=name))


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class OneHotLabels(layers.Layer):
    """From label maps to one channel a class, see :func:`pix2pix_tf.data.label_maps.one_hot`.

    Args:
        colors: of the classes.
    """

    def __init__(self, colors: Sequence[Sequence[int]], **kwargs: Any):
        super().__init__(**kwargs)
        self.colors = [list(color) for color in colors]

    def call(self, image: Any) -> Any:
        """Returns the classes."""
        return one_hot(image, self.colors)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns the input's shape with a channel a class."""
        return (*input_shape[:-1], len(self.colors))

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that rebuild the layer."""
        return {**super().get_config(), "colors": self.colors}


class _TaskLayer(layers.Layer):
    """A task's operations as a layer.

    Args:
        task: its name.
        picture_channels: the task's.
    """

    def __init__(self, task: str, picture_channels: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.task = TASKS[task](picture_channels)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that rebuild the layer."""
        own = {"task": self.task.name, "picture_channels": self.task.picture_channels}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class TaskInput(_TaskLayer):
    """What the network is given of an image: see :meth:`pix2pix_tf.data.tasks.Task.prepared`."""

    def call(self, image: Any) -> Any:
        """Returns it."""
        return self.task.prepared(image)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns the input's shape with the network's channels."""
        return (*input_shape[:-1], self.task.input_channels)


@keras.saving.register_keras_serializable(package="pix2pix_tf")
class TaskPicture(_TaskLayer):
    """The picture of what the network was given and what it gave."""

    def call(self, inputs: Any) -> Any:
        """Returns the picture."""
        given, output = inputs
        return self.task.finished(given, self.task.composed(given, output))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Returns the input's shape with the picture's channels."""
        return (*input_shape[0][:-1], self.task.picture_channels)
