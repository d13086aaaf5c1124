"""The U-Net: the paper's layers, any size, one image at a time, float32 at the end."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.config import NetworkConfig
from pix2pix_tf.networks import build_generator
from pix2pix_tf.networks.generators import unet_levels
from pix2pix_tf.networks.layers import InstanceNormalization
from tests.networks.inputs import images, layers_of

SMALL = NetworkConfig(base_filters=2)


@pytest.fixture(scope="module")
def paper():
    keras.utils.set_random_seed(0)
    return build_generator(NetworkConfig())


@pytest.fixture(scope="module")
def small():
    keras.utils.set_random_seed(0)
    return build_generator(SMALL)


# ---------------------------------------------------------------- the paper's network


def test_it_has_the_papers_54_million_parameters(paper):
    # From the paper's list of blocks: 4x4 kernels, a bias only on the three convolutions that nothing
    # normalises (first, innermost, last), scale and offset a channel elsewhere.
    encoder = [3, 64, 128, 256, 512, 512, 512, 512, 512]
    decoder = [(512, 512), *[(1024, 512)] * 3, (1024, 256), (512, 128), (256, 64), (128, 3)]
    kernels = sum(16 * a * b for a, b in itertools.pairwise(encoder))
    kernels += sum(16 * a * b for a, b in decoder)
    scales = 2 * (sum(encoder[2:8]) + sum(b for _, b in decoder[:-1]))
    biases = 64 + 512 + 3
    assert kernels + scales + biases == 54_414_531  # the paper says 54.4 M
    assert sum(int(np.prod(weight.shape)) for weight in paper.trainable_weights) == 54_414_531


def test_its_layers_are_the_papers(paper):
    down, up = layers_of(paper, keras.layers.Conv2D), layers_of(paper, keras.layers.Conv2DTranspose)
    down = [layer for layer in down if layer not in up]
    assert [layer.filters for layer in down] == [64, 128, 256, 512, 512, 512, 512, 512]
    assert [layer.filters for layer in up] == [512, 512, 512, 512, 256, 128, 64, 3]
    assert {(layer.kernel_size, layer.strides) for layer in down + up} == {((4, 4), (2, 2))}
    assert {layer.negative_slope for layer in layers_of(paper, keras.layers.LeakyReLU)} == {0.2}
    assert len(layers_of(paper, keras.layers.LeakyReLU)) == 8
    assert len(layers_of(paper, keras.layers.ReLU)) == 7
    assert paper.layers[-1].activation is keras.activations.tanh


def test_the_first_and_the_innermost_block_are_not_normalised(paper):
    names = [layer.name for layer in layers_of(paper, InstanceNormalization)]
    assert names == [
        *(f"down_{level}_norm" for level in range(2, 8)),
        *(f"up_{level}_norm" for level in range(8, 1, -1)),
    ]


@pytest.mark.parametrize("levels", [2, 4, 6, 8])
def test_the_three_innermost_decoder_blocks_drop_half(levels):
    generator = build_generator(SMALL, levels)
    dropouts = layers_of(generator, keras.layers.Dropout)
    expected = [f"up_{level}_dropout" for level in range(levels, 1, -1)][:3]
    assert [layer.name for layer in dropouts] == expected
    assert {layer.rate for layer in dropouts} == {0.5}


def test_first_weights_have_deviation_0_02(paper):
    for layer in layers_of(paper, (keras.layers.Conv2D, keras.layers.Conv2DTranspose)):
        kernel = layer.kernel.numpy()
        # The deviation of n draws is off by 0.02 / sqrt(2n): four times that at most.
        assert abs(kernel.std() - 0.02) < 4 * 0.02 / np.sqrt(2 * kernel.size), layer.name
        assert abs(kernel.mean()) < 4 * 0.02 / np.sqrt(kernel.size), layer.name
        assert layer.bias is None or not layer.bias.numpy().any()


def test_a_256_image_becomes_one_pixel_and_an_image_again(paper):
    innermost = keras.Model(paper.input, paper.get_layer("down_8_act").output)
    assert innermost(images(1, 256, 256, 3)).shape == (1, 1, 1, 512)
    assert paper(images(1, 256, 256, 3)).shape == (1, 256, 256, 3)


# ---------------------------------------------------------------- depth and width


@pytest.mark.parametrize(
    ("size", "levels"),
    [
        ((64, 64), 6),
        ((100, 100), 6),
        ((127, 300), 6),
        ((128, 128), 7),
        ((300, 200), 7),
        ((256, 256), 8),
        ((256, 255), 7),
        ((2048, 2048), 8),
        ((64, 2048), 6),
    ],
)
def test_levels_follow_from_the_shorter_side(size, levels):
    assert unet_levels(size) == levels


@pytest.mark.parametrize(("base_filters", "levels"), [(1, 8), (3, 5), (16, 6)])
def test_other_widths_and_depths_follow_the_same_rule(base_filters, levels):
    generator = build_generator(NetworkConfig(base_filters=base_filters), levels)
    up = layers_of(generator, keras.layers.Conv2DTranspose)
    down = [layer for layer in layers_of(generator, keras.layers.Conv2D) if layer not in up]
    widths = [base_filters * factor for factor in (1, 2, 4, 8, 8, 8, 8, 8)][:levels]
    assert [layer.filters for layer in down] == widths
    assert [layer.filters for layer in up] == [*widths[-2::-1], 3]


@pytest.mark.parametrize("channels", [(1, 3), (3, 1), (1, 1)])
def test_input_and_output_have_their_own_channels(channels):
    config = NetworkConfig(base_filters=1, input_channels=channels[0], output_channels=channels[1])
    assert build_generator(config, 2)(images(2, 9, 8, channels[0])).shape == (2, 9, 8, channels[1])


def test_every_decoder_level_sees_its_encoder_twin(small):
    for level in range(1, 8):
        twin = small.get_layer(f"down_{level}_act").output
        joined = small.get_layer(f"up_{level + 1}_skip")
        assert any(tensor is twin for tensor in joined.input)
        assert joined.output.shape[-1] == 2 * twin.shape[-1]


def test_details_pass_through_the_skip_alone():
    keras.utils.set_random_seed(1)
    generator = build_generator(SMALL, 4)
    image = tf.constant(images(1, 16, 16, 3))

    def reaction():
        with tf.GradientTape() as tape:
            tape.watch(image)
            output = generator(image)[0, 8, 8, 0]
        return float(tf.reduce_max(tf.abs(tape.gradient(output, image))))

    deep = generator.get_layer("up_2_conv").kernel
    deep.assign(tf.zeros_like(deep))
    assert reaction() > 0
    last = generator.get_layer("up_1_conv").kernel  # [4, 4, out, in], the skip's channels are the last
    last.assign(tf.concat([last[..., :2], tf.zeros_like(last[..., 2:])], axis=-1))
    assert reaction() == 0


# ---------------------------------------------------------------- any size


@pytest.mark.parametrize(
    "size", [(300, 200), (37, 300), (1, 1), (2, 511), (255, 257), (256, 256), (64, 64), (513, 3)]
)
def test_the_output_has_the_inputs_size(small, size):
    output = small(images(1, *size, 3)).numpy()
    assert output.shape == (1, *size, 3)
    assert np.isfinite(output).all()


def test_a_small_image_is_seen_with_its_reflection(small):
    image = images(1, 100, 60, 3)
    mirrored = np.pad(image, [(0, 0), (0, 156), (0, 196), (0, 0)], mode="reflect")
    # The same convolutions over the same pixels; only the order of sums may differ.
    np.testing.assert_allclose(small(image), small(mirrored)[:, :100, :60], atol=1e-6)


def test_sizes_unknown_when_tracing_work_too(small):
    traced = tf.function(small, input_signature=[tf.TensorSpec([None, None, None, 3])])
    for size in [(40, 300), (257, 256)]:
        image = images(1, *size, 3)
        np.testing.assert_allclose(traced(image), small(image), atol=1e-6)


# ---------------------------------------------------------------- what an output depends on


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
def test_an_output_does_not_depend_on_the_batch(norm):
    keras.utils.set_random_seed(0)
    generator = build_generator(NetworkConfig(base_filters=4, norm=norm), 6)
    batch = images(3, 70, 64, 3)
    together = generator(batch).numpy()
    for index in range(3):
        # Convolutions may sum in another order for another batch size.
        np.testing.assert_allclose(generator(batch[index : index + 1])[0], together[index], atol=2e-6)


def test_dropout_is_only_in_training(small):
    image = images(1, 256, 256, 3)
    np.testing.assert_array_equal(small(image), small(image))
    first, second = small(image, training=True).numpy(), small(image, training=True).numpy()
    assert (first != second).any()


def test_the_same_seed_gives_the_same_first_weights_and_another_seed_others():
    def first_kernel(seed):
        keras.utils.set_random_seed(seed)
        return build_generator(SMALL, 3).get_layer("down_1_conv").kernel.numpy()

    np.testing.assert_array_equal(first_kernel(4), first_kernel(4))
    assert (first_kernel(4) != first_kernel(5)).all()


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_the_output_is_float32_between_minus_one_and_one(dtype):
    generator = build_generator(SMALL, 6, dtype=dtype)
    assert {weight.dtype for weight in generator.trainable_weights} == {"float32"}
    assert generator.get_layer("up_2_conv").compute_dtype == dtype.removeprefix("mixed_")
    loud = generator.get_layer("up_1_conv").kernel
    loud.assign(loud * 1e4)
    output = generator(images(1, 64, 80, 3))
    assert output.dtype == tf.float32
    assert np.abs(output).max() <= 1.0
    assert np.abs(output).max() > 0.99


def test_batch_normalisation_uses_running_averages_after_training():
    generator = build_generator(NetworkConfig(base_filters=2, norm="batch"), 4)
    kinds = layers_of(generator, keras.layers.BatchNormalization)
    assert len(kinds) == 2 + 3
    assert not layers_of(generator, InstanceNormalization)
    image = images(1, 16, 16, 3)
    before = generator(image).numpy()
    for layer in kinds:
        layer.moving_mean.assign(layer.moving_mean + 0.3)
    assert (generator(image).numpy() != before).any()


def test_without_normalisation_every_convolution_has_a_bias():
    generator = build_generator(NetworkConfig(base_filters=2, norm="none"), 4)
    assert not layers_of(generator, (InstanceNormalization, keras.layers.BatchNormalization))
    assert all(layer.use_bias for layer in layers_of(generator, keras.layers.Conv2D))
    assert all(layer.use_bias for layer in layers_of(generator, keras.layers.Conv2DTranspose))


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
def test_a_saved_generator_gives_the_same_picture(tmp_path, norm):
    generator = build_generator(NetworkConfig(base_filters=2, norm=norm), 5)
    image = images(1, 33, 20, 3)
    generator.save(tmp_path / "generator.keras")
    loaded = keras.saving.load_model(tmp_path / "generator.keras")
    np.testing.assert_array_equal(loaded(image), generator(image))
