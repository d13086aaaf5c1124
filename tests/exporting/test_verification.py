"""Verification: what is measured of two images, and which tolerances they meet."""

from pathlib import Path

import numpy as np
import pytest

from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.exporting import verification
from pix2pix_tf.exporting.export import parity_image
from pix2pix_tf.exporting.verification import Difference, compare, shortfall, verify
from pix2pix_tf.formats.base import Artifact, Tolerance


def random_image(seed=0, shape=(32, 24, 3)):
    return np.random.default_rng(seed).integers(20, 230, shape, np.uint8)


def changed(image, values):
    """The image with its first values moved by so many levels each."""
    other = image.copy()
    other.reshape(-1)[: len(values)] += np.array(values, np.int8).astype(np.uint8)
    return other


def test_an_image_is_equal_to_itself():
    assert compare([random_image()], [random_image()]) == Difference(0, 0.0, None, 1.0, 0.0)


def test_differences_are_counted_in_levels_whatever_their_sign():
    image = random_image()
    found = compare([changed(image, [-1, 2, -3, 10]), image], [image, image])
    values = 2 * image.size
    assert found.max_levels == 10
    assert found.mean_levels == pytest.approx(16 / values)
    assert found.off_by_more_than_1 == pytest.approx(3 / values)
    assert found.psnr == pytest.approx(10 * np.log10(255**2 / ((1 + 4 + 9 + 100) / values)))
    assert found.ssim == pytest.approx(1, abs=1e-3)


def test_images_below_11_pixels_have_no_structural_similarity_but_count_else():
    small = random_image(shape=(1, 1, 3))
    assert compare([small], [small]).ssim is None
    assert compare([changed(small, [4])], [small]).max_levels == 4


@pytest.mark.parametrize(
    ("tolerance", "found", "missed"),
    [
        (Tolerance(max_levels=1), {"max_levels": 1}, ""),
        (Tolerance(max_levels=1), {"max_levels": 2}, "2"),
        (Tolerance(within_1_level=0.9999), {"off_by_more_than_1": 1e-4}, ""),
        (Tolerance(within_1_level=0.9999), {"off_by_more_than_1": 2e-4}, "99.980%"),
        (Tolerance(psnr=50), {"psnr": 50.0}, ""),
        (Tolerance(psnr=50), {"psnr": None}, ""),
        (Tolerance(psnr=50), {"psnr": 49.94}, "49.9 dB"),
    ],
)
def test_the_shortfall_has_the_number_that_is_beyond_the_tolerance(tolerance, found, missed):
    difference = Difference(**{**vars(compare([random_image()], [random_image()])), **found})
    reported = shortfall(tolerance, difference)
    assert bool(reported) == bool(missed)
    assert missed in reported


@pytest.fixture
def other_process(monkeypatch):
    """Sets what the other process returns."""

    def returns(outputs, seconds):
        monkeypatch.setattr(
            verification, "translate_in_fresh_process", lambda path, images: (outputs, seconds)
        )

    return returns


def test_an_artifact_is_as_good_as_its_worst_signature(other_process, tmp_path):
    image = random_image()
    other_process({"serving_default": [image], "bytes": [changed(image, [0, 2])]}, [0.5])
    (tmp_path / "variables").mkdir()
    (tmp_path / "saved_model.pb").write_bytes(b"12345")
    (tmp_path / "variables" / "data").write_bytes(b"678")
    found = verify(Artifact("SavedModel", tmp_path, Tolerance(max_levels=1)), [image], [image])
    assert found.signatures["serving_default"].max_levels == 0
    assert found.difference.max_levels == 2
    assert found.shortfall == "off by 2"
    assert found.bytes == 8
    assert found.to_json()["within_tolerance"] is False


def test_the_time_is_that_of_the_images_of_the_runs_size(other_process, tmp_path):
    images = [random_image()] * 3 + [random_image(shape=(1, 1, 3))]
    other_process({"serving_default": images}, [0.1, 0.3, 0.2, 9.0])
    found = verify(Artifact("SavedModel", tmp_path, Tolerance(psnr=35)), images, images)
    assert found.milliseconds == pytest.approx(200)


def test_the_grid_shows_images_and_magnified_differences(other_process):
    image, trained = random_image(1), random_image(2)
    worse = changed(trained, [1, -2, 100])
    other_process({"serving_default": [worse]}, [0.1])
    found = verify(Artifact("TFLite int8", Path("missing"), Tolerance(psnr=35)), [image], [trained])
    grid = parity_image("title", [image], [trained], [found], PixelFormat())

    def shown(cell):
        windows = np.lib.stride_tricks.sliding_window_view(grid, cell.shape)
        return bool((windows == cell).all(axis=(-3, -2, -1)).any())

    magnified = np.zeros_like(trained)
    magnified.reshape(-1)[:3] = (16, 32, 255)
    assert all(map(shown, (image, trained, worse, magnified)))
    assert not shown(random_image(3))
    grid = parity_image("title", [], [trained], [found], PixelFormat())  # of noise there is nothing to see
    assert not shown(image)
    assert all(map(shown, (trained, worse, magnified)))
