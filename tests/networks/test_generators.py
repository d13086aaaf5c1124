"""The generators: any image size, independent images, float32 outputs, and the layers of the papers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.networks import build_generator
from pix2pix_tf.networks.generators import GENERATORS
from pix2pix_tf.networks.layers import InstanceNormalization, ReflectionPadding
from pix2pix_tf.networks.upsampling import UPSAMPLINGS, upsample
from tests.networks.inputs import images, layers_of

KIND = pytest.mark.parametrize("kind", GENERATORS)


@pytest.fixture(scope="module", params=[*GENERATORS, "resize", "nearest"])
def generator(request):
    keras.utils.set_random_seed(0)
    small = {"image_size": (64, 64), "base_filters": 2}
    if request.param in UPSAMPLINGS:
        return build_generator(upsampling=request.param, last_convolution=True, **small)
    return build_generator(request.param, **small)


@pytest.mark.parametrize("kernel_size", [3, 4])
def test_interpolation_has_no_checkerboard(kernel_size):
    """A transposed convolution's rows and columns alternate even for a constant input."""
    constant = tf.fill([1, 16, 16, 3], 0.3)

    def deviation(upsampling):
        keras.utils.set_random_seed(0)
        options = {"kernel_size": kernel_size, "block": "up", "use_bias": True, "dtype": "float32"}
        middle = upsample(upsampling, constant, 5, **options).numpy()[:, 8:24, 8:24]
        return middle.std(axis=(1, 2)).max()

    assert deviation("resize") < 1e-6
    assert deviation("nearest") < 1e-6
    assert deviation("transposed") > 1e-3


def test_output_has_the_input_size(generator):
    """Also where sizes are unknown when the generator is traced."""
    traced = tf.function(generator, input_signature=[tf.TensorSpec([None, None, None, 3])])
    for size in [(90, 70), (1, 1), (2, 127), (63, 65), (64, 64)]:
        image = images(1, *size, 3)
        output = generator(image).numpy()
        assert output.shape == (1, *size, 3)
        assert np.isfinite(output).all()
        np.testing.assert_allclose(traced(image), output, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "norm"), [("unet", "instance"), ("encoder_decoder", "none"), ("resnet", "batch")]
)
def test_output_is_independent_of_the_batch(kind, norm):
    keras.utils.set_random_seed(0)
    generator = build_generator(kind, image_size=(64, 64), base_filters=4, norm=norm)
    batch = images(3, 70, 64, 3)
    together = generator(batch).numpy()
    for index in range(3):
        # Convolutions may sum in a different order for a different batch size.
        np.testing.assert_allclose(generator(batch[index : index + 1])[0], together[index], atol=3e-6)


@pytest.mark.parametrize(
    ("kind", "upsampling"),
    [*((kind, "transposed") for kind in GENERATORS), ("unet", "resize"), ("unet", "nearest")],
)
def test_initial_weights_and_biases(kind, upsampling):
    keras.utils.set_random_seed(0)
    small = {"image_size": (64, 64), "base_filters": 16}
    generator = build_generator(kind, upsampling=upsampling, last_convolution=True, **small)
    weights = {variable.path: variable.numpy() for variable in generator.trainable_variables}
    for path, values in weights.items():
        if path.endswith("conv/kernel"):
            # Four standard errors of the mean and of the deviation.
            assert abs(values.std() - 0.02) < 4 * 0.02 / np.sqrt(2 * values.size), path
            assert abs(values.mean()) < 4 * 0.02 / np.sqrt(values.size), path
        elif path.endswith("conv/bias"):
            assert not values.any(), path
    assert sum(path.endswith("conv/kernel") for path in weights) > 10
    assert any(path.endswith("conv/bias") for path in weights)


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [*((kind, "mixed_bfloat16") for kind in GENERATORS), ("unet", "float32"), ("unet", "mixed_float16")],
)
def test_the_output_is_float32_between_minus_one_and_one(kind, dtype):
    generator = build_generator(kind, image_size=(64, 64), base_filters=2, dtype=dtype)
    assert {weight.dtype for weight in generator.trainable_weights} == {"float32"}
    convolutions = layers_of(generator, (keras.layers.Conv2D, keras.layers.Conv2DTranspose))
    assert {layer.compute_dtype for layer in convolutions} == {dtype.removeprefix("mixed_")}
    kernel = convolutions[-1].kernel
    kernel.assign(kernel * 1e4)
    output = generator(images(1, 64, 80, 3), training=True)
    assert output.dtype == tf.float32
    assert np.abs(output).max() <= 1.0
    assert np.abs(output).max() > 0.99


@KIND
def test_batch_normalization_uses_running_averages_after_training(kind):
    generator = build_generator(kind, image_size=(16, 16), base_filters=2, norm="batch")
    normalizations = layers_of(generator, keras.layers.BatchNormalization)
    assert len(normalizations) == (3 + 2 * 6 + 2 if "resnet" in kind else 2 + 3)
    assert not layers_of(generator, InstanceNormalization)
    image = images(1, 16, 16, 3)
    before = generator(image).numpy()
    for layer in normalizations:
        layer.moving_mean.assign(layer.moving_mean + 0.3)
    assert (generator(image).numpy() != before).any()


@pytest.mark.parametrize(
    ("kind", "norm", "upsampling"),
    [
        ("unet", "instance", "transposed"),
        ("unet", "instance", "nearest"),
        ("encoder_decoder", "none", "resize"),
        ("resnet", "batch", "transposed"),
    ],
)
def test_saved_generator_gives_the_same_image(kind, tmp_path, norm, upsampling):
    generator = build_generator(kind, image_size=(32, 32), base_filters=2, norm=norm, upsampling=upsampling)
    image = images(1, 33, 20, 3)
    generator.save(tmp_path / "generator.keras")
    loaded = keras.saving.load_model(tmp_path / "generator.keras")
    np.testing.assert_array_equal(loaded(image), generator(image))


# ---------------------------------------------------------------- U-Net and encoder-decoder


def with_levels(levels, kind="unet", **options):
    return build_generator(kind, image_size=(2**levels, 2**levels), **{"base_filters": 2, **options})


def parameters(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def widths(model):
    up = layers_of(model, keras.layers.Conv2DTranspose)
    down = [layer for layer in layers_of(model, keras.layers.Conv2D) if layer not in up]
    return [layer.filters for layer in down], [layer.filters for layer in up]


def test_unet_layers_match_the_paper():
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


# ---------------------------------------------------------------- ResNet


def test_resnet_layers_match_the_paper():
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
