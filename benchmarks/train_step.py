"""Steps per second of the training step, beside the textbook step, in one run.

    python benchmarks/train_step.py [--batch-size 1] [--steps 20] [--rounds 3] [--json]

Every measurement is a process of its own, and the contenders take turns, so that a machine that slows down
slows them all. Machines differ and are noisy: compare ratios of one run only.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

CONTENDERS = ("textbook float32", "pix2pix_tf float32", "pix2pix_tf auto")


def main() -> None:
    """Measures all contenders, or with ``--contender`` one of them, in this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument(
        "--image-size", type=int, default=256, help="a multiple of 256, for the textbook's sake"
    )
    parser.add_argument("--steps", type=int, default=20, help="timed steps of each process")
    parser.add_argument("--rounds", type=int, default=3, help="processes for each contender")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.contender:
        print(json.dumps(measure(args.contender, args.batch_size, args.image_size, args.steps)))
        return

    found: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
    for _ in range(args.rounds):
        for name in CONTENDERS:
            command = [sys.executable, __file__, *sys.argv[1:], "--contender", name]
            result = subprocess.run(command, capture_output=True, text=True, check=True)
            found[name].append(json.loads(result.stdout.splitlines()[-1]))
    rows = summarise(found, args.batch_size)
    print(json.dumps(rows, indent=2) if args.json else table(rows))


def summarise(found: dict[str, list[dict[str, float]]], batch_size: int) -> list[dict[str, object]]:
    """Returns a row for each contender: medians over its processes, and the ratio to the first one."""
    rates = {
        name: statistics.median(each["steps_per_second"] for each in runs) for name, runs in found.items()
    }
    return [
        {
            "step": name,
            "steps_per_second": round(rate, 3),
            "images_per_second": round(rate * batch_size, 3),
            "ratio": round(rate / rates[CONTENDERS[0]], 2),
            "peak_rss_mb": max(each["peak_rss_mb"] for each in found[name]),
        }
        for name, rate in rates.items()
    ]


def table(rows: list[dict[str, object]]) -> str:
    """Returns the rows as a Markdown table."""
    lines = ["| step | steps/s | images/s | ratio | peak memory |", "|---|---|---|---|---|"]
    lines += [
        f"| {row['step']} | {row['steps_per_second']} | {row['images_per_second']} | {row['ratio']}× "
        f"| {row['peak_rss_mb']} MB |"
        for row in rows
    ]
    return "\n".join(lines)


def measure(contender: str, batch_size: int, size: int, steps: int) -> dict[str, float]:
    """Times one contender in this process."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    name, precision = contender.split()
    step = textbook_step(size) if name == "textbook" else project_step(precision, batch_size, size)
    shape = (batch_size, size, size, 3)
    image = tf.random.stateless_uniform(shape, (1, 2), -1, 1)
    target = tf.random.stateless_uniform(shape, (3, 4), -1, 1)
    for _ in range(3):
        step(image, target)
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        step(image, target).numpy()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"steps_per_second": 1 / statistics.median(seconds), "peak_rss_mb": peak}


def project_step(precision: str, batch_size: int, size: int):
    """Returns the project's own step as ``train.py`` runs it."""
    import itertools

    import tensorflow as tf

    from pix2pix_tf import TrainConfig, replace
    from pix2pix_tf.devices import resolve_precision
    from pix2pix_tf.training.pix2pix import Pix2Pix

    settings = {
        "batch_size": batch_size,
        "image_size": (size, size),
        "input_channels": 3,
        "output_channels": 3,
    }
    model = Pix2Pix(replace(TrainConfig(), precision=resolve_precision(precision), **settings))
    counter = itertools.count()
    return lambda image, target: model.train_step(image, target, tf.constant(next(counter), tf.int64))


def textbook_step(size: int):
    """Returns the step as textbooks have it: float32, two tapes, batch normalisation, stock Keras Adam."""
    import keras
    import tensorflow as tf
    from keras import layers

    normal = keras.initializers.RandomNormal(0.0, 0.02)

    def down(x, filters, norm=True):
        x = layers.Conv2D(filters, 4, 2, "same", use_bias=not norm, kernel_initializer=normal)(x)
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x) if norm else x
        return layers.LeakyReLU(0.2)(x)

    def up(x, filters, dropout):
        x = layers.Conv2DTranspose(filters, 4, 2, "same", use_bias=False, kernel_initializer=normal)(x)
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
        x = layers.Dropout(0.5)(x) if dropout else x
        return layers.ReLU()(x)

    x = image = layers.Input((size, size, 3))
    skips = []
    for level, filters in enumerate((64, 128, 256, 512, 512, 512, 512, 512)):
        x = down(x, filters, norm=level not in (0, 7))
        skips.append(x)
    for level, filters in enumerate((512, 512, 512, 512, 256, 128, 64)):
        x = layers.Concatenate()([up(x, filters, dropout=level < 3), skips[6 - level]])
    x = layers.Conv2DTranspose(3, 4, 2, "same", kernel_initializer=normal, activation="tanh")(x)
    generator = keras.Model(image, x)

    image, target = layers.Input((size, size, 3)), layers.Input((size, size, 3))
    x = down(down(down(layers.Concatenate()([image, target]), 64, norm=False), 128), 256)
    x = layers.Conv2D(512, 4, use_bias=False, kernel_initializer=normal)(layers.ZeroPadding2D()(x))
    x = layers.LeakyReLU(0.2)(layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x))
    x = layers.Conv2D(1, 4, kernel_initializer=normal)(layers.ZeroPadding2D()(x))
    discriminator = keras.Model([image, target], x)

    optimizers = [keras.optimizers.Adam(2e-4, beta_1=0.5) for _ in range(2)]
    for optimizer, model in zip(optimizers, (generator, discriminator), strict=True):
        optimizer.build(model.trainable_variables)

    def cross_entropy(label, logits):
        return tf.reduce_mean(
            tf.nn.sigmoid_cross_entropy_with_logits(tf.fill(tf.shape(logits), label), logits)
        )

    @tf.function
    def step(image, target):
        with tf.GradientTape() as generator_tape, tf.GradientTape() as discriminator_tape:
            fake = generator(image, training=True)
            on_real = discriminator([image, target], training=True)
            on_fake = discriminator([image, fake], training=True)
            loss = cross_entropy(1.0, on_fake) + 100.0 * tf.reduce_mean(tf.abs(target - fake))
            disc_loss = 0.5 * (cross_entropy(1.0, on_real) + cross_entropy(0.0, on_fake))
        gradients = generator_tape.gradient(loss, generator.trainable_variables)
        optimizers[0].apply(gradients, generator.trainable_variables)
        gradients = discriminator_tape.gradient(disc_loss, discriminator.trainable_variables)
        optimizers[1].apply(gradients, discriminator.trainable_variables)
        return loss

    return step


if __name__ == "__main__":
    main()
