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
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock
import fsspec
from tqdm import tqdm

from pix2pix_tf.errors import ConfigError, DataError, Pix2pixError, SystemFault
from pix2pix_tf.files import UNFINISHED, explain_disk_faults, first_line, write_whole

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/+(.+)")  # pathlib changes gs://bucket to gs:/bucket
_SERVERS = ("http", "https", "file")
_LIST = "files.json"
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
    """Returns a local path; folders in object stores are fetched first."""
    address = address_of(path)
    return Path(path).expanduser() if address is None else _fetch(address)


def _cache_folder(address: str) -> Path:
    """Returns the cache folder of an address."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    digest = hashlib.sha256(address.encode()).hexdigest()
    return root / "pix2pix_tf" / "stores" / digest[:16]


class StoredFolder:
    """A folder in an object store with a local copy. One process at a time may write it.

    Args:
        address: the folder's address.
        writing: whether this process writes. Writers and readers have separate copies, with hard links
            between files that never change.
        marker: the file that identifies a folder that was uploaded by hand and has no list.
        immutable: a subfolder whose files never change. Their digests are verified, and unlisted files are
            deleted. Other files can be newer than the list.

    Attributes:
        copy: the local copy.
    """

    def __init__(self, address: str, writing: bool = False, marker: str = "", immutable: str = ""):
        self.address = address
        self._marker = marker
        self._immutable = immutable
        name = address.rpartition("/")[2]
        self.copy, self._other_copy = (
            _cache_folder(address) / kind / name
            for kind in (("written", "read") if writing else ("read", "written"))
        )
        self._writing = writing
        self._list = self.copy.with_name(f"{self.copy.name}.{_LIST}")
        self._may_have_unlisted = True  # a killed writer can leave unlisted files
        self._name = uuid.uuid4().hex
        self._digests: dict[str, tuple[object, str]] = {}  # state and digest by file name
        self._before: str | None = None  # the writer of the fetched list

    def fetch(self, only: str | None = None) -> bool:
        """Updates the copy from the store; returns whether the folder exists."""
        with _converting_errors(self.address), _locked(self.copy):
            store, root = _store(self.address)
            for _ in range(_TRIES):
                listed = self._read_list(store, root)
                try:
                    if only is None:
                        self._fetch_all(store, root, listed)
                    else:
                        self._fetch_one(store, root, listed, only)
                    break
                except FileNotFoundError:  # a writer deleted it meanwhile
                    continue
            else:
                raise SystemFault(
                    f"{self.address} lacks listed files, or another process keeps changing it; try again"
                )
        self._before = listed["writer"]
        return bool(listed["files"])

    def _fetch_one(self, store: Any, root: str, listed: Mapping[str, Any], name: str) -> None:
        if name in listed["files"]:
            _get(store, f"{root}/{name}", self.copy / name)
        else:
            (self.copy / name).unlink(missing_ok=True)

    def _fetch_all(self, store: Any, root: str, listed: Mapping[str, Any]) -> None:
        before = self._copied()
        have = {name: digest for name, digest in listed["files"].items() if before.get(name) == digest}
        for path in (*map(self.copy.joinpath, before.keys() - have.keys()), *self._unfinished()):
            path.unlink()
        _remove_empty_folders(self.copy)
        try:
            for name in _with_progress([name for name in listed["files"] if name not in have], self.address):
                self._fetch_file(store, root, listed, name)
                have[name] = listed["files"][name]
        finally:  # an interrupted fetch continues here
            write_whole(self._list, json.dumps(have))

    def _fetch_file(self, store: Any, root: str, listed: Mapping[str, Any], name: str) -> None:
        target, digest = _local_path(self.copy, name), listed["files"][name]
        is_immutable = bool(self._immutable) and name.startswith(self._immutable) and listed["writer"]
        if is_immutable and _try_hard_link(self._other_copy / name, target, digest):
            return
        _get(store, f"{root}/{name}", target)
        if is_immutable and self._digest(name) != digest:
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
        files = {name: self._digest(name) for name in self._own_files()}
        for name, digest in files.items():
            if listed["files"].get(name) != digest:
                store.put_file(str(self.copy / name), f"{root}/{name}")
        self._read_unchanged_list(store, root)  # checked again, because uploads can take minutes
        store.pipe_file(f"{root}/{_LIST}", json.dumps({"files": files, "writer": self._name}).encode())
        write_whole(self._list, json.dumps(files))
        gone = listed["files"].keys() - files.keys()
        if self._immutable and may_have_unlisted:
            gone |= {
                name for name in _file_versions(store, root) if name.startswith(self._immutable)
            } - files.keys()
        for name in gone:
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

    def _own_files(self) -> list[str]:
        files = (path for path in self.copy.rglob("*") if path.is_file())
        names = (path.relative_to(self.copy).as_posix() for path in files)
        return sorted(name for name in names if UNFINISHED not in name and not name.startswith("."))

    def _unfinished(self) -> list[Path]:
        """Returns the partial files of a killed fetch; they would keep folders of deleted checkpoints."""
        return [path for path in self.copy.rglob(f".*{UNFINISHED}") if path.is_file()]

    def _copied(self) -> dict[str, str]:
        """Returns the digests of the copied files. Readers take them from the list, without hashing."""
        saved = {} if self._writing else _read_versions(self.copy, self._list)
        return {name: saved.get(name) or self._digest(name) for name in self._own_files()}

    def _digest(self, name: str) -> str:
        """Returns a file's digest, cached until the file changes."""
        stat = (self.copy / name).stat()
        state = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
        if self._digests.get(name, (None,))[0] != state:
            self._digests[name] = state, _digest(self.copy / name)
        return self._digests[name][1]

    def _read_list(self, store: Any, root: str) -> dict[str, Any]:
        try:
            return json.loads(store.cat_file(f"{root}/{_LIST}"))
        except FileNotFoundError:
            found = _file_versions(store, root)
            return {"files": found if self._marker in found else {}, "writer": None}


def _fetch(address: str) -> Path:
    """Fetches a folder or file from a store; returns the local copy."""
    name = address.rpartition("/")[2]
    copy = _cache_folder(address) / "fetched" / name
    listing = copy.with_name(f"{name}.{_LIST}")
    with _converting_errors(address), _locked(copy):
        store, root = _store(address)
        versions = _file_versions(store, root)
        if not versions:
            raise DataError(f"{address} doesn't exist; check the address")
        before = _read_versions(copy, listing)
        for gone in before.keys() - versions.keys():
            _local_path(copy, gone).unlink(missing_ok=True)
        have = {name: version for name, version in versions.items() if before.get(name) == version}
        saved = time.monotonic()
        try:
            for each in _with_progress([name for name in versions if name not in have], address):
                _get(store, f"{root}/{each}".rstrip("/"), _local_path(copy, each) if each else copy)
                have[each] = versions[each]
                if time.monotonic() - saved > _SAVE_LIST_EVERY:
                    write_whole(listing, json.dumps(have))
                    saved = time.monotonic()
        finally:  # an interrupted fetch continues here
            write_whole(listing, json.dumps(have))
    return copy


def _read_versions(copy: Path, listing: Path) -> dict[str, str]:
    """Reads the digests or versions of the copied files by name."""
    try:
        stored = json.loads(listing.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {name: version for name, version in stored.items() if (copy / name).is_file()}


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
    parts = name.split("/")
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


def _with_progress(names: list[str], address: str) -> Iterable[str]:
    return tqdm(names, f"fetching {address}", unit="file", leave=False, delay=2, disable=None)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove_empty_folders(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


@contextlib.contextmanager
def _locked(copy: Path) -> Iterator[None]:
    """Locks a copy, so that other processes wait."""
    with explain_disk_faults(copy):
        copy.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(copy.with_name(f".{copy.name}.lock")):
        yield


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
