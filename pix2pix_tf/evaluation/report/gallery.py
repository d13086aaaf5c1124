"""Selects the images of the report and embeds them in the page."""

from __future__ import annotations

import base64
import dataclasses
import io
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jinja2.utils import htmlsafe_json_dumps
from PIL import Image

from pix2pix_tf.data.pixels import as_shown
from pix2pix_tf.evaluation.results import Evaluation
from pix2pix_tf.files import printable

LONGEST_SIDE = 512  # pixels of an embedded image

# Compact, and in the order of models and metrics: Jinja sorts keys by default.
JSON_OPTIONS: dict[str, Any] = {"ensure_ascii": False, "allow_nan": False, "separators": (",", ":")}

# WebP qualities, best first. Loss is hard to see even at the lowest. If the page is still too large, it shows
# fewer images, because a lower quality would blur the details that matter.
_QUALITIES = (95, 90, 85, 80)
_GOLDEN_RATIO = 0.618034  # its multiples modulo 1 are spread evenly, however many there are


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

    ``entries`` has the script's data for each image; its views are indices of ``uris``, where equal images
    are stored once. ``worst`` and ``best`` count the images shown at both ends of the ranking, without gaps.
    """

    entries: Sequence[dict[str, Any]] = ()
    uris: Sequence[str] = ()
    worst: int = 0
    best: int = 0


def select(evaluation: Evaluation, images: Sequence[ReportImage], room: int) -> Selection:
    """Selects all images at the best quality that fits ``room`` bytes, else fewer at the lowest quality."""
    metric = evaluation.metrics[0]

    def mean_badness(index: int) -> float:
        values = [values[metric.name] for values in images[index].values.values()]
        return sum(evaluation.badness(metric, value) for value in values) / len(values)

    ranking = sorted(range(len(images)), key=mean_badness, reverse=True)
    for quality in _QUALITIES:
        entries: dict[int, dict[str, Any]] = {}
        left = room
        for index in _by_priority(ranking):
            entry = _entry(evaluation, images[index], quality)
            left -= len(printable(f"{htmlsafe_json_dumps(entry, **JSON_OPTIONS)},").encode())
            if left < 0:
                break
            entries[index] = entry
        if len(entries) == len(images):
            break

    uris: dict[str, int] = {}
    shown = [entries[index] for index in sorted(entries)]
    for entry in shown:
        entry["views"] = [uris.setdefault(uri, len(uris)) for uri in entry["views"]]
    worst, best = (
        next((place for place, index in enumerate(order) if index not in entries), 0)
        for order in (ranking, ranking[::-1])
    )
    return Selection(shown, list(uris), worst, best)


def _by_priority(ranking: Sequence[int]) -> list[int]:
    """Orders images so that any first part has a third of the worst, a sixth of the best, and a spread."""
    worst, best = iter(ranking), reversed(ranking)
    spread = (ranking[int(len(ranking) * (number * _GOLDEN_RATIO % 1))] for number in itertools.count())
    mixed = itertools.chain.from_iterable(zip(worst, spread, best, spread, worst, spread, strict=False))
    return list(dict.fromkeys([*mixed, *ranking]))


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
