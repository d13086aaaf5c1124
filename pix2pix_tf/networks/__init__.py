"""Keras functional models, independent of losses, data and files."""

import keras

from pix2pix_tf.errors import ConfigError
from pix2pix_tf.networks.discriminators import build_discriminator
from pix2pix_tf.networks.generators import build_generator
from pix2pix_tf.networks.publishing import with_task_layers

__all__ = ["build_discriminator", "build_generator", "with_task_layers"]

if keras.config.backend() != "tensorflow":
    raise ConfigError(f"Keras uses the backend {keras.config.backend()}; set KERAS_BACKEND=tensorflow")
