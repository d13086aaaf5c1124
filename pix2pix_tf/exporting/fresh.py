"""Runs an exported model in a process of its own, as whoever downloads it would.

    python -m pix2pix_tf.exporting.fresh MODEL INPUTS.npz OUTPUTS.npz

INPUTS has an array an image, named 0, 1 and so on: uint8 or uint16 [height, width, channels], or noise
float32 [numbers]. OUTPUTS has the picture [height, width, output channels] for each way into the model and
each input, named WAY/0, WAY/1 and so on, and 'seconds', the time that each took by the first way, once warm.
The process ends, whatever it does, when its standard input does: whoever started it is gone.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from pix2pix_tf.errors import SystemFault

_ROOT = Path(__file__).parents[2]

Paint = Callable[[np.ndarray], np.ndarray]


def paint_in_fresh_process(
    model: Path, images: Sequence[np.ndarray]
) -> tuple[dict[str, list[np.ndarray]], list[float]]:
    """Translates images with an exported model that a new process loads.

    Args:
        model: a SavedModel's version directory, a .tflite or an .onnx file.
        images: uint8 or uint16 [height, width, channels], or noise float32 [numbers].

    Returns:
        For each way into the model (its signatures) the outputs, [height, width, channels], and the
        seconds that each image took by the first way.

    Raises:
        SystemFault: the process failed.
    """
    with tempfile.TemporaryDirectory(prefix="pix2pix_tf_") as folder:
        inputs, outputs = Path(folder, "inputs.npz"), Path(folder, "outputs.npz")
        np.savez(inputs, allow_pickle=False, **{str(number): image for number, image in enumerate(images)})
        command = [sys.executable, "-m", __name__, str(model), str(inputs), str(outputs)]
        paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
        with _lifeline() as lifeline:
            done = subprocess.run(
                command, stdin=lifeline, capture_output=True, text=True, errors="replace", env=environment
            )
        if done.returncode:
            reason = next(reversed(done.stderr.strip().splitlines()), f"exit code {done.returncode}")
            raise SystemFault(f"{model} could not be run in a process of its own: {reason}")
        with np.load(outputs) as stored:
            ways = dict.fromkeys(name.rpartition("/")[0] for name in stored.files if "/" in name)
            painted = {way: [stored[f"{way}/{number}"] for number in range(len(images))] for way in ways}
            return painted, stored["seconds"].tolist()


@contextlib.contextmanager
def _lifeline() -> Iterator[IO[bytes]]:
    """Gives a stream that ends when this process does, even if it is killed."""
    reading, writing = os.pipe()  # no child inherits the end for writing
    with open(reading, "rb") as stream, open(writing, "wb"):
        yield stream


def _end_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


def main() -> None:
    """Paints what the process was given."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from pix2pix_tf import translators  # needs TensorFlow, which the parent may not have loaded yet

    model, inputs, outputs = sys.argv[1:]
    ways = translators.load(model).ways()
    with np.load(inputs) as stored:
        images = [stored[str(number)] for number in range(len(stored.files))]
    painted = {
        f"{way}/{number}": paint(image) for way, paint in ways.items() for number, image in enumerate(images)
    }
    first = next(iter(ways.values()))
    seconds = np.array([seconds_of(first, image) for image in images])
    np.savez(outputs, allow_pickle=False, seconds=seconds, **painted)


def seconds_of(paint: Paint, image: np.ndarray) -> float:
    """Returns the time of a call; the first of a shape, which compiles, should have been made before."""
    start = time.perf_counter()
    paint(image)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
