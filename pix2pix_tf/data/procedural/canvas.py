"""The canvas (labels, colors and light), and outlines of shapes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pix2pix_tf.data.procedural.planning import Box
from pix2pix_tf.data.procedural.randomness import hash_grid
from pix2pix_tf.data.procedural.styles import Color

PALETTE: Mapping[str, Color] = {
    "sky": (0, 0, 128),
    "wall": (0, 0, 255),
    "window": (0, 128, 255),
    "door": (0, 255, 255),
    "cornice": (0, 255, 128),
    "moulding": (128, 255, 128),
    "balcony": (128, 255, 0),
    "shutter": (255, 255, 0),
    "roof": (255, 128, 0),
    "pillar": (255, 0, 0),
    "shop": (128, 0, 0),
    "pavement": (128, 128, 128),
}
"""The RGB color of each class in a label map, similar to the CMP facades."""

_CLASSES = {name: number for number, name in enumerate(PALETTE)}
FULL_LIGHT = 256  # light and blending weights are fixed-point numbers with 8 fractional bits


def ramp(length: int) -> np.ndarray:
    """Returns weights from 0 to just below 256, int32 [length]."""
    return (np.arange(length, dtype=np.int32) << 8) // max(1, length)


def arch(box: Box) -> np.ndarray:
    """Returns the shape of a box with a semi-elliptical top, bool [box.height, box.width]."""
    # Doubled distances between the pixels' centers and the ellipse's center are integers.
    x = 2 * np.arange(box.width) + 1 - box.width
    y = np.maximum(0, 2 * box.rise - 2 * np.arange(box.height) - 1)[:, None]
    return x * x * (4 * box.rise**2) + y * y * box.width**2 <= box.width**2 * (4 * box.rise**2)


def slope(shape: tuple[int, int], top_width: int, steps: int | None = None) -> np.ndarray:
    """Returns a trapezoid on its longer side, smooth or with ``steps``, bool [height, width]."""
    height, width = shape
    risen = np.arange(height) * steps // height if steps else np.arange(height) + 1
    spans = top_width + (width - top_width) * risen // max(1, steps or height)
    return np.abs(2 * np.arange(width) + 1 - width) <= spans[:, None]  # the middle pixels of each row


class Canvas:
    """Labels, colors and light of an image."""

    def __init__(self, height: int, width: int, shadow: int):
        self.unit = min(height, width)  # the unit of lengths
        self.shadow = shadow  # light in full shadow, in 256ths
        self.labels = np.full((height, width), _CLASSES["sky"], np.uint8)  # places in ``PALETTE``
        self.color = np.zeros((height, width, 3), np.int32)  # in full light; may exceed [0, 255]
        self.light = np.full((height, width), FULL_LIGHT, np.int32)  # in [0, 256]

    def paint(
        self, box: Box, label: str, color: Color | np.ndarray, outline: np.ndarray | None = None
    ) -> None:
        """Paints an opaque object; replaces label, color and light.

        ``box`` must lie inside the image. ``label`` is a key of ``PALETTE``. ``color`` broadcasts to
        [box.height, box.width, 3]. ``outline`` is bool [box.height, box.width]; by default, the box with its
        arch.
        """
        where = arch(box) if outline is None else outline
        self.labels[box.pixels][where] = _CLASSES[label]
        self.light[box.pixels][where] = FULL_LIGHT
        np.copyto(self.color[box.pixels], np.asarray(color, np.int32), where=where[..., None])

    def shade(self, box: Box, light: int | np.ndarray) -> None:
        """Multiplies the light in a box by ``light`` / 256; ``light`` may be an array of the box's shape.

        The box may extend beyond the right or lower edge of the image.
        """
        if box.rise:
            light = np.where(arch(box), light, FULL_LIGHT)
        view = self.light[box.pixels]
        view[:] = view * np.broadcast_to(light, box.shape)[: view.shape[0], : view.shape[1]] >> 8

    def cast(self, box: Box, depth: int) -> None:
        """Casts a shadow below a box that protrudes by ``depth``."""
        fade = self.shadow + (ramp(depth) * ramp(depth) >> 8) * (FULL_LIGHT - self.shadow) // 256
        aside = depth // 3  # the sun is at the upper left
        self.shade(Box(box.bottom, box.left + aside, box.bottom + depth, box.right + aside), fade[:, None])

    def develop(self, key: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the photo, with falloff, blur and grain, and the labels, both uint8 [height, width, 3]."""
        height, width = self.light.shape
        fall = 272 - ramp(width) // 8 - (ramp(height) // 10)[:, None]
        light = np.where(self.labels == _CLASSES["sky"], FULL_LIGHT, self.light * fall >> 8)
        photo = np.clip(self.color * light[..., None] >> 8, 0, 255)
        photo = np.pad(photo, ((1, 1), (1, 1), (0, 0)), "edge")
        photo = photo[:-2] + 6 * photo[1:-1] + photo[2:]
        photo = photo[:, :-2] + 6 * photo[:, 1:-1] + photo[:, 2:]
        grain = (hash_grid(key, height, width) % 7).astype(np.int32) - 3
        photo = np.clip((photo >> 6) + grain[..., None], 0, 255).astype(np.uint8)
        return photo, np.array(list(PALETTE.values()), np.uint8)[self.labels]
