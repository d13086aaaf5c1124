"""Exported models made by hand, with the signatures of ``pix2pix export``: no training, no conversion."""

import contextlib
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import tensorflow as tf

from pix2pix_tf.data.pixels import to_uint8, to_unit_range
from pix2pix_tf.formats.saved_model.decoding import decode_to_unit_range

GAIN = 15.0  # an odd number: no output lies half way between two levels
MOST_PIXELS = 10_000
SIZE = (32, 48)  # height and width of the .tflite files


def expected(image, channels=3):
    """What the models below make of a ``uint8`` or ``uint16`` image that has their input's channels."""
    return _contrast(to_unit_range(tf.constant(image)), channels, to_uint8).numpy()


def _contrast(image, channels, as_type=tf.identity):
    """Raises the contrast so much that a level of 8 bits becomes 15, and what is between them is seen."""
    output = tf.clip_by_value(GAIN * image, -1.0, 1.0)
    return as_type(tf.repeat(tf.reduce_max(output, axis=-1, keepdims=True), channels, axis=-1))


class ContrastModel(tf.Module):
    """A model with the signatures of an export."""

    def __init__(self, input_channels=3, output_channels=3):
        super().__init__()
        self.weight = tf.Variable(GAIN)  # a SavedModel of ours always has variables
        self.channels = input_channels, output_channels

    def save(self, path, **changes):
        """Writes a SavedModel; ``changes`` replace signatures, or leave them out as ``None``."""
        source, result = self.channels
        signatures = {
            "serving_default": tf.function(
                lambda images: {"images": _contrast(_small(to_unit_range(images)), result, to_uint8)},
                input_signature=[tf.TensorSpec([None, None, None, source], tf.uint8, name="images")],
            ),
            "bytes": tf.function(
                lambda image_bytes: {"image_bytes": tf.map_fn(self._translate_file, image_bytes)},
                input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")],
            ),
            "float": tf.function(
                lambda images: {"images": _contrast(_small(images), result)},
                input_signature=[tf.TensorSpec([None, None, None, source], tf.float32, name="images")],
            ),
        }
        kept = {name: function for name, function in (signatures | changes).items() if function is not None}
        tf.saved_model.save(self, str(path), signatures=kept)
        return path

    def _translate_file(self, data):
        source, result = self.channels
        image = decode_to_unit_range(data, source)
        return tf.io.encode_png(_contrast(_small(image), result, to_uint8))


def _small(images):
    shape = tf.shape(images)
    small = tf.debugging.Assert(shape[-3] * shape[-2] <= MOST_PIXELS, ["image 0: more than 10000 pixels"])
    with tf.control_dependencies([small]):
        return tf.identity(images)


def write_tflite(path, size=SIZE, levels=False, name="image", signature="serving_default"):
    """Writes a .tflite for one size: of uint8 where ``levels``, else of float32."""

    def translate(image):
        if not levels:
            return {name: _contrast(image, 3)}
        floats = tf.cast(image, tf.float32) / 127.5 - 1.0
        return {name: tf.cast(tf.round(_contrast(floats, 3) * 127.5 + 127.5), tf.uint8)}

    spec = tf.TensorSpec([1, *size, 3], tf.uint8 if levels else tf.float32, name=name)
    module = tf.Module()
    module.translate = tf.function(translate, input_signature=[spec])
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={signature: module.translate})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[signature])
        path.write_bytes(converter.convert())
    return path


# ---------------------------------------------------------------- servers


@contextlib.contextmanager
def serving(answer):
    """A web server on loopback.

    Args:
        answer: from the method, the path and the body of a request to the status, the headers and the body
            of the answer, or ``None`` where it has sent what it wanted through the handler, its first
            argument.

    Yields:
        The URL of a model there.
    """

    class Handler(BaseHTTPRequestHandler):
        def _handle(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with contextlib.suppress(ConnectionError):
                given = answer(self, self.command, self.path, body)
                if given is None:
                    return
                status, headers, content = given
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(content))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

        do_GET = do_POST = _handle  # noqa: N815

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/models/facades"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def noise(height, width, channels=3, seed=0, dtype=np.uint8):
    """An image, most of it in the middle of the range, where the models above tell levels apart."""
    top = np.iinfo(dtype).max
    values = np.random.default_rng(seed).normal(top / 2, top / 40, (height, width, channels))
    return np.clip(values, 0, top).astype(dtype)
