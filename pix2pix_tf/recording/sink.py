"""Interface of everything that metrics and samples are written to."""

from __future__ import annotations

from collections.abc import Mapping

from pix2pix_tf.models.base import Sheet


class Sink:
    """Receives metrics and samples; a subclass implements the methods that it needs."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Records metrics by name, after ``step`` steps."""

    def show(self, step: int, title: str, sheet: Sheet) -> None:
        """Records a sample grid."""

    def close(self) -> None:
        """Closes files without raising, because everything is already flushed."""
