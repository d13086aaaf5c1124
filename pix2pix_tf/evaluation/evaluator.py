"""``pix2pix evaluate``: models, or folders of pictures, judged on the pairs of a data set."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from pix2pix_tf.config import TrainConfig, refuse_unread
from pix2pix_tf.data.label_maps import palette
from pix2pix_tf.data.named import data_root
from pix2pix_tf.data.pipeline import resized
from pix2pix_tf.data.sets import ImageDataset, spread, with_all
from pix2pix_tf.data.sources import open_dataset
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.evaluation import inception, intervals
from pix2pix_tf.evaluation.intervals import Interval, compare, interval
from pix2pix_tf.evaluation.judged import Judged, Size, open_judged
from pix2pix_tf.evaluation.labels import ClassReader, LabelReader
from pix2pix_tf.evaluation.measuring import Measured, Pairs, measure, pictures, unit
from pix2pix_tf.evaluation.metrics import (
    CONFUSION,
    METRICS,
    Metric,
    spectrum_frequencies,
)
from pix2pix_tf.evaluation.report import Picture, write_report
from pix2pix_tf.evaluation.report.answers import REAL, answers_key, read_answers
from pix2pix_tf.evaluation.segmenter import load_or_train
from pix2pix_tf.files import write_whole
from pix2pix_tf.recording.jsonl import read_metrics
from pix2pix_tf.runs import package_versions
from pix2pix_tf.wording import counted

_MOST_SHOWN = 200  # pictures that the report may choose from
_MOST_PIXELS = 2**26  # of each model, in memory for it

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """What is judged on, and how.

    Args:
        config: of the data set, and in which direction its pairs are taken.
        split: 'train', 'val', 'test' or 'all'; what is held out by default.
        size: height and width that pictures are compared at; by default what the runs were trained at, the
            largest of them, or each pair's own where there is no run.
        raw_weights: of runs, not their averages.
        segmentation: whether a segmentation network reads the pictures, where a side is a label map.
        inception_weights: a file, for FID and KID.
        answers: files that "real or fake?" of a report saved.
        usual: what ``config`` would be if nothing were given: other settings without effect are refused.
    """

    config: TrainConfig
    split: str | None = None
    size: Size | None = None
    raw_weights: bool = False
    segmentation: bool = True
    inception_weights: Path | None = None
    answers: Sequence[Path] = ()
    usual: TrainConfig | None = None


def evaluate(models: Sequence[str], out: Path, options: EvaluateOptions, say: Say = print) -> dict[str, Any]:
    """Judges models by their pictures; writes ``metrics.json`` and ``report.html``."""
    people = read_answers(options.answers)
    dataset = open_dataset(options.config, "pairs", to_train=False)
    # Beside the data, `data_dir` keeps the network that reads label maps.
    refuse_unread(options.config, options.usual or options.config, dataset.used | {"data_dir"})
    if options.split == "all":
        dataset = with_all(dataset)
    split = _split(dataset, options.split)
    judged = open_judged(models, dataset, split, options.config, options.raw_weights)
    direction = options.config.data.direction
    for each in judged:
        if each.run is not None and each.run.imported():  # its file doesn't say which side it was trained on
            say(f"{each.name} is imported: its input is taken to be side {direction[0]} ({direction})")
    pairs = Pairs(dataset, split, options.size or _size_of_runs(judged), options.config.data.fit)
    left_out = [
        {
            "metric": f"{each.name} on pictures that are all new",
            "because": f"it was trained on {each.trained_on} of these {counted(len(pairs), 'picture')}",
        }
        for each in judged
        if each.trained_on
    ]
    reader = _reader(pairs, options, left_out, say)
    extractor = _extractor(options, len(pairs), left_out)

    measured = {each.name: measure(each, pairs, reader, extractor) for each in judged}
    targets = measure(_TARGETS, pairs, reader, extractor)
    metrics = list(_defined(targets, reader is not None, left_out))
    is_few = len(pairs) < intervals.FEWEST
    results = {
        "dataset": dataset.name,
        "split": split,
        "direction": direction,
        "count": len(pairs),
        "image_size": list(pairs.size) if pairs.size else None,
        "packages": package_versions(),
        "metrics": {each.name: _described(each) for each in metrics},
        "models": {
            each.name: {
                "path": each.path,
                "step": each.step,
                "trained_on": each.trained_on,
                **_numbers(measured[each.name], metrics),
            }
            for each in judged
        },
        "targets": _numbers(targets, [each for each in metrics if each.of_targets]),
        "frequencies": spectrum_frequencies().tolist(),
        "comparisons": [] if is_few else list(_comparisons(measured, targets, metrics)),
        "left_out": left_out,
    }
    if extractor is not None:
        _add_distances(results, extractor, measured, targets)
    if len(judged) > 1 and is_few:
        because = f"{counted(len(pairs), 'picture')} are too few to compare models; take {intervals.FEWEST}"
        left_out.append({"metric": "which model is better", "because": because})
    if people:
        _add_people(results, people)
    plain = json.dumps(results, indent=1, ensure_ascii=False, allow_nan=False)
    write_whole(out / "metrics.json", plain + "\n")
    write_report(out / "report.html", results, _shown(judged, pairs, measured, metrics), _curves(judged))
    return results


# The targets, as something that paints.
_TARGETS = Judged("targets", "the targets", None, None, lambda name, given, target: target)


def _split(dataset: ImageDataset, asked: str | None) -> str:
    """Returns which pairs are judged on."""
    if asked is None and dataset.held_out == "train":
        raise ConfigError(
            f"{dataset.name} has no pairs but those to train on; --split train or all evaluates on these"
        )
    if asked not in (None, *dataset.splits):
        raise ConfigError(f"--split {asked}: {dataset.name} has {', '.join(dataset.splits)}")
    return asked or dataset.held_out


def _size_of_runs(judged: Sequence[Judged]) -> Size | None:
    sizes = [each.run.read_config().data.size for each in judged if each.run is not None]
    return max(sizes, default=None, key=np.prod)


# ---------------------------------------------------------------- what is measured


def _reader(
    pairs: Pairs, options: EvaluateOptions, left_out: list[dict[str, str]], say: Say
) -> ClassReader | None:
    """Returns what reads classes in the pictures, where a side is a label map."""
    sides = pairs.dataset.sides
    if not options.segmentation:
        return None
    if sides[1].labels:
        return LabelReader(palette(pairs.dataset, 1))
    if not sides[0].labels:
        because = "neither side is a label map; if one is, say so with --label-maps"
        left_out.append({"metric": "segmentation score", "because": because})
        return None
    if "train" not in pairs.dataset.splits:
        because = "there are no pairs to train a segmentation network on"
        left_out.append({"metric": "segmentation score", "because": because})
        return None
    size = pairs.size or options.config.data.size
    return load_or_train(pairs.dataset, size, data_root(options.config.data.data_dir), say)


def _extractor(
    options: EvaluateOptions, count: int, left_out: list[dict[str, str]]
) -> inception.Inception | None:
    if count < inception.FEWEST:
        because = f"they are distances of sets of {inception.FEWEST} pictures and more"
        left_out.append({"metric": "FID and KID", "because": because})
        return None
    weights = inception.find_weights(options.inception_weights)
    if weights is not None:
        return inception.Inception(weights)
    because = (
        f"it needs the weights of InceptionV3: put {inception.WEIGHTS} of keras.applications into Keras' "
        "cache, or name the file with --inception-weights"
    )
    left_out.append({"metric": "FID and KID", "because": because})
    return None


def _defined(targets: Measured, has_classes: bool, left_out: list[dict[str, str]]) -> Iterator[Metric]:
    """Yields the metrics that there are of pictures of that size; notes those that there aren't."""
    for metric in METRICS:
        if targets.smallest_side < metric.smallest:
            because = f"it is defined for pictures of {metric.smallest} pixels and more"
            left_out.append({"metric": metric.label, "because": because})
        elif has_classes or metric.measurement != CONFUSION:
            yield metric


# ---------------------------------------------------------------- numbers


def _described(metric: Metric) -> dict[str, str]:
    return {"label": metric.label, "better": metric.better, "help": metric.help}


def _numbers(measured: Measured, metrics: Sequence[Metric]) -> dict[str, Any]:
    values = {}
    for metric in metrics:
        rows = measured.rows(metric)
        values[metric.name] = {**_rounded(interval(rows, metric.value)), "count": len(rows)}
    powers = np.ma.masked_invalid(measured.rows("spectrum")).mean(axis=0).filled(0)
    return {"values": values, "spectrum": [float(f"{power:.4g}") for power in powers]}


def _rounded(found: Interval) -> dict[str, float]:
    return {name: float(f"{value:.6g}") for name, value in found._asdict().items()}


def _comparisons(
    measured: Mapping[str, Measured], targets: Measured, metrics: Sequence[Metric]
) -> Iterator[dict[str, Any]]:
    """Yields, for every two models and every metric, whether they differ and which is better."""
    for (one, ours), (other, theirs) in itertools.combinations(measured.items(), 2):
        for metric in metrics:
            found = compare(ours.rows(metric), theirs.rows(metric), targets.rows(metric), metric)
            yield {
                "metric": metric.name,
                "models": [one, other],
                **_rounded(found.apart),
                "larger_than_chance": found.differs,
                "better": {1: one, -1: other}.get(found.better),
            }


def _add_distances(
    results: dict[str, Any],
    extractor: inception.Inception,
    measured: Mapping[str, Measured],
    targets: Measured,
) -> None:
    """Adds FID and KID, which no single picture has: the one to be read for so many pictures first."""
    count, of_all = targets.count(inception.FEATURES), targets.count("l1")
    if count < of_all:
        because = f"they have missing pixels, {count} have none"
        results["left_out"].append(
            {"metric": f"FID and KID of {of_all - count} pictures", "because": because}
        )
    if count < inception.FEWEST:
        return
    results["inception"] = {"network": "keras.applications.InceptionV3", "sha256": extractor.digest}
    theirs = targets.rows(inception.FEATURES)
    for name, each in measured.items():
        found = inception.distances(each.rows(inception.FEATURES), theirs)
        results["models"][name]["values"] |= {
            metric: {**_rounded(value), "count": len(theirs)} for metric, value in found.items()
        }
    order = list(inception.DISTANCES.items())
    if len(theirs) < inception.ENOUGH_FOR_FID:
        order.reverse()
        note = f"of {len(theirs)} pictures FID says more about their number than about them: read KID"
        results["left_out"].append({"metric": "FID as a figure to quote", "because": note})
    results["metrics"] |= dict(order)


def _add_people(results: dict[str, Any], people: Mapping[str, Mapping[str, float]]) -> None:
    """Adds how often pictures were taken for real, where people were asked about them."""
    results["metrics"]["taken_for_real"] = {
        "label": "taken for real",
        "better": "higher",
        "help": "share of pictures that people took for real in 'real or fake?' of a report",
    }
    keyed = {answers_key(name): found for name, found in results["models"].items()}
    for key, found in {**keyed, REAL: results["targets"]}.items():
        if key in people:
            found["values"]["taken_for_real"] = people[key]


# ---------------------------------------------------------------- pictures


def _shown(
    judged: Sequence[Judged], pairs: Pairs, measured: Mapping[str, Measured], metrics: Sequence[Metric]
) -> list[Picture]:
    """Paints once more what the report may show: all, or of a large set the worst and some of the others."""
    numbers = list(range(len(pairs)))
    most = min(_MOST_SHOWN, max(2, _MOST_PIXELS // measured[judged[0].name].largest))
    if len(numbers) > most:
        errors = np.mean([each.rows("l1")[:, 0] for each in measured.values()], axis=0)
        worst = np.argsort(-errors)[: most // 2]
        numbers = sorted({*worst.tolist(), *spread(len(numbers), most // 2).tolist()})
    outputs: list[dict[str, np.ndarray]] = [{} for _ in numbers]
    for each in judged:
        for shown, (*_, picture) in zip(outputs, pictures(each, pairs, numbers), strict=True):
            shown[each.name] = picture
    # Every metric of single pictures, float [pictures].
    values = {name: {m.name: m.value(each.rows(m)) for m in metrics} for name, each in measured.items()}
    return [
        Picture(
            *_pair_as_shown(pairs, number),
            outputs=shown,
            values={
                name: {metric: float(of_pictures[number]) for metric, of_pictures in found.items()}
                for name, found in values.items()
            },
        )
        for number, shown in zip(numbers, outputs, strict=True)
    ]


def _curves(judged: Sequence[Judged]) -> dict[str, list[dict[str, float]]]:
    """Returns the lines of each run's metrics.jsonl up to the checkpoint that is judged."""
    return {
        each.name: [line for line in read_metrics(each.run.metrics_file) if line["step"] <= (each.step or 0)]
        for each in judged
        if each.run is not None
    }


def _pair_as_shown(pairs: Pairs, number: int) -> tuple[str, np.ndarray, np.ndarray]:
    """Returns name, input and target in uint8, both at the target's size."""
    name, given, target = pairs.read(number)
    given = resized(tf.constant(given), target.shape[:2], pairs.dataset.sides[0]).numpy()
    given, target = (np.round(255 * unit(image)).astype(np.uint8) for image in (given, target))
    task = pairs.dataset.task
    return name, given if task is None else task.shown(given), target
