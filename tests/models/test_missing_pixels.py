"""What models do where pixels have no value: nothing is learned there."""

import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.models.forward import ForwardPass
from pix2pix_tf.models.registry import model_for
from tests.conftest import small_config
from tests.training.steps import INPAINT, batch_for, config_of, eagerly, step, trainer_of, values


class Watched(ForwardPass):
    """Networks that generate one image whatever they are given, and what discriminators saw."""

    def __init__(self, generated):
        super().__init__({}, {}, 0, tf.constant(0, tf.int64))
        self.generated, self.seen = generated, []

    def run(self, name, inputs):
        if "generator" in name or name == "teacher":
            return tf.tile(self.generated, [inputs.shape[0], 1, 1, 1])
        self.seen.append(inputs[1] if isinstance(inputs, list) else inputs)
        return tf.reduce_sum(self.seen[-1] ** 2, axis=[1, 2, 3], keepdims=True)

    recall = run

    def run_with_features(self, name, inputs):
        return [self.run(name, inputs), self.seen[-1]]


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("pix2pix", {"gan_loss": "wgan-gp", "feature_matching": 1.0}),
        ("pix2pix", {**INPAINT, "unconditional": True}),
        ("pix2pix", {"task": "colorize", "input_channels": None}),
        ("distilled", {}),
        ("distilled_from_inputs", {}),
        ("cyclegan", {"pool_size": 0}),
        ("wgan", {}),
    ],
)
def test_missing_pixels_have_no_gradient(model, settings):
    config = small_config(None, model, **{"input_channels": 3, "output_channels": 3, **settings})
    batch = batch_for(config, 1, missing=True)
    weights = [tensor for tensor in batch if tensor.shape[-1] == 1][-2 if model == "cyclegan" else -1 :]
    channels = 2 if config.data.task == "colorize" else 3
    generated = tf.random.stateless_uniform([1, 64, 64, channels], (1, 2))
    for phase in model_for(config).phases():
        forward = Watched(generated)
        with tf.GradientTape() as tape:
            tape.watch(generated)
            objectives, _ = phase.objectives(batch, forward)
            total = tf.add_n(list(objectives.values()))
        missing = tf.reduce_prod(weights, axis=0)[0, ..., 0] == 0
        assert forward.seen
        for image in forward.seen:
            assert not image.numpy()[:, missing].any()
            assert image.numpy()[:, ~missing].any()
        # CycleGAN's one image stands for four, which are missing in different places.
        missing = tf.reduce_max(weights, axis=0)[0, ..., 0] == 0
        if (gradient := tape.gradient(total, generated)) is not None:
            assert not gradient.numpy()[:, missing].any()
            assert gradient.numpy()[:, ~missing].any()


def test_missing_target_pixels_are_ignored():
    config = config_of()
    inputs, targets, weight = batch_for(config, 1, missing=True)
    found = []
    for garbage in (-0.7, 0.9):
        trainer = trainer_of(config)
        with eagerly():
            metrics = step(trainer, (inputs, tf.where(weight > 0, targets, garbage), weight))
        found.append((metrics, values(trainer.state())))
    (metrics, one), (again, other) = found
    assert metrics == again
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)
