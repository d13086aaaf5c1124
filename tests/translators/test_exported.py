"""Exported models as translators: each by its signatures, each refusing in one line what it can't take."""

import base64
import contextlib
import json
import shutil
import socket
import threading

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.json_format import MessageToDict
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from pix2pix_tf import translators as all_kinds
from pix2pix_tf.data.images import encode_png
from pix2pix_tf.errors import ConfigError, DataError, RunError, SystemFault
from pix2pix_tf.translators import serving as client
from pix2pix_tf.translators.saved_model import SavedModelTranslator
from pix2pix_tf.translators.serving import ServingTranslator
from pix2pix_tf.translators.tflite import TFLiteTranslator
from tests.exported_models import ContrastModel, expected, noise, serving, write_tflite

SIZE = (32, 48)  # height and width of the .tflite files


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A SavedModel in two versions and two .tflite files, to be read only."""
    folder = tmp_path_factory.mktemp("models")
    ContrastModel().save(folder / "contrast" / "9")
    ContrastModel(output_channels=1).save(folder / "contrast" / "10")
    write_tflite(folder / "floats.tflite", SIZE)
    write_tflite(folder / "levels.TFLITE", SIZE, levels=True)
    return folder


ARTIFACTS = ["contrast/9", "floats.tflite", "levels.TFLITE"]


@pytest.fixture(scope="module")
def translators(models):
    return {name: all_kinds.load(models / name) for name in ARTIFACTS}


@pytest.fixture(params=ARTIFACTS)
def translate(translators, request):
    return translators[request.param]


def message_of(error, call, *arguments, **options):
    with pytest.raises(error) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---------------------------------------------------------------- one interface


def test_arrays_and_files_are_taken_as_a_run_takes_them(translate, tmp_path):
    image = noise(*SIZE)
    output = translate(image)
    assert output.dtype == np.uint8
    assert output.shape == (*SIZE, 3)
    assert (translate.input_channels, translate.output_channels) == (3, 3)
    assert np.abs(output.astype(int) - expected(image)).max() <= 1
    assert output.std() > 20
    path = tmp_path / "한 장.png"
    path.write_bytes(encode_png(tf.constant(image)).numpy())
    np.testing.assert_array_equal(translate.translate_file(path), output)
    np.testing.assert_array_equal(translate(tf.constant(image)), output)


def test_grey_and_alpha_are_converted(translate):
    grey = noise(*SIZE, 1)
    np.testing.assert_array_equal(translate(grey[..., 0]), translate(np.repeat(grey, 3, axis=-1)))
    opaque = np.full((*SIZE, 1), 255, np.uint8)
    np.testing.assert_array_equal(translate(np.concatenate([grey, opaque], axis=-1)), translate(grey))


@pytest.mark.parametrize("shape", [(4, 4, 5), (1, 4, 4, 3), (4,), (0, 4, 3)])
def test_an_array_that_is_no_image_is_refused(translate, shape):
    assert "uint8 or uint16" in message_of(DataError, translate, np.zeros(shape, np.uint8))
    assert "float32" in message_of(DataError, translate, np.zeros((4, 4, 3), np.float32))


@pytest.mark.parametrize("name", ["contrast/9", "floats.tflite"])
def test_16_bits_keep_their_depth(translators, name):
    # A quarter of a level of 8 bits between neighbours, which the contrast makes 3 or 4 levels.
    ramp = (32767 + 64 * np.arange(-24, 24)).astype(np.uint16)
    image = np.tile(ramp[np.newaxis, :, np.newaxis], (SIZE[0], 1, 3))
    output = translators[name](image)
    assert np.abs(output.astype(int) - expected(image)).max() <= 1
    assert len(np.unique(output)) == 48


def test_16_bits_are_rounded_for_a_model_of_levels(translators):
    image = noise(*SIZE)
    deep = image.astype(np.uint16) * 257 + 100
    np.testing.assert_array_equal(translators["levels.TFLITE"](deep), translators["levels.TFLITE"](image))


@pytest.mark.parametrize(
    ("option", "flag"),
    [
        ({"step": 10}, "--step"),
        ({"precision": "mixed_bfloat16"}, "--precision"),
        ({"stochastic": True}, "--stochastic"),
        ({"seed": 3}, "--seed"),
    ],
)
@pytest.mark.parametrize("name", ["contrast", "floats.tflite", "http://localhost:1/v1/models/facades"])
def test_what_only_a_run_can_choose_is_refused(models, name, option, flag):
    model = name if name.startswith("http") else models / name
    message = message_of(ConfigError, all_kinds.load, model, **option)
    assert message.startswith(f"{flag} can be chosen for a run only, not for {model}")


# ---------------------------------------------------------------- which model is meant


def test_of_several_versions_the_highest_is_taken(models):
    assert all_kinds.load(models / "contrast").output_channels == 1
    assert all_kinds.load(str(models / "contrast" / "9")).output_channels == 3


def test_a_highest_version_that_is_half_is_named(models, tmp_path):
    shutil.copytree(models / "contrast", tmp_path / "contrast")
    (tmp_path / "contrast" / "11" / "variables").mkdir(parents=True)
    message = message_of(ConfigError, all_kinds.load, tmp_path / "contrast")
    assert message.startswith(
        f"{tmp_path / 'contrast' / '11'} is half a SavedModel: it has no saved_model.pb"
    )


def test_a_folder_with_models_names_them(models, tmp_path):
    message = message_of(RunError, all_kinds.load, models)
    assert message.endswith("give one: contrast, floats.tflite, levels.TFLITE")


def test_a_missing_or_foreign_place_is_told_what_a_model_may_be(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    for name, error, said in (
        ("nowhere", RunError, "there is no model at"),
        ("nowhere.tflite", RunError, "there is no model at"),
        ("notes.txt", ConfigError, "is a file that holds no model"),
        ("empty", RunError, "is no model: it has neither config.json nor saved_model.pb"),
    ):
        message = message_of(error, all_kinds.load, tmp_path / name)
        assert said in message
        assert str(tmp_path / name) in message
        assert all(kind in message for kind in ("run directory", "SavedModel", ".tflite", "http://"))


# ---------------------------------------------------------------- SavedModel


@pytest.mark.parametrize("size", [(1, 1), (3, 70), (99, 101)])
def test_a_saved_model_takes_any_size(translators, size):
    image = noise(*size)
    assert isinstance(translators["contrast/9"], SavedModelTranslator)
    np.testing.assert_array_equal(translators["contrast/9"](image), expected(image))


def test_a_saved_model_of_one_channel_gets_luma(tmp_path):
    translate = all_kinds.load(ContrastModel(input_channels=1).save(tmp_path / "grey"))
    assert translate.input_channels == 1
    color = noise(*SIZE)
    red, green, blue = np.moveaxis(color.astype(int), -1, 0)
    luma = ((299 * red + 587 * green + 114 * blue + 500) // 1000).astype(np.uint8)[..., np.newaxis]
    np.testing.assert_array_equal(translate(color), expected(luma))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_a_saved_model_refuses_is_told_in_its_words(translators, dtype):
    message = message_of(DataError, translators["contrast/9"], np.zeros((200, 200, 3), dtype))
    assert message == "the model refuses the image: image 0: more than 10000 pixels"


def test_a_refused_file_is_named(translators, tmp_path):
    path = tmp_path / "large.png"
    path.write_bytes(encode_png(tf.zeros([200, 200, 3], tf.uint8)).numpy())
    message = message_of(DataError, translators["contrast/9"].translate_file, path)
    assert message == f"{path}: the model refuses the image: image 0: more than 10000 pixels"


@pytest.mark.parametrize(
    ("part", "said"),
    [("saved_model.pb", "it has no saved_model.pb"), ("variables", "it has no variables/variables.index")],
)
def test_half_a_saved_model_is_refused(models, tmp_path, part, said):
    half = tmp_path / "half"
    shutil.copytree(models / "contrast" / "9", half)
    shutil.rmtree(half / part) if (half / part).is_dir() else (half / part).unlink()
    assert f"{half} is half a SavedModel: {said}" in message_of(ConfigError, all_kinds.load, half)


@pytest.mark.parametrize(
    "part", ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"]
)
@pytest.mark.parametrize("damage", ["cut", "empty", "garbage"])
def test_a_damaged_saved_model_is_named(models, tmp_path, part, damage):
    damaged = tmp_path / "damaged"
    shutil.copytree(models / "contrast" / "9", damaged)
    content = (damaged / part).read_bytes()
    broken = {"cut": content[: len(content) // 2], "empty": b"", "garbage": b"garbage here"}
    (damaged / part).write_bytes(broken[damage])
    assert f"{damaged}" in message_of(ConfigError, all_kinds.load, damaged)


def test_another_saved_model_is_told_what_is_expected(tmp_path):
    for missing, path in (("float", tmp_path / "first"), ("serving_default", tmp_path / "second")):
        ContrastModel().save(path, **{missing: None})
        message = message_of(ConfigError, all_kinds.load, path)
        assert f"{path}: not a SavedModel that pix2pix export wrote" in message
        assert f"expected a signature '{missing}' from images to images" in message
    other = tf.function(
        lambda x: {"images": x}, input_signature=[tf.TensorSpec([None, 784], tf.float32, name="images")]
    )
    ContrastModel().save(tmp_path / "third", **{"serving_default": other})
    assert "expected a signature 'serving_default'" in message_of(
        ConfigError, all_kinds.load, tmp_path / "third"
    )


def test_a_name_that_tensorflow_takes_for_a_pattern_is_refused(models, tmp_path):
    shutil.copytree(models / "contrast" / "9", tmp_path / "m[1]")
    assert "rename it" in message_of(ConfigError, all_kinds.load, tmp_path / "m[1]")


# ---------------------------------------------------------------- TFLite


@pytest.mark.parametrize("name", ["floats.tflite", "levels.TFLITE"])
def test_another_size_names_the_files_size_and_the_images(translators, models, tmp_path, name):
    translate = translators[name]
    assert isinstance(translate, TFLiteTranslator)
    assert translate.size == SIZE
    path = tmp_path / "image.png"
    path.write_bytes(encode_png(tf.constant(noise(SIZE[1], SIZE[0]))).numpy())
    message = message_of(DataError, translate.translate_file, path)
    assert message == (
        f"{path}: {models / name} takes images of 48x32 pixels (width x height), this one has 32x48; resize "
        "it, or export a .tflite for its size"
    )


def test_threads_may_share_a_tflite(translators):
    translate = translators["floats.tflite"]
    images = [noise(*SIZE, seed=seed) for seed in range(8)]
    outputs = [None] * len(images)

    def paint(number):
        for _ in range(5):
            outputs[number] = translate(images[number])

    threads = [threading.Thread(target=paint, args=(number,)) for number in range(len(images))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for image, output in zip(images, outputs, strict=True):
        assert np.abs(output.astype(int) - expected(image)).max() <= 1


@pytest.mark.parametrize("content", [b"", b"hello there, this is text", b"\x1c\0\0\0TFL3"])
def test_a_file_that_is_no_tflite_whatever_its_name_is_refused(tmp_path, content):
    path = tmp_path / "m.tflite"
    path.write_bytes(content)
    assert message_of(ConfigError, all_kinds.load, path).startswith(f"{path}: ")


def test_a_truncated_tflite_is_refused(models, tmp_path):
    content = (models / "floats.tflite").read_bytes()
    (tmp_path / "cut.tflite").write_bytes(content[: len(content) // 2])
    message = message_of(ConfigError, all_kinds.load, tmp_path / "cut.tflite")
    assert message.startswith(f"{tmp_path / 'cut.tflite'}: damaged")
    assert message.endswith("export it again")


@pytest.mark.parametrize("change", [{"name": "x"}, {"signature": "other"}])
def test_another_tflite_is_told_what_is_expected(tmp_path, change):
    path = write_tflite(tmp_path / "other.tflite", **change)
    message = message_of(ConfigError, all_kinds.load, path)
    assert message.startswith(f"{path}: not a .tflite that pix2pix export wrote: expected a signature")
    assert "float32 or uint8 [1, height, width, 1 or 3 channels]" in message


def test_a_tflite_says_nothing_when_it_is_loaded(models, capfd):
    all_kinds.load(models / "floats.tflite")
    assert capfd.readouterr().err == ""


# ---------------------------------------------------------------- TensorFlow Serving's REST API


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
        # With one named input an instance is its value, with one named output a prediction is; strings
        # whose name ends in _bytes are base64 in an object.
        files = [base64.b64decode(instance["b64"], validate=True) for instance in request["instances"]]
        try:
            output = self._model.signatures[request["signature_name"]](image_bytes=tf.constant(files))
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


def test_a_served_model_paints_as_one_in_the_process(served):
    translate = all_kinds.load(served.url)
    assert isinstance(translate, ServingTranslator)
    assert (translate.input_channels, translate.output_channels) == (3, 3)
    for size in ((1, 1), (37, 65)):
        for dtype in (np.uint8, np.uint16):
            image = noise(*size, dtype=dtype)
            np.testing.assert_array_equal(translate(image), expected(image))
    grey = noise(*SIZE, 1)
    np.testing.assert_array_equal(translate(grey), expected(grey))
    assert "uint8 or uint16" in message_of(DataError, translate, np.zeros((4, 4, 3)))


def test_requests_are_as_tensorflow_serving_documents_them(served):
    image = noise(*SIZE, dtype=np.uint16)
    all_kinds.load(f"{served.url}/versions/9/")(image)
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


def test_a_server_without_metadata_is_asked_for_a_pixel(models):
    answer = Serving(models / "contrast" / "10", with_metadata=False)
    image = noise(*SIZE)
    with serving(answer) as url:
        translate = all_kinds.load(url)
        assert translate.output_channels == 1
        np.testing.assert_array_equal(translate(image), expected(image, channels=1))
    assert len(answer.requests) == 3


def test_what_a_server_refuses_is_told_in_its_words(served, tmp_path):
    translate = all_kinds.load(served.url)
    message = message_of(DataError, translate, np.zeros((200, 200, 3), np.uint8))
    assert message == f"{served.url} refuses the image: image 0: more than 10000 pixels"
    np.testing.assert_array_equal(translate(noise(*SIZE)), expected(noise(*SIZE)))  # the next one is served


NOT_FOUND = error(404, "Servable not found for request: Latest(facades)")


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (NOT_FOUND, ConfigError, "Servable not found for request: Latest(facades)"),
        (error(503, "still loading"), SystemFault, "still loading"),
        ((500, {}, b"<html>oops</html>"), SystemFault, "500 Internal Server Error"),
        ((429, {}, b""), SystemFault, "429 Too Many Requests"),
        ((401, {}, b""), ConfigError, "401 Unauthorized"),
        (
            (302, {"Location": "http://elsewhere/m"}, b""),
            ConfigError,
            "redirects elsewhere (http://elsewhere/m)",
        ),
        ((418, {}, b"[1]"), ConfigError, "refuses the request"),
        ((200, {}, b"<html>a home page</html>"), ConfigError, "that pix2pix export wrote"),
        ((200, {}, b"[]"), ConfigError, "that pix2pix export wrote"),
        ((200, {}, b"\xff\xfe"), ConfigError, "that pix2pix export wrote"),
        ((200, {}, b'{"metadata": {}}'), ConfigError, "that pix2pix export wrote"),
        ((200, {}, b'{"predictions": [0.5]}'), ConfigError, "that pix2pix export wrote"),
        ((200, {}, b'{"predictions": [{"b64": "?"}]}'), ConfigError, "that pix2pix export wrote"),
        ((200, {}, b'{"predictions": [{"b64": "aGVsbG8="}]}'), ConfigError, "that pix2pix export wrote"),
        ((200, {"Content-Length": "9999"}, b"{"), SystemFault, "broken off"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_answer_costs_one_line(served, answer, kind, said):
    translate = all_kinds.load(served.url)
    served.faults["predict"] = answer
    for load_or_paint in (lambda: translate(noise(*SIZE)), lambda: all_kinds.load(served.url)):
        message = message_of(kind, load_or_paint)
        assert said in message
        assert served.url in message
        served.faults["metadata"] = answer


def test_a_missing_model_is_told_apart_from_missing_metadata(served):
    served.faults = {"metadata": NOT_FOUND, "predict": NOT_FOUND}
    message = message_of(ConfigError, all_kinds.load, served.url)
    assert message == (
        f"{served.url}: the server has no such model (Servable not found for request: Latest(facades)); "
        "check the URL"
    )


def test_a_model_without_the_signature_is_refused_when_it_is_loaded(tmp_path):
    path = ContrastModel().save(tmp_path / "other", bytes=None)
    with serving(Serving(path)) as url:
        assert "expected the signatures 'bytes'" in message_of(ConfigError, all_kinds.load, url)


def test_a_picture_of_another_size_or_kind_is_refused(served):
    translate = all_kinds.load(served.url)
    for wrong in (np.zeros((5, 5, 3), np.uint8), np.zeros((*SIZE, 1), np.uint8)):
        png = base64.b64encode(encode_png(tf.constant(wrong)).numpy()).decode()
        served.faults["predict"] = 200, {}, json.dumps({"predictions": [{"b64": png}]}).encode()
        assert "is it a model" in message_of(ConfigError, translate, noise(*SIZE))


def test_a_damaged_picture_is_the_systems_fault(served):
    translate = all_kinds.load(served.url)
    png = encode_png(tf.constant(noise(*SIZE))).numpy()[:-100]
    content = json.dumps({"predictions": [{"b64": base64.b64encode(png).decode()}]})
    served.faults["predict"] = 200, {}, content.encode()
    assert "damaged PNG" in message_of(SystemFault, translate, noise(*SIZE))


@pytest.mark.parametrize("drips", [False, True])
def test_a_server_that_is_too_slow_is_given_up(served, drips):
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
        message = message_of(SystemFault, translate, noise(*SIZE))
    finally:
        leave.set()
    assert message == f"{served.url}: no answer within 0.5 seconds; is it busy?"


def test_an_endless_answer_is_given_up(served, monkeypatch):
    translate = all_kinds.load(served.url)
    monkeypatch.setattr(client, "_LARGEST_ANSWER", 1000)
    served.faults["predict"] = 200, {}, b" " * 2000
    assert "endless" in message_of(ConfigError, translate, noise(*SIZE))


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


def test_a_port_that_is_not_the_rest_ones_is_told(served):
    with socket_that_says(b"\x00\x00\x18\x04\x00\x00\x00\x00\x00 hello\r\n\r\n") as port:
        message = message_of(ConfigError, all_kinds.load, f"http://127.0.0.1:{port}/v1/models/facades")
        assert "REST port is 8501" in message
        message = message_of(SystemFault, all_kinds.load, f"https://127.0.0.1:{port}/v1/models/facades")
        assert "no secure connection" in message
    with socket_that_says(b"") as port:
        url = f"http://127.0.0.1:{port}/v1/models/facades"
        assert "can't be reached" in message_of(SystemFault, all_kinds.load, url)


def test_a_server_that_is_not_there_is_the_systems_fault():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for host in (f"127.0.0.1:{port}", "nobody.invalid:8501"):
        url = f"http://{host}/v1/models/facades"
        message = message_of(SystemFault, all_kinds.load, url)
        assert message.startswith(f"{url}: the server can't be reached")


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
def test_a_url_that_names_no_model_is_refused_before_anything_is_sent(url):
    message = message_of(ConfigError, all_kinds.load, url)
    assert message.startswith(f"{url}: not the URL of a model; it looks like http://host:8501/v1/models/NAME")


def test_proxies_are_for_other_machines(served, monkeypatch):
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    all_kinds.load(served.url)
    port = served.url.split(":")[2].split("/")[0]
    all_kinds.load(f"http://localhost:{port}/v1/models/facades")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
    served.requests.clear()
    all_kinds.load("http://elsewhere.invalid:8501/v1/models/facades")
    assert served.requests[0][:2] == ("GET", "http://elsewhere.invalid:8501/v1/models/facades/metadata")
