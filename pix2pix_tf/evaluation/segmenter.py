"""The segmentation score: are the classes of the labels found again in a picture?

That is the FCN-score of Isola et al. 2017, section 4.1, without weights from elsewhere: a small network
learns to segment the data set's own real photos, and then reads generated ones. Where pictures are label
maps themselves there is nothing to learn, because classes are colours.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import time
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
from pix2pix_tf.data.label_maps import MOST_READ, SMALLEST_SHARE, classes_of, each_of, palette
from pix2pix_tf.data.pipeline import in_memory, resized, training_batches
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.pixels import filled, to_unit_range
from pix2pix_tf.data.sets import ImageDataset, Images, spread
from pix2pix_tf.devices import resolve_precision
from pix2pix_tf.errors import DataError, SystemFault, TrainingDiverged
from pix2pix_tf.evaluation.labels import ClassReader
from pix2pix_tf.evaluation.metrics import class_accuracy, class_iou, pixel_accuracy
from pix2pix_tf.files import explain_disk_faults, first_line, write_whole
from pix2pix_tf.networks.fast.convolutions import HalvingConvolution
from pix2pix_tf.networks.layers import CropToMatch, InstanceNormalization
from pix2pix_tf.networks.upsampling import BilinearDoubling

STEPS = 2400

_VERSION = 2  # of all that decides what a network learns: to be raised when any of it changes

_BATCH = 4
_WIDTHS = (32, 64, 128, 256, 256)
_LEARNING_RATE = 2e-3
_WARM_UP = 50  # steps
_MEASURED = 6  # steps
_COLOUR_SHIFT = 0.2
_NO_CLASS = 255  # in the place of a class, of pixels that have none

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class RealScores:
    """How well a network reads the real photos of a split: what generated ones are to be compared with."""

    split: str
    count: int
    pixel_accuracy: float
    class_accuracy: float
    class_iou: float

    def __str__(self) -> str:
        """Returns them in words."""
        return (
            f"pixel accuracy {self.pixel_accuracy:.3f}, class accuracy {self.class_accuracy:.3f}, class IoU "
            f"{self.class_iou:.3f} ({self.count} of {self.split})"
        )


class Segmenter(ClassReader):
    """A network that reads the classes of photos, in float32.

    Args:
        palette: as in :class:`ClassReader`.
        image_size: height and width that photos are read at.
        weights: of the network, by their paths.

    Attributes:
        real: how well it reads real photos; ``None`` until that was measured.

    Raises:
        KeyError: a weight is missing.
        ValueError: a weight has another shape.
    """

    real: RealScores | None = None

    def __init__(self, palette: np.ndarray, image_size: tuple[int, int], weights: Mapping[str, np.ndarray]):
        super().__init__(palette)
        self.image_size = image_size
        channels = weights["down_1_conv/kernel"].shape[2]
        self._side = PixelFormat(channels)
        self._network = _build(image_size, channels, len(palette), "float32", seed=0)
        for variable in self._network.weights:
            variable.assign(weights[variable.path])
        self._graph = tf.function(self._classes)

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """Returns the class of each pixel of a photo.

        Args:
            picture: ``uint8`` or ``uint16`` [height, width, channels]; resized where it has another size than
                ``image_size``.

        Returns:
            int32 [height, width] of ``image_size``.
        """
        return self._graph(resized(tf.constant(picture), self.image_size, self._side)).numpy()

    def _classes(self, photo: tf.Tensor) -> tf.Tensor:
        """The mean of what is seen in a photo and in its mirror image: it is right more often than either."""
        image = to_unit_range(photo)
        logits = self._network(tf.stack([image, tf.reverse(image, [1])]), training=False)
        seen, mirrored = tf.unstack(tf.nn.softmax(logits))
        return tf.argmax(seen + tf.reverse(mirrored, [1]), axis=-1, output_type=tf.int32)

    def weights(self) -> dict[str, np.ndarray]:
        """Returns what ``Segmenter`` takes."""
        return _weights(self._network)


def _weights(network: keras.Model) -> dict[str, np.ndarray]:
    return {variable.path: np.asarray(variable.value) for variable in network.weights}


# ---------------------------------------------------------------- the network


def _build(image_size: tuple[int, int], channels: int, classes: int, dtype: str, seed: int) -> keras.Model:
    """Builds an encoder and a decoder with skip connections, as the U-Net (Ronneberger et al. 2015).

    Classes are told at half the size and enlarged. There is neither dropout nor weight decay: after 1600
    steps on facades the held-out photos' IoU was 0.323 with both, and 0.323 without.

    Returns:
        Float32 [batch, height, width, channels] in [-1, 1] → logits, float32 [batch, height, width, classes].
    """
    # Each layer its own seed: Keras' global one is the caller's.
    seeds = map(int, np.random.SeedSequence(seed).generate_state(64))

    def options(name: str) -> dict[str, Any]:
        first = keras.initializers.HeNormal(seed=next(seeds))
        return {"use_bias": False, "kernel_initializer": first, "name": f"{name}_conv", "dtype": dtype}

    def activated(x: Any, name: str) -> Any:
        x = InstanceNormalization(name=f"{name}_norm", dtype=dtype)(x)
        return layers.ReLU(name=f"{name}_act", dtype=dtype)(x)

    photo = keras.Input((*image_size, channels), name="photo", dtype="float32")
    x, twins = photo, []
    for level, filters in enumerate(_WIDTHS, 1):
        name = f"down_{level}"
        x = activated(HalvingConvolution(filters, **options(name))(x), name)
        twins.append(x)
    for level in range(len(_WIDTHS) - 1, 0, -1):
        twin, filters, name = twins[level - 1], _WIDTHS[level - 1], f"up_{level}"
        x = layers.Conv2D(filters, 1, **options(f"{name}_narrow"))(x)
        x = BilinearDoubling(name=f"{name}_resize", dtype=dtype)(x)
        x = CropToMatch(name=f"{name}_crop", dtype=dtype)([x, twin])
        x = layers.Concatenate(name=f"{name}_skip", dtype=dtype)([x, twin])
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
    say: Say = print,
    seed: int = 0,
    steps: int = STEPS,
) -> Segmenter:
    """Returns the network of a data set: the one that is kept, or one that is trained, measured and kept.

    Args:
        dataset: pairs, one side photos and one label maps, in either order.
        image_size: height and width that it sees.
        cache_dir: the folder that it is kept in.
        say: is told how long training takes, and how good the network is on the photos held out.
        seed: decides the first weights, the order and the augmentation.
        steps: of training, each of four photos.

    Raises:
        ConfigError: the network can't be trained at that size.
        DataError: not exactly one side has label maps, or these have no two colours; or the file that the
            network is kept in is damaged.
        SystemFault: the network can't be written.
        TrainingDiverged: a weight is no longer finite.
    """
    pairs = _photos_first(dataset)
    header = _header(pairs, image_size, seed, steps)
    path = _file(cache_dir, header)
    lock = filelock.FileLock(path.with_suffix(".lock"))
    with explain_disk_faults(cache_dir):
        cache_dir.mkdir(parents=True, exist_ok=True)
        lock.acquire()  # a second program that wants the same network waits for the first
    try:
        if path.exists():
            return _stored(path, header)
        learning = TrainConfig(
            ModelSettings("segmenter"),
            DataConfig(image_size=image_size),
            OptimizationConfig(steps=steps, batch_size=_BATCH, seed=seed),
        )
        segmenter = _trained(pairs, learning, path, say)
        _write(path, header, segmenter)
        return segmenter
    finally:
        lock.release()


def _trained(pairs: ImageDataset, learning: TrainConfig, path: Path, say: Say) -> Segmenter:
    """Trains a network on the real photos, and measures it on those held out."""
    colours = palette(pairs, 1)
    segmenter = Segmenter(colours, learning.data.size, _learned(pairs, colours, learning, path, say))
    segmenter.real = _real_scores(segmenter, pairs)
    say(f"real photos, read by that network: {segmenter.real}")
    return segmenter


def _photos_first(dataset: ImageDataset) -> ImageDataset:
    """Returns pairs of a photo and a label map, in that order."""
    labels = [side.labels for side in dataset.sides]
    if dataset.kind != "pairs" or labels.count(True) != 1:
        raise DataError(
            f"{dataset.name}: a segmentation score needs pairs of a photo and a label map; --label-maps says "
            "which side has the maps"
        )
    return dataset if labels[1] else dataset.directed("BtoA")


def _with_classes(pairs: ImageDataset, colours: np.ndarray) -> ImageDataset:
    """Returns the pairs with classes, ``uint8`` [height, width, 1], in the place of label maps."""

    missing = pairs.sides[1].missing

    def classes(labels: np.ndarray) -> np.ndarray:
        found = classes_of(labels, colours).astype(np.uint8)
        if missing is not None:
            found[(labels == missing).all(axis=-1)] = _NO_CLASS
        return found[..., np.newaxis]

    def read(pair: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
        found = tf.numpy_function(classes, [pair[1]], tf.uint8, stateful=False)
        return pair[0], tf.ensure_shape(found, (*pair[1].shape[:2], 1))

    side = PixelFormat(1, labels=True, missing=None if missing is None else _NO_CLASS)
    splits: dict[str, tuple[Images, ...]] = {
        name: tuple(images.mapped(read) for images in sets) for name, sets in pairs.splits.items()
    }
    return dataclasses.replace(pairs, sides=(pairs.sides[0], side), splits=splits)


def _learned(
    pairs: ImageDataset, colours: np.ndarray, learning: TrainConfig, path: Path, say: Say
) -> dict[str, np.ndarray]:
    """Trains; returns the network's weights by their paths."""
    seed, (height, width) = learning.optimization.seed, learning.data.size
    steps = learning.optimization.steps or STEPS
    classes = in_memory(_with_classes(pairs, colours), "train")
    batches = iter(training_batches(classes, learning, 0, steps))
    precision = resolve_precision("auto")
    network = _build((height, width), pairs.sides[0].channels, len(colours), precision, seed)
    step = _training_step(network, _class_weights(classes, len(colours)), seed, steps)

    # What the first steps took tells how long all take.
    measured = min(_MEASURED, steps)
    for done in range(measured):
        if done == 1:  # the first one traces and compiles
            began = time.monotonic()
        float(step(*next(batches)))
    rest = (time.monotonic() - began) / (measured - 1) * (steps - measured) if measured > 1 else 0.0
    say(
        f"a segmentation network learns from the {pairs.count('train')} real photos of {pairs.name} at "
        f"{width}x{height}, once, for {_duration(rest)}; it is kept as {path}"
    )
    bar = tqdm(range(measured, steps), "segmentation network", leave=False, disable=None, dynamic_ncols=True)
    for _ in bar:
        step(*next(batches))
    weights = _weights(network)
    if not all(np.isfinite(each).all() for each in weights.values()):
        raise TrainingDiverged(f"{pairs.name}: the segmentation network's weights are no longer finite")
    return weights


def _training_step(
    network: keras.Model, class_weights: np.ndarray, seed: int, steps: int
) -> Callable[..., tf.Tensor]:
    """Returns what updates a network from photos and classes, both [batch, height, width, …] in [-1, 1], and
    from the weight of each pixel, where some are missing."""
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, max(steps - _WARM_UP, 1), warmup_target=_LEARNING_RATE, warmup_steps=min(_WARM_UP, steps)
    )
    adam = keras.optimizers.Adam(rate)
    adam.build(network.trainable_variables)
    variables = [variable.value for variable in network.trainable_variables]
    weight_of = tf.constant(class_weights, tf.float32)

    @tf.function
    def step(photos: tf.Tensor, labels: tf.Tensor, weight: tf.Tensor | None = None) -> tf.Tensor:
        key = tf.stack([tf.constant(seed, tf.int64), tf.cast(adam.iterations.value, tf.int64)])
        classes = tf.cast(tf.round((labels[..., 0] + 1.0) * 127.5), tf.int32)
        counts = 1.0 if weight is None else weight[..., 0]
        classes = classes if weight is None else tf.where(counts > 0, classes, 0)
        photos = _other_light(photos, key)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            logits = network(photos, training=True)
            entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(classes, logits)
            loss = tf.reduce_mean(entropy * tf.gather(weight_of, classes) * counts)
        adam.apply(tape.gradient(loss, variables))
        return loss

    return step


def _other_light(photos: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """Returns photos of another brightness, contrast and tint each."""
    tint, light = (
        tf.random.stateless_uniform(
            [2, photos.shape[0], 1, 1, channels],
            tf.random.experimental.stateless_fold_in(key, np.int64(number)),
            -_COLOUR_SHIFT,
            _COLOUR_SHIFT,
        )
        for number, channels in enumerate((photos.shape[-1], 1))
    )
    contrast, brightness = tf.unstack(light + tint / 2)
    return photos * (1.0 + contrast) + brightness


def _class_weights(classes: ImageDataset, count: int) -> np.ndarray:
    """Returns a weight for each class, float [count]: rare ones count more, and a pixel 1 on average.

    The root of the inverse frequency lies between pixel accuracy, which frequent classes decide, and the
    means over classes.
    """
    pixels = np.zeros(count)
    for each in each_of(classes, "train", 1):
        pixels += np.bincount(each.reshape(-1), minlength=count)[:count]
    shares = pixels / pixels.sum()
    weights = 1 / np.sqrt(np.maximum(shares, SMALLEST_SHARE))
    return weights / (weights * shares).sum()


def _real_scores(segmenter: Segmenter, pairs: ImageDataset) -> RealScores:
    [images] = pairs.splits[pairs.held_out]
    numbers = spread(len(images), MOST_READ)
    counts = np.zeros((len(segmenter.palette),) * 2, np.int64)
    for number in tqdm(numbers, "reading real photos", leave=False, disable=None, dynamic_ncols=True):
        photo, labels = images.read(tf.constant(number))
        photo = filled(photo, pairs.sides[0].missing)
        counts += segmenter.confusion(photo.numpy(), labels.numpy(), pairs.sides[1].missing)
    scores = (float(score(counts.reshape(-1))) for score in (pixel_accuracy, class_accuracy, class_iou))
    return RealScores(pairs.held_out, len(numbers), *scores)


def _duration(seconds: float) -> str:
    return f"about {round(seconds / 60)} minutes" if seconds >= 90 else f"about {max(round(seconds), 1)} s"


# ---------------------------------------------------------------- the file that it is kept in

_PALETTE, _HEADER = "palette", "header"  # its arrays beside the weights; a weight's path has a slash


def _header(pairs: ImageDataset, image_size: tuple[int, int], seed: int, steps: int) -> dict[str, Any]:
    """Returns what decides a network: nothing else may lead to the same file."""
    return {
        "version": _VERSION,
        "images": [pairs.identity(split) for split in ("train", pairs.held_out)],
        "sides": [str(side) for side in pairs.sides],
        "image_size": list(image_size),
        "seed": seed,
        "steps": steps,
    }


def _file(cache_dir: Path, header: Mapping[str, Any]) -> Path:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()
    return cache_dir / f"segmenter-{digest[:16]}.npz"


def _write(path: Path, header: Mapping[str, Any], segmenter: Segmenter) -> None:
    assert segmenter.real is not None
    described = json.dumps({**header, "real": dataclasses.asdict(segmenter.real)})
    arrays: dict[str, Any] = {
        _HEADER: np.frombuffer(described.encode(), np.uint8),
        _PALETTE: segmenter.palette,
        **segmenter.weights(),
    }
    content = io.BytesIO()
    np.savez(content, **arrays)
    write_whole(path, content.getvalue())


def _stored(path: Path, expected: Mapping[str, Any]) -> Segmenter:
    """Reads a file that `_write` wrote for the same header.

    Raises:
        DataError: it is damaged.
        SystemFault: it can't be read.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        header = json.loads(arrays.pop(_HEADER).tobytes())
        real = RealScores(**header.pop("real"))
        if header != expected:
            raise ValueError("it belongs to other images")
        height, width = expected["image_size"]
        segmenter = Segmenter(arrays.pop(_PALETTE), (height, width), arrays)
    except PermissionError as error:
        raise SystemFault(f"{path}: can't be read ({error.strerror}); check its permissions") from error
    except Exception as error:  # what NumPy raises for damaged files is nowhere declared
        raise DataError(
            f"{path}: not a whole segmentation network ({first_line(error)}); delete that file and run again "
            "to train it anew"
        ) from error
    segmenter.real = real
    return segmenter
