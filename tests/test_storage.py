"""Folders in object stores, against a real one on loopback: whole or not at all, whatever fails."""

import contextlib
import json
from pathlib import Path

import pytest

from pix2pix_tf import storage
from pix2pix_tf.errors import ConfigError, DataError, SystemFault
from pix2pix_tf.files import UNFINISHED
from pix2pix_tf.storage import StoredRun, address_of, local_folder
from tests.data.folders import open_folder
from tests.stores import object_store


@pytest.fixture
def store(tmp_path):
    with object_store(tmp_path / "cache") as found:
        yield found


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("s3://bucket/run", "s3://bucket/run"),
        (Path("s3://bucket/run"), "s3://bucket/run"),
        ("gs://bucket/a b/Fassaden 한글/", "gs://bucket/a b/Fassaden 한글"),
        ("runs/facades", None),
        ("/data/s3:/x", None),
        (r"C:\runs\facades", None),
        ("C:/runs/facades", None),
        ("http://host:8501/v1/models/NAME", None),
    ],
)
def test_address_of(path, address):
    assert address_of(path) == address


def writer_of(address="s3://bucket/run", files=None):
    """A run that is written, with files that were published."""
    writer = StoredRun(address, writing=True)
    writer.fetch()
    if files is not None:
        write(writer.copy, files)
        writer.publish()
    return writer


def fetched(address="s3://bucket/run"):
    reader = StoredRun(address)
    assert reader.fetch()
    return contents(reader.copy)


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def write(folder, files):
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        path.unlink()
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


OLD = {"config.json": "1", "checkpoints/step_1/state": "one", "checkpoints/step_2/state": "two"}
NEW = {
    "config.json": "1",
    "checkpoints/step_2/state": "two",
    "checkpoints/step_3/state": "three",
    "a b/ü": "",
}


def test_published_folder_is_fetched(store):
    writer, reader = StoredRun("s3://bucket/run", writing=True), StoredRun("s3://bucket/run")
    assert not reader.fetch()
    assert not writer.fetch()
    for files in (OLD, NEW):
        write(writer.copy, files)
        writer.publish()
        assert reader.fetch()
        assert contents(reader.copy) == files
    assert not store.exists("bucket/run/checkpoints/step_1/state")


def test_writer_starts_from_the_published_folder(store, tmp_path, monkeypatch):
    writer = writer_of(files=OLD)
    write(writer.copy, {**NEW, "config.json": "changed since"})
    for cache in ("cache", "elsewhere"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / cache))
        assert contents(writer_of().copy) == OLD


def test_publishing_reads_only_what_changed(store, monkeypatch):
    writer = writer_of(files=OLD)
    digest, read = storage._digest, []
    monkeypatch.setattr(storage, "_digest", lambda path: (read.append(path.name), digest(path))[1])
    (writer.copy / "new").write_text("three")
    writer.publish()
    writer.publish()
    assert read == ["new"]


class Failing:
    """A store that fails at one of its writing operations, before it or after it."""

    def __init__(self, store, at, after):
        self._store, self._left, self._after = store, at, after
        self.failed = False

    def __getattr__(self, name):
        operation = getattr(self._store, name)
        if name not in ("put_file", "pipe_file", "rm_file"):
            return operation

        def fail_in_time(*arguments):
            self._left -= 1
            if self._left < 0:
                self.failed = True
                if self._after and self._left == -1:
                    operation(*arguments)
                raise OSError("no route to host")
            return operation(*arguments)

        return fail_in_time


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("retried", [False, True])
def test_failed_publication_is_atomic(store, monkeypatch, after, retried):
    find_store = storage._store
    monkeypatch.setattr(storage, "_PAUSES", (0.0,) if retried else ())
    for at in range(20):
        address = f"s3://bucket/run{at}"
        writer = writer_of(address, OLD)
        write(writer.copy, NEW)
        failing = Failing(store, at, after)
        stores = iter([failing, store])
        with monkeypatch.context() as patch:
            patch.setattr(
                storage, "_store", lambda address, stores=stores: (next(stores), find_store(address)[1])
            )
            with contextlib.nullcontext() if retried or at == 4 else pytest.raises(SystemFault):
                writer.publish()
        assert fetched(address) in ([NEW] if retried else [OLD, NEW])
        writer_of(address)
        writer_of(address, NEW)
        assert fetched(address) == NEW
        if not failing.failed:
            break
    assert at == 4  # two new files, the list, and one that is gone


def test_concurrent_writer_is_detected(store, tmp_path, monkeypatch):
    one = writer_of()
    write(one.copy, OLD)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    other = writer_of()
    write(other.copy, NEW)
    digest = storage._digest

    def publish_meanwhile(path):
        monkeypatch.setattr(storage, "_digest", digest)
        other.publish()
        return digest(path)

    monkeypatch.setattr(storage, "_digest", publish_meanwhile)
    with pytest.raises(SystemFault):
        one.publish()
    assert fetched() == NEW


def test_damaged_file_in_a_store_is_refused(store, tmp_path, monkeypatch):
    writer_of(files={**OLD, "tensorboard/events": "a"})
    store.pipe_file("bucket/run/tensorboard/events", b"ab")  # has grown since: the writer was killed
    assert StoredRun("s3://bucket/run").fetch()
    store.pipe_file("bucket/run/checkpoints/step_2/state", b"tw")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    with pytest.raises(SystemFault):
        StoredRun("s3://bucket/run").fetch()


def test_leftovers_of_a_killed_writer_are_removed(store):
    store.pipe_file("bucket/run/checkpoints/step_9/state", b"orphan")
    store.pipe_file("bucket/run/another/checkpoints/step_1/state", b"of a run below")
    writer = StoredRun("s3://bucket/run", writing=True)
    assert not writer.fetch()
    write(writer.copy, OLD)
    writer.publish()
    assert not store.exists("bucket/run/checkpoints/step_9/state")
    assert store.exists("bucket/run/another/checkpoints/step_1/state")


def test_reader_during_a_publication_gets_the_new_files(store, tmp_path, monkeypatch):
    writer = writer_of(files=OLD)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    reader = StoredRun("s3://bucket/run")
    get = storage._get
    fetched = []

    def get_late(store, source, target):
        if not fetched:
            write(writer.copy, NEW)
            writer.publish()
            fetched.append(source)
        get(store, source, target)

    monkeypatch.setattr(storage, "_get", get_late)
    reader.fetch()
    assert contents(reader.copy) == NEW


def test_stopped_fetch_resumes(store, monkeypatch):
    writer_of(files=OLD)
    reader = StoredRun("s3://bucket/run")
    reader.fetch()
    (reader.copy / "config.json").unlink()  # as if it had been killed before the last file
    write(reader.copy / "checkpoints/step_7", {"state": "of an earlier list", f".index{UNFINISHED}": ""})
    fetched = []
    get = storage._get
    monkeypatch.setattr(storage, "_get", lambda *of: (fetched.append(of[1]), get(*of)))
    reader.fetch()
    assert contents(reader.copy) == OLD
    assert not (reader.copy / "checkpoints/step_7").exists()
    assert fetched == ["bucket/run/config.json"]


def test_folder_without_a_list(store):
    for name, text in OLD.items():
        store.pipe_file(f"bucket/run/{name}", text.encode())
    for writing in (False, True):
        folder = StoredRun("s3://bucket/run", writing)
        assert folder.fetch()
        assert contents(folder.copy) == OLD
    write(folder.copy, NEW)
    folder.publish()
    assert fetched() == NEW


def test_path_traversal_is_refused(store, tmp_path):
    store.pipe_file("bucket/run/x/../../../escaped", b"x")
    with pytest.raises(DataError):
        local_folder("s3://bucket/run")
    listed = {"files": {"../../escaped": "1"}, "writer": "somebody"}
    store.pipe_file("bucket/other/files.json", json.dumps(listed).encode())
    with pytest.raises(DataError):
        StoredRun("s3://bucket/other").fetch()
    assert not list(tmp_path.rglob("escaped"))


def test_data_set_in_a_store_is_synchronized(store, tmp_path, save_image):
    for number in range(3):
        save_image(tmp_path / f"pairs/train/{number}.png", 80, 30, seed=number)
    store.put(str(tmp_path / "pairs"), "bucket/pairs", recursive=True)
    store.pipe_file("bucket/pairs/train/", b"")  # as consoles make for folders
    folder = local_folder("s3://bucket/pairs")
    assert folder.name == "pairs"
    found = open_folder(folder)
    assert found.identity() == open_folder(tmp_path / "pairs").identity()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.png")}
    save_image(tmp_path / "new.png", 80, 30, seed=9)
    store.put_file(str(tmp_path / "new.png"), "bucket/pairs/train/2.png")
    store.rm_file("bucket/pairs/train/0.png")
    local_folder("s3://bucket/pairs")
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*.png")}
    assert {path.name for path in after} == {"1.png", "2.png"}
    assert [path.name for path in after if after[path] == before[path]] == ["1.png"]
    assert (folder / "train/2.png").read_bytes() == (tmp_path / "new.png").read_bytes()


def test_missing_addresses_are_reported(store, monkeypatch):
    with pytest.raises(DataError):
        local_folder("s3://bucket/nothing")
    with pytest.raises(SystemFault):
        StoredRun("s3://no-such-bucket/run", writing=True).fetch()
    with pytest.raises(ConfigError):
        StoredRun("warp://b/run").fetch()


def test_unreachable_store_is_a_system_fault(store, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    type(store).clear_instance_cache()
    with pytest.raises(SystemFault):
        StoredRun("s3://elsewhere/run").fetch()
