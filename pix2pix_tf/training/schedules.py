"""The length of a run, and the learning rate as a function of how far it is."""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

from pix2pix_tf.config import LearningRateSchedule, OptimizationConfig, TrainConfig
from pix2pix_tf.models.registry import model_for


def _constant(progress: tf.Tensor) -> tf.Tensor:
    return tf.ones_like(progress)


def _linear(progress: tf.Tensor) -> tf.Tensor:
    """Constant for half of the run, then down to 0 (Zhu et al. 2017, appendix 7.1)."""
    return tf.minimum(2.0 * (1.0 - progress), 1.0)


def _cosine(progress: tf.Tensor) -> tf.Tensor:
    """Half a cosine from 1 to 0 (Loshchilov & Hutter 2017, equation 5, without restarts)."""
    return 0.5 * (1.0 + tf.cos(math.pi * progress))


_SCHEDULES: dict[LearningRateSchedule, Callable[[tf.Tensor], tf.Tensor]] = {
    "constant": _constant,
    "linear": _linear,
    "cosine": _cosine,
}


def learning_rate(options: OptimizationConfig, step: tf.Tensor | int, total_steps: int) -> tf.Tensor:
    """Returns the learning rate after ``step`` steps, float32; a longer run has a longer schedule."""
    end = options.lr_end_step or total_steps
    progress = tf.cast(tf.minimum(step, end - 1), tf.float32) / float(end)
    return options.learning_rate * _SCHEDULES[options.lr_schedule](progress)


def steps_per_epoch(config: TrainConfig, image_count: int) -> float:
    """Returns the steps in one pass over ``image_count`` training pairs or images."""
    return image_count / (config.optimization.batch_size * model_for(config).batches_per_step())


def total_steps(config: TrainConfig, image_count: int) -> int:
    """Returns the steps of the whole run over ``image_count`` training pairs or images."""
    if config.optimization.steps is not None:
        return config.optimization.steps
    assert config.optimization.epochs is not None  # the configuration has checked that
    return math.ceil(config.optimization.epochs * steps_per_epoch(config, image_count))


def schedule_change(stored: TrainConfig, config: TrainConfig, step: int, image_count: int) -> str | None:
    """Returns a message if ``config`` moves the end of the schedule, which changes the rate at ``step``."""
    before, now = (total_steps(each, image_count) for each in (stored, config))
    ends = (stored.optimization.lr_end_step or before, config.optimization.lr_end_step or now)
    if config.optimization.lr_schedule == "constant" or ends[0] == ends[1]:
        return None
    old = float(learning_rate(stored.optimization, step - 1, before))
    new = float(learning_rate(config.optimization, step, now))
    return (
        f"learning rate {old:.3g} → {new:.3g}: --lr-schedule {config.optimization.lr_schedule} ends at step "
        f"{ends[1]}, no longer at {ends[0]}; --lr-end-step {ends[0]} keeps that end"
    )
