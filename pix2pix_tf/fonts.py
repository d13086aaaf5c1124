"""Selects fonts for text in images: names can use any script, and no font has all characters."""

from __future__ import annotations

import functools
import itertools
import os
import string
import sys
from collections.abc import Iterable

from PIL import ImageFont
from tqdm import tqdm

_NO_CHARACTER = "\U0010fffe"  # a noncharacter; fonts draw the glyph for missing characters


def font_for(text: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Returns Pillow's own font if it has all characters of a text, else that of `font_file_for`."""
    own = ImageFont.load_default(size)
    return ImageFont.truetype(font_file_for(text), size) if _missing(own, text) else own


def font_file_for(text: str) -> str:
    """Returns the font file, from matplotlib or the system, that has the most characters of a text.

    A line on stderr names characters that this font lacks, each once in a process.
    """
    # Digits always belong to the cached key, as the number of the step changes.
    file, missing = _best_font(frozenset(text + string.digits))
    unreported = missing - _reported
    if unreported:
        _reported.update(unreported)
        tqdm.write(  # above the progress bar
            f"labels of images and plots show boxes for the characters {''.join(sorted(unreported))}; "
            "install a font that has these and Latin letters, such as a Noto font",
            file=sys.stderr,
        )
    return file


_reported: set[str] = set()


@functools.cache
def _best_font(characters: frozenset[str]) -> tuple[str, frozenset[str]]:
    """Returns the file of the font that lacks the fewest characters, and these characters."""
    import matplotlib
    from matplotlib import font_manager

    best = os.path.join(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    missing = characters
    for file in itertools.chain([best], sorted(font_manager.findSystemFonts())):
        try:
            lacking = _missing(ImageFont.truetype(file, 16), characters)
        except OSError:  # a font that FreeType can't read
            continue
        if len(lacking) < len(missing):
            best, missing = file, lacking
        if not missing:
            break
    return best, missing


def _missing(font: ImageFont.FreeTypeFont | ImageFont.ImageFont, text: Iterable[str]) -> frozenset[str]:
    """Returns the characters of a text that a font lacks; spaces can be as blank as its missing glyph."""
    blank = bytes(font.getmask(_NO_CHARACTER))
    drawn = {each for each in text if each.isprintable() and not each.isspace()}
    return frozenset(each for each in drawn if bytes(font.getmask(each)) == blank)
