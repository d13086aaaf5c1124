"""FID and KID, computed from InceptionV3 features of outputs and targets.

The network is InceptionV3 of `keras.applications`. Published results use a graph of 2015: compare values
only with other values of this program.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from pix2pix_tf.data.pixels import as_rgb
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.evaluation.intervals import LEVEL, Estimate
from pix2pix_tf.metrics import Metric

SIDE = 299
FEATURES = "features"
"""Key of the features in `measure.Measured`."""
WEIGHTS = "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"
ENOUGH_FOR_FID = 2048
"""Fewest images for FID: with fewer, the covariance has no full rank and KID is more reliable."""
FEWEST = 4
"""Fewest images for either distance."""

_SUBSETS = 100
_AT_ONCE = 4096  # images per chunk of float64 features
_LARGEST_SUBSET = 1000


def find_weights(given: Path | None) -> Path | None:
    """Returns the given weights file, else Keras' cached one, else ``None``."""
    cached = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "models" / WEIGHTS
    return given or (cached if cached.is_file() else None)


class Inception:
    """InceptionV3 up to its last pooling layer; ``description`` identifies the weights in metrics.json."""

    def __init__(self, weights: Path):
        self._network = keras.applications.InceptionV3(include_top=False, weights=None, pooling="avg")
        self._graph = tf.function(
            lambda image: self._network(tf.clip_by_value(image, 0.0, 1.0) * 2 - 1, training=False)
        )
        try:
            self._network.load_weights(weights)
            digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(
                f"--inception-weights {weights}: not the weights of InceptionV3 without its top "
                f"({' '.join(str(error).split())[:100]}); give {WEIGHTS}"
            ) from error
        self.description = {"network": "keras.applications.InceptionV3", "sha256": digest}

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Converts an image, float32 [height, width, 1 or 3] in [0, 1], to features, float32 [2048]."""
        rgb = as_rgb(image)
        resized = tf.image.resize(rgb[np.newaxis], (SIDE, SIDE), "bicubic", antialias=True)
        return self._graph(resized)[0].numpy()


DISTANCES = (
    Metric("fid", "FID", "Fréchet distance between InceptionV3 features, at least 0", "lower"),
    Metric("kid", "KID", "unbiased kernel distance between InceptionV3 features, about 0 if equal", "lower"),
)


def distances(ours: np.ndarray, theirs: np.ndarray) -> dict[str, Estimate]:
    """Returns FID (without an interval) and KID between two sets of features [images, features]."""
    fid = frechet_distance(ours, theirs)
    return {"fid": Estimate(fid, fid, fid, len(theirs)), "kid": kernel_distance(ours, theirs)}


def frechet_distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Returns the Fréchet distance of Gaussians fitted to features [images, k] (FID, Heusel et al. 2017)."""
    a, b = (_root_of_covariance(each) for each in (ours, theirs))
    # The square roots of the eigenvalues of AᵀA BᵀB are the singular values of ABᵀ.
    spread = np.square(a).sum() + np.square(b).sum() - 2 * np.linalg.norm(a @ b.T, "nuc")
    return float(np.square(ours.mean(0, np.float64) - theirs.mean(0, np.float64)).sum() + spread)


def _root_of_covariance(features: np.ndarray) -> np.ndarray:
    """Returns A, float64 [images or k, k], where AᵀA is the covariance of features [images, k]."""
    count, mean = len(features), features.mean(0, np.float64)
    if count <= features.shape[1]:
        return (features - mean) / np.sqrt(count - 1)
    parts = (features[start : start + _AT_ONCE] - mean for start in range(0, count, _AT_ONCE))
    root = np.empty((0, features.shape[1]))
    for part in parts:  # 50 000 images in float64 would exceed the documented memory
        root = np.asarray(np.linalg.qr(np.concatenate([root, part]), "r"))
    return root / np.sqrt(count - 1)


def kernel_distance(ours: np.ndarray, theirs: np.ndarray) -> Estimate:
    """Returns the unbiased squared MMD with the kernel (x·y / d + 1)³ (KID, Bińkowski et al. 2018).

    The value is the mean over random subsets of 1000 images, or of half the images if there are fewer. The
    interval contains 95 % of the subsets' values, scaled to the size of the whole set.
    """
    random = np.random.default_rng(0)
    size = min(_LARGEST_SUBSET, min(len(ours), len(theirs)) // 2)
    found = [
        unbiased_mmd(*(each[random.choice(len(each), size, replace=False)] for each in (ours, theirs)))
        for _ in range(_SUBSETS)
    ]
    mean, ends = np.mean(found), np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    low, high = mean + (ends - mean) * np.sqrt(size / (min(len(ours), len(theirs)) - size))
    return Estimate(float(mean), float(low), float(high), len(theirs))


def unbiased_mmd(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Returns the unbiased squared MMD of two sets of features [images, features] of equal size."""
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    count, features = ours.shape

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / features + 1) ** 3

    within = [each.sum() - np.trace(each) for each in (kernel(ours, ours), kernel(theirs, theirs))]
    return float(sum(within) / (count * (count - 1)) - 2 * kernel(ours, theirs).mean())
