"""The report's summary: which model is better in which metrics."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from pix2pix_tf.evaluation.intervals import FEWEST
from pix2pix_tf.evaluation.report.words import interval_width, label_of, listing, number_text


@dataclasses.dataclass
class _Tally:
    """Labels of metrics by result: one model is better, both differ without a better one, or undecided."""

    first: list[str] = dataclasses.field(default_factory=list)
    second: list[str] = dataclasses.field(default_factory=list)
    apart: list[str] = dataclasses.field(default_factory=list)
    open: list[str] = dataclasses.field(default_factory=list)


def _tallies(results: Mapping[str, Any]) -> dict[tuple[str, str], _Tally]:
    tallies: dict[tuple[str, str], _Tally] = {}
    for found in results.get("comparisons") or []:
        first, second = found["models"]
        tally = tallies.setdefault((first, second), _Tally())
        undecided = tally.apart if found["larger_than_chance"] else tally.open
        side = {first: tally.first, second: tally.second}.get(found.get("better"), undecided)
        side.append(label_of(results, found["metric"]))
    return tallies


def verdict(results: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a headline and sentences for the top of the page."""
    models = list(results["models"])
    tallies = _tallies(results)
    if len(models) < 2:
        return {"headline": _one_model(results), "sentences": []}
    if not tallies:
        few = results.get("count") or FEWEST
        why = f"{few} pictures are too few to compare" if few < FEWEST else "measured, not compared"
        return {"headline": f"{listing(models)}: {why}", "sentences": []}
    if len(tallies) == 1:
        [((first, second), tally)] = tallies.items()
        return {"headline": _two_models(first, second, tally), "sentences": _findings(first, second, tally)}
    sentences = [
        f"{first} against {second}: {'; '.join(_findings(first, second, tally))}"
        for (first, second), tally in tallies.items()
    ]
    return {"headline": _many_models(models, tallies), "sentences": sentences}


def _one_model(results: Mapping[str, Any]) -> str:
    for name, model in results["models"].items():
        shown = [metric for metric in results["metrics"] if metric in model["values"]][:3]
        values = [model["values"][metric] for metric in shown]
        numbers = [number_text(value.get("value"), interval_width(value)) for value in values]
        named = [
            f"{label_of(results, metric)} {number}" for metric, number in zip(shown, numbers, strict=True)
        ]
        return f"{name}: {listing(named)}" if named else name
    return "Nothing was measured"


def _two_models(first: str, second: str, tally: _Tally) -> str:
    count = sum(map(len, (tally.first, tally.second, tally.apart, tally.open)))
    metrics = _metrics(count)
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
    won = [
        f"{name} is better in {listing(labels)}"
        for name, labels in ((first, tally.first), (second, tally.second))
        if labels
    ]
    if tally.apart:
        won.append(f"they differ in {listing(tally.apart)}, and neither is better")
    if tally.open:
        won.append(f"no difference beyond chance in {listing(tally.open)}")
    return won


def _many_models(models: Sequence[str], tallies: Mapping[tuple[str, str], _Tally]) -> str:
    won, lost = dict.fromkeys(models, 0), dict.fromkeys(models, 0)
    for (first, second), tally in tallies.items():
        for winner, loser, labels in ((first, second, tally.first), (second, first, tally.second)):
            won[winner] = won.get(winner, 0) + len(labels)
            lost[loser] = lost.get(loser, 0) + len(labels)
    if not any(won.values()):
        return f"None of these {len(models)} models is better than another, beyond chance"
    balance = {name: won[name] - lost[name] for name in models}
    ahead = [name for name in models if balance[name] == max(balance.values())]
    if len(ahead) > 1:
        return f"{listing(ahead)} share the lead: none of the {len(models)} models is best"
    [best] = ahead
    return (
        f"{best} is the best of {len(models)} models: of its comparisons with the others it wins "
        f"{won[best]} beyond chance and loses {lost[best]}"
    )


def _metrics(count: int) -> str:
    return f"{count} metric{'' if count == 1 else 's'}"
