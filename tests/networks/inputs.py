"""Inputs and helpers of the networks' tests."""

import numpy as np
import tensorflow as tf

from pix2pix_tf.networks.fast import convolutions


def images(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def layers_of(model, kind):
    return [layer for layer in model.layers if isinstance(layer, kind)]


def filter_everything_minimally(monkeypatch):
    """Makes layers of any width and size use minimal filtering."""
    monkeypatch.setattr(convolutions, "_MANY_IMAGES", 1)
    monkeypatch.setattr(convolutions, "_MANY_PIXELS", 1)
    monkeypatch.setattr(convolutions, "_MANY_CHANNELS", {"float32": 1, "bfloat16": 1})
    monkeypatch.setattr(convolutions, "_gains_from_minimal_filtering", lambda dtype: dtype != tf.float16)


def second_derivatives(layer, x, weights, training):
    """The gradients of a penalty: the squared gradients of a nonlinear loss."""
    sources = [x, *weights]
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            loss = tf.reduce_sum(tf.sin(layer(x, training=training)))
        gradients = inner.gradient(loss, sources)
        penalty = tf.add_n([tf.reduce_sum(tf.square(gradient)) for gradient in gradients])
    return outer.gradient(penalty, sources)
