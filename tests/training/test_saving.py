"""When a run is saved, what it starts from, and that neither a clock nor a place decides its weights."""

import functools
import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest

from pix2pix_tf import preset, replace, train
from pix2pix_tf.errors import RunError
from pix2pix_tf.runs import RunDirectory
from pix2pix_tf.runs.checkpoints import read_checkpoint
from pix2pix_tf.training import train as training
from pix2pix_tf.training.loop import Session
from pix2pix_tf.training.start import prepare
from tests.conftest import small_config


def kernel(run, step):
    [value] = read_checkpoint(run.checkpoint(step), ["generator/down_1_conv/kernel"]).values()
    return value


@pytest.mark.slow
def test_checkpoints_by_time(tmp_path, monkeypatch):
    config = small_config(tmp_path / "quick", steps=6, checkpoint_every=1000, checkpoint_minutes=5)
    lines = []
    quick = train(config, lines.append)
    assert quick.checkpoint_steps() == [6]
    assert "5 minutes" in lines[-1]

    ticks = itertools.count(step=100)  # seconds, at each look at the clock
    slow_session = functools.partial(Session, clock=lambda: next(ticks))
    monkeypatch.setattr(training, "Session", slow_session)
    slow = train(replace(config, run_dir=tmp_path / "slow"), lines.append)
    assert slow.checkpoint_steps() == [3, 6]
    np.testing.assert_array_equal(kernel(slow, 6), kernel(quick, 6))

    shutil.rmtree(slow.checkpoint(6))  # as a kill before it leaves the run
    continued = train(replace(config, run_dir=slow.path), lines.append)
    assert "continuing after step 3" in lines[-1]
    np.testing.assert_array_equal(kernel(continued, 6), kernel(quick, 6))


@pytest.mark.slow
def test_init_from_is_read_once(tiny_run, tmp_path, monkeypatch):
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    monkeypatch.chdir(tmp_path / "first")
    shutil.copytree(tiny_run.path, "source")
    RunDirectory(Path("source")).write_training_images(np.array([5], np.uint64))
    run_dir = tmp_path / "run"
    config = small_config(run_dir, steps=1, learning_rate=1e-8, init_from=Path("source"))
    run = train(config, lambda line: None)
    np.testing.assert_allclose(kernel(run, 1), kernel(tiny_run, 20), rtol=0, atol=1e-6)
    assert set(run.training_images()) == {5, *tiny_run.training_images()}
    stored = run.read_config()
    assert stored.record.init_from == tmp_path / "first" / "source"

    Path("source").rename("moved")
    monkeypatch.chdir(tmp_path / "second")
    train(replace(stored, steps=2, run_dir=run_dir), lambda line: None)
    assert run.latest_step() == 2
    with pytest.raises(RunError, match="source"):  # a new run needs it
        train(replace(stored, run_dir=tmp_path / "another"), lambda line: None)


def started(place, model="pix2pix", **settings):
    """A run that was begun, as far as another one looks before it takes the weights."""
    run = RunDirectory(place)
    small = {"image_size": 64, "base_filters": 2, **settings}
    if model == "wgan":
        del small["base_filters"]
    config = replace(preset("procedural", model), **small)
    run.write_config(replace(config, input_channels=3, output_channels=3), {})
    run.checkpoint(1).mkdir(parents=True)
    return config


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "settings", "expected"),
    [
        ("pix2pix", {"image_size": 128}, ("--image-size: 64 64 → 128 128", "from 64 to 127")),
        ("pix2pix", {"image_size": 127}, None),
        ("pix2pix", {"base_filters": 3}, ("--base-filters: 2 → 3",)),
        ("pix2pix", {"generator": "resnet", "l1_weight": 3.0}, ("--generator: unet → resnet",)),
        ("pix2pix", {"input_channels": 1}, ("--input-channels: 3 → 1",)),
        ("pix2pix", {"gan_weight": 0.0}, None),  # what it has no network for isn't taken
        ("wgan", {"image_size": 128}, ("--image-size: 64 64 → 128 128",)),
        ("pix2pix", {"image_size": 100, "l1_weight": 3.0, "direction": "AtoB"}, None),
    ],
)
def test_init_from_another_network_is_refused(tmp_path, model, settings, expected):
    config = replace(started(tmp_path / "run", model), init_from=tmp_path / "run", **settings)
    if expected is None:
        assert prepare(config, RunDirectory(tmp_path / "new")).init_from.named_step is None
        return
    with pytest.raises(RunError) as caught:
        prepare(config, RunDirectory(tmp_path / "new"))
    assert all(words in str(caught.value) for words in expected), caught.value
    assert "l1_weight" not in str(caught.value)
