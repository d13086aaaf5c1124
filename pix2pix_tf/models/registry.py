"""Every model by its name. A new one is a file and a line here."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from pix2pix_tf import config as configs
from pix2pix_tf.config import DEFAULT_MODEL, Recipe, TrainConfig
from pix2pix_tf.data.names import PROCEDURAL, settings_of
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.models.base import Model

MODELS = {
    "pix2pix": "pix2pix_tf.models.pix2pix:Pix2Pix",
    "cyclegan": "pix2pix_tf.models.cyclegan:CycleGAN",
    "wgan": "pix2pix_tf.models.wgan:WassersteinGAN",
    "distilled": "pix2pix_tf.models.distilled:Distilled",
    "distilled_from_inputs": "pix2pix_tf.models.distilled:DistilledFromInputs",
}


def model_class(name: str) -> type[Model]:
    """Returns a model's class; imports no TensorFlow.

    Raises:
        ConfigError: there is no such model.
    """
    if name not in MODELS:
        raise ConfigError(f"`model` {name}: there is no such model; there are {', '.join(MODELS)}")
    module, _, attribute = MODELS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def model_for(config: TrainConfig) -> Model:
    """Returns the model that a resolved configuration describes."""
    return model_class(config.model.model)(config)


# What no paper has: the settings that every model and every network shares.
_AS_PUBLISHED = {
    "upsampling": "transposed",
    "last_convolution": False,
    "photo_filter": "triangle",
    "ema_decay": 0.0,
}


def defaults(model: str = DEFAULT_MODEL, recipe: Recipe = "default") -> TrainConfig:
    """Returns a model's configuration where nothing is said.

    Args:
        model: which.
        recipe: 'default' is what paints best, 'paper' the method as published.

    Raises:
        ConfigError: there is no such model, or no such recipe.
    """
    kind = model_class(model)
    config = configs.replace(TrainConfig(kind.Settings(model=model, recipe=recipe)), **kind.defaults)
    if recipe == "default":
        return config
    known = {name for _, name, _, _ in configs.each_setting(config)}
    published = {name: value for name, value in _AS_PUBLISHED.items() if name in known}
    return configs.replace(config, **{**published, **kind.paper})


def preset(
    dataset: str = "procedural", model: str = DEFAULT_MODEL, recipe: Recipe = "default"
) -> TrainConfig:
    """Returns the settings that a data set and a model bring.

    Args:
        dataset: 'procedural', a catalogue name, or the path of a folder (which gets the paper's common ones).
        model: which model is trained.
        recipe: as in :func:`defaults`.

    Returns:
        A configuration; any flag may override what it says.

    Raises:
        ConfigError: there is no such model, or no such recipe.
    """
    kind = model_class(model)
    if dataset == PROCEDURAL:
        return configs.replace(defaults(model, recipe), dataset=dataset, **kind.procedural)
    settings = dict(settings_of(dataset))
    if kind.Settings.data == "images":  # the papers' lengths are those of translation
        settings = {name: value for name, value in settings.items() if name not in ("epochs", "batch_size")}
    if kind.Settings.data == "unpaired":  # which learns both directions
        settings.pop("direction", None)
    return configs.replace(defaults(model, recipe), dataset=dataset, **settings)


def config_from_json(plain: Mapping[str, Mapping[str, Any]]) -> TrainConfig:
    """Rebuilds a configuration from :func:`pix2pix_tf.config.to_json`.

    Raises:
        ConfigError: a setting is missing, unknown or of another type.
    """
    settings = plain.get("model", {})
    return configs.from_json(plain, defaults(settings.get("model", ""), settings.get("recipe", "default")))
