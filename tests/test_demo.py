"""What serves the page of ``pix2pix demo``, without a browser; tests/browser has one."""

import functools
import hashlib
import http.server
import json
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
import requests

from pix2pix_tf import load
from pix2pix_tf.demo import Demo, runtime
from pix2pix_tf.errors import ConfigError, RunError, SystemFault
from pix2pix_tf.formats.shipped import shipped_models
from pix2pix_tf.formats.tflite import samples_file
from pix2pix_tf.formats.tflite.conversion import convert
from tests.formats.models import untrained

pytestmark = pytest.mark.slow

SIDE = 64


def model_file(path, translator):
    samples = None
    path.write_bytes(convert(translator, (SIDE, SIDE), "none", samples, {"wall": (0, 0, 255)}))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return model_file(tmp_path_factory.mktemp("demo") / "façades of mine.TFLITE", untrained())


def write_runtime(folder):
    for name in runtime._FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def litert(tmp_path):
    """A folder with files that are named like LiteRT.js'."""
    return write_runtime(tmp_path / "litert")


@pytest.fixture
def served():
    """Starts a server in a thread, for as long as the test takes."""
    demos = []

    def start(*arguments, **settings):
        demos.append(Demo(*arguments, **settings))
        threading.Thread(target=demos[-1].serve_forever, daemon=True).start()
        return demos[-1].url

    yield start
    for demo in demos:
        demo.shutdown()
        demo.server_close()


def test_served_files(served, model, litert):
    url = served(model, runtime=litert)
    for name in ("", "page.js", "style.css", "litert/core/dist/index.js"):
        answer = requests.get(url + name, timeout=10)
        assert answer.ok
        assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    described, *others = requests.get(f"{url}models.json", timeout=10).json()
    assert requests.get(url + described["url"], timeout=10).content == model.read_bytes()
    assert described["samples"] is None
    assert [each["name"] for each in others] == shipped_models()
    assert described["classes"] == [{"name": "wall", "color": [0, 0, 255]}]
    assert (described["height"], described["width"], described["name"]) == (SIDE, SIDE, "façades of mine")
    for name in ("__init__.py", "litert/../model.py", "etc/passwd", "%2e%2e/cli.py"):
        assert requests.get(url + name, timeout=10).status_code == 404
    foreign = requests.get(url, headers={"Host": "elsewhere.example:80"}, timeout=10)
    assert foreign.status_code == 404


def test_samples_beside_a_model_are_served(served, model, litert, tmp_path):
    copy = tmp_path / "copy.tflite"
    copy.write_bytes(model.read_bytes())
    samples_file(copy).write_bytes(b"samples")
    url = served(copy, runtime=litert)
    described = requests.get(f"{url}models.json", timeout=10).json()[0]
    answer = requests.get(url + described["samples"], timeout=10)
    assert (answer.content, answer.headers["Content-Type"]) == (b"samples", "image/png")


def test_the_menu_lists_a_shipped_model_once(served, litert):
    name = shipped_models()[-1]
    found = requests.get(f"{served(name, runtime=litert)}models.json", timeout=10).json()
    assert [each["name"] for each in found] == [name, *shipped_models()[:-1]]


def test_unsupported_models_are_refused(tmp_path, litert, model):
    (tmp_path / "text.tflite").write_text("no model")
    for other in (tmp_path / "none.tflite", tmp_path / "text.tflite", tmp_path):
        with pytest.raises(ConfigError):
            Demo(other, runtime=litert)
    noise = model_file(tmp_path / "noise.tflite", untrained("wgan", generator_filters=2))
    bands = model_file(tmp_path / "bands.tflite", untrained(input_channels=4, base_filters=2))
    for other in (noise, bands):
        with pytest.raises(ConfigError, match=other.name):
            Demo(other, runtime=litert)
    (litert / "core" / "dist" / "index.js").unlink()
    with pytest.raises(ConfigError, match=r"index\.js"):
        Demo(model, runtime=litert)


def test_port_in_use_is_reported(served, model, litert):
    port = int(served(model, runtime=litert).rstrip("/").rpartition(":")[2])
    with pytest.raises(SystemFault, match=str(port)):
        Demo(model, port, litert)


@pytest.fixture
def pinned(monkeypatch, tmp_path):
    """Has files of LiteRT.js expected that hold their own names; and no npm, and an empty cache."""
    for name in runtime._FILES:
        monkeypatch.setitem(runtime._FILES, name, hashlib.sha256(name.encode()).hexdigest())
    monkeypatch.setattr(runtime.shutil, "which", lambda name: None)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def cdn(pinned, tmp_path, monkeypatch):
    """A server on loopback that gives single files, as a CDN does; its folder."""
    folder = tmp_path / "cdn"
    for name in runtime._FILES:
        package, _, path = name.partition("/")
        file = folder / "@litertjs" / f"{package}@{runtime.VERSION}" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(runtime, "_CDN", address)
        yield folder
        server.shutdown()


def assert_whole(files):
    assert {name: path.read_text() for name, path in files.items()} == {name: name for name in runtime._FILES}


def test_runtime_is_downloaded_once_and_verified(cdn, tmp_path):
    other = cdn / "@litertjs" / f"core@{runtime.VERSION}" / "dist" / "index.js"
    pinned = other.read_text()
    other.write_text("other")
    with pytest.raises(SystemFault, match="another"):
        runtime.runtime_files()
    assert not list((tmp_path / "cache").rglob("index.js"))
    other.write_text(pinned)
    assert_whole(runtime.runtime_files())
    shutil.rmtree(cdn)
    assert_whole(runtime.runtime_files())


def test_offline_runtime_is_reported(pinned, monkeypatch):
    monkeypatch.setattr(runtime, "_CDN", "http://127.0.0.1:9")
    with pytest.raises(SystemFault, match="--runtime") as fault:
        runtime.runtime_files()
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize("can", [True, False])
def test_runtime_from_npm(cdn, monkeypatch, can):
    asked = []

    def npm(command, cwd, **options):
        asked.append(command)
        if not can:
            raise subprocess.CalledProcessError(1, command)
        write_runtime(Path(cwd) / "node_modules" / "@litertjs")

    monkeypatch.setattr(runtime.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(runtime.subprocess, "run", npm)
    if can:
        shutil.rmtree(cdn)
    assert_whole(runtime.runtime_files())
    assert all(any(each.startswith(f"@litertjs/{name}@") for each in asked[0]) for name in runtime._PACKAGES)


def test_runtime_version_is_the_locked_one():
    lock = json.loads((Path(__file__).parents[1] / "web" / "package-lock.json").read_text())
    for package in runtime._PACKAGES:
        assert lock["packages"][f"node_modules/@litertjs/{package}"]["version"] == runtime.VERSION


@pytest.mark.parametrize("name", ["emoji-small", "facades-small", "procedural-small"])
def test_shipped_models(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    translate = load(name)
    labels = np.zeros((*translate.size, 3), np.uint8)
    labels[..., 2] = 255
    assert translate(labels).std() > 1
    # Label maps are declared, so that --fit-input doesn't mix the colors of classes.
    assert translate.input.labels == (name != "emoji-small")
    (tmp_path / name).mkdir()  # what the user has of that name comes first
    with pytest.raises(RunError):
        load(name)
