"""Mean absolute error of a run on its held-out pairs, on the [0, 1] scale.

    python benchmarks/val_l1.py RUN [--step STEP ...]

Both images of a pair are resized to the training size without jitter. One JSON line a checkpoint and
direction: a run that was trained without pairs has two, and is measured on the held-out pairs all the same.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from pix2pix_tf import load, open_dataset, replace
from pix2pix_tf.data.pipeline import held_out_images
from pix2pix_tf.models.registry import model_for
from pix2pix_tf.runs import RunDirectory


def main() -> None:
    """Measures the newest checkpoint, or those that are named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--step", type=int, nargs="*", default=[])
    args = parser.parse_args()

    run = RunDirectory(args.run)
    config = run.read_config()
    for direction in model_for(config).painters():
        dataset = open_dataset(replace(config, direction=direction), "pairs")
        pairs = held_out_images(dataset, config.data.size, dataset.count(dataset.held_out))
        for step in args.step or [run.latest_step()]:
            translate = load(args.run, step=step, direction=direction)
            errors = [mean_absolute_error(translate(image), target) for _, image, target in pairs]
            l1 = round(float(np.mean(errors)), 4)
            print(json.dumps({"step": step, "direction": direction, "pairs": len(pairs), "l1": l1}))


def mean_absolute_error(output: np.ndarray, target: np.ndarray) -> float:
    """Returns the mean difference of uint8 ``output`` and integer ``target``, both scaled to [0, 1]."""
    return float(np.abs(output / 255 - target / tf.as_dtype(target.dtype).max).mean())


if __name__ == "__main__":
    main()
