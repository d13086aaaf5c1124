"""What serves the page of ``pix2pix demo``, without a browser; tests/browser has one."""

import base64
import functools
import hashlib
import http.server
import io
import json
import shutil
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
import requests

from pix2pix_tf import load
from pix2pix_tf.demo import Demo, runtime
from pix2pix_tf.errors import ConfigError, RunError, SystemFault
from pix2pix_tf.exporting.formats.tflite.conversion import convert
from tests.exporting.models import untrained

SIDE = 64


def model_file(path, translator):
    samples = None
    path.write_bytes(convert(translator, (SIDE, SIDE), "none", samples, {"wall": (0, 0, 255)}))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return model_file(tmp_path_factory.mktemp("demo") / "façades of mine.tflite", untrained())


@pytest.fixture
def litert(tmp_path):
    """A folder with files that are named like LiteRT.js'."""
    for name in runtime._FILES:
        (tmp_path / "litert" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "litert" / name).write_text(name)
    return tmp_path / "litert"


@pytest.fixture
def served():
    """Starts a server in a thread, for as long as the test takes."""
    demos = []

    def start(*arguments, **settings):
        demos.append(Demo(*arguments, **settings))
        threading.Thread(target=demos[-1].serve, daemon=True).start()
        return demos[-1].url

    yield start
    for demo in demos:
        demo.stop()


def test_the_page_the_model_and_litert_are_served_and_nothing_else(served, model, litert):
    url = served(model, runtime=litert)
    for name in ("", "page.js", "style.css", "litert/core/dist/index.js"):
        answer = requests.get(url + name, timeout=10)
        assert answer.ok
        assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert requests.get(f"{url}model.tflite", timeout=10).content == model.read_bytes()
    described = requests.get(f"{url}model.json", timeout=10).json()
    assert described["classes"] == [{"name": "wall", "color": [0, 0, 255]}]
    assert (described["height"], described["width"], described["name"]) == (SIDE, SIDE, "façades of mine")
    for name in ("__init__.py", "litert/../model.py", "etc/passwd", "%2e%2e/cli.py"):
        assert requests.get(url + name, timeout=10).status_code == 404
    foreign = requests.get(url, headers={"Host": "elsewhere.example:80"}, timeout=10)
    assert foreign.status_code == 404


def test_a_model_may_be_named_in_capitals(served, model, litert, tmp_path):
    path = shutil.copy(model, tmp_path / "M.TFLITE")
    url = served(path, runtime=litert)
    assert requests.get(f"{url}model.tflite", timeout=10).content == model.read_bytes()


def test_what_can_not_be_drawn_for_is_refused(tmp_path, litert, model):
    (tmp_path / "text.tflite").write_text("no model")
    for other in (tmp_path / "none.tflite", tmp_path / "text.tflite", tmp_path):
        with pytest.raises(ConfigError):
            Demo(other, runtime=litert)
    noise = model_file(tmp_path / "noise.tflite", untrained("wgan"))
    bands = model_file(tmp_path / "bands.tflite", untrained(input_channels=4))
    for other in (noise, bands):
        with pytest.raises(ConfigError, match=other.name):
            Demo(other, runtime=litert)
    (litert / "core" / "dist" / "index.js").unlink()
    with pytest.raises(ConfigError, match=r"index\.js"):
        Demo(model, runtime=litert)


def test_a_taken_port_is_told(served, model, litert):
    port = int(served(model, runtime=litert).rstrip("/").rpartition(":")[2])
    with pytest.raises(SystemFault, match=str(port)):
        Demo(model, port, litert)


# ---------------------------------------------------------------- LiteRT.js


def packed(names):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in names:
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(name)
            archive.addfile(entry, io.BytesIO(name.encode()))
    return buffer.getvalue()


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """A server on loopback that gives packages of the right names; their digests are expected."""
    folder = tmp_path / "registry"
    for package in runtime._INTEGRITY:
        own = [name.partition("/")[2] for name in runtime._FILES if name.startswith(f"{package}/")]
        file = folder / "@litertjs" / package / "-" / f"{package}-{runtime.VERSION}.tgz"
        file.parent.mkdir(parents=True)
        file.write_bytes(packed(own))
        digest = base64.b64encode(hashlib.sha512(file.read_bytes()).digest()).decode()
        monkeypatch.setitem(runtime._INTEGRITY, package, digest)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_litert_is_brought_once_and_needs_no_network_then(registry, tmp_path):
    runtime._bring(tmp_path / "cache", registry)
    files = runtime.runtime_files(tmp_path / "cache")
    assert files["core/wasm/litert_wasm_internal.wasm"].read_text() == "wasm/litert_wasm_internal.wasm"
    runtime._bring(tmp_path / "cache", "http://127.0.0.1:9")


def test_another_file_than_the_pinned_one_is_refused_and_leaves_nothing(registry, tmp_path, monkeypatch):
    monkeypatch.setitem(runtime._INTEGRITY, "core", "other")
    with pytest.raises(SystemFault, match="another file"):
        runtime._bring(tmp_path / "cache", registry)
    assert not list((tmp_path / "cache").rglob("*.tgz"))


def test_the_pins_are_those_of_the_lock_file():
    lock = json.loads((Path(__file__).parents[1] / "web" / "package-lock.json").read_text())
    for package, digest in runtime._INTEGRITY.items():
        locked = lock["packages"][f"node_modules/@litertjs/{package}"]
        assert (locked["version"], locked["integrity"]) == (runtime.VERSION, f"sha512-{digest}")


# ---------------------------------------------------------------- what comes along


@pytest.mark.parametrize("name", ["facades-small", "procedural-small"])
def test_a_model_that_comes_along_paints_offline_by_its_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    translate = load(name)
    labels = np.zeros((*translate.size, 3), np.uint8)
    labels[..., 2] = 255
    assert translate(labels).std() > 1
    (tmp_path / name).mkdir()  # what the user has of that name comes first
    with pytest.raises(RunError):
        load(name)
