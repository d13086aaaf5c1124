"""``pix2pix demo``: a page to draw on, and a network that answers in the browser, on the user's own machine.

This process only hands out files, on the loopback interface: the page of this package, LiteRT.js and the
exported .tflite. The browser computes.
"""

from __future__ import annotations

import contextlib
import http
import http.server
import json
import sys
import threading
import webbrowser
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pix2pix_tf.demo.runtime import runtime_files
from pix2pix_tf.errors import ConfigError, SystemFault
from pix2pix_tf.formats.shipped import shipped_models
from pix2pix_tf.formats.tflite import TFLite
from pix2pix_tf.formats.tflite.metadata import read_metadata
from pix2pix_tf.formats.tflite.reader import TFLiteTranslator
from pix2pix_tf.wording import quoted

_PAGE = Path(__file__).parent / "page"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".wasm": "application/wasm",
    ".tflite": "application/octet-stream",
}
# WebAssembly's threads share memory, which browsers allow only to pages that nothing foreign is in.
_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


class Demo:
    """The page for one model, a .tflite's or a shipped one's name, and its server."""

    def __init__(self, model: str | Path, port: int = 0, runtime: Path | None = None):
        path = TFLite.find(model)
        if path is None:
            raise ConfigError(
                f"{model}: the page draws for a .tflite; 'pix2pix export RUN' writes one, and "
                f"{' and '.join(shipped_models())} come with this package"
            )
        translator = TFLite.load(path)
        _refuse_undrawable(path, translator)
        described = json.dumps(_described(path, translator)).encode()
        files: dict[str, Path | bytes] = {"/model.tflite": path, "/model.json": described}
        files |= {f"/{file.name}": file for file in _PAGE.iterdir() if file.suffix in _TYPES}
        files |= {f"/litert/{name}": file for name, file in runtime_files(runtime).items()}
        files["/"] = _PAGE / "index.html"
        try:
            self._server = _Server(("127.0.0.1", port), _handler_of(files))
        except OSError as error:
            raise SystemFault(f"--port {port}: {error.strerror or error}; give another, or 0") from error
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def serve(self) -> None:
        """Serves until Ctrl-C, or until :meth:`stop` is called by another thread."""
        with contextlib.suppress(KeyboardInterrupt):
            self._server.serve_forever()
        self._server.server_close()

    def stop(self) -> None:
        """Ends :meth:`serve`."""
        self._server.shutdown()


def demo(
    model: str | Path,
    port: int = 0,
    runtime: Path | None = None,
    open_browser: bool = True,
    say: Callable[[str], None] = print,
) -> None:
    """Serves the page until Ctrl-C; see :class:`Demo`."""
    page = Demo(model, port, runtime)
    say(f"{page.url} draws for {quoted(str(model))}; Ctrl-C ends it")
    if open_browser:  # beside the server: browsers of the terminal return only when they are left
        threading.Thread(target=webbrowser.open, args=(page.url,), daemon=True).start()
    page.serve()


class _Server(http.server.ThreadingHTTPServer):
    """Says nothing of connections that a browser has closed."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _refuse_undrawable(path: Path, model: TFLiteTranslator) -> None:
    if model.noise or model.paints_holes or model.enlarges > 1:
        raise ConfigError(f"{path}: the page draws what a network translates; this one isn't drawn for")
    if not {model.input_channels, model.output_channels} <= {1, 3} or model.output_bits != 8:
        raise ConfigError(
            f"{path}: the page draws in grey or RGB of 8 bits; this model goes from {model.input_channels} "
            f"channels to {model.output_channels}"
        )


def _described(path: Path, model: TFLiteTranslator) -> dict[str, Any]:
    height, width = model.size
    return {
        "name": path.stem,
        "height": height,
        "width": width,
        "input_channels": model.input_channels,
        "output_channels": model.output_channels,
        "classes": read_metadata(path.read_bytes()).get("classes", []),
    }


def _handler_of(files: Mapping[str, Path | bytes]) -> type[http.server.BaseHTTPRequestHandler]:
    """Returns what answers requests for those files, and for no others."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def _answer(self, with_body: bool) -> None:
            found = files.get(self.path.partition("?")[0])
            # A page of elsewhere whose name was made to mean this machine has another host.
            host = self.headers.get("Host", "").partition(":")[0]
            try:
                body = found.read_bytes() if isinstance(found, Path) else found
            except OSError:
                body = None
            if found is None or body is None or host not in ("127.0.0.1", "localhost"):
                self.send_error(http.HTTPStatus.NOT_FOUND)
                return
            kind = ".json" if isinstance(found, bytes) else found.suffix.lower()
            self.send_response(http.HTTPStatus.OK)
            self.send_header("Content-Type", _TYPES[kind])
            self.send_header("Content-Length", str(len(body)))
            for header, value in _HEADERS.items():
                self.send_header(header, value)
            self.end_headers()
            if with_body:
                with contextlib.suppress(ConnectionError):  # whoever closes a page doesn't wait
                    self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing: the terminal is the user's."""

    return Handler
