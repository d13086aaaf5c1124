"""CycleGAN's step, compared with the formulas of the paper."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.models.registry import model_for
from pix2pix_tf.training.step import Trainer
from tests.conftest import small_config
from tests.training.steps import distance, first_gradients, pairs, reset, values, without_fast_layers


def config_of(**settings):
    return small_config(None, "cyclegan", input_channels=3, output_channels=3, **settings)


def smooth(*_, name, dtype):
    return keras.layers.Activation("softplus", name=name, dtype=dtype)


@pytest.fixture(scope="module")
def trained():
    """A trainer, a batch, the metrics of a step and the state after it."""
    config = config_of()
    with pytest.MonkeyPatch.context() as patch:
        # Smooth activations, because rounding decides the gradient of a ReLU whose input is nearly 0.
        for activation in ("ReLU", "LeakyReLU"):
            patch.setattr(keras.layers, activation, smooth)
        trainer = Trainer(model_for(config), config, total_steps=10)
    before = values(trainer.state())
    batch = tuple(tf.where(images > 0, 1.0, -1.0) for images in pairs(1))
    metrics = trainer.train_step(batch, tf.constant(0, tf.int64)).numpy()
    after = values(trainer.state())
    reset(trainer, before)
    return trainer, batch, dict(zip(trainer.metrics, metrics, strict=True)), after


@without_fast_layers()
def expected_step(trainer, batch):
    """The losses of sections 3 and 4 and their gradients, with a tape for each loss."""
    a, b = batch
    networks = trainer.networks
    to_b, to_a = networks["generator_ab"], networks["generator_ba"]
    disc_a, disc_b = networks["discriminator_a"], networks["discriminator_b"]

    def l1(one, other):
        return tf.reduce_mean(tf.abs(one - other))

    with tf.GradientTape() as tape:
        fake_b, fake_a = to_b(a, training=True), to_a(b, training=True)
        losses = {
            "gen_ab_gan": tf.reduce_mean((disc_b(fake_b, training=True) - 1) ** 2),
            "gen_ba_gan": tf.reduce_mean((disc_a(fake_a, training=True) - 1) ** 2),
            "cycle_a": l1(to_a(fake_b, training=True), a),
            "cycle_b": l1(to_b(fake_a, training=True), b),
            "identity_a": l1(to_a(a, training=True), a),
            "identity_b": l1(to_b(b, training=True), b),
        }
        weights = {"gen": 1.0, "cycle": 10.0, "identity": 5.0}
        total = sum(weights[name.split("_")[0]] * loss for name, loss in losses.items())
    losses["gen_total"] = total
    variables = {name: networks[name].trainable_variables for name in ("generator_ab", "generator_ba")}
    gradients = tape.gradient(total, variables)
    for name, discriminator, real, fake in (("a", disc_a, a, fake_a), ("b", disc_b, b, fake_b)):
        with tf.GradientTape() as tape:
            on_real, on_fake = discriminator(real, training=True), discriminator(fake, training=True)
            loss = 0.5 * (tf.reduce_mean((on_real - 1) ** 2) + tf.reduce_mean(on_fake**2))
        losses[f"disc_{name}"] = loss
        gradients[f"discriminator_{name}"] = tape.gradient(loss, discriminator.trainable_variables)
    return losses, gradients


@pytest.mark.slow
def test_losses_and_gradients_are_those_of_the_paper(trained):
    trainer, batch, metrics, after = trained
    losses, gradients = expected_step(trainer, batch)
    for name, loss in losses.items():
        assert metrics[name] == pytest.approx(float(loss), rel=1e-4), name
    for network, expected in gradients.items():
        assert distance(first_gradients(trainer, after, network), expected) < 1e-4, network


@pytest.mark.slow
def test_the_pools_are_state_and_hold_what_was_generated(trained):
    trainer, (a, _), _, after = trained
    assert after["discriminator_b_pool/images"].shape == (50, 64, 64, 3)
    assert int(after["discriminator_b_pool/count"]) == int(after["discriminator_a_pool/count"]) == 1
    fake_b = trainer.networks["generator_ab"](a, training=False)
    np.testing.assert_allclose(after["discriminator_b_pool/images"][0], fake_b[0], atol=1e-4)
    assert not after["discriminator_b_pool/images"][1:].any()


def test_sample_grid_of_both_directions():
    model = model_for(config_of())
    a, b = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 100, np.uint8)
    grid = model.sample_grid([(a, b)], {"AtoB": lambda image: image + 1, "BtoA": lambda image: image + 10})
    assert [int(image[0, 0, 0]) for image in grid.rows[0]] == [0, 1, 11, 100, 110, 111]
    assert len(grid.columns) == 6
