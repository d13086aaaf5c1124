"""``pix2pix evaluate``: measures models, or folders of outputs, on the pairs of a data set."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from pix2pix_tf.config import TrainConfig
from pix2pix_tf.data.dataset import ImageDataset, spread, with_all
from pix2pix_tf.data.label_maps import palette
from pix2pix_tf.data.names import data_root
from pix2pix_tf.data.pipeline import resized
from pix2pix_tf.data.pixels import shown_as
from pix2pix_tf.data.sources import open_dataset
from pix2pix_tf.effects import refuse_unread
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.evaluation import inception as inception_network
from pix2pix_tf.evaluation.candidates import Candidate, open_candidates
from pix2pix_tf.evaluation.inception import DISTANCES, ENOUGH_FOR_FID, FEATURES, Inception, distances
from pix2pix_tf.evaluation.intervals import FEWEST, Comparison, compare, estimate
from pix2pix_tf.evaluation.measure import SIZE, Measured, Pairs, measure, progress, unit_range
from pix2pix_tf.evaluation.options import EvaluateOptions
from pix2pix_tf.evaluation.report import ReportImage, write_report
from pix2pix_tf.evaluation.report.answers import REAL, TAKEN_FOR_REAL, answers_key, read_answers
from pix2pix_tf.evaluation.results import Evaluation, Result
from pix2pix_tf.evaluation.segmentation import ClassReader, load_or_train
from pix2pix_tf.files import refuse_file, write_whole
from pix2pix_tf.metrics import (
    CONFUSION,
    METRICS,
    ImageMetric,
    Metric,
    absolute_error,
    radial_power,
    spectrum_frequencies,
)
from pix2pix_tf.recording.jsonl import read_metrics
from pix2pix_tf.runs import OpenedRun, find_run, package_versions
from pix2pix_tf.wording import counted

_MOST_SHOWN = 200  # images generated for the report
_MOST_PIXELS = 2**26  # pixels per model in memory for the report

Log = Callable[[str], None]

# Measures the targets as if they were a model's outputs.
_TARGETS = Candidate("targets", "the targets", lambda name, given, target: target)


def evaluate(options: EvaluateOptions, log: Log = print) -> Evaluation:
    """Compares models by their outputs; writes ``metrics.json`` and ``report.html``."""
    refuse_file(options.out)
    models = [find_run(model) or model for model in options.models]
    config, defaults = options.configs([model for model in models if isinstance(model, OpenedRun)])
    answers = read_answers(options.answers)
    dataset = open_dataset(config, "pairs", to_train=False)
    # `data_dir` is always used: it also stores the segmentation network.
    refuse_unread(config, defaults, dataset.used | {"data_dir"})
    if options.split == "all":
        dataset = with_all(dataset)
    split = _split(dataset, options.split)
    candidates = open_candidates(models, dataset, split, config, options.raw_weights)
    direction = config.data.direction
    for each in candidates:
        if each.run is not None and each.run.directory.imported():  # its file doesn't record the direction
            log(f"{each.name} is imported; assuming that its input is side {direction[0]} ({direction})")
    sizes = [each.run.config.data.size for each in candidates if each.run is not None]
    if options.image_size is not None:
        sizes = [config.data.size]
    size = max(sizes, default=None, key=np.prod)
    pairs = Pairs(dataset, split, size, config.data.fit)
    left_out = {
        f"{each.name} on unseen images only": (
            f"it was trained on {each.trained_on} of these {counted(len(pairs), 'image')}"
        )
        for each in candidates
        if each.trained_on
    }
    reader = _class_reader(pairs, config, left_out, log) if options.segmentation else None
    inception = _inception(options, len(pairs), left_out)

    measured = {each.name: measure(each, pairs, reader, inception) for each in candidates}
    for each in candidates:
        outside, total = each.clipped
        if outside:
            left_out[f"values of {each.name} outside of the targets' range"] = (
                f"{outside / total:.2%} of them are clipped to it; errors are larger than measured"
            )
    targets = measure(_TARGETS, pairs, reader, inception)
    metrics = _applicable(targets, left_out)
    results = [_result(each, measured[each.name], metrics) for each in candidates]
    # The other metrics compare an image with its target.
    own_metrics = [each for each in metrics if each.better == "target" or each.measure == CONFUSION]
    target_result = _result(_TARGETS, targets, own_metrics)
    comparisons: list[Comparison] = []
    if len(pairs) >= FEWEST:
        comparisons = [
            compare((first, second), metric, *(each[metric.measure] for each in (ours, theirs, targets)))
            for (first, ours), (second, theirs) in itertools.combinations(measured.items(), 2)
            for metric in metrics
        ]
    elif len(candidates) > 1:
        left_out["which model is better"] = (
            f"{counted(len(pairs), 'image')} are too few to compare models; at least {FEWEST} are needed"
        )
    shown_metrics: list[Metric] = [*metrics]
    complete = len(targets.get(FEATURES, ()))
    if inception is not None and complete < len(pairs):
        left_out[f"FID and KID of {len(pairs) - complete} images"] = (
            f"they have missing pixels; only the {complete} others are used"
        )
    if complete >= inception_network.FEWEST:
        for result in results:
            result.values.update(distances(measured[result.name][FEATURES], targets[FEATURES]))
        if complete < ENOUGH_FOR_FID:
            left_out["a reliable FID"] = (
                f"FID is biased with {complete} images, at least {ENOUGH_FOR_FID} are needed; use KID"
            )
        shown_metrics += DISTANCES if complete >= ENOUGH_FOR_FID else reversed(DISTANCES)
    if answers:
        shown_metrics.append(TAKEN_FOR_REAL)
        keyed = {answers_key(result.name): result for result in results} | {REAL: target_result}
        for key in keyed.keys() & answers.keys():
            keyed[key].values[TAKEN_FOR_REAL.name] = answers[key]

    evaluation = Evaluation(
        dataset=dataset.name,
        split=split,
        direction=direction,
        count=len(pairs),
        image_size=pairs.size,
        packages=package_versions(),
        metrics=shown_metrics,
        models=results,
        targets=target_result,
        frequencies=spectrum_frequencies().tolist(),
        comparisons=comparisons,
        left_out=left_out,
        inception=inception.description if inception and complete >= inception_network.FEWEST else None,
    )
    plain = json.dumps(evaluation.to_json(), indent=1, ensure_ascii=False, allow_nan=False)
    write_whole(options.out / "metrics.json", plain + "\n")
    curves = {
        each.name: [
            line for line in read_metrics(each.run.directory.metrics_file) if line["step"] <= (each.step or 0)
        ]
        for each in candidates
        if each.run is not None
    }
    images = _report_images(candidates, pairs, measured, metrics)
    write_report(options.out / "report.html", evaluation, images, curves)
    return evaluation


def _split(dataset: ImageDataset, requested: str | None) -> str:
    """Returns the split to evaluate on."""
    if requested is None and dataset.held_out == "train":
        raise ConfigError(
            f"{dataset.name} has only training pairs; give --split train or all to evaluate on them"
        )
    if requested not in (None, *dataset.splits):
        raise ConfigError(f"--split {requested}: {dataset.name} has {', '.join(dataset.splits)}")
    return requested or dataset.held_out


# ---------------------------------------------------------------- metrics


def _class_reader(
    pairs: Pairs, config: TrainConfig, left_out: dict[str, str], log: Log
) -> ClassReader | None:
    """Returns a classifier of the outputs' pixels, or ``None`` if neither side is a label map."""
    dataset = pairs.dataset
    if dataset.sides[1].has_alpha:
        left_out["segmentation score"] = "the colors of transparent pixels would change it"
        return None
    if dataset.sides[1].labels:
        return ClassReader(palette(dataset, 1))
    if dataset.sides[0].labels and "train" in dataset.splits:
        return load_or_train(dataset, pairs.size or config.data.size, data_root(config.data.data_dir), log)
    left_out["segmentation score"] = (
        "there are no pairs to train a segmentation network on"
        if dataset.sides[0].labels
        else "neither side is a label map; if one is, declare it with --label-maps"
    )
    return None


def _inception(options: EvaluateOptions, count: int, left_out: dict[str, str]) -> Inception | None:
    weights = inception_network.find_weights(options.inception_weights)
    if count < inception_network.FEWEST:
        left_out["FID and KID"] = f"they need at least {inception_network.FEWEST} images"
    elif weights is None:
        left_out["FID and KID"] = (
            f"the weights of InceptionV3 are missing: put {inception_network.WEIGHTS} of keras.applications "
            "into Keras' cache, or give the file with --inception-weights"
        )
    else:
        return Inception(weights)
    return None


def _applicable(targets: Measured, left_out: dict[str, str]) -> list[ImageMetric]:
    """Returns the metrics that are defined for the images; adds the others to ``left_out``."""
    smallest = targets[SIZE].min()
    for metric in METRICS:
        if metric.smallest > smallest:
            left_out[metric.label] = f"it needs images of at least {metric.smallest} pixels"
    return [metric for metric in METRICS if metric.smallest <= smallest and metric.measure in targets]


def _result(candidate: Candidate, measured: Measured, metrics: Sequence[ImageMetric]) -> Result:
    return Result(
        candidate.name,
        candidate.path,
        candidate.step,
        candidate.trained_on,
        values={metric.name: estimate(measured[metric.measure], metric.value) for metric in metrics},
        spectrum=spectrum(measured[radial_power]),
    )


def spectrum(powers: np.ndarray) -> list[float]:
    """Returns the mean power spectrum; frequencies that an image lacks are left out of the mean."""
    means = np.ma.masked_invalid(powers).mean(axis=0).filled(0)
    return [float(f"{power:.4g}") for power in means]


# ---------------------------------------------------------------- the report


def _report_images(
    candidates: Sequence[Candidate],
    pairs: Pairs,
    measured: Mapping[str, Measured],
    metrics: Sequence[ImageMetric],
) -> list[ReportImage]:
    """Generates the outputs for the report again: all, or the worst and a sample of a large set."""
    numbers, sizes = list(range(len(pairs))), measured[candidates[0].name][SIZE]
    most = min(_MOST_SHOWN, max(2, _MOST_PIXELS // int(sizes.prod(axis=1).max())))
    if len(numbers) > most:
        errors = np.mean([each[absolute_error][:, 0] for each in measured.values()], axis=0)
        worst = np.argsort(-errors)[: most // 2]
        numbers = sorted({*worst.tolist(), *spread(len(numbers), most // 2).tolist()})
    images = []
    for number in progress(numbers, "report"):
        name, given, target = pairs.read(number)
        outputs = {each.name: each.output(name, given, target) for each in candidates}
        given = resized(tf.constant(given), target.shape[:2], pairs.dataset.sides[0]).numpy()
        given, target = (np.round(255 * unit_range(image)).astype(np.uint8) for image in (given, target))
        target, *shown = (shown_as(pairs.dataset.sides[1], each) for each in (target, *outputs.values()))
        outputs = dict(zip(outputs, shown, strict=True))
        values = {
            model: {metric.name: float(metric.value(rows[metric.measure][number])) for metric in metrics}
            for model, rows in measured.items()
        }
        images.append(ReportImage(name, pairs.dataset.task.shown(given), target, outputs, values))
    return images
