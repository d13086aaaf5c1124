"""What can be evaluated: every kind of model, and folders of pictures that anything else has made."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pix2pix_tf import config as configs
from pix2pix_tf import formats
from pix2pix_tf.config import TrainConfig
from pix2pix_tf.data.folder import files_by_name, same_names
from pix2pix_tf.data.images import is_image_file, load_image
from pix2pix_tf.data.pipeline import resized
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.pixels import has_value
from pix2pix_tf.data.rasters import ValueRange, dequantize, quantize
from pix2pix_tf.data.sets import ImageDataset, Images
from pix2pix_tf.errors import ConfigError, DataError, RunError
from pix2pix_tf.models.registry import model_for
from pix2pix_tf.runs import RunDirectory, find_run
from pix2pix_tf.wording import counted

Size = tuple[int, int]


class Judged(NamedTuple):
    """Something that has a picture for every input.

    Args:
        name: short, and no other's in the comparison.
        path: as it was given.
        step: of a run, the steps of the checkpoint.
        run: of a run, its directory.
        trained_on: of a run, how many of the pairs it was trained on.
        paint: from an input's name, the input as it is, and the target that the picture is compared with, to
            the picture, uint8 [height, width, channels] of the target's height and width.
    """

    name: str
    path: str
    step: int | None
    run: RunDirectory | None
    paint: Callable[[str, np.ndarray, np.ndarray], np.ndarray]
    trained_on: int = 0


def open_judged(
    models: Sequence[str], dataset: ImageDataset, split: str, config: TrainConfig, raw_weights: bool = False
) -> list[Judged]:
    """Opens all that is to be compared on a split: models, or folders of pictures."""
    [images] = dataset.splits[split]
    runs = [found[0].read_config() for found in map(find_run, models) if found is not None]
    if raw_weights and not any(run.optimization.ema_decay for run in runs):
        raise ConfigError("--raw-weights has no effect: none of the models is a run with averages")
    judged = []
    for name, model in zip(short_names(models), models, strict=True):
        if is_folder_of_pictures(model):
            judged.append(_folder(name, Path(model).expanduser(), images.names, dataset.sides[1]))
            continue
        judged.append(_model(name, model, dataset, config, raw_weights))
        if judged[-1].run is not None and split != "train":
            judged[-1] = judged[-1]._replace(trained_on=_trained_on(judged[-1].run, images))
    return judged


def _trained_on(run: RunDirectory, images: Images) -> int:
    """Returns how many of some pairs a run was trained on, by their pixels.

    Most of them are not held out; a few may be copies within a data set.
    """
    is_known = np.isin(images.digests(), run.training_images())
    is_unpaired = run.read_config().model.data == "unpaired"  # A and B then come from different pairs
    count = int((is_known.any(axis=1) if is_unpaired else is_known.all(axis=1)).sum())
    if count > len(images) / 2:
        raise ConfigError(
            f"{run.place} was trained on {count} of the {counted(len(images), 'pair')} to judge on, under "
            "whatever names; give pairs that are held out, or the run's --split-seed"
        )
    return count


def is_folder_of_pictures(model: str) -> bool:
    """Whether a folder is meant that holds pictures, in itself or deeper, and no model."""
    path = Path(model).expanduser()
    if find_run(model) is not None or not path.is_dir():
        return False
    if any(is_image_file(each) for each in path.iterdir()):
        return True
    return not formats.models_inside(path) and any(is_image_file(each) for each in path.rglob("*"))


def short_names(models: Sequence[str]) -> list[str]:
    """Returns the last part of each path, as many parts as tell the models apart."""

    def full(model: str) -> str:
        path = os.path.expanduser(model)
        is_here = os.path.exists(path) or os.path.exists(path.rpartition("@")[0])
        return os.path.abspath(path) if is_here else model  # x is a/x, and another b/x

    parts = [[part for part in full(each).replace("\\", "/").split("/") if part] for each in models]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(each[-count:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    raise ConfigError("a model is given twice; every one is compared with every other")


def _model(name: str, model: str, dataset: ImageDataset, config: TrainConfig, raw_weights: bool) -> Judged:
    run, step = find_run(model) or (None, None)
    try:
        if run is None:
            translate = formats.load(model)
        else:
            own = run.read_config()
            _refuse_noise(model, all(each.noise for each in model_for(own).published_generators().values()))
            _refuse_other_task(model, own.data.task, config.data.task)
            direction = config.data.direction if dataset.task is None else None
            raw = raw_weights and own.optimization.ema_decay > 0  # others have no averages
            translate = formats.load(model, direction=direction, raw_weights=raw)
    except RunError as error:
        if run is not None or not Path(model).expanduser().is_dir():
            raise
        raise RunError(f"{model} has no pictures, and {error}") from error
    _refuse_noise(model, bool(translate.noise))
    own_size = run.read_config().data.size if run else None

    def paint(_: str, given: np.ndarray, target: np.ndarray) -> np.ndarray:
        # An exported model knows no size of its own: it gets what a run of the compared size gets.
        # What a task has made is of the compared size.
        if dataset.task is None:
            side = dataset.sides[0]
            given = np.asarray(resized(tf.constant(given), own_size or target.shape[:2], side))
            known = True if side.missing is None else has_value(given, side.missing).numpy()
            given = _rescaled(given, side, translate.input_range, is_input=True)
            given = np.where(known, given, given.dtype.type(np.iinfo(given.dtype).max // 2 + 1))
        else:
            given = _rescaled(given, dataset.sides[1], translate.input_range, is_input=True)
        picture = _rescaled(translate(given), dataset.sides[1], translate.output_range, is_input=False)
        return resized(tf.constant(picture), target.shape[:2], PixelFormat(translate.output_channels)).numpy()

    if run is not None and step is None:
        step = run.latest_step()
    return Judged(name, model, step, run, paint)


def _refuse_other_task(model: str, own: str, judged: str) -> None:
    if own != judged:
        raise ConfigError(f"{model} was trained with --task {own}, and what is judged is {judged}")


def _refuse_noise(model: str, is_from_noise: bool) -> None:
    if is_from_noise:
        raise ConfigError(f"{model} makes images from noise, which have no targets to be compared with")


def _rescaled(levels: np.ndarray, side: PixelFormat, values: ValueRange | None, is_input: bool) -> np.ndarray:
    """Returns levels of a side as those of a model's own range of values, or the other way round."""
    of_side = side.value_range or (0, 2**side.bits - 1)
    if values is None or values == of_side:
        return levels
    now, wanted = (of_side, values) if is_input else (values, of_side)
    return quantize(dequantize(levels, now), wanted)


def _folder(name: str, path: Path, wanted: Sequence[str], side: PixelFormat) -> Judged:
    files, doubles = files_by_name(path)
    for finding in same_names(doubles):
        raise DataError(f"{path}: {finding.line(path)}")
    missing = [each for each in wanted if each not in files]
    if missing:
        others = f" and {len(missing) - 1} others" if missing[1:] else ""
        raise DataError(
            f"{path} has no picture for '{missing[0]}'{others} of the data set; its names must be those of "
            f"the inputs (it has {', '.join(list(files)[:3])} ...)"
        )

    def paint(image_name: str, _: np.ndarray, target: np.ndarray) -> np.ndarray:
        file = files[image_name]
        picture = load_image(file, target.shape[-1], target.dtype, side.value_range)
        if picture.shape[:2] != target.shape[:2]:
            (height, width), size = picture.shape[:2], target.shape[:2]
            can_be_compared = all(map(configs.IMAGE_SIDE.contain, (height, width)))
            other_size = (
                f"give --image-size {height} {width} (height and width), or " if can_be_compared else ""
            )
            raise DataError(
                f"{file} is {width}x{height} pixels, its target {size[1]}x{size[0]}; {other_size or 'give '}"
                "pictures of the targets' size"
            )
        return picture

    return Judged(name, str(path), None, None, paint)
