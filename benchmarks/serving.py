"""Requests a second, and how long each takes, of an exported SavedModel behind gRPC, under load.

    python benchmarks/serving.py runs/facades/export/facades [--seconds 15] [--requests 2000]

The folder is that of a SavedModel's versions. TensorFlow Serving serves it where
``tensorflow_model_server`` is on the PATH; elsewhere a server of 40 lines does (``--serve``), which speaks
the same PredictionService over the same SavedModel. It says which. Needs ``pip install -e ".[test]"``.

1, 8 and 32 clients ask for a bounded time, one image a request and eight. Every picture is compared with what
``predict`` paints of that image by the same SavedModel; every tenth request is a bad one, which must be
refused and take nothing down. Then follow so many requests more, before and after which the server's memory
is read. Clients and server share the cores.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import dataclasses
import io
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc
import numpy as np
import psutil
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

NAME, SIGNATURE, KEY = "model", "bytes", "image_bytes"
CLIENTS, IMAGES_A_REQUEST = (1, 8, 32), (1, 8)
BAD_EVERY = 10
BAD = (b"", b"no image", b"\x89PNG\r\n\x1a\n")
SIZES = ((256, 256), (200, 301), (256, 256), (64, 64))
_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def main() -> None:
    """Measures, or with ``--serve`` is the server."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--serve", type=int, metavar="PORT", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve is not None:
        serve(args.model, args.serve)
        return
    cases = known_pictures(args.model)
    with server(args.model) as (address, process, kind):
        print(f"server: {kind}")
        print("| clients | images a request | images/s | p50 ms | p99 ms | refused | wrong |")
        print("|---|---|---|---|---|---|---|")
        wrong = 0
        for images in IMAGES_A_REQUEST:
            for clients in CLIENTS:
                found = load(address, cases, clients, images, seconds=args.seconds)
                wrong += found.wrong
                print(f"| {clients} | {images} | {found.row()} |", flush=True)
        before = memory(process)
        found = load(address, cases, 8, 1, requests=args.requests)
        after = memory(process)
        wrong += found.wrong
        print(f"{args.requests} requests more: memory {before:.0f} MB → {after:.0f} MB, {found.wrong} wrong")
        if wrong or process.poll() is not None:
            sys.exit(1)


# ---------------------------------------------------------------- the server


class Predictions(prediction_service_pb2_grpc.PredictionServiceServicer):
    """TensorFlow Serving's PredictionService, of one model."""

    def __init__(self, model: Path):
        self.model = tf.saved_model.load(str(newest_version(model)))

    def Predict(self, request: predict_pb2.PredictRequest, context: grpc.ServicerContext):  # noqa: N802
        """Runs a signature."""
        signature = self.model.signatures[request.model_spec.signature_name]
        given = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
        try:
            outputs = signature(**given)
        except tf.errors.InvalidArgumentError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)
        response = predict_pb2.PredictResponse()
        for name, value in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value.numpy()))
        return response


def serve(model: Path, port: int) -> None:
    """Serves until it is killed."""
    workers = concurrent.futures.ThreadPoolExecutor(psutil.cpu_count())
    server = grpc.server(workers, options=_OPTIONS)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Predictions(model), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


def newest_version(model: Path) -> Path:
    """Returns the folder of the highest version, as servers take it."""
    return max((path for path in model.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))


@contextlib.contextmanager
def server(model: Path) -> Iterator[tuple[str, subprocess.Popen, str]]:
    """Runs a server; gives its address, its process and what it is."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    real = shutil.which("tensorflow_model_server")
    own = [sys.executable, __file__, str(model), "--serve", str(port)]
    served = [real or "", f"--port={port}", f"--model_name={NAME}", f"--model_base_path={model.resolve()}"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(served if real else own, stdout=log, stderr=log)
        try:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                grpc.channel_ready_future(channel).result(timeout=120)
            kind = "TensorFlow Serving" if real else "of this benchmark, as there is no TensorFlow Serving"
            yield f"127.0.0.1:{port}", process, kind
        finally:
            process.terminate()
            process.wait(20)


def memory(process: subprocess.Popen) -> float:
    """Returns the megabytes that a process holds."""
    return psutil.Process(process.pid).memory_info().rss / 1e6


# ---------------------------------------------------------------- the clients

Case = tuple[bytes, np.ndarray]


def known_pictures(model: Path, sizes: Sequence[tuple[int, int]] = SIZES) -> list[Case]:
    """Returns images as PNGs, of several sizes, and what ``predict`` paints of each by this SavedModel."""
    from pix2pix_tf import load as load_model

    paint, draw, cases = load_model(model), np.random.default_rng(0), []
    for height, width in sizes:
        blocks = draw.integers(0, 256, (height // 32 + 1, width // 32 + 1, paint.input.channels), np.uint8)
        image = blocks.repeat(32, 0).repeat(32, 1)[:height, :width]
        file = io.BytesIO()
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, "png")
        cases.append((file.getvalue(), paint(image)))
    return cases


@dataclasses.dataclass
class Found:
    """What a load has shown."""

    seconds: float
    images: int
    times: Sequence[float]
    refused: int
    wrong: int

    def row(self) -> str:
        """Returns it as cells of the table."""
        p50, p99 = np.percentile(self.times, [50, 99]) * 1000
        return f"{self.images / self.seconds:.1f} | {p50:.0f} | {p99:.0f} | {self.refused} | {self.wrong}"


def load(
    address: str,
    cases: Sequence[Case],
    clients: int,
    images: int,
    seconds: float = float("inf"),
    requests: int | None = None,
) -> Found:
    """Asks with several clients at once, each its next request when its last one is answered.

    Args:
        address: of the server.
        cases: what to ask for, and what to get.
        clients: how many.
        images: in a request.
        seconds: how long.
        requests: how many in all, bad ones not counted; as many as there is time for by default.
    """
    begin = time.perf_counter()
    each = None if requests is None else -(-requests // clients)
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        found = list(
            pool.map(lambda number: client(address, cases, number, images, seconds, each), range(clients))
        )
    return Found(
        seconds=time.perf_counter() - begin,
        images=sum(one.images for one in found),
        times=[taken for one in found for taken in one.times],
        refused=sum(one.refused for one in found),
        wrong=sum(one.wrong for one in found),
    )


def client(
    address: str, cases: Sequence[Case], number: int, images: int, seconds: float, requests: int | None
) -> Found:
    """Asks one request after the other."""
    found = Found(0, 0, [], 0, 0)
    times: list[float] = []
    end = time.perf_counter() + seconds
    with grpc.insecure_channel(address, options=_OPTIONS) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for at in range(10**9):
            if time.perf_counter() > end or len(times) == requests:
                break
            if at % BAD_EVERY == BAD_EVERY - 1:
                refused = is_refused(stub, BAD[(at // BAD_EVERY) % len(BAD)])
                found.refused, found.wrong = found.refused + refused, found.wrong + (not refused)
                continue
            chosen = [cases[(number + at + more) % len(cases)] for more in range(images)]
            begin = time.perf_counter()
            answer = stub.Predict(request_of([file for file, _ in chosen]), timeout=300)
            times.append(time.perf_counter() - begin)
            pictures = tf.make_ndarray(answer.outputs[KEY])
            found.images += images
            found.wrong += sum(
                not is_that(picture, expected)
                for picture, (_, expected) in zip(pictures, chosen, strict=True)
            )
    found.times = times
    return found


def request_of(files: Sequence[bytes]) -> predict_pb2.PredictRequest:
    """Returns a request for the pictures of image files."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = NAME, SIGNATURE
    request.inputs[KEY].CopyFrom(tf.make_tensor_proto(list(files), tf.string))
    return request


def is_refused(stub: prediction_service_pb2_grpc.PredictionServiceStub, file: bytes) -> bool:
    """Whether a bad image is refused as one, and not by a failure."""
    try:
        stub.Predict(request_of([file]), timeout=300)
    except grpc.RpcError as error:
        return error.code() == grpc.StatusCode.INVALID_ARGUMENT
    return False


def is_that(picture: bytes, expected: np.ndarray) -> bool:
    """Whether a PNG is the expected picture, but for one level."""
    found = np.asarray(Image.open(io.BytesIO(picture))).reshape(expected.shape).astype(int)
    return int(np.abs(found - expected).max()) <= 1


if __name__ == "__main__":
    main()
