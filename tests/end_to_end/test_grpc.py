"""What is exported, behind a server that speaks TensorFlow Serving's PredictionService over gRPC."""

import io

import numpy as np
import pytest
from PIL import Image

from benchmarks import serving
from tests.end_to_end.servers import export

pytestmark = pytest.mark.slow


def test_concurrent_clients_and_bad_requests(tiny_run, tmp_path):
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
