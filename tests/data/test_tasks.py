"""What each task makes of a photo: the same for a seed, and the way back where that is known."""

import typing

import numpy as np
import pytest
import tensorflow as tf
import tifffile

from pix2pix_tf import preset, replace
from pix2pix_tf.config import TaskName
from pix2pix_tf.data.dataset import ImageDataset, Images, pairs_made_by
from pix2pix_tf.data.pipeline import held_out_images, training_batches
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.pixels import to_uint8, to_unit_range
from pix2pix_tf.data.procedural import draw_pair
from pix2pix_tf.data.sources import open_dataset
from pix2pix_tf.data.tasks import PHOTO_TASKS, TASKS
from pix2pix_tf.data.tasks.upscale import Upscale, enlarged_levels
from pix2pix_tf.errors import ConfigError

RANDOM = ("deblur", "inpaint")


def seed(number):
    return tf.constant([0, number], tf.int64)


def degraded(name, photo, number=0, channels=3):
    return PHOTO_TASKS[name](channels).degraded(photo, seed(number)).numpy()


@pytest.fixture(scope="module")
def levels():
    """A photo of a façade, uint8 [72, 96, 3]."""
    return draw_pair(3, 0, 72, 96)[0]


@pytest.fixture(scope="module")
def photo(levels):
    return to_unit_range(tf.constant(levels))


def test_every_name_of_a_task_has_one():
    assert {*TASKS} == set(typing.get_args(TaskName))


# ---------------------------------------------------------------- all of them


@pytest.mark.parametrize("name", PHOTO_TASKS)
@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_made_has_the_photos_size_and_is_in_range(name, channels, photo):
    if name == "colorize" and channels == 1:
        pytest.skip("gray photos have no colors to learn from")
    task = PHOTO_TASKS[name](channels)
    made = degraded(name, photo[..., :channels], channels=channels)
    assert made.shape == (72, 96, task.input_channels)
    assert np.abs(made).max() <= 1
    assert task.target(photo[..., :channels]).shape == (72, 96, task.output_channels)


@pytest.mark.parametrize("name", PHOTO_TASKS)
def test_a_seed_decides_what_is_made(name, photo):
    made = [degraded(name, photo, number) for number in (1, 1, 2)]
    np.testing.assert_array_equal(made[0], made[1])
    assert np.array_equal(made[0], made[2]) == (name not in RANDOM)


@pytest.fixture(scope="module")
def photos():
    """A few photos of façades."""
    drawn = tf.constant(np.stack([draw_pair(3, number, 70, 80)[0] for number in range(4)]))
    images = Images([f"façade {number}" for number in range(4)], lambda index: (tf.gather(drawn, index),))
    return ImageDataset("façades", (PixelFormat(),), {"train": (images,), "val": (images,)})


@pytest.mark.parametrize("name", PHOTO_TASKS)
def test_training_pairs_are_a_function_of_seed_and_position(name, photos):
    config = replace(preset(), image_size=64, task=name, jitter=True)
    dataset = pairs_made_by(PHOTO_TASKS[name](), photos, 0)

    def inputs(config, first_step):
        return [batch[0].numpy() for batch in training_batches(dataset, config, first_step, 6)]

    whole = inputs(config, 0)
    np.testing.assert_array_equal(whole[4:], inputs(config, 4))
    assert not np.array_equal(whole[1], inputs(replace(config, seed=1), 0)[1])


def test_no_two_steps_have_the_same_mask(photos):
    config = replace(preset(), image_size=64, task="inpaint")
    dataset = pairs_made_by(PHOTO_TASKS["inpaint"](), photos, 0)
    masks = [  # these two positions have the same 32-bit hash
        next(iter(training_batches(dataset, config, step, step + 1)))[0][..., -1] for step in (45520, 47586)
    ]
    assert not np.array_equal(*masks)


@pytest.mark.parametrize("name", PHOTO_TASKS)
def test_held_out_pairs_are_a_function_of_seed_and_place(name, photos):
    task = PHOTO_TASKS[name]()
    rows, same, another = (
        held_out_images(pairs_made_by(task, photos, of_split), (64, 64), count)
        for of_split, count in ((0, 2), (0, 4), (1, 4))
    )
    for row, at in zip(rows, (0, -1), strict=True):
        assert [image.shape for image in row[1:]] == [(64, 64, task.input_channels), (64, 64, 3)]
        assert {image.dtype for image in row[1:]} == {np.dtype(np.uint8)}
        np.testing.assert_array_equal(row[1], same[at][1])
        assert np.array_equal(row[1], another[at][1]) == (name not in RANDOM)


def test_runs_of_other_seeds_are_evaluated_on_the_same_masks():
    config = replace(preset(), image_size=64, task="inpaint")
    seeds = [open_dataset(replace(config, **each)).task_seed for each in ({"seed": 5}, {"split_seed": 5})]
    assert seeds == [config.data.split_seed, 5]


@pytest.mark.parametrize("name", [name for name in PHOTO_TASKS if name not in RANDOM])
def test_held_out_inputs_have_the_depth_of_those_in_training(name, tmp_path):
    """All of these photos are one level of 8 bits."""
    for number in range(10):
        deep = np.random.default_rng(number).integers(20000, 20200, (64, 64, 3), np.uint16)
        tifffile.imwrite(tmp_path / f"{number}.tif", deep, photometric="rgb")
    config = replace(
        preset(str(tmp_path)), task=name, image_size=64, jitter=False, flip="none", data_dir=tmp_path
    )
    dataset = open_dataset(config)
    trained = np.concatenate([inputs for inputs, *_ in training_batches(dataset, config, 0, 10)])
    for _, given, _ in held_out_images(dataset, (64, 64), 8, "train"):
        apart = np.abs(trained - to_unit_range(tf.constant(given))).max(axis=(1, 2, 3))
        assert apart.min() < 2.5 / 65535  # a mean half way may be rounded to either level


# ---------------------------------------------------------------- colorize


def lab(rgb):
    """L*, a* and b* of sRGB in [0, 1], by the formulas of CIE 15 and IEC 61966-2-1, in float64."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    matrix = [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
    xyz = linear @ np.array(matrix).T / [0.95047, 1.0, 1.08883]
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return 116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])


def test_the_input_has_the_photos_lightness_and_the_target_its_colors(levels, photo):
    lightness, a, b = lab(levels / 255)
    gray = np.repeat(degraded("colorize", photo) / 2 + 0.5, 3, axis=-1)
    np.testing.assert_allclose(lab(gray)[0], lightness, atol=0.01)
    target = PHOTO_TASKS["colorize"]().target(photo).numpy() * 110
    np.testing.assert_allclose(target, np.stack([a, b], axis=-1), atol=0.02)


def test_a_gray_image_is_its_own_lightness_level_for_level():
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    as_rgb = to_unit_range(tf.constant(np.repeat(gray, 3, axis=-1)))
    network_input = PHOTO_TASKS["colorize"]().network_input(as_rgb)
    np.testing.assert_allclose(network_input, to_unit_range(tf.constant(gray)), atol=2e-6)
    np.testing.assert_array_equal(to_uint8(network_input), gray)


def test_lightness_and_true_colors_give_the_photo_back(levels, photo):
    task = PHOTO_TASKS["colorize"]()
    back = to_uint8(task.to_image(task.network_input(photo), task.target(photo))).numpy()
    assert np.abs(back.astype(int) - levels).max() <= 1


def test_no_color_changes_the_lightness_not_even_one_that_srgb_lacks():
    gray = to_unit_range(tf.constant(np.arange(256, dtype=np.uint8).reshape(16, 16, 1)))
    colors = tf.random.stateless_uniform([16, 16, 2], seed(1), -1.0, 1.0)
    task = PHOTO_TASKS["colorize"]()
    picture = task.to_image(gray, colors)
    assert np.ptp(picture, axis=-1).max() > 0.5
    np.testing.assert_allclose(task.network_input(picture), gray, atol=2e-4)


@pytest.mark.parametrize(
    ("task", "channels"), [("colorize", 1), ("colorize", 4), ("inpaint", 2), ("inpaint", 4)]
)
def test_photos_of_other_channels_are_refused(task, channels, tmp_path):
    for number in range(4):
        image = np.full((16, 16, channels), 40 * number, np.uint8).squeeze()
        options = {"planarconfig": "contig", "extrasamples": [0] * (channels - 1)} if channels > 1 else {}
        tifffile.imwrite(tmp_path / f"{number}.tif", image, photometric="minisblack", **options)
    with pytest.raises(ConfigError, match=rf"{task} needs .*RGB photos.* have {channels} channel"):
        open_dataset(replace(preset(str(tmp_path)), image_size=64, task=task))


# ---------------------------------------------------------------- inpaint


@pytest.mark.parametrize("size", [(64, 64), (72, 130)])
def test_a_mask_takes_from_10_to_40_per_cent(size):
    photo = tf.zeros((*size, 3))
    shares = [float((degraded("inpaint", photo, number)[..., 3] < 0).mean()) for number in range(20)]
    assert min(shares) >= 0.1
    assert max(shares) <= 0.4
    assert max(shares) - min(shares) > 0.1


def test_colors_flow_into_a_mask_and_the_rest_is_the_photo_bit_for_bit(photo):
    made = degraded("inpaint", photo)
    known = made[..., 3] > 0
    assert set(np.unique(made[..., 3])) == {-1.0, 1.0}
    np.testing.assert_array_equal(made[known][:, :3], photo.numpy()[known])
    filled, lost = made[~known][:, :3], photo.numpy()[~known]
    assert (filled >= made[known][:, :3].min(axis=0)).all()
    assert (filled <= made[known][:, :3].max(axis=0)).all()
    assert np.abs(filled - lost).mean() < 0.8 * np.abs(lost).mean()  # nearer than mid-gray is


def test_a_mask_in_an_even_wall_has_its_color_and_without_any_wall_there_is_mid_gray():
    task, wall = PHOTO_TASKS["inpaint"](), tf.constant([0.5, -0.25, 0.1])
    alpha = np.ones((50, 70, 1), np.float32)
    alpha[5:45, 20:] = -1
    image = tf.concat([tf.broadcast_to(wall, (50, 70, 3)) * (alpha > 0), alpha], axis=-1)
    np.testing.assert_allclose(
        task.network_input(image)[..., :3], tf.broadcast_to(wall, (50, 70, 3)), atol=1e-6
    )
    assert not task.network_input(tf.fill((9, 9, 4), -1.0))[..., :3].numpy().any()


def test_a_picture_is_the_photo_around_the_mask_and_the_output_in_it(photo):
    task, output = PHOTO_TASKS["inpaint"](), tf.fill(photo.shape, 0.123)
    given = task.degraded(photo, seed(4))
    picture = task.to_image(given, task.composed(given, output)).numpy()
    known = given[..., 3].numpy() > 0
    np.testing.assert_array_equal(picture[known], photo.numpy()[known])
    np.testing.assert_array_equal(picture[~known], output.numpy()[~known])


# ---------------------------------------------------------------- the others


def test_edges_are_black_lines_on_white_where_the_photo_changes():
    photo = np.full((64, 64, 3), -0.5, np.float32)
    photo[:, 32:] = 0.5
    drawing = degraded("edges", tf.constant(photo))[..., 0]
    assert set(np.flatnonzero((drawing < 0).any(axis=0))) <= {31, 32}
    assert ((drawing < 0).sum(axis=1) == 1).all()
    assert (degraded("edges", tf.zeros((64, 64, 3))) == 1).all()


def test_edges_follow_a_slope_as_one_line():
    rows, columns = np.indices((64, 64))
    photo = np.where(columns + rows // 2 > 48, 0.5, -0.5).astype(np.float32)[..., None].repeat(3, axis=-1)
    inked = degraded("edges", tf.constant(photo))[4:-4, :, 0] < 0
    assert set(inked.sum(axis=1)) <= {1, 2}


def test_a_blur_keeps_even_areas_and_the_mean_and_takes_detail(photo):
    assert degraded("deblur", tf.fill((64, 64, 3), 0.3)) == pytest.approx(0.3, abs=1e-5)
    for number in range(4):
        blurred = degraded("deblur", photo, number)
        assert blurred.mean() == pytest.approx(photo.numpy().mean(), abs=0.05)
        assert np.abs(np.diff(blurred, axis=1)).mean() < 0.8 * np.abs(np.diff(photo, axis=1)).mean()


@pytest.mark.parametrize("factor", [2, 4])
def test_an_upscale_input_is_what_enlarging_the_small_file_gives(levels, photo, factor):
    height, width = 72 // factor, 96 // factor
    means = levels.reshape(height, factor, width, factor, 3).mean(axis=(1, 3))
    small = np.round(means).astype(np.uint8)
    given, _ = Upscale(3, factor).held_out_row((tf.constant(levels),), seed(0))
    enlarged = enlarged_levels(small, factor)
    assert enlarged.shape == levels.shape
    # A mean half way between two levels may be rounded to either.
    assert np.abs(enlarged.astype(int) - given.numpy()).max() <= 2


def test_sizes_that_the_factor_does_not_divide_are_kept():
    assert degraded("upscale", tf.zeros((65, 3, 3))).shape == (65, 3, 3)


def test_a_data_set_of_pairs_gives_its_target_side():
    config = replace(preset(), image_size=64, task="deblur", direction="BtoA")
    pairs = open_dataset(replace(config, task="pairs"))
    [(_, _, photo)] = held_out_images(pairs, (64, 64), 1)
    [(_, _, target)] = held_out_images(open_dataset(config), (64, 64), 1)
    np.testing.assert_array_equal(target, photo)


def test_one_image_a_set_is_enough_to_make_pairs_of():
    flat = Images(["one"], lambda index: (tf.fill([64, 64, 3], tf.constant(7, tf.uint8)),))
    dataset = pairs_made_by(
        PHOTO_TASKS["deblur"](), ImageDataset("flat", (PixelFormat(),), {"train": (flat,)}), 0
    )
    assert (dataset.kind, len(dataset.sides), dataset.has_targets) == ("pairs", 2, False)
