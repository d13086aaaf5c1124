"""What is odd about the images themselves."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pix2pix_tf.data.checking.appearance import thumbnail_of
from pix2pix_tf.data.checking.findings import Case, Finding, found
from pix2pix_tf.data.checking.label_maps import MOST_MIXED
from pix2pix_tf.data.checking.sides import MOST, CheckedFolder
from pix2pix_tf.data.dataset import spread
from pix2pix_tf.data.reading import read_with_alpha
from pix2pix_tf.data.reading.arrays import has_pages
from pix2pix_tf.wording import counted

_LEAST_ORIENTED = 5  # pairs, before a side is called the usual one
_SAMPLED = 16  # images of a side, whose alpha is read
_GRAY, _COLORED = 6, 30  # levels between the channels of a thumbnail: at most, at least


def swapped(checked: CheckedFolder) -> Iterator[Finding]:
    """Yields pairs whose label map, or whose gray image, is on the other side than in most pairs."""
    if checked.kind != "pairs":
        return
    a, b = (side.looks_labeled for side in checked.sides)
    is_gray, is_colored = [], []
    for side in checked.sides:
        thumbnails = np.array([thumbnail_of(image.appearance) for image in side.images], np.int16)
        color = np.ptp(thumbnails, axis=-1).max(axis=(1, 2))
        is_gray.append(color <= _GRAY)
        is_colored.append(color >= _COLORED)
    for what, left, right in (
        ("label map", a & ~b, b & ~a),
        ("gray image", is_gray[0] & is_colored[1], is_gray[1] & is_colored[0]),
    ):
        few, many = sorted((left, right), key=np.sum)
        if few.any() and few.sum() + many.sum() >= max(_LEAST_ORIENTED, MOST * len(few)):
            usual, other = "AB" if many is left else "BA"
            message = f"with the {what} on side {other}, where {many.sum()} others have it on side {usual}"
            fix = "swap their sides; training would learn both directions at once"
            cases = [
                Case((image.file,))
                for image, is_case in zip(checked.sides[0].images, few, strict=True)
                if is_case
            ]
            yield from found("warning", "swapped", "pair", f"{message}: swapped?", fix, cases)
            return


def constant(checked: CheckedFolder) -> Iterator[Finding]:
    """Yields images of one color, unless they are label maps, which may well have one class."""
    message = "of one color from edge to edge: nothing to learn from"
    for side in checked.sides:
        cases = [
            Case((image.file,))
            for image in side.images
            if image.appearance.is_constant or len(set(image.numbers.values)) == 1
        ]
        if not side.is_label_maps:
            fix = "replace or delete, with the other side"
            yield from found("warning", "constant", "image", message, fix, cases, side.phrase)


def odd_values(checked: CheckedFolder) -> Iterator[Finding]:
    """Yields what may be wrong with the numbers."""
    for side in checked.distinct_sides:
        yield from side.value_findings()


def missing_pixels(checked: CheckedFolder) -> Iterator[Finding]:
    """Yields images with missing pixels."""
    for side in checked.distinct_sides:
        shares = {image.file: image.numbers.missing for image in side.images}
        cases = [Case((file,), f"{share:.1%}") for file, share in shares.items() if share]
        if cases:
            message = (
                f"{sum(shares.values()) / len(shares):.2%} of the pixels{side.phrase} have no value, in "
            )
            message += f"{counted(len(cases), 'image')}: no loss and no metric counts them"
            yield Finding("note", "missing-pixels", message, "nothing, unless they should have one", cases)


def mixed_channels(checked: CheckedFolder) -> Iterator[Finding]:
    """Yields the gray images of a side, or the RGB ones if they are fewer."""
    for side in checked.distinct_sides:
        gray, rgb = (
            [Case((image.file,)) for image in side.images if image.checked.channels == channels]
            for channels in (1, 3)
        )
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
    for letter, side in zip("AB", checked.sides, strict=False):
        cases = [Case((image.file,)) for image in side.images if image.appearance.mixed_colors > MOST_MIXED]
        if side.is_label_maps:
            fix = "make them again, as PNG; "
            fix += f"--label-maps {letter} only keeps training from mixing their colors further"
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


def pages_as_bands(checked: CheckedFolder) -> Iterator[Finding]:
    """Yields a file of each side whose bands are the pages of TIFFs."""
    for side in checked.distinct_sides:
        file, pages = side.images[0].file, side.images[0].checked.channels
        if pages > 1 and has_pages(file):
            message = f"TIFFs of {pages} pages{side.phrase}: each page is read as a band"
            fix = "if they are no bands, save the one that is meant as an image of its own"
            yield Finding("note", "pages-as-bands", message, fix, [Case((file,))])


def undeclared_label_maps(checked: CheckedFolder) -> Iterator[Finding]:
    """Yields that sides look like label maps, if nothing is declared."""
    letters = [letter for letter, side in zip("AB", checked.sides, strict=False) if side.is_label_maps]
    if letters and checked.data.label_maps == "auto" and checked.data.task == "pairs":
        sides, setting = (
            ("both sides look", "both") if letters[1:] else (f"side {letters[0]} looks", letters[0])
        )
        message = f"{sides} like label maps: a few flat colors or numbers, the same in all"
        fix = f"if they are, --label-maps {setting} resizes them without mixing colors"
        yield Finding("note", "undeclared-label-maps", message, fix)
