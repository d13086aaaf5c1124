"""The ways into the package that `fuzz` tries, each with the inputs that belong to it."""

from __future__ import annotations

import functools
import gzip
import http.server
import io
import json
import os
import random
import shutil
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from tests.campaigns import mutations
from tests.campaigns.mutations import HEIGHT, WIDTH


class Trial(NamedTuple):
    """An input, and what is done with it.

    Args:
        kind: of the input, its format first.
        change: what was done to it.
        run: hands it to the package.
        named: what a refusal names.
        refusals: what it may be refused by.
    """

    kind: str
    change: str
    run: Callable[[], object]
    named: str
    refusals: tuple[type[Exception], ...]


class Way(NamedTuple):
    """A way into the package.

    Args:
        name: of the way.
        share: of the campaign's inputs, beside those of the others.
        prepare: makes, in the process that tries, what makes a trial; it is given a folder for files.
        needs_models: whether it tries what `make_models` wrote to ``models`` beside that folder.
        by_kind: whether kinds of inputs are counted apart.
    """

    name: str
    share: float
    prepare: Callable[[Path], Callable[[random.Random], Trial]]
    needs_models: bool = True
    by_kind: bool = False


def import_package() -> None:
    """Imports what is tried, so that processes that are forked have it; nothing is computed."""
    os.environ.update(CUDA_VISIBLE_DEVICES="")
    from pix2pix_tf.quiet import import_frameworks

    import_frameworks()
    import pix2pix_tf.data.checking.decoding
    import pix2pix_tf.exporting.export
    import pix2pix_tf.inference.predict
    import pix2pix_tf.training.train  # noqa: F401


def make_models(models: Path) -> None:
    """Trains a small run for two steps, and exports it: ``run``, ``saved_model``, ``model.tflite``."""
    from pix2pix_tf import preset, replace, train
    from pix2pix_tf.exporting.export import export
    from pix2pix_tf.exporting.options import ExportOptions

    small = {
        "image_size": (64, 64),
        "base_filters": 8,
        "steps": 2,
        "precision": "float32",
        "evaluate_every": 1,
    }
    config = replace(preset("procedural"), **small, run_dir=models / "run")
    train(config, report=lambda line: None)
    export(ExportOptions(models / "run", models / "export", "model", allow_worse=True))
    [saved_model] = models.glob("export/**/saved_model.pb")
    saved_model.parent.rename(models / "saved_model")
    next(models.glob("export/**/*.tflite")).rename(models / "model.tflite")


# ---------------------------------------------------------------- images


_Run = Callable[[Path, random.Random], object]


def _images(
    open_run: Callable[[Path], _Run], left_out: tuple[str, ...] = ()
) -> Callable[[Path], Callable[[random.Random], Trial]]:
    """Prepares trials of a function of an image file.

    Args:
        open_run: makes the function.
        left_out: hostile files that it takes rightly, and long for.
    """

    def prepare(folder: Path) -> Callable[[random.Random], Trial]:
        from pix2pix_tf.errors import Pix2pixError

        sound, hostile = mutations.sound(), mutations.hostile()
        hostile = {kind: data for kind, data in hostile.items() if kind not in left_out}
        path = folder / "pictures" / "a.png"
        path.parent.mkdir(exist_ok=True)
        kinds = [*sound] * 3 + [*hostile]
        run = open_run(folder)

        def make(draw: random.Random) -> Trial:
            kind = draw.choice(kinds)
            change, data = "as it is", hostile.get(kind) or sound[kind]
            if kind in sound or draw.random() < 0.5:
                change, data = mutations.mutate(data, list(sound.values()), draw)
            path.write_bytes(data)
            return Trial(kind, change, lambda: run(path, draw), str(path), (Pix2pixError,))

        return make

    return prepare


def _read(path: Path, draw: random.Random) -> None:
    from pix2pix_tf.data import reading
    from pix2pix_tf.data.pixel_format import PixelFormat

    way = draw.choice(("inspect", "image", "input", "alpha"))
    channels, values = draw.choice((1, 3, 5)), draw.choice((None, (0.0, 1000.0)))
    if way == "inspect":
        reading.inspect_image(path)
    elif way == "image":
        reading.read_image(path, PixelFormat(channels, bits=draw.choice((8, 16)), value_range=values))
    elif way == "input":
        reading.read_input(path, PixelFormat(channels, value_range=values))
    else:
        reading.read_with_alpha(path)


def _check(path: Path, draw: random.Random) -> None:
    from pix2pix_tf.data.checking.decoding import check_image
    from pix2pix_tf.errors import DataError

    if problem := check_image(path, with_appearance=True).problem:
        raise DataError(problem)


def _train_on(path: Path, draw: random.Random) -> None:
    import tensorflow as tf

    from pix2pix_tf.data.pixel_format import PixelFormat
    from pix2pix_tf.data.reading import load_in_pipeline
    from pix2pix_tf.training.framework_errors import framework_errors_explained

    side = PixelFormat(
        bits=draw.choice((8, 16)),
        value_range=draw.choice((None, (0.0, 1000.0))),
        missing=draw.choice((None, 0)),
    )
    paths = tf.data.Dataset.from_tensors(str(path))
    with framework_errors_explained():
        next(iter(paths.map(lambda each: load_in_pipeline(each, side))))


def _predict(folder: Path) -> _Run:
    from pix2pix_tf import formats
    from pix2pix_tf.inference.options import PredictOptions
    from pix2pix_tf.inference.predict import predict

    formats.load = functools.cache(formats.load)
    return lambda path, _: predict(PredictOptions(folder.parent / "models" / "run", [path], folder / "out"))


def _evaluate(folder: Path) -> _Run:
    from pix2pix_tf import preset, replace
    from pix2pix_tf.data.sources import open_dataset
    from pix2pix_tf.evaluation.candidates import open_candidates

    pictures, pairs = folder / "pictures", folder / "pairs"
    for split in ("train", "val"):
        (pairs / split).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2 * WIDTH, HEIGHT)).save(pairs / split / "a.png")
    Image.new("RGB", (WIDTH, HEIGHT)).save(pictures / "a.png")
    config = replace(preset(str(pairs)), data_dir=folder / "data")
    [candidate] = open_candidates([str(pictures)], open_dataset(config), "val", config)
    target = np.zeros((HEIGHT, WIDTH, 3), np.uint8)

    return lambda *_: candidate.generate("a", target, target)


def _decode_in_graph(folder: Path) -> _Run:
    import tensorflow as tf

    from pix2pix_tf.errors import DataError
    from pix2pix_tf.formats.translator import refusal

    model = tf.saved_model.load(str(folder.parent / "models" / "saved_model"))

    def run(path: Path, _: random.Random) -> None:
        try:
            model.signatures["bytes"](image_bytes=tf.constant([path.read_bytes()]))
        except tf.errors.InvalidArgumentError as error:
            raise DataError(f"{path}: {refusal(str(error))}") from error

    return run


# ---------------------------------------------------------------- folders of several files


def _directory(
    name: str, patterns: dict[str, int], run: Callable[[Path], object]
) -> Callable[[Path], Callable[[random.Random], Trial]]:
    """Prepares trials of a function of a folder, or of a file, one file of which is changed at a time.

    Args:
        name: of what `make_models` wrote.
        patterns: which files are changed, and how often beside the others.
        run: the function.
    """

    def prepare(folder: Path) -> Callable[[random.Random], Trial]:
        from pix2pix_tf.errors import Pix2pixError

        whole = folder.parent / "models" / name
        place = folder / name
        found = [whole] if whole.is_file() else [path for path in whole.rglob("*") if path.is_file()]
        files = {path: path.read_bytes() for path in found}
        chosen = [(path, n) for pattern, n in patterns.items() for path in files if path.match(pattern)]
        others = list(files.values())

        def make(draw: random.Random) -> Trial:
            [(path, _)] = draw.choices(chosen, [share for _, share in chosen])
            is_json = path.suffix == ".json" and draw.random() < 0.7
            change, data = (
                _changed_json(files[path], draw) if is_json else mutations.mutate(files[path], others, draw)
            )
            shutil.rmtree(place, ignore_errors=True) if place.is_dir() else place.unlink(missing_ok=True)
            shutil.copytree(whole, place) if whole.is_dir() else None
            (place / path.relative_to(whole)).write_bytes(data)
            kind = path.name.partition("-0000")[0]
            return Trial(kind, change, lambda: run(place), str(folder), (Pix2pixError,))

        return make

    return prepare


_DEEP = "as deep as it goes"
_VALUES = (
    None, True, -1, 0, 1, 3, 7, 10**9, 2**63, 10**400, 0.5, 1e308, float("nan"), float("inf"),
    "", "x", "x" * 10**5, "../../x", "\0", "\ud800", "--run-dir\nline",
    [], [1], [64, 64], [10**9, 10**9], {}, {"a": 1}, _DEEP,
)  # fmt: skip


def _changed_json(data: bytes, draw: random.Random) -> tuple[str, bytes]:
    """Gives a value another, adds one, or takes one away, anywhere in a JSON file."""
    content = json.loads(data)
    places: list[tuple[dict[str, Any], str]] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            places.extend((value, key) for key in value)
            for each in value.values():
                walk(each)

    walk(content)
    parent, key = draw.choice(places)
    change = draw.choice(("another value", "another value", "another value", "added", "taken away"))
    if change == "taken away":
        del parent[key]
    else:
        key = key if change == "another value" else draw.choice(("x", "__class__", "base_filters", "a\nb"))
        parent[key] = draw.choice(_VALUES)
    shown = f"{key} {parent.get(key)!r:.40}"
    deep = "[" * 10**5 + "]" * 10**5
    return f"{change}: {shown}", json.dumps(content).replace(f'"{_DEEP}"', deep).encode()


def _open_run(path: Path) -> None:
    from pix2pix_tf import formats
    from pix2pix_tf.recording.jsonl import JsonLines, read_metrics
    from pix2pix_tf.runs import RunDirectory, open_run
    from pix2pix_tf.runs.checkpoints import read_checkpoint

    run = RunDirectory(path)
    run.read_config()
    run.image_count()
    JsonLines(run, first_step=1)
    read_metrics(run.validation_file)
    formats.find_model(f"{path}@best")
    best = run.best()
    read_checkpoint(open_run(path).checkpoint(None if best is None else best["step"]), [])
    checkpoint = open_run(path).checkpoint()
    read_checkpoint(checkpoint, _names(checkpoint))
    if random.random() < 0.2:
        formats.load(path)


def _names(checkpoint: Path) -> list[str]:
    import tensorflow as tf

    whole = next(checkpoint.parents[3].glob("models/run/checkpoints/*"))
    parts = ("state", "moments")
    return [name for part in parts for name, _ in tf.train.list_variables(str(whole / part))]


def _open_model(path: Path) -> None:
    from pix2pix_tf import formats

    picture = path.with_name("a.png")
    Image.new("RGB", (64, 64)).save(picture)
    formats.load(path).translate_file(picture)


# ---------------------------------------------------------------- archives


def _archives(folder: Path) -> Callable[[random.Random], Trial]:
    from pix2pix_tf.data.archives import extract_images
    from pix2pix_tf.errors import Pix2pixError

    path = folder / "maps.tar.gz"
    sound = _archive([])
    hostile = {
        "outside": _archive([_member("../outside.jpg", b"x")]),
        "absolute": _archive([_member("/tmp/outside.jpg", b"x")]),
        "link": _archive([_link("maps/train/l.jpg", "../../../etc/passwd", tarfile.SYMTYPE)]),
        "hard link": _archive([_link("maps/train/l.jpg", "maps/train/none.jpg", tarfile.LNKTYPE)]),
        "device": _archive([_link("maps/train/l.jpg", "", tarfile.CHRTYPE)]),
        "newline": _archive([_member("maps/train/a\nb.jpg", b"x")]),
        "bomb": _bomb(2**31),
    }
    plain = gzip.decompress(sound)

    def run() -> None:
        out = folder / "extracted"
        shutil.rmtree(out, ignore_errors=True)
        extract_images(path, out, "maps", ("train", "val"), {})
        assert all(place.is_relative_to(out) for place in folder.rglob("*.jpg"))

    def make(draw: random.Random) -> Trial:
        kind = draw.choice(["tar.gz", "tar", "tar", *hostile])
        change, data = "as it is", hostile.get(kind, sound)
        if kind == "tar":
            change, changed = mutations.mutate(plain, [plain], draw)
            data = gzip.compress(changed, 1)
        elif kind == "tar.gz" or (kind != "bomb" and draw.random() < 0.5):
            change, data = mutations.mutate(data, [sound], draw)
        path.write_bytes(data)
        return Trial(kind, change, run, str(path), (Pix2pixError,))

    return make


def _archive(extra: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for member, content in [*(_member(f"maps/train/{n}.jpg", b"jpeg" * 50) for n in range(3)), *extra]:
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def _member(name: str, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    return member, content


def _link(name: str, target: str, kind: bytes) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""


def _bomb(size: int) -> bytes:
    """An archive with one image of so many zeros."""
    member = tarfile.TarInfo("maps/train/0.jpg")
    member.size = size
    zeros = gzip.compress(bytes(2**24))
    return gzip.compress(member.tobuf()) + zeros * (size >> 24) + gzip.compress(bytes(10240))


# ---------------------------------------------------------------- what a server answers


class _Answers(http.server.BaseHTTPRequestHandler):
    """Answers every request with what is next in ``server.answers``."""

    def do_GET(self) -> None:
        self._answer("metadata")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer("predict")

    def _answer(self, which: str) -> None:
        status, headers, body = self.server.answers[which]  # type: ignore[attr-defined]
        self.wfile.write(b"HTTP/1.1 %s\r\n%s\r\n" % (status, headers) + body)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def _server(folder: Path) -> Callable[[random.Random], Trial]:
    from pix2pix_tf.errors import Pix2pixError
    from pix2pix_tf.formats.served import ServingTranslator

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/v1/models/m"
    sound = {"metadata": _metadata(), "predict": _prediction()}

    def run() -> None:
        ServingTranslator(url, timeout=4.0)(np.zeros((HEIGHT, WIDTH, 3), np.uint8))

    def make(draw: random.Random) -> Trial:
        which = draw.choice(list(sound))
        answers = {name: (b"200 OK", _length(body), body) for name, body in sound.items()}
        change, answers[which] = _changed_answer(sound[which], draw)
        server.answers = answers  # type: ignore[attr-defined]
        return Trial(which, change, run, url, (Pix2pixError,))

    return make


def _length(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n" % len(body)


def _changed_answer(body: bytes, draw: random.Random) -> tuple[str, tuple[bytes, bytes, bytes]]:
    change = draw.choice(("content", "content", "JSON", "JSON", "status", "headers", "bomb"))
    if change == "content":
        change, body = mutations.mutate(body, [body], draw)
    elif change == "JSON":
        change, body = _changed_json(body, draw)
    elif change == "status":
        status = draw.choice(
            (b"404 no", b"500 no", b"302 Found", b"204 none", b"999 x", b"-1 x", b"x", b"100 go")
        )
        return f"status {status!r}", (status, _length(body), body)
    elif change == "headers":
        headers = draw.choice((
            b"Content-Length: 99999999999\r\n", b"Content-Length: -1\r\n", b"Content-Length: x\r\n",
            b"Transfer-Encoding: chunked\r\n", b"Content-Encoding: gzip\r\n", b"Content-Encoding: br\r\n",
            b"Location: file:///etc/passwd\r\n", b"x: y\r\n" * 1000,
            b"x: " + b"y" * 10**6 + b"\r\n", b"\0\r\n",
        ))  # fmt: skip
        return f"headers {headers[:40]!r}", (b"200 OK", headers, body)
    elif change == "bomb":
        body = gzip.compress(bytes(2**24)) * 256
        return change, (b"200 OK", b"Content-Encoding: gzip\r\n" + _length(body), body)
    return change, (b"200 OK", _length(body), body)


def _metadata() -> bytes:
    def tensor(*shape: int) -> dict[str, Any]:
        return {"dtype": "DT_UINT8", "tensor_shape": {"dim": [{"size": str(size)} for size in shape]}}

    images = {"inputs": {"images": tensor(-1, -1, -1, 3)}, "outputs": {"images": tensor(-1, -1, -1, 3)}}
    files = {"inputs": {"image_bytes": tensor(-1)}, "outputs": {"image_bytes": tensor(-1)}}
    signatures = {"signature_def": {"serving_default": images, "bytes": files}}
    return json.dumps({"model_spec": {}, "metadata": {"signature_def": signatures}}).encode()


def _prediction() -> bytes:
    import base64

    file = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT)).save(file, "PNG")
    return json.dumps({"predictions": [{"b64": base64.b64encode(file.getvalue()).decode()}]}).encode()


_RUN = {"config.json": 60, "best.json": 10, "metrics.jsonl": 10, "state.index": 10, "state.data*": 15}
_SAVED_MODEL = {
    "saved_model.pb": 8,
    "variables.index": 4,
    "variables.data*": 4,
    "pixels.json": 2,
    "fingerprint.pb": 1,
}

WAYS = (
    Way("reader", 40, _images(lambda _: _read), False, by_kind=True),
    Way("data check", 12, _images(lambda _: _check), False),
    Way("training input", 8, _images(lambda _: _train_on), False),
    Way("pictures to evaluate", 6, _images(_evaluate), False),
    Way("predict", 5, _images(_predict, left_out=("PNG of 2^26 pixels",))),
    Way("signature bytes", 8, _images(_decode_in_graph)),
    Way("run directory", 10, _directory("run", _RUN, _open_run), by_kind=True),
    Way("SavedModel", 2, _directory("saved_model", _SAVED_MODEL, _open_model), by_kind=True),
    Way(".tflite", 6, _directory("model.tflite", {"*.tflite": 1}, _open_model)),
    Way("archive", 5, _archives, False),
    Way("server", 5, _server, False, by_kind=True),
)
