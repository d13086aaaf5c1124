"""What is exported, behind TensorFlow Serving itself, where it is installed."""

import shutil

import pytest

from tests.end_to_end.servers import check_served_outputs, export, free_port, started

pytestmark = pytest.mark.slow

SERVER = shutil.which("tensorflow_model_server")


@pytest.mark.skipif(SERVER is None, reason="tensorflow_model_server is not on the PATH")
def test_tensorflow_serving(tiny_run, tmp_path):
    local = export(tiny_run.path, tmp_path / "facades" / "1")
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1/models/facades"
    command = [
        SERVER,
        f"--rest_api_port={port}",
        f"--port={free_port()}",
        "--model_name=facades",
        f"--model_base_path={tmp_path / 'facades'}",
    ]
    with started(command, f"{url}/metadata", tmp_path / "log.txt"):
        check_served_outputs(url, local, tmp_path)
        (tmp_path / "again").mkdir()
        check_served_outputs(f"{url}/versions/1", local, tmp_path / "again")
