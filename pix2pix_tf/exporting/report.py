"""Reports the results of an export: a table, a comparison image and the error for failed verification."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from pix2pix_tf.errors import VerificationFailed
from pix2pix_tf.exporting.verification import Verification, to_8_bit
from pix2pix_tf.sample_grids import compose_grid

_MEASURED = ("MB", "ms/image", "XNNPACK parts", "max", "mean", "PSNR dB", "SSIM", "> 1 level", "> 2 levels")
_MAGNIFIED = 16


@dataclasses.dataclass(frozen=True)
class ExportedModel:
    """The export of one generator.

    Args:
        published: paths of published artifacts.
        folder: folder of export.json and parity.png.
        reference_milliseconds: time per image of the trained network.
    """

    name: str
    verifications: Sequence[Verification]
    published: Sequence[Path]
    folder: Path
    reference_milliseconds: float


def table(models: Sequence[ExportedModel]) -> str:
    """Returns a table of results and the published paths."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("artifact")
    for heading in _MEASURED:
        table.add_column(heading, justify="right")
    table.add_column("tolerance")
    for model in models:
        table.add_row(f"{model.name}, trained, float32", "", f"{model.reference_milliseconds:.1f}")
        for each in model.verifications:
            table.add_row(*_row(each))
        table.add_section()
    text = io.StringIO()
    Console(file=text, width=200).print(table)
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    for model in models:
        lines += map(str, (*model.published, model.folder / "export.json", model.folder / "parity.png"))
    return "\n".join(lines)


def _row(verification: Verification) -> list[str]:
    found = verification.difference
    return [
        verification.artifact.label,
        f"{verification.bytes / 1e6:.1f}",
        f"{verification.milliseconds:.1f}",
        verification.artifact.remark,
        str(found.max_levels),
        f"{found.mean_levels:.4f}",
        "equal" if found.psnr is None else f"{found.psnr:.1f}",
        "" if found.ssim is None else f"{found.ssim:.4f}",
        f"{found.off_by_more_than_1:.3%}",
        f"{found.off_by_more_than_2:.3%}",
        f"missed: {verification.shortfall}" if verification.shortfall else "met",
    ]


def refuse_worse(models: Sequence[ExportedModel], allow_worse: bool) -> None:
    """Raises `VerificationFailed` if an artifact exceeds its tolerance, unless ``allow_worse``."""
    failures = [(model, each) for model in models for each in model.verifications if each.shortfall]
    if failures and not allow_worse:
        missed = "; ".join(
            f"{model.name} {each.artifact.label}: {each.shortfall}" for model, each in failures
        )
        images = " and ".join(dict.fromkeys(str(model.folder / "parity.png") for model, _ in failures))
        raise VerificationFailed(
            f"not published, because the output differs too much from the trained model's: {missed}; "
            f"see {images}, or publish it with --allow-worse"
        )


def parity_image(
    title: str,
    images: Sequence[np.ndarray],
    expected: Sequence[np.ndarray],
    verifications: Sequence[Verification],
) -> np.ndarray:
    """Returns a grid uint8 [height, width, 3] of inputs, outputs and, below them, differences.

    ``images`` is empty if the model takes noise. The first outputs of ``verifications`` belong to ``images``.
    """
    rows: list[list[np.ndarray]] = []
    for number, trained in enumerate(expected):
        outputs = [each.outputs[number] for each in verifications]
        blank = np.full_like(trained, np.iinfo(trained.dtype).max)
        shown = list(images[number : number + 1])
        rows.append([*shown, trained, *outputs])
        rows.append([*([blank] * len(shown)), blank, *(_magnified(output, trained) for output in outputs)])
    columns = ["trained model", *(each.artifact.label for each in verifications)]
    columns = ["input", *columns] if images else columns
    return compose_grid(f"{title}; below each, {_MAGNIFIED} times its difference", columns, rows)


def _magnified(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    levels = np.abs(to_8_bit(one) - to_8_bit(other)) * _MAGNIFIED
    return np.minimum(levels, 255).astype(np.uint8)
