"""The files beside a SavedModel, read and followed as a server and its users do."""

import io
import re
import shutil
import subprocess
import sys
from concurrent import futures

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pix2pix_tf import formats
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
from tests.formats.test_served import Serving

pytestmark = pytest.mark.slow
LIMITS = SavedModel(250_000, 500_000)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A folder with a model to be served, from RGB to gray, and the files that say so; to be read only."""
    folder = tmp_path_factory.mktemp("images")
    ContrastModel(3, 1).save(folder / "facades" / "1")
    _write_files(folder, formats.load(folder / "facades"), (64, 96))
    return folder


@pytest.fixture(scope="module")
def out_from_noise(tmp_path_factory):
    """The same for a model that takes noise."""
    folder, translate = tmp_path_factory.mktemp("noise"), untrained("wgan")
    write_saved_model(translate, folder / "facades" / "1", LIMITS)
    _write_files(folder, translate, SIZE)
    return folder


def _write_files(folder, translate, size):
    write_warmup(folder / "facades" / "1", "facades", translate, size)
    write_serving_files(folder, "facades", translate, size, LIMITS)


def signatures_of(out):
    return tf.saved_model.load(str(out / "facades" / "1")).signatures


def code_block(out, language, word):
    """The README's only block of a language with a word in it."""
    text = (out / "README.md").read_text(encoding="utf-8")
    [block] = (block for block in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL) if word in block)
    return block


@pytest.fixture(scope="module")
def out_of_bands(tmp_path_factory):
    """The same for a model of more channels than image files have."""
    folder = tmp_path_factory.mktemp("bands")
    ContrastModel(6, 5).save(folder / "facades" / "1", bytes=None)
    _write_files(folder, formats.load(folder / "facades"), SIZE)
    return folder


@pytest.mark.parametrize("folder", ["out", "out_from_noise", "out_of_bands"])
def test_the_model_takes_every_request_of_its_warmup(request, folder):
    prediction_log = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    version = request.getfixturevalue(folder) / "facades" / "1"
    model, answered = tf.saved_model.load(str(version)).signatures, set()
    for record in tf.data.TFRecordDataset(str(version / WARMUP_FILE)).as_numpy_iterator():
        sent = prediction_log.PredictionLog.FromString(record).predict_log.request
        assert sent.model_spec.name == "facades"
        inputs = {name: tf.constant(tf.make_ndarray(tensor)) for name, tensor in sent.inputs.items()}
        (output,) = model[sent.model_spec.signature_name](**inputs).values()
        size = (64, 96) if folder == "out" else SIZE
        if output.dtype == tf.string:
            assert Image.open(io.BytesIO(output[0].numpy())).size == size[::-1]
        else:
            assert output.shape[:3] == (1, *size)
        answered.add(sent.model_spec.signature_name)
    assert answered == set(model)


def test_every_model_of_the_folder_is_served(out, tmp_path):
    config = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2").ModelServerConfig()
    text_format = pytest.importorskip("google.protobuf.text_format")
    for name in ("maps/3", "maps/12", "maps-3", "notes", "shoes/staging"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("maps/3", "maps/12", "shoes/staging"):
        (tmp_path / name / "saved_model.pb").touch()
    assert served_models(tmp_path) == ["maps"]
    # The SavedModel of this one is yet to come.
    write_serving_files(tmp_path, "facades", formats.load(out / "facades"), (64, 96), LIMITS)
    text_format.Parse((tmp_path / "models.config").read_text(encoding="utf-8"), config)
    models = {model.name: model.base_path for model in config.model_config_list.config}
    assert models == {name: f"/models/{name}" for name in ("facades", "maps")}
    assert "maps" in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_docker_mounts_the_folder_that_the_configuration_names(out):
    compose = (out / "docker-compose.yml").read_text(encoding="utf-8")
    assert '"--model_config_file=/models/models.config"' in compose
    assert '".:/models:ro"' in compose
    assert all(f'"127.0.0.1:{port}:{port}"' in compose for port in (8500, 8501))
    assert "\t" not in compose
    assert "batching" not in compose
    lines = (out / "batching.config").read_text(encoding="utf-8").splitlines()
    settings = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z_]+ \{ value: \d+ \}", line) for line in settings)


def test_the_readme_is_about_this_model(out, out_from_noise, out_of_bands):
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
    assert "bytes" not in (out_of_bands / "README.md").read_text(encoding="utf-8")
    of_noise = (out_from_noise / "README.md").read_text(encoding="utf-8")
    assert f"[batch, {NOISE}]" in of_noise
    assert not re.search(r"input\.jpg|image file", of_noise)
    for path in (folder / file for folder in (out, out_from_noise) for file in SERVING_FILES):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\{\{|\{%|\bNone\b|\bundefined\b", text), path
        assert text.endswith("\n")


# ---------------------------------------------------------------- the README's calls, called


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current directory, with an image in it."""
    Image.fromarray(noise(40, 30)).save(tmp_path / "input.jpg", format="PNG")  # no matter what it is called
    monkeypatch.chdir(tmp_path)
    return tmp_path


def output_of(folder):
    return np.asarray(Image.open(folder / "output.png"))


EXPECTED = expected(noise(40, 30), 1)[..., 0]


@pytest.mark.parametrize("language", ["sh", "python"])
def test_the_calls_by_rest_work(out, out_from_noise, folder, language):
    shell = shutil.which("bash") or shutil.which("sh")
    if language == "sh" and not (shell and all(map(shutil.which, ("curl", "base64", "tr", "python3")))):
        pytest.skip("no shell with curl, base64, tr and python3 here")

    def call(out, address):
        block = code_block(out, language, "curl" if language == "sh" else "urllib")
        block = block.replace("http://localhost:8501", address.partition("/v1")[0])
        program = shell if language == "sh" else sys.executable
        return subprocess.run(
            [program, "-c", block], cwd=folder, capture_output=True, text=True, timeout=120, check=False
        )

    with serving(Serving(out_from_noise / "facades" / "1")) as address:
        done = call(out_from_noise, address)
        assert done.returncode == 0, done.stderr
        assert output_of(folder).shape == (*SIZE, 3)
        served, local = formats.load(address), formats.load(out_from_noise / "facades")
        assert (served.noise, served.input.channels, served.output.channels) == (NOISE, 0, 3)
        z = np.random.default_rng(0).standard_normal(NOISE, np.float32)
        np.testing.assert_array_equal(served(z), local(z))
    with serving(Serving(out / "facades" / "1")) as address:
        done = call(out, address)
        assert done.returncode == 0, done.stderr
        np.testing.assert_array_equal(output_of(folder), EXPECTED)
        (folder / "input.jpg").write_bytes(b"not an image")
        assert call(out, address).returncode != 0


def test_the_call_by_grpc_works(out, folder):
    predict_pb2 = pytest.importorskip("tensorflow_serving.apis.predict_pb2")
    service = pytest.importorskip("tensorflow_serving.apis.prediction_service_pb2_grpc")
    grpc = pytest.importorskip("grpc")
    model = signatures_of(out)

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
    block = code_block(out, "python", "grpc").replace("localhost:8500", f"127.0.0.1:{port}")
    try:
        exec(compile(block, "README.md", "exec"), {})
    finally:
        server.stop(None)
    np.testing.assert_array_equal(output_of(folder), EXPECTED)


def test_the_calls_without_a_server_work(out, out_from_noise, folder):
    for model in (out, out_from_noise):
        shutil.copytree(model / "facades", folder / "facades", dirs_exist_ok=True)
        exec(compile(code_block(model, "python", "saved_model.load"), "README.md", "exec"), {})
        if model == out:
            np.testing.assert_array_equal(output_of(folder), EXPECTED)
    assert output_of(folder).shape == (*SIZE, 3)
