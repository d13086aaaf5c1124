"""The learning rate over a run, a function of how far it is."""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

from pix2pix_tf.config import LearningRateSchedule, OptimizationConfig


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
