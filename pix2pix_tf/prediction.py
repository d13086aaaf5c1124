"""``pix2pix predict``: translates images and folders of images to PNG files."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from pix2pix_tf import translators
from pix2pix_tf.config import Direction, Precision
from pix2pix_tf.data.images import KINDS, is_image_file, is_unread_image, load_image
from pix2pix_tf.data.pixels import split_side_by_side
from pix2pix_tf.data.transparency import has_hole, with_hole
from pix2pix_tf.data.writing import SUFFIXES, encode_image, suffix_for
from pix2pix_tf.errors import ConfigError, DataError
from pix2pix_tf.files import write_whole
from pix2pix_tf.models.registry import model_for
from pix2pix_tf.runs import find_run
from pix2pix_tf.translators import Translator, is_run, naming, refuse_missing
from pix2pix_tf.wording import counted


def predict(
    model: str | Path,
    inputs: Sequence[Path],
    out: Path,
    *,
    masks: Path | None = None,
    side_by_side: bool = False,
    direction: Direction | None = None,
    count: int | None = None,
    step: int | None = None,
    precision: Precision = "float32",
    stochastic: bool | None = None,
    input_range: tuple[float, float] | None = None,
    output_range: tuple[float, float] | None = None,
    raw_weights: bool = False,
    seed: int = 0,
    skip_bad_images: bool = False,
) -> str:
    """Translates every image of ``inputs`` into a file below ``out``, or makes images from noise.

    Grey and RGB become PNGs, of 16 bits where the model was trained on such; other channels and measurements
    become TIFFs, or ``.npy`` where that is what was given.

    Args:
        model: as in :func:`pix2pix_tf.load`.
        inputs: images, or folders whose images are found at any depth; their subfolders are kept. None for a
            model that takes noise.
        out: the folder that the translations go to, made where it is missing.
        masks: of a model that paints holes, an image that is white where all inputs are to be painted, or a
            folder with one for each input, at the same place and of the same name but for the suffix. Without
            masks, what is transparent is painted.
        side_by_side: the images are pairs; the half that the model takes is translated.
        direction: 'AtoB' or 'BtoA': which of a run's generators, and which half of a pair it takes, A being
            the left one; by default a run's own, the first where it has several.
        count: how many images a model makes from noise, 16 by default.
        step: of which checkpoint; the newest by default.
        precision: as in :func:`pix2pix_tf.load`.
        stochastic: as in :func:`pix2pix_tf.load`.
        input_range: lowest and highest value of the inputs' numbers; a run knows them.
        output_range: likewise of the translations.
        raw_weights: as in :func:`pix2pix_tf.load`.
        seed: of the noise.
        skip_bad_images: leave out images that can't be read instead of stopping.

    Returns:
        One line that says what was written.

    Raises:
        UserError: the model, an input or a combination of them can't be used.
        SystemFault: ``out`` can't be written, or a server can't be reached.
    """
    refuse_missing(model)
    of_run = is_run(model)
    half = _input_half(model, direction) if side_by_side else None
    if direction is not None and half is None and not of_run:
        raise ConfigError("`direction` says which half of a pair is the input; give `side_by_side` with it")
    # Before the model is loaded, which takes longer.
    jobs = _outputs_of(list(_images_below(inputs, out)), out)
    translator = translators.load(
        model,
        step=step,
        direction=direction if of_run else None,
        precision=precision,
        stochastic=stochastic,
        raw_weights=raw_weights,
        seed=seed if of_run else 0,
    )
    translator.input_range = input_range or translator.input_range
    translator.output_range = output_range or translator.output_range
    if translator.noise:
        if side_by_side:
            raise ConfigError("`side_by_side` has no meaning for a model that makes images from noise")
        return _from_noise(translator, inputs, out, 16 if count is None else count, seed)
    if masks is not None and not translator.paints_holes:
        raise ConfigError(f"`masks` has no meaning for {model}, which paints no holes")
    if count is not None:
        raise ConfigError("`count` has no meaning for a model that translates images")
    if not inputs:
        raise DataError("nothing to translate: name at least one image or folder")
    if seed and not of_run:
        raise ConfigError(f"`seed` has no meaning for {model}: what was exported has its own noise, or none")
    skipped = 0
    for source, target in tqdm(
        jobs.items(), unit="image", desc="translating", dynamic_ncols=True, leave=False, disable=None
    ):
        try:
            image = translator.load_input(source)
            image = image if half is None else _half_of(source, image, half)
            image = _with_hole(image, source, _mask_of(masks, target.relative_to(out)), translator)
        except DataError:
            if not skip_bad_images:
                raise
            skipped += 1
            continue
        with naming(source):
            output = translator(translator.enlarged(image))
        _write(target, output, source, translator)
    left_out = f", {skipped} unreadable left out" if skipped else ""
    if unknown := _of_unknown_kinds(inputs):
        left_out += f"; passed over, of a kind that can't be read: {unknown[0].name}"
        left_out += f" and {len(unknown) - 1} more" if unknown[1:] else ""
    return f"{out}: {counted(len(jobs) - skipped, 'image')} translated{left_out}"


def _from_noise(translator: Translator, inputs: Sequence[Path], out: Path, count: int, seed: int) -> str:
    if inputs:
        raise ConfigError(f"the model makes images from noise, not from {inputs[0]}; leave the inputs out")
    random = np.random.default_rng(seed)
    for number in tqdm(range(count), unit="image", desc="making", leave=False, disable=None):
        image = translator(random.standard_normal(translator.noise, np.float32))
        target = out / f"{number:06d}.png"
        _write(target, image, target, translator)
    return f"{out}: {counted(count, 'image')} made from noise"


def _mask_of(masks: Path | None, name: Path) -> Path | None:
    """Returns the mask of the input whose output has that name.

    Raises:
        DataError: a folder of masks has none, or several.
    """
    if masks is None or not masks.is_dir():
        return masks
    place = masks / name
    found = [path for path in sorted(place.parent.glob(f"{glob.escape(name.stem)}.*")) if is_image_file(path)]
    if len(found) != 1:
        many = f"{len(found)} masks" if found else "no mask"
        raise DataError(f"`masks` {masks} has {many} for {name.with_suffix('')}")
    return found[0]


def _with_hole(image: np.ndarray, source: Path, mask: Path | None, translator: Translator) -> np.ndarray:
    """Returns an image with its hole, if it is for a model that paints holes.

    Raises:
        DataError: it has none, or its mask doesn't fit.
    """
    if not translator.paints_holes:
        return image
    if mask is not None:
        with naming(source):
            image = with_hole(image, load_image(mask, 1))
    if not has_hole(image):
        raise DataError(f"{source}: nothing is to be painted; make pixels transparent, or give `masks`")
    return image


def _write(target: Path, image: np.ndarray, source: Path, translator: Translator) -> None:
    """Writes a translation, in a kind of file that can hold it."""
    suffix = suffix_for(source, image.shape[2], translator.output_range is not None)
    write_whole(target.with_suffix(suffix), encode_image(image, suffix, translator.output_range))


def _input_half(model: str | Path, direction: Direction | None) -> int:
    """Returns which half of a pair is the model's input: 0 for the left one, which is A.

    Raises:
        ConfigError: only the user knows, and hasn't said.
    """
    found: str | None = direction
    of_run = find_run(model)
    if direction is None and of_run is not None:
        config = of_run[0].read_config()
        if config.data.task != "pairs":  # made of the target
            return 1 if config.data.direction == "AtoB" else 0
        found = next(iter(model_for(config).painters()))
    if found is None:
        raise ConfigError(
            f"`side_by_side` needs `direction` AtoB or BtoA with {model}: only a run knows which half of a "
            "pair its input was"
        )
    return 0 if found == "AtoB" else 1


def _images_below(inputs: Sequence[Path], out: Path) -> Iterator[tuple[Path, Path]]:
    """Yields (image, its path below ``out``, still with its own suffix).

    What lies in ``out`` already is an output of an earlier call, even where ``out`` is inside an input.

    Raises:
        DataError: an input is missing, or a folder has no images.
    """
    for given in inputs:
        if given.is_dir():
            nested = out.resolve() if given.resolve() in out.resolve().parents else None
            files = (path for path in given.rglob("*") if path.is_file() and is_image_file(path))
            found = sorted(path for path in files if nested not in path.resolve().parents)
            if not found:
                raise DataError(f"{given} has no images ({KINDS}), nor has a folder below it")
            yield from ((path, path.relative_to(given)) for path in found)
        elif given.exists():
            yield given, Path(given.name)
        else:
            raise DataError(f"there is no image or folder {given}")


def _of_unknown_kinds(inputs: Sequence[Path]) -> list[Path]:
    """Returns what lies in the folders and is an image by its name, but of a kind that isn't read."""
    files = (path for given in inputs if given.is_dir() for path in given.rglob("*") if path.is_file())
    return sorted(filter(is_unread_image, files))


def _outputs_of(images: Sequence[tuple[Path, Path]], out: Path) -> dict[Path, Path]:
    """Returns the output file of every image.

    Raises:
        DataError: two images would become one file, or an image would be overwritten.
    """
    outputs: dict[Path, Path] = {}
    taken: dict[str, Path] = {}
    sources = {source.resolve() for source, _ in images}
    for source, name in images:
        target = out / name.with_suffix(".png")  # or another ending, see `suffix_for`
        key = str(target).casefold()  # some file systems don't tell A.png from a.png
        if taken.setdefault(key, source) != source:
            raise DataError(f"{taken[key]} and {source} would both become {target}; translate them apart")
        if any(target.with_suffix(suffix).resolve() in sources for suffix in SUFFIXES):
            raise DataError(f"{target} is an input, and would be overwritten; give another `out`")
        outputs[source] = target
    return outputs


def _half_of(path: Path, pair: np.ndarray, half: int) -> np.ndarray:
    try:
        return split_side_by_side(tf.constant(pair))[half].numpy()
    except tf.errors.InvalidArgumentError as error:
        raise DataError(f"{path}: a side-by-side pair must be at least 2 pixels wide") from error
