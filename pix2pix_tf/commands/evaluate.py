"""``pix2pix evaluate``."""

from __future__ import annotations

from pix2pix_tf.commands.parsing import start_frameworks
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.evaluation.options import EvaluateOptions


def run(options: EvaluateOptions) -> None:
    if not options.models:
        raise ConfigError("MODELS is missing; give at least one model to evaluate")
    start_frameworks()
    from pix2pix_tf.evaluation.evaluator import evaluate

    print(evaluate(options).table())
    print(f"{options.out / 'report.html'} shows the images, {options.out / 'metrics.json'} has the numbers")
