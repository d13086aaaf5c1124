"""Networks as Keras functional models, independent of losses, data and files."""

import keras

from pix2pix_tf.errors import ConfigError
from pix2pix_tf.networks.discriminators import build_discriminator, smallest_image
from pix2pix_tf.networks.finishing import finished, of_label_maps
from pix2pix_tf.networks.generators import build_generator

__all__ = ["build_discriminator", "build_generator", "finished", "of_label_maps", "smallest_image"]

if keras.config.backend() != "tensorflow":
    raise ConfigError(
        f"Keras runs on {keras.config.backend()}; set KERAS_BACKEND=tensorflow before it is imported"
    )
