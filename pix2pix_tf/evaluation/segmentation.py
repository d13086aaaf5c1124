"""The segmentation score: how well a segmentation of the outputs matches the label maps.

It is the FCN score of Isola et al. 2017, section 4.1, without pretrained weights. A small network learns to
segment the data set's real photos and then classifies generated photos. Outputs that are label maps need no
network: their colors are the classes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock
import keras
import numpy as np
import tensorflow as tf
from keras import layers
from tqdm import tqdm

from pix2pix_tf.config import DataConfig, ModelSettings, OptimizationConfig, TrainConfig
from pix2pix_tf.data.dataset import ImageDataset, spread
from pix2pix_tf.data.label_maps import MOST_READ, SMALLEST_SHARE, classes_of, each_of, palette
from pix2pix_tf.data.pipeline import in_memory, resized, training_batches
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.pixels import filled, has_value, to_unit_range
from pix2pix_tf.devices import resolve_precision
from pix2pix_tf.errors import DataError, TrainingDiverged
from pix2pix_tf.files import explain_disk_faults, first_line, written_whole
from pix2pix_tf.metrics import class_accuracy, miou, pixel_accuracy
from pix2pix_tf.networks.fast.convolutions import DownsamplingConvolution
from pix2pix_tf.networks.layers import CropToMatch, InstanceNormalization
from pix2pix_tf.networks.upsampling import BilinearUpsampling

STEPS = 2400

_VERSION = 4  # increment after any change that affects the trained weights or the file
_BATCH = 4
_WIDTHS = (32, 64, 128, 256, 256)
_LEARNING_RATE = 2e-3
_WARM_UP = 50  # steps
_COLOR_SHIFT = 0.2

Log = Callable[[str], None]


class ClassReader:
    """Classifies the pixels of label maps by the colors of ``palette``, uint8 [classes, channels]."""

    def __init__(self, palette: np.ndarray):
        self.palette = palette

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Classifies the pixels of images [..., channels], uint8 or uint16: int32 [...]."""
        return classes_of(image / np.float32(np.iinfo(image.dtype).max / 255), self.palette)

    def confusion(self, image: np.ndarray, labels: np.ndarray, missing: int | None = None) -> np.ndarray:
        """Returns the confusion matrix of an image, int64 [true classes, predicted classes].

        ``labels`` is the true label map; it is resized to the size of the prediction. Pixels equal to
        ``missing`` don't count.
        """
        found, count = self(image), len(self.palette)
        labels = resized(tf.constant(labels), found.shape, PixelFormat(labels.shape[-1], labels=True))
        pairs = classes_of(np.asarray(labels), self.palette) * count + found
        if missing is not None:
            pairs = pairs[has_value(labels, missing).numpy()[..., 0]]
        return np.bincount(pairs.reshape(-1), minlength=count**2).reshape(count, count)


class Segmenter(ClassReader):
    """Classifies the pixels of photos with a float32 network, at the network's size.

    ``scores`` describes how well it segments real photos; the reference for generated photos.
    """

    def __init__(self, palette: np.ndarray, network: keras.Model, scores: str = ""):
        super().__init__(palette)
        self.network = network
        self.scores = scores
        self._graph = tf.function(self._classes)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        _, height, width, channels = self.network.input_shape
        return self._graph(resized(tf.constant(image), (height, width), PixelFormat(channels))).numpy()

    def _classes(self, photo: tf.Tensor) -> tf.Tensor:
        """Averages the predictions for a photo and its mirror image, for higher accuracy."""
        image = to_unit_range(photo)
        logits = self.network(tf.stack([image, tf.reverse(image, [1])]), training=False)
        plain, mirrored = tf.unstack(tf.nn.softmax(logits))
        return tf.argmax(plain + tf.reverse(mirrored, [1]), axis=-1, output_type=tf.int32)


def load_or_train(
    dataset: ImageDataset, image_size: tuple[int, int], cache_dir: Path, log: Log = print, steps: int = STEPS
) -> Segmenter:
    """Loads a data set's segmentation network from ``cache_dir``, or trains, measures and saves it.

    ``dataset`` has pairs of a photo and a label map, in either order.
    """
    if dataset.kind != "pairs" or [side.labels for side in dataset.sides].count(True) != 1:
        raise DataError(
            f"{dataset.name}: a segmentation score needs pairs of a photo and a label map; declare the side "
            "of the label maps with --label-maps"
        )
    pairs = dataset if dataset.sides[1].labels else dataset.directed("BtoA")  # photos first
    decisive = {
        "version": _VERSION,
        "images": [pairs.identity(split) for split in ("train", pairs.held_out)],
        "sides": [str(side) for side in pairs.sides],
        "image_size": list(image_size),
        "steps": steps,
    }
    digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()
    path = cache_dir / f"segmenter-{digest[:16]}.npz"
    with explain_disk_faults(cache_dir):
        cache_dir.mkdir(parents=True, exist_ok=True)
        # A second process waits until the first has trained the network.
        with filelock.FileLock(path.with_suffix(".lock")):
            if path.exists():
                return _load(path, image_size, pairs.sides[0].channels)
            log(
                f"training a segmentation network once on the {pairs.count('train')} real photos of "
                f"{pairs.name} at {image_size[1]}x{image_size[0]} for {steps} steps; it is saved as {path}"
            )
            segmenter = _train(pairs, image_size, steps)
            with written_whole(path) as unfinished, unfinished.open("wb") as file:
                np.savez(file, segmenter.scores, segmenter.palette, *segmenter.network.get_weights())
            return segmenter


def _load(path: Path, image_size: tuple[int, int], channels: int) -> Segmenter:
    try:
        with np.load(path, allow_pickle=False) as stored:
            scores, palette, *weights = stored.values()
        network = _build(image_size, channels, len(palette), "float32")
        network.set_weights(weights)
    except PermissionError:
        raise
    except Exception as error:  # NumPy doesn't document what it raises for damaged files
        raise DataError(
            f"{path}: damaged segmentation network ({first_line(error)}); delete the file and run again to "
            "train a new one"
        ) from error
    return Segmenter(palette, network, str(scores))


def _train(pairs: ImageDataset, image_size: tuple[int, int], steps: int) -> Segmenter:
    """Trains a network on the real photos and measures it on held-out photos."""
    colors, channels = palette(pairs, 1), pairs.sides[0].channels
    missing_input, missing = (side.missing for side in pairs.sides)

    # The square root of the inverse frequency is a compromise between pixel accuracy, which depends on
    # frequent classes, and the means over classes. The mean weight of all pixels is 1.
    reader = ClassReader(colors)
    each_image = [reader.confusion(each, each, missing).diagonal() for each in each_of(pairs, "train", 1)]
    shares = np.sum(each_image, axis=0) / np.sum(each_image)
    class_weights = 1 / np.sqrt(np.maximum(shares, SMALLEST_SHARE))
    weight_of_class = tf.constant(class_weights / (class_weights * shares).sum(), tf.float32)

    def example(step: tf.Tensor, batch: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns photos, classes and pixel weights, each [batch, height, width, …]."""
        photos, labels, *has_class = batch
        labels = tf.cast(tf.round((labels + 1.0) * 127.5), tf.uint8)
        classes = tf.numpy_function(reader, [labels], tf.int32, stateful=False)
        classes = tf.ensure_shape(classes, labels.shape[:-1])
        weights = tf.gather(weight_of_class, classes)
        for mask in has_class:
            weights *= mask[..., 0]
        return _color_jittered(photos, tf.stack([tf.constant(0, tf.int64), step])), classes, weights

    config = TrainConfig(
        ModelSettings("segmenter"),
        DataConfig(image_size=image_size),
        OptimizationConfig(steps=steps, batch_size=_BATCH),
    )
    batches = training_batches(in_memory(pairs, "train"), config, 0, steps)
    network = _build(image_size, channels, len(colors), resolve_precision("auto"))
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, max(steps - _WARM_UP, 1), warmup_target=_LEARNING_RATE, warmup_steps=min(_WARM_UP, steps)
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(rate), loss, jit_compile=False)
    with tqdm(total=steps, desc="segmentation network", leave=False, disable=None, dynamic_ncols=True) as bar:
        progress = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: bar.update())
        examples = batches.enumerate().map(example, tf.data.AUTOTUNE)
        network.fit(examples, shuffle=False, callbacks=[progress], verbose=0)
    weights = network.get_weights()
    if not all(np.isfinite(each).all() for each in weights):
        raise TrainingDiverged(f"{pairs.name}: the segmentation network's weights are no longer finite")

    segmenter = Segmenter(colors, _build(image_size, channels, len(colors), "float32"))
    segmenter.network.set_weights(weights)
    [images] = pairs.splits[pairs.held_out]
    numbers = spread(len(images), MOST_READ)
    counts = np.zeros(len(colors) ** 2, np.int64)
    for number in tqdm(numbers, "classifying real photos", leave=False, disable=None, dynamic_ncols=True):
        photo, labels = images.read(tf.constant(number))
        photo = filled(photo, missing_input)
        counts += segmenter.confusion(photo.numpy(), labels.numpy(), missing).reshape(-1)
    segmenter.scores = (
        f"pixel accuracy {pixel_accuracy(counts):.3f}, class accuracy {class_accuracy(counts):.3f}, "
        f"mIoU {miou(counts):.3f} ({len(numbers)} of {pairs.held_out})"
    )
    return segmenter


def _build(image_size: tuple[int, int], channels: int, classes: int, dtype: str) -> keras.Model:
    """Builds a U-Net (Ronneberger et al. 2015).

    It maps float32 [batch, height, width, channels] in [-1, 1] to logits, float32 [batch, height, width,
    classes]. The logits are computed at half the size and upsampled. Dropout and weight decay don't help:
    after 1600 steps on facades, the mIoU of held-out photos was 0.323 with and without them.
    """
    # Seeds each layer, because Keras' global seed belongs to the caller.
    seeds = map(int, np.random.SeedSequence(0).generate_state(64))

    def options() -> dict[str, Any]:
        initializer = keras.initializers.HeNormal(seed=next(seeds))
        return {"use_bias": False, "kernel_initializer": initializer, "dtype": dtype}

    def activated(x: Any) -> Any:
        return layers.ReLU(dtype=dtype)(InstanceNormalization(dtype=dtype)(x))

    photo = keras.Input((*image_size, channels), dtype="float32")
    x, skips = photo, []
    for filters in _WIDTHS:
        x = activated(DownsamplingConvolution(filters, **options())(x))
        skips.append(x)
    for skip, filters in zip(skips[-2::-1], _WIDTHS[-2::-1], strict=True):
        x = layers.Conv2D(filters, 1, **options())(x)
        x = CropToMatch(dtype=dtype)([BilinearUpsampling(dtype=dtype)(x), skip])
        x = layers.Concatenate(dtype=dtype)([x, skip])
        x = activated(layers.Conv2D(filters, 3, padding="same", **options())(x))
    x = layers.Conv2D(classes, 1, **options())(x)
    logits = CropToMatch(dtype="float32")([BilinearUpsampling(dtype="float32")(x), photo])
    return keras.Model(photo, logits)


def _color_jittered(photos: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """Changes brightness, contrast and tint of each photo."""

    def shifts(number: int, channels: int) -> tf.Tensor:
        seed = tf.random.experimental.stateless_fold_in(key, np.int64(number))
        shape = [2, _BATCH, 1, 1, channels]
        return tf.random.stateless_uniform(shape, seed, -_COLOR_SHIFT, _COLOR_SHIFT)

    contrast, brightness = tf.unstack(shifts(1, 1) + shifts(0, photos.shape[-1]) / 2)
    return photos * (1.0 + contrast) + brightness
