"""Finds images that occur more than once, with the same or nearly the same pixels.

Saving an image again as JPEG, or resizing it, changes its pixels. So the thumbnails of images with similar
64-bit difference hashes are compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pix2pix_tf.data.checking.appearance import thumbnail_of
from pix2pix_tf.data.checking.findings import Case, Finding, found
from pix2pix_tf.data.checking.sides import CheckedFolder, SideImage
from pix2pix_tf.wording import counted

_MOST_BITS = 6  # largest number of different bits of two hashes
# All differences are of 8-bit values.
_GRADIENT = 2  # smaller gradients are JPEG noise, which would randomize the bits of flat areas
_MOST_MEAN, _MOST_AT_ALL = 1.5, 8  # mean and maximum thumbnail difference; typical facades differ by 8 and 43
_RESIZED = 3  # factor on both limits for images of different sizes
_LEAST_CONTRAST = 8.0  # images with less contrast are too similar to compare


def copies(checked: CheckedFolder) -> Iterator[Finding]:
    """Yields pairs or images that occur in several splits, or several times in one split."""
    duplicates: list[Case] = []
    across: list[Case] = []
    near: list[tuple[SideImage, SideImage]] = []
    for sides in [tuple(checked.sides)] if checked.kind == "pairs" else [(side,) for side in checked.sides]:
        # Items by the sides that are compared, and by the digests of these sides.
        same: dict[tuple[int, ...], dict[Any, list[list[SideImage]]]] = defaultdict(lambda: defaultdict(list))
        for place, images in enumerate(zip(*(side.images for side in sides), strict=True)):
            # Different photos may share a label map, so maps are compared only if both sides are maps.
            photos = [at for at, side in enumerate(sides) if not side.looks_labeled[place]]
            compared = tuple(photos or range(len(sides)))
            parts = [images[at] for at in compared]
            same[compared][tuple(part.digest for part in parts)].append(parts)
        for groups in same.values():
            for group in groups.values():
                if all(part.appearance.is_constant for part in group[0]):
                    continue
                files = defaultdict(list)
                for first, *_ in group:
                    files[first.split].append(first.file)
                duplicates += [Case(tuple(each)) for each in files.values() if len(each) > 1]
                if len(files) > 1:
                    across.append(Case(tuple(each[0] for each in files.values())))
            near += _near_copies([group[0] for group in groups.values()])
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


def _near_copies(items: Sequence[list[SideImage]]) -> Iterator[tuple[SideImage, SideImage]]:
    """Yields each near copy with the first similar image that has a different split or size."""
    thumbnails = np.array([[thumbnail_of(part.appearance) for part in parts] for parts in items])
    has_contrast = thumbnails.std(axis=(2, 3)).max(axis=(1, 2)) >= _LEAST_CONTRAST
    firsts = [parts[0] for parts, has in zip(items, has_contrast, strict=True) if has]
    thumbnails = thumbnails[has_contrast]
    splits = np.array([image.split for image in firsts])
    sizes = np.array([image.width << 32 | image.height for image in firsts])
    hashes = _difference_hashes(thumbnails[:, 0])
    for number, image in enumerate(firsts):
        others = np.flatnonzero(np.bitwise_count(hashes[:number] ^ hashes[number]) <= _MOST_BITS)
        is_resized = sizes[others] != sizes[number]
        differs = is_resized | (splits[others] != image.split)
        others, limit = others[differs], np.where(is_resized[differs], _RESIZED, 1)
        apart = np.abs(thumbnails[others].astype(np.int16) - thumbnails[number])
        is_alike = apart.max(axis=(1, 2, 3, 4)) <= _MOST_AT_ALL * limit
        is_alike &= apart.mean(axis=(1, 2, 3, 4)) <= _MOST_MEAN * limit
        if is_alike.any():
            yield firsts[others[is_alike.argmax()]], image


def _difference_hashes(thumbnails: np.ndarray) -> np.ndarray:
    """Returns 64 bits per image, uint64 [count]; a bit is set where brightness rises to the right."""
    gray = thumbnails.astype(np.int16).sum(axis=-1)
    rises = (np.diff(gray, axis=2) > 3 * _GRADIENT).reshape(len(gray), 64)
    return np.packbits(rises, axis=1).view(np.uint64).ravel()
