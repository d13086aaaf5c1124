"""All models: a training step with every option, and rejected settings."""

import numpy as np
import pytest

from pix2pix_tf import preset, replace
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.models.registry import config_from_json, model_class, model_for
from tests.training.steps import (
    SAME,
    config_of,
    distance,
    eagerly,
    first_gradients,
    pairs,
    step,
    trainer_of,
    values,
)

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


@pytest.mark.slow
@pytest.mark.parametrize(("model", "settings"), VARIANTS)
def test_a_step_gives_the_models_metrics_and_changes_every_network(model, settings):
    config = config_of(model=model, **settings)
    trainer = trainer_of(config)
    before = values(trainer.weights())
    for number in range(2):
        with eagerly():
            metrics = step(trainer, pairs(trainer.batches_per_step), number)
        assert list(metrics) == [metric.name for metric in model_for(config).metrics()]
        assert np.isfinite(list(metrics.values())).all()
    for name, value in values(trainer.weights()).items():
        if name.endswith("kernel"):  # not biases, because a critic's last one has no effect
            assert (value != before[name]).any(), name


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


@pytest.mark.slow
def test_feature_matching_trains_the_generator_only():
    trainers = [trainer_of(config_of(feature_matching=weight)) for weight in (0.0, 10.0)]
    with eagerly():
        plain, matched = (step(trainer, pairs(1)) for trainer in trainers)
    assert matched["disc_features"] > 0
    added = matched["gen_gan"] - plain["gen_gan"]
    assert added == pytest.approx(10 * matched["disc_features"], rel=1e-4)
    for network in ("generator", "discriminator"):
        without, gradients = (first_gradients(each, values(each.state()), network) for each in trainers)
        if network == "generator":
            assert distance(gradients, without) > 1e-3
        else:
            assert distance(gradients, without) < SAME
