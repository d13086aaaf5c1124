"""The folder in which commands of the documentation run: small data sets, runs and an exported model."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pix2pix_tf import preset, replace, train
from pix2pix_tf.commands.main import main
from pix2pix_tf.data.procedural.painting import draw_pair

PAIRS = {"train": 8, "val": 10, "test": 10}
SIDE = 64


def _write_pairs(folder, counts=PAIRS):
    """Writes pairs side by side: photos on the left, label maps on the right."""
    for seed, (split, count) in enumerate(counts.items()):
        (folder / split).mkdir(parents=True)
        for index in range(count):
            pair = np.concatenate(draw_pair(seed, index, SIDE, SIDE), axis=1)
            Image.fromarray(pair).save(folder / split / f"{index:03}.png")


def _write_sides(folder, sides):
    """Writes each of `sides`, the names of two folders, with images of the same names."""
    for side, name in enumerate(sides):
        (folder / name).mkdir(parents=True)
        for index in range(12):
            Image.fromarray(draw_pair(5, index, SIDE, SIDE)[side]).save(folder / name / f"{index:03}.png")


@pytest.fixture(scope="session")
def examples(tmp_path_factory):
    """Data sets, runs and models with the names that the documentation uses."""
    home = tmp_path_factory.mktemp("examples")
    _write_pairs(home / "my_pairs")
    _write_sides(home / "my_folders", ("A", "B"))
    _write_sides(home / "my_images", ("trainA", "trainB"))
    _write_sides(home / "my_images", ("testA", "testB"))
    for name in ("photos", "labels"):
        shutil.copytree(home / "my_folders" / ("A" if name == "photos" else "B"), home / name)
    photo, labels = (Image.fromarray(image) for image in draw_pair(6, 0, SIDE, SIDE))
    photo.save(home / "photo.jpg", quality=95)
    labels.save(home / "labels.png")
    drawing = Path(__file__).parents[2] / "docs" / "images" / "drawing.png"
    for place in (home, home / "docs" / "images"):
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(drawing, place)
    _write_video(home / "clip.mp4")

    config = replace(
        preset(str(home / "my_pairs")),
        direction="BtoA",
        image_size=(SIDE, SIDE),
        base_filters=8,
        steps=4,
        epochs=None,
        sample_every=2,
        checkpoint_every=2,
        evaluate_every=2,
        log_every=2,
        run_dir=home / "runs" / "my_pairs",
    )
    train(config, report=lambda line: None)
    shutil.copytree(home / "runs" / "my_pairs", home / "runs" / "facades")
    exported = ["export", str(home / "runs" / "my_pairs"), "--out", str(home / "export"), "--allow-worse"]
    formats = ["--formats", "saved_model", "tflite", "--quantize", "none", "float16", "int8"]
    assert main([*exported, *formats]) == 0

    # Named data sets, as they are after the download.
    named = home / "tensorflow_datasets" / "images"
    _write_pairs(named / "facades")
    _write_pairs(named / "edges2shoes")
    _write_sides(named / "emoji", ("trainA", "trainB"))
    _write_sides(named / "emoji", ("valA", "valB"))
    _write_sides(named / "emoji", ("testA", "testB"))
    _write_sides(named / "cycle_gan" / "horse2zebra", ("trainA", "trainB"))
    _write_sides(named / "cycle_gan" / "horse2zebra", ("testA", "testB"))
    return home


def _write_video(file):
    av = pytest.importorskip("av")
    with av.open(str(file), "w") as clip:
        stream = clip.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv420p"
        for index in range(4):
            frame = av.VideoFrame.from_ndarray(draw_pair(6, index, SIDE, SIDE)[0], format="rgb24")
            clip.mux(stream.encode(frame))
        clip.mux(stream.encode(None))


@pytest.fixture
def example_folder(examples, tmp_path, monkeypatch):
    """A copy of `examples` as the working directory."""
    folder = tmp_path / "page"
    shutil.copytree(examples, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TFDS_DATA_DIR", str(folder / "tensorflow_datasets"))
    return folder
