"""Images that occur more than once: the same pixels, or nearly the same.

An image that was saved again as JPEG, or resized, has different pixels. A difference hash of 64 bits finds
candidates without comparing all pairs of images; the thumbnails decide.
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

_BANDS = 4  # of a hash: two that differ in up to three bits have one band in common
_MOST_BITS = 6  # that may differ
# All differences are of 8-bit values.
_GRADIENT = 2  # less is noise of JPEG, which would make bits of flat areas random
_MOST_MEAN, _MOST_AT_ALL = 1.5, 8  # mean and maximum between thumbnails; of two facades 8 and 43 are usual
_RESIZED = 3  # times that, where an image has another size
_LEAST_CONTRAST = 8.0  # all images with less look alike


def copies(checked: CheckedFolder) -> Iterator[Finding]:
    """Yields pairs, or images, that are in several splits, or several times in one."""
    order = {split: place for place, split in enumerate(checked.survey.splits)}
    duplicates: list[Case] = []
    across: list[Case] = []
    near: list[tuple[SideImage, SideImage]] = []
    for sides in [tuple(checked.sides)] if checked.kind == "pairs" else [(side,) for side in checked.sides]:
        files_of_split: dict[Any, list[Path]] = defaultdict(list)
        first_of_split: dict[Any, dict[str, Path]] = defaultdict(dict)
        distinct: dict[Any, tuple[SideImage, ...]] = {}
        for place, images in enumerate(zip(*(side.images for side in sides), strict=True)):
            # Different photos may share a label map; only if both sides are maps are both compared.
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
    consequence, fix = "figures of held-out images will be too good", "keep each in one split only"
    message = f"in more than one split, the same pixels: {consequence}"
    yield from found("warning", "in-two-splits", checked.item, message, fix, across)
    message = f"nearly like one of another split, as if saved again or resized: {consequence}"
    cases = [Case((a.file, b.file)) for a, b in near if a.split != b.split]
    yield from found("warning", "nearly-in-two-splits", checked.item, message, fix, cases)
    message, fix = "nearly like one of another size in its split, as thumbnails are", "keep one of each"
    cases = [Case((a.file, b.file)) for a, b in near if a.split == b.split]
    yield from found("warning", "resized", checked.item, f"{message}: they count twice", fix, cases)
    if duplicates:
        surplus = counted(sum(len(case.files) - 1 for case in duplicates), checked.item)
        message = f"{surplus} too many, the same pixels within a split: they count more than the others"
        yield Finding("warning", "duplicates", message, fix, duplicates)


def _near_copies(thumbnails: np.ndarray, splits: np.ndarray, sizes: np.ndarray) -> dict[int, int]:
    """Maps near copies to the first earlier image, of a different split or size, that they look like."""
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
    """Returns 64 bits for each image: where its brightness rises to the right, uint64 [count]."""
    gray = thumbnails.astype(np.int16).sum(axis=-1)
    rises = (np.diff(gray, axis=2) > 3 * _GRADIENT).reshape(len(gray), 64)
    return np.packbits(rises, axis=1).view(np.uint64).ravel()
