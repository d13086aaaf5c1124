"""Images too large to be translated whole: overlapping tiles, blended band by band, at constant memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from pix2pix_tf.errors import ConfigError
from pix2pix_tf.translators import Translator

MOST_WHOLE = 2**24
"""So many pixels are translated whole unless asked otherwise: 4096x4096, for which a generator of 64 filters
needs about 8 GB."""
MOST_PIXELS = 2**30
"""Larger images are not read at all: they take 3 GB decoded, and more while they are."""
TILE = 1024
"""Height and width of a tile: the deepest layers of a U-Net see 768 pixels, smaller tiles are mostly edge."""

# The deepest generator halves eight times. A tile that starts on this grid is halved as the whole image is.
_GRID = 256
_SAMPLED = 32  # tiles that an image's statistics are taken from, at most


class Window(NamedTuple):
    """Where a tile lies along an axis, and how much each of its pixels counts.

    Args:
        start: the first pixel.
        weights: float32, one a pixel, in [0, 1].
    """

    start: int
    weights: np.ndarray

    @property
    def span(self) -> slice:
        """The pixels of the image that it covers."""
        return slice(self.start, self.start + len(self.weights))


def windows(size: int, tile: int, grid: int) -> list[Window]:
    """Plans the tiles along an axis: evenly spread, each starting on the grid.

    Neighbours share a quarter of a tile or more. There the picture passes from one to the other linearly, in
    the middle half of what they share: what is nearer to a tile's edge knows too little of what surrounds it.

    Args:
        size: pixels of the image along the axis.
        tile: of a tile; the whole axis where it is shorter. The last one is shorter by less than ``grid``.
        grid: of which the starts are multiples; at most three quarters of a tile.

    Returns:
        The windows from first to last. The weights of all that cover a pixel sum to one.
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
    """Returns height and width of the tiles that an image is cut into, None where it is translated whole.

    Args:
        translate: the model.
        size: height and width of the image.
        tile_size: of the tiles, which only larger images are cut into; by default `TILE`, or what the model
            is bound to, for images of more than `MOST_WHOLE` pixels.

    Raises:
        ConfigError: the model takes no tiles of that size.
    """
    if tile_size is None:
        return (translate.size or (TILE, TILE)) if size[0] * size[1] > MOST_WHOLE else None
    if translate.size not in (None, (tile_size, tile_size)):
        height, width = translate.size
        raise ConfigError(f"`tile_size` {tile_size}: the model takes {width}x{height} pixels, no other size")
    return (tile_size, tile_size) if max(size) > tile_size else None


def translate_in_tiles(
    translate: Translator, image: np.ndarray, tile: tuple[int, int]
) -> Iterator[np.ndarray]:
    """Translates an image tile by tile, behind a bar.

    Args:
        translate: the model.
        image: ``uint8`` or ``uint16`` [height, width, channels].
        tile: height and width of a tile.

    Yields:
        The picture from top to bottom in bands [some rows, width, output channels], of the model's type.
    """
    grids = (1, 1) if translate.size else (min(_GRID, side // 2) for side in tile)
    rows, columns = (windows(*axis) for axis in zip(image.shape[:2], tile, grids, strict=True))
    places = list(itertools.product(rows, columns))
    paint = translate.for_tiles(_sample(image, places))
    with tqdm(total=len(places), unit="tile", dynamic_ncols=True, leave=False, disable=None) as bar:

        def painted(row: Window, column: Window) -> np.ndarray:
            bar.update()
            return paint(image[row.span, column.span])

        yield from _blended(painted, rows, columns, image.shape[:2])


def _sample(image: np.ndarray, places: list[tuple[Window, Window]]) -> Iterator[np.ndarray]:
    """Yields some tiles, all if they are few, behind a bar."""
    chosen = np.random.default_rng(0).permutation(len(places))[:_SAMPLED]
    for number in tqdm(chosen, "measuring", unit="tile", dynamic_ncols=True, leave=False, disable=None):
        row, column = places[number]
        yield image[row.span, column.span]


def _blended(
    painted: Callable[[Window, Window], np.ndarray],
    rows: list[Window],
    columns: list[Window],
    size: tuple[int, int],
) -> Iterator[np.ndarray]:
    """Yields what tiles add up to, as soon as no further tile reaches it."""
    band = np.zeros((len(rows[0].weights), size[1], 0), np.float32)  # what the current row of tiles covers
    ends = [row.start for row in rows[1:]] + [size[0]]
    for row, end in zip(rows, ends, strict=True):
        for column in columns:
            picture = painted(row, column)
            if not band.shape[2]:
                band = np.zeros((*band.shape[:2], picture.shape[2]), np.float32)
            band[: len(row.weights), column.span] += (
                np.outer(row.weights, column.weights)[..., np.newaxis] * picture
            )
        finished = end - row.start
        yield np.rint(band[:finished], out=band[:finished]).astype(picture.dtype)
        band[: len(band) - finished] = band[finished:]
        band[len(band) - finished :] = 0
