"""The PatchGAN: the paper's layers, a verdict for every 70x70 patch."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.config import NetworkConfig
from pix2pix_tf.networks import build_discriminator
from pix2pix_tf.networks.layers import InstanceNormalization
from tests.networks.inputs import images, layers_of


@pytest.fixture(scope="module")
def paper():
    keras.utils.set_random_seed(0)
    return build_discriminator(NetworkConfig())


def test_it_has_the_papers_2_77_million_parameters(paper):
    widths = [6, 64, 128, 256, 512, 1]
    kernels = sum(16 * a * b for a, b in itertools.pairwise(widths))
    scales = 2 * (128 + 256 + 512)
    biases = 64 + 1  # of the first and the last convolution, which nothing normalises
    assert kernels + scales + biases == 2_768_705  # the paper says 2.77 M
    assert paper.count_params() == 2_768_705


def test_its_layers_are_the_papers(paper):
    convolutions = layers_of(paper, keras.layers.Conv2D)
    assert [layer.filters for layer in convolutions] == [64, 128, 256, 512, 1]
    assert [layer.strides[0] for layer in convolutions] == [2, 2, 2, 1, 1]
    assert {layer.kernel_size for layer in convolutions} == {(4, 4)}
    assert [layer.use_bias for layer in convolutions] == [True, False, False, False, True]
    names = [layer.name for layer in layers_of(paper, InstanceNormalization)]
    assert names == ["down_2_norm", "down_3_norm", "flat_norm"]
    slopes = [layer.negative_slope for layer in layers_of(paper, keras.layers.LeakyReLU)]
    assert slopes == [0.2] * 4
    for layer in convolutions:
        kernel = layer.kernel.numpy()
        assert abs(kernel.std() - 0.02) < 4 * 0.02 / np.sqrt(2 * kernel.size), layer.name


def test_256_pixels_have_30_logits_on_each_side(paper):
    assert paper([images(1, 256, 256, 3), images(1, 256, 256, 3, seed=1)]).shape == (1, 30, 30, 1)


@pytest.mark.parametrize("side", [0, 1])
def test_a_logit_sees_70_by_70_pixels_of_both_images(side):
    keras.utils.set_random_seed(0)
    # Without normalisation, whose statistics would let every pixel touch every logit.
    discriminator = build_discriminator(NetworkConfig(base_filters=2, norm="none"))
    pair = [tf.constant(images(1, 256, 256, 3)), tf.constant(images(1, 256, 256, 3, seed=1))]
    with tf.GradientTape() as tape:
        tape.watch(pair)
        logit = discriminator(pair)[0, 15, 14, 0]
    seen = np.abs(tape.gradient(logit, pair)[side][0]).max(axis=-1) > 0
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    assert rows.max() - rows.min() + 1 == 70
    assert columns.max() - columns.min() + 1 == 70
    assert seen[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].mean() > 0.99
    assert rows.min() - columns.min() == 8  # the next logit looks 8 pixels further


@pytest.mark.parametrize("size", [(64, 64), (65, 100), (256, 128), (300, 203)])
def test_any_size_is_judged(size):
    discriminator = build_discriminator(NetworkConfig(base_filters=1))
    rows, columns = (-(-side // 8) - 2 for side in size)
    logits = discriminator([images(2, *size, 3), images(2, *size, 3, seed=1)])
    assert logits.shape == (2, rows, columns, 1)
    assert np.isfinite(logits).all()


@pytest.mark.parametrize("channels", [(1, 3), (3, 1)])
def test_input_and_target_have_their_own_channels(channels):
    config = NetworkConfig(base_filters=1, input_channels=channels[0], output_channels=channels[1])
    discriminator = build_discriminator(config)
    assert discriminator.get_layer("down_1_conv").kernel.shape == (4, 4, 4, 1)
    pair = [images(1, 64, 64, channels[0]), images(1, 64, 64, channels[1])]
    assert discriminator(pair).shape == (1, 6, 6, 1)


@pytest.mark.parametrize("base_filters", [1, 5])
def test_widths_follow_base_filters(base_filters):
    discriminator = build_discriminator(NetworkConfig(base_filters=base_filters))
    widths = [layer.filters for layer in layers_of(discriminator, keras.layers.Conv2D)]
    assert widths == [base_filters * factor for factor in (1, 2, 4, 8)] + [1]


def test_a_pair_is_judged_alone():
    discriminator = build_discriminator(NetworkConfig(base_filters=4))
    inputs, targets = images(3, 64, 64, 3), images(3, 64, 64, 3, seed=1)
    together = discriminator([inputs, targets]).numpy()
    # Convolutions may sum in another order for another batch size.
    np.testing.assert_allclose(discriminator([inputs[1:2], targets[1:2]])[0], together[1], atol=2e-6)


def test_the_verdict_depends_on_the_input_too():
    discriminator = build_discriminator(NetworkConfig(base_filters=4))
    target = images(1, 64, 64, 3)
    verdicts = [discriminator([images(1, 64, 64, 3, seed=seed), target]).numpy() for seed in (1, 2)]
    assert (verdicts[0] != verdicts[1]).any()


def test_logits_are_float32_and_unbounded_in_bfloat16_too():
    discriminator = build_discriminator(NetworkConfig(base_filters=2), dtype="mixed_bfloat16")
    assert discriminator.get_layer("flat_conv").compute_dtype == "bfloat16"
    assert {weight.dtype for weight in discriminator.trainable_weights} == {"float32"}
    loud = discriminator.get_layer("logits_conv").kernel
    loud.assign(loud * 1e4)
    logits = discriminator([images(1, 64, 64, 3), images(1, 64, 64, 3, seed=1)])
    assert logits.dtype == tf.float32
    assert np.abs(logits).max() > 2


@pytest.mark.parametrize(("norm", "kind"), [("batch", keras.layers.BatchNormalization), ("none", type(None))])
def test_other_normalisations(norm, kind):
    discriminator = build_discriminator(NetworkConfig(base_filters=2, norm=norm))
    assert not layers_of(discriminator, InstanceNormalization)
    assert len(layers_of(discriminator, kind)) == (3 if norm == "batch" else 0)
    biases = [layer.use_bias for layer in layers_of(discriminator, keras.layers.Conv2D)]
    assert biases == ([True, False, False, False, True] if norm == "batch" else [True] * 5)


def test_a_saved_discriminator_gives_the_same_verdict(tmp_path):
    discriminator = build_discriminator(NetworkConfig(base_filters=2))
    pair = [images(1, 64, 64, 3), images(1, 64, 64, 3, seed=1)]
    discriminator.save(tmp_path / "discriminator.keras")
    loaded = keras.saving.load_model(tmp_path / "discriminator.keras")
    np.testing.assert_array_equal(loaded(pair), discriminator(pair))
