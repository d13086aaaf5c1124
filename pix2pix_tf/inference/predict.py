"""``pix2pix predict``: translates images and folders of images to PNG files, giants to TIFF."""

from __future__ import annotations

import dataclasses
import glob
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from pix2pix_tf import formats
from pix2pix_tf.config import Direction
from pix2pix_tf.data.layout import walk
from pix2pix_tf.data.pipeline import resized, resized_input
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.pixels import from_unit_range, mask_of, to_unit_range, with_mask
from pix2pix_tf.data.reading import KINDS, is_image_file, is_unread_image, read_image
from pix2pix_tf.data.reading.numbers import dequantize
from pix2pix_tf.data.writing import SUFFIXES, encode_image, suffix_for, write_tiff
from pix2pix_tf.errors import ConfigError, DataError
from pix2pix_tf.files import write_whole
from pix2pix_tf.formats import refuse_missing
from pix2pix_tf.formats.translator import Translator, naming
from pix2pix_tf.inference.options import PredictOptions
from pix2pix_tf.inference.tiling import MOST_PIXELS, tile_for, translate_in_tiles
from pix2pix_tf.models.registry import model_for
from pix2pix_tf.runs import OpenedRun, find_run
from pix2pix_tf.validation import check_range
from pix2pix_tf.wording import counted, flag, quoted

TILED_SUFFIX = ".tif"


def predict(options: PredictOptions) -> str:
    """Translates every image of the inputs into a file below ``out``, or makes images from noise.

    Grey and RGB become PNGs, of 16 bits where the model was trained on such; other channels and measurements
    become TIFFs, or ``.npy`` where that is what was given. What is too large to be translated whole is
    translated in tiles, to a TIFF.

    Returns:
        One line that says what was written.
    """
    model, inputs, out, direction = options.model, options.inputs, options.out, options.direction
    check_range("input_range", options.input_range)
    check_range("output_range", options.output_range)
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {quoted(out)} is a file; name a folder")
    run = find_run(model)
    if run is None:
        refuse_missing(model)
    half = _input_half(run or model, direction) if options.side_by_side else None
    if direction is not None and half is None and run is None:
        raise ConfigError("--direction says which half of a pair is the input; give --side-by-side with it")
    # Before the model is loaded, which takes longer.
    images, unread = _images_below(inputs, out)
    jobs = _outputs_of(images, out)
    translator = formats.load(
        run or model,
        step=options.step,
        direction=direction if run else None,
        precision=options.precision,
        stochastic=options.stochastic or None,
        raw_weights=options.raw_weights,
        seed=options.seed if run else 0,
    )
    if options.input_range is not None:
        translator.input = dataclasses.replace(translator.input, value_range=options.input_range)
    if options.output_range is not None:
        translator.output = dataclasses.replace(translator.output, value_range=options.output_range)
    noise = bool(translator.noise)
    conditions = (  # whether it was given, whether the model makes it have an effect, and why not
        ("count", options.count is not None, noise, "which translates images"),
        ("seed", options.seed != 0, noise or translator.stochastic, "which has no noise, or its own"),
        ("masks", options.masks is not None, translator.inpaints, "which paints no holes"),
        ("fit_input", options.fit_input, translator.size is not None, "which takes images of any size"),
        ("tile_size", options.tile_size is not None, not noise, "which makes images from noise"),
        ("side_by_side", options.side_by_side, not noise, "which makes images from noise"),
        ("input_range", options.input_range is not None, not noise, "which makes images from noise"),
        ("skip_bad_images", options.skip_bad_images, not noise, "which makes images from noise"),
    )
    for name, is_given, is_read, why in conditions:
        if is_given and not is_read:
            raise ConfigError(f"{flag(name)} has no effect with {model}, {why}")
    if options.fit_input and options.tile_size is not None:
        raise ConfigError("--fit-input takes an image whole, --tile-size cuts it; give one of them")
    if noise:
        return _from_noise(
            translator, inputs, out, 16 if options.count is None else options.count, options.seed
        )
    if not inputs:
        raise DataError("nothing to translate: name at least one image or folder")
    fitted = translator.size if options.fit_input else None
    mask_of = {source: _mask_of(options.masks, target.relative_to(out)) for source, target in jobs.items()}
    skipped, clipped = 0, [0, 0]
    for source, target in tqdm(
        jobs.items(), unit="image", desc="translating", dynamic_ncols=True, leave=False, disable=None
    ):
        try:
            image = translator.load_input(source, MOST_PIXELS, clipped)
            image = _half_of(source, image, half)
            image = _with_mask(image, source, mask_of[source], translator)
        except DataError:
            if not options.skip_bad_images:
                raise
            skipped += 1
            continue
        with naming(source):
            _write_translation(translator, image, source, target, options.tile_size, fitted, half)
    left_out = f", {skipped} unreadable left out" if skipped else ""
    if unread:
        left_out += f"; passed over, of a kind that can't be read: {unread[0].name}"
        left_out += f" and {len(unread) - 1} more" if unread[1:] else ""
    if clipped[0] and translator.input.value_range is not None:
        low, high = translator.input.value_range
        left_out += (
            f"; {clipped[0] / clipped[1]:.2%} of the inputs' values are outside of the model's range from "
        )
        left_out += f"{low:.6g} to {high:.6g}, and were clipped"
    return f"{out}: {counted(len(jobs) - skipped, 'image')} translated{left_out}"


def _write_translation(
    translator: Translator,
    image: np.ndarray,
    source: Path,
    target: Path,
    tile_size: int | None,
    fitted: tuple[int, int] | None,
    half: int | None,
) -> None:
    """Translates an image at its own size, in tiles where it is large, or at another."""
    image = translator.enlarged(image)
    tile = None if fitted else tile_for(translator, image.shape[:2], tile_size)
    if tile is not None:
        bands = translate_in_tiles(translator, image, tile)
        if (values := translator.output.value_range) is not None:
            bands = (dequantize(band, values) for band in bands)
        write_tiff(target.with_suffix(TILED_SUFFIX), bands, len(image))
        return
    if fitted is None:
        _write(target, translator(image), source, translator)
        return

    def with_missing() -> np.ndarray:
        return _half_of(source, translator.load_input(source, MOST_PIXELS, missing=0), half)

    if translator.inpaints or translator.enlarges > 1:  # alpha masks, and enlarged images, have other levels
        given = resized(tf.constant(image), fitted, translator.input).numpy()
    else:
        given = resized_input(image, with_missing, fitted, translator.input)
    picture = resized(tf.constant(translator(given)), image.shape[:2], translator.output)
    if translator.inpaints:  # what is known is still the photo's, not what resizing made of it
        known = from_unit_range(to_unit_range(tf.constant(image[..., :-1])), picture.dtype)
        picture = tf.where(mask_of(image), picture, known)
    _write(target, picture.numpy(), source, translator)


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
    """Returns the mask of the input whose output has that name."""
    if masks is None or not masks.is_dir():
        if masks is not None and not masks.exists():
            raise DataError(f"--masks {quoted(masks)}: there is no such image or folder")
        return masks
    place = masks / name
    found = [path for path in sorted(place.parent.glob(f"{glob.escape(name.stem)}.*")) if is_image_file(path)]
    if len(found) != 1:
        many = f"{len(found)} masks" if found else "no mask"
        raise DataError(
            f"--masks {quoted(masks)} has {many} for {name.with_suffix('')}; give one of its name"
        )
    return found[0]


def _with_mask(image: np.ndarray, source: Path, mask: Path | None, translator: Translator) -> np.ndarray:
    """Returns an image with its hole, if it is for a model that paints holes."""
    if not translator.inpaints:
        return image
    if mask is not None:
        pixels = read_image(mask, PixelFormat(1))
        with naming(source):
            image = with_mask(image, pixels)
    if not mask_of(image).any():
        raise DataError(f"{source}: nothing is to be painted; make pixels transparent, or give --masks")
    return image


def _write(target: Path, image: np.ndarray, source: Path, translator: Translator) -> None:
    """Writes a translation, in a kind of file that can hold it."""
    suffix = suffix_for(source, image.shape[2], translator.output.value_range is not None)
    write_whole(target.with_suffix(suffix), encode_image(image, suffix, translator.output.value_range))


def _input_half(model: str | Path | OpenedRun, direction: Direction | None) -> int:
    """Returns which half of a pair is the model's input: 0 for the left one, which is A."""
    found: str | None = direction
    if direction is None and isinstance(model, OpenedRun):
        config = model.config
        if config.data.task != "pairs":  # made of the target
            return 1 if config.data.direction == "AtoB" else 0
        if model.directory.imported() != {"direction": None}:
            found = next(iter(model_for(config).published_generators()))
    if found is None:
        raise ConfigError(
            f"--side-by-side needs --direction AtoB or BtoA with {model}, which doesn't say which half of a "
            "pair its input was"
        )
    return 0 if found == "AtoB" else 1


def _images_below(inputs: Sequence[Path], out: Path) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """Finds the images, and what is one by its name but of a kind that isn't read.

    What lies in ``out`` already is an output of an earlier call, even where ``out`` is inside an input.

    Returns:
        Each image with its path below ``out``, still with its own suffix; and the unread files.
    """
    images: list[tuple[Path, Path]] = []
    unread: list[Path] = []
    for given in inputs:
        if given.is_dir():
            nested = out.resolve() if given.resolve() in out.resolve().parents else None
            files = sorted(walk(given, Path.is_file))
            unread += filter(is_unread_image, files)
            found = [path for path in files if is_image_file(path) and nested not in path.resolve().parents]
            if not found:
                raise DataError(f"{given} has no images ({KINDS}), nor has a folder below it")
            images += [(path, path.relative_to(given)) for path in found]
        elif given.exists():
            images.append((given, Path(given.name)))
        else:
            raise DataError(f"there is no image or folder {given}")
    return images, unread


def _outputs_of(images: Sequence[tuple[Path, Path]], out: Path) -> dict[Path, Path]:
    """Returns the output file of every image, where that is translated whole."""
    outputs: dict[Path, Path] = {}
    taken: dict[str, Path] = {}
    sources = {source.resolve() for source, _ in images}
    for source, name in images:
        target = out / name.with_suffix(".png")  # or another ending, see `suffix_for`
        key = str(target).casefold()  # some file systems don't tell A.png from a.png
        if taken.setdefault(key, source) != source:
            raise DataError(f"{taken[key]} and {source} would both become {target}; translate them apart")
        if any(target.with_suffix(suffix).resolve() in sources for suffix in SUFFIXES):
            raise DataError(f"{target} is an input, and would be overwritten; give another --out")
        outputs[source] = target
    return outputs


def _half_of(path: Path, pair: np.ndarray, half: int | None) -> np.ndarray:
    """Returns a half of a pair, as `split_side_by_side` cuts it, without a copy; for ``None`` all of it."""
    if half is None:
        return pair
    width = pair.shape[1] // 2
    if not width:
        raise DataError(f"{path}: a side-by-side pair must be at least 2 pixels wide")
    return pair[:, -width:] if half else pair[:, :width]
