"""``pix2pix predict``."""

from __future__ import annotations

from pix2pix_tf.commands.parsing import parse, start_frameworks
from pix2pix_tf.inference.options import PredictOptions

OPTIONS = PredictOptions


def run(arguments: list[str]) -> int:
    options = parse(PredictOptions, "predict", arguments)
    start_frameworks()
    from pix2pix_tf.inference.predict import predict

    print(predict(options))
    return 0
