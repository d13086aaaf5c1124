"""Exported models behind TensorFlow Serving and a gRPC server, in processes of their own on loopback."""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import serving
from pix2pix_tf import formats
from pix2pix_tf.errors import DataError
from pix2pix_tf.formats.run import GeneratorTranslator
from pix2pix_tf.formats.saved_model import SavedModel
from pix2pix_tf.formats.saved_model.graph import write_saved_model
from pix2pix_tf.runs import open_run
from tests.end_to_end.commands import free_port, run

pytestmark = pytest.mark.slow

TENSORFLOW_SERVING = shutil.which("tensorflow_model_server")
MOST_PIXELS = 200 * 200


def export(run_directory: Path, path: Path) -> GeneratorTranslator:
    """Writes a run's SavedModel; returns what it must generate."""
    translator = GeneratorTranslator.load(open_run(run_directory))
    write_saved_model(translator, path, SavedModel(MOST_PIXELS, 2 * MOST_PIXELS))
    return translator


@contextlib.contextmanager
def started(command: Sequence[str], ready_url: str, log: Path, **environment: str) -> Iterator[None]:
    """Runs a server for as long as the block lasts, which begins when ``ready_url`` answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, env=environment or None)
    try:
        deadline = time.monotonic() + 240
        while True:
            with contextlib.suppress(OSError, urllib.error.URLError):
                opener.open(ready_url, timeout=5).close()
                break
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.2)
        yield
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def check_served_outputs(url: str, local: GeneratorTranslator, folder: Path) -> None:
    """Checks that a served model gives the images of the run, from Python and from the command line."""
    served = formats.load(url)
    assert (served.input.channels, served.output.channels) == (3, 3)
    draw = np.random.default_rng(0)
    gray, rgba = ((37, 90), np.uint8), ((1, 1, 4), np.uint8)
    for shape, dtype in (((64, 64, 3), np.uint8), gray, rgba, ((50, 40, 3), np.uint16)):
        image = draw.integers(0, np.iinfo(dtype).max + 1, shape, dtype)
        assert np.abs(served(image).astype(int) - local(image)).max() <= 1, (shape, dtype)

    refusal = f"refuses the image: image 0: 201x200, more than the limit of {MOST_PIXELS}"
    with pytest.raises(DataError, match=refusal):
        served(np.zeros((200, 201, 3), np.uint8))
    image = draw.integers(0, 256, (70, 31, 3), np.uint8)
    assert np.abs(served(image).astype(int) - local(image)).max() <= 1  # the next request is served

    (folder / "in").mkdir()
    Image.fromarray(image).save(folder / "in" / "one.png")
    done = run("predict", url, "in", "--out", "out", cwd=folder)
    assert done.returncode == 0, done.stderr
    written = np.asarray(Image.open(folder / "out" / "one.png"))
    np.testing.assert_array_equal(written, served(image))


@pytest.mark.skipif(TENSORFLOW_SERVING is None, reason="tensorflow_model_server is not on the PATH")
def test_tensorflow_serving(tiny_run, tmp_path):
    local = export(tiny_run.path, tmp_path / "facades" / "1")
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1/models/facades"
    command = [
        TENSORFLOW_SERVING,
        f"--rest_api_port={port}",
        f"--port={free_port()}",
        "--model_name=facades",
        f"--model_base_path={tmp_path / 'facades'}",
    ]
    with started(command, f"{url}/metadata", tmp_path / "log.txt"):
        check_served_outputs(f"{url}/versions/1", local, tmp_path)


def test_concurrent_grpc_clients_and_bad_requests(tiny_run, tmp_path):
    local = export(tiny_run.path, tmp_path / "facades" / "1")
    cases = serving.known_pictures(tmp_path / "facades", [(64, 64), (50, 77), (1, 1)])
    for file, picture in cases:
        image = np.asarray(Image.open(io.BytesIO(file)))
        assert np.abs(local(image).astype(int) - picture).max() <= 1
    with serving.server(tmp_path / "facades") as (address, process, _):
        found = serving.load(address, cases, clients=4, images=2, requests=40)
        assert process.poll() is None
    assert found.images == 80
    assert found.refused == 4
    assert found.wrong == 0
