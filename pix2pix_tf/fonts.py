"""Selects fonts for text in images: names can use any script, and no font has all characters."""

from __future__ import annotations

import functools
import itertools
import os

from PIL import ImageFont

_NO_CHARACTER = "\U0010fffe"  # a noncharacter; fonts draw the glyph for missing characters


def font_for(text: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Returns a font with all characters of a text: Pillow's font, or one from matplotlib or the system."""
    own = ImageFont.load_default(size)
    file = None if _has(own, text) else font_file_for(text)
    return own if file is None else ImageFont.truetype(file, size)


@functools.cache
def font_file_for(text: str) -> str | None:
    """Returns the first font file, from matplotlib or the system, that has all characters of a text."""
    import matplotlib
    from matplotlib import font_manager

    bundled = os.path.join(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    for file in itertools.chain([bundled], sorted(font_manager.findSystemFonts())):
        try:
            if _has(ImageFont.truetype(file, 16), text):
                return file
        except OSError:  # a font that FreeType can't read
            continue
    return None


def _has(font: ImageFont.FreeTypeFont | ImageFont.ImageFont, text: str) -> bool:
    missing = bytes(font.getmask(_NO_CHARACTER))
    return all(bytes(font.getmask(letter)) != missing for letter in set(text) if letter.isprintable())
