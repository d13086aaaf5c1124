"""How good the pictures are while training: some metrics on some held-out pairs, within seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pix2pix_tf.config import DataConfig
from pix2pix_tf.data.pipeline import held_out_images
from pix2pix_tf.data.pixels import filled
from pix2pix_tf.data.sets import ImageDataset
from pix2pix_tf.errors import DataError
from pix2pix_tf.evaluation.measuring import compared
from pix2pix_tf.evaluation.metrics import MEASUREMENTS, METRICS
from pix2pix_tf.models.base import PublishedGenerator, Translate

PICTURES = 16
"""How many pairs are looked at, spread over the held-out ones: enough to see a run rise or fall."""

_MEASURED = ("l1", "psnr", "ssim", "gradients", "lattice")
METRICS_SHOWN = tuple(metric for metric in METRICS if metric.measurement in _MEASURED)


class Validation:
    """The held-out pairs, and what is measured on them.

    Args:
        dataset: one that has targets.
        data: at which size the networks are trained, and how images get it.
        generators: the model's.
    """

    def __init__(self, dataset: ImageDataset, data: DataConfig, generators: Mapping[str, PublishedGenerator]):
        rows = held_out_images(dataset, data.size, PICTURES, fit=data.fit, fill=False)
        self._rows, self._sides = [images for _, *images in rows], dataset.sides
        self._generators = generators
        for target in {1 - generator.side for generator in generators.values()}:
            missing = dataset.sides[target].missing
            if missing is not None and all((images[target] == missing).all() for images in self._rows):
                raise DataError(
                    f"{dataset.name}: no pixel of the held-out targets has a value at that size; hold "
                    "out other pairs, or give another --fit"
                )

    def measure(self, paint: Mapping[str, Translate]) -> dict[str, float]:
        """Returns the metrics' values by name; where there are two directions, 'AtoB_l1' and so on."""
        values: dict[str, float] = {}
        for name, generator in self._generators.items():
            prefix = f"{name}_" if len(self._generators) > 1 else ""
            values |= {f"{prefix}{key}": value for key, value in self._of(generator, paint[name]).items()}
        return values

    def _of(self, generator: PublishedGenerator, paint: Translate) -> dict[str, float]:
        rows: dict[str, list[Any]] = {name: [] for name in _MEASURED}
        for images in self._rows:
            given = np.asarray(filled(images[generator.side], self._sides[generator.side].missing))
            target, missing = images[1 - generator.side], self._sides[1 - generator.side].missing
            pair = compared(paint(given), target, missing)
            if pair[2] is not None and not pair[2].any():
                continue
            for name, found in rows.items():
                found.append(MEASUREMENTS[name](*pair))
        means = {name: np.mean(found, axis=0) for name, found in rows.items()}
        return {metric.name: float(metric.value(means[metric.measurement])) for metric in METRICS_SHOWN}
