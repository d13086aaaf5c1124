"""A model behind TensorFlow Serving's REST API, and every way in which a server fails."""

import base64
import contextlib
import json
import socket
import threading

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.json_format import MessageToDict
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from pix2pix_tf import formats
from pix2pix_tf.errors import ConfigError, DataError, SystemFault
from pix2pix_tf.formats.served import ServingTranslator
from tests.exported_models import SIZE, expected, noise, serving


def documented_metadata(path):
    """What TensorFlow Serving answers to GET .../metadata: the signatures as protobuf's JSON."""
    stored = SavedModel.FromString((path / "saved_model.pb").read_bytes())
    signatures = {
        name: MessageToDict(definition, preserving_proto_field_name=True)
        for name, definition in stored.meta_graphs[0].signature_def.items()
    }
    spec = {"name": "facades", "signature_name": "", "version": "9"}
    content = {"model_spec": spec, "metadata": {"signature_def": {"signature_def": signatures}}}
    return 200, {"Content-Type": "application/json"}, json.dumps(content, indent=1).encode()


def error(status, message, **headers):
    return status, headers, json.dumps({"error": message}).encode()


class Serving:
    """Answers as TensorFlow Serving documents it, with a SavedModel, and remembers what was asked.

    Attributes:
        requests: (method, path, body) of each.
        faults: what to answer instead, by the path's last part.
    """

    def __init__(self, path, with_metadata=True):
        self._path = path
        self._model = tf.saved_model.load(str(path))
        self._with_metadata = with_metadata
        self.requests, self.faults = [], {}

    def __call__(self, handler, method, path, body):
        self.requests.append((method, path, body))
        what = "metadata" if path.endswith("/metadata") else "predict"
        if what in self.faults:
            fault = self.faults[what]
            return fault(handler) if callable(fault) else fault
        if (method, what) == ("GET", "metadata"):
            return documented_metadata(self._path) if self._with_metadata else error(404, "Not Found")
        assert method == "POST"
        assert path.endswith(":predict")
        return self._predict(json.loads(body))

    def _predict(self, request):
        # With one named input an instance may be its value, with one named output a prediction is; strings
        # whose name ends in _bytes are base64 in an object.
        instances = [{"image_bytes": each} if "b64" in each else each for each in request["instances"]]
        [name] = instances[0]
        values = [each[name] for each in instances]
        if name == "image_bytes":
            values = [base64.b64decode(value["b64"], validate=True) for value in values]
        try:
            output = self._model.signatures[request["signature_name"]](**{name: tf.constant(values)})
        except tf.errors.InvalidArgumentError as refusal:
            return error(400, refusal.message)
        predictions = [{"b64": base64.b64encode(file).decode()} for file in output["image_bytes"].numpy()]
        content = json.dumps({"predictions": predictions}, indent=4)
        return 200, {"Content-Type": "application/json"}, content.encode()


@pytest.fixture(scope="module")
def server(models):
    answer = Serving(models / "contrast" / "9")
    with serving(answer) as answer.url:
        yield answer


@pytest.fixture
def served(server):
    server.requests.clear()
    server.faults.clear()
    yield server
    server.faults.clear()


@pytest.mark.slow
def test_a_served_model_equals_one_in_the_process(served):
    translate = formats.load(served.url)
    assert isinstance(translate, ServingTranslator)
    assert (translate.input.channels, translate.output.channels) == (3, 3)
    for size in ((1, 1), (37, 65)):
        for dtype in (np.uint8, np.uint16):
            image = noise(*size, dtype=dtype)
            np.testing.assert_array_equal(translate(image), expected(image))
    gray = noise(*SIZE, 1)
    np.testing.assert_array_equal(translate(gray), expected(gray))


def test_requests_are_as_tensorflow_serving_documents_them(served):
    image = noise(*SIZE, dtype=np.uint16)
    formats.load(f"{served.url}/versions/9/")(image)
    (got, metadata, nothing), (posted, predict, body) = served.requests
    assert (got, metadata, nothing) == ("GET", "/v1/models/facades/versions/9/metadata", b"")
    assert (posted, predict) == ("POST", "/v1/models/facades/versions/9:predict")
    request = json.loads(body)
    assert list(request) == ["signature_name", "instances"]
    assert request["signature_name"] == "bytes"
    [instance] = request["instances"]
    assert list(instance) == ["b64"]
    sent = tf.io.decode_png(base64.b64decode(instance["b64"]), dtype=tf.uint16)
    np.testing.assert_array_equal(sent, image)  # a PNG of 16 bits: nothing is lost on the way


@pytest.mark.parametrize("numbers", [-1, 0, 10**12])
def test_noise_of_no_sensible_length_is_refused(served, refused, numbers):
    def tensor(*sizes):
        return {"tensor_shape": {"dim": [{"size": str(size)} for size in sizes]}}

    signatures = {
        "bytes": {"inputs": {"z": tensor(-1, -1)}, "outputs": {"image_bytes": tensor(-1)}},
        "serving_default": {
            "inputs": {"z": tensor(-1, numbers)},
            "outputs": {"images": tensor(-1, 64, 64, 3)},
        },
    }
    content = {"metadata": {"signature_def": {"signature_def": signatures}}}
    served.faults["metadata"] = 200, {}, json.dumps(content).encode()
    assert served.url in refused(ConfigError, formats.load, served.url)


def test_a_server_without_metadata_is_asked_for_a_pixel(models):
    answer = Serving(models / "contrast" / "10", with_metadata=False)
    image = noise(*SIZE)
    with serving(answer) as url:
        translate = formats.load(url)
        assert translate.output.channels == 1
        np.testing.assert_array_equal(translate(image), expected(image, channels=1))
    assert len(answer.requests) == 3


def test_what_a_server_refuses_is_reported_in_its_words(served, refused):
    translate = formats.load(served.url)
    message = refused(DataError, translate, np.zeros((200, 200, 3), np.uint8))
    assert message.endswith("image 0: more than 10000 pixels")
    np.testing.assert_array_equal(translate(noise(*SIZE)), expected(noise(*SIZE)))  # the next one is served


def prediction(content):
    return 200, {}, json.dumps({"predictions": [{"b64": base64.b64encode(content).decode()}]}).encode()


def png(*shape):
    return tf.io.encode_png(tf.zeros(shape, tf.uint8)).numpy()


NOT_FOUND = error(404, "Servable not found for request: Latest(facades)")


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (NOT_FOUND, ConfigError, "Servable not found for request: Latest(facades)"),
        (error(503, "still loading"), SystemFault, "still loading"),
        ((500, {}, b"<html>oops</html>"), SystemFault, "500"),
        ((429, {}, b""), SystemFault, "429"),
        ((401, {}, b""), ConfigError, "401"),
        ((302, {"Location": "http://elsewhere/m"}, b""), ConfigError, "http://elsewhere/m"),
        ((304, {}, b""), ConfigError, "304"),
        ((418, {}, b"[1]"), ConfigError, "418"),
        ((200, {}, b"<html>a home page</html>"), ConfigError, ""),
        ((200, {}, b"[]"), ConfigError, ""),
        ((200, {}, b"[" * 10**5), ConfigError, ""),
        ((200, {}, b"\xff\xfe"), ConfigError, ""),
        ((200, {}, b'{"metadata": {}}'), ConfigError, ""),
        ((200, {}, b'{"predictions": [0.5]}'), ConfigError, ""),
        ((200, {}, b'{"predictions": [{"b64": "?"}]}'), ConfigError, ""),
        (prediction(b"hello"), ConfigError, ""),
        ((200, {"Content-Length": "9999"}, b"{"), SystemFault, ""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_answer_costs_one_line(served, refused, answer, kind, said):
    translate = formats.load(served.url)
    served.faults["predict"] = answer
    for load_or_translate in (lambda: translate(noise(*SIZE)), lambda: formats.load(served.url)):
        message = refused(kind, load_or_translate)
        assert said in message
        assert served.url in message
        served.faults["metadata"] = answer


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (png(5, 5, 3), ConfigError),
        (png(*SIZE, 1), ConfigError),
        (tf.io.encode_png(tf.constant(noise(*SIZE))).numpy()[:-100], SystemFault),
    ],
    ids=["another size", "another kind", "damaged"],
)
def test_a_wrong_output_is_refused(served, refused, content, kind):
    translate = formats.load(served.url)
    served.faults["predict"] = prediction(content)
    assert served.url in refused(kind, translate, noise(*SIZE))


@pytest.mark.parametrize("drips", [False, True])
def test_a_server_that_is_too_slow_is_given_up(served, refused, drips):
    leave = threading.Event()

    def slow(handler):
        if drips:
            handler.send_response(200)
            handler.end_headers()
        while not leave.wait(0.05):
            if drips:
                handler.wfile.write(b" ")
                handler.wfile.flush()

    translate = ServingTranslator(served.url, timeout=0.5)
    served.faults["predict"] = slow
    try:
        message = refused(SystemFault, translate, noise(*SIZE))
    finally:
        leave.set()
    assert "0.5 seconds" in message


def test_an_endless_answer_is_given_up(served, refused):
    def endless(handler):
        handler.send_response(200)
        handler.end_headers()
        with contextlib.suppress(OSError):
            while True:
                handler.wfile.write(bytes(2**20))

    translate = ServingTranslator(served.url, timeout=30)
    served.faults["predict"] = endless
    assert served.url in refused(ConfigError, translate, noise(*SIZE))


@contextlib.contextmanager
def socket_that_says(words):
    """A server that says something and hangs up; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        connection.recv(65536)
                        connection.sendall(words)

        threading.Thread(target=answer, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def test_a_port_that_is_not_the_rest_ones_is_reported(refused):
    with socket_that_says(b"\x00\x00\x18\x04\x00\x00\x00\x00\x00 hello\r\n\r\n") as port:
        url = f"http://127.0.0.1:{port}/v1/models/facades"
        assert "8501" in refused(ConfigError, formats.load, url)
        url = url.replace("http", "https")
        assert url in refused(SystemFault, formats.load, url)


def test_a_server_that_is_not_there_is_the_systems_fault(refused):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with socket_that_says(b"") as silent:
        for host in (f"127.0.0.1:{port}", "nobody.invalid:8501", f"127.0.0.1:{silent}"):
            url = f"http://{host}/v1/models/facades"
            assert url in refused(SystemFault, formats.load, url)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8501",
        "http://localhost:8501/v1/models/",
        "http://localhost:8501/v1/models/facades:predict",
        "http://localhost:8501/v1/models/facades/metadata",
        "http://localhost:8501/v1/models/facades/versions/newest",
        "http://localhost:8501/v1/models/facades?x=1",
        "http://localhost:99999/v1/models/facades",
        "http://localhost:port/v1/models/facades",
        "http://name:word@localhost:8501/v1/models/facades",
        "http:///v1/models/facades",
        "https://local host/v1/models/facades",
    ],
)
def test_a_url_that_names_no_model_is_refused_before_anything_is_sent(url, refused):
    assert url in refused(ConfigError, formats.load, url)


def test_proxies_are_for_other_machines(served, monkeypatch):
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    formats.load(served.url)
    port = served.url.split(":")[2].split("/")[0]
    formats.load(f"http://localhost:{port}/v1/models/facades")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
    served.requests.clear()
    formats.load("http://elsewhere.invalid:8501/v1/models/facades")
    assert served.requests[0][:2] == ("GET", "http://elsewhere.invalid:8501/v1/models/facades/metadata")


def test_nothing_that_netrc_says_is_sent(served, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("default login someone password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    sent = []
    served.faults["metadata"] = lambda handler: sent.append(handler.headers["Authorization"]) or NOT_FOUND
    formats.load(served.url)
    assert sent == [None]
