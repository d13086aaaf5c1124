"""Checks of pixel values: undeclared nodata values, and values in a small part of the range."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from pix2pix_tf.data.checking.findings import Case, Finding
from pix2pix_tf.data.pixel_format import ValueRange
from pix2pix_tf.data.reading.numbers import Numbers, merged

_FAINT = 1 / 8  # share of the range


def is_faint(numbers: Numbers, values: ValueRange) -> bool:
    """Whether 98 % of the values lie in a small part of the range ``values``."""
    first, last = numbers.middle
    return 0 < last - first < _FAINT * (values[1] - values[0])


def value_findings(side: str, numbers: Mapping[Path, Numbers], values: ValueRange) -> Iterator[Finding]:
    """Yields suspicious values in the files of a side, whose range is ``values``."""
    merged_numbers = merged(list(numbers.values()))
    for number, share in merged_numbers.sentinels:
        yield Finding(
            "warning",
            "sentinel",
            f"{number:.9g} in {share:.2%} of the pixels{side}, far from all others: treated as a value",
            f"if it marks missing pixels (nodata, void), add --ignore {number:.9g}",
            [Case((file,)) for file, each in numbers.items() if number in [at for at, _ in each.sentinels]],
        )
    if not is_faint(merged_numbers, values):
        return
    (first, last), (low, high) = merged_numbers.middle, values
    share = (last - first) / (high - low)
    message = f"98 % of the values{side} are from {first:.4g} to {last:.4g}, {share:.1%} of the range from "
    message += f"{low:.4g} to {high:.4g}: a network can hardly tell them apart"
    if merged_numbers.classes:
        message += f". They are class numbers: {', '.join(map(str, merged_numbers.classes))}"
        fix = "give the classes distinct colors, or use --one-hot-labels for inputs"
    else:
        low, high = first - 0.05 * (last - first), last + 0.05 * (last - first)
        fix = (
            f"set --output-range (--input-range for inputs) {low:.4g} {high:.4g}; values outside are clipped"
        )
    yield Finding("warning", "faint", message, fix)
