"""Validation on held-out pairs during training: when it is due, and whether the result is the best so far."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from pix2pix_tf.config import TrainConfig
from pix2pix_tf.data.dataset import ImageDataset
from pix2pix_tf.data.pipeline import held_out_images
from pix2pix_tf.data.pixels import filled
from pix2pix_tf.errors import DataError
from pix2pix_tf.evaluation.measure import comparable
from pix2pix_tf.metrics import METRICS, Measure, measures_of
from pix2pix_tf.models.base import PublishedGenerator, Translate

VALIDATION_IMAGES = 16
"""Number of held-out pairs: enough to see a run improve or degrade, within seconds."""

_METRICS = [metric for metric in METRICS if metric.in_training]
_SHARE = 0.03  # share of time for validation if no interval is set


class Validation:
    """Measures generators on a few held-out pairs.

    ``dataset`` has targets. ``best`` is the content of best.json, if there is one.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        config: TrainConfig,
        generators: Mapping[str, PublishedGenerator],
        best: Mapping[str, Any] | None = None,
    ):
        data, self._record = config.data, config.record
        rows = held_out_images(dataset, data.size, VALIDATION_IMAGES, fit=data.fit, fill=False)
        self._rows, self._sides = [images for _, *images in rows], dataset.sides
        self._generators = generators
        self._prefixes = {name: f"{name}_" if len(generators) > 1 else "" for name in generators}
        for target in {1 - generator.side for generator in generators.values()}:
            missing = dataset.sides[target].missing
            if missing is not None and all((images[target] == missing).all() for images in self._rows):
                raise DataError(
                    f"{dataset.name}: no pixel of the held-out targets has a value at that size; hold "
                    "out other pairs, or give another --fit"
                )
        self._held_out = int(str(dataset.identity(dataset.held_out)["digest"])[:12], 16)
        self._best_score = None
        if best is not None and best.get("held_out") == self._held_out:  # others can't be compared
            self._best_score = self._score(best)
        self._took = 0.0
        self._since = time.perf_counter()

    def is_due(self, step: int, is_last: bool) -> bool:
        if self._record.evaluate_every is not None:
            return is_last or step % self._record.evaluate_every == 0
        affordable = self._took <= _SHARE * (time.perf_counter() - self._since)
        return is_last or (affordable and step % self._record.sample_every == 0)

    def measure(self, translate: Mapping[str, Translate]) -> tuple[dict[str, float], dict[str, float] | None]:
        """Returns the metrics' values by name, and what best.json then has if they are the best so far.

        With two directions the names are 'AtoB_l1' and so on.
        """
        start = time.perf_counter()
        values, measures = {}, measures_of(_METRICS)
        for name, generator in self._generators.items():
            rows: dict[Measure | str, list[np.ndarray]] = {measure: [] for measure in measures}
            for images in self._rows:
                given = np.asarray(filled(images[generator.side], self._sides[generator.side].missing))
                target, side = images[1 - generator.side], self._sides[1 - generator.side]
                compared = comparable(translate[name](given), target, side)
                if not compared.is_empty:
                    for measure in measures:
                        rows[measure].append(measure(*compared))
            for metric in _METRICS:
                mean = np.stack(rows[metric.measure]).mean(axis=0)
                values[f"{self._prefixes[name]}{metric.name}"] = float(metric.value(mean))
        self._since = time.perf_counter()
        self._took = self._since - start
        score = self._score(values)
        if score is None or (self._best_score is not None and not score > self._best_score):
            return values, None
        self._best_score = score
        return values, {**values, "held_out": self._held_out}

    def _score(self, values: Mapping[str, float]) -> float | None:
        """Returns the best metric's value, negated if lower is better; a mean if there are two directions.

        It is ``None`` if the values don't have that metric.
        """
        [metric] = [metric for metric in _METRICS if metric.name == self._record.best_metric]
        names = [f"{prefix}{metric.name}" for prefix in self._prefixes.values()]
        found = [values[name] for name in names if name in values]
        return (-1.0 if metric.better == "lower" else 1.0) * sum(found) / len(found) if found else None
