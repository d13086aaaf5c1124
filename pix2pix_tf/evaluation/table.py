"""An evaluation's numbers for the terminal."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pix2pix_tf.wording import counted


def table(results: Mapping[str, Any]) -> str:
    """Returns what metrics.json holds as lines: all models with their intervals, and what differs."""
    names = list(results["models"])
    shown = Table(
        title=f"{escape(results['dataset'])} {results['split']}, {counted(results['count'], 'pair')}, "
        f"{results['direction']}"
    )
    shown.add_column("")
    for name in (*names, "targets"):
        shown.add_column(escape(name), justify="right")
    everything = [*(results["models"][name]["values"] for name in names), results["targets"]["values"]]
    for metric, described in results["metrics"].items():
        shown.add_row(described["label"], *(_cell(values.get(metric)) for values in everything))
    lines = io.StringIO()
    console = Console(file=lines, width=30 + 26 * len(everything), highlight=False)
    console.print(shown)
    for pair in results["comparisons"]:
        if pair["better"]:
            other = next(name for name in pair["models"] if name != pair["better"])
            label = results["metrics"][pair["metric"]]["label"]
            better = f"{label}: {pair['better']} is better than {other}, by more than chance"
            console.print(better, markup=False, soft_wrap=True)
    for missing in results["left_out"]:
        console.print(f"left out: {missing['metric']}: {missing['because']}", markup=False, soft_wrap=True)
    return lines.getvalue().rstrip()


def _cell(value: Mapping[str, float] | None) -> str:
    if value is None:
        return ""
    if value["low"] == value["high"]:
        return f"{value['value']:.4g}"
    return f"{value['value']:.4g} ({value['low']:.4g}–{value['high']:.4g})"
