"""The graph's decoder against the reader of files, over every kind of file that a server takes."""

import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.pixels import to_unit_range
from pix2pix_tf.data.reading import read_image
from pix2pix_tf.formats.saved_model.decoding import decode_to_unit_range, stated_size
from tests.data.image_files import SERVED

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[1, 3])
def decoder(request):
    channels = request.param
    signature = [tf.TensorSpec([], tf.string)]
    return channels, tf.function(lambda data: decode_to_unit_range(data, channels), signature)


def test_both_readers_see_the_same_pixels(decoder):
    channels, decode = decoder
    different = []
    for kind, data in SERVED.items():
        form = PixelFormat(channels, bits=16 if "16 bits" in kind else 8)
        expected = to_unit_range(tf.constant(read_image(data, form))).numpy()
        if not np.array_equal(decode(data).numpy(), expected):
            different.append(kind)
    assert not different


def test_the_header_states_the_size_that_is_decoded():
    sizes = tf.function(stated_size, [tf.TensorSpec([], tf.string)])
    for kind, data in SERVED.items():
        height, width = sorted(read_image(data, PixelFormat()).shape[:2])
        assert sorted(sizes(data).numpy()) == [height, width], kind


def test_endless_blocks_are_refused_soon(decoder):
    for filling in (b"\xff", b"\0", b"\xff\xe0\0\0"):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decoder[1](b"\xff\xd8\xff" + filling * 1_000_000)
