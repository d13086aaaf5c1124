import hashlib

import numpy as np
import pytest

from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.procedural import PALETTE, draw_pair, plan_street, procedural_dataset

SIZES = [(64, 64), (64, 150), (65, 97), (131, 64), (128, 128), (200, 333), (300, 96)]


def class_map(labels):
    """Returns the class of each pixel as its place in the palette; fails on any other color."""
    matches = (labels[:, :, None] == np.array(list(PALETTE.values()), np.uint8)).all(-1)
    assert matches.any(-1).all(), "the label map holds a color that is not in the palette"
    return matches.argmax(-1)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_pairs_have_the_size_asked_for_and_labels_of_the_palette_only(height, width):
    for index in range(6):
        photo, labels = draw_pair(3, index, height, width)
        assert photo.shape == labels.shape == (height, width, 3)
        assert photo.dtype == labels.dtype == np.uint8
        class_map(labels)


@pytest.mark.parametrize(
    ("arguments", "digest"),
    [
        ((0, 0, 64, 64), "bb494cf2d100b31bf0db51183e5a40ee471eb468166dfa18f585cb0d531acc12"),
        ((0, 1, 128, 128), "2a56c70cf25fcf613ecda7f2f1cb8c3d82dd05be4a8c5974ee5353f92157a8e3"),
        ((1, 2**63, 97, 203), "d720bf366f5cccef00e5ad0d782268c47131636bb41d6c7894b1d2b3eb8d630d"),
        ((-5, 12, 256, 256), "6b79a5a6ff40dab7371dc5f30af00247b33eeefa9b60045f97862161cb83a54f"),
    ],
)
def test_drawings_are_the_same_bytes_on_every_machine(arguments, digest):
    photo, labels = draw_pair(*arguments)
    assert hashlib.sha256(photo.tobytes() + labels.tobytes()).hexdigest() == digest


def test_no_two_drawings_are_alike():
    drawings = [draw_pair(0, index, 64, 64) for index in [*range(100), 2**40, 2**63]]
    drawings += [draw_pair(seed, index, 64, 64) for seed in (1, 2, -1, 2**40) for index in range(5)]
    assert len({photo.tobytes() for photo, _ in drawings}) == len(drawings)
    # Two facades may agree in their labels at this size and still differ in colors and windows.
    assert len({labels.tobytes() for _, labels in drawings}) > 80


def test_every_class_appears():
    seen = dict.fromkeys(PALETTE, 0)
    for index in range(60):
        classes = class_map(draw_pair(0, index, 64, 64)[1])
        for place, name in enumerate(PALETTE):
            seen[name] += bool((classes == place).any())
    assert min(seen.values()) >= 4, seen
    assert all(seen[name] == 60 for name in ("sky", "wall", "window", "door", "cornice", "pavement")), seen


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_everything_planned_stands_inside_its_image(height, width):
    for index in range(30):
        for house in plan_street(0, index, height, width).houses:
            placed = [house.wall, house.top, house.door, *(box for box, _ in house.windows)]
            placed += [*house.chimneys, *house.shops, *house.balconies]
            for part in ("pediments", "dormers", "cornices", "moldings", "pillars", "shutters"):
                placed += getattr(house, part)()
            for box in placed:
                assert 0 <= box.top <= box.bottom <= height, (index, box)
                assert 0 <= box.left < box.right <= width, (index, box)


def test_splits_are_named_after_their_drawings_and_share_none():
    dataset = procedural_dataset(0, (64, 64), train_count=5, val_count=0, test_count=2)
    assert dataset.sides == (PixelFormat(channels=3, labels=False), PixelFormat(channels=3, labels=True))
    assert {split: dataset.count(split) for split in dataset.splits} == {"train": 5, "test": 2}
    assert dataset.splits["train"][0].names[4] == "procedural-000012"
    names = [name for (split,) in dataset.splits.values() for name in split.names]
    assert len(set(names)) == 7


@pytest.mark.parametrize("held_bytes", [1 << 29, 0], ids=["held in memory", "drawn when read"])
def test_reading_in_a_tf_data_map_gives_the_drawing_of_that_name(held_bytes, monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr("pix2pix_tf.data.procedural._MEMORY_BYTES", held_bytes)
    splits = procedural_dataset(4, (64, 80), train_count=4, val_count=3, test_count=2).splits
    for (split,) in splits.values():
        pairs = tf.data.Dataset.range(len(split)).map(split.read, num_parallel_calls=2)
        assert [spec.shape for spec in pairs.element_spec] == [(64, 80, 3)] * 2
        for name, pair in zip(split.names, pairs.as_numpy_iterator(), strict=True):
            np.testing.assert_array_equal(pair, draw_pair(4, int(name.split("-")[1]), 64, 80))


def test_nothing_is_drawn_before_the_first_reading(monkeypatch):
    def refuse(*arguments):
        raise AssertionError("drew too early")

    monkeypatch.setattr("pix2pix_tf.data.procedural.draw_pair", refuse)
    assert len(procedural_dataset(0, (2048, 2048)).splits["train"][0]) == 400
