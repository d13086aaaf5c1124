"""Downloads archives into the cache, resumes interrupted downloads, and publishes complete files only."""

from __future__ import annotations

import dataclasses
import hashlib
import http
import http.client
import json
import os
import shutil
import ssl
import time
import urllib.parse
from pathlib import Path
from typing import Any

import requests
import urllib3

from pix2pix_tf.errors import ConfigError, SystemFault
from pix2pix_tf.files import explain_disk_faults
from pix2pix_tf.web import anonymous, first_cause

TIMEOUT_SECONDS = 30.0
PAUSES_SECONDS = (1.0, 2.0, 4.0, 8.0)
"""Waiting times before retries; progress restarts the sequence."""

_CHUNK_BYTES = 1 << 18
_MAGIC = (b"\x1f\x8b", b"PK")  # first bytes of gzip and zip files
_OTHER_WAYS = "give a local copy with --archive FILE, or another server with --mirror-url URL"


class _CutError(Exception):
    """The transfer stopped; a retry may succeed."""


class _UnavailableError(Exception):
    """The file isn't available; retrying won't help."""


class _OfflineError(_CutError):
    """No connection was made."""


@dataclasses.dataclass(frozen=True)
class _Part:
    """State of a partial download, stored as JSON next to the file."""

    url: str = ""
    validator: str = ""  # for If-Range: the server's strong ETag or Last-Modified, if any
    total: int | None = None  # size of the whole file, if known
    size: int = 0  # bytes downloaded


def download_archive(url: str, target: Path, digest: str | None = None) -> Path:
    """Downloads a ``.tar.gz`` or ``.zip`` to ``target``, unless it exists; ``digest`` is its SHA-256.

    After an interruption, a ``.part`` file remains. A later attempt resumes it if the server's file hasn't
    changed.
    """
    import filelock

    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise ConfigError(f"--mirror-url: {url!r} must begin with http:// or https://")
    with explain_disk_faults(target.parent, "another --data-dir"):
        target.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{target}.lock"):
            if not target.exists():
                part = target.with_name(f"{target.name}.part")
                try:
                    _fetch(url, part)
                    _verify(url, part, digest)
                except _UnavailableError as error:
                    raise SystemFault(f"{error}; {_OTHER_WAYS}") from error
                os.replace(part, target)
                _state_of(part).unlink(missing_ok=True)
    return target


def _fetch(url: str, part: Path) -> None:
    """Retries until ``part`` is complete or too many attempts in a row make no progress."""
    from tqdm import tqdm

    name = url.rsplit("/", 1)[-1]
    before = most = _read_part(part, url).size
    failures = 0
    with tqdm(desc=name, unit="B", unit_scale=True, disable=None) as bar:
        while True:
            try:
                return _continue(url, part, bar)
            except _CutError as error:
                cut = error
            size = _read_part(part, url).size
            failures = 1 if size > most else failures + 1
            most = max(most, size)
            # Fail at once if offline from the start; after some progress, the connection may come back.
            hopeless = isinstance(cut, _OfflineError) and most == before
            if hopeless or failures > len(PAUSES_SECONDS):
                resumable = f"; the same command resumes after {_megabytes(most)}" if most else ""
                raise _UnavailableError(f"can't download {url} ({cut}){resumable}") from cut
            time.sleep(PAUSES_SECONDS[failures - 1])


def _continue(url: str, part: Path, bar: Any) -> None:
    """Makes one attempt; resumes if the server allows it, else starts over."""
    found = _read_part(part, url)
    if found.total is not None and found.size == found.total:
        return
    try:
        with _request(url, found) as response:
            start, total = _extent(response, found, part)
            _refuse_without_space(part, (total or start) - start)
            if start == 0:
                # The old bytes must not be combined with the new state.
                _discard(part)
            tag = response.headers.get("ETag", "")
            validator = tag if tag.startswith('"') else response.headers.get("Last-Modified", "")
            state = {"url": url, "validator": validator, "total": total}
            _state_of(part).write_text(json.dumps(state), "utf-8")
            bar.reset(total)
            bar.update(start)
            with open(part, "ab" if start else "wb") as file:
                # Not iter_content, which decodes content encodings and drops an incomplete chunk.
                for chunk in response.raw.stream(_CHUNK_BYTES, decode_content=False):
                    file.write(chunk)
                    bar.update(len(chunk))
        size = part.stat().st_size
        if total is not None and size != total:  # the server may send less than requested
            raise _CutError(f"received only {size} of {total} bytes")
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _explained(url, first_cause(error)) from error


def _request(url: str, found: _Part) -> requests.Response:
    # With compression by a proxy, lengths and offsets would not match the file's.
    headers = {"User-Agent": "pix2pix-tf", "Accept-Encoding": "identity"}
    if found.size:
        headers["Range"] = f"bytes={found.size}-"
        if found.validator:
            headers["If-Range"] = found.validator
    return requests.get(url, headers=headers, timeout=TIMEOUT_SECONDS, auth=anonymous, stream=True)


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


def _extent(response: requests.Response, found: _Part, part: Path) -> tuple[int, int | None]:
    """Returns the response's offset in the file, and the size of the whole file."""
    status = response.status_code
    if status == http.HTTPStatus.OK:
        length = response.headers.get("Content-Length")
        return 0, int(length) if length is not None else None
    if status in (http.HTTPStatus.PARTIAL_CONTENT, http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE):
        # "bytes 1000-1999/2000", or "/*" for an unknown size
        span, _, size = response.headers.get("Content-Range", "").partition("/")
        total = int(size) if size.isdigit() else None
        if span.startswith(f"bytes {found.size}-") and found.total in (None, total):
            return found.size, total
        _discard(part)
        raise _CutError("the file on the server changed")
    answer = f"HTTP {status} {response.reason}"
    if status >= 500 or status in (http.HTTPStatus.REQUEST_TIMEOUT, http.HTTPStatus.TOO_MANY_REQUESTS):
        raise _CutError(answer)
    raise _UnavailableError(f"can't download {response.url} ({answer})")


def _read_part(part: Path, url: str) -> _Part:
    """Returns the state of ``part``; empty if the source of its bytes is unknown."""
    try:
        found = _Part(**json.loads(_state_of(part).read_text("utf-8")), size=part.stat().st_size)
    except (FileNotFoundError, ValueError, TypeError):
        return _Part()
    return found if found.url == url and (found.validator or found.total is not None) else _Part()


def _state_of(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _discard(part: Path) -> None:
    _state_of(part).unlink(missing_ok=True)
    part.unlink(missing_ok=True)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _refuse_without_space(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise SystemFault(
            f"not enough space in {part.parent}: {_megabytes(needed)} needed, {_megabytes(free)} free; "
            "free some space, or use a different --data-dir"
        )


def _verify(url: str, part: Path, digest: str | None) -> None:
    with open(part, "rb") as file:
        begins = file.read(2)
        file.seek(0)
        if begins not in _MAGIC:
            problem = "a file that isn't an archive (possibly a network's login page)"
        elif digest is not None and hashlib.file_digest(file, "sha256").hexdigest() != digest:
            problem = f"a file whose SHA-256 isn't {digest}"
        else:
            return
    _discard(part)
    raise _UnavailableError(f"{url} answered with {problem}")
