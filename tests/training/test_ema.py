"""Moving averages of the published weights, against the plain recursion, and where they go."""

import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.models.registry import model_for
from pix2pix_tf.runs.checkpoints import average_name
from pix2pix_tf.training.ema import INTERVAL, MovingAverages
from pix2pix_tf.training.step import Trainer
from tests.conftest import small_config

STEPS = 3 * INTERVAL + 4


def followed(decay):
    """A variable's values after each step, the averages object's and the plain recursion's."""
    random = np.random.default_rng(0)
    variable = tf.Variable(random.standard_normal(5), dtype=tf.float32)
    averages = MovingAverages({"w": variable}, decay)
    expected = variable.numpy().astype(np.float64)
    for done in range(1, STEPS + 1):
        variable.assign(variable + random.standard_normal(5).astype(np.float32))
        averages.update(tf.constant(done, tf.int64))
        if done < INTERVAL or done % INTERVAL == 0:
            steps = 1 if done <= INTERVAL else INTERVAL
            own = min(decay, (done + 1) / (done + 10)) ** steps
            expected = own * expected + (1 - own) * variable.numpy()
    return variable.numpy(), averages.variables["w"].numpy(), expected


@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_an_average_is_the_plain_recursion(decay):
    variable, average, expected = followed(decay)
    np.testing.assert_allclose(average, expected, rtol=1e-5)
    assert np.abs(average - variable).max() > 0.1


@pytest.mark.parametrize("decay", [0.0, 0.9])
@pytest.mark.parametrize("model", ["pix2pix", "cyclegan", "wgan"])
def test_published_weights_are_averaged(model, decay):
    config = small_config(None, model, input_channels=3, output_channels=3, ema_decay=decay)
    described = model_for(config)
    trainer = Trainer(described, config, 10)
    averaged = {name for name in trainer.state() if name.startswith(average_name(""))}
    networks = {generator.network for generator in described.published_generators().values()}
    assert averaged == ({average_name(name) for name in trainer.weights(networks)} if decay else set())
    published = trainer.published_weights()
    for name, variable in trainer.weights().items():
        assert (published[name] is variable) == (average_name(name) not in averaged)
