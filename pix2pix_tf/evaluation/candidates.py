"""Opens the candidates of `pix2pix evaluate`: models of any format, and folders of outputs."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pix2pix_tf import formats
from pix2pix_tf.config import TrainConfig
from pix2pix_tf.data.dataset import ImageDataset, Images
from pix2pix_tf.data.layout import files_by_name, is_image_file
from pix2pix_tf.data.pipeline import resized
from pix2pix_tf.data.pixel_format import PixelFormat, ValueRange
from pix2pix_tf.data.pixels import convert_channels, has_value
from pix2pix_tf.data.reading import read_image
from pix2pix_tf.data.reading.numbers import dequantize, quantize
from pix2pix_tf.errors import ConfigError, DataError
from pix2pix_tf.models.registry import model_for
from pix2pix_tf.runs import OpenedRun
from pix2pix_tf.wording import counted

Size = tuple[int, int]


class Candidate(NamedTuple):
    """A model or a folder that has an output for every input.

    Args:
        name: short and unique in the comparison.
        path: the path or URL that the user gave.
        generate: takes the name of an input, the input in its original size, and its target. Returns the
            output, uint8 [height, width, channels], in the target's height and width.
        run: the run at the evaluated checkpoint, if the candidate is a run.
        trained_on: number of evaluated pairs that the run was trained on.
        clipped: numbers of values outside of the targets' range and of all values in a folder's measurements;
            ``generate`` adds to them.
    """

    name: str
    path: str
    generate: Callable[[str, np.ndarray, np.ndarray], np.ndarray]
    run: OpenedRun | None = None
    trained_on: int = 0
    clipped: Sequence[int] = (0, 0)

    @property
    def step(self) -> int | None:
        return None if self.run is None else self.run.named_step

    def output(self, name: str, given: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Returns the output for an input; raises if its shape isn't the target's."""
        output = self.generate(name, given, target)
        if output.shape != target.shape:
            sizes = [
                f"{width}x{height} pixels with {counted(channels, 'channel')}"
                for height, width, channels in (output.shape, target.shape)
            ]
            raise DataError(
                f"{self.path}: the output for '{name}' has {sizes[0]}, its target {sizes[1]}; give images "
                "like the targets, or --image-size"
            )
        return output


def open_candidates(
    models: Sequence[OpenedRun | str],
    dataset: ImageDataset,
    split: str,
    config: TrainConfig,
    raw_weights: bool = False,
) -> list[Candidate]:
    """Opens the runs, other models and folders of outputs to compare on a split."""
    [images] = dataset.splits[split]
    runs = [model for model in models if isinstance(model, OpenedRun)]
    if raw_weights and not any(run.config.optimization.ema_decay for run in runs):
        raise ConfigError("--raw-weights has no effect: no model is a run with averaged weights")
    candidates = []
    for name, model in zip(short_names(list(map(str, models))), models, strict=True):
        if isinstance(model, str) and is_folder_of_images(model):
            candidates.append(_open_folder(name, Path(model).expanduser(), images.names, dataset.sides[1]))
            continue
        candidate = _open_model(name, model, dataset, config, raw_weights)
        if candidate.run is not None and split != "train":
            candidate = candidate._replace(trained_on=count_trained_on(candidate.run, images))
        candidates.append(candidate)
    return candidates


def count_trained_on(run: OpenedRun, images: Images) -> int:
    """Returns the number of pairs that a run was trained on. Pairs are identified by their pixels.

    A few can be duplicates within a data set. Raises if more than half of the pairs are known.
    """
    is_known = np.isin(images.digests(), run.directory.training_images())
    is_unpaired = run.config.model.data == "unpaired"  # then A and B come from different pairs
    count = int((is_known.any(axis=1) if is_unpaired else is_known.all(axis=1)).sum())
    if count > len(images) / 2:
        raise ConfigError(
            f"{run.directory.place} was trained on {count} of the {counted(len(images), 'pair')} to evaluate "
            "on (the pixels are equal); give held-out pairs, or the run's --split-seed"
        )
    return count


def is_folder_of_images(model: str) -> bool:
    """Whether a folder that is no run contains images, possibly in subfolders, and no model."""
    path = Path(model).expanduser()
    if not path.is_dir():
        return False
    if any(is_image_file(each) for each in path.iterdir()):
        return True
    return not formats.models_inside(path) and any(is_image_file(each) for each in path.rglob("*"))


def short_names(models: Sequence[str]) -> list[str]:
    """Returns the shortest endings of the paths that distinguish the models."""

    def full(model: str) -> str:
        path = os.path.expanduser(model)
        is_here = os.path.exists(path) or os.path.exists(path.rpartition("@")[0])
        return os.path.abspath(path) if is_here else model  # to tell a/x from b/x

    parts = [[part for part in full(each).replace("\\", "/").split("/") if part] for each in models]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-count:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    raise ConfigError("the same model is given twice; name each model once")


def _open_model(
    name: str, model: OpenedRun | str, dataset: ImageDataset, config: TrainConfig, raw_weights: bool
) -> Candidate:
    run, own_size = None, None
    if isinstance(model, OpenedRun):
        own = model.config
        own_size = own.data.size
        _refuse_noise(model, all(each.noise for each in model_for(own).published_generators().values()))
        if own.data.task != config.data.task:
            raise ConfigError(
                f"{model} was trained with --task {own.data.task}, but the pairs are for "
                f"--task {config.data.task}"
            )
        direction = None if dataset.task.makes_input else config.data.direction
        raw = raw_weights and own.optimization.ema_decay > 0  # otherwise the run has no averages
        run = model.at()
        translate = formats.load(run, direction=direction, raw_weights=raw)
    else:
        translate = formats.load(model)
    _refuse_noise(model, bool(translate.noise))

    def generate(_: str, given: np.ndarray, target: np.ndarray) -> np.ndarray:
        # Exported models may accept any size: they get an input of the compared size.
        # An input that the task makes already has that size.
        side, known = dataset.sides[1 if dataset.task.makes_input else 0], np.True_
        if not dataset.task.makes_input:
            given = np.asarray(resized(tf.constant(given), own_size or target.shape[:2], side))
            if side.missing is not None:
                known = has_value(given, side.missing).numpy()
        given = _rescaled(given, side, translate.input.value_range, is_input=True)
        given = np.where(known, given, given.dtype.type(np.iinfo(given.dtype).max // 2 + 1))
        output = _rescaled(translate(given), dataset.sides[1], translate.output.value_range, is_input=False)
        output = resized(tf.constant(output), target.shape[:2], translate.output)
        if translate.output.has_alpha and not dataset.sides[1].has_alpha:  # compared over white
            output = convert_channels(output, target.shape[-1])
        return output.numpy()

    return Candidate(name, str(model), generate, run)


def _refuse_noise(model: OpenedRun | str, uses_noise: bool) -> None:
    if uses_noise:
        raise ConfigError(f"{model} generates images from noise; they have no targets to compare with")


def _rescaled(pixels: np.ndarray, side: PixelFormat, model: ValueRange | None, is_input: bool) -> np.ndarray:
    """Converts an input from the side's value range to the model's, and an output back."""
    side_range = side.stored_range
    if model is None or model == side_range:
        return pixels
    given, wanted = (side_range, model) if is_input else (model, side_range)
    return quantize(dequantize(pixels, given), wanted)


def _open_folder(name: str, path: Path, names: Sequence[str], side: PixelFormat) -> Candidate:
    files, findings = files_by_name(path)
    for finding in findings:
        raise DataError(f"{path}: {finding.line(path)}")
    missing = [each for each in names if each not in files]
    if missing:
        raise DataError(
            f"{path} has no image for {counted(len(missing), 'input')} of the data set, such as "
            f"'{missing[0]}'; name its files like the inputs (it has {', '.join(list(files)[:3])} ...)"
        )

    clipped = [0, 0]

    def read(image_name: str, _: np.ndarray, target: np.ndarray) -> np.ndarray:
        file = files[image_name]
        image = read_image(file, dataclasses.replace(side, missing=None))
        if side.value_range is not None and image.shape == target.shape:  # other sizes are refused later
            known = np.True_ if side.missing is None else has_value(target, side.missing).numpy()
            outside, is_missing = _outside_and_missing(file, side)
            if (is_missing & known).any():
                raise DataError(f"{file} has missing pixels where its target has values; fill them")
            clipped[0] += int(np.count_nonzero(outside & known))
            clipped[1] += int(np.count_nonzero(np.broadcast_to(known, target.shape)))
        return image

    return Candidate(name, str(path), read, clipped=clipped)


def _outside_and_missing(file: Path, side: PixelFormat) -> tuple[np.ndarray, np.ndarray]:
    """Returns which values of a file are outside of the side's range, and which pixels are missing."""
    low, high = side.stored_range
    wide = (2 * low - high, 2 * high - low)
    levels = read_image(file, dataclasses.replace(side, value_range=wide, missing=0))
    values, rounding = dequantize(levels, wide), (high - low) / 2**14
    is_missing = (levels == 0).all(-1, keepdims=True)
    return ((values < low - rounding) | (values > high + rounding)) & ~is_missing, is_missing
