"""Every metric against an independent implementation on the same images, to 1e-4."""

import numpy as np
import pytest
import scipy.linalg
import scipy.ndimage
import skimage.color
import skimage.metrics

from pix2pix_tf import metrics
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.procedural import draw_pair
from pix2pix_tf.evaluation import evaluator, inception
from pix2pix_tf.evaluation.measure import comparable
from pix2pix_tf.metrics import (
    CONFUSION,
    METRICS,
    PERIODS,
    checkerboard_power,
    class_accuracy,
    lab,
    luma,
    measures_of,
    miou,
    ms_ssim,
    pixel_accuracy,
    radial_power,
    spectrum_frequencies,
)

SIZE = (192, 208)


def unit(image):
    return image.astype(np.float32) / 255


@pytest.fixture(scope="module")
def pair():
    """A drawn facade, and the same blurred, darker and noisy."""
    photo, _ = draw_pair(1, 0, *SIZE)
    target = unit(photo)
    random = np.random.default_rng(0)
    output = 0.9 * scipy.ndimage.gaussian_filter(target, (1.2, 1.2, 0))
    output += random.normal(0, 0.03, output.shape)
    return output.clip(0, 1).astype(np.float32), target


def value(name, output, target):
    [metric] = [metric for metric in METRICS if metric.name == name]
    return float(metric.value(metric.measure(output, target)))


def test_distances_are_those_of_other_implementations(pair):
    exact = [image.astype(np.float64) for image in pair]
    assert value("l1", *pair) == pytest.approx(np.abs(exact[0] - exact[1]).mean(), abs=1e-6)
    psnr = skimage.metrics.peak_signal_noise_ratio(exact[1], exact[0], data_range=1.0)
    assert value("psnr", *pair) == pytest.approx(psnr, abs=1e-4)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": -1}
    ssim = skimage.metrics.structural_similarity(*exact, data_range=1.0, **options)
    assert value("ssim", *pair) == pytest.approx(ssim, abs=1e-4)
    best = {"l1": 0, "psnr": 100, "ssim": 1, "ms_ssim": 1, "sharpness": 1}
    assert {name: round(value(name, pair[1], pair[1]), 6) for name in best} == best


def test_sharpness_is_the_ratio_of_mean_gradients(pair):
    def mean_gradient(image):
        gray = luma(image)
        down = scipy.ndimage.correlate1d(gray, [-1, 1], 0, origin=-1)[:-1, :-1]
        right = scipy.ndimage.correlate1d(gray, [-1, 1], 1, origin=-1)[:-1, :-1]
        return np.sqrt(down**2 + right**2).mean()

    expected = mean_gradient(pair[0]) / mean_gradient(pair[1])
    assert value("sharpness", *pair) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("period", "sides"), [*((period, SIZE) for period in PERIODS), (8, (64, 64))])
def test_checkerboards_are_found_at_their_period_only(pair, period, sides):
    target = pair[1][: sides[0], : sides[1]]
    lines = np.cos(2 * np.pi * np.arange(sides[1]) / period)
    with_artifact = (target + 0.1 * lines[:, np.newaxis]).astype(np.float32)
    for each in PERIODS:
        before, after = (value(f"checkerboard_{each}", image, target) for image in (target, with_artifact))
        assert (after > 2 * before) if each == period else (after == pytest.approx(before, rel=1e-3))


def test_the_power_of_lines_is_that_of_a_plain_transform(pair):
    gray = luma(pair[0])[:, : SIZE[1] - SIZE[1] % 16]
    for row, period in enumerate(PERIODS):
        found = 0.0
        for lines in (gray, gray.T):
            length = lines.shape[1]
            waves = np.exp(-2j * np.pi * np.arange(length) / period)
            lines = lines - lines.mean(axis=1, keepdims=True)
            found += (np.abs(lines @ waves) ** 2).mean() / length / 2
        assert checkerboard_power(*pair)[2 * row] == pytest.approx(found, rel=1e-6)


def test_the_spectrum_of_noise_is_flat_and_that_of_a_wave_has_its_frequency():
    noise = np.random.default_rng(0).normal(0.5, 0.1, (20, 256, 256, 1))
    spectrum = np.mean([radial_power(image, image) for image in noise], axis=0)
    np.testing.assert_allclose(spectrum[4:], 0.01, rtol=0.1)
    wave = np.broadcast_to(
        np.sin(2 * np.pi * 40 / 256 * np.arange(256))[:, np.newaxis, np.newaxis], (256, 256, 1)
    )
    at = radial_power(wave, wave).argmax()
    assert abs(spectrum_frequencies()[at] - 40 / 256) < 1 / 128


def test_colors_are_those_of_another_implementation(pair):
    for image in pair:
        np.testing.assert_allclose(lab(image), skimage.color.rgb2lab(image), atol=1e-3)
    output, target = (skimage.color.rgb2lab(image) for image in pair)
    overlaps = []
    for channel, limits in enumerate([(0, 100), (-100, 100), (-100, 100)]):
        shares = [
            np.histogram(each[..., channel], 50, limits)[0] / each[..., 0].size for each in (output, target)
        ]
        overlaps.append(np.minimum(*shares).sum())
    assert value("colors", *pair) == pytest.approx(np.mean(overlaps), abs=1e-3)
    assert value("colors", pair[1], pair[1]) == pytest.approx(1)


def test_segmentation_scores_are_the_papers_formulas():
    random = np.random.default_rng(0)
    truth, found = random.integers(0, 4, (2, 3000))
    truth[truth == 3] = 2  # a class that never occurs, but is found
    matrix = np.zeros((5, 5))
    np.add.at(matrix, (truth, found), 1)
    occurs = [0, 1, 2]
    accuracies = [(found[truth == each] == each).mean() for each in occurs]
    ious = [
        ((found == each) & (truth == each)).sum() / ((found == each) | (truth == each)).sum()
        for each in occurs
    ]
    flat = np.stack([matrix, 2 * matrix]).reshape(2, -1)
    np.testing.assert_allclose(pixel_accuracy(flat), (truth == found).mean())
    np.testing.assert_allclose(class_accuracy(flat), np.mean(accuracies))
    np.testing.assert_allclose(miou(flat), np.mean(ious))


def test_fid_and_kid_are_their_formulas(monkeypatch):
    random = np.random.default_rng(0)
    ours = random.normal(0, 1, (300, 12)) @ random.normal(0, 1, (12, 12))
    theirs = random.normal(0.3, 1, (250, 12)) @ random.normal(0, 1, (12, 12))
    covariances = [np.cov(each.T) for each in (ours, theirs)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    fid = np.sum((ours.mean(0) - theirs.mean(0)) ** 2) + np.trace(sum(covariances) - 2 * root)
    assert inception.frechet_distance(ours, theirs) == pytest.approx(fid, rel=1e-4)
    monkeypatch.setattr(inception, "_AT_ONCE", 70)
    assert inception.frechet_distance(ours, theirs) == pytest.approx(fid, rel=1e-4)

    x, y = ours[:20], theirs[:20]
    pairs = [(i, j) for i in range(20) for j in range(20)]
    kernel = lambda a, b: (a @ b / 12 + 1) ** 3  # noqa: E731
    within = sum(kernel(each[i], each[j]) for each in (x, y) for i, j in pairs if i != j) / (20 * 19)
    across = sum(kernel(x[i], y[j]) for i, j in pairs) / 400
    assert inception.unbiased_mmd(x, y) == pytest.approx(within - 2 * across, rel=1e-4)


def test_the_interval_of_kid_is_that_of_the_whole_set(monkeypatch):
    random = np.random.default_rng(0)
    ours, theirs = random.normal(0, 1, (400, 4)), random.normal(2, 1, (400, 4))
    widths = []
    for subset in (200, 50):
        monkeypatch.setattr(inception, "_LARGEST_SUBSET", subset)
        found = inception.kernel_distance(ours, theirs)
        widths.append(found.high - found.low)
    assert widths[1] == pytest.approx(widths[0], rel=0.3)


def test_a_small_image_does_not_count_at_frequencies_that_it_lacks(pair):
    both = [radial_power(image, image) for image in (pair[0], pair[0][:32, :32])]
    assert evaluator.spectrum(np.stack(both))[1:3] == evaluator.spectrum(np.stack(both[:1]))[1:3]


def test_missing_pixels_count_in_no_measurement(pair):
    """The content of missing pixels has no effect; most metrics equal those of an image without them."""
    output, target = ((each * 255).round().astype(np.uint8).copy() for each in pair)
    target[:, :40], target[target.min(-1) == 0] = 0, 1
    target[:, :40] = 0
    output[:, :40] = np.random.default_rng(0).integers(0, 256, (SIZE[0], 40, 3))
    blank = output.copy()
    blank[:, :40] = 0
    whole = comparable(output[:, 40:], target[:, 40:], PixelFormat(missing=0))
    assert whole[2] is None
    for measure in (*measures_of(METRICS), radial_power):
        found = measure(*comparable(output, target, PixelFormat(missing=0)))
        np.testing.assert_array_equal(found, measure(*comparable(blank, target, PixelFormat(missing=0))))
        if measure not in (ms_ssim, checkerboard_power, radial_power):
            np.testing.assert_allclose(found, measure(*whole), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [(256, 256), (203, 181)])
def test_missing_pixels_have_no_weight_in_ms_ssim(size):
    random = np.random.default_rng(0)
    target = random.random((*size, 3), np.float32)
    output = np.clip(target + random.normal(0, 0.2, target.shape), 0, 1).astype(np.float32)
    measure, valid = ms_ssim, np.ones(size, bool)
    whole = measure(output, target)
    np.testing.assert_allclose(measure(output, target, valid), whole, atol=2e-5)
    valid[:, : size[1] // 2] = False
    found = []
    for fill in (0.0, 0.5):
        filled = (np.where(valid[..., None], each, np.float32(fill)) for each in (output, target))
        found.append(measure(*filled, valid))
    np.testing.assert_allclose(found[1], found[0], atol=1e-9)
    np.testing.assert_allclose(found[0], whole, atol=0.02)  # the same noise in half of the pixels
    filled = [np.where(valid[..., None], each, np.float32(0)) for each in (output, target)]
    assert measure(*filled) > whole + 0.02  # as if missing pixels were generated without error


def test_scattered_values_are_measured_too():
    """All windows, and all pairs of neighbors, have missing pixels."""
    valid = np.zeros((192, 192), bool)
    valid[::2, ::2] = True
    images = np.random.default_rng(0).random((2, 192, 192, 3), np.float32)
    for measure in (*measures_of(METRICS), radial_power):
        assert np.isfinite(measure(*images, valid)).all()
    assert 0 < metrics.ssim(*images, valid)[0] < 1


@pytest.mark.parametrize(
    "metric", [each for each in METRICS if each.measure != CONFUSION], ids=lambda metric: metric.name
)
def test_a_metric_is_a_number_for_its_smallest_images(metric):
    images = np.random.default_rng(0).random((2, metric.smallest, 200, 3), np.float32)
    assert np.isfinite(metric.value(metric.measure(*images, None)))
