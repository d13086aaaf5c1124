"""From pairs to batches: every draw a pure function of seed and position, the same for both images."""

import dataclasses
import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pix2pix_tf import replace
from pix2pix_tf.data import pipeline
from pix2pix_tf.data.dataset import ImageDataset, Images, pairs_made_by
from pix2pix_tf.data.pipeline import (
    Share,
    augmented,
    fitted,
    held_out_images,
    in_memory,
    resized,
    resized_crop,
    shuffled_index,
    training_batches,
)
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.tasks import PHOTO_TASKS
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.models.registry import defaults

PLAIN = PixelFormat()
LABELS = PixelFormat(labels=True)


def noise(height, width, channels=3, seed=0, dtype=np.uint8):
    top = np.iinfo(dtype).max + 1
    return np.random.default_rng(seed).integers(0, top, (height, width, channels), dtype)


def dataset_of(pairs, sides=(PLAIN, PLAIN)):
    """A data set of arrays of any sizes."""

    def branch(pair):
        return lambda: (tf.constant(pair[0]), tf.constant(pair[1]))

    def read(index):
        return tf.switch_case(tf.cast(index, tf.int32), [branch(pair) for pair in pairs])

    return ImageDataset(
        "made up", sides, {"train": (Images([f"pair {i}" for i in range(len(pairs))], read),)}
    )


def numbered(count):
    """Pairs whose every pixel is their number, in the target one more."""
    flat = [np.full((64, 64, 3), number, np.uint8) for number in range(count + 1)]
    return dataset_of(list(itertools.pairwise(flat)))


def config_of(**settings):
    return replace(defaults(), **{"image_size": (64, 64), **settings})


def batches(dataset, config, first_step, last_step):
    return [
        (inputs.numpy(), targets.numpy())
        for inputs, targets in training_batches(dataset, config, first_step, last_step)
    ]


def numbers_of(found):
    """The numbers of the pairs in batches of `numbered`."""
    return [round((image.mean() + 1) * 127.5) for inputs, _ in found for image in inputs]


def assert_same(found, expected):
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


# ---------------------------------------------------------------- order


@functools.cache
def in_graph(count, seed):
    return tf.function(
        lambda positions: tf.map_fn(lambda position: shuffled_index(position, count, seed), positions),
        input_signature=[tf.TensorSpec([None], tf.int64)],
    )


def order(positions, count, seed):
    return in_graph(count, seed)(np.array(positions, np.int64)).numpy().tolist()


@pytest.mark.parametrize("count", [1, 2, 17, 100])
@pytest.mark.parametrize("seed", [0, 2**31 - 1])
def test_every_epoch_is_a_permutation(count, seed):
    for epoch in range(3):
        assert sorted(order(range(epoch * count, (epoch + 1) * count), count, seed)) == list(range(count))


def test_epochs_and_seeds_have_their_own_order():
    apart = (0, 1, 2**8, 2**16, 2**24, 2**30 + 2**8)  # keys of few bits repeat after such steps
    orders = [
        order(range(epoch * 50, (epoch + 1) * 50), 50, seed) for epoch in (*apart, 2**40) for seed in apart
    ]
    assert len({tuple(each) for each in orders}) == len(orders)
    assert list(range(50)) not in orders
    agreeing = [
        sum(a == b for a, b in zip(one, other, strict=True))
        for one, other in itertools.combinations(orders, 2)
    ]
    # Two random orders of 50 agree in one place on average.
    assert max(agreeing) < 12
    assert 0.8 < np.mean(agreeing) < 1.2


def test_batches_follow_the_order_over_the_ends_of_epochs():
    found = batches(numbered(7), config_of(batch_size=3, seed=5), 0, 5)
    assert [inputs.shape for inputs, _ in found] == [(3, 64, 64, 3)] * 5
    assert numbers_of(found) == order(range(15), 7, 5)


def test_the_order_never_changes():
    # A run that continues with a later version must go on where it stopped.
    assert order(range(20), 10, 3) == [7, 8, 0, 4, 9, 5, 1, 6, 3, 2, 2, 5, 7, 8, 1, 3, 4, 0, 6, 9]


def test_a_step_of_several_batches_takes_them_in_order():
    config = config_of(batch_size=2, seed=5)
    [(once, _)] = training_batches(numbered(7), config, 1, 2, batches_per_step=3)
    apart = [inputs for inputs, _ in training_batches(numbered(7), config, 3, 6)]
    assert once.shape == (6, 64, 64, 3)
    np.testing.assert_array_equal(once, np.concatenate(apart))


@pytest.mark.parametrize(("accumulate", "hosts"), [(1, [1, 1, 2]), (2, [1, 1])])
def test_devices_share_each_part_of_each_batch_of_a_step(accumulate, hosts):
    config = config_of(batch_size=4, seed=5, accumulate=accumulate)
    whole = [inputs for inputs, _ in training_batches(numbered(7), config, 1, 3, batches_per_step=3)]
    parts = [[], []]  # of each step: device, then batch by batch
    for host, count in enumerate(hosts):
        first = sum(hosts[:host])
        share = Share(range(first, first + count), sum(hosts))
        found = [inputs for inputs, _ in training_batches(numbered(7), config, 1, 3, 3, share)]
        for number, inputs in enumerate(found):
            parts[number // count].append(np.split(inputs, 3 * accumulate))
    for of_step, expected in zip(parts, whole, strict=True):
        together = [part for of_batch in zip(*of_step, strict=True) for part in of_batch]
        np.testing.assert_array_equal(np.concatenate(together), expected)


# ---------------------------------------------------------------- pure functions of seed and step


@pytest.fixture(scope="module")
def photos():
    """Photos of different sizes with their label maps."""
    sizes = [(64, 64), (90, 70), (80, 131), (33, 200), (150, 64)]
    pairs = [
        (noise(*size, seed=i, dtype=np.uint16), (noise(*size, seed=100 + i) // 128) * 200)
        for i, size in enumerate(sizes)
    ]
    return dataset_of(pairs, (PixelFormat(bits=16), LABELS))


def test_batches_from_a_later_step_are_the_tail_of_all(photos):
    config = config_of(batch_size=3, seed=8)
    everything = batches(photos, config, 0, 9)
    assert_same(batches(photos, config, 4, 9), everything[4:])
    assert_same(batches(photos, config, 0, 3), everything[:3])


@pytest.mark.parametrize("workers", [1, 7])
def test_the_number_of_workers_changes_nothing(photos, monkeypatch, workers):
    expected = batches(photos, config_of(), 0, 10)
    monkeypatch.setattr(pipeline.tf.data, "AUTOTUNE", workers)
    options = tf.data.Options()
    options.threading.private_threadpool_size = workers
    options.autotune.enabled = False
    found = training_batches(photos, config_of(), 0, 10).with_options(options)
    assert_same([(a.numpy(), b.numpy()) for a, b in found], expected)


def test_seeds_and_epochs_draw_anew():
    dataset = dataset_of([(noise(64, 64), noise(64, 64, seed=1))])
    found = batches(dataset, config_of(seed=0), 0, 6) + batches(dataset, config_of(seed=1), 0, 6)
    # 12 of the 9 x 9 x 2 draws that there are at 64x64: a pair of them may agree by chance, not more.
    assert len({inputs.tobytes() for inputs, _ in found}) >= 11


def test_pairs_held_in_memory_give_the_same_batches(photos, monkeypatch):
    split = photos.splits["train"][0]
    uncached = batches(photos, config_of(), 0, 8)
    monkeypatch.setattr(pipeline, "_CACHE_SHARE", 1.0)
    in_memory_photos = in_memory(photos, "train")
    held = in_memory_photos.splits["train"][0]
    assert held is not split
    assert held.names == split.names
    assert_same(batches(in_memory_photos, config_of(), 0, 8), uncached)


# ---------------------------------------------------------------- resizing

SIZES = [
    # image, resized to, offset, crop
    ((64, 64), (72, 72), (3, 8), (64, 64)),
    ((256, 256), (286, 286), (30, 0), (256, 256)),
    ((300, 500), (72, 100), (0, 11), (64, 89)),
    ((50, 37), (120, 90), (20, 25), (100, 64)),
    ((600, 40), (64, 64), (0, 0), (64, 64)),
    ((1, 1), (72, 72), (8, 8), (64, 64)),
    ((97, 201), (97, 201), (10, 20), (70, 64)),
]


@pytest.mark.parametrize(("given", "loaded", "offset", "size"), SIZES)
@pytest.mark.parametrize(
    ("kernel", "by_pillow"), [("triangle", Image.Resampling.BILINEAR), ("cubic", Image.Resampling.BICUBIC)]
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_photos_are_resized_with_antialiasing_then_cropped(
    given, loaded, offset, size, dtype, kernel, by_pillow
):
    image = noise(*given, dtype=dtype)
    found = resized_crop(tf.constant(image), loaded, tf.constant(offset), size, False, kernel).numpy()
    assert found.dtype == np.float32
    channels = [Image.fromarray(channel) for channel in np.moveaxis(image, -1, 0).astype(np.float32)]
    resized = np.stack([np.asarray(channel.resize(loaded[::-1], by_pillow)) for channel in channels], axis=-1)
    resized = resized[offset[0] : offset[0] + size[0], offset[1] : offset[1] + size[1]]
    # float32 positions of some hundred pixels: 1e-5 of a pixel, times the largest step between pixels.
    np.testing.assert_allclose(found, resized, atol=2e-4 * np.iinfo(dtype).max)


@pytest.mark.parametrize(("given", "loaded", "offset", "size"), SIZES)
def test_labels_are_resized_to_the_nearest_pixel_then_cropped(given, loaded, offset, size):
    image = noise(*given)
    found = resized_crop(tf.constant(image), loaded, tf.constant(offset), size, labels=True).numpy()
    rows, columns = (
        ((2 * np.arange(to) + 1) * side // (2 * to))  # the pixel that holds the center, in exact integers
        for side, to in zip(given, loaded, strict=True)
    )
    whole = image[rows][:, columns]
    expected = whole[offset[0] : offset[0] + size[0], offset[1] : offset[1] + size[1]]
    np.testing.assert_array_equal(found, expected.astype(np.float32))


# ---------------------------------------------------------------- jitter and mirror


def draws(pair, sides, config, count):
    """The results of many draws for one pair."""

    def draw(position):
        return augmented(
            (tf.constant(pair[0]), tf.constant(pair[1])), sides, config.data, tf.stack([3, position])
        )[0]

    positions = tf.data.Dataset.range(count)
    return [(a.numpy(), b.numpy()) for a, b in positions.map(draw)]


def coordinates(height, width):
    """An image whose first channel is the row, the second the column."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, 0 * rows], axis=-1).astype(np.uint8)


def test_crops_reach_every_offset():
    # 64 is loaded at 72, which this image already is: its pixels tell where the crop began.
    image, config = coordinates(72, 72), config_of(flip="none")
    offsets = []
    for one, _ in draws((image, image), (LABELS, LABELS), config, 900):
        pixels = np.round((one + 1) * 127.5).astype(int)
        offsets.append(tuple(pixels[0, 0, :2]))
        assert tuple(pixels[-1, -1, :2]) == (offsets[-1][0] + 63, offsets[-1][1] + 63)
    rows, columns = np.array(offsets).T
    for found in (rows, columns):
        counts = np.bincount(found, minlength=9)
        # 900 draws of 9 offsets: 100 each, with a deviation of 9.4; five deviations.
        assert len(counts) == 9
        assert counts.min() > 53
        assert counts.max() < 147
    assert abs(np.corrcoef(rows, columns)[0, 1]) < 0.15  # 4.5 deviations of 1 / sqrt(900)


def test_about_half_of_the_pairs_are_mirrored():
    image, config = coordinates(64, 64), config_of(jitter=False)
    upright = image / 127.5 - 1
    mirrored = 0
    for one, other in draws((image, image), (PLAIN, LABELS), config, 400):
        flipped = one[0, 0, 1] > one[0, -1, 1]
        mirrored += flipped
        expected = upright[:, ::-1] if flipped else upright
        np.testing.assert_allclose(one, expected, atol=1e-5)
        np.testing.assert_allclose(other, expected, atol=1e-5)
    assert 150 < mirrored < 250  # 400 draws of a half: a deviation of 10, five of them


@pytest.mark.parametrize(("flip", "rotate", "count"), [("both", 0, 4), ("none", 90, 4), ("both", 90, 8)])
def test_all_orientations_are_equally_frequent_and_the_same_for_both_sides(flip, rotate, count):
    image = coordinates(64, 64)
    config = config_of(jitter=False, flip=flip, rotate=rotate)
    turned = [np.rot90(image, turns) for turns in range(4)]
    possible = [each for one in turned for each in (one, one[:, ::-1])]
    found = []
    for one, other in draws((image, image), (PLAIN, LABELS), config, 400):
        pixels = np.round((one + 1) * 127.5).astype(np.uint8)
        np.testing.assert_array_equal(pixels, np.round((other + 1) * 127.5).astype(np.uint8))
        found += [index for index, each in enumerate(possible) if (pixels == each).all()]
    counts = np.bincount(found)
    assert len(found) == 400
    assert (counts > 0).sum() == count
    # A share of 1 / count: five deviations.
    assert abs(counts[counts > 0] - 400 / count).max() < 5 * np.sqrt(400 / count)


def test_rotation_needs_a_square():
    with pytest.raises(ConfigError, match="--image-size"):
        config_of(rotate=90, image_size=(64, 128))


# ---------------------------------------------------------------- range


@pytest.mark.parametrize(("dtype", "bits"), [(np.uint8, 8), (np.uint16, 16)])
@pytest.mark.parametrize("labels", [True, False])
def test_pixels_are_scaled_from_their_depth_to_minus_one_and_one(dtype, bits, labels):
    top = np.iinfo(dtype).max
    image = np.full((64, 64, 1), top, dtype)
    image[:32] = 0
    image[:, :32] = top // 3  # 85 of 255 and 21845 of 65535: a third exactly
    side = PixelFormat(channels=1, labels=labels, bits=bits)
    config = config_of(jitter=False, flip="none")
    for one, _ in draws((image, image), (side, side), config, 1):
        assert one.shape == (64, 64, 1)
        np.testing.assert_allclose(np.unique(one.round(5)), [-1, -1 / 3, 1], atol=2e-5)
        assert np.abs(one).max() <= 1 + 1e-6


# ---------------------------------------------------------------- held out


def test_held_out_images_are_the_same_every_time_and_spread_over_the_split():
    pairs = [(noise(30, 40, seed=i), noise(30, 40, seed=50 + i)) for i in range(9)]
    dataset = dataset_of(pairs, (PLAIN, LABELS))
    dataset = dataclasses.replace(dataset, splits={"train": (), "val": dataset.splits["train"]})
    found = held_out_images(dataset, (64, 80), 3)
    assert [name for name, _, _ in found] == ["pair 0", "pair 4", "pair 8"]
    for (_, image, target), (_, again, target_again), number in zip(
        found, held_out_images(dataset, (64, 80), 3), (0, 4, 8), strict=True
    ):
        assert image.shape == target.shape == (64, 80, 3)
        assert image.dtype == target.dtype == np.uint8
        np.testing.assert_array_equal(image, again)
        np.testing.assert_array_equal(target, target_again)
        smooth = np.asarray(Image.fromarray(pairs[number][0]).resize((80, 64), Image.Resampling.BILINEAR))
        np.testing.assert_allclose(image.astype(int), smooth, atol=1)
        assert {tuple(pixel) for pixel in target.reshape(-1, 3)} <= {
            tuple(pixel) for pixel in pairs[number][1].reshape(-1, 3)
        }


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_held_out_image_of_the_right_size_is_untouched(dtype):
    image = noise(64, 80, dtype=dtype)
    np.testing.assert_array_equal(resized(tf.constant(image), (64, 80), PLAIN), image)
    assert resized(tf.constant(image), (70, 70), PLAIN).dtype == tf.as_dtype(dtype)


# ---------------------------------------------------------------- unpaired, and images alone


def alone(images):
    """A set of arrays of any sizes."""
    read = dataset_of([(image, image) for image in images]).splits["train"][0]
    return read.mapped(lambda pair: pair[:1])


def unpaired_dataset(*counts):
    """Unpaired sets whose every pixel is its number, of B from 100."""
    a, b = (
        alone([np.full((64, 64, 3), first + number, np.uint8) for number in range(count)])
        for first, count in zip((0, 100), counts, strict=True)
    )
    return ImageDataset("apart", (PLAIN, LABELS), {"train": (a, b)})


def values(batch):
    return [round(float(image.mean() + 1) * 127.5) for image in batch]


def test_unpaired_sets_are_drawn_independently_each_by_its_own_epochs():
    dataset, config = unpaired_dataset(6, 4), config_of(batch_size=3, seed=5)
    found = batches(dataset, config, 0, 8)
    a = [value for one, _ in found for value in values(one)]
    b = [value - 100 for _, other in found for value in values(other)]
    assert a == order(range(24), 6, 5)  # as pairs, or images alone, would be
    for epoch in range(6):
        assert sorted(b[4 * epoch : 4 * epoch + 4]) == list(range(4))
    assert b != order(range(24), 4, 5)
    assert_same(batches(dataset, config, 5, 8), found[5:])


def test_unpaired_images_are_jittered_and_mirrored_each_by_its_own_draw():
    image = coordinates(72, 72)
    dataset = ImageDataset("", (LABELS, LABELS), {"train": (alone([image]), alone([image]))})
    found = batches(dataset, config_of(), 0, 40)
    # 9 x 9 x 2 draws: two independent ones are seldom the same.
    assert sum(np.array_equal(one, other) for one, other in found) < 5
    mirrored = [[image[0, 0, 0, 1] > image[0, 0, -1, 1] for image in both] for both in found]
    assert 8 < sum(one != other for one, other in mirrored) < 32


def test_unpaired_sets_are_held_in_memory_both_or_neither(monkeypatch):
    dataset = unpaired_dataset(3, 2)
    expected = batches(dataset, config_of(), 0, 6)
    monkeypatch.setattr(pipeline, "_available_bytes", lambda: 5 * 64 * 64 * 3)
    monkeypatch.setattr(pipeline, "_CACHE_SHARE", 0.9)
    assert in_memory(dataset, "train") is dataset
    monkeypatch.setattr(pipeline, "_CACHE_SHARE", 1.0)
    held = in_memory(dataset, "train")
    assert all(
        one is not other for one, other in zip(held.splits["train"], dataset.splits["train"], strict=True)
    )
    assert_same(batches(held, config_of(), 0, 6), expected)


def test_held_out_rows_have_an_image_of_each_side():
    rows = held_out_images(unpaired_dataset(5, 3), (64, 64), 3)
    assert [(name, int(a.max()), int(b.max())) for name, a, b in rows] == [
        ("pair 0", 0, 100), ("pair 1", 1, 101), ("pair 2", 2, 102),
    ]  # fmt: skip
    lone = ImageDataset("", (PLAIN,), {"train": (alone([noise(9, 9)]),)})
    [(name, image)] = held_out_images(lone, (64, 64), 3)
    assert (name, image.shape, image.dtype) == ("pair 0", (64, 64, 3), np.uint8)


# ---------------------------------------------------------------- other shapes


SHAPES = [(96, 70), (333, 100), (65, 1000), (1, 7)]


def test_a_cropped_image_keeps_its_shape_and_loses_what_is_over():
    image = coordinates(100, 200)
    config = config_of(fit="crop", flip="none", image_size=(100, 100))  # loaded at 112 x 224
    lefts = set()
    for one, other in draws((image, image), (PLAIN, LABELS), config, 60):
        np.testing.assert_allclose(one[8:-8, 8:-8, :2], other[8:-8, 8:-8, :2], atol=1.1 / 127.5)
        rows, columns = ((one[..., axis] + 1) * 127.5 for axis in (0, 1))
        step = 100 / 112
        np.testing.assert_allclose(np.diff(rows[8:-8], axis=0), step, atol=0.06)
        np.testing.assert_allclose(np.diff(columns[:, 8:-8], axis=1), step, atol=0.06)
        lefts.add(round(columns[50, 8]))
    assert min(lefts) < 30
    assert max(lefts) > 90


def test_a_padded_image_is_whole_and_surrounded_by_its_reflection():
    image = coordinates(32, 64)
    config = config_of(fit="pad", flip="none", jitter=False)
    [(one, other)] = draws((image, image), (PLAIN, LABELS), config, 1)
    rows = [*range(16, 0, -1), *range(32), *range(30, 14, -1)]
    for found in (one, other):
        np.testing.assert_array_equal(np.round((found + 1) * 127.5), image[rows])


@pytest.mark.parametrize("side", [PLAIN, LABELS])
@pytest.mark.parametrize("fit", ["resize", "crop", "pad"])
def test_images_of_any_shape_get_the_size_and_both_images_of_a_pair_the_same_draw(fit, side):
    size = (96, 70)
    config = config_of(fit=fit, image_size=size)
    for shape in SHAPES:
        image = noise(*shape)
        for one, other in draws((image, image), (side, side), config, 8):
            assert one.shape == other.shape == (*size, 3)
            np.testing.assert_array_equal(one, other)
        for found in fitted((tf.constant(image),), (side,), size, fit):
            assert found.shape == (*size, 3)
            assert found.dtype == tf.uint8


def test_held_out_images_are_cropped_to_their_center():
    image = tf.constant(coordinates(64, 100))
    for side in (PLAIN, LABELS):
        [found] = fitted((image,), (side,), (64, 64), "crop")
        np.testing.assert_array_equal(found, image[:, 18:82])


# ---------------------------------------------------------------- missing pixels


def with_missing_blocks(image, missing, height, width, seed=0):
    """The image [height, width, channels] with some blocks of 5x7 missing."""
    gone = (np.random.default_rng(seed).random((height // 5 + 1, width // 7 + 1)) < 0.4).repeat(5, 0)
    return np.where(gone.repeat(7, 1)[:height, :width, None], missing, image).astype(image.dtype)


@pytest.mark.parametrize("kernel", ["triangle", "cubic"])
@pytest.mark.parametrize(
    "side",
    [
        PixelFormat(1, bits=16, missing=0),
        PixelFormat(3, missing=255),
        PixelFormat(3, labels=True, missing=128),
    ],
)
@pytest.mark.parametrize("fit", ["resize", "crop", "pad"])
def test_missing_pixels_stay_out_of_their_neighbors(fit, side, kernel):
    level = 40000 if side.bits == 16 else 90
    flat = np.full((90, 130, side.channels), level, side.dtype.as_numpy_dtype)
    image = with_missing_blocks(flat, side.missing, 90, 130)
    [held_out] = fitted((tf.constant(image),), (side,), (64, 80), fit)
    assert set(np.unique(held_out)) == {level, side.missing}
    config = config_of(image_size=(64, 80), fit=fit, photo_filter=kernel)
    for seed in range(3):
        (found,), weight = augmented(
            (tf.constant(image),), (side,), config.data, tf.constant([0, seed], tf.int64)
        )
        expected = level / (2**side.bits - 1) * 2 - 1
        np.testing.assert_allclose(found, np.where(weight > 0, expected, tf.zeros_like(found)), atol=2e-6)
        assert 0.4 < weight.numpy().mean() < 0.8
        assert weight.shape == (64, 80, 1)


def test_a_mean_of_other_levels_is_not_taken_for_missing():
    side = PixelFormat(1, missing=128)
    checkers = (np.indices((64, 64)).sum(0) % 2 * 2 + 127).astype(np.uint8)[..., np.newaxis]
    [found] = fitted((tf.constant(checkers),), (side,), (32, 32), "resize")
    np.testing.assert_allclose(found, 128, atol=1)
    assert (found.numpy() != 128).all()


def same_but_for_the_level(kind):
    """Two data sets whose missing pixels have other levels."""
    result = []
    images = [[noise(70, 90, 1, 10 * place + number) // 2 + 1 for number in range(3)] for place in range(2)]
    for level in (0, 200):
        degraded = [
            [
                with_missing_blocks(image, level, 70, 90, 10 * place + number)
                for number, image in enumerate(of_side)
            ]
            for place, of_side in enumerate(images)
        ]
        side = PixelFormat(1, missing=level)
        if kind == "pairs":
            result.append(dataset_of(list(zip(*degraded, strict=True)), (side, side)))
        elif kind == "unpaired":
            result.append(ImageDataset("", (side, side), {"train": tuple(map(alone, degraded))}))
        else:
            lone = ImageDataset("", (side,), {"train": (alone(degraded[0]),), "val": (alone(degraded[0]),)})
            result.append(lone if kind == "images" else pairs_made_by(PHOTO_TASKS[kind](1), lone, 0))
    return result


@pytest.mark.parametrize(("kind", "weights"), [("pairs", 1), ("unpaired", 2), ("images", 1), ("inpaint", 1)])
def test_batches_say_which_pixels_are_missing_and_not_what_stood_there(kind, weights, monkeypatch):
    one, other = same_but_for_the_level(kind)
    config = config_of(batch_size=2)
    monkeypatch.setattr(pipeline, "_CACHE_SHARE", 1.0)
    for found, same in zip(
        training_batches(one, config, 0, 3),
        training_batches(in_memory(other, "train"), config, 0, 3),
        strict=True,
    ):
        assert len(found) == len(one.sides) + weights
        for tensor, again in zip(found, same, strict=True):
            np.testing.assert_array_equal(tensor, again)
        for weight in found[-weights:]:
            assert weight.shape == (2, 64, 64, 1)
            assert set(np.unique(weight)) == {0.0, 1.0}
        for image, weight in (
            [] if kind == "pairs" else zip(found[-2 * weights :], found[-weights:], strict=False)
        ):
            np.testing.assert_array_equal(image * weight, image)
    for row, again in zip(
        held_out_images(one, (64, 64), 3), held_out_images(other, (64, 64), 3), strict=True
    ):
        for image, as_well in zip(row[1:], again[1:], strict=True):  # what networks are given
            np.testing.assert_array_equal(image, as_well)


def test_a_pixel_of_a_pair_counts_where_both_have_a_value():
    given, target = np.full((2, 64, 64, 1), 50, np.uint8)
    given[:32], target[:, :32] = 0, 9
    dataset = dataset_of([(given, target)], (PixelFormat(1, missing=0), PixelFormat(1, missing=9)))
    [(_, _, weight)] = training_batches(dataset, config_of(jitter=False, flip="none"), 0, 1)
    assert weight[0, 32:, 32:].numpy().all()
    assert weight.numpy().sum() == 32 * 32
