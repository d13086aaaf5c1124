"""Milliseconds of one image by every runtime that an export can be run with, in one run.

    python benchmarks/runtimes.py runs/facades/export/facades-1 [--rounds 3] [--calls 20]

The folder is that of an export.json. Its .tflite files take part, the SavedModel beside it and, if OpenVINO
is installed, the float32 .tflite in OpenVINO, in float32. Every measurement is a process of its own with two
threads, and the runtimes take turns.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

THREADS = 2


def main() -> None:
    """Measures all runtimes, or with ``--runtime`` one of them, in this process."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--runtime", help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.runtime:
        print(milliseconds(args.runtime, args.model, args.calls))
        return

    models = models_in(args.folder)
    found: dict[str, list[float]] = {label: [] for label in models}
    for _ in range(args.rounds):
        for label, (runtime, model) in models.items():
            chosen = ["--runtime", runtime, "--model", str(model)]
            done = subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], *chosen], capture_output=True, text=True, check=True
            )
            found[label].append(float(done.stdout.splitlines()[-1]))
    print("| model | ms/image |\n|---|---|")
    for label, times in found.items():
        print(f"| {label} | {statistics.median(times):.1f} |")


def models_in(folder: Path) -> dict[str, tuple[str, Path]]:
    """Returns the runtime and the path of everything that can be measured, by its label."""
    report = json.loads((folder / "export.json").read_text(encoding="utf-8"))
    models = {}
    for artifact in report["artifacts"]:
        path = folder.parent / artifact["file"]
        if path.is_dir():
            models["SavedModel, TensorFlow"] = ("tensorflow", path)
            continue
        models[f"{path.name}, LiteRT"] = ("litert", path)
        if "float32" in artifact["artifact"] and importlib.util.find_spec("openvino"):
            models[f"{path.name}, OpenVINO"] = ("openvino", path)
    return models


def milliseconds(runtime: str, path: Path, calls: int) -> float:
    """Returns the median time of one image at 256×256, or of the .tflite's own size, once warm."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    paint = {"tensorflow": tensorflow, "litert": litert, "openvino": openvino}[runtime](path)
    for _ in range(3):
        paint()
    taken = []
    for _ in range(calls):
        start = time.perf_counter()
        paint()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken) * 1000


def tensorflow(path: Path) -> Callable[[], object]:
    """The SavedModel's signature of floats, in TensorFlow."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    model = tf.saved_model.load(str(path))
    signature = model.signatures["float"]
    channels = signature.structured_input_signature[1]["images"].shape[3]
    images = tf.random.stateless_uniform((1, 256, 256, channels), (1, 2), -1, 1)
    return lambda: (model, signature(images=images)["images"].numpy())


def litert(path: Path) -> Callable[[], object]:
    """A .tflite in LiteRT."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=THREADS)
    run = interpreter.get_signature_runner("serving_default")
    given = run.get_input_details()["image"]
    noise = np.random.default_rng(0).uniform(-1, 1, given["shape"])
    image = ((noise + 1) * 127.5 if given["dtype"] == np.uint8 else noise).astype(given["dtype"])
    return lambda: (interpreter, run(image=image))


def openvino(path: Path) -> Callable[[], object]:
    """A .tflite in OpenVINO, in float32: left alone it would take bfloat16 where there is hardware for it."""
    import openvino as ov

    core = ov.Core()
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": THREADS}
    model = core.compile_model(core.read_model(str(path)), "CPU", options)
    image = np.random.default_rng(0).uniform(-1, 1, list(model.input(0).shape)).astype(np.float32)
    return lambda: model(image)


if __name__ == "__main__":
    main()
