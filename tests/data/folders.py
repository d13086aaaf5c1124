"""Makes folders of images; opens, checks and packs them with a few settings."""

import numpy as np
import tensorflow as tf
from PIL import Image

from pix2pix_tf import preset, replace
from pix2pix_tf.data import folder as folders
from pix2pix_tf.data import packed
from pix2pix_tf.data.checking import report


def save(path, width=8, height=4, seed=0, mode="RGB"):
    """Writes noise; returns it as [height, width, 3]."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(noise).convert(mode)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **({"lossless": True} if path.suffix == ".webp" else {}))
    return np.asarray(image.convert("RGB"))


def read_all(images):
    """Returns the items of a set, each a tuple of arrays."""
    read = [images.read(tf.constant(index, tf.int64)) for index in range(len(images))]
    return [tuple(image.numpy() for image in item) for item in read]


def config_of(folder, **settings):
    return replace(preset(str(folder)), **settings)


def open_folder(folder, kind="pairs", **settings):
    return folders.open_folder(folder, config_of(folder, **settings), kind)


def survey_folder(folder, kind="pairs", **settings):
    return folders.survey_folder(folder, config_of(folder, **settings), kind)


def check_folder(folder, kind="pairs", **settings):
    return report.check_folder(folder, config_of(folder, **settings), kind)


def pack_folder(folder, out, kind="pairs", **settings):
    return packed.pack_folder(folder, out, config_of(folder, **settings), kind)
