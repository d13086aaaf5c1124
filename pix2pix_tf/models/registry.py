"""The models by name. A new model is a file in this package and a line here."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from pix2pix_tf import config as configs
from pix2pix_tf.config import DEFAULT_MODEL, Recipe, TrainConfig
from pix2pix_tf.data.names import PROCEDURAL, facts_of
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.models.base import Model

MODELS = {
    "pix2pix": "pix2pix_tf.models.pix2pix:Pix2Pix",
    "cyclegan": "pix2pix_tf.models.cyclegan:CycleGAN",
    "wgan": "pix2pix_tf.models.wgan:WassersteinGAN",
    "distilled": "pix2pix_tf.models.distilled:Distilled",
    "distilled_from_inputs": "pix2pix_tf.models.distilled:DistilledFromInputs",
}

TRAINED = tuple(name for name in MODELS if not name.startswith("distilled"))
"""Models of ``pix2pix train``; the others are trained by ``pix2pix distill``."""


def model_class(name: str) -> type[Model]:
    """Returns a model's class without importing TensorFlow; raises `ConfigError` for unknown names."""
    if name not in MODELS:
        raise ConfigError(f"--model {name}: this model does not exist; choose from {', '.join(TRAINED)}")
    module, _, attribute = MODELS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def model_for(config: TrainConfig) -> Model:
    """Returns the model for a resolved config."""
    return model_class(config.model.model)(config)


# Values of the papers for settings that all models share.
_PAPER = {"photo_filter": "triangle", "ema_decay": 0.0}


def defaults(model: str = DEFAULT_MODEL, recipe: Recipe = "default", **settings: Any) -> TrainConfig:
    """Returns a model's default config, with some settings changed."""
    kind = model_class(model)
    paper = {} if recipe == "default" else {**_PAPER, **kind.paper}
    named = {"model": model, "recipe": recipe}
    return configs.build(kind.Settings, {**named, **kind.defaults, **paper, **settings})


def preset(
    dataset: str = "procedural", model: str = DEFAULT_MODEL, recipe: Recipe = "default"
) -> TrainConfig:
    """Returns the config for a data set and a model.

    Args:
        dataset: 'procedural', the name of a data set, or the path of a folder.
        model: 'pix2pix' (the default), 'cyclegan' or 'wgan'.
        recipe: 'default' for the best results, 'paper' for the method of the paper.

    Returns:
        A config. Change its settings with :func:`~pix2pix_tf.replace`.

    Raises:
        ConfigError: the model doesn't exist.

    Example:
        >>> preset("facades").optimization.epochs
        200
    """
    kind = model_class(model)
    settings = dict(kind.procedural if dataset == PROCEDURAL else facts_of(dataset).settings)
    if dataset != PROCEDURAL and kind.Settings.data == "images":
        for name in ("epochs", "steps", "batch_size"):  # these lengths of training apply to translation only
            settings.pop(name, None)
    if kind.Settings.data == "unpaired":  # both directions are trained
        settings.pop("direction", None)
    return defaults(model, recipe, dataset=dataset, **settings)


def config_from_json(plain: Mapping[str, Mapping[str, Any]]) -> TrainConfig:
    """Inverse of `config.to_json`; raises `ConfigError` for missing, unknown or wrongly typed settings."""
    return configs.from_json(plain, model_class(plain.get("model", {}).get("model", "")).Settings)
