"""The PatchGANs: layers, receptive fields and logits, with and without a condition."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.errors import ConfigError
from pix2pix_tf.networks import build_discriminator
from pix2pix_tf.networks.discriminators import PATCHES
from pix2pix_tf.networks.layers import InstanceNormalization
from tests.networks.inputs import images, layers_of


def convolutions_of(model):
    return layers_of(model, keras.layers.Conv2D)


def test_layers_match_the_paper():
    keras.utils.set_random_seed(0)
    paper = build_discriminator()
    assert paper.count_params() == 2_768_705  # 2.77 M in the paper
    convolutions = convolutions_of(paper)
    assert [layer.use_bias for layer in convolutions] == [True, False, False, False, True]
    names = [layer.name for layer in layers_of(paper, InstanceNormalization)]
    assert names == ["down_2_norm", "down_3_norm", "flat_norm"]
    slopes = [layer.negative_slope for layer in layers_of(paper, keras.layers.LeakyReLU)]
    assert slopes == [0.2] * 4
    for layer in convolutions:
        kernel = layer.kernel.numpy()
        assert abs(kernel.std() - 0.02) < 4 * 0.02 / np.sqrt(2 * kernel.size), layer.name


@pytest.mark.parametrize(
    ("patch", "filters", "strides", "kernel"),
    [
        (1, [64, 128, 1], [1, 1, 1], 1),
        (16, [64, 128, 1], [2, 1, 1], 4),
        (70, [64, 128, 256, 512, 1], [2, 2, 2, 1, 1], 4),
        (286, [64, 128, 256, 512, 512, 512, 1], [2, 2, 2, 2, 2, 1, 1], 4),
    ],
)
def test_every_patch_has_the_papers_widths_and_strides(patch, filters, strides, kernel):
    convolutions = convolutions_of(build_discriminator(patch=patch))
    assert [layer.filters for layer in convolutions] == filters
    assert [layer.strides[0] for layer in convolutions] == strides
    assert {layer.kernel_size for layer in convolutions} == {(kernel, kernel)}
    narrow = convolutions_of(build_discriminator(patch=patch, base_filters=2))
    assert [layer.filters for layer in narrow] == [*(width // 32 for width in filters[:-1]), 1]


@pytest.mark.parametrize("patch", PATCHES)
@pytest.mark.parametrize("condition_channels", [3, None])
def test_receptive_field_is_the_patch(patch, condition_channels):
    # Without normalization, because its statistics make each logit depend on all pixels, and with constant
    # kernels, so that no gradient is zero by chance.
    discriminator = build_discriminator(
        patch=patch, base_filters=1, norm="none", condition_channels=condition_channels
    )
    for layer in convolutions_of(discriminator):
        layer.kernel.assign(tf.ones_like(layer.kernel) / 16)
    side = 2 * patch + 64
    seen_images = [tf.ones([1, side, side, 3])] * (1 if condition_channels is None else 2)
    with tf.GradientTape() as tape:
        tape.watch(seen_images)
        logits = discriminator(seen_images if condition_channels else seen_images[0])
        logit = logits[0, logits.shape[1] // 2, logits.shape[2] // 2 - 1, 0]
    for gradient in tape.gradient(logit, seen_images):
        seen = np.abs(gradient[0]).max(axis=-1) > 0
        rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        assert np.ptp(rows) + 1 == np.ptp(columns) + 1 == patch
        assert seen[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].all()
        # The logit is one column left of the middle, which shifts its patch by the total stride.
        assert rows.min() - columns.min() == 2 ** PATCHES[patch]


@pytest.mark.parametrize(("patch", "pixels"), [(1, 1), (16, 5), (70, 17), (286, 65)])
def test_smallest_image(patch, pixels):
    options = {"patch": patch, "base_filters": 1, "condition_channels": None}
    discriminator = build_discriminator(image_size=(pixels, 2 * pixels), **options)
    assert discriminator(images(1, pixels, pixels, 3)).shape == (1, 1, 1, 1)
    with pytest.raises(ConfigError):
        build_discriminator(image_size=(2 * pixels, pixels - 1), **options)


@pytest.mark.parametrize("spectral_norm", [False, True])
def test_logits_are_float32_and_unbounded_in_bfloat16_too(spectral_norm):
    discriminator = build_discriminator(base_filters=2, dtype="mixed_bfloat16", spectral_norm=spectral_norm)
    assert discriminator.get_layer("flat_conv").compute_dtype == "bfloat16"
    spectral = ["Spectral" in type(layer).__name__ for layer in convolutions_of(discriminator)]
    assert spectral == [spectral_norm] * 5
    assert {weight.dtype for weight in discriminator.weights} == {"float32"}
    bias = discriminator.get_layer("logits_conv").bias
    bias.assign(bias + 1e4)
    logits = discriminator([images(1, 64, 64, 3), images(1, 64, 64, 3, seed=1)])
    assert logits.dtype == tf.float32
    assert np.abs(logits).max() > 2


@pytest.mark.parametrize(("norm", "count"), [("batch", 3), ("none", 0)])
def test_other_normalizations(norm, count):
    discriminator = build_discriminator(base_filters=2, norm=norm)
    assert not layers_of(discriminator, InstanceNormalization)
    assert len(layers_of(discriminator, keras.layers.BatchNormalization)) == count
    biases = [layer.use_bias for layer in convolutions_of(discriminator)]
    assert biases == [True, *[norm == "none"] * 3, True]
