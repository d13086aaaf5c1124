"""``pix2pix demo``: a web page to draw on; a .tflite model translates the drawing in the browser.

This process only serves files on the loopback interface: the page, LiteRT.js and the model.
"""

from __future__ import annotations

import contextlib
import http
import http.server
import json
import sys
from pathlib import Path
from typing import Any

from pix2pix_tf.demo.runtime import runtime_files
from pix2pix_tf.errors import ConfigError, SystemFault
from pix2pix_tf.formats.shipped import shipped_models
from pix2pix_tf.formats.tflite import TFLite
from pix2pix_tf.formats.tflite.metadata import read_metadata
from pix2pix_tf.formats.tflite.reader import TFLiteTranslator

_PAGE = Path(__file__).parent / "page"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".wasm": "application/wasm",
    ".tflite": "application/octet-stream",
}
# WebAssembly threads need shared memory, which browsers only allow on cross-origin isolated pages.
_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


class Demo(http.server.ThreadingHTTPServer):
    """Serves the page for one model, a .tflite file or a shipped model's name, on the loopback interface.

    Attributes:
        url: the address of the page.
    """

    def __init__(self, model: str | Path, port: int = 0, runtime: Path | None = None):
        path = TFLite.find(model)
        if path is None:
            raise ConfigError(
                f"{model}: not a .tflite model; 'pix2pix export RUN' writes one, and "
                f"{' and '.join(shipped_models())} are included in this package"
            )
        translator = TFLite.load(path)
        _require_drawable(path, translator)
        metadata = json.dumps(_metadata(path, translator)).encode()
        self.files: dict[str, Path | bytes] = {"/model.tflite": path, "/model.json": metadata}
        self.files |= {f"/{file.name}": file for file in _PAGE.iterdir() if file.suffix in _TYPES}
        self.files |= {f"/litert/{name}": file for name, file in runtime_files(runtime).items()}
        self.files["/"] = _PAGE / "index.html"
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise SystemFault(
                f"--port {port}: {error.strerror or error}; give another port, or 0 for any free port"
            ) from error
        self.url = f"http://127.0.0.1:{self.server_port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignores connections closed by the browser."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Demo

    def do_GET(self) -> None:
        found = self.server.files.get(self.path.partition("?")[0])
        # Prevents DNS rebinding: requests of other sites have a different host.
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
        headers = {"Content-Type": _TYPES[kind], "Content-Length": str(len(body)), **_HEADERS}
        for header, value in headers.items():
            self.send_header(header, value)
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # the page was closed
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing."""


def _require_drawable(path: Path, model: TFLiteTranslator) -> None:
    if model.noise or model.inpaints or model.enlarges > 1:
        raise ConfigError(f"{path}: the demo supports plain image-to-image models only")
    if not {model.input.channels, model.output.channels} <= {1, 3} or model.output.bits != 8:
        raise ConfigError(
            f"{path}: the demo supports 8-bit gray and RGB images only; this model translates "
            f"{model.input.channels} channels to {model.output.channels}"
        )


def _metadata(path: Path, model: TFLiteTranslator) -> dict[str, Any]:
    height, width = model.size
    return {
        "name": path.stem,
        "height": height,
        "width": width,
        "input_channels": model.input.channels,
        "output_channels": model.output.channels,
        "classes": read_metadata(path.read_bytes()).get("classes", []),
    }
