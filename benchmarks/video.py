"""Flicker with own and with averaged statistics of instance normalization, and `predict`'s speed and memory.

    python benchmarks/video.py RUN [--frames 250]

Makes clips from held-out pairs of the run's data set. Flicker is the mean difference of the output between
frames, where the input changes by at most 2 of 255, with noise 8. The average is over 10 frames of a shot.
"""

from __future__ import annotations

import argparse
import collections
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from pix2pix_tf import load, open_dataset
from pix2pix_tf.data.pipeline import held_out_images
from pix2pix_tf.formats.translator import Translator
from pix2pix_tf.runs import open_run

COUNT = 24
MEASURED = """import resource, sys
from pix2pix_tf.commands.main import main
main(sys.argv[1:])
print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, 'MB')"""


def main() -> None:
    """Prints the table of flicker, then speed and memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--frames", type=int, default=250)
    args = parser.parse_args()
    config = open_run(args.run).config
    rows = held_out_images(open_dataset(config), config.data.size, 3)
    pairs = [tuple(np.asarray(image) for image in row[1:]) for row in rows]
    translate = load(args.run)
    print("| clip | statistics | flicker | from own | L1 to target |\n|---|---|---|---|---|")
    for name, (inputs, targets) in clips(pairs).items():
        own = [translate(image) for image in inputs]
        is_still = difference(inputs).max(-1) <= (8 if name == "noise" else 2)
        for label, outputs in {"own": own, "average": averaged(translate, inputs)}.items():
            changes = zip(is_still, difference(outputs).mean(-1), strict=True)
            flicker = np.mean([change[still].mean() for still, change in changes if still.mean() > 0.1])
            values = [flicker, *(np.abs(np.int16(outputs) - each).mean() for each in (own, targets))]
            print(f"| {name} | {label} | {' | '.join(f'{value:.2f}' for value in values)} |", flush=True)

    still = tf.image.resize(pairs[0][0], (360, 1280)).numpy().astype(np.uint8)
    translate(still[:, :640])  # traces the graph
    start = time.perf_counter()
    for _ in range(50):
        translate(still[:, :640])
    print(f"the network alone: {50 / (time.perf_counter() - start):.1f} images per second")
    with tempfile.TemporaryDirectory() as folder:
        for frames in (args.frames, 4 * args.frames):
            write(Path(folder, "in.mp4"), still, frames)
            command = ["predict", str(args.run), f"{folder}/in.mp4", "--out", f"{folder}/out.mp4"]
            done = subprocess.run([sys.executable, "-c", MEASURED, *command], capture_output=True, text=True)
            print(f"{frames} frames of 640x360:", *done.stdout.splitlines())


def difference(frames: list[np.ndarray]) -> np.ndarray:
    return np.abs(np.diff(np.int16(frames), axis=0))


def clips(pairs: list[tuple[np.ndarray, ...]]) -> dict[str, tuple[list[np.ndarray], list[np.ndarray]]]:
    """Returns each clip's inputs and targets."""
    part = len(pairs[0][0]) // 3
    draw = np.random.default_rng(0)

    def moving(background: np.ndarray, thing: np.ndarray) -> list[np.ndarray]:
        frames = [background.copy() for _ in range(COUNT)]
        for at, frame in enumerate(frames):
            left = at * 2 * part // COUNT
            frame[part : 2 * part, left : left + part] = thing[part : 2 * part, part : 2 * part]
        return frames

    first, second, third = pairs
    cameras = [np.concatenate(sides, axis=1) for sides in zip(first, second, strict=True)]
    one, other = ([moving(*sides) for sides in zip(pair, second, strict=True)] for pair in (first, third))
    noise = [first[0] + draw.normal(0, 2, first[0].shape) for _ in range(COUNT)]
    return {
        "moving camera": tuple([x[:, 4 * at :][:, : 3 * part] for at in range(COUNT)] for x in cameras),
        "moving object": tuple(one),
        "cut": tuple(a[: COUNT // 2] + b[COUNT // 2 :] for a, b in zip(one, other, strict=True)),
        "noise": ([x.clip(0, 255).round().astype(np.uint8) for x in noise], [first[1]] * COUNT),
        "fade": ([(first[0] * (1 - at / 120)).astype(np.uint8) for at in range(COUNT)], [first[1]] * COUNT),
    }


def averaged(translate: Translator, frames: list[np.ndarray]) -> list[np.ndarray]:
    """Translates frames with the average statistics of the last frames, as if they were tiles."""
    last, outputs, window = None, [], collections.deque(maxlen=10)
    for frame in frames:
        small = tf.image.resize(frame, (16, 16), "area").numpy()
        if last is not None and np.abs(small - last).mean() > 20:
            window.clear()  # a cut
        window.append(frame)
        last = small
        outputs.append(translate.for_tiles(window)(frame))
    return outputs


def write(path: Path, still: np.ndarray, frames: int) -> None:
    """Writes a clip of a moving camera."""
    import av

    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", 25)
        video.height, video.width = 360, 640
        for at in range(frames):
            image = np.ascontiguousarray(still[:, at * 640 // frames :][:, :640])
            container.mux(video.encode(av.VideoFrame.from_ndarray(image)))
        container.mux(video.encode())


if __name__ == "__main__":
    main()
