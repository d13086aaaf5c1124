"""Megabytes and milliseconds of generators of several widths as .tflite, in one run, on two threads.

    python benchmarks/small.py [--filters 8 16 24 32 64] [--image-size 256] [--rounds 5] [--calls 20]

The networks are the default's with first weights: size and speed don't depend on what they have learnt. The
models take turns, and the median over all rounds counts; machines differ, so compare within one run.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import time

THREADS = 2
KINDS = ("none", "float16", "int8")


def main() -> None:
    """Converts and measures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--filters", type=int, nargs="+", default=[8, 16, 24, 32, 64])
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=20)
    args = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

    keys = list(itertools.product(args.filters, KINDS))
    models = {(filters, kind): converted(filters, args.image_size, kind) for filters, kind in keys}
    times: dict[tuple[int, str], list[float]] = {key: [] for key in models}
    for _ in range(args.rounds):
        for key, model in models.items():
            times[key].append(milliseconds(model, args.calls))
    print("| filters | float32, MB | ms | float16, MB | ms | int8, MB | ms |\n|---|---|---|---|---|---|---|")
    for filters in args.filters:
        cells = [
            f"{len(models[filters, kind]) / 1e6:.1f} | {statistics.median(times[filters, kind]):.1f}"
            for kind in KINDS
        ]
        print(f"| {filters} | {' | '.join(cells)} |")


def converted(filters: int, side: int, kind: str) -> bytes:
    """Returns a generator of that width as a .tflite."""
    import numpy as np

    from pix2pix_tf import preset, replace
    from pix2pix_tf.formats.run import GeneratorTranslator
    from pix2pix_tf.formats.tflite.conversion import convert
    from pix2pix_tf.models.registry import model_for

    settings = {"base_filters": filters, "image_size": side, "precision": "float32"}
    model = model_for(replace(preset("facades"), input_channels=3, output_channels=3, **settings))
    [generator] = model.published_generators().values()
    noise = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), np.uint8)
    return convert(GeneratorTranslator(model, generator), (side, side), kind, noise)


def milliseconds(model: bytes, calls: int) -> float:
    """Returns the median time of one image, once warm."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model, num_threads=THREADS)
    interpreter.allocate_tensors()
    [given] = interpreter.get_input_details()
    interpreter.set_tensor(given["index"], np.zeros(given["shape"], given["dtype"]))
    taken = []
    for call in range(calls + 3):
        begin = time.perf_counter()
        interpreter.invoke()
        if call >= 3:
            taken.append(time.perf_counter() - begin)
    return statistics.median(taken) * 1000


if __name__ == "__main__":
    main()
