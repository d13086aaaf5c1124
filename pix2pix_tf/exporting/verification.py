"""Verifies exported models against the trained generator.

Each artifact is loaded in a new process and translates held-out images. Its outputs must equal the float32
generator's within the format's tolerance, in 8-bit values.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from pix2pix_tf.exporting.fresh_process import seconds_of, translate_in_fresh_process
from pix2pix_tf.formats.base import Artifact, Size, Subject, Tolerance

SAMPLES = 16
_SSIM_WINDOW = 11  # minimum image side


@dataclasses.dataclass(frozen=True)
class Difference:
    """Differences of outputs over all images, in 8-bit values.

    Args:
        psnr: in dB; ``None`` if the outputs are equal.
        ssim: mean SSIM (Wang et al. 2004); ``None`` if all images are smaller than 11 pixels.
        off_by_more_than_1: fraction of values that differ by more than 1.
    """

    max_levels: int
    mean_levels: float
    psnr: float | None
    ssim: float | None
    off_by_more_than_1: float


@dataclasses.dataclass(frozen=True, eq=False)
class Verification:
    """Result of comparing an artifact with the trained generator.

    Args:
        bytes: size on disk.
        sizes: height and width of each image compared.
        difference: the difference for the worst signature.
        signatures: differences by signature.
        milliseconds: median time per image, over the images that have the first image's size.
        outputs: outputs of the first signature.
        shortfall: how the artifact exceeds its tolerance; empty if it doesn't.
    """

    artifact: Artifact
    bytes: int
    sizes: list[Size]
    difference: Difference
    signatures: dict[str, Difference]
    milliseconds: float
    outputs: list[np.ndarray] = dataclasses.field(repr=False)
    shortfall: str

    def to_json(self) -> dict[str, Any]:
        """Returns the entry for export.json."""
        return {
            "artifact": self.artifact.label,
            "bytes": self.bytes,
            "images": len(self.sizes),
            "sizes": sorted({f"{height}x{width}" for height, width in self.sizes}),
            **dataclasses.asdict(self.difference),
            "signatures": {name: dataclasses.asdict(found) for name, found in self.signatures.items()},
            "milliseconds": round(self.milliseconds, 2),
            "tolerance": str(self.artifact.tolerance),
            "within_tolerance": not self.shortfall,
        }


def verify_all(subject: Subject, artifacts: Sequence[Artifact]) -> tuple[list[Verification], float]:
    """Returns a verification of each artifact, and the trained generator's milliseconds per image."""
    translate = subject.translator

    @functools.cache
    def reference(size: Size | None) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Returns samples and the trained generator's outputs, with additional sizes if ``size`` is None."""
        if size is not None or translate.noise:
            samples = list(subject.samples.held_out(size or subject.size, SAMPLES))
            return samples, [translate(sample) for sample in samples]
        samples, expected = reference(subject.size)
        others = _at_other_sizes(samples)
        return samples + others, expected + [translate(image) for image in others]

    found = []
    for artifact in tqdm(
        artifacts, desc="verifying", unit="model", leave=False, disable=None, dynamic_ncols=True
    ):
        samples, expected = reference(artifact.size)
        most = artifact.most_pixels
        fitting = [at for at, image in enumerate(expected) if most is None or image[..., 0].size <= most]
        found.append(verify(artifact, [samples[at] for at in fitting], [expected[at] for at in fitting]))
    samples, _ = reference(None if translate.noise else subject.size)
    return found, 1000 * float(np.median([seconds_of(translate, sample) for sample in samples]))


def _at_other_sizes(images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Returns variants with odd, smaller and larger sizes, and one pixel."""
    height, width, _ = images[0].shape
    larger = ((0, 45), (0, width - 1), (0, 0))
    return [
        images[0][: height - 3, : width - 29],
        images[1 % len(images)][: height // 2 + 1, : width // 3],
        np.pad(images[2 % len(images)], larger, mode="reflect"),
        images[0][:1, :1],
    ]


def verify(artifact: Artifact, samples: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> Verification:
    """Runs an artifact in a new process and compares its outputs with the trained generator's."""
    outputs, seconds = translate_in_fresh_process(artifact.path, samples)
    signatures = {name: compare(found, expected) for name, found in outputs.items()}
    worst = max(signatures.values(), key=lambda found: (found.max_levels, found.mean_levels))
    sizes = [image.shape[:2] for image in expected]
    path = artifact.path
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return Verification(
        artifact=artifact,
        bytes=sum(file.stat().st_size for file in files),
        sizes=sizes,
        difference=worst,
        signatures=signatures,
        milliseconds=1000 * float(np.median(seconds[: sizes.count(sizes[0])])),
        outputs=next(iter(outputs.values())),
        shortfall=shortfall(artifact.tolerance, worst),
    )


def compare(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> Difference:
    """Compares images uint8 or uint16 [height, width, channels]; raises `ValueError` if shapes differ."""
    pairs = [(to_8_bit(one), to_8_bit(other)) for one, other in zip(found, expected, strict=True)]
    for one, other in pairs:
        if one.shape != other.shape:
            raise ValueError(f"an output has the shape {one.shape}; expected {other.shape}")
    levels = np.concatenate([np.abs(one - other).ravel() for one, other in pairs])
    mean_square = float(np.mean(levels**2))
    ssim = [
        float(tf.image.ssim(one, other, max_val=255))
        for one, other in pairs
        if min(one.shape[:2]) >= _SSIM_WINDOW
    ]
    return Difference(
        max_levels=math.ceil(levels.max()),
        mean_levels=float(levels.mean()),
        psnr=10 * math.log10(255**2 / mean_square) if mean_square else None,
        ssim=float(np.mean(ssim)) if ssim else None,
        off_by_more_than_1=float((levels > 1).mean()),
    )


def to_8_bit(image: np.ndarray) -> np.ndarray:
    """Converts an image of any bit depth to float32 in 8-bit values."""
    return image.astype(np.float32) / (np.iinfo(image.dtype).max / 255)


def shortfall(tolerance: Tolerance, found: Difference) -> str:
    """Describes how a difference exceeds a tolerance; empty if it doesn't."""
    missed = []
    if tolerance.max_levels is not None and found.max_levels > tolerance.max_levels:
        missed.append(f"off by {found.max_levels}")
    if tolerance.within_1_level is not None and 1 - found.off_by_more_than_1 < tolerance.within_1_level:
        missed.append(f"off by at most 1 for only {1 - found.off_by_more_than_1:.3%}")
    if tolerance.psnr is not None and found.psnr is not None and found.psnr < tolerance.psnr:
        missed.append(f"PSNR only {found.psnr:.1f} dB, not {tolerance.psnr:g}")
    return ", ".join(missed)
