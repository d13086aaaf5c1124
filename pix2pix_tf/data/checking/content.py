"""Checks of what images show."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pix2pix_tf.data.checking.appearance import thumbnail_of
from pix2pix_tf.data.checking.findings import Case, Finding, found
from pix2pix_tf.data.checking.label_maps import MOST_MIXED
from pix2pix_tf.data.checking.sides import MOST, CheckedFolder
from pix2pix_tf.data.checking.values import value_findings
from pix2pix_tf.data.dataset import spread
from pix2pix_tf.data.reading import read_with_alpha
from pix2pix_tf.wording import counted

_LEAST_ORIENTED = 5  # pairs, before a side is called the usual one
_SAMPLED = 16  # images of a side, whose alpha is read
_GRAY, _COLORED = 6, 30  # most and least difference of 8-bit values between the channels of a thumbnail


def swapped(checked: CheckedFolder) -> Iterator[Finding]:
    """Yields pairs whose label map, or whose gray image, is on the other side than in most pairs."""
    if checked.kind != "pairs":
        return
    is_map, is_gray, is_colored = [], [], []
    for side in checked.sides:
        thumbnails = np.array([thumbnail_of(image.appearance) for image in side.images], np.int16)
        color = np.ptp(thumbnails, axis=-1).max(axis=(1, 2))
        is_map.append(side.looks_labeled)
        is_gray.append(color <= _GRAY)
        is_colored.append(color >= _COLORED)
    for what, is_one, is_other in (
        ("label map", is_map, [~each for each in is_map]),
        ("gray image", is_gray, is_colored),
    ):
        orientations = ("AB", is_one[0] & is_other[1]), ("BA", is_one[1] & is_other[0])
        (_, few), (order, many) = sorted(orientations, key=lambda each: int(each[1].sum()))
        if few.any() and few.sum() + many.sum() >= max(_LEAST_ORIENTED, MOST * len(few)):
            message = (
                f"with the {what} on side {order[1]}, where {many.sum()} others have it on side {order[0]}: "
                "swapped?"
            )
            fix = "swap their sides; training would learn both directions at once"
            files = [image.file for image in checked.sides[0].images]
            cases = [Case((files[at],)) for at in np.flatnonzero(few)]
            yield from found("warning", "swapped", "pair", message, fix, cases)
            return


def constant(checked: CheckedFolder) -> Iterator[Finding]:
    """Yields images of one color, unless they are label maps, which may well have one class."""
    message, fix = (
        "of one color from edge to edge: nothing to learn from",
        "replace or delete, with the other side",
    )
    for side in checked.sides:
        if not side.is_label_maps:
            cases = side.cases(lambda each: each.appearance.is_constant or len(set(each.numbers.values)) == 1)
            yield from found("warning", "constant", "image", message, fix, cases, side.phrase)


def odd_values(checked: CheckedFolder) -> Iterator[Finding]:
    """Yields what may be wrong with the numbers."""
    for side in checked.distinct_sides:
        numbers = {image.file: image.numbers for image in side.images}
        yield from value_findings(side.phrase, numbers, side.value_range)


def missing_pixels(checked: CheckedFolder) -> Iterator[Finding]:
    """Yields images with missing pixels."""
    for side in checked.distinct_sides:
        shares = {image.file: image.numbers.missing for image in side.images}
        cases = [Case((file,), f"{share:.1%}") for file, share in shares.items() if share]
        message = (
            f"{sum(shares.values()) / len(shares):.2%} of the pixels{side.phrase} have no value, in "
            f"{counted(len(cases), 'image')}: no loss and no metric counts them"
        )
        if cases:
            yield Finding("note", "missing-pixels", message, "nothing, unless they should have one", cases)


def mixed_channels(checked: CheckedFolder) -> Iterator[Finding]:
    """Yields the gray images of a side, or the RGB ones if they are fewer."""
    for side in checked.distinct_sides:
        gray = side.cases(lambda each: each.checked.channels == 1)
        rgb = side.cases(lambda each: each.checked.channels == 3)
        few, what, others = (gray, "gray", "RGB") if len(gray) <= len(rgb) else (rgb, "RGB", "gray")
        if few:
            message = f"{len(few)} {what} among {others} images{side.phrase}: all are read as RGB"
            fix = "make all of them gray, or all RGB, if the others are no mistake"
            yield Finding("warning", "mixed-channels", message, fix, few)


def blurred_label_maps(checked: CheckedFolder) -> Iterator[Finding]:
    """Yields label maps with colors of no class."""
    message = (
        "of label maps with mixed colors between the flat ones, as JPEG and smooth resizing leave them: "
        "colors of no class"
    )
    for side in checked.sides:
        if side.is_label_maps:
            cases = side.cases(lambda each: each.appearance.mixed_colors > MOST_MIXED)
            setting = f"--label-maps {side.letter or 'A'}"
            fix = f"make them again, as PNG; {setting} only keeps training from mixing their colors further"
            yield from found("warning", "blurred-label-maps", "image", message, fix, cases, side.phrase)


def bands_as_alpha(checked: CheckedFolder) -> Iterator[Finding]:
    """Yields images whose alpha is neither opaque nor transparent in most pixels, as a band is."""
    if {2, 4} & {checked.data.input_channels, checked.data.output_channels}:
        return
    for side in checked.distinct_sides:
        files = list(dict.fromkeys(image.file for image in side.images if image.checked.has_alpha))
        alphas = ((files[at], read_with_alpha(files[at])[..., -1]) for at in spread(len(files), _SAMPLED))
        cases = [
            Case((file,)) for file, alpha in alphas if ((alpha > 0) & (alpha < alpha.max())).mean() > 0.5
        ]
        bands = max(image.checked.channels for image in side.images) + 1
        message = (
            f"whose channel {bands} is declared as alpha, but neither opaque nor transparent in most pixels, "
            "as a band (near infrared) is: it lays the others over white"
        )
        fix = f"if it is a band, --input-channels {bands} (of targets --output-channels) reads it as it is"
        yield from found("warning", "band-as-alpha", "image", message, fix, cases, side.phrase)


def undeclared_label_maps(checked: CheckedFolder) -> Iterator[Finding]:
    """Yields that sides look like label maps, if nothing is declared."""
    letters = [side.letter or "A" for side in checked.sides if side.is_label_maps]
    if letters and checked.data.label_maps == "auto" and checked.data.task == "pairs":
        both = len(letters) == 2
        sides = "both sides look" if both else f"side {letters[0]} looks"
        message = f"{sides} like label maps: a few flat colors or numbers, the same in all"
        setting = f"--label-maps {'both' if both else letters[0]}"
        fix = f"if they are, {setting} resizes them without mixing colors"
        yield Finding("note", "undeclared-label-maps", message, fix)
