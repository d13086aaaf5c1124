"""Downloads archives and small files into the cache; resumes interrupted downloads."""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import http
import http.client
import json
import os
import shutil
import ssl
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import requests
import urllib3

from pix2pix_tf.errors import ConfigError, SystemFault
from pix2pix_tf.files import explain_disk_faults, first_line
from pix2pix_tf.web import anonymous, first_cause

TIMEOUT_SECONDS = 30.0
PAUSES_SECONDS = (1.0, 2.0, 4.0, 8.0)
"""Waiting times before retries; progress restarts the sequence."""

LARGEST_FILE = 1 << 25
"""Most bytes read of a file that is held in memory; a larger file fails the check of its digest."""

_CHUNK_BYTES = 1 << 18
_HEADERS = {"User-Agent": "pix2pix-tf"}
_PORTAL = " (possibly a network's login page)"
_MAGIC = (b"\x1f\x8b", b"PK")  # first bytes of gzip and zip files
_OTHER_WAYS = "give a local copy with --archive PATH, or another server with --mirror-url URL"
_CONNECTIONS = 8
_T = TypeVar("_T")


class _CutError(Exception):
    """The transfer stopped; a retry may succeed."""


class _UnavailableError(Exception):
    """The file isn't available; retrying won't help."""


class _OfflineError(_CutError):
    """No connection was made."""


class _Part:
    """A partial download, whose state is stored as JSON next to the file."""

    def __init__(self, path: Path, url: str):
        self.path, self.url = path, url
        self.validator = ""  # for If-Range: the server's strong ETag or Last-Modified, if any
        self.total: int | None = None  # size of the whole file, if known
        self._state = path.with_name(f"{path.name}.json")
        try:
            stored = json.loads(self._state.read_text("utf-8"))
            if stored["url"] == url:
                self.validator, self.total = stored["validator"], stored["total"]
                return
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            pass
        self.discard()  # the source of its bytes is unknown

    @property
    def size(self) -> int:
        """Number of bytes downloaded; 0 if it can't be known whether the server's file has changed since."""
        can_resume = self.validator or self.total is not None
        return self.path.stat().st_size if can_resume and self.path.exists() else 0

    def save_state(self) -> None:
        state = {"url": self.url, "validator": self.validator, "total": self.total}
        self._state.write_text(json.dumps(state), "utf-8")

    def discard(self) -> None:
        self._state.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)
        self.validator, self.total = "", None


def download_archive(url: str, target: Path, digest: str | None = None) -> Path:
    """Downloads a ``.tar.gz`` or ``.zip`` to ``target``, unless it exists; ``digest`` is its SHA-256.

    After an interruption, a ``.part`` file remains. A later attempt resumes it if the server's file hasn't
    changed.
    """
    import filelock

    _refuse_other_protocols(url)
    with explain_disk_faults(target.parent, "another --data-dir"):
        target.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{target}.lock"):
            if not target.exists():
                part = _Part(target.with_name(f"{target.name}.part"), url)
                try:
                    _fetch(part)
                    _verify(part, digest)
                except _UnavailableError as error:
                    raise SystemFault(f"{error}; {_OTHER_WAYS}") from error
                os.replace(part.path, target)
                part.discard()
    return target


def download_files(server: str, digests: Mapping[str, str], folder: Path) -> Generator[tuple[str, bytes]]:
    """Downloads small files to ``folder`` and yields their paths and contents.

    Args:
        server: URL that the files' paths are relative to.
        digests: Beginning of the SHA-256 of each file, in hexadecimal, by path.
        folder: Cache; intact files in it are not downloaded again.
    """
    _refuse_other_protocols(server)
    received = 0  # bytes, without those that were in the cache

    def read(path: str) -> tuple[str, bytes]:
        nonlocal received
        url, target = f"{server.rstrip('/')}/{path}", folder / path
        content = target.read_bytes() if target.exists() else b""
        if not has_digest(content, digests[path]):
            try:
                content = _retry(lambda: _get(session, url), lambda: received, 0, url)
                if not has_digest(content, digests[path]):
                    raise _UnavailableError(f"{url} answered with a file of another SHA-256{_PORTAL}")
            except _UnavailableError as error:
                raise SystemFault(f"{error}; {_OTHER_WAYS}") from error
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            received += len(content)
        return path, content

    with requests.Session() as session, concurrent.futures.ThreadPoolExecutor(_CONNECTIONS) as threads:
        yield from threads.map(read, digests)  # in order; an error cancels what hasn't begun


def has_digest(content: bytes, digest: str) -> bool:
    return hashlib.sha256(content).hexdigest().startswith(digest)


def _refuse_other_protocols(url: str) -> None:
    if not url.lower().startswith(("http://", "https://")):
        raise ConfigError(f"--mirror-url: {url!r} must begin with http:// or https://")


def _fetch(part: _Part) -> None:
    """Downloads the rest of a file."""
    from tqdm import tqdm

    with tqdm(desc=part.url.rsplit("/", 1)[-1], unit="B", unit_scale=True, disable=None) as bar:
        _retry(lambda: _continue(part, bar), lambda: part.size, part.size, part.url)


def _retry(attempt: Callable[[], _T], received: Callable[[], int], before: int, url: str) -> _T:
    """Repeats an attempt until it succeeds, or too many in a row make no progress.

    ``received`` returns the number of bytes received so far, ``before`` is the number at the start.
    """
    most = received()
    failures = 0
    while True:
        try:
            return attempt()
        except _CutError as error:
            cut = error
        failures = 1 if received() > most else failures + 1
        most = max(most, received())
        # Fail at once if offline from the start; after some progress, the connection may come back.
        hopeless = isinstance(cut, _OfflineError) and most == before
        if hopeless or failures > len(PAUSES_SECONDS):
            resumable = f"; the same command resumes after {_megabytes(most)}" if most else ""
            raise _UnavailableError(f"can't download {url} ({cut}){resumable}") from cut
        time.sleep(PAUSES_SECONDS[failures - 1])


def _get(session: requests.Session, url: str) -> bytes:
    options: Any = {"timeout": TIMEOUT_SECONDS, "auth": anonymous, "stream": True}
    with _explain(url), session.get(url, headers=_HEADERS, **options) as response:
        if response.status_code != http.HTTPStatus.OK:
            raise _refusal(response)
        return response.raw.read(LARGEST_FILE, decode_content=True)


def _continue(part: _Part, bar: Any) -> None:
    """Makes one attempt; resumes if the server allows it, else starts over."""
    if part.size and part.size == part.total:
        return
    # With compression by a proxy, lengths and offsets would not match the file's.
    headers = {**_HEADERS, "Accept-Encoding": "identity"}
    if part.size:
        headers["Range"] = f"bytes={part.size}-"
        if part.validator:
            headers["If-Range"] = part.validator
    options: Any = {"timeout": TIMEOUT_SECONDS, "auth": anonymous, "stream": True}
    with _explain(part.url):
        with requests.get(part.url, headers=headers, **options) as response:
            start, total = _extent(response, part)
            needed, free = (total or start) - start, shutil.disk_usage(part.path.parent).free
            if needed > free:
                raise SystemFault(
                    f"not enough space in {part.path.parent}: {_megabytes(needed)} needed, "
                    f"{_megabytes(free)} free; free some space, or use a different --data-dir"
                )
            if start == 0:
                # The old bytes must not be combined with the new state.
                part.discard()
            tag = response.headers.get("ETag", "")
            part.validator = tag if tag.startswith('"') else response.headers.get("Last-Modified", "")
            part.total = total
            part.save_state()
            bar.reset(total)
            bar.update(start)
            with open(part.path, "ab" if start else "wb") as file:
                # Not iter_content, which decodes content encodings and drops an incomplete chunk.
                for chunk in response.raw.stream(_CHUNK_BYTES, decode_content=False):
                    file.write(chunk)
                    bar.update(len(chunk))
        if total is not None and part.size != total:  # the server may send less than requested
            raise _CutError(f"received only {part.size} of {total} bytes")


@contextlib.contextmanager
def _explain(url: str) -> Iterator[None]:
    """Converts errors of requests."""
    try:
        yield
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _explained(url, first_cause(error)) from error
    except ValueError as error:  # malformed headers, redirects or chunks
        problem = f"invalid response: {first_line(error)}"
        raise _UnavailableError(f"can't download {url} ({problem})") from error


def _explained(url: str, reason: BaseException) -> Exception:
    """Returns an error that explains why the response is missing or incomplete."""
    if isinstance(reason, ssl.SSLCertVerificationError):
        return _UnavailableError(f"the certificate of {url} isn't trusted ({reason.verify_message})")
    if isinstance(reason, TimeoutError):
        return _CutError("the server timed out")
    text = getattr(reason, "strerror", None) or str(reason)
    if isinstance(reason, ConnectionResetError | http.client.HTTPException):
        return _CutError(f"the server closed the connection: {text}")
    return _OfflineError(f"no connection: {text}; this machine may be offline")


def _extent(response: requests.Response, part: _Part) -> tuple[int, int | None]:
    """Returns the response's offset in the file, and the size of the whole file."""
    status = response.status_code
    if status == http.HTTPStatus.OK:
        length = response.headers.get("Content-Length")
        return 0, int(length) if length is not None else None
    if status in (http.HTTPStatus.PARTIAL_CONTENT, http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE):
        # "bytes 1000-1999/2000", or "/*" for an unknown size
        span, _, size = response.headers.get("Content-Range", "").partition("/")
        total = int(size) if size.isdigit() else None
        if span.startswith(f"bytes {part.size}-") and part.total in (None, total):
            return part.size, total
        part.discard()
        raise _CutError("the file on the server changed")
    raise _refusal(response)


def _refusal(response: requests.Response) -> Exception:
    """Returns an error for a response without content."""
    status = response.status_code
    answer = f"HTTP {status} {response.reason}"
    if status >= 500 or status in (http.HTTPStatus.REQUEST_TIMEOUT, http.HTTPStatus.TOO_MANY_REQUESTS):
        return _CutError(answer)
    return _UnavailableError(f"can't download {response.url} ({answer})")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _verify(part: _Part, digest: str | None) -> None:
    with open(part.path, "rb") as file:
        begins = file.read(2)
        file.seek(0)
        if begins not in _MAGIC:
            problem = f"a file that isn't an archive{_PORTAL}"
        elif digest is not None and hashlib.file_digest(file, "sha256").hexdigest() != digest:
            problem = f"a file whose SHA-256 isn't {digest}"
        else:
            return
    part.discard()
    raise _UnavailableError(f"{part.url} answered with {problem}")
