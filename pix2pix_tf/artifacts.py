"""Exported models as translators: a SavedModel, a .tflite file, a model behind TensorFlow Serving's REST API.

Each is used as a client outside this package would use it, by its signatures alone, so that what
``pix2pix predict`` paints with an artifact is what everyone else gets from it.
"""

from __future__ import annotations

import base64
import binascii
import functools
import glob
import http.client
import ipaddress
import json
import os
import re
import ssl
import struct
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from email.message import Message
from pathlib import Path
from typing import IO, Any

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from pix2pix_tf.data.images import MAGIC_NUMBERS, decode_image, encode_png, to_uint8, to_unit_range
from pix2pix_tf.errors import ConfigError, DataError, RunError, SystemFault
from pix2pix_tf.files import first_line
from pix2pix_tf.quiet import hushed
from pix2pix_tf.translator import Translator, is_url, out_of_memory

_MODELS = (
    "MODEL may be a run directory, a directory with a SavedModel or with versions of one, a .tflite file, "
    "or a URL such as http://host:8501/v1/models/NAME"
)


def find_artifact(model: str | Path) -> Callable[[], Translator]:
    """Finds out what kind of exported model is meant.

    Args:
        model: a path or a URL, as :meth:`Translator.load` takes it; not a run directory.

    Returns:
        What loads it.

    Raises:
        RunError: there is nothing, or a directory without any model.
        ConfigError: something is there, but no whole model.
    """
    if is_url(model):
        return functools.partial(ServingTranslator, str(model))
    path = Path(model).expanduser()
    if path.is_dir():
        return functools.partial(SavedModelTranslator, _saved_model_in(path))
    if not path.exists():
        raise RunError(f"there is no model at {path}; {_MODELS}")
    if path.suffix.lower() == ".tflite":
        return functools.partial(TFLiteTranslator, path)
    raise ConfigError(f"{path} is a file that holds no model; {_MODELS}")


def _saved_model_in(path: Path) -> Path:
    """The directory of the SavedModel that is meant: ``path``, or its highest version."""
    if _has_part_of_saved_model(path):
        return path
    versions = [child for child in path.iterdir() if child.is_dir() and re.fullmatch(r"\d+", child.name)]
    if versions:
        # A server would take the highest as well, so an older one must not stand in for a damaged one.
        return max(versions, key=lambda child: int(child.name))
    visible = (child for child in path.iterdir() if not child.name.startswith("."))
    inside = sorted(child.name for child in visible if _is_model_inside(child))
    if inside:
        raise RunError(f"{path} holds several files and folders with models; give one: {', '.join(inside)}")
    raise RunError(f"{path} is no model: it has neither config.json nor saved_model.pb; {_MODELS}")


def _has_part_of_saved_model(path: Path) -> bool:
    return (path / "saved_model.pb").exists() or (path / "variables").is_dir()


def _is_model_inside(child: Path) -> bool:
    if not child.is_dir():
        return child.suffix.lower() == ".tflite"
    places = (child, *child.iterdir())
    return any((place / name).is_file() for place in places for name in ("saved_model.pb", "config.json"))


# ---------------------------------------------------------------- SavedModel


class SavedModelTranslator(Translator):
    """A SavedModel that ``pix2pix export`` wrote, in this process: images of any size.

    Images of 8 bits go through the signature ``serving_default``; those of 16 through ``float``, which
    keeps their depth.

    Args:
        path: the directory with saved_model.pb.

    Raises:
        ConfigError: it is damaged, or another model.
    """

    def __init__(self, path: Path):
        _check_saved_model_files(path)
        tf.config.experimental.enable_tensor_float_32_execution(False)  # as GeneratorTranslator
        try:
            self._model = tf.saved_model.load(str(path))  # kept, because it owns the variables
        except (MemoryError, tf.errors.ResourceExhaustedError) as error:
            raise SystemFault(f"{path}: not enough memory to load the model") from error
        except Exception as error:  # a damaged file fails in as many ways as it has parts
            raise ConfigError(
                f"{path}: the SavedModel can't be loaded ({_brief(first_line(error))}); export it again"
            ) from error
        self._levels, self.input_channels, self.output_channels = _signature(
            path, self._model, "serving_default", tf.uint8
        )
        self._floats, *_ = _signature(path, self._model, "float", tf.float32)

    @property
    def signatures(self) -> Mapping[str, Callable[..., Mapping[str, tf.Tensor]]]:
        """The model's functions, by the names that clients use."""
        return self._model.signatures

    def _translate(self, image: tf.Tensor) -> np.ndarray:
        try:
            if image.dtype == tf.uint8:
                return self._levels(images=image[tf.newaxis])["images"][0].numpy()
            output = self._floats(images=to_unit_range(image)[tf.newaxis])["images"][0]
            return to_uint8(output).numpy()
        except tf.errors.ResourceExhaustedError as error:
            raise out_of_memory(image) from error
        except tf.errors.InvalidArgumentError as error:
            raise DataError(f"the model refuses the image: {_refusal(str(error))}") from error


def _check_saved_model_files(path: Path) -> None:
    if glob.has_magic(str(path.absolute())):
        raise ConfigError(f"{path}: TensorFlow can't read files below a name with *, ? or [; rename it")
    for name in ("saved_model.pb", "variables/variables.index"):
        if not (path / name).is_file():
            raise ConfigError(
                f"{path} is half a SavedModel: it has no {name}; copy it whole, or export again"
            )


def _signature(
    path: Path, model: Any, name: str, dtype: tf.DType
) -> tuple[Callable[..., Mapping[str, tf.Tensor]], int, int]:
    """Returns a signature and its input's and output's channels.

    Raises:
        ConfigError: it isn't there, or takes or gives something else.
    """
    function = model.signatures.get(name)
    if function is not None:
        given = (function.structured_input_signature[1], function.structured_outputs)
        specs = [spec.get("images") for spec in given]
        if all(len(spec) == 1 for spec in given) and all(_is_image_batch(spec, dtype) for spec in specs):
            return function, specs[0].shape[3], specs[1].shape[3]
    raise ConfigError(
        f"{path}: not a SavedModel that pix2pix export wrote: expected a signature '{name}' from images to "
        f"images, {dtype.name} [batch, height, width, 1 or 3 channels]; its signatures are "
        f"{', '.join(model.signatures) or 'none'}"
    )


def _is_image_batch(spec: tf.TensorSpec | None, dtype: tf.DType) -> bool:
    return spec is not None and spec.dtype == dtype and spec.shape.rank == 4 and spec.shape[3] in (1, 3)


# ---------------------------------------------------------------- TFLite


class TFLiteTranslator(Translator):
    """A .tflite file that ``pix2pix export`` wrote: images of one size.

    Where it takes or gives floats, those are in [-1, 1]; where uint8, the levels of the image.

    Args:
        path: the file.

    Attributes:
        size: height and width of the images that it takes.

    Raises:
        ConfigError: the file is damaged or another model.
        SystemFault: the file can't be read.
    """

    def __init__(self, path: Path):
        self._path = path
        self._interpreter = _interpreter(path)
        self._run = _only_signature(self._interpreter, path)
        source = self._run.get_input_details()["image"]
        result = self._run.get_output_details()["image"]
        self.size = (int(source["shape"][1]), int(source["shape"][2]))
        self.input_channels, self.output_channels = int(source["shape"][3]), int(result["shape"][3])
        self._takes_levels = source["dtype"] == np.uint8
        self._lock = threading.Lock()  # an interpreter has one set of tensors

    def _translate(self, image: tf.Tensor) -> np.ndarray:
        height, width = image.shape[:2]
        if (height, width) != self.size:
            raise DataError(
                f"{self._path} takes images of {self.size[1]}x{self.size[0]} pixels (width x height), this "
                f"one has {width}x{height}; resize it, or export a .tflite for its size"
            )
        given = to_unit_range(image)
        if self._takes_levels:
            given = image if image.dtype == tf.uint8 else to_uint8(given)
        with self._lock:
            output = self._run(image=given.numpy()[np.newaxis])["image"][0]
        return output if output.dtype == np.uint8 else to_uint8(tf.constant(output)).numpy()


def _interpreter(path: Path) -> Interpreter:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SystemFault(f"{path}: can't be read ({error.strerror}); check its permissions") from error
    if content[4:8] != b"TFL3":
        raise ConfigError(f"{path}: not a TensorFlow Lite model, whatever its name says; {_MODELS}")
    try:
        with hushed():  # it tells which delegate it takes
            interpreter = Interpreter(model_content=content, num_threads=os.cpu_count())
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ConfigError(
            f"{path}: damaged, or needs what this interpreter lacks ({_brief(first_line(error))}); "
            "export it again"
        ) from error
    return interpreter


def _only_signature(interpreter: Interpreter, path: Path) -> Any:
    """Returns the runner of ``serving_default``; raises ``ConfigError`` where the model is another."""
    found = interpreter.get_signature_list()
    if found.get("serving_default") == {"inputs": ["image"], "outputs": ["image"]}:
        run = interpreter.get_signature_runner("serving_default")
        details = run.get_input_details()["image"], run.get_output_details()["image"]
        shapes = [list(map(int, tensor["shape"])) for tensor in details]
        if (
            all(len(shape) == 4 and shape[0] == 1 and shape[3] in (1, 3) for shape in shapes)
            and shapes[0][1:3] == shapes[1][1:3]
            and all(tensor["dtype"] in (np.float32, np.uint8) for tensor in details)
        ):
            return run
    raise ConfigError(
        f"{path}: not a .tflite that pix2pix export wrote: expected a signature 'serving_default' from image "
        "to image, float32 or uint8 [1, height, width, 1 or 3 channels]; its signatures are "
        f"{', '.join(found) or 'none'}"
    )


# ---------------------------------------------------------------- TensorFlow Serving's REST API


_SERVING_URL = re.compile(
    r"(?P<server>(?i:https?)://(\[[^\]\s]+\]|[^/@?#:\[\]\s]+)(:(?P<port>\d{1,5}))?)"
    r"(?P<path>(/[^?#\s]*)?/v1/models/[^/:?#\s]+(/versions/\d+|/labels/[^/:?#\s]+)?)"
)
_LARGEST_ANSWER = 2**30  # bytes: more than the largest image, in base64
_NOT_THERE = (404, 405, 501)  # what servers of the same protocol say that give no metadata


class ServingTranslator(Translator):
    """A model behind the REST API of TensorFlow Serving: images of any size, one a request.

    Images are sent as PNG, in their own depth, to the signature ``bytes``. Servers that speak the same
    protocol but give no metadata, KServe's for one, are asked for a picture of one pixel instead, and
    sent RGB: the model makes it grey if it wants to.

    Args:
        url: http(s)://host:port/v1/models/NAME, of the newest version, or .../NAME/versions/N.
        timeout: seconds that a request may take.

    Raises:
        ConfigError: the URL, or what is served there, is something else.
        SystemFault: the server can't be reached.
    """

    def __init__(self, url: str, timeout: float = 120.0):
        self._url = url.rstrip("/")
        parts = _SERVING_URL.fullmatch(self._url)
        if parts is None or int(parts["port"] or 0) > 65535:
            raise ConfigError(
                f"{url}: not the URL of a model; it looks like http://host:8501/v1/models/NAME or "
                "http://host:8501/v1/models/NAME/versions/N"
            )
        self._address = parts["server"] + urllib.parse.quote(parts["path"], safe="/%")
        self._timeout = timeout
        self._opener = _opener(self._url)
        status, content = self._request("/metadata")
        if status in _NOT_THERE:
            probe = np.full((1, 1, 3), 255, np.uint8)
            self.input_channels = 3
            self.output_channels = _png_shape(self._predict(probe, probing=True))[2]
        else:
            self._refuse_status(status, content)
            self.input_channels, self.output_channels = self._channels(content)

    def _translate(self, image: tf.Tensor) -> np.ndarray:
        png = self._predict(image.numpy())
        expected = (*image.shape[:2], self.output_channels)
        if _png_shape(png) != expected:
            raise ConfigError(
                f"{self._url} answered an image [height, width, channels] {list(expected)} with "
                f"{list(_png_shape(png))}; is it a model that pix2pix export wrote?"
            )
        try:
            return decode_image(tf.constant(png), self.output_channels).numpy()
        except tf.errors.InvalidArgumentError as error:
            raise SystemFault(f"{self._url} answered with a damaged PNG; try again") from error

    def _channels(self, content: bytes) -> tuple[int, int]:
        try:
            signatures = json.loads(content)["metadata"]["signature_def"]["signature_def"]
            has_bytes = all(
                list(signatures["bytes"][side]) == ["image_bytes"] for side in ("inputs", "outputs")
            )
            source, result = (
                int(signatures["serving_default"][side]["images"]["tensor_shape"]["dim"][3]["size"])
                for side in ("inputs", "outputs")
            )
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            has_bytes, source, result = False, 0, 0
        if not has_bytes or source not in (1, 3) or result not in (1, 3):
            raise ConfigError(
                f"{self._url} is not a model that pix2pix export wrote: expected the signatures 'bytes' and "
                "'serving_default' in its metadata"
            )
        return source, result

    def _predict(self, image: np.ndarray, probing: bool = False) -> bytes:
        """Sends one image; returns the answer, which begins as a PNG does."""
        png = encode_png(tf.constant(image)).numpy()
        sent = {"signature_name": "bytes", "instances": [{"b64": base64.b64encode(png).decode("ascii")}]}
        status, content = self._request(":predict", json.dumps(sent).encode("ascii"))
        if status in (400, 413, 422) and not probing:
            raise DataError(f"{self._url} refuses the image: {_server_message(status, content)}")
        self._refuse_status(status, content)
        try:
            (prediction,) = json.loads(content)["predictions"]
            # One output goes without its name, several would have theirs.
            answer = base64.b64decode(prediction.get("image_bytes", prediction)["b64"], validate=True)
            _png_shape(answer)
        except (ValueError, KeyError, TypeError, AttributeError, binascii.Error, struct.error) as error:
            raise ConfigError(
                f"{self._url} did not answer as TensorFlow Serving does with a PNG in base64; is it a model "
                "that pix2pix export wrote?"
            ) from error
        return answer

    def _refuse_status(self, status: int, content: bytes) -> None:
        if status == 200:
            return
        message = _server_message(status, content)
        if status == 404:
            raise ConfigError(f"{self._url}: the server has no such model ({message}); check the URL")
        if status in (401, 403, 407):
            raise ConfigError(f"{self._url}: access denied ({message}); credentials are never sent")
        if 300 <= status < 400:
            raise ConfigError(f"{self._url} redirects elsewhere ({message}); give that URL")
        if status == 429 or status >= 500:
            raise SystemFault(f"{self._url}: the server failed ({message}); look at its log, or try again")
        raise ConfigError(f"{self._url}: the server refuses the request ({message}); check the URL")

    def _request(self, what: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Sends a request, a POST where there is a body; returns the status and the answer.

        Of a redirect the answer is where it leads to.
        """
        request = urllib.request.Request(self._address + what, body, {"Content-Type": "application/json"})
        deadline = time.monotonic() + self._timeout
        try:
            try:
                response = self._opener.open(request, timeout=self._timeout)
            except urllib.error.HTTPError as error:
                response = error
            with response:
                content = _read_until(response, deadline)
                if 300 <= response.status < 400:
                    content = str(response.headers.get("Location", "")).encode()
                return response.status, content
        except (OSError, http.client.HTTPException, ValueError, OverflowError) as error:
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> ConfigError | SystemFault:
        """Says in one line why there is no answer."""
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, TimeoutError):
            return SystemFault(f"{self._url}: no answer within {self._timeout:g} seconds; is it busy?")
        if isinstance(reason, ssl.SSLError):
            return SystemFault(f"{self._url}: no secure connection ({_brief(str(reason))}); http or https?")
        if isinstance(reason, OSError | http.client.IncompleteRead):  # refused, unknown host, broken off
            said = _brief(getattr(reason, "strerror", None) or str(reason))
            return SystemFault(f"{self._url}: the server can't be reached ({said}); is it running?")
        return ConfigError(
            f"{self._url}: what answers there is not TensorFlow Serving ({_brief(repr(reason))}); its REST "
            "port is 8501 unless told otherwise, 8500 is another"
        )


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Refuses redirects, which would turn a POST into a GET."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        return None


def _opener(url: str) -> urllib.request.OpenerDirector:
    """Opens URLs, through the system's proxies unless the host is this machine."""
    handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
    if _is_loopback(urllib.parse.urlsplit(url).hostname or ""):
        handlers.append(urllib.request.ProxyHandler({}))
    return urllib.request.build_opener(*handlers)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _read_until(response: Any, deadline: float) -> bytes:
    """Reads an answer whole; a socket's own timeout starts anew with every byte.

    Raises:
        TimeoutError: it takes longer than until ``deadline``.
        ValueError: it does not end.
    """
    content = bytearray()
    while chunk := response.read1(2**20):
        content += chunk
        if time.monotonic() > deadline:
            raise TimeoutError
        if len(content) > _LARGEST_ANSWER:
            raise ValueError("an endless answer")
    missing = response.length  # what Content-Length promised beyond; None where it promised nothing
    if missing:
        raise ConnectionError("the answer was broken off")
    return bytes(content)


def _server_message(status: int, content: bytes) -> str:
    """What a server says of a failure, in a line: ``{"error": ...}``, as TensorFlow Serving does."""
    try:
        said = json.loads(content)["error"]
    except (ValueError, KeyError, TypeError):
        said = content.decode("utf-8", "replace") if 300 <= status < 400 else None
    standard = http.client.responses.get(status, "unknown")
    return _refusal(said) if isinstance(said, str) and said.strip() else f"{status} {standard}"


def _png_shape(png: bytes) -> tuple[int, int, int]:
    """Height, width and channels that a PNG states; raises ``ValueError`` for anything else."""
    if not png.startswith(MAGIC_NUMBERS["PNG"]) or len(png) < 26:
        raise ValueError("not a PNG")
    width, height = struct.unpack(">II", png[16:24])
    channels = {0: 1, 2: 3}.get(png[25])
    if channels is None:
        raise ValueError("neither grey nor RGB")
    return height, width, channels


# ---------------------------------------------------------------- words


def _refusal(message: str) -> str:
    """The reason in TensorFlow's message of a failed check, without what surrounds it."""
    asserted = re.search(r"assertion failed: \[(.*?)\](?=\s|$)", message, re.DOTALL)
    return _brief(asserted[1] if asserted else message.partition("[[{{node")[0])


def _brief(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= 300 else f"{line[:300]}..."
