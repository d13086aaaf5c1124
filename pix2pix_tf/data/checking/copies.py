"""Finds images that occur more than once, with the same or nearly the same pixels.

Saving an image again as JPEG, or resizing it, changes its pixels. A 64-bit difference hash finds candidates
without comparing all pairs of images. Their thumbnails are then compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pix2pix_tf.data.checking.appearance import thumbnail_of
from pix2pix_tf.data.checking.findings import Case, Finding, found
from pix2pix_tf.data.checking.sides import CheckedFolder, SideImage
from pix2pix_tf.wording import counted

_BANDS = 4  # parts of a hash; hashes that differ in at most three bits share at least one part
_MOST_BITS = 6  # largest number of different bits
# All differences are of 8-bit values.
_GRADIENT = 2  # smaller gradients are JPEG noise, which would randomize the bits of flat areas
_MOST_MEAN, _MOST_AT_ALL = 1.5, 8  # mean and maximum thumbnail difference; typical facades differ by 8 and 43
_RESIZED = 3  # factor on both limits for images of different sizes
_LEAST_CONTRAST = 8.0  # images with less contrast are too similar to compare


def copies(checked: CheckedFolder) -> Iterator[Finding]:
    """Yields pairs or images that occur in several splits, or several times in one split."""
    order = {split: place for place, split in enumerate(checked.survey.splits)}
    duplicates: list[Case] = []
    across: list[Case] = []
    near: list[tuple[SideImage, SideImage]] = []
    for sides in [tuple(checked.sides)] if checked.kind == "pairs" else [(side,) for side in checked.sides]:
        files_of_split: dict[Any, list[Path]] = defaultdict(list)
        first_of_split: dict[Any, dict[str, Path]] = defaultdict(dict)
        distinct: dict[Any, tuple[SideImage, ...]] = {}
        for place, images in enumerate(zip(*(side.images for side in sides), strict=True)):
            # Different photos may share a label map, so maps are compared only if both sides are maps.
            compared = tuple(at for at, side in enumerate(sides) if not side.looks_labeled[place])
            compared = compared or tuple(range(len(sides)))
            digests = tuple(images[at].digest for at in compared)
            distinct[compared, digests] = images
            split, file = images[0].split, images[0].file
            if not all(image.appearance.is_constant for image in images):
                files_of_split[split, *(image.digest for image in images)].append(file)
            if not all(images[at].appearance.is_constant for at in compared):
                first_of_split[compared, digests].setdefault(split, file)
        duplicates += [Case(tuple(files)) for files in files_of_split.values() if len(files) > 1]
        across += [Case(tuple(files.values())) for files in first_of_split.values() if len(files) > 1]
        for compared in dict.fromkeys(compared for compared, _ in distinct):
            every = [images for (which, _), images in distinct.items() if which == compared]
            every.sort(key=lambda images: order[images[0].split])
            found_near = _near_copies(
                np.array([[thumbnail_of(images[at].appearance) for at in compared] for images in every]),
                np.array([order[images[0].split] for images in every]),
                np.array([(images[0].width, images[0].height) for images in every]),
            )
            near += [(every[earlier][0], every[later][0]) for later, earlier in found_near.items()]
    consequence, fix = "metrics on held-out images will be too good", "keep each in one split only"
    message = f"with the same pixels in several splits: {consequence}"
    yield from found("warning", "in-two-splits", checked.item, message, fix, across)
    message = f"nearly identical to one in a different split (saved again or resized): {consequence}"
    cases = [Case((a.file, b.file)) for a, b in near if a.split != b.split]
    yield from found("warning", "nearly-in-two-splits", checked.item, message, fix, cases)
    message, fix = "nearly identical to one of a different size in the same split", "keep one of each"
    cases = [Case((a.file, b.file)) for a, b in near if a.split == b.split]
    yield from found("warning", "resized", checked.item, f"{message}: they count twice", fix, cases)
    if duplicates:
        surplus = counted(sum(len(case.files) - 1 for case in duplicates), checked.item)
        message = f"{surplus} duplicated within a split (same pixels): duplicates weigh more in training"
        yield Finding("warning", "duplicates", message, fix, duplicates)


def _near_copies(thumbnails: np.ndarray, splits: np.ndarray, sizes: np.ndarray) -> dict[int, int]:
    """Maps each near copy to the first similar image that has a different split or size."""
    hashes = _difference_hashes(thumbnails[:, 0])
    bands = hashes.view(np.uint16).reshape(len(hashes), _BANDS)
    has_contrast = thumbnails.std(axis=(2, 3)).max(axis=(1, 2)) >= _LEAST_CONTRAST
    buckets: list[dict[int, list[int]]] = [defaultdict(list) for _ in range(_BANDS)]
    for number in np.flatnonzero(has_contrast).tolist():
        for bucket, band in zip(buckets, bands[number].tolist(), strict=True):
            bucket[band].append(number)
    first_like: dict[int, int] = {}
    for number in np.flatnonzero(has_contrast).tolist():
        for bucket, band in zip(buckets, bands[number].tolist(), strict=True):
            others = np.array(bucket[band])
            is_other = (splits[others] != splits[number]) | (sizes[others] != sizes[number]).any(1)
            others = others[(others < number) & is_other]
            others = others[np.bitwise_count(hashes[others] ^ hashes[number]) <= _MOST_BITS]
            apart = np.abs(thumbnails[others].astype(np.int16) - thumbnails[number])
            more = np.where((sizes[others] == sizes[number]).all(1), 1, _RESIZED)
            is_like = apart.max(axis=(1, 2, 3, 4)) <= _MOST_AT_ALL * more
            alike = others[is_like & (apart.mean(axis=(1, 2, 3, 4)) <= _MOST_MEAN * more)]
            if len(alike):
                first_like[number] = int(alike[0])
                break
    return first_like


def _difference_hashes(thumbnails: np.ndarray) -> np.ndarray:
    """Returns 64 bits per image, uint64 [count]; a bit is set where brightness rises to the right."""
    gray = thumbnails.astype(np.int16).sum(axis=-1)
    rises = (np.diff(gray, axis=2) > 3 * _GRADIENT).reshape(len(gray), 64)
    return np.packbits(rises, axis=1).view(np.uint64).ravel()
