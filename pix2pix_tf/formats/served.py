"""Client of models in TensorFlow Serving, through its REST API."""

from __future__ import annotations

import base64
import dataclasses
import http
import http.client
import json
import re
import ssl
import struct
import time
import urllib.parse
from pathlib import Path
from typing import Any, Literal

import numpy as np
import requests
import tensorflow as tf
import urllib3

from pix2pix_tf.data.pixel_format import WITH_ALPHA, PixelFormat
from pix2pix_tf.data.reading import MAX_PIXELS, read_image
from pix2pix_tf.errors import ConfigError, DataError, SystemFault
from pix2pix_tf.formats.base import Format
from pix2pix_tf.formats.translator import Translator, brief, refusal
from pix2pix_tf.web import anonymous, first_cause

_SERVING_URL = re.compile(
    r"(?i:https?)://(\[[^\]\s]+\]|[^/@?#:\[\]\s]+)(:(?P<port>\d{1,5}))?"
    r"(/[^?#\s]*)?/v1/models/[^/:?#\s]+(/versions/\d+|/labels/[^/:?#\s]+)?"
)
_LOOPBACK = re.compile(r"(.*\.)?localhost|127(\.\d+){3}|::1")
_LARGEST_ANSWER = 2**24  # bytes, in addition to the image
_MOST_NOISE = 2**20  # numbers
_BYTES_A_PIXEL = 16  # 16-bit RGB takes 8 in base64
_REFUSALS = {
    404: "the server doesn't have this model",
    **dict.fromkeys((401, 403, 407), "access denied (this program sends no credentials)"),
}
_NO_METADATA = (404, 405, 501)  # answers of compatible servers that offer no metadata


class Served(Format):
    """A model behind a URL."""

    example = "a URL such as http://host:8501/v1/models/NAME"

    @staticmethod
    def find(model: str | Path) -> str | None:
        return model if isinstance(model, str) and re.match(r"https?://", model, re.IGNORECASE) else None

    @staticmethod
    def load(found: str) -> ServingTranslator:
        return ServingTranslator(found)


class ServingTranslator(Translator):
    """Sends one image per request to the REST API of TensorFlow Serving.

    Requests use the signature ``bytes`` and PNG with the image's bit depth. Compatible servers such as KServe
    offer no metadata. They receive RGB, which the model converts to gray if necessary, and a one-pixel image
    determines the output format.

    Args:
        url: http(s)://host:port/v1/models/NAME for the newest version, or .../NAME/versions/N.
        timeout: maximum seconds per request.
    """

    def __init__(self, url: str, timeout: float = 120.0):
        self._url = url.rstrip("/")
        parts = _SERVING_URL.fullmatch(self._url)
        if parts is None or int(parts["port"] or 0) > 65535:
            raise ConfigError(
                f"{url}: not the URL of a model; give http://host:8501/v1/models/NAME or "
                "http://host:8501/v1/models/NAME/versions/N"
            )
        self._timeout = timeout
        host = urllib.parse.urlsplit(self._url).hostname or ""
        self._proxies = {"no_proxy": host} if _LOOPBACK.fullmatch(host) else {}
        status, content = self._request("/metadata")
        if status in _NO_METADATA:
            probe = np.full((1, 1, 3), 255, np.uint8)
            answer = self._predict(probe, probing=True)
            (_, _, channels), bits = _png_header(answer)
            has_alpha = channels in WITH_ALPHA
            self.input, self.output = PixelFormat(3), PixelFormat(channels, bits=bits, has_alpha=has_alpha)
        else:
            self._refuse_status(status, content)
            if not self._take_metadata(content):
                raise ConfigError(
                    f"{self._url} is not a model that pix2pix export wrote: expected the signatures 'bytes' "
                    "and 'serving_default' in its metadata"
                )

    def _translate(self, given: tf.Tensor) -> np.ndarray:
        png = self._predict(given.numpy())
        size = self._made[1:3] if self.noise else given.shape[:2]
        expected = (*size, self.output.channels)
        shape, _ = _png_header(png)
        if shape != expected:
            raise ConfigError(
                f"{self._url} returned an image [height, width, channels] "
                f"{list(shape)}, not {list(expected)}; serve a model that pix2pix export wrote"
            )
        try:
            return read_image(png, self.output)
        except DataError as error:
            raise SystemFault(f"{self._url} returned a damaged PNG; try again") from error

    def _take_metadata(self, content: bytes) -> bool:
        """Sets what the model takes and makes; returns False if no export has this metadata."""
        try:
            signatures = json.loads(content)["metadata"]["signature_def"]["signature_def"]
            (key,), (answered,) = (signatures["bytes"][side] for side in ("inputs", "outputs"))
            takes_noise = key == "z"
            default = signatures["serving_default"]
            source = _shape(default["inputs"]["z" if takes_noise else "images"])
            self._made = _shape(default["outputs"]["images"])
            is_deep = default["outputs"]["images"].get("dtype") == "DT_UINT16"
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
            return False
        if key not in ("z", "image_bytes") or answered != "image_bytes":
            return False
        if not self._take_shapes(takes_noise, source, self._made):
            return False
        # `bytes` takes and returns no other images with 2 or 4 channels.
        self.inpaints, has_alpha = (each.channels in WITH_ALPHA for each in (self.input, self.output))
        self.output = dataclasses.replace(self.output, bits=16 if is_deep else 8, has_alpha=has_alpha)
        return 0 <= self.noise <= _MOST_NOISE and max(self.input.channels, self.output.channels) <= 4

    def _predict(self, given: np.ndarray, probing: bool = False) -> bytes:
        """Sends an image or noise; returns the output as PNG."""
        if given.ndim == 1:
            instance: dict[str, Any] = {"z": given.tolist()}
        else:
            instance = {"b64": base64.b64encode(tf.io.encode_png(tf.constant(given)).numpy()).decode("ascii")}
        sent = {"signature_name": "bytes", "instances": [instance]}
        height, width = self._made[1:3] if self.noise else given.shape[:2]
        most = _LARGEST_ANSWER + _BYTES_A_PIXEL * min(abs(height * width), MAX_PIXELS)
        status, content = self._request(":predict", sent, most)
        if status in (400, 413, 422) and not probing:
            raise DataError(f"{self._url} refuses the image: {_server_message(status, content)}")
        self._refuse_status(status, content)
        try:
            (prediction,) = json.loads(content)["predictions"]
            # The server omits the name of a single output.
            answer = base64.b64decode(prediction.get("image_bytes", prediction)["b64"], validate=True)
            _png_header(answer)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
            raise ConfigError(
                f"{self._url} did not return a PNG in base64; serve a model that pix2pix export wrote"
            ) from error
        return answer

    def _refuse_status(self, status: int, content: bytes) -> None:
        if status == 200:
            return
        message = _server_message(status, content)
        if status == 429 or status >= 500:
            raise SystemFault(f"{self._url}: the server failed ({message}); look at its log, or try again")
        if 300 <= status < 400:
            raise ConfigError(f"{self._url} redirects to another URL ({message}); give that URL")
        reason = _REFUSALS.get(status, "the server refuses the request")
        raise ConfigError(f"{self._url}: {reason} ({message}); check the URL")

    def _request(self, what: str, body: Any = None, most: int = _LARGEST_ANSWER) -> tuple[int, bytes]:
        """Sends a POST if there is a body, else a GET; returns the status and at most ``most`` bytes.

        A redirect would turn a POST into a GET, so its target is returned instead of followed.
        """
        deadline = time.monotonic() + self._timeout
        try:
            with requests.request(
                "GET" if body is None else "POST",
                self._url + what,
                json=body,
                auth=anonymous,
                proxies=self._proxies,
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
            ) as response:
                if response.is_redirect:
                    return response.status_code, response.headers["Location"].encode()
                content = bytearray()
                while chunk := response.raw.read1(2**20, decode_content=True):
                    content += chunk
                    if time.monotonic() > deadline:  # a socket's own timeout restarts with every byte
                        raise TimeoutError
                    if len(content) > most:
                        raise ValueError(f"an answer of more than {most} bytes")
                return response.status_code, bytes(content)
        except (OSError, urllib3.exceptions.HTTPError, ValueError) as error:
            raise self._explained(first_cause(error)) from error

    def _explained(self, reason: BaseException) -> ConfigError | SystemFault:
        """Converts a connection error into a one-line error."""
        if isinstance(reason, TimeoutError):
            return SystemFault(
                f"{self._url}: no answer within {self._timeout:g} seconds; check the server's load"
            )
        if isinstance(reason, ssl.SSLError):
            return SystemFault(
                f"{self._url}: no secure connection ({brief(str(reason))}); check http or https"
            )
        if isinstance(reason, OSError | http.client.IncompleteRead):  # refused, unknown host, interrupted
            message = brief(getattr(reason, "strerror", None) or str(reason))
            return SystemFault(f"{self._url}: the server can't be reached ({message}); check that it runs")
        return ConfigError(
            f"{self._url}: this is not TensorFlow Serving's REST API ({brief(repr(reason))}); check the "
            "port (8501 by default; 8500 is for gRPC)"
        )


def _server_message(status: int, content: bytes) -> str:
    """Returns the one-line reason from TensorFlow Serving's ``{"error": ...}``, or the standard HTTP one."""
    try:
        message = json.loads(content)["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        message = content.decode("utf-8", "replace") if 300 <= status < 400 else None
    standard = f"{status} {http.client.responses.get(status, 'unknown')}"
    return refusal(message) if isinstance(message, str) and message.strip() else standard


def _shape(tensor: Any) -> list[int]:
    """Returns a tensor's shape from server metadata, with -1 for any size."""
    return [int(dimension["size"]) for dimension in tensor["tensor_shape"]["dim"]]


def _png_header(png: bytes) -> tuple[tuple[int, int, int], Literal[8, 16]]:
    """Returns (height, width, channels) and bits of a PNG; raises `ValueError` for anything else."""
    channels = {0: 1, 2: 3, 4: 2, 6: 4}  # by color type
    if not png.startswith(b"\x89PNG\r\n\x1a\n") or len(png) < 26 or png[25] not in channels:
        raise ValueError("not a PNG, gray or RGB")
    width, height = struct.unpack(">II", png[16:24])
    return (height, width, channels[png[25]]), 16 if png[24] == 16 else 8
