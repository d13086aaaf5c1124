"""Intervals against another implementation's, and what counts as a difference."""

import numpy as np
import pytest
import scipy.stats

from pix2pix_tf.evaluation import intervals
from pix2pix_tf.evaluation.intervals import FEWEST, compare, estimate
from pix2pix_tf.metrics import METRICS

[L1] = [metric for metric in METRICS if metric.name == "l1"]
OF_CLASSES = [metric for metric in METRICS if metric.name in ("class_accuracy", "miou")]
[SHARPNESS] = [metric for metric in METRICS if metric.name == "sharpness"]


def errors(count=100, mean=0.17, spread=0.05, seed=0):
    return np.random.default_rng(seed).normal(mean, spread, (count, 1))


@pytest.mark.parametrize(
    ("rows", "value", "statistic", "tolerance"),
    [
        ([errors()], L1.value, lambda a, axis=-1: a.mean(axis), 5e-4),
        (
            [errors(seed=1), errors(mean=0.2, seed=2)],
            SHARPNESS.value,
            lambda a, b, axis=-1: a.mean(axis) / b.mean(axis),
            5e-3,
        ),
    ],
)
def test_intervals_equal_those_of_another_implementation(rows, value, statistic, tolerance, monkeypatch):
    # So many resamples that the random numbers of two implementations don't matter.
    monkeypatch.setattr(intervals, "RESAMPLES", 30_000)
    intervals._weights.cache_clear()
    found = estimate(np.concatenate(rows, axis=1), value)
    intervals._weights.cache_clear()
    samples = [each[:, 0] for each in rows]
    expected = scipy.stats.bootstrap(
        samples, statistic, paired=True, n_resamples=30_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert found.value == pytest.approx(statistic(*samples))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=tolerance)


def test_a_class_of_one_image_counts_in_every_resample():
    confusion = np.zeros((100, 3, 3))
    confusion[:, 0, 0] = confusion[:, 1, 0] = 50
    confusion[7, 2, 0] = 10  # never predicted
    for metric in OF_CLASSES:
        found = estimate(confusion.reshape(100, -1), metric.value)
        assert (found.low, found.high) == pytest.approx((found.value,) * 2, abs=0.01)
    perfect = np.zeros((100, 3, 3))
    perfect[:, 0, 0], perfect[:, 1, 1], perfect[7, 2, 2] = 50, 50, 10
    for metric in OF_CLASSES:
        found = estimate(perfect.reshape(100, -1), metric.value)
        assert (found.value, found.low, found.high) == pytest.approx((1, 1, 1))


def test_a_ratio_is_defined_if_few_targets_have_a_texture():
    rows = np.zeros((100, 2))
    rows[:, 0], rows[7, 1] = 1e-3, 0.1
    found = estimate(rows, SHARPNESS.value)
    assert found.low < found.value < found.high < 1000 * found.value


def test_an_interval_has_its_value_inside():
    random = np.random.default_rng(0)
    rows = np.concatenate([random.dirichlet(np.full(50, 0.1), 12) for _ in range(6)], axis=1)
    [colors] = [metric for metric in METRICS if metric.name == "colors"]
    found = estimate(rows, colors.value)
    assert found.low < found.value <= found.high


def compared(ours, theirs, metric=L1):
    """Returns the difference, whether it is larger than chance, and the better one."""
    found = compare(("ours", "theirs"), metric, ours, theirs, np.zeros_like(ours))
    return found.difference, found.larger_than_chance, found.better


def test_an_effect_on_all_images_cancels_in_a_paired_difference():
    rows = errors()
    difference, _, _ = compared(rows, rows + 0.01)
    assert (difference.low, difference.high) == pytest.approx((-0.01,) * 2)


@pytest.mark.parametrize(
    ("by", "noise", "better"),
    [
        (0.0, 0.01, None),
        (0.02, 0.01, "ours"),
        (-0.02, 0.01, "theirs"),
        (0.02, 0.3, None),  # other images could reverse it
        (0.001, 1e-4, None),  # not larger than the effect of another seed
    ],
)
def test_a_difference_counts_if_images_and_seeds_can_not_explain_it(by, noise, better):
    rows = errors()
    found = compared(rows, rows + by + errors(mean=0, spread=noise, seed=3))
    assert found[1:] == (better is not None, better)


def test_too_sharp_and_as_much_too_soft_differ_and_neither_is_better():
    targets = errors(mean=0.2)
    sharp, soft = (np.concatenate([share * targets, targets], axis=1) for share in (1.2, 0.8))
    assert compared(sharp, soft, SHARPNESS)[1:] == (True, None)
    assert compared(soft, np.concatenate([0.6 * targets, targets], axis=1), SHARPNESS)[1:] == (True, "ours")


@pytest.mark.parametrize("count", [1, 2, FEWEST - 1])
def test_few_images_show_no_difference(count):
    rows = errors(count)
    assert compared(rows, rows + 0.1)[1:] == (False, None)
    rows = errors(FEWEST)
    assert compared(rows, rows + 0.1)[1:] == (True, "ours")
