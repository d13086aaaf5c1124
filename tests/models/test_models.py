"""All models: a training step with every option, and rejected settings."""

import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf import preset, replace
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.models.registry import config_from_json, model_class, model_for
from pix2pix_tf.training.step import Trainer
from tests.conftest import small_config
from tests.training.steps import eagerly, pairs, step

# Every loss, network and option is tested at least once.
VARIANTS = [
    ("pix2pix", {"gan_loss": "lsgan", "generator": "resnet", "upsampling": "resize", "patch": 1}),
    ("pix2pix", {"gan_loss": "lsgan", "pool_size": 2, "diff_augment": True, "pixel_loss": "l2"}),
    ("pix2pix", {"gan_loss": "hinge", "spectral_norm": True, "unconditional": True, "feature_matching": 5.0}),
    ("pix2pix", {"gan_loss": "wgan-gp", "critic_steps": 2, "generator": "encoder_decoder", "patch": 16}),
    ("pix2pix", {"gan_weight": 0.0, "lr_schedule": "linear"}),
    ("pix2pix", {"l1_weight": 0.0, "norm": "batch", "lr_schedule": "cosine"}),
    ("cyclegan", {"pool_size": 2}),
    ("cyclegan", {"gan_loss": "wgan-gp", "identity_weight": 0.0, "generator": "unet"}),
]


def resolved(model, **settings):
    return small_config(None, model, input_channels=3, output_channels=3, **settings)


@pytest.fixture(params=VARIANTS, ids=lambda variant: " ".join(map(str, (variant[0], *variant[1].values()))))
def variant(request):
    model, settings = request.param
    return resolved(model, **settings)


@pytest.mark.slow
def test_a_step_gives_the_models_metrics_and_changes_every_network(variant):
    model = model_for(variant)
    trainer = Trainer(model, variant, total_steps=4)
    batch = pairs(trainer.batches_per_step)
    before = {name: variable.numpy().copy() for name, variable in trainer.weights().items()}
    for number in range(2):
        with eagerly():
            metrics = trainer.train_step(batch, tf.constant(number, tf.int64)).numpy()
        assert len(metrics) == len(model.metrics())
        assert np.isfinite(metrics).all()
    for network in model.networks():
        changed = [
            (variable.numpy() != before[name]).any()
            for name, variable in trainer.weights().items()
            if name.startswith(f"{network}/") and name.endswith("kernel")  # a critic's last bias cancels out
        ]
        assert all(changed), network


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("pix2pix", {"gan_weight": 0.0, "l1_weight": 0.0}),
        ("pix2pix", {"gan_loss": "wgan-gp", "norm": "batch"}),
        ("pix2pix", {"patch": 286, "image_size": 64}),
        ("pix2pix", {"stochastic": True, "norm": "batch"}),
        ("pix2pix", {"stochastic": True, "generator": "resnet"}),
        ("pix2pix", {"diff_augment": True, "feature_matching": 10.0}),
        ("pix2pix", {"gan_loss": "wgan-gp", "pool_size": 5}),
        ("pix2pix", {"gan_loss": "least squares"}),
        ("cyclegan", {"gan_weight": 0.0}),
        ("cyclegan", {"input_channels": 1, "output_channels": 3}),
    ],
)
def test_a_combination_without_meaning_is_refused(model, settings):
    with pytest.raises(ConfigError):
        replace(preset("procedural", model), **settings)


def test_unknown_model_is_refused():
    for ask in (
        model_class,
        lambda name: preset("procedural", name),
        lambda name: config_from_json({"model": {"model": name}}),
    ):
        with pytest.raises(ConfigError, match="pix2pix"):
            ask("pix2pox")


def moments_after_a_step(**settings):
    """The metrics of a step and the first moments of its gradients, by name."""
    config = resolved("pix2pix", **settings)
    trainer = Trainer(model_for(config), config, 20)
    with eagerly():
        metrics = step(trainer, pairs(1))
    moments = {
        name: variable.numpy() for name, variable in trainer.state().items() if name.endswith("kernel/m")
    }
    return metrics, moments


@pytest.mark.slow
def test_feature_matching_trains_the_generator_only():
    plain_metrics, plain = moments_after_a_step()
    metrics, matched = moments_after_a_step(feature_matching=10.0)
    assert metrics["disc_features"] > 0
    added = metrics["gen_gan"] - plain_metrics["gen_gan"]
    assert added == pytest.approx(10 * metrics["disc_features"], rel=1e-4)
    for name, moment in matched.items():
        if name.startswith("discriminator"):
            np.testing.assert_allclose(moment, plain[name], rtol=1e-3, atol=1e-6 * np.abs(moment).max())
        else:
            assert np.abs(moment - plain[name]).max() > 1e-3 * np.abs(moment).max(), name
