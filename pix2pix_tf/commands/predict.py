"""``pix2pix predict``."""

from __future__ import annotations

from pix2pix_tf.commands.parsing import start_frameworks
from pix2pix_tf.inference.options import PredictOptions


def run(options: PredictOptions) -> None:
    start_frameworks()
    from pix2pix_tf.inference.predict import predict

    print(predict(options))
