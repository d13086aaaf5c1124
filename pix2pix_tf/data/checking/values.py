"""Checks of the values of images: undeclared nodata, values in a small part of the range."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from pix2pix_tf.data.checking.findings import Case, Finding
from pix2pix_tf.data.pixel_format import ValueRange
from pix2pix_tf.data.reading.numbers import Numbers, merged

_FAINT = 1 / 8  # of the range


def is_faint(numbers: Numbers, values: ValueRange) -> bool:
    """Whether 98 % of the numbers of a side use hardly anything of its range ``values``."""
    first, last = numbers.middle
    return 0 < last - first < _FAINT * (values[1] - values[0])


def value_findings(side: str, numbers: Mapping[Path, Numbers], values: ValueRange) -> Iterator[Finding]:
    """Yields what may be wrong with the numbers of the files of a side, whose range is ``values``."""
    of_side = merged(list(numbers.values()))
    for number, share in of_side.sentinels:
        yield Finding(
            "warning",
            "sentinel",
            f"{number:.9g} in {share:.2%} of the pixels{side}, far from all others: learned as a value",
            f"if it stands for no value (nodata, void): --ignore {number:.9g}",
            [Case((file,)) for file, each in numbers.items() if number in [at for at, _ in each.sentinels]],
        )
    if not is_faint(of_side, values):
        return
    (first, last), (low, high) = of_side.middle, values
    share = (last - first) / (high - low)
    message = f"98 % of the values{side} are from {first:.4g} to {last:.4g}, {share:.1%} of the range from "
    message += f"{low:.4g} to {high:.4g}: nearly one color to a network"
    if of_side.classes:
        message += f". They are class numbers: {', '.join(map(str, of_side.classes))}"
        fix = "paint classes in colors that differ, or --one-hot-labels of inputs"
    else:
        low, high = first - 0.05 * (last - first), last + 0.05 * (last - first)
        fix = f"--output-range (--input-range of inputs) {low:.4g} {high:.4g} fits, and clips what is outside"
    yield Finding("warning", "faint", message, fix)
