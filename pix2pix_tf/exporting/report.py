"""The summary of an export: table, paths and refused artifacts."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from pix2pix_tf.errors import ProofFailed
from pix2pix_tf.exporting.parity import Proof

_MEASURED = ("MB", "ms/image", "XNNPACK parts", "max", "mean", "PSNR dB", "SSIM", "> 1 level", "> 2 levels")


@dataclasses.dataclass(frozen=True)
class ExportedModel:
    """The export of one generator.

    Args:
        published: paths of published artifacts.
        folder: folder of export.json and parity.png.
        reference_milliseconds: time per image of the trained network.
    """

    name: str
    proofs: Sequence[Proof]
    published: Sequence[Path]
    folder: Path
    reference_milliseconds: float


@dataclasses.dataclass(frozen=True)
class Report:
    models: Sequence[ExportedModel]

    def table(self) -> str:
        """Returns a table of results and the published paths."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("artifact")
        for heading in _MEASURED:
            table.add_column(heading, justify="right")
        table.add_column("bar")
        for model in self.models:
            label = f"{model.name}, trained, float32"
            table.add_row(label, "", f"{model.reference_milliseconds:.1f}")
            for proof in model.proofs:
                table.add_row(*_row(proof))
            table.add_section()
        text = io.StringIO()
        Console(file=text, width=200).print(table)
        lines = [line.rstrip() for line in text.getvalue().splitlines()]
        where = [
            str(path)
            for model in self.models
            for path in (*model.published, model.folder / "export.json", model.folder / "parity.png")
        ]
        return "\n".join([*lines, *where])

    def failures(self) -> list[tuple[ExportedModel, Proof]]:
        """Returns the artifacts that exceed their tolerance."""
        return [(model, proof) for model in self.models for proof in model.proofs if proof.shortfall]


def _row(proof: Proof) -> list[str]:
    found = proof.difference
    return [
        proof.artifact.label,
        f"{proof.bytes / 1e6:.1f}",
        f"{proof.milliseconds:.1f}",
        proof.artifact.remark,
        str(found.max_levels),
        f"{found.mean_levels:.4f}",
        "equal" if found.psnr is None else f"{found.psnr:.1f}",
        "" if found.ssim is None else f"{found.ssim:.4f}",
        f"{found.off_by_more_than_1:.3%}",
        f"{found.off_by_more_than_2:.3%}",
        f"missed: {proof.shortfall}" if proof.shortfall else "met",
    ]


def refuse_worse(report: Report, allow_worse: bool) -> None:
    """Raises `ProofFailed` if an artifact exceeds its tolerance, unless ``allow_worse``."""
    failures = report.failures()
    if failures and not allow_worse:
        missed = "; ".join(
            f"{model.name} {proof.artifact.label}: {proof.shortfall}" for model, proof in failures
        )
        sheets = " and ".join(dict.fromkeys(str(model.folder / "parity.png") for model, _ in failures))
        raise ProofFailed(
            f"not published, because the picture is not the trained model's: {missed}; "
            f"{sheets} shows it, and --allow-worse publishes it none the less"
        )
