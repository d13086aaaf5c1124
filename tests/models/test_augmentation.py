"""DiffAugment: color, translation and cutout, and their randomness."""

import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.models.augmentation import augmented
from pix2pix_tf.models.forward import ForwardPass

SIZE = (64, 96)


def forward_pass(step):
    return ForwardPass({}, {}, seed=1, step=tf.constant(step, tf.int64))


def drawn(count=4):
    """Random images, and conditions whose pixel values are their positions."""
    images = np.random.default_rng(0).uniform(-1, 1, (count, *SIZE, 3)).astype(np.float32)
    places = 1.0 + np.arange(SIZE[0] * SIZE[1], dtype=np.float32).reshape(1, *SIZE, 1)
    return images, np.repeat(places, count, axis=0)


def translations_of(condition):
    """The translation of each condition, and a mask of the pixels that aren't 0."""
    found = []
    for each in condition[..., 0]:
        rows, columns = np.nonzero(each)
        before = np.divmod(each[rows, columns].astype(int) - 1, SIZE[1])
        moves = {
            (int(row - a), int(column - b)) for row, column, a, b in zip(rows, columns, *before, strict=True)
        }
        found.append((moves, each != 0))
    return found


@pytest.mark.parametrize("step", range(3))
def test_image_and_condition_are_augmented_alike(step):
    images, condition = drawn()
    seen_condition, seen = (each.numpy() for each in augmented(forward_pass(step), [condition, images]))
    for image, after, (moves, left) in zip(images, seen, translations_of(seen_condition), strict=True):
        [(down, right)] = moves
        assert abs(down) <= SIZE[0] / 8
        assert abs(right) <= SIZE[1] / 8
        assert left.mean() < 0.95  # the cutout covers at least 1/16 of the image
        moved = np.roll(image, (down, right), (0, 1))[left]
        here = after[left]
        assert (after[~left] == 0).all()
        # Brightness, saturation and contrast are one linear map of the pixel, and an offset.
        design = np.column_stack([moved, np.ones(len(moved))])
        solution, *_ = np.linalg.lstsq(design, here, rcond=None)
        np.testing.assert_allclose(design @ solution, here, atol=1e-4)
        gray = design @ solution.mean(axis=1)
        slope = np.polyfit(moved.mean(axis=1), gray, 1)[0]
        assert 0.5 <= slope <= 1.5


def test_augmentation_depends_on_step_and_image():
    images, condition = drawn()
    again, first, other = (
        augmented(forward_pass(step), [condition, images])[1].numpy() for step in (0, 0, 1)
    )
    np.testing.assert_array_equal(again, first)
    assert (first != other).any(axis=(1, 2, 3)).all()
    same = np.repeat(images[:1], 4, axis=0)
    of_one = augmented(forward_pass(0), [same])[0].numpy()
    assert len({each.tobytes() for each in of_one}) == 4
