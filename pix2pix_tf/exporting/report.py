"""What an export says at its end: the table, the paths, and what was held back."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from pix2pix_tf.errors import ProofFailed
from pix2pix_tf.exporting.parity import Proof


@dataclasses.dataclass(frozen=True)
class Report:
    """What an export did.

    Args:
        proofs: one an artifact.
        published: the paths of what passed (or was let pass).
        folder: where export.json and parity.png are.
        reference_milliseconds: the time of the trained generator itself.
    """

    proofs: list[Proof]
    published: list[Path]
    folder: Path
    reference_milliseconds: float

    def table(self) -> str:
        """Returns what was found as a table, with the paths of what was published."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("artifact")
        headings = (
            "MB",
            "ms/image",
            "partitions",
            "max",
            "mean",
            "PSNR dB",
            "SSIM",
            "> 1 level",
            "> 2 levels",
        )
        for heading in headings:
            table.add_column(heading, justify="right")
        table.add_column("bar")
        table.add_row("trained model, float32", "", f"{self.reference_milliseconds:.1f}")
        for proof in self.proofs:
            found = proof.difference
            table.add_row(
                proof.artifact.label,
                f"{proof.bytes / 1e6:.1f}",
                f"{proof.milliseconds:.1f}",
                "" if proof.artifact.partitions is None else str(proof.artifact.partitions),
                str(found.max_levels),
                f"{found.mean_levels:.4f}",
                "equal" if found.psnr is None else f"{found.psnr:.1f}",
                "" if found.ssim is None else f"{found.ssim:.4f}",
                f"{found.off_by_more_than_1:.3%}",
                f"{found.off_by_more_than_2:.3%}",
                f"missed: {proof.shortfall}" if proof.shortfall else "met",
            )
        text = io.StringIO()
        Console(file=text, width=200).print(table)
        lines = [line.rstrip() for line in text.getvalue().splitlines()]
        where = [
            str(path) for path in (*self.published, self.folder / "export.json", self.folder / "parity.png")
        ]
        return "\n".join([*lines, *where])

    def failures(self) -> list[Proof]:
        """The artifacts that missed their bars."""
        return [proof for proof in self.proofs if proof.shortfall]


def refuse_worse(report: Report, allow_worse: bool) -> None:
    """Raises an error if something missed its bar and was not let pass.

    Raises:
        ProofFailed: which, and in what.
    """
    failures = report.failures()
    if failures and not allow_worse:
        missed = "; ".join(f"{proof.artifact.label}: {proof.shortfall}" for proof in failures)
        raise ProofFailed(
            f"not published, because the picture is not the trained model's: {missed}; "
            f"{report.folder / 'parity.png'} shows it, and --allow-worse publishes it none the less"
        )
