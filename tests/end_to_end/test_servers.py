"""Exported models behind TensorFlow Serving and a gRPC server, in processes of their own on loopback."""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import serving
from pix2pix_tf import formats
from pix2pix_tf.errors import ConfigError, DataError, SystemFault
from pix2pix_tf.formats.run import GeneratorTranslator
from pix2pix_tf.formats.saved_model import SavedModel
from pix2pix_tf.formats.saved_model.graph import write_saved_model
from pix2pix_tf.runs import open_run
from tests.end_to_end.commands import free_port
from tests.formats.models import noise

pytestmark = pytest.mark.slow

TENSORFLOW_SERVING = shutil.which("tensorflow_model_server")
MOST_PIXELS = 200 * 200


def export(run_directory: Path, path: Path) -> GeneratorTranslator:
    """Writes a run's SavedModel; returns what it must generate."""
    translator = GeneratorTranslator.load(open_run(run_directory))
    write_saved_model(translator, path, SavedModel(MOST_PIXELS, 2 * MOST_PIXELS))
    return translator


@pytest.mark.skipif(TENSORFLOW_SERVING is None, reason="tensorflow_model_server is not on the PATH")
def test_tensorflow_serving_gives_the_images_of_the_run(tiny_run, tmp_path):
    local = export(tiny_run.path, tmp_path / "facades" / "1")
    port, served = free_port(), None
    command = [TENSORFLOW_SERVING, f"--rest_api_port={port}", f"--port={free_port()}"]
    command += ["--model_name=facades", f"--model_base_path={tmp_path / 'facades'}"]
    with (tmp_path / "log.txt").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 240
        while served is None:
            assert server.poll() is None, (tmp_path / "log.txt").read_text(errors="replace")[-2000:]
            assert time.monotonic() < deadline
            time.sleep(0.2)
            with contextlib.suppress(ConfigError, SystemFault):
                served = formats.load(f"http://127.0.0.1:{port}/v1/models/facades/versions/1")
        assert (served.input.channels, served.output.channels) == (3, 3)
        gray, rgba = noise(37, 90, 1)[..., 0], noise(1, 1, 4)
        for image in (noise(64, 64), gray, rgba, noise(50, 40, dtype=np.uint16)):
            assert np.abs(served(image).astype(int) - local(image)).max() <= 1
        refusal = f"refuses the image: image 0: 201x200, more than the limit of {MOST_PIXELS}"
        with pytest.raises(DataError, match=refusal):
            served(np.zeros((200, 201, 3), np.uint8))
        assert served(noise(70, 31)).shape == (70, 31, 3)  # the next request is served
    finally:
        server.kill()
        server.wait()


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
