"""The training step against a plain one: two tapes, Keras' own training calls, the losses as formulas."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.models.forward import ForwardPass
from pix2pix_tf.networks import build_discriminator, build_generator
from pix2pix_tf.networks.layers import Dropout
from tests.training.steps import (
    SAME,
    config_of,
    distance,
    eagerly,
    pairs,
    reset,
    step,
    trainer_of,
    values,
    without_fast_layers,
)

NUMBER = 7  # of the step that is compared
NETWORKS = ("generator", "discriminator")


@pytest.fixture(scope="module")
def trained():
    """A trainer in float32, and its state at the start."""
    trainer = trainer_of(config_of())
    return trainer, values(trainer.state())


@pytest.fixture
def trainer(trained):
    reset(*trained)
    return trained[0]


def seeds_of(config, layers, number):
    """The dropout states that the step derives from the run's seed, the step and the device 0."""

    def fold(key, number):
        return tf.random.experimental.stateless_fold_in(key, tf.constant(number, tf.int64))

    seed = fold(tf.constant([config.optimization.seed, number], tf.int64), 0)
    return [tf.bitcast(fold(fold(seed, layer), 0)[0], tf.uint32) for layer in range(layers)]


class PlainStep:
    """The step as a textbook writes it: each loss under its own tape, the layers as in inference."""

    def __init__(self, config, dtype="float32"):
        self.config = config
        settings = {"base_filters": config.model.base_filters, "norm": config.model.norm, "dtype": dtype}
        self.generator = build_generator(
            image_size=config.data.size,
            upsampling=config.model.upsampling,
            last_convolution=config.model.last_convolution,
            **settings,
        )
        self.discriminator = build_discriminator(**settings)
        self.number = NUMBER

    def load(self, stored, name):
        """Sets the weights of a network."""
        for variable in getattr(self, name).trainable_variables:
            variable.assign(stored[f"{name}/{variable.path}"])

    @without_fast_layers()
    def generate(self, inputs):
        dropouts = [layer for layer in self.generator.layers if isinstance(layer, keras.layers.Dropout)]
        for layer, seed in zip(dropouts, seeds_of(self.config, len(dropouts), self.number), strict=True):
            layer.seed_generator.state.assign(seed)
        return self.generator(inputs, training=True)

    @staticmethod
    def cost(logits, real):
        probability = tf.sigmoid(logits)
        return tf.reduce_mean(-tf.math.log(probability if real else 1 - probability))

    @without_fast_layers()
    def gradients_and_losses(self, name, inputs, targets):
        network = getattr(self, name)
        with tf.GradientTape() as tape:
            fake = self.generate(inputs)
            fake_logits = self.discriminator([inputs, fake], training=True)
            if name == "generator":
                gan, l1 = self.cost(fake_logits, real=True), tf.reduce_mean(tf.abs(fake - targets))
                loss = gan + 100.0 * l1
                losses = {"gen_total": loss, "gen_gan": gan, "gen_l1": l1}
            else:
                real_logits = self.discriminator([inputs, targets], training=True)
                loss = (self.cost(real_logits, real=True) + self.cost(fake_logits, real=False)) / 2
                losses = {
                    "disc": loss,
                    "disc_real_accuracy": tf.reduce_mean(tf.cast(real_logits > 0, tf.float32)),
                    "disc_fake_accuracy": tf.reduce_mean(tf.cast(fake_logits < 0, tf.float32)),
                }
        return tape.gradient(loss, network.trainable_variables), losses

    def gradients(self, name, batch):
        return self.gradients_and_losses(name, *batch)[0]


@pytest.fixture(scope="module")
def plain(trained):
    return PlainStep(config_of())


@pytest.fixture(scope="module", params=[1, 3], ids=["batch of 1", "batch of 3"])
def compared(request, trained, plain):
    """A batch, a step's metrics and the state after it, and the plain step from the same state."""
    trainer, stored = trained
    reset(trainer, stored)
    batch = pairs(request.param)
    metrics = step(trainer, batch, NUMBER)
    for name in NETWORKS:
        plain.load(stored, name)
    return batch, metrics, values(trainer.state()), plain


def gradients_in(after, network):
    """The gradients that the optimizer was given: at the first update m = (1 - beta_1) gradient."""
    prefix = f"{network.name}_adam"
    return [after[f"{prefix}/{variable.path}/m"] / 0.5 for variable in network.trainable_variables]


def test_losses_equal_a_plain_step(compared):
    batch, metrics, _, plain = compared
    expected = {}
    for name in NETWORKS:
        expected |= {key: float(loss) for key, loss in plain.gradients_and_losses(name, *batch)[1].items()}
    assert metrics == pytest.approx(expected, rel=SAME)


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_equal_a_plain_step(compared, trained, name):
    batch, _, after, plain = compared
    found = gradients_in(after, getattr(plain, name))
    assert distance(found, plain.gradients(name, batch)) < SAME
    [other] = {*NETWORKS} - {name}
    plain.load(after, other)
    later = plain.gradients(name, batch)
    plain.load(trained[1], other)
    assert distance(found, later) > (10 if name == "discriminator" else 2) * SAME


def test_batch_normalization_updates_its_running_averages():
    config = config_of(norm="batch")
    trainer, plain = trainer_of(config), PlainStep(config)
    before = values(trainer.state())
    plain.load(before, "generator")
    averages = {name for name in before if name.endswith(("/moving_mean", "/moving_variance"))}
    assert len({name for name in averages if name.startswith("generator/")}) == 2 * (4 + 5)
    assert len({name for name in averages if name.startswith("discriminator/")}) == 2 * 3
    inputs, targets = pairs(2)
    plain.generate(inputs)
    with eagerly():
        step(trainer, (inputs, targets), NUMBER)
    after = values(trainer.state())
    for layer in plain.generator.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            for variable in (layer.moving_mean, layer.moving_variance):
                name = f"generator/{variable.path}"
                np.testing.assert_allclose(after[name], variable.numpy(), rtol=1e-4, atol=1e-6)
    assert all((after[name] != before[name]).any() for name in averages)


def test_seed_and_step_decide_everything(trained, trainer):
    batch = pairs(1)
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
    again = values(trainer_of(config_of()).state())
    assert again.keys() == trained[1].keys()
    for name, value in again.items():
        np.testing.assert_array_equal(value, trained[1][name])
    other = values(trainer_of(config_of(seed=4)).state())
    kernels = [name for name in again if name.endswith("kernel")]
    assert kernels
    assert all((other[name] != again[name]).all() for name in kernels)
