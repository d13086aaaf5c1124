"""Records what the program computes, so that a refactoring can prove that it changed nothing.

    python -m tests.campaigns.golden record before.json     # in the checkout before the change
    python -m tests.campaigns.golden record after.json      # in the one after it, on the same machine
    python -m tests.campaigns.golden compare before.json after.json

It runs commands and reads the files that they leave, so the package's layout doesn't matter. Every value
is a digest of numbers: weights, pixels, metrics. It takes about ten minutes on two cores.
"""

from __future__ import annotations

import hashlib
import json
import os
import runpy
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
import numpy as np
from PIL import Image

STEPS = ["--steps", "6", "--sample-every", "6", "--evaluate-every", "3", "--checkpoint-every", "3"]
SMALL = ["--image-size", "64", "--precision", "float32", "--log-every", "2", *STEPS]
NARROW = [*SMALL, "--base-filters", "8"]
TRAININGS: dict[str, list[str]] = {
    "pix2pix": NARROW,
    "paper": ["--recipe", "paper", "--batch-size", "2", *NARROW],
    "parts": ["--batch-size", "4", "--accumulate", "2", *NARROW],
    "bfloat16": [*NARROW, "--precision", "mixed_bfloat16"],
    "batch_norm": ["--norm", "batch", "--batch-size", "2", *NARROW],
    "resnet": ["--generator", "resnet", *NARROW],
    "encoder_decoder": ["--generator", "encoder_decoder", "--upsampling", "resize", *NARROW],
    "lsgan": ["--gan-loss", "lsgan", "--pool-size", "3", "--patch", "16", *NARROW],
    "hinge": ["--gan-loss", "hinge", "--spectral-norm", "--feature-matching", "1", *NARROW],
    "wgan_gp": ["--gan-loss", "wgan-gp", "--critic-steps", "2", *NARROW],
    "augmented": ["--diff-augment", "--lr-schedule", "cosine", "--stochastic", *NARROW],
    "jittered": [
        "--dataset",
        "pairs",
        "--jitter",
        "--flip",
        "horizontal",
        "--fit",
        "crop",
        "--direction",
        "BtoA",
        *NARROW,
    ],
    "padded": ["--dataset", "pairs", "--fit", "pad", "--label-maps", "A", *NARROW],
    "one_hot": ["--dataset", "labels", "--label-maps", "A", "--one-hot-labels", *NARROW],
    "measured": ["--dataset", "measured", *NARROW],
    **{
        task: ["--task", task, "--dataset", "photos", "--jitter", *NARROW]
        for task in ("colorize", "inpaint", "edges", "deblur", "upscale")
    },
    "cyclegan": ["--model", "cyclegan", "--pool-size", "2", *NARROW],
    "wgan": ["--model", "wgan", "--dataset", "photos", *SMALL],
}
INPUTS = {"wgan": ["--count", "2"], "measured": ["measured/A"], "inpaint": ["holes"]}
EXPORTED = ("pix2pix", "colorize", "inpaint", "upscale", "one_hot", "cyclegan", "wgan")
EVALUATED = ("pix2pix", "jittered", "one_hot", "inpaint", "cyclegan")


def main(arguments: Sequence[str]) -> int:
    match list(arguments):
        case ["record", out]:
            with tempfile.TemporaryDirectory() as folder:
                found = record(Path(folder))
            Path(out).write_text(json.dumps(found, indent=1, sort_keys=True), encoding="utf-8")
            print(f"{len(found)} values")
            return 0
        case ["compare", before, after]:
            return compare(*(json.loads(Path(each).read_text(encoding="utf-8")) for each in (before, after)))
    print(__doc__)
    return 2


def compare(before: dict[str, str], after: dict[str, str]) -> int:
    """Prints what differs; returns 1 if anything does."""
    different = [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    for name in different:
        print(f"{name}: {before.get(name, 'missing')} -> {after.get(name, 'missing')}")
    print(f"{len(different)} of {len({*before, *after})} differ")
    return 1 if different else 0


def record(folder: Path) -> dict[str, str]:
    """Trains, predicts, exports, evaluates and continues below a folder; returns digests by name."""
    os.chdir(folder)
    make_data()
    found: dict[str, str] = {}

    def take(name: str, *command: str) -> bool:
        problem = run(command)
        if problem:
            found[f"{name}: fails"] = problem
        return not problem

    for name, flags in TRAININGS.items():
        print(name, flush=True)
        run_dir = f"runs/{name}"
        if take(name, "train", *flags, "--run-dir", run_dir):
            found |= of_run(name, Path(run_dir))
        inputs = INPUTS.get(name, ["inputs"])
        for direction in (["--direction", "AtoB"], ["--direction", "BtoA"]) if name == "cyclegan" else ([],):
            out = "-".join(["predicted", name, *direction[1:]])
            if take(f"{name}: predict", "predict", run_dir, *inputs, *direction, "--out", out):
                found |= of_images(out, Path(out))
    for name in EXPORTED:
        export(name, take, found)
    for name in EVALUATED:
        direction = ["--direction", "AtoB"] if name == "cyclegan" else []
        out = f"evaluated-{name}"
        if take(out, "evaluate", f"runs/{name}", *direction, "--no-segmentation", "--out", out):
            found[out] = digest_of(without_names(json.loads(Path(out, "metrics.json").read_text())))
    distilled = ["--base-filters", "4", "--run-dir", "runs/distilled", *STEPS]
    if take("distilled", "distill", "runs/pix2pix", *distilled):
        found |= of_run("distilled", Path("runs/distilled"))
    for name in ("pix2pix", "cyclegan", "augmented", "inpaint"):
        # A schedule follows the length of the run: what is stopped must have it from the beginning.
        flags = [flag if flag != "6" else "3" for flag in TRAININGS[name]]
        longer = ["--run-dir", f"runs/{name}-continued"]
        if name in ("cyclegan", "augmented"):
            flags += ["--lr-schedule", "constant"]
        if take(f"{name}: first half", "train", *flags, *longer) and take(
            f"{name}: continued", "train", *longer, "--steps", "6"
        ):
            found |= of_run(f"{name}-continued", Path(longer[1]))
    return found


def export(name: str, take: Any, found: dict[str, str]) -> None:
    formats = ["saved_model", "tflite"] if name != "wgan" else ["saved_model"]
    out = f"exported-{name}"
    command = ["export", f"runs/{name}", "--out", out, "--allow-worse", "--formats", *formats]
    if name in ("colorize", "inpaint", "upscale", "one_hot"):
        command += ["--verification-images", *INPUTS.get(name, ["inputs"])]
    if not take(out, *command):
        return
    for model in sorted([*Path(out).glob("*/1"), *Path(out).rglob("*.tflite")]):
        inputs = INPUTS.get(name, ["inputs"])
        fit = ["--fit-input"] if model.suffix == ".tflite" else []
        pictures = f"{out}-{model.name}-{model.parent.name}"
        if take(pictures, "predict", str(model), *inputs, *fit, "--out", pictures):
            found |= of_images(pictures, Path(pictures))


def run(command: Sequence[str]) -> str:
    """Runs a command in this process; returns what went wrong, or nothing."""
    before = sys.argv
    sys.argv = ["pix2pix", *command]
    try:
        runpy.run_module("pix2pix_tf", run_name="__main__")
    except SystemExit as leaving:
        return f"exit code {leaving.code}" if leaving.code else ""
    except Exception:
        traceback.print_exc()
        return "traceback"
    finally:
        sys.argv = before
    return ""


def of_run(name: str, run_dir: Path) -> dict[str, str]:
    """Returns digests of a run's weights, losses, validation and sample grids."""
    import keras

    import pix2pix_tf.networks  # noqa: F401  (registers the layers)

    found = {}
    for file in sorted(run_dir.glob("generator*.keras")):
        weights = keras.saving.load_model(file, compile=False).get_weights()
        found[f"{name}: {file.name}"] = digest(*weights)
    for file in ("metrics.jsonl", "validation.jsonl"):
        if (run_dir / file).is_file():
            lines = map(json.loads, (run_dir / file).read_text(encoding="utf-8").splitlines())
            found[f"{name}: {file}"] = digest_of([without_times(line) for line in lines])
    return found | of_images(name, run_dir / "samples")


def of_images(name: str, folder: Path) -> dict[str, str]:
    """Returns a digest of the pixels of each image."""
    found = {}
    for file in sorted(folder.rglob("*")):
        if file.suffix == ".png":
            found[f"{name}: {file.relative_to(folder)}"] = digest(np.asarray(Image.open(file)))
        elif file.suffix in (".tif", ".npy"):
            found[f"{name}: {file.relative_to(folder)}"] = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    return found


def without_times(line: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in line.items() if "second" not in name and name != "time"}


def without_names(results: Any) -> Any:
    """Returns metrics.json without what depends on paths, packages or names of metrics."""
    if isinstance(results, dict):
        left_out = ("packages", "path", "dataset", "format")
        return {key: without_names(value) for key, value in results.items() if key not in left_out}
    return [without_names(each) for each in results] if isinstance(results, list) else results


def digest(*arrays: np.ndarray) -> str:
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.shape} {array.dtype}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:16]


def digest_of(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def make_data() -> None:
    """Draws small folders of each kind: pairs, label maps, photos, measurements."""
    for number, photo in zip(range(24), photos(), strict=False):
        labels = (photo[..., :1] // 64 * 64).repeat(3, axis=2)
        save(f"photos/{number}.png", photo)
        save(
            f"pairs/{'train' if number < 12 else 'val'}/{number}.png", np.concatenate([labels, photo], axis=1)
        )
        save(f"labels/A/{number}.png", labels)
        save(f"labels/B/{number}.png", photo)
        save(f"measured/A/{number}.png", photo)
        heights = photo.astype(np.float32).mean(axis=2) * 10 - 400
        np.save(folder_of(f"measured/B/{number}.npy"), heights)
        if number < 3:
            save(f"inputs/{number}.png", photo[: 64 - number, : 60 + number])
            alpha = np.full((*photo.shape[:2], 1), 255, np.uint8)
            alpha[20:40, 10 : 30 + number] = 0
            save(f"holes/{number}.png", np.concatenate([photo, alpha], axis=2))


def photos() -> Iterator[np.ndarray]:
    random = np.random.default_rng(0)
    while True:
        small = Image.fromarray(random.integers(0, 256, (6, 6, 3), np.uint8))
        yield np.asarray(small.resize((72, 72), Image.Resampling.BICUBIC))


def save(path: str, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(folder_of(path))


def folder_of(path: str) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return path


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
