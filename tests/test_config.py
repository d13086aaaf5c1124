"""The configuration: its limits, its JSON, its presets, what may change when a run continues."""

import json
import math
import types
import typing
from dataclasses import MISSING
from pathlib import Path

import pytest

from pix2pix_tf import preset, replace
from pix2pix_tf.config import dataset_label, differences, each_setting, to_json
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.models.registry import MODELS, config_from_json, defaults
from pix2pix_tf.validation import Limits
from pix2pix_tf.wording import flag

# All settings of pix2pix have an effect.
BASE = replace(defaults(), gan_loss="wgan-gp", unconditional=True, batch_size=6, lr_schedule="linear")
MAY_CHANGE = {
    *("data_dir", "archive", "mirror_url", "steps", "epochs", "accumulate", "all_reduce", "lr_end_step"),
    *("run_dir", "log_every", "sample_every", "evaluate_every", "best_metric", "keep_every", "stochastic"),
    *("checkpoint_every", "checkpoint_minutes"),
}
CHOSEN = {  # values that their types don't give, or that have no effect with others
    "dataset": "/data/내 사진",
    "input_channels": 1,
    "output_channels": 1,
    "input_bits": 16,
    "output_bits": 16,
    "input_range": (0, 100),
    "output_range": (0, 100),
    "label_colors": (0, 0, 0, 255, 255, 255, 9, 9, 9),
    "label_maps": "both",
    "image_size": (128, 128),
    "norm": "none",
    "precision": "mixed_bfloat16",
    "ema_decay": 0.0,  # averages follow the weights at first
    "ignore": -9999.0,
}


def changed_value(config, name):
    """Returns the config with another valid value of a setting."""
    return replace(config, **{name: another_value(config, name)})


def another_value(config, name):
    kind, value = next((kind, value) for _, each, kind, value in each_setting(config) if each == name)
    if name in CHOSEN:
        return CHOSEN[name]
    limits = next((each for each in getattr(kind, "__metadata__", ()) if isinstance(each, Limits)), None)
    kind = typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Annotated else kind
    kind = next(iter(typing.get_args(kind))) if isinstance(kind, types.UnionType) else kind
    if typing.get_origin(kind) is typing.Literal:
        return next(choice for choice in typing.get_args(kind) if choice != value)
    if kind in (int, float):
        return int(limits.low) + 2 if kind is int else (2 * limits.low + min(limits.high or 1, 1)) / 3
    return not value if kind is bool else kind("내 사진/1")


def values(config):
    return {name: value for _, name, _, value in each_setting(config)}


def through_json(config):
    return config_from_json(json.loads(json.dumps(to_json(config))))


@pytest.mark.parametrize(
    ("name", "ends", "outside"),
    [
        ("base_filters", (1, 512), (0, 513)),
        ("steps", (1, 10**9 - 1), (0, -1, 10**9)),
        ("epochs", (0.001, 1e6), (0.0, math.inf, math.nan)),
        ("l1_weight", (0.0, 1e9), (-1.0, math.nan)),
        ("learning_rate", (1e-8, 1.0), (0.0, 1.1, math.nan)),
        ("seed", (0, 2**31 - 1), (-1, 2**31)),
        ("image_size", ((64, 64), (2048, 65)), ((), (7,), (64, 2049), (256, 300, 1))),
    ],
)
def test_a_range_has_its_ends_and_nothing_beyond(name, ends, outside):
    for value in ends:
        assert values(replace(defaults(), **{name: value}))[name] == value
    for value in outside:
        with pytest.raises(ConfigError, match=name.replace("_", ".")):
            replace(defaults(), **{name: value})


def test_one_image_side_means_a_square_and_paths_may_be_strings():
    for size in (96, [96, 96]):
        given = replace(defaults(), run_dir="runs/x", image_size=size)
        assert given == replace(defaults(), run_dir=Path("runs/x"), image_size=(96, 96))


def test_a_run_needs_a_length():
    with pytest.raises(ConfigError):
        replace(defaults(), steps=None, epochs=None)


def test_a_name_that_is_no_setting_is_refused_and_a_model_is_not_changed_afterwards():
    for wrong in ({"sed": 3}, {"model": "cyclegan"}, {"recipe": "paper"}):
        with pytest.raises(ConfigError):
            replace(defaults(), **wrong)


# ---------------------------------------------------------------- JSON


@pytest.mark.parametrize("recipe", ["default", "paper"])
@pytest.mark.parametrize("dataset", ["procedural", "edges2shoes", "my/folder"])
@pytest.mark.parametrize("model", MODELS)
def test_presets_survive_json(dataset, model, recipe):
    config = preset(dataset, model, recipe)
    assert through_json(config) == config


@pytest.mark.parametrize("name", sorted(values(BASE).keys() - {"model", "recipe"}))
def test_a_changed_setting_survives_json_and_prevents_resuming_if_it_decides_the_weights(name):
    changed = changed_value(BASE, name)
    assert changed != BASE
    assert through_json(changed) == changed
    found = differences(BASE, changed)
    assert found == [] if name in MAY_CHANGE else flag(name) in found[0] and len(found) == 1


def test_of_another_model_or_task_only_that_is_a_difference():
    with_colors = replace(defaults(), task="colorize", output_channels=3)
    assert differences(with_colors, defaults()) == ["--task: colorize → pairs"]
    assert differences(defaults(), defaults("cyclegan")) == ["--model: pix2pix → cyclegan"]


@pytest.mark.parametrize(
    ("group", "name", "value"),
    [
        ("data", "unknown", 1),
        ("optimization", "seed", MISSING),
        ("optimization", "seed", "many"),
        ("optimization", "batch_size", None),
        ("optimization", "precision", "float64"),
        ("model", "base_filters", 0),
        ("data", "input_channels", 1.5),
        ("data", "jitter", "yes"),
        ("data", "image_size", ["256"]),
        ("data", "archive", 5),
    ],
)
def test_a_missing_or_unknown_setting_or_a_value_of_another_type_is_named(group, name, value):
    plain = to_json(defaults())
    plain[group][name] = value
    if value is MISSING:
        del plain[group][name]
    with pytest.raises(ConfigError, match=name.replace("_", ".")):
        config_from_json(plain)


# ---------------------------------------------------------------- continuing


def test_a_folder_may_be_elsewhere_but_not_become_a_named_data_set():
    stored = preset("./first/place")
    assert differences(stored, replace(stored, dataset="./second/place")) == []
    assert len(differences(stored, replace(stored, dataset="maps"))) == 1
    assert differences(preset("maps"), replace(preset("maps"), dataset="./first/place")) != []


# ---------------------------------------------------------------- presets


@pytest.mark.parametrize(
    ("dataset", "direction", "epochs", "batch_size", "augmented"),
    [
        ("facades", "BtoA", 200, 1, True),
        ("cityscapes", "BtoA", 200, 1, True),
        ("maps", "AtoB", 200, 1, True),
        ("edges2shoes", "AtoB", 15, 4, False),
        ("edges2handbags", "AtoB", 15, 4, False),
        ("night2day", "BtoA", 17, 4, True),
    ],
)
def test_a_named_data_set_brings_the_papers_settings(dataset, direction, epochs, batch_size, augmented):
    config = preset(dataset)
    assert (config.data.dataset, config.data.direction, config.data.size) == (dataset, direction, (256, 256))
    assert (config.data.jitter, config.data.flip) == (augmented, "horizontal" if augmented else "none")
    assert (config.model.base_filters, config.model.l1_weight) == (64, 100)
    options = config.optimization
    assert (options.epochs, options.steps, options.batch_size) == (epochs, None, batch_size)
    assert (options.learning_rate, options.beta_1, options.beta_2) == (2e-4, 0.5, 0.999)


def test_cyclegan_has_its_papers_settings():
    config = preset("horse2zebra", "cyclegan")
    assert (config.optimization.epochs, config.optimization.lr_schedule) == (200, "linear")
    settings = config.model
    assert (settings.gan_loss, settings.pool_size, settings.generator) == ("lsgan", 50, "resnet")
    assert (settings.cycle_weight, settings.identity_weight) == (10, 0.5)


@pytest.mark.parametrize("model", MODELS)
def test_the_first_run_is_small(model):
    config = preset("procedural", model)
    assert max(config.data.size) <= 128
    assert config.optimization.steps is not None
    assert config.optimization.epochs is None


def test_the_run_directory_is_named_after_data_set_and_model():
    assert preset("maps").run_dir == Path("runs/maps")
    assert preset("maps", "cyclegan").run_dir == Path("runs/maps-cyclegan")
    assert preset("some/where/my photos/").run_dir == Path("runs/my photos")
    assert replace(preset("maps"), run_dir=Path("elsewhere")).run_dir == Path("elsewhere")
    assert dataset_label("facades") == "facades"
