"""Verifies exported models against the trained generator.

Each artifact is loaded in a new process and translates held-out images. The outputs are compared with the
float32 generator's, in 8-bit values, and must be within the tolerance of the format.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from pix2pix_tf.exporting.fresh import paint_in_fresh_process
from pix2pix_tf.formats.base import Artifact, Bar
from pix2pix_tf.sheets import compose_sheet

_SSIM_WINDOW = 11  # smaller images have no SSIM
_MAGNIFIED = 16


@dataclasses.dataclass(frozen=True)
class Difference:
    """Difference of outputs over all values of all images, in 8-bit values.

    Args:
        psnr: in dB; ``None`` if nothing differs.
        ssim: mean SSIM (Wang et al. 2004); ``None`` if all images are smaller than 11 pixels.
        off_by_more_than_1: share of values that differ by more than 1.
        off_by_more_than_2: share of values that differ by more than 2.
    """

    max_levels: int
    mean_levels: float
    psnr: float | None
    ssim: float | None
    off_by_more_than_1: float
    off_by_more_than_2: float


@dataclasses.dataclass(frozen=True, eq=False)
class Proof:
    """Result of an artifact's verification.

    Args:
        bytes: size on disk.
        images: number of images compared.
        sizes: heights and widths of these.
        difference: of the worst signature.
        ways: differences by signature.
        milliseconds: median time for an image of the run's size.
        outputs: results of the first signature.
        shortfall: how it exceeded its tolerance, or an empty string.
    """

    artifact: Artifact
    bytes: int
    images: int
    sizes: list[tuple[int, int]]
    difference: Difference
    ways: dict[str, Difference]
    milliseconds: float
    outputs: list[np.ndarray] = dataclasses.field(repr=False)
    shortfall: str

    def to_json(self) -> dict[str, Any]:
        """Returns its entry in export.json."""
        return {
            "artifact": self.artifact.label,
            "bytes": self.bytes,
            "images": self.images,
            "sizes": sorted({f"{height}x{width}" for height, width in self.sizes}),
            **dataclasses.asdict(self.difference),
            "ways": {way: dataclasses.asdict(found) for way, found in self.ways.items()},
            "milliseconds": round(self.milliseconds, 2),
            "bar": str(self.artifact.bar),
            "meets_bar": not self.shortfall,
            **self.artifact.facts,
        }


def prove(
    artifact: Artifact, samples: Sequence[np.ndarray], expected: Sequence[np.ndarray], timed: int
) -> Proof:
    """Runs an artifact in a new process and compares its outputs with the trained network's.

    The first ``timed`` samples have the size that is timed.
    """
    painted, seconds = paint_in_fresh_process(artifact.path, samples)
    ways = {way: compare(outputs, expected) for way, outputs in painted.items()}
    first = next(iter(painted.values()))
    worst = max(ways.values(), key=lambda found: (found.max_levels, found.mean_levels))
    return Proof(
        artifact=artifact,
        bytes=_bytes_on_disk(artifact.path),
        images=len(expected),
        sizes=[image.shape[:2] for image in expected],
        difference=worst,
        ways=ways,
        milliseconds=float(np.median(seconds[:timed])) * 1000,
        outputs=first,
        shortfall=shortfall(artifact.bar, worst),
    )


def _bytes_on_disk(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def compare(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> Difference:
    """Compares images uint8 or uint16 [height, width, channels]; raises `ValueError` if shapes differ."""
    for one, other in zip(found, expected, strict=True):
        if one.shape != other.shape:
            raise ValueError(f"a picture is {one.shape}, and should be {other.shape}")
    levels = np.concatenate(
        [
            np.abs(_in_levels(one) - _in_levels(other)).ravel()
            for one, other in zip(found, expected, strict=True)
        ]
    )
    mean_square = float(np.mean(levels**2))
    return Difference(
        max_levels=math.ceil(levels.max()),
        mean_levels=float(levels.mean()),
        psnr=10 * math.log10(255**2 / mean_square) if mean_square else None,
        ssim=_mean_ssim(found, expected),
        off_by_more_than_1=float((levels > 1).mean()),
        off_by_more_than_2=float((levels > 2).mean()),
    )


def _in_levels(image: np.ndarray) -> np.ndarray:
    """Returns an image of any depth in 8-bit values, float32."""
    return image.astype(np.float32) / (np.iinfo(image.dtype).max / 255)


def _mean_ssim(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float | None:
    values = [
        float(tf.image.ssim(_in_levels(one), _in_levels(other), max_val=255))
        for one, other in zip(found, expected, strict=True)
        if min(one.shape[:2]) >= _SSIM_WINDOW
    ]
    return float(np.mean(values)) if values else None


def shortfall(bar: Bar, found: Difference) -> str:
    """Returns how a difference exceeds a tolerance, or an empty string."""
    missed = []
    if bar.max_levels is not None and found.max_levels > bar.max_levels:
        missed.append(f"off by {found.max_levels} levels")
    if bar.within_1_level is not None and 1 - found.off_by_more_than_1 < bar.within_1_level:
        missed.append(f"at most 1 level on only {1 - found.off_by_more_than_1:.3%}")
    if bar.psnr is not None and found.psnr is not None and found.psnr < bar.psnr:
        missed.append(f"PSNR only {found.psnr:.1f} dB, not {bar.psnr:g}")
    return ", ".join(missed)


def parity_sheet(
    title: str,
    images: Sequence[np.ndarray],
    expected: Sequence[np.ndarray],
    proofs: Sequence[Proof],
) -> np.ndarray:
    """Returns a grid uint8 [height, width, 3] of inputs, outputs and, below them, differences.

    ``images`` is empty if the model takes noise. The outputs of ``proofs`` begin with those for ``images``.
    """
    rows: list[list[np.ndarray]] = []
    for number, trained in enumerate(expected):
        painted = [proof.outputs[number] for proof in proofs]
        blank = np.full_like(trained, np.iinfo(trained.dtype).max)
        shown = list(images[number : number + 1])
        rows.append([*shown, trained, *painted])
        rows.append([*([blank] * len(shown)), blank, *(_magnified(output, trained) for output in painted)])
    columns = ["trained model", *(proof.artifact.label for proof in proofs)]
    columns = ["input", *columns] if images else columns
    return compose_sheet(f"{title}; below each, {_MAGNIFIED} times its difference", columns, rows)


def _magnified(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    levels = np.abs(_in_levels(one) - _in_levels(other)) * _MAGNIFIED
    return np.minimum(levels, 255).astype(np.uint8)
