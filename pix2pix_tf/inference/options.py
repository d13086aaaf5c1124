"""The options of ``pix2pix predict``, as the command line parses them; without TensorFlow."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from pix2pix_tf.config import Direction, Precision
from pix2pix_tf.validation import limited


@dataclasses.dataclass(frozen=True)
class PredictOptions:
    """Translates images or folders with a trained model; each output has its input's size. They are PNGs, but
    TIFFs where an image is too large to be translated whole or no PNG can hold it."""

    model: Positional[str]
    """A run directory, a SavedModel (its directory, or that of its versions), a .tflite or .onnx file, the
    URL of a model that TensorFlow Serving serves, http://host:8501/v1/models/NAME, or a model that comes with
    the package: facades-small, procedural-small."""
    inputs: Positional[tuple[Path, ...]]
    """Images, or folders of images (with their subfolders); none for a model that makes images from noise."""
    out: Path
    """The folder that the translated images go to."""
    masks: Path | None = None
    """Of a model that paints holes ('--task inpaint'): an image that is white where all inputs are to be
    painted, or a folder with one for each, of the same name. Transparent pixels are holes, too."""
    side_by_side: bool = False
    """The inputs are side-by-side pairs: translate the half that was the input in training."""
    direction: Direction | None = None
    """Which of a run's generators, where it has both, and which half of a pair it takes, A being the left
    one; a run knows its own, other models don't."""
    count: Annotated[int | None, *limited(1, 1_000_000)] = None
    """How many images a model makes from noise, 16 if not given."""
    step: int | None = None
    """Of a run, use the checkpoint of that step instead of the newest."""
    precision: Precision = "float32"
    """'float32' gives the same picture everywhere; the mixed ones may be faster and differ slightly."""
    stochastic: bool = False
    """Keep dropout as a source of noise, even if the run was trained without --stochastic."""
    input_range: tuple[float, float] | None = None
    """Lowest and highest value of the inputs' numbers, where they are measurements; a run knows them."""
    output_range: tuple[float, float] | None = None
    """Likewise of the translations, which are then written in these numbers."""
    raw_weights: bool = False
    """Of a run, use the weights of the step itself, not their moving average."""
    seed: Annotated[int, *limited(0, 2**31 - 1)] = 0
    """Decides the noise, of --stochastic and of images from noise."""
    tile_size: Annotated[int | None, *limited(64)] = None
    """Translate images larger than so many pixels a side in tiles of that size, to TIFF; if not given, images
    of more than 16.7 million pixels in tiles of 1024."""
    fit_input: bool = False
    """Of a model that takes images of one size only (.tflite): resize images to it, and the pictures back."""
    skip_bad_images: bool = False
    """Leave out images that can't be read, and count them, instead of stopping."""
