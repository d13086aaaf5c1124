"""Checks that `data check` runs on the images of a folder, in addition to those of opening it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pix2pix_tf.data.checking.appearance import thumbnail_of
from pix2pix_tf.data.checking.copies import copies
from pix2pix_tf.data.checking.findings import Case, Finding, found
from pix2pix_tf.data.checking.sides import MOST, MOST_MIXED, CheckedFolder
from pix2pix_tf.data.checking.values import suspicious_values
from pix2pix_tf.data.dataset import spread
from pix2pix_tf.data.layout import KINDS, conversion, is_unread_image, walk
from pix2pix_tf.data.reading import read_with_alpha
from pix2pix_tf.wording import counted

_LEAST_ORIENTED = 5  # pairs needed to determine the usual side
_SAMPLED = 16  # images per side whose alpha channel is read
_GRAY, _COLORED = 6, 30  # limits on the difference of 8-bit values between a thumbnail's channels
_FEW = 50  # the paper's smallest data set has 400
_MOST_ENLARGED = 2.0
_MOST_DISTORTED = 2.0


def swapped(checked: CheckedFolder) -> Iterator[Finding]:
    """Yields pairs whose label map or gray image is on the unusual side."""
    if checked.kind != "pairs":
        return
    is_map = np.array([side.looks_labeled for side in checked.sides])
    thumbnails = [[thumbnail_of(image.appearance) for image in side.images] for side in checked.sides]
    color = np.ptp(np.array(thumbnails, np.int16), axis=-1).max(axis=(2, 3))  # [sides, pairs]
    for what, is_one, is_other in (
        ("label map", is_map, ~is_map),
        ("gray image", color <= _GRAY, color >= _COLORED),
    ):
        on_a, on_b = is_one & is_other[::-1]
        few, many, letters = (on_a, on_b, "AB") if on_a.sum() <= on_b.sum() else (on_b, on_a, "BA")
        if few.any() and (on_a | on_b).sum() >= max(_LEAST_ORIENTED, MOST * len(few)):
            message = (
                f"with the {what} on side {letters[0]}; {many.sum()} others have it on side {letters[1]}: "
                "possibly swapped"
            )
            fix = "swap the sides of these pairs, or training mixes both directions"
            files = [image.file for image in checked.sides[0].images]
            cases = [Case((file,)) for file, is_swapped in zip(files, few, strict=True) if is_swapped]
            yield from found("warning", "swapped", "pair", message, fix, cases)
            return


def constant(checked: CheckedFolder) -> Iterator[Finding]:
    """Yields images of one color, except label maps, which may consist of one class."""
    message = "of a single color: training can't learn from them"
    fix = "replace them, or delete them together with the other side"
    for side in checked.sides:
        if not side.is_label_maps:
            cases = side.cases(lambda each: each.appearance.is_constant or len(set(each.numbers.values)) == 1)
            yield from found("warning", "constant", "image", message, fix, cases, side.phrase)


def odd_values(checked: CheckedFolder) -> Iterator[Finding]:
    return suspicious_values(checked.survey, [side.form for side in checked.sides])


def missing_pixels(checked: CheckedFolder) -> Iterator[Finding]:
    for side in checked.distinct_sides:
        shares = {image.file: image.numbers.missing for image in side.images if image.numbers.missing}
        message = (
            f"{side.numbers.missing:.2%} of the pixels{side.phrase} have no value, in "
            f"{counted(len(shares), 'image')}: losses and metrics ignore them"
        )
        if shares:
            fix = "correct the files if these pixels should have values"
            cases = [Case((file,), f"{share:.1%}") for file, share in shares.items()]
            yield Finding("note", "missing-pixels", message, fix, cases)


def mixed_channels(checked: CheckedFolder) -> Iterator[Finding]:
    """Yields the gray or the RGB images of a side that has both, whichever are fewer."""
    for side in checked.distinct_sides:
        gray = side.cases(lambda each: each.checked.channels == 1)
        rgb = side.cases(lambda each: each.checked.channels == 3)
        few, what, others = (gray, "gray", "RGB") if len(gray) <= len(rgb) else (rgb, "RGB", "gray")
        if few:
            message = f"{len(few)} {what} among {others} images{side.phrase}: all images are read as RGB"
            fix = "if this isn't intended, convert all images to gray or all to RGB"
            yield Finding("warning", "mixed-channels", message, fix, few)


def blurred_label_maps(checked: CheckedFolder) -> Iterator[Finding]:
    message = "with colors that belong to no class, as from JPEG compression or smooth resizing"
    for side in checked.sides:
        if side.is_label_maps:
            cases = side.cases(lambda each: each.appearance.mixed_colors > MOST_MIXED)
            setting = f"--label-maps {side.letter or 'A'}"
            fix = f"create them again as PNG; {setting} only prevents further mixing in training"
            yield from found("warning", "blurred-label-maps", "image", message, fix, cases, side.phrase)


def bands_as_alpha(checked: CheckedFolder) -> Iterator[Finding]:
    """Yields images whose alpha channel is mostly semi-transparent, as if it were a spectral band."""
    if {2, 4} & {checked.data.input_channels, checked.data.output_channels}:
        return
    for side in checked.distinct_sides:
        files = [image.file for image in side.images if image.checked.has_alpha]
        alphas = ((files[at], read_with_alpha(files[at])[..., -1]) for at in spread(len(files), _SAMPLED))
        cases = [
            Case((file,)) for file, alpha in alphas if ((alpha > 0) & (alpha < alpha.max())).mean() > 0.5
        ]
        bands = side.form.channels + 1
        message = (
            f"with an alpha channel ({bands}) that is mostly semi-transparent, as if it were a spectral band "
            "(near infrared): the other channels are blended with white"
        )
        fix = f"if it is a band, read it with --input-channels {bands} (--output-channels for targets)"
        yield from found("warning", "band-as-alpha", "image", message, fix, cases, side.phrase)


def undeclared_label_maps(checked: CheckedFolder) -> Iterator[Finding]:
    letters = [side.letter or "A" for side in checked.sides if side.is_label_maps]
    if letters and checked.data.label_maps == "auto" and checked.data.task == "pairs":
        both = len(letters) == 2
        sides = "both sides look" if both else f"side {letters[0]} looks"
        message = f"{sides} like label maps: all images share a few flat colors or numbers"
        settings = {"label_maps": "both" if both else letters[0]}
        fix = (
            f"if they are label maps, add --label-maps {settings['label_maps']}: it doesn't mix their colors"
        )
        if letters == ["B"]:
            settings["direction"] = "BtoA"
            fix += "; --direction BtoA translates them to images"
        yield Finding("note", "undeclared-label-maps", message, fix, settings=settings)


def too_few(checked: CheckedFolder) -> Iterator[Finding]:
    splits = checked.survey.splits
    count = min(len(items) for items in splits.get("train", ((),)))
    if "train" not in splits:
        message = f"nothing to train on (only {' and '.join(splits)})"
        fix = "add images in train/, or evaluate models on it with 'pix2pix evaluate'"
        yield Finding("warning", "no-training", message, fix)
    elif count < _FEW:
        message = f"only {counted(count, checked.item)} to train on: the model will overfit"
        yield Finding("warning", "too-few", message, "collect more; several hundred are usual")


def enlarged_and_distorted(checked: CheckedFolder) -> Iterator[Finding]:
    height, width = checked.data.size
    small, bent = [], []
    for image in {image.file: image for side in checked.sides for image in side.images}.values():
        case = Case((image.file,), f"{image.width}x{image.height}")
        if max(height / image.height, width / image.width) >= _MOST_ENLARGED:
            small.append(case)
        stretch = width / height / (image.width / image.height)
        if max(stretch, 1 / stretch) > _MOST_DISTORTED:
            bent.append(case)
    size = f"the training size {width}x{height}"
    message = f"much smaller than {size}: enlarging blurs them, and outputs will be blurred"
    fix = "use larger images or a smaller --image-size, or leave them out if they are few"
    yield from found("warning", "enlarged", "image", message, fix, small)
    message = f"of a very different shape than {size}: resizing distorts them"
    fix = "crop them, use an --image-size HEIGHT WIDTH of their shape, or leave them out if they are few"
    yield from found("warning", "distorted", "image", message, fix, bent)


def nothing_held_out(checked: CheckedFolder) -> Iterator[Finding]:
    if not {"val", "test"} & checked.survey.splits.keys():
        message = "no images are held out: samples and metrics will use training images"
        yield Finding("note", "nothing-held-out", message, "move some images into val/")


def unread_images(checked: CheckedFolder) -> Iterator[Finding]:
    """Yields image files in unsupported formats."""
    named = {file for finding in checked.survey.findings for case in finding.cases for file in case.files}
    files = [path for path in walk(checked.folder, is_unread_image) if path not in named]
    if files:
        message = f"skipped: unsupported format (supported: {KINDS})"
        fix = f"{conversion(files[0])}, if they belong to the data set"
        yield from found("note", "passed-over", "image", message, fix, [Case((file,)) for file in files])


CHECKS = (
    copies,
    swapped,
    constant,
    odd_values,
    missing_pixels,
    mixed_channels,
    blurred_label_maps,
    too_few,
    enlarged_and_distorted,
    bands_as_alpha,
    undeclared_label_maps,
    nothing_held_out,
    unread_images,
)
"""In the order of the report, within each severity."""
