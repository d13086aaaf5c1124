"""Who reads classes in pictures."""

import abc

import numpy as np
import tensorflow as tf

from pix2pix_tf.data.label_maps import classes_of
from pix2pix_tf.data.pipeline import resized
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.pixels import has_value


class ClassReader(abc.ABC):
    """What tells the classes of a picture.

    Args:
        palette: the classes' colours, ``uint8`` [classes, channels].
    """

    def __init__(self, palette: np.ndarray):
        self.palette = palette

    @abc.abstractmethod
    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """Returns the class of each pixel, int32 [height, width]; ``picture``: [height, width, channels]."""

    def confusion(self, picture: np.ndarray, labels: np.ndarray, missing: int | None = None) -> np.ndarray:
        """Returns how many pixels of which class were taken for which.

        Args:
            picture: ``uint8`` [height, width, channels].
            labels: its label map, ``uint8``, resized to the classes that are read from the picture.
            missing: the level of pixels without a class.

        Returns:
            int64 [classes, classes], rows the truth; the sum is the number of pixels with a class.
        """
        found = self(picture)
        size = (found.shape[0], found.shape[1])
        labels = resized(tf.constant(labels), size, PixelFormat(labels.shape[-1], labels=True))
        pairs = classes_of(np.asarray(labels), self.palette) * len(self.palette) + found
        if missing is not None:
            pairs = pairs[has_value(labels, missing).numpy()[..., 0]]
        return np.bincount(pairs.reshape(-1), minlength=len(self.palette) ** 2).reshape(
            len(self.palette), len(self.palette)
        )


class LabelReader(ClassReader):
    """Reads the classes of label maps off their colours."""

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """Returns the class of each pixel, int32 [height, width]; ``picture``: ``uint8``."""
        return classes_of(picture, self.palette)
