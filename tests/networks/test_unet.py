"""The U-Net and the encoder-decoder: the paper's layers, with and without skip connections."""

import keras
import numpy as np
import pytest

from pix2pix_tf.networks import build_generator
from tests.networks.inputs import images, layers_of


def with_levels(levels, kind="unet", **options):
    return build_generator(kind, image_size=(2**levels, 2**levels), **{"base_filters": 2, **options})


def parameters(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def widths(model):
    up = layers_of(model, keras.layers.Conv2DTranspose)
    down = [layer for layer in layers_of(model, keras.layers.Conv2D) if layer not in up]
    return [layer.filters for layer in down], [layer.filters for layer in up]


def test_layers_match_the_paper():
    paper = build_generator()
    assert parameters(paper) == 54_414_531  # 54.4 M in the paper
    assert widths(paper) == (
        [64, 128, 256, 512, 512, 512, 512, 512],
        [512, 512, 512, 512, 256, 128, 64, 3],
    )
    convolutions = layers_of(paper, (keras.layers.Conv2D, keras.layers.Conv2DTranspose))
    assert {(layer.kernel_size, layer.strides) for layer in convolutions} == {((4, 4), (2, 2))}
    assert {layer.negative_slope for layer in layers_of(paper, keras.layers.LeakyReLU)} == {0.2}
    assert len(layers_of(paper, keras.layers.LeakyReLU)) == 8
    assert len(layers_of(paper, keras.layers.ReLU)) == 7
    assert paper.layers[-1].activation is keras.activations.tanh


@pytest.mark.parametrize("levels", [2, 4, 6, 8])
@pytest.mark.parametrize("kind", ["unet", "encoder_decoder"])
def test_dropout_in_the_three_innermost_decoder_blocks(kind, levels):
    dropouts = layers_of(with_levels(levels, kind), keras.layers.Dropout)
    expected = [f"up_{level}_dropout" for level in range(levels, 1, -1)][:3]
    assert [layer.name for layer in dropouts] == expected
    assert {layer.rate for layer in dropouts} == {0.5}


@pytest.mark.parametrize(
    ("size", "levels"),
    [((64, 2048), 6), ((127, 300), 6), ((128, 128), 7), ((256, 255), 7), ((2048, 256), 8)],
)
def test_depth_and_widths_follow_from_size_and_filters(size, levels):
    for base_filters in (1, 3):
        expected = [base_filters * factor for factor in (1, 2, 4, 8, 8, 8, 8, 8)][:levels]
        network = build_generator(image_size=size, base_filters=base_filters)
        assert widths(network) == (expected, [*expected[-2::-1], 3])


def test_encoder_decoder_is_a_unet_without_skips():
    encoder_decoder, unet = (with_levels(8, kind, base_filters=8) for kind in ("encoder_decoder", "unet"))
    assert widths(encoder_decoder) == widths(unet)
    skips = [64, 64, 64, 64, 32, 16, 8]  # channels that skip into each decoder block but the first
    decoders = [64, 64, 64, 32, 16, 8, 3]
    skipped = sum(16 * a * b for a, b in zip(skips, decoders, strict=True))
    assert parameters(encoder_decoder) == parameters(unet) - skipped


def test_small_images_are_reflected():
    keras.utils.set_random_seed(0)
    generator, image = build_generator(base_filters=2), images(1, 100, 60, 3)
    mirrored = np.pad(image, [(0, 0), (0, 156), (0, 196), (0, 0)], mode="reflect")
    # Only the order of sums may differ.
    np.testing.assert_allclose(generator(image), generator(mirrored)[:, :100, :60], atol=1e-6)
