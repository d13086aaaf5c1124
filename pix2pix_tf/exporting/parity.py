"""The proof: how far an exported model's pictures are from those of the trained generator.

Every artifact is loaded by a process of its own and paints held-out images. What it painted is compared
with the generator in float32, in levels of 255, and held against the bar for its kind.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from pix2pix_tf.exporting.formats.base import Artifact, Bar
from pix2pix_tf.exporting.fresh import paint_in_fresh_process
from pix2pix_tf.sheets import compose_sheet

_SSIM_WINDOW = 11  # smaller images have no structural similarity
_MAGNIFIED = 16


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far pictures are apart, over all values of all images.

    Args:
        max_levels: largest difference, in levels of 255.
        mean_levels: mean difference.
        psnr: peak signal to noise ratio in dB; ``None`` where nothing differs.
        ssim: mean structural similarity (Wang et al. 2004); ``None`` if all images are below 11 pixels.
        off_by_more_than_1: share of values that differ by more than 1 level.
        off_by_more_than_2: likewise.
    """

    max_levels: int
    mean_levels: float
    psnr: float | None
    ssim: float | None
    off_by_more_than_1: float
    off_by_more_than_2: float


@dataclasses.dataclass(frozen=True, eq=False)
class Proof:
    """What was found out about an artifact.

    Args:
        artifact: which.
        bytes: on disk.
        images: how many it painted.
        sizes: their heights and widths.
        difference: of the worst of the ways into the model, and over all images.
        ways: the difference by each way into the model.
        milliseconds: the median time of an image of the run's size, on this machine.
        outputs: what it painted by the first way.
        shortfall: why it missed its bar; empty where it didn't.
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
        """Returns it as it stands in export.json."""
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
    """Runs an artifact in a process of its own and compares what it paints.

    Args:
        artifact: which.
        samples: uint8 or uint16 [height, width, channels], of sizes that it takes, or float32 [numbers].
        expected: what the network makes of them.
        timed: how many of them, from the first, are of the size whose time counts.

    Raises:
        SystemFault: it could not be run at all.
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
    """Compares pictures.

    Args:
        found: uint8 or uint16 [height, width, channels] each.
        expected: of the same shapes.

    Raises:
        ValueError: there are none, or the shapes differ.
    """
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
    """Returns an image in levels of 255, float32, whatever its depth."""
    return image.astype(np.float32) / (np.iinfo(image.dtype).max / 255)


def _mean_ssim(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float | None:
    values = [
        float(tf.image.ssim(_in_levels(one), _in_levels(other), max_val=255))
        for one, other in zip(found, expected, strict=True)
        if min(one.shape[:2]) >= _SSIM_WINDOW
    ]
    return float(np.mean(values)) if values else None


def shortfall(bar: Bar, found: Difference) -> str:
    """Says in what a difference misses a bar; nothing where it doesn't."""
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
    """Shows what was compared: input, trained model and artifacts, and below them the differences.

    Args:
        title: the first line.
        images: the inputs to show; none where the model takes noise.
        expected: what the network makes of each, as many as are shown.
        proofs: of the artifacts that painted these, as the first of theirs.

    Returns:
        uint8 [height, width, 3].
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
