"""Interface of everything that receives metrics and samples during training."""

from __future__ import annotations

from collections.abc import Mapping

from pix2pix_tf.models.base import SampleGrid


class Sink:
    """Receives metrics and samples; a subclass implements the methods that it needs.

    A new sink is a subclass in a file beside this one and a line in `recorder.open_sinks`.
    """

    def advance(self) -> None:
        """Called after every step."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Records training metrics by name, after ``step`` steps."""

    def validate(self, step: int, values: Mapping[str, float]) -> None:
        """Records metrics of held-out images by name."""

    def images(self, step: int, title: str, grid: SampleGrid) -> None:
        """Records a sample grid."""

    def finish(self) -> None:
        """Called after the last step, when everything is recorded."""

    def close(self) -> None:
        """Closes files without raising: everything is already flushed. Also called after errors."""
