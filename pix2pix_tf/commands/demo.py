"""``pix2pix demo``."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import webbrowser
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from pix2pix_tf.commands.parsing import start_frameworks
from pix2pix_tf.formats.shipped import shipped_models
from pix2pix_tf.validation import Limits
from pix2pix_tf.wording import quoted


@dataclasses.dataclass(frozen=True)
class DemoOptions:
    """Opens a web page to draw on, with a model that runs in the browser."""

    model: Positional[str] = shipped_models()[0]
    """A .tflite written by 'pix2pix export', or a shipped model; the page has a menu of all shipped ones."""
    port: Annotated[int, Limits(0, 65535)] = 0
    """Port of the page on the loopback interface; 0 selects a free one."""
    open_browser: bool = True
    """Open the page in a browser."""
    runtime: Path | None = None
    """LiteRT.js: node_modules/@litertjs after 'npm ci' in web/; by default downloaded once (12 MB)."""


def run(options: DemoOptions) -> None:
    start_frameworks()
    from pix2pix_tf.demo import Demo

    with Demo(options.model, options.port, options.runtime) as demo:
        print(f"{demo.url} serves {quoted(options.model)}; Ctrl-C stops it")
        if options.open_browser:  # in a thread, because terminal browsers block until they are closed
            threading.Thread(target=webbrowser.open, args=(demo.url,), daemon=True).start()
        with contextlib.suppress(KeyboardInterrupt):
            demo.serve_forever()
