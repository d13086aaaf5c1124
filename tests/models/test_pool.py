"""The pool of generated images."""

import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.models.forward import ForwardPass
from pix2pix_tf.models.pool import create_pool, from_pool

SIZE = 5


def numbered(first, count):
    """Images whose pixels are all the image's number."""
    numbers = tf.range(first, first + count, dtype=tf.float32)
    return tf.tile(tf.reshape(numbers, [count, 1, 1, 1]), [1, 2, 3, 1])


def run(batches, batch_size):
    """Adds numbered images to a pool in a graph; returns the numbers of the output images and its state."""
    state = create_pool("pool", SIZE, (2, 3, 1))

    @tf.function
    def query(images, step):
        return from_pool(ForwardPass({}, state, 0, step), "pool", images)

    out = [
        query(numbered(1 + step * batch_size, batch_size), tf.constant(step, tf.int64))[:, 0, 0, 0].numpy()
        for step in range(batches)
    ]
    stored = state["pool/images"].numpy()
    assert (stored == stored[:, :1, :1]).all()  # images stay whole
    return np.concatenate(out), stored[:, 0, 0, 0], int(state["pool/count"])


def test_pool_with_accumulated_parts():
    whole, parts = create_pool("pool", SIZE, (2, 3, 1)), create_pool("pool", SIZE, (2, 3, 1))

    @tf.function
    def in_parts(images, step):
        each = [
            from_pool(ForwardPass({}, parts, 3, step, part=(index, 2)), "pool", half)
            for index, half in enumerate(tf.split(images, 2))
        ]
        return tf.concat(each, axis=0)

    for number in range(6):
        images, step = numbered(1 + 4 * number, 4), tf.constant(number, tf.int64)
        expected = from_pool(ForwardPass({}, whole, 3, step), "pool", images)
        np.testing.assert_array_equal(in_parts(images, step), expected)
    np.testing.assert_array_equal(parts["pool/images"], whole["pool/images"])


@pytest.mark.parametrize("batch_size", [1, 4])
def test_full_pool_exchanges_half_of_its_images(batch_size):
    out, stored, count = run(400 // batch_size, batch_size)
    assert count == SIZE
    assert list(out[:SIZE]) == [1, 2, 3, 4, 5]
    expected = {1, 2, 3, 4, 5}
    for new, returned in enumerate(out[SIZE:], start=SIZE + 1):
        if returned != new:  # the new image has replaced the returned one
            assert returned in expected
            expected = expected - {returned} | {new}
    assert expected == set(stored)
    share = np.mean(out[SIZE:] == np.arange(SIZE + 1, 401))
    assert 0.4 < share < 0.6  # four standard deviations
