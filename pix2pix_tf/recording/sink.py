"""The interface of sinks, which receive metrics and sample grids during training."""

from __future__ import annotations

from collections.abc import Mapping

from pix2pix_tf.models.base import SampleGrid


class Sink:
    """Receives metrics and sample grids; subclasses implement the methods that they need.

    Pass instances to ``train(config, sinks=[...])``. For a sink that all runs have, write a subclass in this
    package and add it to the list in `Recorder`.
    """

    def advance(self) -> None:
        """Called after every step."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Records training metrics by name, after ``step`` steps."""

    def validate(self, step: int, values: Mapping[str, float]) -> None:
        """Records metrics of held-out images by name."""

    def images(self, step: int, grid: SampleGrid) -> None:
        """Records a sample grid."""

    def finish(self) -> None:
        """Called after the last step, when all metrics and grids are recorded."""

    def close(self) -> None:
        """Closes files; also called after errors. It must not raise: all data is already flushed."""
