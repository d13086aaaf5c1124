"""Tasks that need plain photos only: each spoils a photo, and a network learns the way back.

A task is a file with a subclass of `Task` and a line here.
"""

from __future__ import annotations

from pix2pix_tf.config import DataConfig
from pix2pix_tf.data.tasks.base import Task
from pix2pix_tf.data.tasks.colorize import Colorize
from pix2pix_tf.data.tasks.deblur import Deblur
from pix2pix_tf.data.tasks.edges import Edges
from pix2pix_tf.data.tasks.inpaint import Inpaint
from pix2pix_tf.data.tasks.upscale import Upscale

__all__ = ["TASKS", "Task", "task_for"]

TASKS: dict[str, type[Task]] = {task.name: task for task in (Colorize, Inpaint, Edges, Deblur, Upscale)}


def task_for(data: DataConfig, photo_channels: int) -> Task | None:
    """Returns the task of a configuration, ``None`` where it learns from pairs that are there.

    Args:
        data: whose ``task`` it is.
        photo_channels: of the photos, 1 (grey) or 3 (RGB).

    Raises:
        ConfigError: such photos can't be used for it.
    """
    return None if data.task == "pairs" else TASKS[data.task].of(data, photo_channels)
