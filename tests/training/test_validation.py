"""Validation during training: what is recorded, and which checkpoint is the best."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf import load, replace, train
from pix2pix_tf.data.dataset import ImageDataset, Images
from pix2pix_tf.data.pipeline import held_out_images
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.sources import open_dataset
from pix2pix_tf.evaluation.measure import unit_range
from pix2pix_tf.metrics import ssim
from pix2pix_tf.models.base import PublishedGenerator
from pix2pix_tf.recording.jsonl import read_metrics
from pix2pix_tf.runs import RunDirectory, find_run
from pix2pix_tf.training.validation import VALIDATION_IMAGES, Validation
from tests.conftest import small_config

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that validates at every fourth step, and keeps the best of them."""
    config = small_config(
        tmp_path_factory.mktemp("validated") / "run", evaluate_every=4, checkpoint_every=3, learning_rate=2e-3
    )
    return train(config, report=lambda line: None)


def test_validation_every_n_steps(run):
    lines = read_metrics(run.validation_file)
    assert [line["step"] for line in lines] == [4, 8, 12, 16, 20]
    assert all(np.isfinite(list(line.values())).all() for line in lines)


def test_validation_measures_the_checkpoint(run):
    config = run.read_config()
    rows = held_out_images(open_dataset(config), config.data.size, VALIDATION_IMAGES)
    translate = load(f"{run.path}@20")
    found = np.mean([ssim(unit_range(translate(image)), unit_range(target)) for _, image, target in rows])
    assert read_metrics(run.validation_file)[-1]["ssim"] == pytest.approx(found, abs=1e-5)


def test_best_checkpoint_is_kept(run):
    lines = read_metrics(run.validation_file)
    best = max(lines, key=lambda line: line["ssim"])
    assert json.loads(run.best_file.read_text())["step"] == best["step"]
    assert best["step"] in run.checkpoint_steps()
    assert find_run(f"{run.path}@best").named_step == best["step"]
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    np.testing.assert_array_equal(load(f"{run.path}@best")(image), load(run.path, step=best["step"])(image))


@pytest.mark.parametrize("images", ["the same", "others"])
def test_best_of_other_held_out_images_is_ignored(run, tmp_path, images):
    copy = RunDirectory(shutil.copytree(run.path, tmp_path / "run"))
    best = json.loads(copy.best_file.read_text()) | {"ssim": 2.0}
    best["held_out"] += images == "others"
    for place in (copy.path, copy.checkpoint(best["step"])):
        (place / copy.best_file.name).write_text(json.dumps(best))
    train(replace(copy.read_config(), run_dir=copy.path, steps=24), report=lambda line: None)
    assert (json.loads(copy.best_file.read_text())["step"] > 20) == (images == "others")


@pytest.mark.parametrize(
    ("best_metric", "best"), [("l1", [True, True, False]), ("psnr", [True, False, True])]
)
def test_best_metric(best_metric, best):
    black = tf.zeros((64, 64, 3), tf.uint8)
    pairs = (Images(["1"], lambda number: (black, black)),)
    dataset = ImageDataset("black", (PixelFormat(), PixelFormat()), {"train": pairs, "val": pairs})
    generators = {"AtoB": PublishedGenerator("generator", 3, 3)}
    config = small_config(None, best_metric=best_metric)
    validation = Validation(dataset, config, generators)
    dark, spot, darker = np.full((3, 64, 64, 3), [[[[20]]], [[[0]]], [[[10]]]], np.uint8)
    spot[:8, :4] = 255  # less than 2 of 255 on average, but the largest squared error
    outputs = (dark, spot, darker)
    assert [validation.measure({"AtoB": lambda _, o=o: o})[1] is not None for o in outputs] == best

    # A stored result without the metric, which may be a new one, is no best result.
    _, stored = Validation(dataset, config, generators).measure({"AtoB": lambda _: dark})
    del stored[best_metric]
    assert Validation(dataset, config, generators, stored).measure({"AtoB": lambda _: spot})[1] is not None
