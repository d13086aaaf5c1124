"""The GIF of a run learning: one row of its sample grids, within a megabyte."""

import shutil

import numpy as np
import pytest
from PIL import Image

from pix2pix_tf import timeline as module
from pix2pix_tf.errors import RunError
from pix2pix_tf.sample_grids import compose_grid, one_row
from pix2pix_tf.timeline import timeline

pytestmark = pytest.mark.slow


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("size", [(64, 64), (100, 300), (256, 256)])
def test_a_row_equals_a_grid_of_that_row_alone(size):
    rows = [[noise(*size, 3), noise(*size, 1)] for _ in range(3)]
    grid = compose_grid("title", ("input", "output"), rows)
    for number, row in enumerate(rows):
        alone = compose_grid("title", ("input", "output"), [row])
        np.testing.assert_array_equal(one_row(grid, size[0], number), alone)
    assert one_row(grid, size[0], 3) is None


def test_there_is_a_frame_per_grid_and_the_last_one_stays_longest(tiny_run, tmp_path):
    found = timeline(tiny_run.path, tmp_path / "run.gif", row=2)
    with Image.open(found) as gif:
        assert gif.n_frames == len(list(tiny_run.samples.glob("*.png"))) == 2
        gif.seek(1)
        last = np.asarray(gif.convert("RGB")).astype(int)
        assert gif.info["duration"] == 2000
    grid = np.asarray(Image.open(sorted(tiny_run.samples.glob("*.png"))[-1]).convert("RGB"))
    assert np.abs(last - one_row(grid, 64, 1)).mean() < 4  # a GIF has fewer colors


def test_frames_have_one_size_even_if_a_longer_title_widens_a_grid(tiny_run, tmp_path):
    run = shutil.copytree(tiny_run.path, tmp_path / "run")
    first, last = (Image.open(path).convert("RGB") for path in sorted((run / "samples").glob("*.png")))
    wide = Image.new("RGB", (last.width + 9, last.height), "white")
    wide.paste(last)
    wide.save(sorted((run / "samples").glob("*.png"))[-1])
    with Image.open(timeline(run)) as gif:
        gif.seek(1)
        assert gif.size == (first.width, one_row(np.asarray(first), 64, 0).shape[0])


def test_a_large_timeline_is_scaled_down(tiny_run, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LIMIT", 8000)
    assert timeline(tiny_run.path, tmp_path / "small.gif").stat().st_size <= 8000


def test_the_timeline_of_a_checkpoint_ends_there(tiny_run, tmp_path):
    with Image.open(timeline(f"{tiny_run.path}@10", tmp_path / "half.gif")) as gif:
        assert gif.n_frames == 1


def test_a_run_without_samples_or_without_the_row_is_refused(tiny_run, tmp_path):
    with pytest.raises(RunError):
        timeline(tiny_run.path, tmp_path / "run.gif", row=9)
    with pytest.raises(RunError):
        timeline(tmp_path)
