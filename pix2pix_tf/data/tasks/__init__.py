"""Tasks: unchanged pairs, or pairs of a degraded photo and the original, which a network learns to restore.

To add a task, write a subclass of `PhotoTask` in a new file and list it here.
"""

from __future__ import annotations

from pix2pix_tf.config import DataConfig
from pix2pix_tf.data.tasks.base import PhotoTask, Task
from pix2pix_tf.data.tasks.colorize import Colorize
from pix2pix_tf.data.tasks.deblur import Deblur
from pix2pix_tf.data.tasks.edges import Edges
from pix2pix_tf.data.tasks.inpaint import Inpaint
from pix2pix_tf.data.tasks.pairs import Pairs
from pix2pix_tf.data.tasks.upscale import Upscale

__all__ = ["PHOTO_TASKS", "TASKS", "Pairs", "PhotoTask", "Task", "task_for"]

PHOTO_TASKS: dict[str, type[PhotoTask]] = {
    task.name: task for task in (Colorize, Inpaint, Edges, Deblur, Upscale)
}
TASKS: dict[str, type[Pairs | PhotoTask]] = {Pairs.name: Pairs, **PHOTO_TASKS}


def task_for(data: DataConfig, image_channels: int) -> Task:
    """Returns the configured task; raises `ConfigError` if it doesn't support images of these channels."""
    return TASKS[data.task].of(data, image_channels)
