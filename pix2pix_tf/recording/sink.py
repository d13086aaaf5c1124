"""Somewhere that values and samples go to."""

from __future__ import annotations

from collections.abc import Mapping

from pix2pix_tf.models.base import Sheet


class Sink:
    """Takes what comes at a step, and leaves alone what it has no use for."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Takes values by their names, after ``step`` steps."""

    def show(self, step: int, title: str, sheet: Sheet) -> None:
        """Takes the samples of a step."""

    def close(self) -> None:
        """Closes what is open. What was taken is written already: a full disk was told before."""
