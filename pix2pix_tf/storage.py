"""Folders in object stores, with local copies that the rest of the program uses.

A store can't rename a folder. To publish a folder atomically, the list of its files and digests is written
last. Readers ignore unlisted files. `fsspec` accesses the stores: s3:// with s3fs, gs:// with gcsfs, and
others.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import fsspec
from tqdm import tqdm

from pix2pix_tf.errors import ConfigError, DataError, Pix2pixError, SystemFault
from pix2pix_tf.files import UNFINISHED, first_line, locked, write_whole

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/+(.+)")  # pathlib changes gs://bucket to gs:/bucket
_SERVERS = ("http", "https", "file")
_LIST = "files.json"
_MARKER = "config.json"  # identifies a run without a list
_IMMUTABLE = "checkpoints/"  # folder whose files never change
_TRIES = 5
_PAUSES = (1.0, 4.0, 15.0, 40.0)  # seconds before retries of a failed write
_SAVE_LIST_EVERY = 10.0  # seconds
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}


def address_of(path: str | Path) -> str | None:
    """Returns an address in an object store, such as ``s3://bucket/run``, or ``None`` for a local path."""
    found = _ADDRESS.fullmatch(str(path).replace(os.sep, "/"))  # also on Windows
    return f"{found[1]}://{found[2].rstrip('/')}" if found and found[1] not in _SERVERS else None


def absolute(path: str | Path) -> str:
    """Returns an absolute path; addresses in object stores are unchanged."""
    return address_of(path) or str(Path(path).expanduser().resolve())


def local_folder(path: str | Path) -> Path:
    """Returns a local path; folders and files in object stores are fetched first."""
    address = address_of(path)
    if address is None:
        return Path(path).expanduser()
    stored = StoredFolder(address)
    if not stored.fetch():
        raise DataError(f"{address} doesn't exist; check the address")
    return stored.copy


class StoredFolder:
    """A folder or file in an object store, with a local copy in the cache.

    Attributes:
        address: the address in the store.
        copy: the local copy.
    """

    def __init__(self, address: str, kind: str = "fetched"):
        self.address = address
        root = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        digest = hashlib.sha256(address.encode()).hexdigest()
        self._cache = root / "pix2pix_tf" / "stores" / digest[:16]
        self.copy = self._cache / kind / address.rpartition("/")[2]
        self._list = self.copy.with_name(f"{self.copy.name}.{_LIST}")

    def fetch(self, only: str | None = None) -> bool:
        """Updates the copy, or one file of it, from the store; returns whether the folder exists."""
        lock = self.copy.with_name(f".{self.copy.name}.lock")
        with _converting_errors(self.address), locked(lock):
            store, root = _store(self.address)
            for _ in range(_TRIES):
                files = self._stored_files(store, root)
                try:
                    self._synchronize(store, root, files, only)
                    return bool(files)
                except FileNotFoundError:  # a writer deleted it meanwhile
                    continue
            raise SystemFault(
                f"{self.address} lacks listed files, or another process keeps changing it; try again"
            )

    def _stored_files(self, store: Any, root: str) -> dict[str, str]:
        """Returns the version of each stored file by name."""
        return _file_versions(store, root)

    def _synchronize(self, store: Any, root: str, files: Mapping[str, str], only: str | None) -> None:
        have = self._copied_files()
        changed = {name for name in have.keys() | files.keys() if have.get(name) != files.get(name)}
        if only is not None:
            changed &= {only}
        for name in have.keys() & changed:
            del have[name]
            (self.copy / name).unlink()
        for path in sorted(self.copy.rglob("*"), reverse=True):
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
        saved = time.monotonic()
        try:
            missing = [name for name in files if name in changed]
            title = f"fetching {self.address}"
            for name in tqdm(missing, title, unit="file", leave=False, delay=2, disable=None):
                self._fetch_file(store, root, name, files[name])
                have[name] = files[name]
                if time.monotonic() - saved > _SAVE_LIST_EVERY:
                    write_whole(self._list, json.dumps(have))
                    saved = time.monotonic()
        finally:  # an interrupted fetch continues here
            write_whole(self._list, json.dumps(have))

    def _copied_files(self) -> dict[str, str]:
        """Returns the version of each file of the copy by name; empty if it is unknown."""
        try:
            saved = json.loads(self._list.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            saved = {}
        known = {name: version for name, version in saved.items() if (self.copy / name).is_file()}
        return dict.fromkeys(self._local_files(), "") | known

    def _local_files(self) -> list[str]:
        """Returns the names of the copy's files, without hidden ones such as the lock."""
        files = (path for path in self.copy.rglob("*") if path.is_file())
        names = (path.relative_to(self.copy).as_posix() for path in files)
        return sorted(name for name in names if not name.startswith("."))

    def _fetch_file(self, store: Any, root: str, name: str, version: str) -> None:
        _get(store, f"{root}/{name}".rstrip("/"), _local_path(self.copy, name))


class StoredRun(StoredFolder):
    """A run in an object store. One process at a time may write it.

    Writers and readers have separate copies, with hard links between checkpoints, which never change. Other
    files can be newer than the list. A folder that was uploaded by hand has no list.
    """

    def __init__(self, address: str, writing: bool = False):
        kind, other = ("written", "read") if writing else ("read", "written")
        super().__init__(address, kind)
        self._other_copy = self._cache / other / self.copy.name
        self._writing = writing
        self._may_have_unlisted = True  # a killed writer can leave unlisted files
        self._name = uuid.uuid4().hex
        self._digests: dict[str, tuple[object, str]] = {}  # state and digest by file name
        self._before: str | None = None  # the writer of the fetched list

    def _stored_files(self, store: Any, root: str) -> dict[str, str]:
        """Returns the digest of each listed file by name."""
        listed = self._read_list(store, root)
        self._before = listed["writer"]
        return listed["files"]

    def _copied_files(self) -> dict[str, str]:
        if not self._writing:
            return super()._copied_files()
        return {name: self._cached_digest(name) for name in self._local_files()}

    def _fetch_file(self, store: Any, root: str, name: str, version: str) -> None:
        is_verified = self._before is not None and name.startswith(_IMMUTABLE)
        if is_verified and _try_hard_link(self._other_copy / name, _local_path(self.copy, name), version):
            return
        super()._fetch_file(store, root, name, version)
        if is_verified and self._cached_digest(name) != version:
            raise SystemFault(
                f"{self.address}/{name} is damaged, or another process is writing it; try again"
            )

    def publish(self) -> None:
        """Writes changed files to the store, then the list."""
        with _converting_errors(self.address):
            for pause in (*_PAUSES, None):
                try:
                    return self._publish()
                except Pix2pixError:
                    raise
                except Exception:
                    if pause is None:
                        raise
                    time.sleep(pause)

    def _publish(self) -> None:
        store, root = _store(self.address)
        listed = self._read_unchanged_list(store, root)
        may_have_unlisted, self._may_have_unlisted = self._may_have_unlisted, True
        files = {name: self._cached_digest(name) for name in self._local_files() if UNFINISHED not in name}
        for name, digest in files.items():
            if listed["files"].get(name) != digest:
                store.put_file(str(self.copy / name), f"{root}/{name}")
        self._read_unchanged_list(store, root)  # checked again, because uploads can take minutes
        store.pipe_file(f"{root}/{_LIST}", json.dumps({"files": files, "writer": self._name}).encode())
        stored = set(listed["files"])
        if may_have_unlisted:
            stored |= {name for name in _file_versions(store, root) if name.startswith(_IMMUTABLE)}
        for name in stored - files.keys():
            store.rm_file(f"{root}/{name}")
        self._may_have_unlisted = False

    def _read_unchanged_list(self, store: Any, root: str) -> dict[str, Any]:
        """Reads the list; raises if another process wrote it."""
        listed = self._read_list(store, root)
        if listed["writer"] not in (self._before, self._name):
            raise SystemFault(
                f"{self.address} was changed by another process; object stores have no locks, so train "
                "in a folder from one machine at a time"
            )
        return listed

    def _read_list(self, store: Any, root: str) -> dict[str, Any]:
        try:
            return json.loads(store.cat_file(f"{root}/{_LIST}"))
        except FileNotFoundError:
            found = _file_versions(store, root)
            return {"files": found if _MARKER in found else {}, "writer": None}

    def _cached_digest(self, name: str) -> str:
        """Returns a file's digest, cached until the file changes."""
        stat = (self.copy / name).stat()
        state = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
        if self._digests.get(name, (None,))[0] != state:
            self._digests[name] = state, _digest(self.copy / name)
        return self._digests[name][1]


def _file_versions(store: Any, root: str) -> dict[str, str]:
    """Returns the version of each file in a stored folder by name; it changes with the content."""
    changing = ("size", "ETag", "etag", "LastModified", "mtime")
    return {
        path.removeprefix(root).lstrip("/"): " ".join(str(info[key]) for key in changing if key in info)
        for path, info in store.find(root, detail=True).items()
        if not path.endswith("/")
        and (path != root or info["size"])  # web consoles represent folders by empty files
    }


def _local_path(folder: Path, name: str) -> Path:
    """Returns the local path of a stored file; raises if it is outside of the folder."""
    parts = name.split("/") if name else []  # the stored object can be a single file
    if any(part in ("", ".", "..") or "\\" in part or ":" in part for part in parts):
        raise DataError(f"the store has a file {name!r}, which is not a valid relative path; delete the file")
    return folder.joinpath(*parts)


def _store(address: str) -> tuple[Any, str]:
    """Returns the file system of an address and the path in it."""
    scheme = address.partition(":")[0]
    try:
        return fsspec.core.url_to_fs(address, use_listings_cache=False)
    except ImportError as error:
        package = _PACKAGES.get(scheme)
        advice = f"pip install {package}" if package else first_line(error)
        raise ConfigError(f"{address}: the package for this store is not installed; {advice}") from error
    except ValueError as error:
        raise ConfigError(f"{address}: unknown scheme '{scheme}'; {first_line(error)}") from error


def _get(store: Any, source: str, target: Path) -> None:
    unfinished = target.with_name(f".{target.name}{UNFINISHED}")
    target.parent.mkdir(parents=True, exist_ok=True)
    store.get_file(source, str(unfinished))
    unfinished.replace(target)


def _try_hard_link(source: Path, target: Path, digest: str) -> bool:
    """Creates a hard link if the source has the digest; returns whether it was created."""
    try:
        if _digest(source) != digest:
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        target.hardlink_to(source)
    except OSError:  # the source is missing, or hard links aren't supported
        return False
    return True


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _converting_errors(address: str) -> Iterator[None]:
    """Converts errors of a store to `SystemFault`."""
    try:
        yield
    except Pix2pixError:
        raise
    except Exception as error:
        raise SystemFault(
            f"{address} can't be read or written: {first_line(error)}; check the address, the network and "
            "the permissions, and run again"
        ) from error
