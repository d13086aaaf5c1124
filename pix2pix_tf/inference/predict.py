"""``pix2pix predict``: translates images, folders of images, and videos."""

from __future__ import annotations

import dataclasses
import glob
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from pix2pix_tf import formats
from pix2pix_tf.config import Direction
from pix2pix_tf.data.layout import KINDS, is_image_file, is_unread_image, walk
from pix2pix_tf.data.pipeline import resized, resized_input
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.pixels import from_unit_range, mask_of, to_unit_range, with_mask
from pix2pix_tf.data.reading import read_image
from pix2pix_tf.data.reading.numbers import dequantize
from pix2pix_tf.data.writing import SUFFIXES, encode_image, suffix_for, write_tiff
from pix2pix_tf.errors import ConfigError, DataError
from pix2pix_tf.files import refuse_file, write_whole
from pix2pix_tf.formats import ExportedModel, find_model
from pix2pix_tf.formats.translator import Translator, naming
from pix2pix_tf.inference.options import VIDEO_SUFFIXES, PredictOptions
from pix2pix_tf.inference.tiling import MOST_PIXELS, tile_for, translate_in_tiles
from pix2pix_tf.models.registry import model_for
from pix2pix_tf.runs import OpenedRun
from pix2pix_tf.validation import check_range
from pix2pix_tf.wording import counted, flag, quoted

TILED_SUFFIX = ".tif"


def predict(options: PredictOptions) -> str:
    """Translates every image of the inputs to a file below ``out``, or generates images from noise.

    Gray and RGB outputs are PNGs with the model's bit depth. Measurements and outputs with other channels are
    TIFFs, or ``.npy`` files if the input is one. Large images are translated in tiles, to a TIFF. If ``out``
    is a video, translates the frames of one input to it. Returns a one-line summary.
    """
    inputs, out = options.inputs, options.out
    check_range("input_range", options.input_range)
    check_range("output_range", options.output_range)
    if out.suffix.lower() in VIDEO_SUFFIXES:
        return _to_video(options)
    for name in ("side_by_side_output", "frame_rate"):
        if getattr(options, name):
            raise ConfigError(f"{flag(name)} is for videos; give a video as --out, such as out.mp4")
    refuse_file(out)
    model = find_model(options.model)
    half = _input_half(model, options.direction) if options.side_by_side else None
    # Checks the inputs before loading the model, which takes longer.
    jobs, unread = _jobs(inputs, out)
    translator = _load(model, options)
    if translator.noise:
        return _from_noise(translator, options)
    if not inputs:
        raise DataError("no inputs; give at least one image or folder to translate")
    masks = {source: _mask_file(options.masks, target.relative_to(out)) for source, target in jobs.items()}
    skipped, clipped = 0, [0, 0]
    for source, target in tqdm(
        jobs.items(), unit="image", desc="translating", dynamic_ncols=True, leave=False, disable=None
    ):
        try:
            image = translator.load_input(source, MOST_PIXELS, clipped)
            image = _half_of(source, image, half)
            image = _with_mask(image, source, masks[source], translator)
        except DataError:
            if not options.skip_bad_images:
                raise
            skipped += 1
            continue
        with naming(source):
            _write_translation(translator, image, source, target, options, half)
    summary = f"{out}: {counted(len(jobs) - skipped, 'image')} translated"
    summary += f", {skipped} unreadable skipped" if skipped else ""
    if unread:
        more = f" and {len(unread) - 1} more" if unread[1:] else ""
        summary += f"; skipped, of an unsupported format: {unread[0].name}{more}"
    if clipped[0] and translator.input.value_range is not None:
        low, high = translator.input.value_range
        summary += f"; {clipped[0] / clipped[1]:.2%} of the inputs' values were clipped to the model's range "
        summary += f"from {low:.6g} to {high:.6g}"
    return summary


def _to_video(options: PredictOptions) -> str:
    """Translates a video or a folder of frames to a video, each frame as an image."""
    try:
        from pix2pix_tf.inference.video import check_options, open_clip, translate_clip
    except ImportError as error:
        raise ConfigError(
            f"--out {quoted(options.out)}: videos need PyAV; pip install 'pix2pix-tf[video]', or in a clone "
            "pip install -e '.[video]'"
        ) from error
    check_options(options)
    [source] = options.inputs
    with open_clip(source, options.frame_rate) as clip:
        model = find_model(options.model)
        translator = _load(model, options)
        if translator.noise or translator.inpaints:
            reason = "generates images from noise" if translator.noise else "needs a mask for each image"
            raise ConfigError(f"--out {quoted(options.out)} is a video, but {model} {reason}; give a folder")
        if translator.input.value_range is not None and not source.is_dir():
            raise DataError(f"{source}: a video, but {model} takes measurements; give a folder of frames")

        def translated(image: np.ndarray) -> np.ndarray:
            tile = None if options.fit_input else tile_for(translator, image.shape[:2], options.tile_size)
            if tile is not None:
                return np.concatenate(list(translate_in_tiles(translator, image, tile)))
            return _translated(translator, image, translator.size if options.fit_input else None)

        return translate_clip(clip, translator, translated, options)


def _load(model: OpenedRun | ExportedModel, options: PredictOptions) -> Translator:
    """Loads the model; raises `ConfigError` if an option has no effect with it."""
    is_run = isinstance(model, OpenedRun)
    if options.direction is not None and not options.side_by_side and not is_run:
        raise ConfigError("--direction selects the input half of a pair; it needs --side-by-side")
    translator = formats.load(
        model,
        step=options.step,
        direction=options.direction if is_run else None,
        precision=options.precision,
        stochastic=options.stochastic or None,
        raw_weights=options.raw_weights,
        seed=options.seed if is_run else 0,
    )
    if options.input_range is not None:
        translator.input = dataclasses.replace(translator.input, value_range=options.input_range)
    if options.output_range is not None:
        translator.output = dataclasses.replace(translator.output, value_range=options.output_range)
    noise = bool(translator.noise)
    from_noise = "which generates images from noise"
    conditions = (  # option, whether the model uses it, and the reason if it doesn't
        ("count", noise, "which translates images"),
        ("seed", noise or translator.stochastic, "which has no seeded noise"),
        ("masks", translator.inpaints, "which was not trained with --task inpaint"),
        ("fit_input", translator.size is not None, "which accepts images of any size"),
        *((name, not noise, from_noise) for name in ("tile_size", "side_by_side", "input_range")),
        ("skip_bad_images", not noise, from_noise),
    )
    for name, is_used, reason in conditions:
        if getattr(options, name) not in (None, False, 0) and not is_used:
            raise ConfigError(f"{flag(name)} has no effect with {model}, {reason}")
    if options.fit_input and options.tile_size is not None:
        raise ConfigError("--fit-input and --tile-size can't be combined; give one of them")
    return translator


def _write_translation(
    translator: Translator,
    image: np.ndarray,
    source: Path,
    target: Path,
    options: PredictOptions,
    half: int | None,
) -> None:
    """Translates an image in one pass, in tiles, or resized to the model's size, and writes it."""
    image = translator.enlarged(image)
    fitted = translator.size if options.fit_input else None
    tile = None if fitted else tile_for(translator, image.shape[:2], options.tile_size)
    if tile is not None:
        bands = translate_in_tiles(translator, image, tile)
        if (values := translator.output.value_range) is not None:
            bands = (dequantize(band, values) for band in bands)
        write_tiff(target.with_suffix(TILED_SUFFIX), bands, len(image), translator.output.has_alpha)
        return

    def with_missing() -> np.ndarray:
        return _half_of(source, translator.load_input(source, MOST_PIXELS, missing=0), half)

    _write(target, _translated(translator, image, fitted, with_missing), source, translator)


def _translated(
    translator: Translator,
    image: np.ndarray,
    fitted: tuple[int, int] | None,
    with_missing: Callable[[], np.ndarray] | None = None,
) -> np.ndarray:
    """Translates an image in one pass, resized to the model's size if ``fitted``.

    ``with_missing`` returns the image with 0 in missing pixels, if it may have some.
    """
    if fitted is None:
        return translator(image)
    # Masks and enlarged values are kept.
    if with_missing is None or translator.inpaints or translator.enlarges > 1:
        given = resized(tf.constant(image), fitted, translator.input).numpy()
    else:
        given = resized_input(image, with_missing, fitted, translator.input)
    output = resized(tf.constant(translator(given)), image.shape[:2], translator.output)
    if translator.inpaints:  # keeps the photo's known pixels without resizing
        known = from_unit_range(to_unit_range(tf.constant(image[..., :-1])), output.dtype)
        output = tf.where(mask_of(image), output, known)
    return output.numpy()


def _from_noise(translator: Translator, options: PredictOptions) -> str:
    if options.inputs:
        raise ConfigError(f"{options.inputs[0]}: the model generates images from noise; give no inputs")
    count = 16 if options.count is None else options.count
    random = np.random.default_rng(options.seed)
    for number in tqdm(range(count), unit="image", desc="generating", leave=False, disable=None):
        image = translator(random.standard_normal(translator.noise, np.float32))
        target = options.out / f"{number:06d}.png"
        _write(target, image, target, translator)
    return f"{options.out}: {counted(count, 'image')} generated from noise"


def _mask_file(masks: Path | None, name: Path) -> Path | None:
    """Returns the mask file for an input; ``name`` is the output's path below the output folder."""
    if masks is not None and not masks.exists():
        raise DataError(f"--masks {quoted(masks)}: the image or folder doesn't exist")
    if masks is None or not masks.is_dir():
        return masks
    place = masks / name
    found = [path for path in sorted(place.parent.glob(f"{glob.escape(name.stem)}.*")) if is_image_file(path)]
    if len(found) != 1:
        many = f"{len(found)} masks" if found else "no mask"
        raise DataError(
            f"--masks {quoted(masks)} has {many} for {name.with_suffix('')}; give exactly one of this name"
        )
    return found[0]


def _with_mask(image: np.ndarray, source: Path, mask: Path | None, translator: Translator) -> np.ndarray:
    """Adds the mask to an image if the model inpaints."""
    if not translator.inpaints:
        return image
    if mask is not None:
        pixels = read_image(mask, PixelFormat(1))
        with naming(source):
            image = with_mask(image, pixels)
    if not mask_of(image).any():
        raise DataError(f"{source}: no masked pixels; make some transparent, or use --masks")
    return image


def _write(target: Path, image: np.ndarray, source: Path, translator: Translator) -> None:
    """Writes an output in a format that can store it."""
    suffix = suffix_for(source, translator.output)
    write_whole(target.with_suffix(suffix), encode_image(image, suffix, translator.output.value_range))


def _input_half(model: OpenedRun | ExportedModel, direction: Direction | None) -> int:
    """Returns the half of a pair that is the model's input: 0 for A on the left, 1 for B."""
    side: str | None = direction
    if direction is None and isinstance(model, OpenedRun):
        config = model.config
        if config.data.task != "pairs":  # inputs are made from the target side
            return 1 if config.data.direction == "AtoB" else 0
        if model.records_direction:
            side = next(iter(model_for(config).published_generators()))
    if side is None:
        raise ConfigError(
            f"{model} declares no direction; with --side-by-side, give --direction AtoB or BtoA"
        )
    return 0 if side == "AtoB" else 1


def _jobs(inputs: Sequence[Path], out: Path) -> tuple[dict[Path, Path], list[Path]]:
    """Returns each image's output file, whose suffix may change, and the unsupported files.

    If ``out`` is inside an input folder, its files are earlier outputs and are skipped.
    """
    images: list[tuple[Path, Path]] = []  # with the path below `out`
    unread: list[Path] = []
    for given in inputs:
        if given.is_dir():
            nested = out.resolve() if given.resolve() in out.resolve().parents else None
            files = sorted(walk(given, Path.is_file))
            unread += filter(is_unread_image, files)
            found = [path for path in files if is_image_file(path) and nested not in path.resolve().parents]
            if not found:
                raise DataError(f"{given} and its subfolders have no images ({KINDS})")
            images += [(path, path.relative_to(given)) for path in found]
        elif given.suffix.lower() in (*VIDEO_SUFFIXES, ".avi", ".mpg", ".ts", ".m4v") and given.exists():
            raise DataError(f"{given} is a video; give a video as --out too, such as --out out.mp4")
        elif given.exists():
            images.append((given, Path(given.name)))
        else:
            raise DataError(f"{given}: the image or folder doesn't exist")
    jobs: dict[Path, Path] = {}
    taken: dict[str, Path] = {}
    sources = {source.resolve() for source, _ in images}
    for source, name in images:
        target = out / name.with_suffix(".png")
        key = str(target).casefold()  # some file systems ignore case
        if taken.setdefault(key, source) != source:
            raise DataError(
                f"{taken[key]} and {source} have the same output {target}; translate them separately"
            )
        if any(target.with_suffix(suffix).resolve() in sources for suffix in SUFFIXES):
            raise DataError(f"{target} is an input; choose another --out")
        jobs[source] = target
    return jobs, unread


def _half_of(path: Path, pair: np.ndarray, half: int | None) -> np.ndarray:
    """Returns a view of one half of a pair, or of the whole image if ``half`` is ``None``."""
    if half is None:
        return pair
    width = pair.shape[1] // 2
    if not width:
        raise DataError(f"{path}: a side-by-side pair must be at least 2 pixels wide")
    return pair[:, -width:] if half else pair[:, :width]
