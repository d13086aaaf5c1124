"""The report's summary: which model is better in which metrics."""

from __future__ import annotations

import collections
import itertools
import math
from collections.abc import Sequence

from pix2pix_tf.evaluation.intervals import Estimate
from pix2pix_tf.evaluation.results import Evaluation
from pix2pix_tf.wording import counted


def summarize(evaluation: Evaluation) -> tuple[str, list[str]]:
    """Returns the page's headline and the sentences below it."""
    names = [model.name for model in evaluation.models]
    if len(names) == 1:
        values = evaluation.models[0].values
        numbers = [
            f"{metric.label} {number_text(values[metric.name].value, values[metric.name])}"
            for metric in evaluation.metrics
            if metric.name in values
        ]
        return f"{names[0]}: {_listing(numbers[:3])}", []
    if not evaluation.comparisons:
        return f"{_listing(names)}: {evaluation.count} images are too few to compare", []
    findings = {}
    for pair, comparisons in itertools.groupby(evaluation.comparisons, lambda each: each.models):
        # Metric labels by the better model; if neither is better, by whether the models differ.
        outcomes = collections.defaultdict[str | bool, list[str]](list)
        for each in comparisons:
            outcomes[each.better or each.larger_than_chance].append(each.metric.label)
        sentences: dict[str | bool, tuple[str, str]] = {
            **{name: (f"{name} is better in ", "") for name in pair},
            True: ("they differ in ", ", and neither is better"),
            False: ("no difference beyond chance in ", ""),
        }
        findings[pair] = [
            f"{start}{_listing(outcomes[outcome])}{end}"
            for outcome, (start, end) in sentences.items()
            if outcomes[outcome]
        ]
    if len(names) == 2:
        return _headline(evaluation, names), next(iter(findings.values()))
    pairwise = [f"{' against '.join(pair)}: {'; '.join(found)}" for pair, found in findings.items()]
    return _headline(evaluation, names), pairwise


def _headline(evaluation: Evaluation, names: Sequence[str]) -> str:
    """Returns which model is best: the one with the most wins beyond chance, after subtracting losses."""
    neither = "neither" if len(names) == 2 else "none"
    wins, losses = collections.Counter[str](), collections.Counter[str]()
    for each in evaluation.comparisons:
        if each.better:
            wins[each.better] += 1
            losses.update({*each.models} - {each.better})
    if not wins:
        different = sum(each.larger_than_chance for each in evaluation.comparisons)
        if not different:
            return f"No difference between {_listing(names)} is larger than chance"
        of_all = counted(len(evaluation.comparisons), "comparison")
        return f"{_listing(names)} differ beyond chance in {different} of {of_all}, but {neither} is better"
    lead = max(wins[name] - losses[name] for name in names)
    ahead = [name for name in names if wins[name] - losses[name] == lead]
    if len(ahead) > 1:
        return f"{_listing(ahead)} share the lead, so {neither} is best"
    [best] = ahead
    rank = f"the best of {len(names)} models"
    if len(names) == 2:
        rank = f"better than {names[1 - names.index(best)]}"
    of_own = counted(sum(best in each.models for each in evaluation.comparisons), "comparison")
    worse = losses[best] or "none"
    return f"{best} is {rank}: beyond chance, better in {wins[best]} of {of_own} and worse in {worse}"


def _listing(names: Sequence[str]) -> str:
    """Joins names as in a sentence: a, b and c."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def number_text(value: float, estimate: Estimate) -> str:
    """Formats a value to two digits of its interval's width, or by its size if the width is 0."""
    scale = (estimate.high - estimate.low) or abs(value) / 100
    decimals = max(0, 1 - math.floor(math.log10(scale))) if scale else 0
    text = f"{value:.{decimals}f}" if decimals <= 8 else f"{value:.2e}"
    return text.replace("-", "−")
