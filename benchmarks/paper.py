"""The paper's analysis (Isola et al. 2017, section 4): losses, generators and patches at one budget.

    python benchmarks/paper.py --out runs/paper [--budget 4000] [--size 128] [--with-cyclegan]

Trains every row of the paper's tables 1 to 3 on facades, labels to photo, by the recipe 'paper', and judges
them on the validation pairs. Finished runs are not trained again, and those that were stopped go on, so that
the command may be interrupted and given again. With --with-cyclegan its generator of photos is in the same
table, after as many steps. Writes to OUT: table.md, report.html and metrics.json, and sheets in the form of
the paper's figures 4, 5 and 6: losses.png, generators.png and patches.png.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from pix2pix_tf import load, open_dataset, preset, replace, train
from pix2pix_tf.config import TrainConfig
from pix2pix_tf.data.pipeline import held_out_images
from pix2pix_tf.evaluation.evaluator import EvaluateOptions, evaluate
from pix2pix_tf.evaluation.intervals import Estimate
from pix2pix_tf.evaluation.results import Evaluation
from pix2pix_tf.sample_grids import write_grid

L1_ALONE = {"gan_weight": 0.0}
LOSSES: dict[str, dict[str, Any]] = {
    "L2": {**L1_ALONE, "pixel_loss": "l2"},
    "L1": L1_ALONE,
    "GAN": {"l1_weight": 0.0, "unconditional": True},
    "cGAN": {"l1_weight": 0.0},
    "L1+GAN": {"unconditional": True},
    "L1+cGAN": {},
}
GENERATORS: dict[str, dict[str, Any]] = {
    "encoder-decoder (L1)": {**L1_ALONE, "generator": "encoder_decoder"},
    "encoder-decoder (L1+cGAN)": {"generator": "encoder_decoder"},
}
PATCHES: dict[str, dict[str, Any]] = {f"patch {patch}": {"patch": patch} for patch in (1, 16, 286)}
CYCLEGAN = "CycleGAN, labels to photo"

# Which rows stand in which of the paper's figures.
SHEETS: dict[str, Sequence[str]] = {
    "losses": ("L1", "cGAN", "L1+cGAN"),
    "generators": ("encoder-decoder (L1)", "encoder-decoder (L1+cGAN)", "L1", "L1+cGAN"),
    "patches": ("L1", "patch 1", "patch 16", "L1+cGAN", "patch 286"),
}
COLUMNS = ("pixel_accuracy", "class_accuracy", "miou", "l1", "ssim", "sharpness", "colors")
SHOWN = 4


def main() -> None:
    """Trains what isn't trained yet, and compares."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dataset", default="facades")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--budget", type=int, default=4000, help="steps of every run")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--base-filters", type=int, default=32)
    parser.add_argument("--with-cyclegan", action="store_true")
    args = parser.parse_args()

    shared = {
        "data_dir": args.data_dir,
        "epochs": None,
        "steps": args.budget,
        "image_size": args.size,
        "base_filters": args.base_filters,
        "sample_every": args.budget,
        "checkpoint_every": 1000,
    }
    base = replace(preset(args.dataset, recipe="paper"), **shared)
    rows = {name: replace(base, **settings) for name, settings in (LOSSES | GENERATORS | PATCHES).items()}
    if args.with_cyclegan:
        rows[CYCLEGAN] = replace(preset(args.dataset, "cyclegan", "paper"), **shared)
    runs = {
        name: train(replace(config, run_dir=args.out / folder(name))).path for name, config in rows.items()
    }

    found = evaluate(EvaluateOptions(tuple(map(str, runs.values())), out=args.out))
    values = {model.name: model.values for model in found.models}
    lines = table({name: values[folder(name)] for name in runs}, found)
    (args.out / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    for sheet, names in SHEETS.items():
        write_figure(args.out / f"{sheet}.png", base, {name: runs[name] for name in names})


def folder(name: str) -> str:
    """Returns the name of a row's run directory."""
    return "".join(each if each.isalnum() else "_" for each in name)


def table(values: Mapping[str, Mapping[str, Estimate]], evaluation: Evaluation) -> list[str]:
    """Returns the rows as a Markdown table, the real photos' own scores last."""
    by_name = {metric.name: metric for metric in evaluation.metrics}
    shown = [name for name in COLUMNS if name in by_name]
    labels = [by_name[name].label for name in shown]
    rows = {**values, "real photos": evaluation.targets.values}
    lines = [f"| | {' | '.join(labels)} |", "|---" * (1 + len(labels)) + "|"]
    for name, found in rows.items():
        cells = [f"{found[metric].value:.3f}" if metric in found else "" for metric in shown]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def write_figure(path: Path, base: TrainConfig, runs: Mapping[str, Path]) -> None:
    """Writes a sheet: input, the runs' pictures, target."""
    direction = base.data.direction
    pairs = held_out_images(open_dataset(base), base.data.size, SHOWN)
    pictures = {}
    for name, run in runs.items():
        translate = load(run, direction=direction)
        pictures[name] = [translate(image) for _, image, _ in pairs]
    shown = [
        [image, *(each[number] for each in pictures.values()), target]
        for number, (_, image, target) in enumerate(pairs)
    ]
    title = f"{base.data.dataset}, {base.optimization.steps} steps"
    write_grid(path, title, ("input", *pictures, "target"), shown)


if __name__ == "__main__":
    main()
