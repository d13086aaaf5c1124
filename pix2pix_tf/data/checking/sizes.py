"""Checks of sizes and counts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from pix2pix_tf.config import IMAGE_SIDE
from pix2pix_tf.data.checking.findings import Case, Finding, found
from pix2pix_tf.data.checking.sides import CheckedFolder, SideImage
from pix2pix_tf.data.layout import walk
from pix2pix_tf.data.reading import KINDS, conversion, is_unread_image
from pix2pix_tf.wording import counted

_FEW = 50  # the paper's smallest set has 400
_MOST_ENLARGED = 2.0
_MOST_DISTORTED = 2.0


def too_few(checked: CheckedFolder) -> Iterator[Finding]:
    """Yields that there is little to train on."""
    count = min(len(items) for items in checked.survey.splits.get("train", ((),)))
    if count < _FEW:
        message = f"only {counted(count, checked.item)} to train on: memorized rather than understood"
        yield Finding("warning", "too-few", message, "collect more; hundreds are usual")


def enlarged_and_distorted(checked: CheckedFolder) -> Iterator[Finding]:
    """Yields images that training would enlarge, and images that it would squeeze."""
    height, width = checked.data.size
    images = {image.file: image for side in checked.sides for image in side.images}.values()
    small = [each for each in images if max(height / each.height, width / each.width) >= _MOST_ENLARGED]
    size, ratio = f"the {width}x{height} of training", width / height
    if small:
        usual = Counter((each.height, each.width) for each in small).most_common(1)[0][0]
        message = f"much smaller than {size}: enlarged they are blurred, as outputs will be"
        fix = f"take larger ones, or {_instead(len(small) < len(images) / 2, *usual)}"
        yield from found("warning", "enlarged", "image", message, fix, _with_sizes(small))
    bent = [
        each
        for each in images
        if not 1 / _MOST_DISTORTED <= each.width / each.height / ratio <= _MOST_DISTORTED
    ]
    if bent:
        usual_ratio = float(np.median([each.width / each.height for each in bent]))
        sides = [
            32 * max(1, round(side / 32)) for side in (height / usual_ratio**0.5, width * usual_ratio**0.5)
        ]
        message = f"of quite another shape than {size}: squeezed into it"
        fix = f"crop them, or {_instead(len(bent) < len(images) / 2, *sides)}"
        yield from found("warning", "distorted", "image", message, fix, _with_sizes(bent))


def _instead(is_few: bool, height: float, width: float) -> str:
    """Returns the advice to train at the size of images that don't fit, if these aren't just a few."""
    if is_few:
        return "leave them out"
    smallest, largest = IMAGE_SIDE.low or 0, IMAGE_SIDE.high or math.inf
    sides = [round(min(max(side, smallest), largest)) for side in (height, width)]
    words = "" if sides[0] == sides[1] else " (height and width)"
    return f"train with --image-size {' '.join(map(str, dict.fromkeys(sides)))}{words}"


def _with_sizes(images: Sequence[SideImage]) -> list[Case]:
    return [Case((image.file,), f"{image.width}x{image.height}") for image in images]


def nothing_held_out(checked: CheckedFolder) -> Iterator[Finding]:
    """Yields that there is nothing to evaluate on."""
    if not {"val", "test"} & checked.survey.splits.keys():
        message = "none is held out: samples and figures will be of images that training sees"
        yield Finding("note", "nothing-held-out", message, "move some into val/")


def unread_images(checked: CheckedFolder) -> Iterator[Finding]:
    """Yields images of kinds that aren't read."""
    named = {file for finding in checked.survey.findings for case in finding.cases for file in case.files}
    files = [path for path in walk(checked.folder, is_unread_image) if path not in named]
    if files:
        message = f"passed over, of a kind that can't be read ({KINDS} can)"
        fix = f"{conversion(files[0])}, if they belong to the data"
        yield from found("note", "passed-over", "image", message, fix, [Case((file,)) for file in files])
