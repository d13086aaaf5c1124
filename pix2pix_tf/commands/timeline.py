"""``pix2pix timeline``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from pix2pix_tf.commands.parsing import parse, start_frameworks
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.validation import limited
from pix2pix_tf.wording import quoted


@dataclasses.dataclass(frozen=True)
class TimelineArgs:
    """Makes a GIF of a run's samples, from the first sample grid to the last."""

    run: Positional[str]
    """A run directory."""
    out: Path | None = None
    """The file; RUN/timeline.gif if not given."""
    row: Annotated[int, *limited(1)] = 1
    """Which row of the sample grids."""


def run(arguments: list[str]) -> int:
    args = parse(TimelineArgs, "timeline", arguments)
    start_frameworks()
    from pix2pix_tf.timeline import timeline

    if args.out is not None and args.out.suffix.lower() != ".gif":
        raise ConfigError(f"--out {quoted(args.out)}: a timeline is a GIF; give a name that ends in .gif")
    print(timeline(args.run, args.out, args.row))
    return 0
