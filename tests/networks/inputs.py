"""What the tests of both networks feed in, and look for."""

import numpy as np
import tensorflow as tf

from pix2pix_tf.networks.fast import convolutions


def images(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def layers_of(model, kind):
    return [layer for layer in model.layers if isinstance(layer, kind)]


def filter_everything_minimally(monkeypatch):
    """Has layers of any width and size compute from fewer products, as large ones do."""
    monkeypatch.setattr(convolutions, "_MANY_IMAGES", 1)
    monkeypatch.setattr(convolutions, "_MANY_PIXELS", 1)
    monkeypatch.setattr(convolutions, "_MANY_CHANNELS", {"float32": 1, "bfloat16": 1})
    monkeypatch.setattr(convolutions, "_gains_from_minimal_filtering", lambda dtype: dtype != tf.float16)
