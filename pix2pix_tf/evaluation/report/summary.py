"""The report's summary: which model is better in which metrics."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from pix2pix_tf.evaluation.report.text import listing, number_text
from pix2pix_tf.evaluation.results import Evaluation
from pix2pix_tf.wording import counted


@dataclasses.dataclass
class _Tally:
    """Labels of metrics by result: one model is better, both differ without a better one, or undecided."""

    first: list[str] = dataclasses.field(default_factory=list)
    second: list[str] = dataclasses.field(default_factory=list)
    apart: list[str] = dataclasses.field(default_factory=list)
    open: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Summary:
    """The text at the top of the page."""

    headline: str
    sentences: Sequence[str] = ()


def summarize(evaluation: Evaluation) -> Summary:
    names = [model.name for model in evaluation.models]
    if len(names) == 1:
        return Summary(_one_model(evaluation))
    tallies: dict[tuple[str, str], _Tally] = {}
    for each in evaluation.comparisons:
        tally = tallies.setdefault(each.models, _Tally())
        undecided = tally.apart if each.larger_than_chance else tally.open
        sides = dict(zip(each.models, (tally.first, tally.second), strict=True))
        sides.get(each.better or "", undecided).append(each.metric.label)
    if not tallies:
        return Summary(f"{listing(names)}: {evaluation.count} images are too few to compare")
    if len(tallies) == 1:
        [(models, tally)] = tallies.items()
        return Summary(_two_models(*models, tally), _findings(*models, tally))
    return Summary(
        _many_models(names, tallies),
        [
            f"{first} against {second}: {'; '.join(_findings(first, second, tally))}"
            for (first, second), tally in tallies.items()
        ],
    )


def _one_model(evaluation: Evaluation) -> str:
    [model] = evaluation.models
    shown = [metric for metric in evaluation.metrics if metric.name in model.values][:3]
    estimates = [model.values[metric.name] for metric in shown]
    numbers = [
        f"{metric.label} {number_text(each.value, each)}"
        for metric, each in zip(shown, estimates, strict=True)
    ]
    return f"{model.name}: {listing(numbers)}"


def _two_models(first: str, second: str, tally: _Tally) -> str:
    metrics = counted(sum(map(len, vars(tally).values())), "metric")
    if len(tally.first) < len(tally.second):
        first, second, tally = second, first, _Tally(tally.second, tally.first, tally.apart, tally.open)
    if not tally.first and tally.apart:
        return (
            f"{first} and {second} differ beyond chance in {len(tally.apart)} of {metrics}: neither is better"
        )
    if not tally.first:
        return f"Between {first} and {second} no difference is larger than chance"
    if len(tally.first) == len(tally.second):
        return f"{first} and {second} each win {len(tally.first)} of {metrics}: neither is better throughout"
    if tally.second:
        return (
            f"{first} is better than {second} in {len(tally.first)} of {metrics} "
            f"and worse in {len(tally.second)}, beyond chance"
        )
    return f"{first} is better than {second}: beyond chance in {len(tally.first)} of {metrics}, worse in none"


def _findings(first: str, second: str, tally: _Tally) -> list[str]:
    """Returns sentences about the metrics in which each model is better, and those that are open."""
    sentences = [
        f"{name} is better in {listing(labels)}"
        for name, labels in ((first, tally.first), (second, tally.second))
        if labels
    ]
    if tally.apart:
        sentences.append(f"they differ in {listing(tally.apart)}, and neither is better")
    if tally.open:
        sentences.append(f"no difference beyond chance in {listing(tally.open)}")
    return sentences


def _many_models(names: Sequence[str], tallies: Mapping[tuple[str, str], _Tally]) -> str:
    won, lost = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for (first, second), tally in tallies.items():
        for winner, loser, labels in ((first, second, tally.first), (second, first, tally.second)):
            won[winner] += len(labels)
            lost[loser] += len(labels)
    if not any(won.values()):
        return f"None of these {len(names)} models is better than another, beyond chance"
    balance = {name: won[name] - lost[name] for name in names}
    ahead = [name for name in names if balance[name] == max(balance.values())]
    if len(ahead) > 1:
        return f"{listing(ahead)} share the lead: none of the {len(names)} models is best"
    [best] = ahead
    return (
        f"{best} is the best of {len(names)} models: of its comparisons with the others it wins "
        f"{won[best]} beyond chance and loses {lost[best]}"
    )
