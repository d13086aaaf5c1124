"""Arguments of wrong types: one line that names the argument, from every public function."""

import numpy as np
import pytest

import pix2pix_tf
from pix2pix_tf import (
    TrainConfig,
    build_discriminator,
    build_generator,
    load,
    open_dataset,
    preset,
    replace,
    train,
    training_batches,
)
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.wording import flag

WRONG = {
    "dataset": lambda: preset(("facades", "maps")),
    "model": lambda: preset("procedural", 3),
    "recipe": lambda: preset("procedural", recipe="papers"),
    "config": lambda: train("procedural"),
    "report": lambda: train(preset(), report=3),
    "model ": lambda: load(3),
    "step": lambda: load("runs/none", step="3"),
    "precision": lambda: load("runs/none", precision="half"),
    "config ": lambda: open_dataset("facades"),
    "kind": lambda: open_dataset(preset(), "pair"),
    "image_size": lambda: build_generator(image_size="256"),
    "base_filters": lambda: build_discriminator(base_filters=np.zeros(3)),
    "dataset ": lambda: training_batches("facades", preset(), 0, 1),
    "config  ": lambda: replace("facades", seed=1),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_argument_of_a_wrong_type_is_named(name):
    choices = ".*mixed_bfloat16" if name == "precision" else ""
    with pytest.raises(TypeError, match=f"`{name.strip()}`{choices}"):
        WRONG[name]()


def test_every_public_function_is_tried():
    functions = {name for name in pix2pix_tf.__all__ if not isinstance(getattr(pix2pix_tf, name), type)}
    assert functions == {name for call in WRONG.values() for name in call.__code__.co_names} & functions


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", "1"),
        ("steps", 3.5),
        ("jitter", "no"),
        ("image_size", "64"),
        ("image_size", 64.0),
        ("output_range", (1, "2")),
    ],
)
def test_a_setting_of_a_wrong_type_is_named(name, value):
    with pytest.raises(ConfigError, match=flag(name)):
        replace(preset(), **{name: value})


def test_a_config_of_a_wrong_type_is_refused():
    with pytest.raises(ConfigError, match="--model"):
        TrainConfig("pix2pix")
