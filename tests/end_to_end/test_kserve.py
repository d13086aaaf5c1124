"""What is exported, behind KServe's Python server, which speaks TensorFlow Serving's ``v1`` protocol too.

``pip install -e ".[serving-test]"`` installs it.
"""

import sys
from pathlib import Path

import pytest

from pix2pix_tf import formats
from pix2pix_tf.errors import ConfigError
from tests.end_to_end.commands import environment
from tests.end_to_end.servers import check_served_outputs, export, free_port, started

pytestmark = pytest.mark.slow

pytest.importorskip("kserve", reason="KServe is not installed; the extra serving-test has it")

# KServe leaves it to the model to read a request and to write the answer: as TensorFlow Serving documents.
SERVER = """
import base64, sys
import kserve, tensorflow as tf

class Facades(kserve.Model):
    def __init__(self, path):
        super().__init__("facades")
        self.model = tf.saved_model.load(path)
        self.ready = True

    def predict(self, payload, headers=None, response_headers=None):
        files = [base64.b64decode(instance["b64"]) for instance in payload["instances"]]
        try:
            output = self.model.signatures[payload["signature_name"]](image_bytes=tf.constant(files))
        except tf.errors.InvalidArgumentError as error:
            raise kserve.errors.InvalidInput(error.message)
        pictures = output["image_bytes"].numpy()
        return {"predictions": [{"b64": base64.b64encode(picture).decode()} for picture in pictures]}

if __name__ == "__main__":
    kserve.ModelServer(http_port=int(sys.argv[1]), enable_grpc=False, workers=1).start([Facades(sys.argv[2])])
"""


def test_kserve(tiny_run, tmp_path):
    local = export(tiny_run.path, tmp_path / "facades" / "1")
    script = Path(tmp_path / "server.py")
    script.write_text(SERVER, encoding="utf-8")
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1/models/facades"
    command = [sys.executable, str(script), str(port), str(tmp_path / "facades" / "1")]
    with started(command, url, tmp_path / "log.txt", **environment()):
        check_served_outputs(url, local, tmp_path)
        with pytest.raises(ConfigError, match=r"the server doesn.t have this model"):
            formats.load(url.replace("facades", "maps"))
