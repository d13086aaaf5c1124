"""Missing pixels have no effect on losses and gradients."""

import pytest
import tensorflow as tf

from pix2pix_tf.models.forward import ForwardPass
from pix2pix_tf.models.registry import model_for
from tests.conftest import small_config
from tests.training.steps import INPAINT, batch_for


class Watched(ForwardPass):
    """Networks that always generate the same image; records the images that discriminators see."""

    def __init__(self, generated):
        super().__init__({}, {}, 0, tf.constant(0, tf.int64))
        self.generated, self.seen = generated, []

    def run(self, name, inputs):
        if "generator" in name or name == "teacher":
            return tf.tile(self.generated, [inputs.shape[0], 1, 1, 1])
        self.seen.append(inputs[1] if isinstance(inputs, list) else inputs)
        return tf.reduce_sum(self.seen[-1] ** 2, axis=[1, 2, 3], keepdims=True)

    infer = run

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
    *images, _ = batch = batch_for(config, 1, missing=True)
    weights = [tensor for tensor in batch if tensor.shape[-1] == 1][-2 if model == "cyclegan" else -1 :]
    if model == "pix2pix":  # targets with values in missing pixels
        batch = (images[0], tf.where(weights[0] > 0, images[1], 0.7), weights[0])
    channels = 2 if config.data.task == "colorize" else 3
    generated = tf.random.stateless_uniform([1, 64, 64, channels], (1, 2))
    for phase in model_for(config).phases():
        forward = Watched(generated)
        with tf.GradientTape() as tape:
            tape.watch(generated)
            losses, _ = phase.losses(batch, forward)
            total = tf.add_n(list(losses.values()))
        missing = tf.reduce_prod(weights, axis=0)[0, ..., 0] == 0
        assert forward.seen
        for image in forward.seen:
            assert not image.numpy()[:, missing].any()
            assert image.numpy()[:, ~missing].any()
        # CycleGAN's four images, which are all the same here, have different missing pixels.
        missing = tf.reduce_max(weights, axis=0)[0, ..., 0] == 0
        if (gradient := tape.gradient(total, generated)) is not None:
            assert not gradient.numpy()[:, missing].any()
            assert gradient.numpy()[:, ~missing].any()
