"""CycleGAN's generator: the paper's layers, its residual blocks and their number."""

import keras
import pytest

from pix2pix_tf.networks import build_generator
from pix2pix_tf.networks.layers import InstanceNormalization, ReflectionPadding
from tests.networks.inputs import layers_of


def test_layers_match_the_paper():
    paper = build_generator("resnet")
    assert paper.count_params() == 11_383_427
    up = layers_of(paper, keras.layers.Conv2DTranspose)
    convolutions = layers_of(paper, (keras.layers.Conv2D, keras.layers.Conv2DTranspose))
    assert [(layer.filters, layer.kernel_size[0], layer.strides[0]) for layer in convolutions] == [
        (64, 7, 1),
        (128, 3, 2),
        (256, 3, 2),
        *[(256, 3, 1)] * 18,
        (128, 3, 2),
        (64, 3, 2),
        (3, 7, 1),
    ]
    assert [layer.filters for layer in up] == [128, 64]
    assert len(layers_of(paper, InstanceNormalization)) == 1 + 2 + 18 + 2
    assert len(layers_of(paper, keras.layers.ReLU)) == 1 + 2 + 9 + 2  # none after an addition
    assert [layer.pixels for layer in layers_of(paper, ReflectionPadding)] == [3, *[1] * 18, 3]
    assert paper.layers[-1].activation is keras.activations.tanh


@pytest.mark.parametrize(
    ("size", "blocks"), [((128, 128), 6), ((255, 600), 6), ((256, 256), 9), ((600, 300), 9)]
)
def test_blocks_follow_from_the_shorter_side(size, blocks):
    generator = build_generator("resnet", image_size=size, base_filters=1)
    assert len(layers_of(generator, keras.layers.Add)) == blocks
