"""Tiles: planned so that they add up, blended into what a whole image would be, written as they come."""

import itertools

import keras
import numpy as np
import pytest
import tifffile
from PIL import Image

from pix2pix_tf.config import replace
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.writing import write_tiff
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.formats.run import GeneratorTranslator
from pix2pix_tf.formats.translator import Translator
from pix2pix_tf.inference.tiling import MOST_WHOLE, TILE, tile_for, translate_in_tiles, windows
from pix2pix_tf.models.registry import model_for
from tests.conftest import small_config
from tests.exported_models import noise


class Pointwise(Translator):
    """Translates each pixel by itself, to two channels of 16 bits, so that tiles are invisible."""

    input = PixelFormat(3)

    output = PixelFormat(2, bits=16)

    def __init__(self, size=None):
        self.size = size
        self.shapes = set()

    def __call__(self, image):
        self.shapes.add(image.shape[:2])
        return image[..., :2].astype(np.uint16) * 257

    def _translate(self, given):
        raise NotImplementedError


@pytest.mark.parametrize("grid", [1, 32])
@pytest.mark.parametrize("size", [1, 63, 64, 65, 97, 112, 113, 500, 4096])
def test_window_weights_add_up_to_1(size, grid):
    found = windows(size, 64, grid)
    total = np.zeros(size)
    for window in found:
        assert window.start % grid == 0
        assert len(window.weights) <= 64
        total[window.span] += window.weights
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert len(found[-1].weights) > min(64, size) - grid
    for before, after in itertools.pairwise(found):
        assert before.start + 64 - after.start >= 16


def test_tile_for():
    model, bound = Pointwise(), Pointwise((33, 40))
    assert tile_for(model, (MOST_WHOLE // 1024, 1024), None) is None
    assert tile_for(model, (MOST_WHOLE // 1024 + 1, 1024), None) == (TILE, TILE)
    assert tile_for(model, (64, 65), 64) == (64, 64)
    assert tile_for(model, (64, 64), 64) is None
    assert tile_for(bound, (1, MOST_WHOLE + 1), None) == (33, 40)
    with pytest.raises(ConfigError, match="40x33"):
        tile_for(bound, (300, 300), 64)


@pytest.mark.parametrize(
    ("size", "bound"),
    [((97, 300), None), ((30, 129), None), ((500, 65), None), ((97, 300), (64, 64)), ((64, 129), (64, 64))],
)
def test_tiles_add_up_to_the_image(size, bound):
    image, model = noise(*size), Pointwise(bound)
    output = np.concatenate(list(translate_in_tiles(model, image, (64, 64))))
    assert output.dtype == np.uint16
    np.testing.assert_array_equal(output, model(image))
    if bound:
        assert model.shapes == {bound, size}


@pytest.fixture(scope="module")
def translate():
    """A residual generator as it is drawn: it sees some 60 pixels to each side."""
    keras.utils.set_random_seed(0)
    config = replace(small_config(None, "cyclegan"), input_channels=3, output_channels=3)
    model = model_for(config)
    return GeneratorTranslator(model, next(iter(model.published_generators().values())))


def test_tile_equals_the_whole_far_from_its_edge(translate):
    image = noise(96, 320)
    image[:, 160:] = image[:, 160:] // 8 + 30
    whole, part = translate(image).astype(int), image[:, 128:]
    within = translate.for_tiles([image])(part)[:, 80:]
    alone = translate(np.ascontiguousarray(part))[:, 80:]
    assert np.abs(within - whole[:, 208:]).max() <= 1
    assert np.abs(alone - whole[:, 208:]).max() > 4


def test_statistics_are_per_image(translate):
    first, second = noise(64, 64), noise(64, 64, seed=1) // 4
    for image in (first, second, first):
        predicted = translate.for_tiles([image])(image)
        assert np.abs(predicted.astype(int) - translate(image)).max() <= 1


def test_statistics_come_from_all_tiles_of_the_sample(translate):
    halves = noise(64, 64), noise(64, 64, seed=1) // 4
    both, one, other = (translate.for_tiles(sample)(halves[0]) for sample in (halves, halves[:1], halves[1:]))
    assert not np.array_equal(both, one)
    assert not np.array_equal(both, other)


@pytest.mark.parametrize(("shape", "dtype"), [((600, 300, 3), "uint8"), ((257, 40, 1), "uint16")])
def test_a_tiff_is_written_band_by_band(tmp_path, shape, dtype):
    image = np.random.default_rng(0).integers(0, 256, shape).astype(dtype)
    bands = (image[top : top + 100] for top in range(0, shape[0], 100))
    write_tiff(tmp_path / "new" / "one.tif", bands, shape[0])
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "new" / "one.tif").reshape(shape), image)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "new" / "one.tif")).reshape(shape), image)


def test_float_tiff_has_no_predictor(tmp_path):
    image = np.random.default_rng(0).standard_normal((300, 300, 1)).astype(np.float32)
    write_tiff(tmp_path / "one.tif", iter([image[:100], image[100:]]), 300)
    with tifffile.TiffFile(tmp_path / "one.tif") as tiff:
        assert tiff.pages.first.predictor == 1  # that of floats is in few programs
        np.testing.assert_array_equal(tiff.asarray().reshape(image.shape), image)


def test_unfinished_tiff_is_removed(tmp_path):
    def bands():
        yield np.zeros((300, 40, 3), np.uint8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_tiff(tmp_path / "one.tif", bands(), 600)
    assert not list(tmp_path.iterdir())


class Faded(Translator):
    """Returns blue with the input's gray as alpha; transparent pixels have random colors."""

    input, output = PixelFormat(1), PixelFormat(4, has_alpha=True)

    def _translate(self, given):
        alpha = given.numpy()
        hidden = np.random.default_rng(alpha.size).integers(0, 256, (*alpha.shape[:2], 3))
        return np.concatenate([np.where(alpha, (0, 0, 255), hidden), alpha], axis=-1).astype(np.uint8)


def test_invisible_colors_of_one_tile_do_not_show_in_another():
    image = np.full((97, 200, 1), 255, np.uint8)
    model, shown = Faded(), iter(range(100))
    translate = model._translate
    # Every second tile is transparent, so that overlaps are half transparent.
    model._translate = lambda given: translate(given * (next(shown) % 2))
    output = np.concatenate(list(translate_in_tiles(model, image, (128, 64))))
    visible = output[output[..., 3] > 0]
    assert (visible[:, 3] < 255).any()
    np.testing.assert_array_equal(visible[:, :3], np.broadcast_to([0, 0, 255], (len(visible), 3)))
