"""The report's summary: which model is better in which metrics."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence

from pix2pix_tf.evaluation.report.text import listing, number_text
from pix2pix_tf.evaluation.results import Evaluation
from pix2pix_tf.wording import counted

# Metric labels by the name of the better model. If neither model is better, the key is True for a difference
# beyond chance, else False.
Outcomes = Mapping[str | bool, Sequence[str]]


def summarize(evaluation: Evaluation) -> tuple[str, list[str]]:
    """Returns the page's headline and the sentences below it."""
    names = [model.name for model in evaluation.models]
    if len(names) == 1:
        [model] = evaluation.models
        numbers = [
            f"{metric.label} {number_text(model.values[metric.name].value, model.values[metric.name])}"
            for metric in evaluation.metrics
            if metric.name in model.values
        ]
        return f"{model.name}: {listing(numbers[:3])}", []
    pairs: dict[tuple[str, str], dict[str | bool, list[str]]] = {}
    for each in evaluation.comparisons:
        outcomes = pairs.setdefault(each.models, collections.defaultdict(list))
        outcomes[each.better or each.larger_than_chance].append(each.metric.label)
    if not pairs:
        return f"{listing(names)}: {evaluation.count} images are too few to compare", []
    if len(pairs) == 1:
        [(models, outcomes)] = pairs.items()
        return _two_models(*models, outcomes), _findings(*models, outcomes)
    return _many_models(names, pairs), [
        f"{first} against {second}: {'; '.join(_findings(first, second, outcomes))}"
        for (first, second), outcomes in pairs.items()
    ]


def _two_models(first: str, second: str, outcomes: Outcomes) -> str:
    if len(outcomes[first]) < len(outcomes[second]):
        first, second = second, first
    won, lost, different = (len(outcomes[outcome]) for outcome in (first, second, True))
    metrics = counted(sum(map(len, outcomes.values())), "metric")
    if not won and different:
        return f"{first} and {second} differ beyond chance in {different} of {metrics}: neither is better"
    if not won:
        return f"Between {first} and {second} no difference is larger than chance"
    if won == lost:
        return f"{first} and {second} each win {won} of {metrics}: neither is better throughout"
    if lost:
        return f"{first} is better than {second} in {won} of {metrics} and worse in {lost}, beyond chance"
    return f"{first} is better than {second}: beyond chance in {won} of {metrics}, worse in none"


def _findings(first: str, second: str, outcomes: Outcomes) -> list[str]:
    """Returns a sentence for each outcome that at least one metric has."""
    sentences: dict[str | bool, tuple[str, str]] = {
        first: (f"{first} is better in ", ""),
        second: (f"{second} is better in ", ""),
        True: ("they differ in ", ", and neither is better"),
        False: ("no difference beyond chance in ", ""),
    }
    return [
        f"{start}{listing(outcomes[outcome])}{end}"
        for outcome, (start, end) in sentences.items()
        if outcomes[outcome]
    ]


def _many_models(names: Sequence[str], pairs: Mapping[tuple[str, str], Outcomes]) -> str:
    won, lost = collections.Counter[str](), collections.Counter[str]()
    for (first, second), outcomes in pairs.items():
        for winner, loser in ((first, second), (second, first)):
            won[winner] += len(outcomes[winner])
            lost[loser] += len(outcomes[winner])
    if not won.total():
        return f"None of these {len(names)} models is better than another, beyond chance"
    most = max(won[name] - lost[name] for name in names)
    ahead = [name for name in names if won[name] - lost[name] == most]
    if len(ahead) > 1:
        return f"{listing(ahead)} share the lead: none of the {len(names)} models is best"
    [best] = ahead
    return (
        f"{best} is the best of {len(names)} models: in comparisons with the others it wins "
        f"{won[best]} beyond chance and loses {lost[best]}"
    )
