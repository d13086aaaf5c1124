"""Translates large images in overlapping, blended tiles with constant memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from pix2pix_tf.errors import ConfigError
from pix2pix_tf.formats.translator import Translator

MOST_WHOLE = 2**24
"""Images of up to 4096x4096 pixels are translated whole by default; with 64 filters, this needs 8 GB."""
MOST_PIXELS = 2**30
"""Limit for inputs; a decoded RGB image of this size takes 3 GB, and decoding takes more."""
TILE = 1024
"""Side of a tile; the receptive field of a U-Net is 768 pixels, so smaller tiles would lack context."""

# The deepest generator downsamples 8 times. Tiles that start on a multiple of 2⁸ align with the
# downsampling of the whole image.
_GRID = 256
_SAMPLED = 32  # maximum number of tiles for statistics


class Window(NamedTuple):
    """A tile's extent along an axis; ``weights`` are float32 in [0, 1], one per pixel."""

    start: int
    weights: np.ndarray

    @property
    def span(self) -> slice:
        return slice(self.start, self.start + len(self.weights))


def windows(size: int, tile: int, grid: int) -> list[Window]:
    """Plans the tiles along an axis, evenly spaced, with starts that are multiples of ``grid``.

    Neighbors overlap by at least a quarter of a tile. They are blended linearly in the middle half of the
    overlap, because pixels nearer to a tile's edge lack context. The weights at each pixel sum to one.

    An axis shorter than ``tile`` is one tile. The last tile may be up to ``grid`` - 1 pixels shorter.
    ``grid`` is at most three quarters of a tile.
    """
    last = max(-(-(size - tile) // grid), 0)
    count = 1 + -(-last // ((tile - tile // 4) // grid))
    starts = [grid * (number * last // max(count - 1, 1)) for number in range(count)]
    weights = [np.ones(min(tile, size - start), np.float32) for start in starts]
    for (start, before), (following, after) in itertools.pairwise(zip(starts, weights, strict=True)):
        shared = start + tile - following
        rise = np.clip((np.arange(shared, dtype=np.float32) + 0.5) / shared * 2 - 0.5, 0, 1)
        before[-shared:] *= 1 - rise
        after[:shared] *= rise
    return [Window(*each) for each in zip(starts, weights, strict=True)]


def tile_for(translate: Translator, size: tuple[int, int], tile_size: int | None) -> tuple[int, int] | None:
    """Returns the tile's height and width, or ``None`` if the image is translated whole.

    Images larger than ``tile_size`` are tiled. Without ``tile_size``, images of more than `MOST_WHOLE` pixels
    are tiled, by `TILE` or the model's fixed size. Raises `ConfigError` if the model has another fixed size.
    """
    if tile_size is None:
        return (translate.size or (TILE, TILE)) if size[0] * size[1] > MOST_WHOLE else None
    if translate.size not in (None, (tile_size, tile_size)):
        height, width = translate.size
        raise ConfigError(
            f"--tile-size {tile_size}: the model takes only {width}x{height} pixels; leave the flag out"
        )
    return (tile_size, tile_size) if max(size) > tile_size else None


def translate_in_tiles(
    translate: Translator, image: np.ndarray, tile: tuple[int, int]
) -> Iterator[np.ndarray]:
    """Translates an image ``uint8`` or ``uint16`` [height, width, channels] tile by tile.

    Yields the output from top to bottom in bands [rows, width, output channels] of the model's dtype.
    """
    grids = (1, 1) if translate.size else (min(_GRID, side // 2) for side in tile)
    rows, columns = (windows(*axis) for axis in zip(image.shape[:2], tile, grids, strict=True))
    places = list(itertools.product(rows, columns))
    translate_tile = translate.for_tiles(_sample(image, places))
    with tqdm(total=len(places), unit="tile", dynamic_ncols=True, leave=False, disable=None) as bar:

        def translated(row: Window, column: Window) -> np.ndarray:
            bar.update()
            return translate_tile(image[row.span, column.span])

        yield from _blended(translated, rows, columns, image.shape[:2], translate.output.has_alpha)


def _sample(image: np.ndarray, places: list[tuple[Window, Window]]) -> Iterator[np.ndarray]:
    """Yields at most `_SAMPLED` random tiles, with a progress bar."""
    chosen = np.random.default_rng(0).permutation(len(places))[:_SAMPLED]
    for number in tqdm(chosen, "measuring", unit="tile", dynamic_ncols=True, leave=False, disable=None):
        row, column = places[number]
        yield image[row.span, column.span]


def _blended(
    translated: Callable[[Window, Window], np.ndarray],
    rows: list[Window],
    columns: list[Window],
    size: tuple[int, int],
    has_alpha: bool,
) -> Iterator[np.ndarray]:
    """Yields rows of blended tiles as soon as no further tile overlaps them.

    Colors are weighted by alpha, because those of transparent pixels are arbitrary.
    """
    band = np.zeros((len(rows[0].weights), size[1], 0), np.float32)  # the rows that the current tiles cover
    ends = [row.start for row in rows[1:]] + [size[0]]
    for row, end in zip(rows, ends, strict=True):
        for column in columns:
            output = translated(row, column)
            if not band.shape[2]:
                band = np.zeros((*band.shape[:2], output.shape[2]), np.float32)
            weights = np.outer(row.weights, column.weights)[..., np.newaxis]
            if has_alpha:
                alpha = weights * output[..., -1:]
                band[: len(row.weights), column.span] += np.concatenate([output[..., :-1] * alpha, alpha], -1)
            else:
                band[: len(row.weights), column.span] += weights * output
        done = end - row.start
        if has_alpha:
            band[:done, :, :-1] /= np.maximum(band[:done, :, -1:], 1e-6)
        yield np.rint(band[:done], out=band[:done]).astype(output.dtype)
        band[: len(band) - done] = band[done:]
        band[len(band) - done :] = 0
