"""``pix2pix export``."""

from __future__ import annotations

from pix2pix_tf.commands.parsing import parse, start_frameworks
from pix2pix_tf.exporting.options import ExportOptions

OPTIONS = ExportOptions


def run(arguments: list[str]) -> int:
    options = parse(ExportOptions, "export", arguments)
    options.chosen_formats()  # before the slow import of the frameworks
    start_frameworks()
    from pix2pix_tf.exporting.export import export, refuse_worse, table

    models = export(options)
    print(table(models))
    refuse_worse(models, options.allow_worse)
    return 0
