"""The configuration: its limits, its JSON, its presets, what may change when a run continues."""

import copy
import dataclasses
import json
import math
from pathlib import Path

import pytest

from pix2pix_tf.config import (
    CHANGEABLE,
    TrainConfig,
    check_limits,
    dataset_label,
    differences,
    each_setting,
    from_json,
    preset,
    replace,
    to_json,
)
from pix2pix_tf.errors import ConfigError

CATALOGUE = ("facades", "cityscapes", "maps", "edges2shoes", "edges2handbags", "night2day")

# A valid value, other than the default, of every setting.
OTHER = {
    "dataset": "/data/내 사진",
    "data_dir": Path("/data sets"),
    "archive": Path("facades.tar.gz"),
    "mirror_url": "https://mirror.example/한국",
    "direction": "BtoA",
    "image_size": (300, 200),
    "label_maps": "both",
    "jitter": False,
    "flip": False,
    "skip_bad_images": True,
    "base_filters": 7,
    "norm": "none",
    "input_channels": 1,
    "output_channels": 3,
    "stochastic": True,
    "steps": 12,
    "epochs": 0.25,
    "batch_size": 3,
    "learning_rate": 1e-3,
    "beta_1": 0.0,
    "beta_2": 0.99,
    "l1_weight": 0.5,
    "precision": "mixed_float16",
    "seed": 2**31 - 1,
    "run_dir": Path("내 실행/1"),
    "init_from": Path("other run"),
    "log_every": 1,
    "sample_every": 2,
    "checkpoint_every": 3,
    "keep_every": 4,
}


def values(config):
    return {name: value for _, name, _, value in each_setting(config)}


def test_every_setting_is_covered_by_these_tests():
    assert set(values(TrainConfig())) == set(OTHER)
    assert all(values(TrainConfig())[name] != value for name, value in OTHER.items())


# ---------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("name", "value", "range_shown"),
    [
        ("base_filters", 0, "from 1 to 512"),
        ("base_filters", 513, "from 1 to 512"),
        ("steps", 0, "from 1 to 999999999"),
        ("steps", -1, "from 1 to 999999999"),
        ("steps", 10**20, "from 1 to 999999999"),
        ("epochs", math.inf, "from 0.001 to 1000000"),
        ("l1_weight", math.inf, "at least 0.0"),
        ("epochs", 0.0, "from 0.001 to 1000000"),
        ("epochs", math.nan, "from 0.001 to 1000000"),
        ("batch_size", 0, "at least 1"),
        ("learning_rate", 0.0, "from 1e-08 to 1.0"),
        ("learning_rate", 1.1, "from 1e-08 to 1.0"),
        ("learning_rate", math.nan, "from 1e-08 to 1.0"),
        ("learning_rate", math.inf, "from 1e-08 to 1.0"),
        ("beta_1", -0.1, "from 0.0 to 0.9999"),
        ("beta_1", 1.0, "from 0.0 to 0.9999"),
        ("beta_2", 1.0, "from 0.0 to 0.9999999"),
        ("l1_weight", -1.0, "at least 0.0"),
        ("l1_weight", math.nan, "at least 0.0"),
        ("seed", -1, "from 0 to 2147483647"),
        ("seed", 2**31, "from 0 to 2147483647"),
        ("log_every", 0, "at least 1"),
        ("sample_every", 0, "at least 1"),
        ("checkpoint_every", 0, "at least 1"),
        ("keep_every", 0, "at least 1"),
    ],
)
def test_a_number_outside_its_limits_is_refused_with_flag_range_and_value(name, value, range_shown):
    with pytest.raises(ConfigError) as caught:
        replace(TrainConfig(), **{name: value})
    assert str(caught.value) == f"--{name.replace('_', '-')} must be {range_shown}, got {value}"


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("base_filters", (1, 512)),
        ("learning_rate", (1e-8, 1.0)),
        ("beta_1", (0.0, 0.9999)),
        ("beta_2", (0.0, 0.9999999)),
        ("seed", (0, 2**31 - 1)),
        ("image_size", ((64, 64), (2048, 2048))),
        ("steps", (1, 10**9 - 1)),
    ],
)
def test_both_ends_of_a_range_are_accepted(name, ends):
    for value in ends:
        assert values(replace(TrainConfig(), **{name: value}))[name] == value


@pytest.mark.parametrize("size", [(), (7,), (63, 64), (64, 2049), (256, 300, 1), (-256,)])
def test_an_image_size_out_of_range_names_the_flag_the_range_and_the_value(size):
    with pytest.raises(ConfigError) as caught:
        replace(TrainConfig(), image_size=size)
    shown = " ".join(map(str, size * 2 if len(size) == 1 else size)) or "nothing"
    assert str(caught.value) == (
        f"--image-size takes one or two whole numbers, each from 64 to 2048; got {shown}"
    )


def test_one_image_side_means_a_square_and_two_are_height_and_width():
    assert replace(TrainConfig(), image_size=(96,)).data.size == (96, 96)
    assert replace(TrainConfig(), image_size=(96, 128)).data.size == (96, 128)


def test_a_run_needs_a_length():
    with pytest.raises(ConfigError, match="--steps or --epochs"):
        replace(TrainConfig(), steps=None, epochs=None)


def test_limits_are_checked_on_any_group_alone():
    with pytest.raises(ConfigError, match="--batch-size must be at least 1, got -2"):
        check_limits(dataclasses.replace(TrainConfig().optimization, batch_size=-2))


@pytest.mark.parametrize("group", [None, "data", "network", "optimization", "record"])
def test_a_configuration_is_frozen(group):
    config = TrainConfig()
    owner = config if group is None else getattr(config, group)
    name = dataclasses.fields(owner)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(owner, name, None)


# ---------------------------------------------------------------- JSON


@pytest.mark.parametrize("dataset", ["procedural", *CATALOGUE, "my/folder"])
def test_presets_survive_json(dataset):
    config = preset(dataset)
    assert from_json(json.loads(json.dumps(to_json(config)))) == config


@pytest.mark.parametrize("name", OTHER)
def test_every_other_value_survives_json(name):
    config = replace(TrainConfig(), **{name: OTHER[name]})
    rebuilt = from_json(json.loads(json.dumps(to_json(config))))
    assert rebuilt == config
    assert values(rebuilt)[name] == OTHER[name]
    assert type(values(rebuilt)[name]) is type(values(config)[name])


def test_all_other_values_at_once_survive_json():
    config = replace(TrainConfig(), **OTHER)
    assert from_json(json.loads(json.dumps(to_json(config)))) == config


def test_a_setting_that_came_later_has_its_default():
    plain = to_json(replace(TrainConfig(), seed=7, batch_size=3))
    del plain["optimization"]["seed"]
    assert from_json(plain) == replace(TrainConfig(), batch_size=3)


def test_stochastic_is_refused_with_running_averages():
    with pytest.raises(ConfigError, match="--stochastic needs --norm instance or none"):
        replace(TrainConfig(), stochastic=True, norm="batch")


def test_a_name_that_is_no_setting_is_refused():
    with pytest.raises(ConfigError, match="no setting 'step'"):
        replace(TrainConfig(), step=3)


@pytest.mark.parametrize(("group", "name"), [("data", "colour"), ("record", "steps")])
def test_an_unknown_setting_is_named(group, name):
    plain = to_json(TrainConfig())
    plain[group][name] = 1
    with pytest.raises(ConfigError, match=f"unknown settings: {group}.{name}$"):
        from_json(plain)


def test_a_setting_in_the_wrong_group_is_refused():
    plain = to_json(TrainConfig())
    plain["record"]["seed"] = plain["optimization"].pop("seed")
    with pytest.raises(ConfigError, match=r"unknown settings: record\.seed"):
        from_json(plain)


def test_a_value_outside_its_limits_is_refused_from_json_too():
    plain = to_json(TrainConfig())
    plain["network"]["base_filters"] = 0
    with pytest.raises(ConfigError, match="--base-filters"):
        from_json(plain)


@pytest.mark.parametrize(
    ("group", "name", "value"),
    [
        ("optimization", "seed", "many"),
        ("optimization", "batch_size", None),
        ("optimization", "learning_rate", [1]),
        ("optimization", "precision", "float64"),
        ("network", "norm", "layer"),
        ("network", "input_channels", 2),
        ("data", "jitter", "yes"),
        ("data", "image_size", 256),
        ("data", "image_size", ["256"]),
        ("data", "dataset", 5),
        ("data", "archive", 5),
    ],
)
def test_a_value_of_another_type_is_refused_from_json(group, name, value):
    plain = copy.deepcopy(to_json(TrainConfig()))
    plain[group][name] = value
    with pytest.raises(ConfigError, match=name.replace("_", ".")):
        from_json(plain)


# ---------------------------------------------------------------- continuing


@pytest.mark.parametrize("name", sorted(set(OTHER) - CHANGEABLE))
def test_whatever_decides_the_weights_is_a_difference(name):
    before = TrainConfig()
    after = replace(before, **{name: OTHER[name]})
    [line] = differences(before, after)
    assert line.startswith(f"--{name.replace('_', '-')}: ")
    assert line.count(" → ") == 1


def test_a_difference_shows_before_and_after():
    after = replace(TrainConfig(), image_size=(300, 200), seed=4)
    assert differences(TrainConfig(), after) == ["--image-size: 256 256 → 300 200", "--seed: 0 → 4"]


def test_a_folder_of_pairs_may_be_elsewhere_but_not_become_a_named_data_set():
    stored = preset("first/place")
    assert differences(stored, replace(stored, dataset="second/place")) == []
    assert differences(stored, replace(stored, dataset="maps")) == ["--dataset: first/place → maps"]
    assert differences(preset("maps"), replace(preset("maps"), dataset="first/place")) != []


@pytest.mark.parametrize("name", sorted(CHANGEABLE))
def test_whatever_does_not_decide_the_weights_may_change(name):
    assert differences(TrainConfig(), replace(TrainConfig(), **{name: OTHER[name]})) == []


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
    assert config.data.dataset == dataset
    assert config.data.direction == direction
    assert config.data.size == (256, 256)
    assert (config.data.jitter, config.data.flip) == (augmented, augmented)
    assert config.network.base_filters == 64
    options = config.optimization
    assert (options.epochs, options.steps, options.batch_size) == (epochs, None, batch_size)
    assert (options.learning_rate, options.beta_1, options.beta_2) == (2e-4, 0.5, 0.999)
    assert options.l1_weight == 100


def test_the_first_run_is_small():
    config = preset("procedural")
    assert config.data.size == (128, 128)
    assert config.network.base_filters < 64
    assert config.optimization.steps is not None
    assert config.optimization.epochs is None


def test_a_folder_gets_the_papers_common_settings_and_its_name():
    config = preset("some/where/my photos/")
    assert config.data.size == (256, 256)
    assert config.optimization.epochs == 200
    assert config.run_dir == Path("runs") / "my photos"
    assert dataset_label("facades") == "facades"


def test_a_run_is_kept_under_the_data_sets_name_unless_told():
    assert preset("maps").run_dir == Path("runs/maps")
    assert replace(preset("maps"), run_dir=Path("elsewhere")).run_dir == Path("elsewhere")


def test_paths_may_be_strings_and_a_square_one_number():
    given = replace(TrainConfig(), run_dir="runs/x", archive="a.tar.gz", image_size=96)
    assert given == replace(
        TrainConfig(), run_dir=Path("runs/x"), archive=Path("a.tar.gz"), image_size=(96, 96)
    )
