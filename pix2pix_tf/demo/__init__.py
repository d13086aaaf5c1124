"""``pix2pix demo``: a web page to draw on; a .tflite model translates the drawing in the browser.

This process only serves files on the loopback interface: the page, LiteRT.js and the models.
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
from pix2pix_tf.formats.tflite import TFLite, samples_file
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
    ".png": "image/png",
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
    """Serves the page on the loopback interface; its menu lists the given model first, then the shipped ones.

    Attributes:
        url: the address of the page.
    """

    def __init__(self, model: str | Path, port: int = 0, runtime: Path | None = None):
        path = TFLite.find(model)
        if path is None:
            raise ConfigError(
                f"{model}: not a .tflite model; 'pix2pix export RUN' writes one, and "
                f"{', '.join(shipped_models())} are included in this package"
            )
        shipped = (TFLite.find(name) for name in shipped_models())
        paths = dict.fromkeys([path, *(each for each in shipped if each is not None)])
        models = [_described(number, path) for number, path in enumerate(paths)]
        self.files: dict[str, Path | bytes] = {"/models.json": json.dumps(models).encode()}
        for each, path in zip(models, paths, strict=True):
            self.files |= {f"/{each['url']}": path, f"/{each['samples']}": samples_file(path)}
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
    channels = model.input.channels, model.output.channels
    if channels[0] not in (1, 3) or channels[1] not in (1, 3, 4) or model.output.bits != 8:
        raise ConfigError(
            f"{path}: the demo supports 8-bit images, from gray or RGB to gray, RGB or RGBA; this model "
            f"translates {channels[0]} channels to {channels[1]}"
        )


def _described(number: int, path: Path) -> dict[str, Any]:
    """Describes a model for the page."""
    model = TFLite.load(path)
    _require_drawable(path, model)
    height, width = model.size
    return {
        "name": path.stem,
        "url": f"models/{number}.tflite",
        "samples": f"models/{number}.png" if samples_file(path).is_file() else None,
        "height": height,
        "width": width,
        "input_channels": model.input.channels,
        "output_channels": model.output.channels,
        "classes": read_metadata(path.read_bytes()).get("classes", []),
    }
