"""Images of the report: which are shown, and how they are embedded."""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jinja2.utils import htmlsafe_json_dumps
from PIL import Image

from pix2pix_tf.data.pixels import as_shown
from pix2pix_tf.evaluation.report.answers import ANSWERS_FORMAT, answers_key
from pix2pix_tf.evaluation.report.tables import marked_models
from pix2pix_tf.evaluation.report.words import DIRECTIONS, JSON_OPTIONS, badness_of, label_of
from pix2pix_tf.files import printable

LONGEST_SIDE = 512  # of an embedded image, in pixels

# WebP qualities, best first. Even at the last, loss is hard to see. If that is too large, the page has fewer
# images, because a lower quality would blur the details that matter.
_QUALITIES = (95, 90, 85, 80)


@dataclasses.dataclass(frozen=True)
class Picture:
    """One evaluated image.

    Args:
        name: displayed name, such as the file name.
        input: uint8 [height, width, channels], or ``None`` for noise.
        target: uint8 [height, width, channels].
        outputs: uint8 or uint16 [height, width, channels] by model.
        values: metrics of this image, by model and metric.
    """

    name: str
    input: np.ndarray | None
    target: np.ndarray
    outputs: Mapping[str, np.ndarray]
    values: Mapping[str, Mapping[str, float]]


def script_data(results: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the data for the template's script, without images."""
    models = [{**model, "key": answers_key(model["name"])} for model in marked_models(results)]
    return {
        "format": ANSWERS_FORMAT,
        "dataset": results.get("dataset", ""),
        "models": models,
        "metrics": [],
        "images": [],
        "pictures": [],
    }


@dataclasses.dataclass(frozen=True)
class Chosen:
    """The images on the page.

    Args:
        entries: the script's data for each image, with data URIs.
        worst: number of images chosen as the worst.
        best: number of images chosen as the best.
        by: label of the metric that they are ranked by, or an empty string.
        metrics: name, label and direction of the metrics that images have.
    """

    entries: Sequence[dict[str, Any]]
    worst: int
    best: int
    by: str
    metrics: Sequence[dict[str, Any]]

    def embedded(self) -> dict[str, Any]:
        """Returns the script's data, with each distinct image once and indices that refer to them."""
        images: dict[str, int] = {}

        def index(uri: str | None) -> int | None:
            return None if uri is None else images.setdefault(uri, len(images))

        pictures = [
            {
                **entry,
                "input": index(entry["input"]),
                "target": index(entry["target"]),
                "outputs": [index(uri) for uri in entry["outputs"]],
            }
            for entry in self.entries
        ]
        return {"metrics": self.metrics, "images": list(images), "pictures": pictures}

    def size(self) -> int:
        """Returns an upper bound of the bytes that it takes on the page."""
        return len(str(htmlsafe_json_dumps(self.embedded(), **JSON_OPTIONS)).encode())


class _Encoder:
    """Encodes images as data URIs, each distinct image once."""

    def __init__(self, quality: int):
        self._quality = quality
        self._known: dict[tuple[object, ...], str] = {}

    def __call__(self, image: np.ndarray | None, exact: bool = False) -> str | None:
        """Returns a data URI; with ``exact``, lossless if that is smaller, as for drawings and label maps."""
        if image is None:
            return None
        key = (image.shape, hashlib.blake2b(image.tobytes()).digest())
        if key not in self._known:
            small = Image.fromarray(as_shown(image))
            small.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
            files = [_webp(small, quality=self._quality)]
            if exact and small.getcolors(256):  # with more colors, lossless is never smaller and takes long
                files.append(_webp(small, lossless=True, quality=50))
            self._known[key] = f"data:image/webp;base64,{base64.b64encode(min(files, key=len)).decode()}"
        return self._known[key]


def _webp(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "webp", **options)
    return buffer.getvalue()


def choose(results: Mapping[str, Any], pictures: Sequence[Picture], room: int) -> Chosen:
    """Takes all images at the best quality that fits ``room`` bytes, or else fewer at the lowest."""
    metrics = [
        {"name": metric, "label": label_of(results, metric), "direction": DIRECTIONS[about["better"]]}
        for metric, about in results["metrics"].items()
        if about.get("better") in DIRECTIONS and any(_values_of(picture, metric) for picture in pictures)
    ]
    ranking = _ranked(results, pictures, metrics[0]["name"] if metrics else None)
    total = len(ranking)
    for quality in _QUALITIES:
        pack = functools.partial(_pack, results, pictures, metrics, ranking, _Encoder(quality))
        tried = min(8, total)
        guess = int(1.1 * tried * room / pack(tried).size())
        if guess >= total and (packed := pack(total)).size() <= room:
            return packed
    count = max(0, min(guess, total))
    while (size := (packed := pack(count)).size()) > room and count:
        count = max(0, min(count - 1, int(count * room / size)))
    return packed


def _pack(
    results: Mapping[str, Any],
    pictures: Sequence[Picture],
    metrics: Sequence[dict[str, Any]],
    ranking: Sequence[int],
    encode: _Encoder,
    count: int,
) -> Chosen:
    places, worst, best = _spread(len(ranking), count)
    entries = _entries(results, pictures, [ranking[place] for place in places], encode)
    return Chosen(entries, worst, best, metrics[0]["label"] if metrics else "", metrics)


def _values_of(picture: Picture, metric: str) -> list[float]:
    found = [values.get(metric) for values in picture.values.values()]
    return [float(value) for value in found if value is not None and math.isfinite(value)]


def _ranked(results: Mapping[str, Any], pictures: Sequence[Picture], metric: str | None) -> list[int]:
    """Returns the indices of images, worst first by the mean over models; those without a value are last."""

    def badness(index: int) -> float:
        values = [] if metric is None else _values_of(pictures[index], metric)
        found = [badness_of(results, str(metric), value) for value in values]
        known = [each for each in found if each is not None]
        return sum(known) / len(known) if known else -math.inf

    return sorted(range(len(pictures)), key=badness, reverse=True)


def _spread(total: int, count: int) -> tuple[list[int], int, int]:
    """Returns ``count`` positions in a ranking, and how many of them are chosen as worst and as best.

    The worst are a third of the positions, the best a sixth, and the rest is evenly spaced in between.
    """
    if count >= total:
        return list(range(total)), 0, 0
    worst, best = -(-count // 3), count // 6
    between, middle = count - worst - best, total - worst - best
    inner = [worst + (2 * index + 1) * middle // (2 * between) for index in range(between)]
    return [*range(worst), *inner, *range(total - best, total)], worst, best


def _entries(
    results: Mapping[str, Any], pictures: Sequence[Picture], indices: Sequence[int], encode: _Encoder
) -> list[dict[str, Any]]:
    """Returns the script's data of images in their original order, with the badness of each value."""
    found = []
    for index in sorted(indices):
        picture = pictures[index]
        models = _originals(results, picture)
        values = [_scored(results, picture.values.get(model, {})) for model in models]
        # The input last: if it equals the target, it must not make the target lossless, because the game is
        # fair only if real and generated images use the same codec.
        target, *outputs = map(encode, (picture.target, *map(picture.outputs.get, models)))
        found.append(
            {
                "name": printable(picture.name),
                "input": encode(picture.input, exact=True),
                "target": target,
                "outputs": outputs,
                "values": values,
            }
        )
    return found


def _originals(results: Mapping[str, Any], picture: Picture) -> list[str]:
    """Returns the models' names before `_clean` changed them."""
    names = {printable(name): name for name in (*picture.outputs, *picture.values)}
    return [names.get(name, name) for name in results["models"]]


def _scored(results: Mapping[str, Any], values: Mapping[str, float]) -> dict[str, Any]:
    return {
        metric: [float(f"{value:.6g}"), badness_of(results, metric, float(value))]
        for metric, value in values.items()
        if value is not None and math.isfinite(value)
    }
