"""The download against a server on this machine that behaves well, badly, or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import gzip
import http.server
import shutil
import socket
import threading
from collections.abc import Iterator

import pytest

from pix2pix_tf.data import download
from pix2pix_tf.data.download import download_archive
from pix2pix_tf.errors import ConfigError, SystemFault

CONTENT = gzip.compress(bytes(range(256)) * 400, compresslevel=0)


@dataclasses.dataclass
class Server:
    """What the server does, and what it was asked."""

    content: bytes = CONTENT
    ranges: bool = True
    etag: str | None = '"first"'
    announced: int | None = None
    longest: int | None = None
    encoding: str | None = None
    statuses: list[int] = dataclasses.field(default_factory=list)
    cuts: list[int] = dataclasses.field(default_factory=list)
    asked: list[dict[str, str]] = dataclasses.field(default_factory=list)
    paths: list[str] = dataclasses.field(default_factory=list)
    url: str = ""

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        self.asked.append(dict(request.headers))
        self.paths.append(request.path)
        if self.statuses:
            request.send_error(self.statuses.pop(0))
            return
        start = self._start(request)
        body = self.content[start:][: self.longest if start else None]
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(self.announced or len(body)))
        if start:
            last, total = start + len(body) - 1, len(self.content)
            request.send_header("Content-Range", f"bytes {start}-{last}/{total}")
        if self.etag:
            request.send_header("ETag", self.etag)
        if self.encoding:
            request.send_header("Content-Encoding", self.encoding)
        request.end_headers()
        request.wfile.write(body[: self.cuts.pop(0)] if self.cuts else body)

    def _start(self, request: http.server.BaseHTTPRequestHandler) -> int:
        wanted = request.headers.get("Range")
        same = request.headers.get("If-Range") in (None, self.etag)
        return int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges and same else 0


@contextlib.contextmanager
def serving(server: Server) -> Iterator[Server]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            server.answer(self)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        server.url = f"http://127.0.0.1:{listening.server_port}/facades.tar.gz"
        try:
            yield server
        finally:
            listening.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def _quick_and_direct(monkeypatch):
    monkeypatch.setattr(download, "PAUSES_SECONDS", (0.01, 0.01))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def target(tmp_path):
    return tmp_path / "cache" / "facades.tar.gz"


def leftovers(target):
    return sorted(path.name for path in target.parent.iterdir() if ".part" in path.name)


def test_cut_connection_is_resumed_where_it_broke(target):
    with serving(Server(cuts=[50_000, 20_000])) as server:
        assert download_archive(server.url, target) == target
        download_archive(server.url, target)  # is there
    assert target.read_bytes() == CONTENT
    assert [asked.get("Range") for asked in server.asked] == [None, "bytes=50000-", "bytes=70000-"]
    assert server.asked[1]["If-Range"] == '"first"'
    assert not leftovers(target)


@pytest.mark.parametrize(
    ("server", "ranges"),
    [
        ({"ranges": False, "cuts": [50_000]}, [None, "bytes=50000-"]),
        ({"cuts": [50_000], "longest": 30_000}, [None, "bytes=50000-", "bytes=80000-"]),
        ({"encoding": "gzip"}, [None]),
        ({"statuses": [503, 500]}, [None, None, None]),
    ],
    ids=["without ranges", "shorter ranges than asked for", "called an encoding", "busy"],
)
def test_whole_file_arrives_from_other_servers(target, server, ranges):
    with serving(Server(**server)) as server:
        download_archive(server.url, target)
    assert target.read_bytes() == CONTENT
    assert [asked.get("Range") for asked in server.asked] == ranges


def test_next_program_continues_what_the_last_one_left(target):
    with serving(Server(cuts=[50_000, 0, 0, 0, 0])) as server:
        with pytest.raises(SystemFault, match=r"0\.1 MB"):
            download_archive(server.url, target)
        assert not target.exists()
        server.cuts.clear()
        server.asked.clear()
        download_archive(server.url, target)
    assert target.read_bytes() == CONTENT
    assert server.asked[0]["Range"] == "bytes=50000-"


@pytest.mark.parametrize("etag", ['"second"', None])
def test_changed_file_is_not_mixed_with_the_old_one(target, etag):
    changed = gzip.compress(b"another file" * 9000, compresslevel=0)
    server = Server(cuts=[50_000, 0, 0, 0, 0], etag='"first"' if etag else None)
    with serving(server), pytest.raises(SystemFault):
        download_archive(server.url, target)
    part = target.with_name(target.name + ".part")
    assert part.stat().st_size == 50_000
    old_url = server.url
    with serving(Server(content=changed, etag=etag)) as server:
        state = target.with_name(target.name + ".part.json")
        state.write_text(state.read_text().replace(old_url, server.url))
        download_archive(server.url, target)
    assert target.read_bytes() == changed


def test_part_from_another_address_is_not_continued(target):
    with serving(Server(cuts=[50_000, 0, 0, 0, 0])) as server, pytest.raises(SystemFault):
        download_archive(server.url, target)
    with serving(Server()) as server:
        download_archive(server.url, target)
    assert "Range" not in server.asked[0]
    assert target.read_bytes() == CONTENT


def fault_of(url, target):
    with pytest.raises(SystemFault) as fault:
        download_archive(url, target)
    message = str(fault.value)
    assert "\n" not in message
    assert all(piece in message for piece in (url, "archive", "mirror-url"))
    assert not target.exists()
    return message


@pytest.mark.parametrize(
    ("server", "problem", "attempts"),
    [
        ({"statuses": [404]}, "404", 1),
        ({"content": b"<html>Please log in</html>"}, "login", 1),
        ({"ranges": False, "announced": len(CONTENT) + 5}, "closed", 3),
    ],
    ids=["missing", "login page", "shorter than announced"],
)
def test_server_without_the_whole_file_is_reported(target, server, problem, attempts):
    with serving(Server(**server)) as server:
        assert problem in fault_of(server.url, target)
    assert len(server.asked) == attempts


def test_offline_is_reported_at_once(target, monkeypatch):
    monkeypatch.setattr(download, "PAUSES_SECONDS", (60.0,))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for host in (f"127.0.0.1:{port}", "nowhere.invalid"):
        assert "offline" in fault_of(f"http://{host}/facades.tar.gz", target)


def test_silent_server_is_given_up(target, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        message = fault_of(f"http://127.0.0.1:{silent.getsockname()[1]}/facades.tar.gz", target)
    assert "offline" not in message


@pytest.mark.parametrize(
    "response",
    [
        b"200 OK\r\nContent-Length: \xb2",
        b"200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-4",
        b"206 OK\r\nContent-Range: bytes 0-3/" + b"9" * 5000,
        b"302 OK\r\nLocation: http://[",
        b"302 OK\r\nLocation: http://a/\xff",
    ],
)
def test_malformed_response_is_reported(target, response):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer():
            with listening.accept()[0] as connection:
                connection.recv(1 << 16)
                connection.sendall(b"HTTP/1.1 " + response + b"\r\n\r\n\x1f\x8b")

        threading.Thread(target=answer, daemon=True).start()
        problem = fault_of(f"http://127.0.0.1:{listening.getsockname()[1]}/facades.tar.gz", target)
    assert "invalid response" in problem


def test_address_must_be_http(target):
    with pytest.raises(ConfigError, match="mirror-url"):
        download_archive("ftp://example.org/facades.tar.gz", target)


def test_too_small_disk_is_refused_before_filling_it(target, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
    with serving(Server()) as server, pytest.raises(SystemFault, match="data-dir") as fault:
        download_archive(server.url, target)
    assert str(target.parent) in str(fault.value)
    assert not leftovers(target)


def test_place_that_cannot_be_written_is_named(target, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SystemFault, match=str(tmp_path / "file")):
        download_archive("http://127.0.0.1:9/facades.tar.gz", tmp_path / "file" / "facades.tar.gz")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download.os, "replace", full)
    with serving(Server()) as server, pytest.raises(SystemFault, match=str(target.parent)):
        download_archive(server.url, target)
