"""``pix2pix demo``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from pix2pix_tf.commands.parsing import parse, start_frameworks
from pix2pix_tf.validation import limited


@dataclasses.dataclass(frozen=True)
class DemoArgs:
    """Opens a page to draw on: an exported network answers in the browser, on this machine."""

    model: Positional[str] = "facades-small"
    """A .tflite that 'pix2pix export' wrote, or a model that comes with this package."""
    port: Annotated[int, *limited(0, 65535)] = 0
    """Where the page is served, on the loopback interface; 0 takes a port that is free."""
    open_browser: bool = True
    """Open the page."""
    runtime: Path | None = None
    """LiteRT.js: node_modules/@litertjs after 'npm ci' in web/; by default downloaded once (12 MB)."""


def run(arguments: list[str]) -> int:
    args = parse(DemoArgs, "demo", arguments)
    start_frameworks()
    from pix2pix_tf.demo import demo

    demo(args.model, args.port, args.runtime, args.open_browser)
    return 0
