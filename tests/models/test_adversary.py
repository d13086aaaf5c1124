"""Feature matching: what of the discriminator is compared, and who learns from it."""

import numpy as np
import pytest

from pix2pix_tf.models.registry import model_for
from pix2pix_tf.training.step import Trainer
from tests.conftest import small_config
from tests.training.steps import eagerly, pairs, step

pytestmark = pytest.mark.slow


def gradients(**settings):
    """The metrics of a step by name, and how much each network's weights changed in it."""
    config = small_config(None, input_channels=3, output_channels=3, **settings)
    trainer = Trainer(model_for(config), config, 20)
    with eagerly():
        metrics = step(trainer, pairs(1))
    moments = {
        name: variable.numpy() for name, variable in trainer.state().items() if name.endswith("kernel/m")
    }
    return metrics, moments


def test_feature_matching_trains_the_generator_only():
    plain_metrics, plain = gradients()
    metrics, matched = gradients(feature_matching=10.0)
    assert metrics["disc_features"] > 0
    added = metrics["gen_gan"] - plain_metrics["gen_gan"]
    assert added == pytest.approx(10 * metrics["disc_features"], rel=1e-4)
    for name, moment in matched.items():
        if name.startswith("discriminator"):
            np.testing.assert_allclose(moment, plain[name], rtol=1e-3, atol=1e-6 * np.abs(moment).max())
        else:
            assert np.abs(moment - plain[name]).max() > 1e-3 * np.abs(moment).max(), name
