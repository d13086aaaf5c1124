"""The files beside a SavedModel, read and followed as a server and its users do."""

import base64
import io
import json
import re
import shutil
import subprocess
import sys
from concurrent import futures
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pix2pix_tf import formats
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.formats.base import check_model_name
from pix2pix_tf.formats.saved_model import SavedModel
from pix2pix_tf.formats.saved_model.graph import write_saved_model
from pix2pix_tf.formats.saved_model.serving_files import (
    SERVING_FILES,
    WARMUP_FILE,
    served_models,
    write_serving_files,
    write_warmup,
)
from tests.exported_models import ContrastModel, expected, noise, serving
from tests.formats.models import NOISE, SIZE, untrained
from tests.formats.test_served import documented_metadata

pytestmark = pytest.mark.slow


class Model(NamedTuple):
    """What the files tell of a model."""

    input: PixelFormat
    output: PixelFormat
    noise: int = 0
    enlarges: int = 1
    inpaints: bool = False


FACTS = (Model(PixelFormat(3), PixelFormat(1)), (64, 96), SavedModel(250_000, 500_000))


@pytest.fixture
def out(tmp_path):
    """A folder with a model to be served, and the files that say so."""
    ContrastModel(3, 1).save(tmp_path / "facades" / "1")
    write_serving_files(tmp_path, "facades", *FACTS)
    return tmp_path


def code_blocks(out, language):
    text = (out / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


# ---------------------------------------------------------------- warm-up


def warmup_requests(version):
    prediction_log = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    records = tf.data.TFRecordDataset(str(version / WARMUP_FILE)).as_numpy_iterator()
    logs = [prediction_log.PredictionLog.FromString(record) for record in records]
    assert {log.WhichOneof("log_type") for log in logs} == {"predict_log"}
    return [log.predict_log.request for log in logs]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_model_takes_every_request_of_its_warmup(tmp_path, channels):
    ContrastModel(channels, 3).save(tmp_path / "1")
    write_warmup(tmp_path / "1", "facades", Model(PixelFormat(channels), PixelFormat(3)), (64, 96))
    model = tf.saved_model.load(str(tmp_path / "1")).signatures
    requests = warmup_requests(tmp_path / "1")
    assert {request.model_spec.signature_name for request in requests} == set(model)
    for request in requests:
        assert request.model_spec.name == "facades"
        inputs = {name: tf.constant(tf.make_ndarray(tensor)) for name, tensor in request.inputs.items()}
        (output,) = model[request.model_spec.signature_name](**inputs).values()
        if output.dtype == tf.string:
            assert Image.open(io.BytesIO(output[0].numpy())).size == (96, 64)
        else:
            assert output.shape == (1, 64, 96, 3)


# ---------------------------------------------------------------- configuration


def served_by(out):
    """What a server would load, by the file that it is given: names and folders."""
    config = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2").ModelServerConfig()
    text_format = pytest.importorskip("google.protobuf.text_format")
    text_format.Parse((out / "models.config").read_text(encoding="utf-8"), config)
    return {model.name: model.base_path for model in config.model_config_list.config}


def test_every_model_of_the_folder_is_served(out):
    assert served_by(out) == {"facades": "/models/facades"}
    for name in ("maps/3", "maps/12", "maps-3", "notes", "shoes/staging"):
        (out / name).mkdir(parents=True)
    for name in ("maps/3", "maps/12", "shoes/staging"):
        (out / name / "saved_model.pb").touch()
    assert served_models(out) == ["facades", "maps"]
    write_serving_files(out, "night2day", *FACTS)  # its SavedModel is yet to come
    assert served_by(out) == {name: f"/models/{name}" for name in ("facades", "maps", "night2day")}
    assert "facades, maps" in (out / "README.md").read_text(encoding="utf-8")


def test_docker_mounts_the_folder_that_the_configuration_names(out):
    compose = (out / "docker-compose.yml").read_text(encoding="utf-8")
    assert '"--model_config_file=/models/models.config"' in compose
    assert '".:/models:ro"' in compose
    assert all(f'"127.0.0.1:{port}:{port}"' in compose for port in (8500, 8501))
    assert "\t" not in compose


def test_batching_is_off_and_says_why(out):
    assert "batching" not in (out / "docker-compose.yml").read_text(encoding="utf-8")
    lines = (out / "batching.config").read_text(encoding="utf-8").splitlines()
    reasons = " ".join(line for line in lines if line.startswith("#"))
    assert "one size" in reasons
    assert "refused fails the requests that share its batch" in reasons
    settings = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z_]+ \{ value: \d+ \}", line) for line in settings)


@pytest.mark.parametrize("name", ["", "a b", "../x", "façade", "-v", "a/b", "a:b", 'a"b', ".hidden"])
def test_names_that_no_url_takes_are_refused(name):
    check_model_name("run-2.1_b")
    with pytest.raises(ConfigError, match="can't be served as"):
        check_model_name(name)


# ---------------------------------------------------------------- the README's calls, called


def test_the_readme_is_about_this_model(out):
    readme = (out / "README.md").read_text(encoding="utf-8")
    for fact in (
        "# facades\n",
        "96×64 pixels (width×height)",
        "[batch, height, width, 3]",
        "[batch, height, width, 1]",
        "250000",
        "500000",
        "/v1/models/facades:predict",
    ):
        assert fact in readme, fact
    for file in SERVING_FILES:
        text = (out / file).read_text(encoding="utf-8")
        assert not re.search(r"\{\{|\{%|\bNone\b|\bundefined\b", text), file
        assert text.endswith("\n")


@pytest.fixture(scope="module")
def from_noise(tmp_path_factory):
    """A folder with a model that takes noise, the files for its server, and its signatures."""
    out, translate = tmp_path_factory.mktemp("noise"), untrained("wgan")
    write_saved_model(translate, out / "facades" / "1", SavedModel())
    write_warmup(out / "facades" / "1", "facades", translate, SIZE)
    write_serving_files(out, "facades", translate, SIZE, SavedModel())
    return out, tf.saved_model.load(str(out / "facades" / "1")).signatures


def test_a_model_that_takes_noise_has_calls_of_its_own(from_noise, tmp_path, monkeypatch):
    out, model = from_noise
    for request in warmup_requests(out / "facades" / "1"):
        model[request.model_spec.signature_name](z=tf.constant(tf.make_ndarray(request.inputs["z"])))
    readme = (out / "README.md").read_text(encoding="utf-8")
    assert f"[batch, {NOISE}]" in readme
    assert not re.search(r"\{\{|\{%|\bNone\b|input\.jpg|image file", readme)

    def answer(handler, method, path, body):
        if method == "GET":
            return documented_metadata(out / "facades" / "1")
        request = json.loads(body)
        vectors = tf.constant([instance["z"] for instance in request["instances"]])
        [image] = model[request["signature_name"]](z=vectors)["image_bytes"].numpy()
        return 200, {}, json.dumps({"predictions": [{"b64": base64.b64encode(image).decode()}]}).encode()

    shell = shutil.which("bash")
    calls = [(block, None) for block in code_blocks(out, "python") if "urllib" in block]
    if shell and all(map(shutil.which, ("curl", "python3"))):
        calls += [(block, shell) for block in code_blocks(out, "sh") if "curl" in block]
    with serving(answer) as address:
        for block, program in calls:
            done = run_block(block, address, tmp_path, program)
            assert done.returncode == 0, done.stderr
            assert Image.open(tmp_path / "output.png").size == SIZE
            (tmp_path / "output.png").unlink()
        served, local = formats.load(address), formats.load(out / "facades")
        assert (served.noise, served.input.channels, served.output.channels) == (NOISE, 0, 3)
        z = np.random.default_rng(0).standard_normal(NOISE, np.float32)
        np.testing.assert_array_equal(served(z), local(z))
    monkeypatch.chdir(out)
    (block,) = (block for block in code_blocks(out, "python") if "saved_model.load" in block)
    exec(compile(block, "README.md", "exec"), {})
    assert Image.open(out / "output.png").size == SIZE


@pytest.fixture
def folder_with_an_image(tmp_path, monkeypatch):
    folder = tmp_path / "client"
    folder.mkdir()
    image = noise(40, 30)
    Image.fromarray(image).save(folder / "input.jpg", format="PNG")  # no matter what it is called
    monkeypatch.chdir(folder)
    return folder, expected(image, 1)[..., 0]


def rest_server(model):
    """The part of TensorFlow Serving's REST API that the README uses, by its documentation."""

    def answer(handler, method, path, body):
        request = json.loads(body)
        assert (method, path) == ("POST", "/v1/models/facades:predict")
        assert request["signature_name"] == "bytes"
        files = [base64.b64decode(row["image_bytes"]["b64"], validate=True) for row in request["instances"]]
        try:
            images = model["bytes"](image_bytes=tf.constant(files))["image_bytes"].numpy()
        except tf.errors.InvalidArgumentError as error:
            return 400, {}, json.dumps({"error": error.message}).encode()
        # One named output: its name is left out, and as it ends in _bytes it comes in base64.
        predictions = [{"b64": base64.b64encode(image).decode()} for image in images]
        return 200, {}, json.dumps({"predictions": predictions}).encode()

    return serving(answer)


def run_block(block, address, folder, shell=None):
    block = block.replace("http://localhost:8501", address.partition("/v1")[0])
    command = [shell, "-c", block] if shell else [sys.executable, "-c", block]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def test_the_call_with_curl_works(out, folder_with_an_image):
    shell = shutil.which("bash") or shutil.which("sh")
    if not (shell and all(map(shutil.which, ("curl", "base64", "tr", "python3")))):
        pytest.skip("no shell with curl, base64, tr and python3 here")
    folder, picture = folder_with_an_image
    (block,) = (block for block in code_blocks(out, "sh") if "curl" in block)
    with rest_server(tf.saved_model.load(str(out / "facades" / "1")).signatures) as address:
        done = run_block(block, address, folder, shell)
        assert done.returncode == 0, done.stderr
        np.testing.assert_array_equal(np.asarray(Image.open(folder / "output.png")), picture)
        (folder / "input.jpg").write_bytes(b"not an image")
        assert run_block(block, address, folder, shell).returncode != 0


def test_the_call_with_python_works(out, folder_with_an_image):
    folder, picture = folder_with_an_image
    (block,) = (block for block in code_blocks(out, "python") if "urllib" in block)
    with rest_server(tf.saved_model.load(str(out / "facades" / "1")).signatures) as address:
        done = run_block(block, address, folder)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.asarray(Image.open(folder / "output.png")), picture)


def test_the_call_by_grpc_works(out, folder_with_an_image):
    predict_pb2 = pytest.importorskip("tensorflow_serving.apis.predict_pb2")
    service = pytest.importorskip("tensorflow_serving.apis.prediction_service_pb2_grpc")
    grpc = pytest.importorskip("grpc")
    folder, picture = folder_with_an_image
    model = tf.saved_model.load(str(out / "facades" / "1")).signatures

    class Server(service.PredictionServiceServicer):
        def Predict(self, request, context):  # noqa: N802
            assert request.model_spec.name == "facades"
            inputs = {name: tf.constant(tf.make_ndarray(tensor)) for name, tensor in request.inputs.items()}
            reply = predict_pb2.PredictResponse()
            for name, tensor in model[request.model_spec.signature_name](**inputs).items():
                reply.outputs[name].CopyFrom(tf.make_tensor_proto(tensor.numpy()))
            return reply

    server = grpc.server(futures.ThreadPoolExecutor(1))
    service.add_PredictionServiceServicer_to_server(Server(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    (block,) = (block for block in code_blocks(out, "python") if "grpc" in block)
    try:
        exec(compile(block.replace("localhost:8500", f"127.0.0.1:{port}"), "README.md", "exec"), {})
    finally:
        server.stop(None)
    np.testing.assert_array_equal(np.asarray(Image.open(folder / "output.png")), picture)


def test_the_call_without_a_server_works(out, folder_with_an_image, monkeypatch):
    folder, picture = folder_with_an_image
    shutil.copy(folder / "input.jpg", out)
    monkeypatch.chdir(out)
    (block,) = (block for block in code_blocks(out, "python") if "saved_model.load" in block)
    exec(compile(block, "README.md", "exec"), {})
    np.testing.assert_array_equal(np.asarray(Image.open(out / "output.png")), picture)
