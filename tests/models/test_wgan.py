"""WGAN-GP: the algorithm of the paper, its samples, predictions and exports."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pix2pix_tf import load, train
from pix2pix_tf.errors import ConfigError, DataError
from pix2pix_tf.models.registry import model_for
from pix2pix_tf.models.wgan import interpolated
from pix2pix_tf.training.step import Trainer
from tests.conftest import small_config
from tests.training.steps import distance, eagerly, first_gradients, pairs, reset, values, without_fast_layers

TINY = {"generator_filters": 8, "critic_filters": 2, "batch_size": 4}


def config_of(run_dir=None, **settings):
    return small_config(run_dir, "wgan", **{"output_channels": 3, **TINY, **settings})


def photos(count):
    return pairs(count)[1]


def test_the_networks_are_those_described():
    model = model_for(small_config(None, "wgan", output_channels=3))
    generator, critic = (build("float32") for build in model.networks().values())
    filters = [layer.filters for layer in generator.layers if hasattr(layer, "filters")]
    assert filters == [256, 128, 64, 32, 16, 3]
    assert generator(tf.zeros([2, 10])).shape == (2, 64, 64, 3)
    assert [layer.filters for layer in critic.layers if hasattr(layer, "filters")] == [16, 32, 64, 128, 1]
    assert critic(tf.zeros([2, 64, 64, 3])).shape == (2, 2, 2, 1)
    assert not [layer.name for layer in critic.layers if "norm" in layer.name]


def test_critic_update_is_algorithm_1():
    config = config_of(critic_steps=1, beta_1=0.5)
    model = model_for(config)
    trainer = Trainer(model, config, total_steps=10)
    before = values(trainer.state())
    real = photos(8)
    seen = {}
    [critic_phase, _] = model.phases()

    def recorded(batch, forward):
        normal, uniform = forward.normal, forward.uniform
        forward.normal = lambda shape: seen.setdefault("z", normal(shape))
        forward.uniform = lambda shape: seen.setdefault("mix", uniform(shape))
        return critic_phase.losses(batch, forward)

    trainer._phases[0] = dataclasses.replace(critic_phase, losses=recorded)
    with eagerly():
        trainer.train_step((real,), tf.constant(0, tf.int64))
    after = values(trainer.state())
    reset(trainer, before)
    generator, critic = trainer.networks["generator"], trainer.networks["critic"]
    with without_fast_layers(), tf.GradientTape() as tape:
        fake = generator(seen["z"], training=True)
        between = seen["mix"] * real[:4] + (1 - seen["mix"]) * fake
        with tf.GradientTape() as inner:
            inner.watch(between)
            scores = tf.reduce_sum(tf.reduce_mean(critic(between), axis=[1, 2, 3]))
        norms = tf.sqrt(tf.reduce_sum(inner.gradient(scores, between) ** 2, axis=[1, 2, 3]))
        loss = tf.reduce_mean(critic(fake)) - tf.reduce_mean(critic(real[:4]))
        loss += 10 * tf.reduce_mean((norms - 1) ** 2)
    expected = tape.gradient(loss, critic.trainable_variables, unconnected_gradients="zero")
    assert distance(first_gradients(trainer, after, "critic"), expected) < 1e-3


def test_interpolated_noise():
    start, end = np.random.default_rng(0).standard_normal((2, 10)).astype(np.float32)
    start *= np.linalg.norm(end) / np.linalg.norm(start)
    path = interpolated(start, end, 7)
    np.testing.assert_allclose(path[[0, -1]], [start, end], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(path, axis=1), np.linalg.norm(end), rtol=1e-4)
    np.testing.assert_allclose(interpolated(end, end, 3), [end] * 3)
    one = np.ones(1, np.float32)
    np.testing.assert_allclose(interpolated(one, -one, 3), [[1], [0], [-1]], atol=1e-6)


def test_images_must_be_square_powers_of_two():
    for size in (96, (64, 128)):
        with pytest.raises(ConfigError):
            config_of(image_size=size)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = config_of(tmp_path_factory.mktemp("wgan") / "run", steps=6, critic_steps=2)
    return train(config, report=lambda line: None)


@pytest.mark.slow
def test_run_generates_its_sample_grid(run):
    translate = load(run.path)
    assert (translate.noise, translate.output.channels) == (10, 3)
    z = np.random.default_rng(0).standard_normal((5, 8, 10)).astype(np.float32)[0, 0]
    image = translate(z)
    assert image.shape == (64, 64, 3)
    grid = np.asarray(Image.open(run.final_grid))
    assert any((grid[y : y + 64, 8:72] == image).all() for y in range(grid.shape[0] - 64))
    assert (translate(-z) != image).any()
    for wrong in (z[:3], z.astype(int), np.full(10, np.nan, np.float32)):
        with pytest.raises(DataError):
            translate(wrong)
