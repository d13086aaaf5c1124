"""``pix2pix demo``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from pix2pix_tf.commands.parsing import parse, start_frameworks
from pix2pix_tf.validation import limited


@dataclasses.dataclass(frozen=True)
class DemoOptions:
    """Serves a web page to draw on; an exported generator translates in the browser."""

    model: Positional[str] = "facades-small"
    """A .tflite written by 'pix2pix export', or a shipped model."""
    port: Annotated[int, *limited(0, 65535)] = 0
    """Port of the page on the loopback interface; 0 selects a free one."""
    open_browser: bool = True
    """Open the page in a browser."""
    runtime: Path | None = None
    """LiteRT.js: node_modules/@litertjs after 'npm ci' in web/; by default downloaded once (12 MB)."""


def run(arguments: list[str]) -> int:
    options = parse(DemoOptions, "demo", arguments)
    start_frameworks()
    from pix2pix_tf.demo import demo

    demo(**vars(options))
    return 0
