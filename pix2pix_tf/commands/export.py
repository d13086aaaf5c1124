"""``pix2pix export``."""

from __future__ import annotations

from pix2pix_tf.commands.parsing import parse, start_frameworks
from pix2pix_tf.exporting.options import ExportOptions


def run(arguments: list[str]) -> int:
    options = parse(ExportOptions, "export", arguments)
    options.chosen_formats()  # before the slow import of the frameworks
    start_frameworks()
    from pix2pix_tf.exporting.export import export
    from pix2pix_tf.exporting.report import refuse_worse, table
    from pix2pix_tf.formats.base import is_model_name
    from pix2pix_tf.runs import open_run

    models = export(options)
    print(table(models))
    if options.name is None and not is_model_name(open_run(options.run).directory.path.resolve().name):
        print(f"served as {models[0].name}, because the run's name has invalid characters; --name changes it")
    refuse_worse(models, options.allow_worse)
    return 0
