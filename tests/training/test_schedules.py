"""The learning rate at the beginning, half-way and at the end of a run, and where a run is made longer."""

import pytest

from pix2pix_tf import preset, replace
from pix2pix_tf.commands.train import train_args
from pix2pix_tf.config import OptimizationConfig
from pix2pix_tf.training.schedules import learning_rate, schedule_change
from pix2pix_tf.training.train import train
from tests.conftest import small_config


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", (1.0, 1.0, 1.0, 1.0)),
        ("linear", (1.0, 1.0, 1.0, 0.5)),
        ("cosine", (1.0, 0.853553, 0.5, 0.146447)),
    ],
)
def test_the_rate_follows_the_schedule(schedule, expected):
    options = OptimizationConfig(lr_schedule=schedule)
    found = [float(learning_rate(options, step, 100)) / 2e-4 for step in (0, 25, 50, 75)]
    assert found == pytest.approx(expected, abs=1e-6)


def test_schedule_with_an_end_step():
    of_8 = [float(learning_rate(OptimizationConfig(lr_schedule="linear"), step, 8)) for step in range(8)]
    options = OptimizationConfig(lr_schedule="linear", lr_end_step=8)
    of_12 = [float(learning_rate(options, step, 12)) for step in range(12)]
    assert of_12 == [*of_8, *[of_8[-1]] * 4]


@pytest.mark.parametrize(
    ("settings", "rates"),
    [
        ({"steps": 12}, ("5e-05", "0.000133")),
        ({"steps": None, "epochs": 4}, ("5e-05", "0.000133")),
        ({"steps": 12, "lr_end_step": 8}, ()),
        ({"steps": 12, "lr_end_step": 4}, ("5e-05", "0.0001")),
        ({"log_every": 7}, ()),
    ],
)
def test_learning_rate_jump_is_reported(settings, rates):
    stored = replace(preset(), steps=8, lr_schedule="linear")
    line = schedule_change(stored, replace(stored, **settings), step=8, image_count=3)
    assert (line is not None) == bool(rates)
    assert all(rate in line for rate in rates)
    constant = replace(stored, lr_schedule="constant")
    assert schedule_change(constant, replace(constant, steps=12), 8, 3) is None


@pytest.mark.slow
def test_longer_run_keeps_its_schedule_end(tmp_path):
    config, reported = small_config(tmp_path / "run", steps=4, lr_schedule="linear", lr_end_step=4), []
    run = train(config, reported.append)
    continued = train_args(["--run-dir", str(run.path), "--steps", "6"]).config
    assert continued.optimization.lr_end_step == 4
    train(replace(continued, lr_end_step=None), reported.append)
    assert len([line for line in reported if "lr-end-step" in line]) == 1
