"""Phases, repeats and update counts, with a model whose networks have one weight each."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf import preset, replace
from pix2pix_tf.models.base import Metric, Model, Phase
from pix2pix_tf.training.step import Trainer

BETA_1, BETA_2, RATE = 0.5, 0.9, 0.1


def one_weight(name):
    image = keras.Input((1, 1, 1))
    return keras.Model(image, keras.layers.Dense(1, use_bias=False, name=name)(image), name=name)


class Toy(Model):
    """Updates a critic three times, then an actor. Each gradient is the mean of the batch."""

    def networks(self):
        return {"actor": lambda dtype: one_weight("actor"), "critic": lambda dtype: one_weight("critic")}

    def metrics(self):
        return [Metric("mean", "mean"), Metric("actor", "actor")]

    def phases(self):
        return [
            Phase(self.critic, {"critic": ["critic"]}, repeats=3),
            Phase(self.actor, {"actor": ["actor"]}),
        ]

    def critic(self, batch, forward):
        return {"critic": tf.reduce_mean(forward.run("critic", batch[0]))}, {"mean": tf.reduce_mean(batch[0])}

    def actor(self, batch, forward):
        loss = tf.reduce_mean(forward.run("actor", batch[0]))
        return {"actor": loss, "unused": 0 * loss}, {"actor": loss}

    def published_generators(self):
        return {}

    def sample_grid(self, held_out, generators):
        raise NotImplementedError


@pytest.fixture
def trainer():
    config = replace(
        preset("procedural"), beta_1=BETA_1, beta_2=BETA_2, learning_rate=RATE, precision="float32"
    )
    return Trainer(Toy(config), config, total_steps=10)


def adam(weight, gradients):
    m = v = 0.0
    for t, gradient in enumerate(gradients, start=1):
        m = BETA_1 * m + (1 - BETA_1) * gradient
        v = BETA_2 * v + (1 - BETA_2) * gradient**2
        weight -= RATE * np.sqrt(1 - BETA_2**t) / (1 - BETA_1**t) * m / (np.sqrt(v) + 1e-8)
    return weight


@pytest.mark.slow
def test_updates_and_batches_per_phase(trainer):
    assert trainer.batches_per_step == 4
    state = trainer.state()
    before = {name: float(state[f"{name}/{name}/kernel"].numpy()[0, 0]) for name in ("actor", "critic")}
    values = np.array([[1, 2, -3, 4], [5, -6, 7, 8]], np.float32)  # [steps, updates]
    for step, row in enumerate(values):
        batch = tf.constant(np.repeat(row, 2).reshape(8, 1, 1, 1))  # two images a batch
        metrics = dict(
            zip(trainer.metrics, trainer.train_step((batch,), tf.constant(step, tf.int64)), strict=True)
        )
    assert float(metrics["mean"]) == pytest.approx(values[1, :3].mean())
    after = {name: float(state[f"{name}/{name}/kernel"].numpy()[0, 0]) for name in ("actor", "critic")}
    assert after["critic"] == pytest.approx(adam(before["critic"], values[:, :3].ravel()), abs=1e-6)
    assert after["actor"] == pytest.approx(adam(before["actor"], values[:, 3]), abs=1e-6)
