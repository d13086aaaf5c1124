"""Pixels to pixels, in Python and in graphs."""

import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.data import pixels
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.reading import read_image
from tests.data.image_files import DEEP, RGBA, WIDTH, png

# What a PNG calls them: how many channels they have.
COLOR_TYPES = {0: 1, 4: 2, 2: 3, 6: 4}


@pytest.mark.parametrize("color_type", COLOR_TYPES)
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_arrays_are_converted_as_files_are(color_type, bits, channels):
    stored = {8: RGBA, 16: DEEP}[bits][..., -COLOR_TYPES[color_type] :].copy()
    if color_type == 4:  # 6 is left transparent
        stored[..., -1] = np.iinfo(stored.dtype).max
    rows = [row.astype(f">u{bits // 8}").tobytes() for row in stored]
    expected = read_image(png(rows, WIDTH, bits, color_type), PixelFormat(channels, bits=bits))
    signature = [tf.TensorSpec([None, None, stored.shape[2]], stored.dtype)]
    in_graph = tf.function(lambda image: pixels.convert_channels(image, channels), signature)
    for convert in (in_graph, lambda image: pixels.convert_channels(image, channels)):
        converted = convert(tf.constant(stored))
        assert converted.dtype == stored.dtype
        np.testing.assert_array_equal(converted, expected)


@pytest.mark.parametrize(
    ("image", "channels"),
    [
        (tf.zeros([2, 2, 3], tf.float32), 3),
        (tf.zeros([2, 2, 5], tf.uint8), 3),
        (tf.zeros([2, 2], tf.uint8), 1),
        (tf.zeros([2, 2, 3], tf.uint8), 2),
    ],
)
def test_other_arrays_are_a_mistake(image, channels):
    with pytest.raises(ValueError, match="1 to 4 channels"):
        pixels.convert_channels(image, channels)


@pytest.mark.parametrize("width", [2, 7, 8])
def test_side_by_side_pair_is_cut_in_equal_halves(width):
    pair = RGBA[:, np.arange(width) % WIDTH]
    a, b = pixels.split_side_by_side(tf.constant(pair))
    np.testing.assert_array_equal(a, pair[:, : width // 2])
    np.testing.assert_array_equal(b, pair[:, -(width // 2) :])


def test_pair_of_one_column_is_refused():
    with pytest.raises(tf.errors.InvalidArgumentError, match="2 pixels wide"):
        pixels.split_side_by_side(tf.zeros([4, 1, 3], tf.uint8))


def test_unit_range_and_back_is_the_identity():
    levels = tf.range(256)
    unit = pixels.to_unit_range(tf.cast(levels, tf.uint8))
    assert unit.numpy()[[0, 255]].tolist() == [-1.0, 1.0]
    np.testing.assert_array_equal(pixels.to_uint8(unit), levels)
    assert pixels.to_unit_range(tf.constant([0, 65535], tf.uint16)).numpy().tolist() == [-1.0, 1.0]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_graph_scales_as_python_does_to_the_last_bit(dtype):
    levels = np.arange(np.iinfo(dtype).max + 1).astype(dtype)
    in_graph = tf.function(pixels.to_unit_range, input_signature=[tf.TensorSpec([None], dtype)])
    np.testing.assert_array_equal(in_graph(levels), pixels.to_unit_range(tf.constant(levels)))


def test_to_uint8_saturates_and_survives_nan():
    values = tf.constant([-9.0, -np.inf, np.nan, 9.0, np.inf])
    assert pixels.to_uint8(values).numpy().tolist() == [0, 0, 0, 255, 255]
