"""Fonts for what is written on pictures: names are in any script, and no font has all."""

from __future__ import annotations

import functools
import itertools
import os

from PIL import ImageFont

_NO_CHARACTER = "\U0010fffe"  # which every font shows as it shows what it lacks


def font_for(text: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Returns a font that has the letters of a text: Pillow's own, else another that is found."""
    own = ImageFont.load_default(size)
    file = None if _has(own, text) else font_file_for(text)
    return own if file is None else ImageFont.truetype(file, size)


@functools.cache
def font_file_for(text: str) -> str | None:
    """Returns the file of matplotlib's font, or of one of this machine, that has all letters of a text."""
    import matplotlib
    from matplotlib import font_manager

    brought = os.path.join(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    for file in itertools.chain([brought], sorted(font_manager.findSystemFonts())):
        try:
            if _has(ImageFont.truetype(file, 16), text):
                return file
        except OSError:  # a font that FreeType can't read
            continue
    return None


def _has(font: ImageFont.FreeTypeFont | ImageFont.ImageFont, text: str) -> bool:
    missing = bytes(font.getmask(_NO_CHARACTER))
    return all(bytes(font.getmask(letter)) != missing for letter in set(text) if letter.isprintable())
