"""The training step, compared with a plain one: a tape per loss, Keras' layers, the paper's formulas."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.models.forward import ForwardPass
from pix2pix_tf.networks.layers import Dropout
from tests.training.steps import (
    SAME,
    config_of,
    distance,
    eagerly,
    first_gradients,
    pairs,
    reset,
    step,
    trainer_of,
    values,
    without_fast_layers,
)

NUMBER = 7  # completed steps
NETWORKS = ("generator", "discriminator")


@pytest.fixture(scope="module")
def trained():
    """A trainer in float32, and its initial state."""
    trainer = trainer_of(config_of())
    return trainer, values(trainer.state())


def generate(trainer, inputs):
    """The generator's output in training, with the dropout of a step on device 0."""

    def fold(key, number):
        return tf.random.experimental.stateless_fold_in(key, tf.constant(number, tf.int64))

    seed = fold(tf.constant([config_of().optimization.seed, NUMBER], tf.int64), 0)
    generator = trainer.networks["generator"]
    dropouts = [layer for layer in generator.layers if isinstance(layer, keras.layers.Dropout)]
    for number, layer in enumerate(dropouts):
        layer.seed_generator.state.assign(tf.bitcast(fold(fold(seed, number), 0)[0], tf.uint32))
    return generator(inputs, training=True)


@without_fast_layers()
def expected_gradients(trainer, name, inputs, targets):
    """A network's gradients, and the step's values that its loss consists of."""
    discriminator = trainer.networks["discriminator"]

    def cross_entropy(logits, real):
        probability = tf.sigmoid(logits)
        return tf.reduce_mean(-tf.math.log(probability if real else 1 - probability))

    with tf.GradientTape() as tape:
        fake = generate(trainer, inputs)
        fake_logits = discriminator([inputs, fake], training=True)
        if name == "generator":
            gan, l1 = cross_entropy(fake_logits, real=True), tf.reduce_mean(tf.abs(fake - targets))
            loss = gan + 100.0 * l1
            measured = {"gen_total": loss, "gen_gan": gan, "gen_l1": l1}
        else:
            real_logits = discriminator([inputs, targets], training=True)
            loss = (cross_entropy(real_logits, real=True) + cross_entropy(fake_logits, real=False)) / 2
            measured = {
                "disc": loss,
                "disc_real_accuracy": tf.reduce_mean(tf.cast(real_logits > 0, tf.float32)),
                "disc_fake_accuracy": tf.reduce_mean(tf.cast(fake_logits < 0, tf.float32)),
            }
    gradients = tape.gradient(loss, trainer.networks[name].trainable_variables)
    return gradients, {key: float(value) for key, value in measured.items()}


@pytest.mark.parametrize("count", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_losses_and_gradients_equal_a_plain_step(trained, count):
    trainer, stored = trained
    reset(trainer, stored)
    batch = pairs(count)
    metrics = step(trainer, batch, NUMBER)
    after = values(trainer.state())
    expected = {}
    for name, other in zip(NETWORKS, reversed(NETWORKS), strict=True):
        reset(trainer, stored)
        gradients, measured = expected_gradients(trainer, name, *batch)
        expected |= measured
        found = first_gradients(trainer, after, name)
        assert distance(found, gradients) < SAME
        for key, variable in trainer.weights([other]).items():
            variable.assign(after[key])
        later, _ = expected_gradients(trainer, name, *batch)  # if the other network were updated first
        assert distance(found, later) > (10 if name == "discriminator" else 2) * SAME
    assert metrics == pytest.approx(expected, rel=SAME)


def test_batch_normalization_updates_its_running_averages():
    trainer, (inputs, targets) = trainer_of(config_of(norm="batch")), pairs(2)
    before = values(trainer.state())
    averages = {name for name in before if name.endswith(("/moving_mean", "/moving_variance"))}
    assert len({name for name in averages if name.startswith("generator/")}) == 2 * (4 + 5)
    assert len({name for name in averages if name.startswith("discriminator/")}) == 2 * 3
    with without_fast_layers():
        generate(trainer, inputs)
    expected = values(trainer.state())
    reset(trainer, before)
    with eagerly():
        step(trainer, (inputs, targets), NUMBER)
    after = values(trainer.state())
    for name in averages:
        assert (after[name] != before[name]).any()
        if name.startswith("generator/"):
            np.testing.assert_allclose(after[name], expected[name], rtol=1e-4, atol=1e-6)


def test_seed_and_step_decide_everything(trained):
    batch, (trainer, _) = pairs(1), trained
    reset(*trained)
    first = step(trainer, batch, 7)
    after = values(trainer.state())
    reset(*trained)
    assert step(trainer, batch, 7) == first
    for name, value in values(trainer.state()).items():
        np.testing.assert_array_equal(value, after[name], err_msg=name)
    seen = set()
    for number in (0, 1, 2, 2**33):
        reset(*trained)
        seen.add(step(trainer, batch, number)["gen_l1"])
    assert len(seen) == 4


def test_dropout_uses_64_bit_steps():
    inputs = keras.Input((1000,))
    network = keras.Model(inputs, Dropout(0.5, seed=0)(inputs))
    one, other = (
        ForwardPass({"network": network}, {}, 3, tf.constant(number, tf.int64)).run(
            "network", tf.ones([1, 1000])
        )
        for number in (13489, 23111)
    )
    assert 0.4 < np.mean(one == other) < 0.6


def test_the_seed_decides_the_first_weights(trained):
    again, other = (values(trainer_of(config_of(seed=seed)).state()) for seed in (3, 4))
    assert again.keys() == trained[1].keys()
    for name, value in again.items():
        np.testing.assert_array_equal(value, trained[1][name])
    kernels = [name for name in again if name.endswith("kernel")]
    assert kernels
    assert all((other[name] != again[name]).all() for name in kernels)
