"""The progress bar: steps, rate, time left and the values that matter."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from tqdm import tqdm

from pix2pix_tf.recording.sink import Sink


class Progress(Sink):
    """A progress bar on standard error.

    Args:
        first_step: steps already done.
        last_step: steps of the whole run.
        labels: what the bar calls the values that it shows.
    """

    def __init__(self, first_step: int, last_step: int, labels: Mapping[str, str]):
        self._labels = labels
        self._bar = tqdm(
            total=last_step,
            initial=first_step,
            unit="step",
            desc="training",
            dynamic_ncols=True,
            smoothing=0.05,
            mininterval=0.1 if sys.stderr.isatty() else 10.0,  # a log file wants a line now and then
        )

    def advance(self) -> None:
        """Moves the bar by a step."""
        self._bar.update()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Shows values behind the bar."""
        shown = {label: f"{values[name]:.3g}" for name, label in self._labels.items() if name in values}
        self._bar.set_postfix(shown, refresh=False)

    def finish(self) -> None:
        """Says that the steps are done, and the rest isn't."""
        self._bar.set_description("finishing")

    def close(self) -> None:
        """Closes the bar."""
        self._bar.close()
