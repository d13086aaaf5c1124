"""Letters of other scripts in images. A font draws the same mark for all letters that it lacks."""

import numpy as np
import pytest

from pix2pix_tf.fonts import font_file_for
from pix2pix_tf.recording.plots import plot_validation
from pix2pix_tf.sample_grids import compose_grid


def titled(title):
    return compose_grid(title, ["input"], [[np.zeros((64, 300, 3), np.uint8)]])


@pytest.mark.parametrize("letters", ["éüß×→", "данные", "건물 사진"])
def test_letters_that_one_font_lacks_are_drawn_by_another(letters):
    if font_file_for(letters) is None:
        pytest.skip(f"this machine has no font with {letters}")
    first, second = letters.replace(" ", "")[:2]
    assert (titled(first * 3) != titled(second * 3)).any()
    lines = [{"step": step, "l1": 0.1, "ssim": 0.5} for step in (1, 2)]
    assert plot_validation(lines, first * 3) != plot_validation(lines, second * 3)
