"""The networks: Keras functional models that know nothing of losses, data or files."""

from pix2pix_tf.networks.discriminators import build_discriminator
from pix2pix_tf.networks.generators import build_generator

__all__ = ["build_discriminator", "build_generator"]
