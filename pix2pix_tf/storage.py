"""Folders in object stores, each with a local copy that the rest of the program uses.

A store can't rename a folder. To publish all or nothing, a list of the files with their digests is written
last, and only listed files count: a reader sees the folder as it was when the list was written. `fsspec`
accesses the stores: s3:// with s3fs, gs:// with gcsfs, and others.
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
_PAUSES = (1.0, 4.0, 15.0, 40.0)  # seconds before a failed write is retried
_SAVE_LIST_EVERY = 10.0  # seconds
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}


def address_of(path: str | Path) -> str | None:
    """Returns an address in an object store, such as ``s3://bucket/run``, or ``None`` for a local path."""
    found = _ADDRESS.fullmatch(str(path).replace(os.sep, "/"))  # also on Windows
    return f"{found[1]}://{found[2].rstrip('/')}" if found and found[1] not in _SERVERS else None


def absolute(path: str | Path) -> str:
    """Returns an absolute path, or an address unchanged."""
    return address_of(path) or str(Path(path).expanduser().resolve())


def local_folder(path: str | Path) -> Path:
    """Returns a local folder, fetched first if it is in an object store."""
    address = address_of(path)
    return Path(path).expanduser() if address is None else _fetched(address)


def _copies_of(address: str) -> Path:
    """Returns the cache folder for copies of a stored folder."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    digest = hashlib.sha256(address.encode()).hexdigest()
    return root / "pix2pix_tf" / "stores" / digest[:16]


class StoredFolder:
    """A folder in an object store that one process at a time writes, through a local copy.

    Args:
        address: of the folder.
        writing: whether this process writes. Readers have a copy of their own; files that never change are
            hard links between the two.
        known_by: a file that identifies such a folder if it was uploaded by hand and has no list.
        lasting: a subfolder whose files never change, so that their digests can be checked. Other files may
            be newer than the list. Unlisted files in the subfolder are deleted.

    Attributes:
        copy: the local folder.
    """

    def __init__(self, address: str, writing: bool = False, known_by: str = "", lasting: str = ""):
        self.address = address
        self._known_by = known_by
        self._lasting = lasting
        name = address.rpartition("/")[2]
        self.copy, self._other_copy = (
            _copies_of(address) / kind / name
            for kind in (("written", "read") if writing else ("read", "written"))
        )
        self._writing = writing
        self._list = self.copy.with_name(f"{self.copy.name}.{_LIST}")
        self._may_have_left = True  # unlisted files of a killed writer
        self._name = uuid.uuid4().hex
        self._digests: dict[str, tuple[object, str]] = {}  # with the state of the file
        self._before: str | None = None  # the writer of the list that was fetched

    def fetch(self, only: str | None = None) -> bool:
        """Updates the copy to the store's list; returns whether the folder exists."""
        with _explaining(self.address), _alone(self.copy):
            store, root = _store(self.address)
            for _ in range(_TRIES):
                there = self._read_list(store, root)
                try:
                    if only is None:
                        self._take_all(store, root, there)
                    else:
                        self._take_one(store, root, there, only)
                    break
                except FileNotFoundError:  # deleted by a writer meanwhile
                    continue
            else:
                raise SystemFault(f"{self.address} lacks listed files, or changes all the time")
        self._before = there["writer"]
        return bool(there["files"])

    def _take_one(self, store: Any, root: str, there: Mapping[str, Any], name: str) -> None:
        if name in there["files"]:
            _get(store, f"{root}/{name}", self.copy / name)
        else:
            (self.copy / name).unlink(missing_ok=True)

    def _take_all(self, store: Any, root: str, there: Mapping[str, Any]) -> None:
        before = self._copied()
        have = {name: digest for name, digest in there["files"].items() if before.get(name) == digest}
        for path in (*map(self.copy.joinpath, before.keys() - have.keys()), *self._unfinished()):
            path.unlink()
        _remove_empty_folders(self.copy)
        try:
            for name in _shown([name for name in there["files"] if name not in have], self.address):
                self._take(store, root, there, name)
                have[name] = there["files"][name]
        finally:  # an interrupted fetch continues here
            write_whole(self._list, json.dumps(have))

    def _take(self, store: Any, root: str, there: Mapping[str, Any], name: str) -> None:
        target, digest = _inside(self.copy, name), there["files"][name]
        is_lasting = bool(self._lasting) and name.startswith(self._lasting) and there["writer"]
        if is_lasting and _linked(self._other_copy / name, target, digest):
            return
        _get(store, f"{root}/{name}", target)
        if is_lasting and self._digest(name) != digest:
            raise SystemFault(f"{self.address}/{name} is damaged, or is being written; try again")

    def publish(self) -> None:
        """Writes changed files to the store, and the list last."""
        with _explaining(self.address):
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
        there = self._own_list(store, root)
        may_have_left, self._may_have_left = self._may_have_left, True
        files = {name: self._digest(name) for name in self._own_files()}
        for name, digest in files.items():
            if there["files"].get(name) != digest:
                store.put_file(str(self.copy / name), f"{root}/{name}")
        self._own_list(store, root)  # again: this can take minutes
        store.pipe_file(f"{root}/{_LIST}", json.dumps({"files": files, "writer": self._name}).encode())
        write_whole(self._list, json.dumps(files))
        gone = there["files"].keys() - files.keys()
        if self._lasting and may_have_left:
            gone |= {name for name in _names(store, root) if name.startswith(self._lasting)} - files.keys()
        for name in gone:
            store.rm_file(f"{root}/{name}")
        self._may_have_left = False

    def _own_list(self, store: Any, root: str) -> dict[str, Any]:
        """Reads the list; raises if another process has written it."""
        there = self._read_list(store, root)
        if there["writer"] not in (self._before, self._name):
            raise SystemFault(
                f"{self.address} was written by another process meanwhile; a store has no lock: train "
                "there from one machine at a time"
            )
        return there

    def _own_files(self) -> list[str]:
        files = (path for path in self.copy.rglob("*") if path.is_file())
        names = (path.relative_to(self.copy).as_posix() for path in files)
        return sorted(name for name in names if UNFINISHED not in name and not name.startswith("."))

    def _unfinished(self) -> list[Path]:
        """Returns files of a killed fetch, which would keep the folder of a deleted checkpoint."""
        return [path for path in self.copy.rglob(f".*{UNFINISHED}") if path.is_file()]

    def _copied(self) -> dict[str, str]:
        """Returns the digests of the copied files; readers don't change files and have them in the list."""
        noted = {} if self._writing else _made_of(self.copy, self._list)
        return {name: noted.get(name) or self._digest(name) for name in self._own_files()}

    def _digest(self, name: str) -> str:
        """Returns a file's digest, which is computed again only after a change."""
        stat = (self.copy / name).stat()
        state = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
        if self._digests.get(name, (None,))[0] != state:
            self._digests[name] = state, _digest(self.copy / name)
        return self._digests[name][1]

    def _read_list(self, store: Any, root: str) -> dict[str, Any]:
        try:
            return json.loads(store.cat_file(f"{root}/{_LIST}"))
        except FileNotFoundError:
            found = _names(store, root)
            return {"files": found if self._known_by in found else {}, "writer": None}


def _fetched(address: str) -> Path:
    """Returns a copy of a folder or file that was uploaded to a store."""
    name = address.rpartition("/")[2]
    copy = _copies_of(address) / "fetched" / name
    listing = copy.with_name(f"{name}.{_LIST}")
    with _explaining(address), _alone(copy):
        store, root = _store(address)
        marks = _names(store, root)
        if not marks:
            raise DataError(f"there is nothing at {address}")
        before = _made_of(copy, listing)
        for gone in before.keys() - marks.keys():
            _inside(copy, gone).unlink(missing_ok=True)
        have = {name: mark for name, mark in marks.items() if before.get(name) == mark}
        noted = time.monotonic()
        try:
            for each in _shown([name for name in marks if name not in have], address):
                _get(store, f"{root}/{each}".rstrip("/"), _inside(copy, each) if each else copy)
                have[each] = marks[each]
                if time.monotonic() - noted > _SAVE_LIST_EVERY:
                    write_whole(listing, json.dumps(have))
                    noted = time.monotonic()
        finally:  # an interrupted fetch continues here
            write_whole(listing, json.dumps(have))
    return copy


def _made_of(copy: Path, listing: Path) -> dict[str, str]:
    """Returns the digests or versions of the copied files by name."""
    try:
        stored = json.loads(listing.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {name: of for name, of in stored.items() if (copy / name).is_file()}


def _names(store: Any, root: str) -> dict[str, str]:
    """Returns the files of a stored folder by name, each with a version that changes with its content."""
    changing = ("size", "ETag", "etag", "LastModified", "mtime")
    return {
        path.removeprefix(root).lstrip("/"): " ".join(str(info[key]) for key in changing if key in info)
        for path, info in store.find(root, detail=True).items()
        if not path.endswith("/")
        and (path != root or info["size"])  # web consoles create empty files for folders
    }


def _inside(folder: Path, name: str) -> Path:
    """Returns the local path of a stored file; raises if it would be outside of the folder."""
    parts = name.split("/")
    if any(part in ("", ".", "..") or "\\" in part or ":" in part for part in parts):
        raise DataError(f"the store has a file {name!r}, which is not a valid relative path; delete it")
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


def _linked(source: Path, target: Path, digest: str) -> bool:
    """Creates a hard link if the source has the digest; returns whether it did."""
    try:
        if _digest(source) != digest:
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        target.hardlink_to(source)
    except OSError:  # no such file, or no hard links
        return False
    return True


def _shown(names: list[str], address: str) -> Iterable[str]:
    return tqdm(names, f"fetching {address}", unit="file", leave=False, delay=2, disable=None)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove_empty_folders(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


@contextlib.contextmanager
def _alone(copy: Path) -> Iterator[None]:
    """Locks a copy against other processes."""
    with explain_disk_faults(copy):
        copy.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(copy.with_name(f".{copy.name}.lock")):
        yield


@contextlib.contextmanager
def _explaining(address: str) -> Iterator[None]:
    """Converts any error of a store to a `SystemFault`."""
    try:
        yield
    except Pix2pixError:
        raise
    except Exception as error:
        raise SystemFault(
            f"{address} can't be read or written: {first_line(error)}; check the address, the network and "
            "the permissions, and run again"
        ) from error
