"""What the tests share: a quiet TensorFlow, one small finished run, small configurations."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from pix2pix_tf import preset, replace


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Marks the tests of `tiny_run` as slow, because that run must be trained first."""
    for item in items:
        if "tiny_run" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


def small_config(run_dir, model="pix2pix", **settings):
    """The smallest training that goes through every part of the program."""
    small = {
        "image_size": (64, 64),
        "steps": 20,
        "log_every": 5,
        "sample_every": 10,
        "checkpoint_every": 10,
        "precision": "float32",
        "run_dir": run_dir,
    }
    config = preset("procedural", model)
    if hasattr(config.model, "base_filters"):
        small["base_filters"] = 8
    return replace(config, **{**small, **settings})


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """A finished run, to be read only; one for all processes of the tests."""
    from pix2pix_tf import train

    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with FileLock(folder / "tiny.lock"):
        return train(small_config(folder / "tiny" / "run"), report=lambda line: None)


@pytest.fixture
def python(tmp_path):
    """Runs a script in a fresh process; returns it finished, with text output."""

    def run(script, *arguments, **environment):
        path = tmp_path / "script.py"
        path.write_text(script, encoding="utf-8")
        root = str(Path(__file__).parents[1])
        search = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        return subprocess.run(
            [sys.executable, str(path), *map(str, arguments)],
            capture_output=True,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": search, "PYTHONIOENCODING": "utf-8", **environment},
            cwd=tmp_path,
            timeout=400,
            check=False,
        )

    return run


@pytest.fixture
def save_image():
    """Writes noise as an image file; returns the array that was written."""

    def save(path, width=40, height=30, mode="RGB", seed=0):
        draw = np.random.default_rng(seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        if mode == "I;16":
            pixels = draw.integers(0, 65536, (height, width), np.uint16)
            Image.fromarray(pixels).save(path)
            return pixels
        bands = len(Image.new(mode, (1, 1)).getbands())
        pixels = draw.integers(0, 256, (height, width, bands), np.uint8)
        pixels = pixels[..., 0] if bands == 1 else pixels
        Image.fromarray(pixels, mode).save(path)
        return pixels

    return save
