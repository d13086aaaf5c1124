"""``pix2pix timeline``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from pix2pix_tf.commands.parsing import start_frameworks
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.validation import Limits
from pix2pix_tf.wording import quoted


@dataclasses.dataclass(frozen=True)
class TimelineOptions:
    """Writes a GIF of a run's samples over training."""

    run: Positional[str]
    """Run directory, or a checkpoint (RUN@4000, RUN@best), where the timeline ends."""
    out: Path | None = None
    """Output file; RUN/timeline.gif by default."""
    row: Annotated[int, Limits(1)] = 1
    """Row of the sample grids to show."""


def run(options: TimelineOptions) -> None:
    if options.out is not None and options.out.suffix.lower() != ".gif":
        raise ConfigError(f"--out {quoted(options.out)}: the timeline is a GIF; the name must end in .gif")
    start_frameworks()
    from pix2pix_tf.timeline import timeline

    print(timeline(**vars(options)))
