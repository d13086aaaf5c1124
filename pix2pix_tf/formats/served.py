"""A model behind TensorFlow Serving's REST API."""

from __future__ import annotations

import base64
import http
import http.client
import ipaddress
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

from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.pixels import WITH_ALPHA
from pix2pix_tf.data.reading import MAX_PIXELS, read_image
from pix2pix_tf.errors import ConfigError, DataError, SystemFault
from pix2pix_tf.formats.base import Format
from pix2pix_tf.formats.translator import Translator, brief, refusal
from pix2pix_tf.web import anonymous, first_cause

_SERVING_URL = re.compile(
    r"(?i:https?)://(\[[^\]\s]+\]|[^/@?#:\[\]\s]+)(:(?P<port>\d{1,5}))?"
    r"(/[^?#\s]*)?/v1/models/[^/:?#\s]+(/versions/\d+|/labels/[^/:?#\s]+)?"
)
_LARGEST_ANSWER = 2**24  # bytes, besides those of an image
_MOST_NOISE = 2**20  # numbers
_BYTES_A_PIXEL = 16  # RGB of 16 bits has 8 in base64
_REFUSALS = {
    404: "the server has no such model",
    **dict.fromkeys((401, 403, 407), "access denied, and credentials are never sent"),
}
_NO_METADATA = (404, 405, 501)  # from servers of the same protocol without metadata


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
    """A model behind the REST API of TensorFlow Serving, with one image per request.

    Images are sent as PNG, in their own depth, to the signature ``bytes``. Servers of the same protocol
    without metadata, such as KServe's, are sent RGB, which the model converts to gray if it needs that; what
    they return is found out by an image of one pixel.

    Args:
        url: http(s)://host:port/v1/models/NAME, of the newest version, or .../NAME/versions/N.
        timeout: seconds that a request may take.
    """

    def __init__(self, url: str, timeout: float = 120.0):
        self._url = url.rstrip("/")
        parts = _SERVING_URL.fullmatch(self._url)
        if parts is None or int(parts["port"] or 0) > 65535:
            raise ConfigError(
                f"{url}: not the URL of a model; it looks like http://host:8501/v1/models/NAME or "
                "http://host:8501/v1/models/NAME/versions/N"
            )
        self._timeout = timeout
        host = urllib.parse.urlsplit(self._url).hostname or ""
        self._proxies = {"no_proxy": host} if _is_loopback(host) else {}
        status, content = self._request("/metadata")
        if status in _NO_METADATA:
            probe = np.full((1, 1, 3), 255, np.uint8)
            answer = self._predict(probe, probing=True)
            (_, _, channels), bits = _png_header(answer)
            self.input, self.output = PixelFormat(3), PixelFormat(channels, bits=bits)
        else:
            self._refuse_status(status, content)
            self.noise, channels, self._made, bits = self._signatures(content)
            self.input, self.output = PixelFormat(channels), PixelFormat(self._made[2], bits=bits)
            self.inpaints = channels in WITH_ALPHA  # else files could not be sent

    def _translate(self, given: tf.Tensor) -> np.ndarray:
        png = self._predict(given.numpy())
        expected = self._made if self.noise else (*given.shape[:2], self.output.channels)
        shape, _ = _png_header(png)
        if shape != expected:
            raise ConfigError(
                f"{self._url} answered with an image [height, width, channels] "
                f"{list(shape)}, not {list(expected)}; is it a model that pix2pix export wrote?"
            )
        try:
            return read_image(png, self.output)
        except DataError as error:
            raise SystemFault(f"{self._url} answered with a damaged PNG; try again") from error

    def _signatures(self, content: bytes) -> tuple[int, int, tuple[int, ...], Literal[8, 16]]:
        """Returns noise and channels of inputs, shape (-1 if unknown) and bits of outputs."""
        try:
            signatures = json.loads(content)["metadata"]["signature_def"]["signature_def"]
            (key,), (answered,) = (signatures["bytes"][side] for side in ("inputs", "outputs"))
            takes_noise = key == "z"
            levels = signatures["serving_default"]
            source = _shape(levels["inputs"]["z" if takes_noise else "images"])
            _, height, width, channels = _shape(levels["outputs"]["images"])
            bits: Literal[8, 16] = 16 if levels["outputs"]["images"].get("dtype") == "DT_UINT16" else 8
            if key in ("z", "image_bytes") and answered == "image_bytes" and channels in (1, 3):
                if takes_noise and 0 < source[1] <= _MOST_NOISE:
                    return source[1], 0, (height, width, channels), bits
                if not takes_noise and source[3] in (1, 2, 3, 4):
                    return 0, source[3], (height, width, channels), bits
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
            pass
        raise ConfigError(
            f"{self._url} is not a model that pix2pix export wrote: expected the signatures 'bytes' and "
            "'serving_default' in its metadata"
        )

    def _predict(self, given: np.ndarray, probing: bool = False) -> bytes:
        """Sends one image, or noise, and returns the PNG that is the answer."""
        if given.ndim == 1:
            instance: dict[str, Any] = {"z": given.tolist()}
        else:
            instance = {"b64": base64.b64encode(tf.io.encode_png(tf.constant(given)).numpy()).decode("ascii")}
        sent = {"signature_name": "bytes", "instances": [instance]}
        height, width = self._made[:2] if self.noise else given.shape[:2]
        most = _LARGEST_ANSWER + _BYTES_A_PIXEL * min(abs(height * width), MAX_PIXELS)
        status, content = self._request(":predict", sent, most)
        if status in (400, 413, 422) and not probing:
            raise DataError(f"{self._url} refuses the image: {_server_message(status, content)}")
        self._refuse_status(status, content)
        try:
            (prediction,) = json.loads(content)["predictions"]
            # A single output comes without its name.
            answer = base64.b64decode(prediction.get("image_bytes", prediction)["b64"], validate=True)
            _png_header(answer)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
            raise ConfigError(
                f"{self._url} did not answer as TensorFlow Serving does with a PNG in base64; is it a model "
                "that pix2pix export wrote?"
            ) from error
        return answer

    def _refuse_status(self, status: int, content: bytes) -> None:
        if status == 200:
            return
        said = _server_message(status, content)
        if status == 429 or status >= 500:
            raise SystemFault(f"{self._url}: the server failed ({said}); look at its log, or try again")
        if 300 <= status < 400:
            raise ConfigError(f"{self._url} redirects elsewhere ({said}); give that URL")
        reason = _REFUSALS.get(status, "the server refuses the request")
        raise ConfigError(f"{self._url}: {reason} ({said}); check the URL")

    def _request(self, what: str, body: Any = None, most: int = _LARGEST_ANSWER) -> tuple[int, bytes]:
        """Sends a request, a POST if it has a body; returns the status and at most ``most`` bytes of answer.

        Redirects, which would turn a POST into a GET, aren't followed; the answer is their target.
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
                return response.status_code, _read_until(response.raw, most, deadline)
        except (OSError, urllib3.exceptions.HTTPError, ValueError) as error:
            raise self._explained(first_cause(error)) from error

    def _explained(self, reason: BaseException) -> ConfigError | SystemFault:
        """Returns the error that explains in one line why there is no answer."""
        if isinstance(reason, TimeoutError):
            return SystemFault(f"{self._url}: no answer within {self._timeout:g} seconds; is it busy?")
        if isinstance(reason, ssl.SSLError):
            return SystemFault(f"{self._url}: no secure connection ({brief(str(reason))}); http or https?")
        if isinstance(reason, OSError | http.client.IncompleteRead):  # refused, unknown host, interrupted
            said = brief(getattr(reason, "strerror", None) or str(reason))
            return SystemFault(f"{self._url}: the server can't be reached ({said}); is it running?")
        return ConfigError(
            f"{self._url}: what answers there is not TensorFlow Serving ({brief(repr(reason))}); its REST "
            "port is 8501 by default, 8500 is another"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _read_until(raw: urllib3.HTTPResponse, most: int, deadline: float) -> bytes:
    """Reads a whole answer within a deadline, because a socket's own timeout restarts with every byte.

    Raises:
        TimeoutError: it takes longer than until ``deadline``.
        ValueError: it has more than ``most`` bytes.
    """
    content = bytearray()
    while chunk := raw.read1(2**20, decode_content=True):
        content += chunk
        if time.monotonic() > deadline:
            raise TimeoutError
        if len(content) > most:
            raise ValueError(f"an answer of more than {most} bytes")
    return bytes(content)


def _server_message(status: int, content: bytes) -> str:
    """Returns the reason for a failure in a line, from ``{"error": ...}`` as TensorFlow Serving has it."""
    try:
        said = json.loads(content)["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        said = content.decode("utf-8", "replace") if 300 <= status < 400 else None
    standard = f"{status} {http.client.responses.get(status, 'unknown')}"
    return refusal(said) if isinstance(said, str) and said.strip() else standard


def _shape(tensor: Any) -> list[int]:
    """Returns the shape of a tensor in a server's metadata, with -1 for any size."""
    return [int(dimension["size"]) for dimension in tensor["tensor_shape"]["dim"]]


def _png_header(png: bytes) -> tuple[tuple[int, int, int], Literal[8, 16]]:
    """Returns (height, width, channels) and bits of a PNG; raises `ValueError` for anything else."""
    if not png.startswith(b"\x89PNG\r\n\x1a\n") or len(png) < 26 or png[25] not in (0, 2):
        raise ValueError("not a PNG, gray or RGB")
    width, height = struct.unpack(">II", png[16:24])
    return (height, width, 1 if png[25] == 0 else 3), 16 if png[24] == 16 else 8
