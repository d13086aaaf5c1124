"""report.html: metrics and outputs of the evaluated models, and a "real or fake?" game.

The page is a single file and makes no requests. This package renders text, tables and plots. The template's
script shows the images and runs the game.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2

from pix2pix_tf.evaluation.report.answers import ANSWERS_FORMAT, answers_key
from pix2pix_tf.evaluation.report.gallery import JSON_OPTIONS, LONGEST_SIDE, ReportImage, Selection, select
from pix2pix_tf.evaluation.report.plots import curve_plots, fine_detail, spectrum_plots
from pix2pix_tf.evaluation.report.summary import number_text, summarize
from pix2pix_tf.evaluation.report.tables import difference_tables, metric_rows
from pix2pix_tf.evaluation.results import Evaluation
from pix2pix_tf.files import printable, write_whole
from pix2pix_tf.metrics import ImageMetric

__all__ = ["LIMIT", "LONGEST_SIDE", "ReportImage", "write_report"]

LIMIT = 5_000_000  # bytes of the whole page

_SLACK = 10_000  # bytes of the page elements that only appear with images
_MARKS = 6  # colors in the template


def write_report(
    path: Path,
    evaluation: Evaluation,
    images: Sequence[ReportImage],
    curves: Mapping[str, Sequence[Mapping[str, float]]],
) -> None:
    """Writes the page, at most `LIMIT` bytes.

    If not all images fit, it shows the worst, the best and an even selection of the others. ``curves`` maps
    each model to the lines of its metrics.jsonl.
    """
    headline, sentences = summarize(evaluation)
    marks = {model.name: index % _MARKS for index, model in enumerate(evaluation.models)}
    facts = {
        "results": evaluation,
        "marks": marks,
        "headline": headline,
        "sentences": sentences,
        "rows": metric_rows(evaluation),
        "differences": difference_tables(evaluation),
        "spectra": spectrum_plots(evaluation, marks),
        "detail": fine_detail(evaluation),
        "curves": curve_plots(curves, marks),
        "total": len(images),
        "longest_side": LONGEST_SIDE,
        "shrunk": any(max(image.target.shape[:2]) > LONGEST_SIDE for image in images),
    }
    data = {
        "format": ANSWERS_FORMAT,
        "dataset": evaluation.dataset,
        "models": [{"name": name, "mark": mark, "key": answers_key(name)} for name, mark in marks.items()],
        "metrics": [
            {"name": metric.name, "label": metric.label, "direction": metric.direction}
            for metric in evaluation.metrics
            if isinstance(metric, ImageMetric)
        ],
    }

    def render(chosen: Selection) -> str:
        # Escapes file names that aren't UTF-8. This is valid in both JSON and HTML.
        shown = {"uris": chosen.uris, "images": chosen.entries}
        return printable(_template().render(facts, data=data | shown, chosen=chosen))

    bare = render(Selection())
    write_whole(path, render(select(evaluation, images, LIMIT - len(bare.encode()) - _SLACK)))


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
    environment.filters["number"] = number_text
    environment.policies["json.dumps_kwargs"] = JSON_OPTIONS
    return environment.get_template("report.html.jinja")
