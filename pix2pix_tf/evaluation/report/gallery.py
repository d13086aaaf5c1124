"""Images of the report: which are shown, and how they are embedded."""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jinja2.utils import htmlsafe_json_dumps
from PIL import Image

from pix2pix_tf.data.pixels import as_shown
from pix2pix_tf.evaluation.report.text import JSON_OPTIONS
from pix2pix_tf.evaluation.results import Evaluation
from pix2pix_tf.files import printable
from pix2pix_tf.metrics import Metric

LONGEST_SIDE = 512  # of an embedded image, in pixels

# WebP qualities, best first. Even at the last, loss is hard to see. If that is too large, the page has fewer
# images, because a lower quality would blur the details that matter.
_QUALITIES = (95, 90, 85, 80)


@dataclasses.dataclass(frozen=True)
class ReportImage:
    """One evaluated image.

    Args:
        name: displayed name, such as the file name.
        input: uint8 [height, width, channels].
        target: uint8 [height, width, channels].
        outputs: uint8 or uint16 [height, width, channels] by model.
        values: metrics of this image, by model and metric.
    """

    name: str
    input: np.ndarray
    target: np.ndarray
    outputs: dict[str, np.ndarray]
    values: Mapping[str, Mapping[str, float]]


@dataclasses.dataclass(frozen=True)
class Selection:
    """The images on the page.

    ``entries`` is the script's data for each, with data URIs. ``worst`` and ``best`` are the numbers of
    images that were selected as such; both are 0 if all are shown.
    """

    entries: Sequence[dict[str, Any]] = ()
    worst: int = 0
    best: int = 0

    def embedded(self) -> dict[str, Any]:
        """Returns the script's data, with each distinct image once and indices that refer to them."""
        uris: dict[str, int] = {}

        def index(uri: str) -> int:
            return uris.setdefault(uri, len(uris))

        pictures = [
            {
                **entry,
                "input": index(entry["input"]),
                "target": index(entry["target"]),
                "outputs": [index(uri) for uri in entry["outputs"]],
            }
            for entry in self.entries
        ]
        return {"images": list(uris), "pictures": pictures}

    def size(self) -> int:
        """Returns an upper bound of the bytes that it takes on the page."""
        return len(printable(str(htmlsafe_json_dumps(self.embedded(), **JSON_OPTIONS))).encode())


class _Encoder:
    """Encodes images as data URIs, each distinct image once."""

    def __init__(self, quality: int):
        self._quality = quality
        self._known: dict[tuple[object, ...], str] = {}

    def __call__(self, image: np.ndarray, exact: bool = False) -> str:
        """Returns a data URI; with ``exact``, lossless if that is smaller, as for drawings and label maps."""
        key = (image.shape, hashlib.blake2b(image.tobytes()).digest())
        if key not in self._known:
            small = Image.fromarray(as_shown(image))
            small.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
            options: list[dict[str, Any]] = [{"quality": self._quality}]
            if exact and small.getcolors(256):  # with more colors, lossless is never smaller and takes long
                options.append({"lossless": True, "quality": 50})
            files = []
            for each in options:
                buffer = io.BytesIO()
                small.save(buffer, "webp", **each)
                files.append(buffer.getvalue())
            self._known[key] = f"data:image/webp;base64,{base64.b64encode(min(files, key=len)).decode()}"
        return self._known[key]


def select(evaluation: Evaluation, images: Sequence[ReportImage], room: int) -> Selection:
    """Takes all images at the best quality that fits ``room`` bytes, or else fewer at the lowest."""
    ranking = sorted(
        range(len(images)), key=lambda index: _mean_badness(evaluation, images[index]), reverse=True
    )
    total = len(ranking)
    for quality in _QUALITIES:
        pack = functools.partial(_pack, evaluation, images, ranking, _Encoder(quality))
        tried = min(8, total)
        guess = int(1.1 * tried * room / pack(tried).size())
        if guess >= total and (packed := pack(total)).size() <= room:
            return packed
    count = max(0, min(guess, total))
    while (size := (packed := pack(count)).size()) > room and count:
        count = max(0, min(count - 1, int(count * room / size)))
    return packed


def _mean_badness(evaluation: Evaluation, image: ReportImage) -> float:
    """Returns how bad the outputs for an image are by the first metric, the mean over the models."""
    metric = evaluation.metrics[0]
    values = [_badness(evaluation, metric, of_model[metric.name]) for of_model in image.values.values()]
    return sum(values) / len(values)


def _badness(evaluation: Evaluation, metric: Metric, value: float) -> float:
    own = evaluation.targets.values.get(metric.name)
    return float(metric.badness(value, own.value if own else 0.0))


def _pack(
    evaluation: Evaluation,
    images: Sequence[ReportImage],
    ranking: Sequence[int],
    encode: _Encoder,
    count: int,
) -> Selection:
    """Encodes so many images, in their original order."""
    places, worst, best = _spread(len(ranking), count)
    entries = []
    for index in sorted(ranking[place] for place in places):
        image = images[index]
        values = [
            {
                metric.name: [
                    float(f"{of_model[metric.name]:.6g}"),
                    _badness(evaluation, metric, of_model[metric.name]),
                ]
                for metric in evaluation.metrics
                if metric.name in of_model
            }
            for of_model in (image.values[model.name] for model in evaluation.models)
        ]
        # The input last: if it equals the target, it must not make the target lossless, because the game is
        # fair only if real and generated images use the same codec.
        target, *outputs = map(
            encode, (image.target, *(image.outputs[model.name] for model in evaluation.models))
        )
        entries.append(
            {
                "name": image.name,
                "input": encode(image.input, exact=True),
                "target": target,
                "outputs": outputs,
                "values": values,
            }
        )
    return Selection(entries, worst, best)


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
