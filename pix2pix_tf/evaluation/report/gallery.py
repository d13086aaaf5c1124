"""Selects the images of the report and embeds them in the page."""

from __future__ import annotations

import base64
import dataclasses
import functools
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jinja2.utils import htmlsafe_json_dumps
from PIL import Image

from pix2pix_tf.data.pixels import as_shown
from pix2pix_tf.evaluation.report.text import JSON_OPTIONS
from pix2pix_tf.evaluation.results import Evaluation
from pix2pix_tf.files import printable

LONGEST_SIDE = 512  # pixels of an embedded image

# WebP qualities, best first. Loss is hard to see even at the lowest. If the page is still too large, it shows
# fewer images, because a lower quality would blur the details that matter.
_QUALITIES = (95, 90, 85, 80)


@dataclasses.dataclass(frozen=True)
class ReportImage:
    """One evaluated image: integer arrays [height, width, channels], and its metrics."""

    name: str
    input: np.ndarray
    target: np.ndarray
    outputs: dict[str, np.ndarray]  # by model
    values: Mapping[str, Mapping[str, float]]  # by model and metric


@dataclasses.dataclass(frozen=True)
class Selection:
    """The images on the page.

    ``entries`` has the script's data for each image, with data URIs. ``worst`` and ``best`` count the images
    selected for their rank; both are 0 if all images are shown.
    """

    entries: Sequence[dict[str, Any]] = ()
    worst: int = 0
    best: int = 0

    def embedded(self) -> dict[str, Any]:
        """Returns the script's data; equal images are stored once and referred to by index."""
        uris: dict[str, int] = {}
        images = [
            entry | {"views": [uris.setdefault(uri, len(uris)) for uri in entry["views"]]}
            for entry in self.entries
        ]
        return {"uris": list(uris), "images": images}

    def size(self) -> int:
        """Returns an upper bound of its bytes on the page."""
        return len(printable(str(htmlsafe_json_dumps(self.embedded(), **JSON_OPTIONS))).encode())


def select(evaluation: Evaluation, images: Sequence[ReportImage], room: int) -> Selection:
    """Selects all images at the best quality that fits ``room`` bytes, else fewer at the lowest quality."""
    metric, total = evaluation.metrics[0], len(images)

    def mean_badness(index: int) -> float:
        values = [values[metric.name] for values in images[index].values.values()]
        return sum(evaluation.badness(metric, value) for value in values) / len(values)

    ranking = sorted(range(total), key=mean_badness, reverse=True)

    def selecting(quality: int) -> Callable[[int], Selection]:
        entry = functools.cache(lambda index: _entry(evaluation, images[index], quality))

        def selection(count: int) -> Selection:
            places, worst, best = _spread(total, count)
            return Selection([entry(index) for index in sorted(ranking[at] for at in places)], worst, best)

        return selection

    for quality in _QUALITIES:
        selection, tried = selecting(quality), min(8, total)
        guess = int(1.1 * tried * room / selection(tried).size())
        if guess >= total and (everything := selection(total)).size() <= room:
            return everything
    count = max(0, min(guess, total))
    while (size := selection(count).size()) > room and count:
        count = max(0, min(count - 1, int(count * room / size)))
    return selection(count)


def _entry(evaluation: Evaluation, image: ReportImage, quality: int) -> dict[str, Any]:
    """Returns the script's data of an image; its views are the input, the outputs and the target."""
    models = [model.name for model in evaluation.models]
    values = [
        {
            metric.name: [float(f"{value:.6g}"), evaluation.badness(metric, value)]
            for metric in evaluation.metrics
            if (value := image.values[model].get(metric.name)) is not None
        }
        for model in models
    ]
    # Real and generated images use the same codec, so that artifacts don't give the answer away.
    shown = [_data_uri(each, quality) for each in (*(image.outputs[model] for model in models), image.target)]
    return {
        "name": image.name,
        "views": [_data_uri(image.input, quality, may_be_lossless=True), *shown],
        "values": values,
    }


def _data_uri(image: np.ndarray, quality: int, may_be_lossless: bool = False) -> str:
    """Encodes an image as WebP; lossless if allowed and smaller, such as for drawings and label maps."""
    small = Image.fromarray(as_shown(image))
    small.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    options: list[dict[str, Any]] = [{"quality": quality}]
    # With more colors, lossless encoding is slow and never smaller.
    if may_be_lossless and small.getcolors(256):
        options.append({"lossless": True, "quality": 50})
    files = []
    for each in options:
        buffer = io.BytesIO()
        small.save(buffer, "webp", **each)
        files.append(buffer.getvalue())
    return f"data:image/webp;base64,{base64.b64encode(min(files, key=len)).decode()}"


def _spread(total: int, count: int) -> tuple[list[int], int, int]:
    """Returns ``count`` positions in a ranking, and how many are the worst and the best.

    A third are the worst, a sixth are the best, and the rest are evenly spaced in between.
    """
    if count >= total:
        return list(range(total)), 0, 0
    worst, best = -(-count // 3), count // 6
    between, middle = count - worst - best, total - worst - best
    inner = [worst + (2 * index + 1) * middle // (2 * between) for index in range(between)]
    return [*range(worst), *inner, *range(total - best, total)], worst, best
