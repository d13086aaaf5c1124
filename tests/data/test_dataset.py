"""The three kinds of data sets, and how one becomes another."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf import preset, replace
from pix2pix_tf.config import dataset_label
from pix2pix_tf.data.dataset import ImageDataset, Images, images_of, unpaired, with_all
from pix2pix_tf.data.names import CATALOG, CYCLE_GAN, facts_of, full_name, looks_like_path
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.sources import open_dataset, usual_kind
from pix2pix_tf.errors import DataError
from tests.conftest import small_config

PHOTO, LABELS = PixelFormat(), PixelFormat(channels=1, labels=True)


def pairs(count, name="pair"):
    """Pairs whose every pixel is their number, in B a hundred more."""

    def read(index):
        number = tf.cast(index, tf.uint8)
        return tf.fill([4, 5, 3], number), tf.fill([4, 5, 1], number + 100)

    return Images([f"{name} {number}" for number in range(count)], read)


@pytest.fixture
def dataset():
    return ImageDataset("made up", (PHOTO, LABELS), {"train": (pairs(7),), "val": (pairs(3, "held"),)})


def values(images):
    """The values of all images, a tuple for each number."""
    read = [images.read(tf.constant(index, tf.int64)) for index in range(len(images))]
    return [tuple(int(image.numpy().max()) for image in row) for row in read]


def test_unpaired_sets_have_no_counterparts_to_train_on_and_true_ones_held_out(dataset):
    made = unpaired(dataset)
    assert (made.kind, made.sides, dataset.kind) == ("unpaired", (PHOTO, LABELS), "pairs")
    a, b = made.splits["train"]
    assert values(a) == [(0,), (2,), (4,), (6,)]
    assert values(b) == [(101,), (103,), (105,)]
    assert set(a.names).isdisjoint(b.names)
    assert set(a.names) | set(b.names) == set(dataset.splits["train"][0].names)
    a, b = made.splits["val"]
    assert list(a.names) == list(b.names) == ["held 0", "held 1", "held 2"]
    assert values(b) == [(100,), (101,), (102,)]
    assert made.count("train") == 4
    with pytest.raises(DataError, match="made up"):
        unpaired(ImageDataset("made up", (PHOTO, LABELS), {"train": (pairs(1),)}))


@pytest.mark.parametrize("name", ["pair", "held"])
def test_all_splits_together_have_every_pair_under_a_name_of_its_own(dataset, name):
    splits = {**dataset.splits, "val": (pairs(3, name),)}
    (every,) = with_all(dataclasses.replace(dataset, splits=splits)).splits["all"]
    assert values(every) == [(number, 100 + number) for number in (*range(7), *range(3))]
    assert len(set(every.names)) == 10
    assert len(np.unique(every.digests()[:, 0])) == 7


@pytest.mark.parametrize("made_of", [lambda dataset: dataset, unpaired])
def test_one_side_becomes_images_after_the_direction(dataset, made_of):
    target = images_of(made_of(dataset).directed("BtoA"), 1)
    assert (target.kind, target.sides) == ("images", (PHOTO,))
    assert all(0 <= value < 7 for (value,) in values(target.splits["train"][0]))
    labels = images_of(made_of(dataset), 1)
    assert labels.sides == (LABELS,)
    assert all(value >= 100 for (value,) in values(labels.splits["train"][0]))
    assert labels.directed("BtoA") is labels


def test_directed_pairs_swap_their_sides(dataset):
    other = dataset.directed("BtoA")
    assert other.sides == (LABELS, PHOTO)
    assert values(other.splits["train"][0])[2] == (102, 2)
    assert dataset.directed("AtoB") is dataset


def test_identity_is_of_the_images_and_their_order(dataset):
    assert dataset.identity()["count"] == 7
    assert dataset.identity() != dataset.identity("val")
    assert (
        dataset.identity() == dataclasses.replace(dataset, splits={"train": (pairs(7, "other"),)}).identity()
    )
    assert dataset.identity() != dataset.directed("BtoA").identity()
    sets = unpaired(dataset)
    assert sets.identity()["count"] == sets.count("train") == 4
    assert set(sets.digests("train")) < set(dataset.digests("train"))
    # Either set changes it, and so does their order.
    a, b = sets.splits["train"]
    others = [(a, a), (b, a), (a.only([1, 0, 2, 3]), b), (a, b.only([0, 2, 1]))]
    identities = [ImageDataset("", (PHOTO, PHOTO), {"train": each}).identity()["digest"] for each in others]
    assert len({sets.identity()["digest"], *identities}) == 5


def test_descriptions_count_what_there_is(dataset):
    assert dataset.description() == "made up: 7 train, 3 val pairs"
    assert "4 + 3 train, 3 + 3 val" in unpaired(dataset).description()
    assert "7 train, 3 val images" in images_of(dataset, 0).description()


@pytest.mark.parametrize("kind", ["unpaired", "images"])
def test_procedural_facades_are_of_any_kind(kind):
    config = replace(preset("procedural"), image_size=64)
    dataset = open_dataset(config, kind)
    assert dataset.kind == kind
    photo, labels = open_dataset(replace(config, direction="AtoB")).splits["val"][0].read(tf.constant(1))
    # From labels to photos: the photo is the target. Unpaired sets stay A and B whatever the direction.
    expected = (photo, labels) if kind == "unpaired" else (photo,)
    for images, image in zip(dataset.splits["val"], expected, strict=True):
        np.testing.assert_array_equal(images.read(tf.constant(1))[0], image)
    gray = open_dataset(replace(config, output_channels=1), kind)
    assert gray.sides[0].channels == 1
    assert gray.splits["val"][0].read(tf.constant(0))[0].shape == (64, 64, 1)


# ---------------------------------------------------------------- names


def test_what_is_a_name_and_what_a_path(tmp_path, monkeypatch):
    named = ["procedural", *CATALOG, *CYCLE_GAN, "cycle_gan/maps", "pix2pix/maps", "oxford_flowers102"]
    assert not any(map(looks_like_path, named))
    assert all(
        map(looks_like_path, ["./photos", "/photos", "~/photos", "My photos", "my/photos", "C:\\photos"])
    )
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "maps"):
        (tmp_path / name).mkdir()
    assert looks_like_path("photos")
    assert not looks_like_path("maps")
    assert dataset_label("photos") == "photos"
    assert "/" not in dataset_label("cycle_gan/maps")


def test_a_name_of_both_papers_is_that_of_pairs():
    assert full_name("maps") == full_name("pix2pix/maps") == "maps"
    assert full_name("horse2zebra") == full_name("cycle_gan/horse2zebra") == "cycle_gan/horse2zebra"
    assert [usual_kind(name) for name in ("maps", "cycle_gan/maps", "horse2zebra", "mnist")] == [
        "pairs", "unpaired", "unpaired", "images",
    ]  # fmt: skip
    assert facts_of("pix2pix/edges2shoes") is CATALOG["edges2shoes"]
    for name in ("procedural", *CATALOG, *CYCLE_GAN, "some/folder"):
        preset(name)  # whatever a name brings is a setting


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_channels_of_an_unpaired_model_are_those_of_a_and_b_in_either_direction(direction):
    channels = {"input_channels": 3, "output_channels": 1, "identity_weight": 0.0}
    config = small_config(None, "cyclegan", direction=direction, **channels)
    a_and_b = [side.channels for side in open_dataset(config, "pairs").sides]
    assert a_and_b == ([3, 1] if direction == "AtoB" else [1, 3])
