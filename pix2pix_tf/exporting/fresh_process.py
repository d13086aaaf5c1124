"""Runs an exported model in a new process, as a user would.

    python -m pix2pix_tf.exporting.fresh_process MODEL INPUTS.npz OUTPUTS.npz

INPUTS has arrays named 0, 1 and so on: images uint8 or uint16 [height, width, channels], or noise float32
[numbers]. OUTPUTS has an output [height, width, output channels] for each signature and input, named
SIGNATURE/0, SIGNATURE/1 and so on. It also has 'seconds', the time per input with the first signature after
warm-up. The process exits when its standard input closes, so it never outlives its parent.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pix2pix_tf.errors import SystemFault
from pix2pix_tf.formats.translator import Translate

_ROOT = Path(__file__).parents[2]


def translate_in_fresh_process(
    model: Path, images: Sequence[np.ndarray]
) -> tuple[dict[str, list[np.ndarray]], list[float]]:
    """Runs an exported model on images uint8 or uint16, or noise float32, in a new process.

    Returns the outputs by signature, and the seconds per input with the first signature. Raises `SystemFault`
    if the process fails.
    """
    with tempfile.TemporaryDirectory(prefix="pix2pix_tf_") as folder:
        inputs, outputs, log = (Path(folder, name) for name in ("inputs.npz", "outputs.npz", "log.txt"))
        arrays: dict[str, Any] = {str(number): image for number, image in enumerate(images)}
        np.savez(inputs, **arrays)
        command = [sys.executable, "-m", __name__, str(model), str(inputs), str(outputs)]
        paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
        with (
            log.open("wb") as written,
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=written, stderr=written, env=environment
            ) as process,
        ):
            process.wait()
        if process.returncode:
            lines = log.read_text(errors="replace").strip().splitlines()
            reason = lines[-1] if lines else f"exit code {process.returncode}"
            raise SystemFault(f"{model} failed in a new process: {reason}")
        with np.load(outputs) as stored:
            names = dict.fromkeys(name.rpartition("/")[0] for name in stored.files if "/" in name)
            found = {name: [stored[f"{name}/{number}"] for number in range(len(images))] for name in names}
            return found, stored["seconds"].tolist()


def main() -> None:
    def end_with_parent() -> None:
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    from pix2pix_tf import formats  # after the thread starts, because TensorFlow loads slowly

    model, inputs, outputs = sys.argv[1:]
    signatures = formats.load(model).signatures()
    with np.load(inputs) as stored:
        images = [stored[str(number)] for number in range(len(stored.files))]
    found: dict[str, Any] = {
        f"{name}/{number}": translate(image)
        for name, translate in signatures.items()
        for number, image in enumerate(images)
    }
    first = next(iter(signatures.values()))
    seconds = np.array([seconds_of(first, image) for image in images])
    np.savez(outputs, seconds=seconds, **found)


def seconds_of(translate: Translate, image: np.ndarray) -> float:
    """Times a call. Call once before with the same shape, to exclude compilation."""
    start = time.perf_counter()
    translate(image)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
