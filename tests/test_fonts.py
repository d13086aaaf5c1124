"""Characters of other scripts in images. A font draws the same glyph for all characters that it lacks."""

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

from pix2pix_tf import fonts
from pix2pix_tf.recording.plots import plot_validation
from pix2pix_tf.sample_grids import compose_grid


def font_with(path, characters):
    """Writes a font where each character is a bar of another height, and a missing one a square."""
    names = [".notdef", *(f"u{ord(character):x}" for character in characters)]
    glyphs = {}
    for number, name in enumerate(names):
        pen = TTGlyphPen(None)
        pen.moveTo((0, 0))
        for corner in ((0, 500 + 100 * number), (500, 500 + 100 * number), (500, 0)):
            pen.lineTo(corner)
        pen.closePath()
        glyphs[name] = pen.glyph()
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder(names)
    font.setupCharacterMap({ord(character): f"u{ord(character):x}" for character in characters})
    font.setupGlyf(glyphs)
    font.setupHorizontalMetrics(dict.fromkeys(names, (600, 0)))
    font.setupHorizontalHeader(ascent=900, descent=0)
    font.setupNameTable({"familyName": "Test", "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(path)
    return str(path)


@pytest.fixture
def system_fonts(monkeypatch):
    """The machine's fonts, none at first, and nothing reported yet."""
    found = []
    monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", lambda: found)
    monkeypatch.setattr(fonts, "_reported", set())
    fonts._best_font.cache_clear()
    yield found
    fonts._best_font.cache_clear()


def titled(title):
    return compose_grid(title, ["input"], [[np.zeros((64, 300, 3), np.uint8)]])


@pytest.mark.parametrize("letters", ["éüß×→", "δεδομένα", "данные"])
def test_latin_greek_and_cyrillic_need_no_font_of_the_system(letters, system_fonts, capsys):
    first, second = letters[:2]
    assert (titled(first * 3) != titled(second * 3)).any()
    lines = [{"step": step, "l1": 0.1, "ssim": 0.5} for step in (1, 2)]
    assert plot_validation(lines, first * 3) != plot_validation(lines, second * 3)
    assert capsys.readouterr().err == ""


def test_the_font_with_the_most_characters_is_chosen(tmp_path, system_fonts, capsys):
    one = font_with(tmp_path / "one.ttf", "건0123456789")
    most = font_with(tmp_path / "two.ttf", "건물0123456789")
    (tmp_path / "unreadable.ttf").write_bytes(b"not a font")
    system_fonts += [one, most, str(tmp_path / "unreadable.ttf")]
    assert fonts.font_file_for("건물日") == most
    assert "characters 日;" in capsys.readouterr().err


def test_missing_characters_are_reported_once(system_fonts, capsys):
    for step in (100, 257):
        titled(f"건물, step {step}")
    error = capsys.readouterr().err
    assert "건물" in error
    assert "step" not in error
    assert error.count("\n") == 1
