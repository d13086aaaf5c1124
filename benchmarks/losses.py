"""The adversarial losses side by side: one run each, with the error on the held-out pairs, and a sheet.

    python benchmarks/losses.py --out runs/losses [--dataset facades] [--steps 4000] [--image-size 128]

Trains pix2pix once with each loss, and wgan-gp with a penalty ten times as heavy, too, everything else being
the same; finished runs are not trained again, and those that were stopped go on. Prints a Markdown table, and
writes OUT/sheet.png: rows of input, the pictures by each loss, and target; and OUT/gradient_norm.png: the
norms of both critics' gradients over the steps.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt
import numpy as np

from pix2pix_tf import load, open_dataset, preset, replace, train
from pix2pix_tf.data.pipeline import held_out_images
from pix2pix_tf.evaluation.measure import unit_range
from pix2pix_tf.losses import GAN_LOSSES
from pix2pix_tf.metrics import absolute_error
from pix2pix_tf.recording.jsonl import read_metrics
from pix2pix_tf.sample_grids import write_grid

SHOWN = 4
RUNS: dict[str, dict[str, object]] = {loss: {"gan_loss": loss} for loss in GAN_LOSSES}
RUNS["wgan-gp-100"] = {"gan_loss": "wgan-gp", "gradient_penalty": 100.0}


def main() -> None:
    """Trains what isn't trained yet, and compares."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dataset", default="facades")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--base-filters", type=int, default=32)
    args = parser.parse_args()

    base = replace(
        preset(args.dataset),
        data_dir=args.data_dir,
        epochs=None,
        steps=args.steps,
        image_size=args.image_size,
        base_filters=args.base_filters,
        sample_every=args.steps,
        checkpoint_every=1000,
    )
    runs = {
        name: train(replace(base, **settings, run_dir=args.out / name)) for name, settings in RUNS.items()
    }

    dataset = open_dataset(base)
    rows = held_out_images(dataset, base.data.size, dataset.count(dataset.held_out))
    penalised = {name: run.metrics_file for name, run in runs.items() if name.startswith("wgan-gp")}
    plot_norms(penalised, args.out / "gradient_norm.png")
    print("| loss | L1, held-out pairs | D's loss | G's adversarial loss | gradient norm |")
    print("|---|---|---|---|---|")
    pictures = {}
    for loss, run in runs.items():
        translate = load(run.path, step=args.steps)
        pictures[loss] = [translate(image) for _, image, _ in rows]
        pairs = zip(pictures[loss], rows, strict=True)
        error = np.mean([absolute_error(unit_range(picture), unit_range(row[2])) for picture, row in pairs])
        lines = [line for line in read_metrics(run.metrics_file) if line["step"] > args.steps // 2]
        means = {
            name: f"{np.mean([line[name] for line in lines]):.3f}" if name in lines[0] else ""
            for name in ("disc", "gen_gan", "disc_gradient_norm")
        }
        print(f"| {loss} | {error:.4f} | {' | '.join(means.values())} |")
    chosen = np.linspace(0, len(rows) - 1, SHOWN).round().astype(int)
    columns = ("input", *pictures, "target")
    shown = [[rows[n][1], *(each[n] for each in pictures.values()), rows[n][2]] for n in chosen]
    write_grid(args.out / "sheet.png", f"{args.dataset}, {args.steps} steps", columns, shown)


def plot_norms(metrics: dict[str, Path], out: Path) -> None:
    """Plots the gradient norms of critics over the steps.

    Args:
        metrics: the files of the runs' figures, by the runs' names.
        out: the PNG file.
    """
    figure, axes = plt.subplots(figsize=(8, 3.5), layout="constrained")
    for name, file in metrics.items():
        lines = read_metrics(file)
        axes.plot(
            [line["step"] for line in lines], [line["disc_gradient_norm"] for line in lines], label=name
        )
    axes.axhline(1.0, color="black", linestyle=":")
    axes.set(xlabel="step", ylabel="norm of the critic's gradient")
    axes.legend()
    figure.savefig(out, dpi=100)


if __name__ == "__main__":
    main()
