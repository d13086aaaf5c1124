"""Sinks record everything, and drop what a killed session recorded after its last checkpoint."""

import io

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pix2pix_tf import preset, train
from pix2pix_tf.models.base import Metric, SampleGrid
from pix2pix_tf.recording import Recorder, Sink
from pix2pix_tf.recording.jsonl import JsonLines, read_metrics
from pix2pix_tf.recording.plots import plot_metrics, plot_validation
from pix2pix_tf.runs import RunDirectory
from tests.conftest import small_config

METRICS = (Metric("loss", "network/loss", bar="L", plot="loss", level=(0.5, "half")), Metric("other", "tag"))
GRID = SampleGrid(
    ("in", "out"), [[np.full((8, 9, 3), shade, np.uint8) for shade in (0, 255)]] * 2, "a caption"
)


def session(run, first_step, steps):
    with Recorder(run, preset(), METRICS, first_step, 10, 4, "title") as recorder:
        for step in steps:
            recorder.advance()
            recorder.log(step, {"loss": 1 / step, "something new": float(step)})
            recorder.sample(step, GRID)


@pytest.fixture
def run(tmp_path):
    (tmp_path / "run").mkdir()
    return RunDirectory(tmp_path / "run")


def test_metrics_reach_every_sink(run, capsys):
    session(run, 0, [1, 2])
    lines = read_metrics(run.metrics_file)
    assert [(line["step"], line["epoch"], line["something new"]) for line in lines] == [
        (1, 0.25, 1),
        (2, 0.5, 2),
    ]
    tags = set(EventAccumulator(str(run.tensorboard)).Reload().Tags()["tensors"])
    assert {"network/loss", "something new", "steps_per_second", "samples/1", "samples/2"} <= tags
    assert sorted(path.name for path in run.samples.iterdir()) == ["step_000000001.png", "step_000000002.png"]
    assert "L=0.5" in capsys.readouterr().err


def test_lines_after_the_checkpoint_are_dropped(run):
    session(run, 0, [1, 2, 3])
    session(run, 2, [3])
    assert [line["step"] for line in read_metrics(run.metrics_file)] == [1, 2, 3]
    seconds = [line["seconds"] for line in read_metrics(run.metrics_file)]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize("damage", [b'{"step": 2, "lo', b"\xff\xfe", b"3", b'{"step": "2"}', b"[" * 10**5])
def test_a_damaged_line_ends_the_file(run, damage):
    run.metrics_file.write_bytes(b'{"step": 1}\n' + damage + b'\n{"step": 3}\n')
    JsonLines(run, first_step=9)
    assert run.metrics_file.read_text() == '{"step": 1}\n'


@pytest.mark.parametrize("lines", [[], [{"step": 1}], [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 0.5}]])
def test_plot_of_metrics(lines):
    image = Image.open(io.BytesIO(plot_metrics(lines, METRICS, "제목")))
    pixels = np.asarray(image.convert("RGB")).astype(int)
    blue = (pixels[..., 2] - pixels[..., 0] > 100).sum()
    assert (blue > 50) == (len(lines) == 2)


def test_plot_of_validation():
    lines = [{"step": step, "l1": 0.2 - step / 100} for step in range(1, 9)]
    both = [{"step": line["step"], "AtoB_l1": line["l1"], "BtoA_l1": 0.15} for line in lines]
    curves = []
    for each in (lines, both):
        pixels = np.asarray(Image.open(io.BytesIO(plot_validation(each, "run"))).convert("RGB")).astype(int)
        blue = (pixels[..., 2] - pixels[..., 0] > 100).sum()
        orange = ((pixels[..., 0] > 240) & (abs(pixels[..., 1] - 127) < 30) & (pixels[..., 2] < 60)).sum()
        curves.append((blue > 500, orange > 500))
    assert curves == [(True, False), (True, True)]


class Seen(Sink):
    def __init__(self):
        self.calls = []

    def log(self, step, values):
        self.calls.append(("log", step))

    def images(self, step, grid):
        self.calls.append(("images", step, *grid.columns))

    def finish(self):
        self.calls.append("finish")

    def close(self):
        self.calls.append("close")


@pytest.mark.slow
def test_train_records_to_sinks_of_the_caller(tmp_path):
    seen = Seen()
    train(small_config(tmp_path / "run", steps=2, log_every=1, sample_every=1), sinks=[seen])
    grids = [("images", step, "input", "output", "target") for step in (1, 2)]
    assert seen.calls == [("log", 1), grids[0], ("log", 2), grids[1], "finish", "close"]
