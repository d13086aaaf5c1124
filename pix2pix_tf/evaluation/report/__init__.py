"""report.html: metrics and outputs of the evaluated models, and a "real or fake?" game.

The page is a single file and makes no requests. Text, tables and plots are made here; the template's script
shows the images and runs the game.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from pix2pix_tf.evaluation.report.answers import read_answers, wilson_interval
from pix2pix_tf.evaluation.report.gallery import LONGEST_SIDE, Chosen, Picture, choose, script_data
from pix2pix_tf.evaluation.report.plots import curve_plots, fine_detail, spectra
from pix2pix_tf.evaluation.report.tables import difference_tables, marked_models, metric_rows
from pix2pix_tf.evaluation.report.verdict import verdict
from pix2pix_tf.evaluation.report.words import JSON_OPTIONS
from pix2pix_tf.files import printable, write_whole

__all__ = ["LIMIT", "LONGEST_SIDE", "Picture", "read_answers", "wilson_interval", "write_report"]

LIMIT = 5_000_000  # bytes of the whole page

_SLACK = 10_000  # bytes of page elements that appear only if there are images


def write_report(
    path: Path,
    results: Mapping[str, Any],
    pictures: Sequence[Picture],
    curves: Mapping[str, Sequence[Mapping[str, float]]] = {},
) -> None:
    """Writes the page, of at most `LIMIT` bytes.

    If not all images fit, it shows the worst, the best and an even selection of the others.

    Args:
        results: content of metrics.json.
        pictures: the evaluated images in any order; if empty, the page has no gallery and no game.
        curves: lines of metrics.jsonl by model: ``step`` and values by name.
    """
    results, curves = _clean(results), _clean(curves)
    facts = {
        "results": results,
        "models": marked_models(results),
        "verdict": verdict(results),
        "rows": metric_rows(results),
        "pairs": difference_tables(results),
        "spectra": spectra(results),
        "detail": fine_detail(results),
        "curves": curve_plots(results, curves),
        "total": len(pictures),
        "longest_side": LONGEST_SIDE,
        "shrunk": any(max(picture.target.shape[:2]) > LONGEST_SIDE for picture in pictures),
    }
    render = functools.partial(_template().render, facts)
    data = script_data(results)
    bare = render(data=data, chosen=Chosen([], 0, 0, "", []))
    chosen = choose(results, pictures, LIMIT - len(printable(bare).encode()) - _SLACK)
    write_whole(path, printable(render(data={**data, **chosen.embedded()}, chosen=chosen)))


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=True,
    )
    environment.policies["json.dumps_kwargs"] = JSON_OPTIONS
    return environment.get_template("report.html.jinja")


def _clean(value: Any) -> Any:
    """Escapes names that aren't UTF-8, and replaces NaN and infinity by None, for HTML and JSON."""
    if isinstance(value, Mapping):
        return {printable(str(key)): _clean(each) for key, each in value.items()}
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, np.ndarray | list | tuple):
        return [_clean(each) for each in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
