"""The segmentation score: class colors of label maps, and the network that classifies photos."""

import dataclasses
import io
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pix2pix_tf.data.dataset import ImageDataset, Images
from pix2pix_tf.data.label_maps import classes_of, palette
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.procedural import PALETTE, procedural_dataset
from pix2pix_tf.errors import ConfigError, DataError
from pix2pix_tf.evaluation import segmentation as module
from pix2pix_tf.evaluation.segmentation import ClassReader, load_or_train
from pix2pix_tf.metrics import miou, pixel_accuracy

pytestmark = pytest.mark.slow

SIZE = (64, 64)
STEPS = 60
# As in the label maps of facades, and two neighbors of those of Cityscapes.
COLORS = [
    *((0, 48, 255), (0, 0, 222), (0, 128, 255), (255, 80, 0), (192, 255, 63), (174, 0, 1), (32, 255, 224)),
    *((255, 159, 0), (1, 207, 255), (112, 254, 142), (255, 240, 1), (254, 0, 0), (0, 60, 100), (0, 80, 100)),
]


def ignore(line):
    """Logs nothing."""


def must_not_train(line):
    pytest.fail(f"trained again: {line}")


def made_of(label_maps, side=None):
    """Returns pairs of black photos and these label maps."""
    maps = tf.constant(np.stack(label_maps))
    images = Images([str(number) for number in range(len(maps))], lambda i: (tf.zeros_like(maps[i]), maps[i]))
    return ImageDataset("made up", (PixelFormat(), side or PixelFormat(labels=True)), {"train": (images,)})


def drawn(colors, count=12, size=160):
    """Label maps of rectangles, each of the colors on a hundredth of the pixels or more."""
    random = np.random.default_rng(0)
    for _ in range(count):
        image = np.zeros((size, size, 3), np.uint8)
        image[:] = colors[0]
        for number in random.permutation(np.repeat(np.arange(len(colors)), 3)):
            top, left = random.integers(0, size - 20, 2)
            height, width = random.integers(12, 50, 2)
            image[top : top + height, left : left + width] = colors[number]
        yield image


def jpeg(image, quality):
    stored = io.BytesIO()
    Image.fromarray(image).save(stored, "JPEG", quality=quality)
    return np.asarray(Image.open(stored))


@pytest.fixture(scope="module")
def dataset():
    return procedural_dataset(0, SIZE, train_count=24, val_count=6, test_count=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("segmenters")


@pytest.fixture(scope="module")
def segmenter(dataset, folder):
    """A trained network, saved in ``folder``; tests must not change it."""
    return load_or_train(dataset, SIZE, folder, ignore, steps=STEPS)


def assert_equal_weights(first, second):
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def held_out(dataset):
    [images] = dataset.splits["val"]
    for number in range(len(images)):
        yield tuple(each.numpy() for each in images.read(tf.constant(number)))


# ---------------------------------------------------------------- colors


def test_classes_are_found_in_maps_that_jpeg_has_blurred():
    maps = list(drawn(COLORS))
    blurred = [jpeg(image, 75) for image in maps]
    assert len(np.unique(blurred[0].reshape(-1, 3), axis=0)) > 500
    found = palette(made_of(blurred), 1)
    assert found.dtype == np.uint8
    assert len(found) == len(COLORS)
    nearest = np.abs(found[:, None].astype(int) - np.array(COLORS)).max(-1)
    assert sorted(nearest.argmin(1)) == list(range(len(COLORS)))
    assert nearest.min(1).max() <= 6
    # The interior of each area has one class.
    own = classes_of(blurred[0], found)
    truth = nearest.argmin(1)[own]
    assert (np.array(COLORS)[truth] == maps[0]).all(-1).mean() > 0.9


def test_lossless_maps_have_exactly_their_colors_even_if_similar_and_thin(dataset):
    drawn = {tuple(color) for color in palette(dataset, 1).tolist()}
    assert drawn <= set(PALETTE.values())
    assert len(drawn) >= 10
    gray = np.zeros((2, 20, 20, 1), np.uint8)
    gray[:, :, 7], gray[:, 3] = 1, 2  # lines of one pixel, 8-bit values that differ by one
    assert palette(made_of(gray, PixelFormat(1, labels=True)), 1).tolist() == [[0], [2], [1]]


def test_the_most_frequent_class_is_first_and_stray_pixels_are_no_class():
    image = np.full((100, 100, 3), 200, np.uint8)
    image[:30] = (255, 0, 0)
    image[50, 50] = (1, 2, 3)
    assert palette(made_of([image]), 1).tolist() == [[200, 200, 200], [255, 0, 0]]
    ramp = np.arange(50, dtype=np.uint8).repeat(50).reshape(50, 50, 1) * 5
    assert len(palette(made_of([ramp], PixelFormat(1, labels=True)), 1)) == 32


@pytest.mark.parametrize(
    ("image", "side"),
    [
        (np.zeros((8, 8, 3), np.uint8), PixelFormat(labels=True)),
        (np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8), PixelFormat(labels=True)),
        (np.zeros((8, 8, 3), np.uint16), PixelFormat(labels=True, bits=16)),
    ],
)
def test_images_without_classes_are_refused(image, side):
    with pytest.raises(DataError, match="made up"):
        palette(made_of([image], side), 1)


def test_a_pixel_has_the_class_of_the_nearest_color():
    random = np.random.default_rng(1)
    image = random.integers(0, 256, (30, 40, 3), np.uint8)
    colors = random.integers(0, 256, (9, 3), np.uint8)
    distance = ((image[:, :, None].astype(int) - colors.astype(int)) ** 2).sum(-1)
    found = classes_of(image, colors)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, distance.argmin(-1))


# ---------------------------------------------------------------- the score


def test_confusion_counts_pixels():
    random = np.random.default_rng(2)
    colors = np.array(COLORS[:5], np.uint8)
    truth, found = random.integers(0, 4, (2, 24, 32))  # the fifth class has no true pixels
    found[:2] = 4
    found[truth == 1] = 1
    counts = ClassReader(colors).confusion(colors[found], colors[truth])
    expected = [[((truth == row) & (found == column)).sum() for column in range(5)] for row in range(5)]
    np.testing.assert_array_equal(counts, expected)


# ---------------------------------------------------------------- the network


def test_it_learns_more_than_the_most_frequent_class(dataset, segmenter):
    counts = sum(segmenter.confusion(photo, labels) for photo, labels in held_out(dataset))
    majority = np.zeros_like(counts)
    majority[:, counts.sum(1).argmax()] = counts.sum(1)
    flat, lazy = counts.reshape(-1), majority.reshape(-1)
    assert counts.sum() == 6 * 64 * 64
    assert pixel_accuracy(flat) > pixel_accuracy(lazy) + 0.05
    assert miou(flat) > 2 * miou(lazy)
    assert f"mIoU {miou(flat):.3f} (6 of val)" in segmenter.scores


def test_a_photo_of_any_size_is_classified_at_the_networks_size(dataset, segmenter):
    photo, labels = next(held_out(dataset))
    found = segmenter(photo)
    assert (found.dtype, found.shape) == (np.int32, SIZE)
    assert 0 <= found.min() <= found.max() < len(segmenter.palette)
    larger = segmenter(photo.repeat(2, axis=0).repeat(2, axis=1))
    assert (larger == found).mean() > 0.95
    assert segmenter.confusion(photo, labels.repeat(3, axis=0)).sum() == 64 * 64
    np.testing.assert_array_equal(segmenter(photo[:, ::-1]), found[:, ::-1])


# ---------------------------------------------------------------- the cache


def test_a_network_is_trained_once(dataset, segmenter, folder):
    again = load_or_train(dataset, SIZE, folder, must_not_train, steps=STEPS)
    assert again.scores == segmenter.scores
    np.testing.assert_array_equal(again.palette, segmenter.palette)
    for photo, _ in held_out(dataset):
        np.testing.assert_array_equal(again(photo), segmenter(photo))
    # The direction of a run does not change what a photo is.
    load_or_train(dataset.directed("BtoA"), SIZE, folder, must_not_train, steps=STEPS)


def test_the_file_name_depends_on_all_that_determines_the_network(
    dataset, segmenter, folder, tmp_path, monkeypatch
):
    [trained_before] = folder.glob("*.npz")
    shutil.copy(trained_before, tmp_path)
    trained = []
    monkeypatch.setattr(module, "_train", lambda *given: trained.append(given) or segmenter)
    other = procedural_dataset(1, SIZE, train_count=24, val_count=6, test_count=0)
    measured_on = dataclasses.replace(dataset, splits={**dataset.splits, "val": other.splits["val"]})
    changed = [(other, SIZE, STEPS), (dataset, (64, 80), STEPS), (dataset, SIZE, STEPS + 1)]
    for images, size, steps in (*changed, (measured_on, SIZE, STEPS)):
        load_or_train(images, size, tmp_path, ignore, steps)
    monkeypatch.setattr(module, "_VERSION", module._VERSION + 1)
    load_or_train(dataset, SIZE, tmp_path, ignore, STEPS)
    assert len(trained) == 5


@pytest.mark.parametrize("damage", ["cut", "other network"])
def test_a_damaged_file_is_refused_by_name(damage, dataset, segmenter, folder, tmp_path):
    [good] = folder.glob("*.npz")
    path = tmp_path / good.name
    if damage == "cut":
        path.write_bytes(good.read_bytes()[:-1000])
    else:
        with np.load(good) as stored:
            scores, palette, *weights = stored.values()
        np.savez(path, scores, palette[:3], *weights)
    with pytest.raises(DataError) as caught:
        load_or_train(dataset, SIZE, tmp_path, must_not_train, steps=STEPS)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_data_without_exactly_one_side_of_label_maps_is_refused(dataset, tmp_path):
    neither = ImageDataset("made up", (PixelFormat(), PixelFormat()), dataset.splits)
    both = ImageDataset("made up", (PixelFormat(labels=True),) * 2, dataset.splits)
    for wrong in (neither, both):
        with pytest.raises(DataError, match="made up"):
            load_or_train(wrong, SIZE, tmp_path, ignore)
    with pytest.raises(ConfigError):
        load_or_train(dataset, (16, 16), tmp_path, ignore)
    assert not list(tmp_path.glob("*.npz"))


def test_pixels_without_a_class_affect_neither_training_nor_scores(tmp_path):
    """Whichever class has the most similar color, and whatever the global random states are."""
    photos = tf.constant(np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8))
    networks = []
    for void in (3, 250):
        labels = np.where(np.arange(64) < 32, 10, 240).astype(np.uint8).repeat(64).reshape(64, 64, 1)
        labels[:, :48] = void
        images = Images(list("abcd"), lambda number, labels=labels: (photos[number], tf.constant(labels)))
        sides = (PixelFormat(), PixelFormat(1, labels=True, missing=void))
        pairs = ImageDataset("made up", sides, {"train": (images,)})
        keras.utils.set_random_seed(void)
        network = load_or_train(pairs, SIZE, tmp_path / str(void), ignore, steps=2)
        drawn = np.random.random()
        np.random.seed(void)
        assert drawn == np.random.random()
        assert network.palette.ravel().tolist() == [10, 240]
        counts = sum(network.confusion(photo, labels, void) for photo in photos.numpy())
        assert f"pixel accuracy {pixel_accuracy(counts.reshape(-1)):.3f}" in network.scores
        networks.append(network)
    assert networks[1].scores == networks[0].scores
    assert_equal_weights(*(network.network for network in networks))
