"""``pix2pix export``."""

from __future__ import annotations

from pix2pix_tf.commands.parsing import start_frameworks
from pix2pix_tf.exporting.options import ExportOptions


def run(options: ExportOptions) -> None:
    options.chosen_formats()  # before the slow import of the frameworks
    start_frameworks()
    from pix2pix_tf.exporting.export import export, refuse_worse, table

    models = export(options)
    print(table(models))
    refuse_worse(models, options.allow_worse)
