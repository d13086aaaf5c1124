"""The translator beside a plain ``model(x, training=False)`` loop in float32, in one run.

    python benchmarks/predict.py [--run RUN] [--images 100]

Median milliseconds of one 256×256 image, images per second of many, and the PSNR of bfloat16 against
float32. Without --run the default's network is taken with its initial weights: the same speed, no picture.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from pix2pix_tf.formats.run import GeneratorTranslator, translators_for
from pix2pix_tf.models.registry import defaults, model_for
from pix2pix_tf.runs import open_run


def main() -> None:
    """Lets the contenders take turns, image by image, so that noise hits them all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path)
    parser.add_argument("--images", type=int, default=100)
    args = parser.parse_args()

    exact, fast = (translator(args.run, precision) for precision in ("float32", "mixed_bfloat16"))
    fast.network.set_weights(exact.network.get_weights())
    fast.take_changed_weights()

    def plain(image: np.ndarray) -> np.ndarray:
        x = tf.cast(image[np.newaxis], tf.float32) / 127.5 - 1.0
        y = exact.network(x, training=False)[0]
        return tf.cast(tf.round(y * 127.5 + 127.5), tf.uint8).numpy()

    contenders = {"plain loop, float32": plain, "translator, float32": exact, "translator, bfloat16": fast}
    images = np.random.default_rng(0).integers(0, 256, (args.images, 256, 256, 3), np.uint8)
    for contender in contenders.values():
        contender(images[0])
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for image in images:
        for name, contender in contenders.items():
            start = time.perf_counter()
            contender(image)
            seconds[name].append(time.perf_counter() - start)

    slowest = statistics.median(seconds["plain loop, float32"])
    print("| contender | median | images/s | ratio |\n|---|---|---|---|")
    for name, each in seconds.items():
        median = statistics.median(each)
        print(f"| {name} | {1e3 * median:.1f} ms | {len(each) / sum(each):.1f} | {slowest / median:.2f}x |")
    difference = np.mean(
        [np.square(fast(image) - exact(image).astype(float)).mean() for image in images[:20]]
    )
    print(f"bfloat16 against float32: PSNR {10 * np.log10(255**2 / difference):.1f} dB")


def translator(run: Path | None, precision: str) -> GeneratorTranslator:
    """Returns a translator of a run, or of the untrained network."""
    if run is not None:
        return GeneratorTranslator.load(open_run(run), precision=precision)
    [untrained] = translators_for(model_for(defaults()), precision).values()
    return untrained


if __name__ == "__main__":
    main()
