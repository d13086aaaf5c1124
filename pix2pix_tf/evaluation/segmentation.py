"""The segmentation score: how well a segmentation of the outputs matches the label maps.

It is the FCN score of Isola et al. 2017, section 4.1, without pretrained weights. A small network learns to
segment the data set's real photos and then classifies generated photos. Outputs that are label maps need no
network: their colors are the classes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Callable, Mapping
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
from pix2pix_tf.files import explain_disk_faults, first_line, write_whole
from pix2pix_tf.metrics import class_accuracy, miou, pixel_accuracy
from pix2pix_tf.networks.fast.convolutions import HalvingConvolution
from pix2pix_tf.networks.layers import CropToMatch, InstanceNormalization
from pix2pix_tf.networks.upsampling import BilinearDoubling

STEPS = 2400

_VERSION = 3  # increment after any change that affects the trained weights
_BATCH = 4
_WIDTHS = (32, 64, 128, 256, 256)
_LEARNING_RATE = 2e-3
_WARM_UP = 50  # steps
_COLOR_SHIFT = 0.2
_NO_CLASS = 255  # the class index of pixels without a class

Log = Callable[[str], None]


class ClassReader:
    """Classifies the pixels of label maps by the colors of ``palette``, uint8 [classes, channels]."""

    def __init__(self, palette: np.ndarray):
        self.palette = palette

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Classifies the pixels of an image [height, width, channels]: int32 [height, width]."""
        return classes_of(image, self.palette)

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


@dataclasses.dataclass(frozen=True)
class RealScores:
    """Scores of a network on the real photos of a split; the reference for generated photos."""

    split: str
    count: int
    pixel_accuracy: float
    class_accuracy: float
    miou: float

    def __str__(self) -> str:
        return (
            f"pixel accuracy {self.pixel_accuracy:.3f}, class accuracy {self.class_accuracy:.3f}, mIoU "
            f"{self.miou:.3f} ({self.count} of {self.split})"
        )


class Segmenter(ClassReader):
    """Classifies the pixels of photos with a float32 network at ``image_size``.

    ``weights`` maps paths to arrays, see `weights_of`. ``real`` is ``None`` until it is measured. Raises
    `KeyError` or `ValueError` if a weight is missing or has a different shape.
    """

    real: RealScores | None = None

    def __init__(self, palette: np.ndarray, image_size: tuple[int, int], weights: Mapping[str, np.ndarray]):
        super().__init__(palette)
        self.image_size = image_size
        channels = weights["down_1_conv/kernel"].shape[2]
        self._side = PixelFormat(channels)
        self.network = _build(image_size, channels, len(palette), "float32")
        for variable in self.network.weights:
            variable.assign(weights[variable.path])
        self._graph = tf.function(self._classes)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        return self._graph(resized(tf.constant(image), self.image_size, self._side)).numpy()

    def _classes(self, photo: tf.Tensor) -> tf.Tensor:
        """Averages the predictions for a photo and its mirror image, for higher accuracy."""
        image = to_unit_range(photo)
        logits = self.network(tf.stack([image, tf.reverse(image, [1])]), training=False)
        plain, mirrored = tf.unstack(tf.nn.softmax(logits))
        return tf.argmax(plain + tf.reverse(mirrored, [1]), axis=-1, output_type=tf.int32)


def weights_of(network: keras.Model) -> dict[str, np.ndarray]:
    return {variable.path: np.asarray(variable.value) for variable in network.weights}


# ---------------------------------------------------------------- the network


def _build(image_size: tuple[int, int], channels: int, classes: int, dtype: str) -> keras.Model:
    """Builds a U-Net (Ronneberger et al. 2015).

    It maps float32 [batch, height, width, channels] in [-1, 1] to logits, float32 [batch, height, width,
    classes]. The logits are computed at half the size and upsampled. Dropout and weight decay don't help:
    after 1600 steps on facades, the mIoU of held-out photos was 0.323 with and without them.
    """
    # Seeds each layer, because Keras' global seed belongs to the caller.
    seeds = map(int, np.random.SeedSequence(0).generate_state(64))

    def options(name: str) -> dict[str, Any]:
        initializer = keras.initializers.HeNormal(seed=next(seeds))
        return {"use_bias": False, "kernel_initializer": initializer, "name": f"{name}_conv", "dtype": dtype}

    def activated(x: Any, name: str) -> Any:
        x = InstanceNormalization(name=f"{name}_norm", dtype=dtype)(x)
        return layers.ReLU(name=f"{name}_act", dtype=dtype)(x)

    photo = keras.Input((*image_size, channels), name="photo", dtype="float32")
    x, skips = photo, []
    for level, filters in enumerate(_WIDTHS, 1):
        name = f"down_{level}"
        x = activated(HalvingConvolution(filters, **options(name))(x), name)
        skips.append(x)
    for level in range(len(_WIDTHS) - 1, 0, -1):
        skip, filters, name = skips[level - 1], _WIDTHS[level - 1], f"up_{level}"
        x = layers.Conv2D(filters, 1, **options(f"{name}_narrow"))(x)
        x = BilinearDoubling(name=f"{name}_resize", dtype=dtype)(x)
        x = CropToMatch(name=f"{name}_crop", dtype=dtype)([x, skip])
        x = layers.Concatenate(name=f"{name}_skip", dtype=dtype)([x, skip])
        x = activated(layers.Conv2D(filters, 3, padding="same", **options(name))(x), name)
    x = layers.Conv2D(classes, 1, **options("classes"))(x)
    x = BilinearDoubling(name="resize", dtype="float32")(x)
    logits = CropToMatch(name="logits", dtype="float32")([x, photo])
    return keras.Model(photo, logits, name="segmenter")


# ---------------------------------------------------------------- training


def load_or_train(
    dataset: ImageDataset,
    image_size: tuple[int, int],
    cache_dir: Path,
    log: Log = print,
    steps: int = STEPS,
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
                return _load(path, image_size)
            log(
                f"training a segmentation network once on the {pairs.count('train')} real photos of "
                f"{pairs.name} at {image_size[1]}x{image_size[0]} for {steps} steps; it is saved as {path}"
            )
            segmenter = _train(pairs, image_size, steps)
            log(f"segmentation network on real photos: {segmenter.real}")
            _save(path, segmenter)
            return segmenter


def _train(pairs: ImageDataset, image_size: tuple[int, int], steps: int) -> Segmenter:
    """Trains a network on the real photos and measures it on held-out photos."""
    config = TrainConfig(
        ModelSettings("segmenter"),
        DataConfig(image_size=image_size),
        OptimizationConfig(steps=steps, batch_size=_BATCH),
    )
    colors = palette(pairs, 1)
    classes = in_memory(_with_classes(pairs, colors), "train")
    weight_of_class = tf.constant(_class_weights(classes, len(colors)), tf.float32)

    def example(step: tf.Tensor, batch: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns photos, classes and pixel weights, each [batch, height, width, …]."""
        photos, labels, *mask = batch
        labels = tf.cast(tf.round((labels[..., 0] + 1.0) * 127.5), tf.int32)
        has_class = mask[0][..., 0] if mask else tf.ones_like(labels, tf.float32)
        labels = tf.where(has_class > 0, labels, 0)
        weights = tf.gather(weight_of_class, labels) * has_class
        return _color_jittered(photos, tf.stack([tf.constant(0, tf.int64), step])), labels, weights

    batches = training_batches(classes, config, 0, steps).enumerate().map(example, tf.data.AUTOTUNE)
    precision = resolve_precision("auto")
    network = _build(image_size, pairs.sides[0].channels, len(colors), precision)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, max(steps - _WARM_UP, 1), warmup_target=_LEARNING_RATE, warmup_steps=min(_WARM_UP, steps)
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(rate), loss, jit_compile=False)
    with tqdm(total=steps, desc="segmentation network", leave=False, disable=None, dynamic_ncols=True) as bar:
        progress = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: bar.update())
        network.fit(batches, shuffle=False, callbacks=[progress], verbose=0)
    weights = weights_of(network)
    if not all(np.isfinite(each).all() for each in weights.values()):
        raise TrainingDiverged(f"{pairs.name}: the segmentation network's weights are no longer finite")

    segmenter = Segmenter(colors, image_size, weights)
    [images] = pairs.splits[pairs.held_out]
    numbers = spread(len(images), MOST_READ)
    counts = np.zeros((len(colors),) * 2, np.int64)
    for number in tqdm(numbers, "classifying real photos", leave=False, disable=None, dynamic_ncols=True):
        photo, labels = images.read(tf.constant(number))
        photo = filled(photo, pairs.sides[0].missing)
        counts += segmenter.confusion(photo.numpy(), labels.numpy(), pairs.sides[1].missing)
    scores = (float(score(counts.reshape(-1))) for score in (pixel_accuracy, class_accuracy, miou))
    segmenter.real = RealScores(pairs.held_out, len(numbers), *scores)
    return segmenter


def _with_classes(pairs: ImageDataset, colors: np.ndarray) -> ImageDataset:
    """Replaces label maps by class indices, uint8 [height, width, 1]."""
    missing = pairs.sides[1].missing

    def classes(labels: np.ndarray) -> np.ndarray:
        found = classes_of(labels, colors).astype(np.uint8)
        if missing is not None:
            found[(labels == missing).all(axis=-1)] = _NO_CLASS
        return found[..., np.newaxis]

    def read(pair: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
        found = tf.numpy_function(classes, [pair[1]], tf.uint8, stateful=False)
        return pair[0], tf.ensure_shape(found, (*pair[1].shape[:2], 1))

    side = PixelFormat(1, labels=True, missing=None if missing is None else _NO_CLASS)
    splits = {name: tuple(images.mapped(read) for images in sets) for name, sets in pairs.splits.items()}
    return dataclasses.replace(pairs, sides=(pairs.sides[0], side), splits=splits)


def _color_jittered(photos: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """Changes brightness, contrast and tint of each photo."""
    tint, light = (
        tf.random.stateless_uniform(
            [2, _BATCH, 1, 1, channels],
            tf.random.experimental.stateless_fold_in(key, np.int64(number)),
            -_COLOR_SHIFT,
            _COLOR_SHIFT,
        )
        for number, channels in enumerate((photos.shape[-1], 1))
    )
    contrast, brightness = tf.unstack(light + tint / 2)
    return photos * (1.0 + contrast) + brightness


def _class_weights(classes: ImageDataset, count: int) -> np.ndarray:
    """Returns class weights, float [count]: higher for rare classes; the mean over all pixels is 1.

    The square root of the inverse frequency is a compromise between pixel accuracy, which depends on frequent
    classes, and the means over classes.
    """
    pixels = np.zeros(count)
    for each in each_of(classes, "train", 1):
        pixels += np.bincount(each.reshape(-1), minlength=count)[:count]
    shares = pixels / pixels.sum()
    weights = 1 / np.sqrt(np.maximum(shares, SMALLEST_SHARE))
    return weights / (weights * shares).sum()


# ---------------------------------------------------------------- the file

_PALETTE, _REAL = "palette", "real"  # array names; names of weights contain a slash


def _save(path: Path, segmenter: Segmenter) -> None:
    real = json.dumps(vars(segmenter.real)).encode()
    arrays: dict[str, Any] = {_REAL: np.frombuffer(real, np.uint8), _PALETTE: segmenter.palette}
    arrays |= weights_of(segmenter.network)
    content = io.BytesIO()
    np.savez(content, **arrays)
    write_whole(path, content.getvalue())


def _load(path: Path, image_size: tuple[int, int]) -> Segmenter:
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        real = RealScores(**json.loads(arrays.pop(_REAL).tobytes()))
        segmenter = Segmenter(arrays.pop(_PALETTE), image_size, arrays)
    except PermissionError:
        raise
    except Exception as error:  # NumPy doesn't document what it raises for damaged files
        raise DataError(
            f"{path}: damaged segmentation network ({first_line(error)}); delete the file and run again to "
            "train a new one"
        ) from error
    segmenter.real = real
    return segmenter
