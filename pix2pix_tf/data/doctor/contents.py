"""What is odd about the pictures themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from pix2pix_tf.data.checking.appearance import Look, thumbnail_of
from pix2pix_tf.data.doctor.chart import MOST, Chart, Picture
from pix2pix_tf.data.doctor.findings import Case, Found
from pix2pix_tf.data.doctor.flat_colours import MOST_STRAYS
from pix2pix_tf.data.images import load_with_alpha
from pix2pix_tf.data.rasters import has_pages
from pix2pix_tf.data.sets import spread

_LEAST_ORIENTED = 5  # pairs, before a side is called the usual one
_SAMPLED = 16  # images of a side, whose alpha is looked at
_GREY, _COLOURED = 6, 30  # levels between the channels of a thumbnail: at most, at least


def swapped(chart: Chart) -> Iterator[Found]:
    """Pairs whose label map, or whose grey side, is where the others have theirs not."""
    if chart.kind != "pairs":
        return
    is_grey, is_coloured = ([_are(test, side) for side in chart.sides] for test in (_is_grey, _is_coloured))
    for what, left, right in (
        ("label map", chart.label_maps[0] & ~chart.label_maps[1], chart.label_maps[1] & ~chart.label_maps[0]),
        ("grey image", is_grey[0] & is_coloured[1], is_grey[1] & is_coloured[0]),
    ):
        few, many = sorted((left, right), key=np.sum)
        if few.any() and few.sum() + many.sum() >= max(_LEAST_ORIENTED, MOST * len(few)):
            usual, other = ("A", "B") if many is left else ("B", "A")
            cases = [Case((chart.sides[0][at].file,)) for at in np.flatnonzero(few)]
            yield Found(cases, {"what": what, "usual": usual, "other": other, "many": int(many.sum())})
            return


def constant(chart: Chart) -> Iterator[Found]:
    """Yields pictures of one colour."""
    for (name, side), is_map in zip(chart.named_sides(), chart.has_label_maps, strict=True):
        cases = [
            Case((picture.file,))
            for picture in side
            if picture.look.is_constant or len(set(picture.numbers.values)) == 1
        ]
        if cases and not is_map:  # a map may well have one class
            yield Found(cases, {"side": name})


def missing(chart: Chart) -> Iterator[Found]:
    """Yields images with missing pixels."""
    for name, side in chart.distinct_sides():
        shares = {picture.file: picture.numbers.missing for picture in side}
        cases = [Case((file,), f"{share:.1%}") for file, share in shares.items() if share]
        if cases:
            yield Found(cases, {"side": name, "share": sum(shares.values()) / len(shares)})


def of_doubt(code: str) -> Callable[[Chart], Iterator[Found]]:
    """Returns what collects the doubts about the numbers of the sides of one code."""

    def find(chart: Chart) -> Iterator[Found]:
        for name, side in chart.distinct_sides():
            for doubt in chart.doubts(side):
                if doubt.code == code:
                    files = dict.fromkeys(
                        picture.file
                        for picture in side
                        if doubt.sentinel in [number for number, _ in picture.numbers.sentinels]
                    )
                    yield Found(
                        [Case((file,)) for file in files],
                        {"what": doubt.what.format(side=name), "fix": doubt.fix},
                    )

    return find


def mixed_channels(chart: Chart) -> Iterator[Found]:
    """Yields the fewer of the grey and the RGB images of a side."""
    for name, side in chart.named_sides():
        grey = [Case((picture.file,)) for picture in side if picture.image.channels == 1]
        coloured = [Case((picture.file,)) for picture in side if picture.image.channels == 3]
        few, what, others = min(
            (grey, "grey", "RGB"), (coloured, "RGB", "grey"), key=lambda each: len(each[0])
        )
        is_both = side[0].file == chart.sides[-1][0].file
        if few:
            yield Found(few, {"side": "" if is_both else name, "what": what, "others": others})
        if is_both:
            return


def blurred_label_maps(chart: Chart) -> Iterator[Found]:
    """Yields label maps with colours of no class."""
    for (name, side), letter, is_map in zip(chart.named_sides(), "AB", chart.has_label_maps, strict=False):
        cases = [Case((picture.file,)) for picture in side if picture.look.strays > MOST_STRAYS]
        if is_map and cases:
            yield Found(cases, {"side": name, "letter": letter})


def bands_as_alpha(chart: Chart) -> Iterator[Found]:
    """Yields pictures whose alpha is neither opaque nor transparent in most pixels, as a band is."""
    if {2, 4} & {chart.data.input_channels, chart.data.output_channels}:
        return
    for name, side in chart.named_sides():
        files = list(dict.fromkeys(picture.file for picture in side if picture.image.has_alpha))
        alphas = ((files[at], load_with_alpha(files[at])[..., -1]) for at in spread(len(files), _SAMPLED))
        cases = [
            Case((file,)) for file, alpha in alphas if ((alpha > 0) & (alpha < alpha.max())).mean() > 0.5
        ]
        if cases:
            yield Found(cases, {"side": name, "bands": max(picture.image.channels for picture in side) + 1})


def pages_as_bands(chart: Chart) -> Iterator[Found]:
    """Yields sides whose bands are the pages of TIFFs."""
    for name, side in chart.named_sides():
        if side[0].image.channels > 1 and has_pages(side[0].file):
            yield Found([Case((side[0].file,))], {"side": name, "pages": side[0].image.channels})


def undeclared_label_maps(chart: Chart) -> Iterator[Found]:
    """Yields sides that nobody said are label maps."""
    is_asked = chart.data.label_maps == "auto" and chart.data.task == "pairs"
    if is_asked and any(chart.has_label_maps):
        letters = [name for name, is_map in zip("AB", chart.has_label_maps, strict=False) if is_map]
        side = f"side {letters[0]} looks" if len(letters) == 1 else "both sides look"
        yield Found([], {"side": side, "letters": letters[0] if len(letters) == 1 else "both"})


def _are(test: Callable[[Look], bool], side: Sequence[Picture]) -> np.ndarray:
    return np.array([test(picture.look) for picture in side], bool)


def _chroma(look: Look) -> int:
    return int(np.ptp(thumbnail_of(look).astype(np.int16), axis=-1).max())


def _is_grey(look: Look) -> bool:
    return _chroma(look) <= _GREY


def _is_coloured(look: Look) -> bool:
    return _chroma(look) >= _COLOURED
