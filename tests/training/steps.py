"""Trainers, batches and comparisons for tests of training steps."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.data.procedural import draw_pair
from pix2pix_tf.data.tasks import TASKS
from pix2pix_tf.models.registry import model_for
from pix2pix_tf.networks import build_generator
from pix2pix_tf.networks.fast import convolutions
from pix2pix_tf.networks.layers import InstanceNormalization
from pix2pix_tf.training.step import Trainer
from tests.conftest import small_config

# Tolerance of different orders of float32 sums in a dozen layers, ten times the observed difference.
SAME = 1e-4

INPAINT = {"task": "inpaint", "input_channels": None}
# A model, settings, and whether pixels are missing: every task with pixel weights, every loss, and every
# model that normalizes each image alone.
MODELS = [
    ("pix2pix", {"pool_size": 3, "diff_augment": True}, False),
    ("pix2pix", INPAINT, False),
    ("pix2pix", {"gan_loss": "wgan-gp", "critic_steps": 2}, True),
    ("pix2pix", {**INPAINT, "gan_loss": "lsgan", "pixel_loss": "l2", "feature_matching": 5.0}, True),
    ("pix2pix", {"task": "colorize", "input_channels": None, "gan_loss": "hinge"}, True),
    ("distilled", INPAINT, True),
    ("distilled_from_inputs", {}, True),
    ("cyclegan", {"generator": "unet", "pool_size": 3}, True),
]


def config_of(**settings):
    return small_config(None, **{"input_channels": 3, "output_channels": 3, "seed": 3, **settings})


def trainer_of(config, strategy=None):
    """A trainer; a student has an untrained teacher."""
    teacher = None
    if hasattr(config.model, "teacher"):
        with (strategy or tf.distribute.get_strategy()).scope():
            keras.utils.set_random_seed(8)
            inputs = TASKS[config.data.task]().input_channels if config.data.task != "pairs" else 3
            teacher = build_generator(image_size=(64, 64), base_filters=4, input_channels=inputs)
    return Trainer(model_for(config), config, 20, strategy, teacher)


def without_dropout(trainer):
    """Disables dropout, which differs between precisions and devices."""
    for layer in trainer.networks["generator"].layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    return trainer


def pairs(count, size=64):
    """Label maps and photos of procedural facades, [count, size, size, 3] in [-1, 1]."""
    drawn = [draw_pair(1, number, size, size) for number in range(count)]
    photos, labels = (np.stack(images).astype(np.float32) / 127.5 - 1 for images in zip(*drawn, strict=True))
    return tf.constant(labels), tf.constant(photos)


def batch_for(config, count, missing=False):
    """A batch of procedural facades; the share of missing pixels differs between images."""
    labels, photos = pairs(count)
    if config.data.task != "pairs":
        task = TASKS[config.data.task]()
        labels = tf.stack(
            [task.degraded(photo, tf.constant([0, i], tf.int64)) for i, photo in enumerate(photos)]
        )
        photos = task.target(photos)
    images = (photos,) if config.model.data == "images" else (labels, photos)
    if not missing:
        return images
    shares = np.linspace(0.2, 0.9, count)[:, None, None, None]
    draw = np.random.default_rng(0)
    weights = [
        tf.constant((draw.random((count, 64, 64, 1)) < shares).astype(np.float32))
        for _ in range(2 if config.model.data == "unpaired" else 1)
    ]
    first = images[: len(images) - len(weights)]  # the input of a pair
    masked = (image * weight for image, weight in zip(images[len(first) :], weights, strict=True))
    return (*first, *masked, *weights)


def values(state):
    return {name: variable.numpy().copy() for name, variable in state.items()}


def reset(trainer, stored):
    for name, variable in trainer.state().items():
        variable.assign(stored[name])


def step(trainer, batch, number=0):
    """The metrics of a step by name."""
    metrics = trainer.train_step(batch, tf.constant(number, tf.int64)).numpy()
    return dict(zip(trainer.metrics, map(float, metrics), strict=True))


def first_gradients(trainer, state, network):
    """The gradients of a network's first update: Adam's first moment divided by (1 - beta_1)."""
    paths = [variable.path for variable in trainer.networks[network].trainable_variables]
    return [state[f"{network}_adam/{path}/m"] / 0.5 for path in paths]


def distance(one, other):
    """The relative norm of the difference of two lists of gradients."""
    one, other = (np.concatenate([np.ravel(part) for part in parts]) for parts in (one, other))
    return np.linalg.norm(one - other) / np.linalg.norm(other)


def largest_gap(one, other):
    """The largest relative difference between the gradients of two states."""
    moments = [name for name in one if name.endswith("/m")]
    assert moments
    return max(
        float(np.linalg.norm(one[name] - other[name]) / (np.linalg.norm(other[name]) + 1e-12))
        for name in moments
    )


@contextlib.contextmanager
def without_fast_layers():
    """Makes layers use their inference implementation in training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolutions, "_is_fast_here", lambda x: False)
        patch.setattr(InstanceNormalization, "_MOST_FUSED", 0)
        yield


@contextlib.contextmanager
def eagerly():
    """Runs steps without compiling them, which is faster for a single step."""
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)
