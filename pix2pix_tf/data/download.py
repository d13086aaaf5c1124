"""Brings one archive over HTTP into the cache: resumed where it was cut, whole or not there at all."""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import shutil
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pix2pix_tf.errors import ConfigError, SystemFault
from pix2pix_tf.files import explain_disk_faults

TIMEOUT_SECONDS = 30.0
PAUSES_SECONDS = (1.0, 2.0, 4.0, 8.0)
"""How long to wait before each new try; a try that brought something new starts the row again."""

_CHUNK_BYTES = 1 << 18
_GZIP_MAGIC = b"\x1f\x8b"
_OTHER_WAYS = "give a local copy with --archive FILE, or another server with --mirror-url URL"


class _ConnectionCutError(Exception):
    """The transfer stopped for a reason that may pass."""


@dataclasses.dataclass(frozen=True)
class _Part:
    """What earlier tries left of a file.

    Args:
        size: bytes that are there.
        url: where they came from.
        validator: the server's ETag or Last-Modified for If-Range, empty where it gave neither.
        total: the bytes of the whole file, where the server said.
    """

    size: int = 0
    url: str = ""
    validator: str = ""
    total: int | None = None


def download_archive(url: str, target: Path, show_progress: bool = True) -> Path:
    """Downloads a ``.tar.gz``, unless it is already there.

    What came before a cut stays in ``target`` + ``.part`` and is continued by the next try or the next
    program, if the server still has the same file; ``target`` itself appears whole.

    Args:
        url: an ``http`` or ``https`` address.
        target: the file to make; its folders are made too.
        show_progress: show a bar, if stderr is a terminal.

    Returns:
        ``target``.

    Raises:
        ConfigError: the address isn't one of HTTP.
        SystemFault: no connection, no such file, no space or no permission.
    """
    import filelock

    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise ConfigError(f"--mirror-url: {url!r} isn't an address that begins with http:// or https://")
    with explain_disk_faults(target.parent, "another --data-dir"):
        target.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{target}.lock"):
            if not target.exists():
                part = _beside(target, ".part")
                _fetch(url, part, show_progress)
                _refuse_other_than_gzip(url, part)
                os.replace(part, target)
                _state_file(part).unlink(missing_ok=True)
    return target


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _state_file(part: Path) -> Path:
    return _beside(part, ".json")


def _fetch(url: str, part: Path, show_progress: bool) -> None:
    """Tries until ``part`` is whole, or nothing new came for too many tries in a row."""
    most, failures = _read_part(part, url).size, 0
    received_any = False
    with _progress_bar(url, show_progress) as bar:
        while True:
            try:
                _continue(url, part, bar)
                return
            except _ConnectionCutError as cut:
                reason = str(cut)
            size = _read_part(part, url).size
            received_any = received_any or size > most
            failures = 1 if size > most else failures + 1
            most = max(most, size)
            # Who is offline should learn it at once; who was online a moment ago may be again.
            if failures > len(PAUSES_SECONDS) or not (received_any or _may_pass(reason)):
                raise SystemFault(_lost(url, reason, most))
            time.sleep(PAUSES_SECONDS[failures - 1])


def _may_pass(reason: str) -> bool:
    return not reason.startswith("no connection")


def _lost(url: str, reason: str, size: int) -> str:
    kept = f"; the same command goes on after the {_megabytes(size)} that came" if size else ""
    if not _may_pass(reason):
        return f"can't reach {url} ({reason}): this machine may be offline{kept}; {_OTHER_WAYS}"
    return f"can't download {url} ({reason}){kept}; {_OTHER_WAYS}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _progress_bar(url: str, show_progress: bool) -> Any:
    from tqdm import tqdm

    return tqdm(
        desc=url.rsplit("/", 1)[-1],
        unit="B",
        unit_scale=True,
        # None is tqdm's word for "only on a terminal".
        disable=None if show_progress else True,
    )


def _read_part(part: Path, url: str) -> _Part:
    """Returns what can be continued: nothing, when it is unknown where the bytes came from."""
    try:
        state = json.loads(_state_file(part).read_text("utf-8"))
        found = _Part(part.stat().st_size, state["url"], state["validator"], state["total"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return _Part()
    return found if found.url == url and (found.validator or found.total is not None) else _Part()


def _discard(part: Path) -> None:
    _state_file(part).unlink(missing_ok=True)
    part.unlink(missing_ok=True)


def _continue(url: str, part: Path, bar: Any) -> None:
    """Makes one try: goes on after what is there if the server agrees, else begins again."""
    found = _read_part(part, url)
    if found.total is not None and found.size == found.total:
        return
    with _request(url, found, part) as response:
        start, total = _extent(response, found, part)
        _refuse_without_space(part, (total or start) - start)
        state = {"url": url, "validator": _validator(response), "total": total}
        if start == 0:
            # Old bytes must not be taken for a piece of the file that the new state describes.
            _discard(part)
        _state_file(part).write_text(json.dumps(state), "utf-8")
        bar.reset(total)
        bar.update(start)
        with open(part, "ab" if start else "wb") as file:
            for chunk in _chunks(response):
                file.write(chunk)
                bar.update(len(chunk))
    size = part.stat().st_size
    if total is not None and size != total:
        raise _ConnectionCutError(f"the connection ended after {size} of {total} bytes")


def _request(url: str, found: _Part, part: Path) -> Any:
    # A proxy that compresses on the way would make lengths and offsets meaningless.
    headers = {"User-Agent": "pix2pix-tf", "Accept-Encoding": "identity"}
    if found.size:
        headers["Range"] = f"bytes={found.size}-"
        if found.validator:
            headers["If-Range"] = found.validator
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            _discard(part)
            raise _ConnectionCutError("the file on the server changed") from error
        if error.code >= 500 or error.code in (408, 429):
            raise _ConnectionCutError(f"HTTP {error.code} {error.reason}") from error
        raise SystemFault(
            f"can't download {url} (HTTP {error.code} {error.reason}); {_OTHER_WAYS}"
        ) from error
    except urllib.error.URLError as error:
        raise _connection_error(url, error.reason) from error
    except (OSError, http.client.HTTPException) as error:
        raise _connection_error(url, error) from error


def _connection_error(url: str, reason: object) -> Exception:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return SystemFault(f"the certificate of {url} isn't trusted ({reason.verify_message}); {_OTHER_WAYS}")
    if isinstance(reason, TimeoutError):
        return _ConnectionCutError("the server doesn't answer in time")
    if isinstance(reason, ConnectionResetError | http.client.HTTPException):
        return _ConnectionCutError(f"the server closed the connection: {reason}")
    return _ConnectionCutError(f"no connection: {getattr(reason, 'strerror', None) or reason}")


def _extent(response: Any, found: _Part, part: Path) -> tuple[int, int | None]:
    """Returns where the bytes of the answer begin in the file, and the size of the whole file."""
    length = response.headers.get("Content-Length")
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        return 0, int(length) if length is not None else None
    # "bytes 1000-1999/2000", or "/*" for an unknown size
    span, _, size = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    total = int(size) if size.isdigit() else None
    if not span.startswith(f"{found.size}-") or (found.total is not None and total != found.total):
        _discard(part)
        raise _ConnectionCutError("the file on the server changed")
    return found.size, total


def _validator(response: Any) -> str:
    """Returns what If-Range takes: a strong ETag, else the date."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _chunks(response: Any) -> Iterator[bytes]:
    while True:
        try:
            chunk = response.read(_CHUNK_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise _ConnectionCutError(f"the connection broke: {error}") from error
        if not chunk:
            return
        yield chunk


def _refuse_without_space(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise SystemFault(
            f"not enough space in {part.parent}: {_megabytes(needed)} to come, {_megabytes(free)} free; "
            "free some, or use --data-dir elsewhere"
        )


def _refuse_other_than_gzip(url: str, part: Path) -> None:
    with open(part, "rb") as file:
        begins = file.read(len(_GZIP_MAGIC))
    if begins != _GZIP_MAGIC:
        _discard(part)
        raise SystemFault(
            f"{url} answered with something else than a .tar.gz (a network's login page?); {_OTHER_WAYS}"
        )
