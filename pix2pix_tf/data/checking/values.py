"""Checks of pixel values: undeclared nodata values, and values in a small part of the range."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pix2pix_tf.data.checking.findings import Case, Finding
from pix2pix_tf.data.layout import Survey
from pix2pix_tf.data.pixel_format import PixelFormat, ValueRange
from pix2pix_tf.data.reading.numbers import Numbers, merged

_FAINT = 1 / 8  # share of the range


def is_faint(numbers: Numbers, values: ValueRange) -> bool:
    """Whether 98 % of the values lie in a small part of the range ``values``."""
    first, last = numbers.middle
    return 0 < last - first < _FAINT * (values[1] - values[0])


def suspicious_values(survey: Survey, sides: Sequence[PixelFormat]) -> Iterator[Finding]:
    """Yields suspicious values of each side; halves of the same files count as one side."""
    files_by_side = survey.files_by_side()
    phrases = (" on side A", " on side B") if len(files_by_side) == 2 else ("",)
    for phrase, files, side in zip(phrases, files_by_side, sides, strict=False):
        numbers = {file: found for file in files if (found := survey.checked[file].numbers) is not None}
        of_side = merged(list(numbers.values()))
        for number, share in of_side.sentinels:
            place = f"{share:.2%} of the pixels{phrase}"
            message = f"{number:.9g} in {place}, far from all others: treated as a value"
            fix = f"if it marks missing pixels (nodata, void), add --ignore {number:.9g}"
            with_it = [file for file, each in numbers.items() if number in [at for at, _ in each.sentinels]]
            yield Finding("warning", "sentinel", message, fix, [Case((file,)) for file in with_it])
        if not is_faint(of_side, side.stored_range):
            continue
        (first, last), (low, high) = of_side.middle, side.stored_range
        message = (
            f"98 % of the values{phrase} are from {first:.4g} to {last:.4g}, "
            f"{(last - first) / (high - low):.1%} of the range from {low:.4g} to {high:.4g}: "
            "a network can hardly tell them apart"
        )
        if of_side.classes:
            message += f". They are class numbers: {', '.join(map(str, of_side.classes))}"
            fix = "give the classes distinct colors, or use --one-hot-labels for inputs"
        else:
            margin = 0.05 * (last - first)
            wanted = f"{first - margin:.4g} {last + margin:.4g}"
            fix = f"set --output-range (--input-range for inputs) {wanted}; values outside are clipped"
        yield Finding("warning", "faint", message, fix)
