"""Confidence intervals by the Bayesian bootstrap (Rubin 1981); comparisons of two models are paired.

A resample gives each image a positive weight. Metrics of rare classes are therefore defined in each resample.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from pix2pix_tf.metrics import ImageMetric, Value

RESAMPLES = 2000
LEVEL = 0.95
FEWEST = 10
"""Fewest images to compare models on. With 5, intervals are too short: equal methods differ in one of six
metrics."""

_AT_ONCE = 100  # resamples per chunk


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A value measured on ``count`` images, and its 95 % interval."""

    value: float
    low: float
    high: float
    count: int


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Compares two models by one metric on the same images.

    ``difference`` is the first model's value minus the second's. ``better`` is the name of the model that is
    better beyond chance, if any.
    """

    metric: ImageMetric
    models: tuple[str, str]
    difference: Estimate
    larger_than_chance: bool
    better: str | None


def estimate(rows: np.ndarray, value: Value) -> Estimate:
    """Estimates a metric from the measurements of each image, float [images, k]."""
    found = float(value(rows.mean(axis=0)))
    parts = np.split(_weights(len(rows)), RESAMPLES // _AT_ONCE)
    values = np.concatenate([value(weights.astype(np.float64) @ rows) for weights in parts])
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    # Histograms of a resample overlap less than those of the whole set. The interval must include the value.
    return Estimate(found, min(float(low), found), max(float(high), found), len(rows))


def compare(
    models: tuple[str, str], metric: ImageMetric, ours: np.ndarray, theirs: np.ndarray, targets: np.ndarray
) -> Comparison:
    """Compares two models by the measurements of both and of the targets, float [images, k] each.

    Two models differ if the interval of the difference excludes 0 and the difference exceeds the effect of
    another seed. One model is better if the same holds for the difference of their badness. Both can be
    equally bad and still differ: one can be too sharp and the other too soft.
    """

    def difference(means: np.ndarray, in_badness: bool) -> np.ndarray:
        a, b, target = (metric.value(each) for each in np.split(means, 3, axis=-1))
        return metric.badness(a, target) - metric.badness(b, target) if in_badness else a - b

    rows = np.concatenate([ours, theirs, targets], axis=1)
    value, badness = (
        estimate(rows, functools.partial(difference, in_badness=each)) for each in (False, True)
    )
    differs, is_ordered = (
        len(rows) >= FEWEST and not each.low <= 0 <= each.high and abs(each.value) > metric.seed_effect
        for each in (value, badness)
    )
    better = models[0 if badness.value < 0 else 1] if differs and is_ordered else None
    return Comparison(metric, models, value, differs, better)


@functools.lru_cache(maxsize=1)
def _weights(count: int) -> np.ndarray:
    """Returns weights, float32 [resamples, images], always the same; each resample sums to 1."""
    weights = np.empty((RESAMPLES, count), np.float32)
    random = np.random.default_rng(0)
    shape = max(count - 1, 1) / count  # the means get the variance of an ordinary bootstrap
    for resample in weights:
        drawn = random.standard_gamma(shape, count)
        resample[:] = drawn / drawn.sum()
    return weights
