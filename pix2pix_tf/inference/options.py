"""Options of ``pix2pix predict``. Doesn't import TensorFlow, so that ``--help`` is fast."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from pix2pix_tf.config import Direction, Precision
from pix2pix_tf.validation import COMMON, Limits

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm")


@dataclasses.dataclass(frozen=True)
class PredictOptions:
    """Translates images, folders or a video with a trained model.

    Outputs have the size of their inputs. They are PNGs, or TIFFs if the image is translated in tiles or a
    PNG can't store it.

    Examples:
      pix2pix predict emoji-small drawing.png --out outputs
      pix2pix predict runs/facades@best photos --out outputs
    """

    model: Positional[str]
    """A run directory or one of its checkpoints (RUN@best, RUN@4000), a SavedModel directory, a .tflite
    or .onnx file, the URL of a served model (http://host:8501/v1/models/NAME), or a shipped model:
    emoji-small, facades-small, procedural-small."""
    inputs: Positional[tuple[Path, ...]]
    """Images, or folders of images (searched recursively); none if the model generates images from noise.
    For a video: one video, or one folder of frames."""
    out: Path
    """Output folder; or a video, if the suffix is .mp4, .mov, .mkv or .webm (needs the extra 'video')."""
    masks: Annotated[Path | None, COMMON] = None
    """Masks for '--task inpaint', white where the model fills in pixels: an image for all inputs, or a folder
    with an image of the same name for each input. Transparent pixels are filled in too."""
    side_by_side: Annotated[bool, COMMON] = False
    """The inputs are side-by-side pairs: translate the input half."""
    direction: Annotated[Direction | None, COMMON] = None
    """Selects the generator of a run that has two, and the input side of pairs (A is the left half). Exported
    models have no default."""
    count: Annotated[int | None, Limits(1, 1_000_000), COMMON] = None
    """Number of images to generate from noise; 16 by default."""
    step: int | None = None
    """Step of a run's checkpoint; the newest by default."""
    precision: Annotated[Precision, COMMON] = "float32"
    """'float32' gives identical outputs everywhere; mixed precision may be faster and differs slightly."""
    stochastic: bool = False
    """Keep dropout as a source of noise, even if the run was trained without --stochastic."""
    input_range: tuple[float, float] | None = None
    """Minimum and maximum of the inputs' values, for measurements; the model's range by default."""
    output_range: tuple[float, float] | None = None
    """Minimum and maximum of the outputs' values; outputs are written in this range."""
    raw_weights: bool = False
    """Use a run's raw weights instead of their moving average."""
    seed: Annotated[int, Limits(0, 2**31 - 1)] = 0
    """Seed of the noise, for --stochastic and for images from noise."""
    side_by_side_output: bool = False
    """Write a video with the input on the left and the output on the right."""
    frame_rate: Annotated[float | None, Limits(0.1, 1000)] = None
    """Frames per second of a video made from a folder; 25 by default."""
    tile_size: Annotated[int | None, Limits(64)] = None
    """Translate images with a longer side in tiles of this size, to TIFF. By default, images of more than
    16.7 million pixels are translated in tiles of 1024."""
    fit_input: bool = False
    """For models of a fixed size (.tflite): resize inputs to this size, and outputs back."""
    skip_bad_images: Annotated[bool, COMMON] = False
    """Skip and count unreadable images or frames instead of stopping."""
