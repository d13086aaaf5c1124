"""LiteRT.js, which computes in the browser: downloaded once from npm's registry, and checked."""

from __future__ import annotations

import base64
import hashlib
import os
import tarfile
from pathlib import Path

from pix2pix_tf.data.download import download_archive
from pix2pix_tf.data.preparing import data_root
from pix2pix_tf.errors import ConfigError, SystemFault
from pix2pix_tf.files import explain_disk_faults, write_whole

VERSION = "2.5.3"
_REGISTRY = "https://registry.npmjs.org"
# As web/package-lock.json has them.
_INTEGRITY = {
    "core": "PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
    "wasm-utils": "4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
}
_OTHER_WAYS = "bring it from where there is a network ('npm ci' in web/) and name its folder by `runtime`"
_KINDS = ("litert_wasm_internal", "litert_wasm_threaded_internal", "litert_wasm_compat_internal")
_FILES = (
    "core/dist/index.js",
    "wasm-utils/dist/index.js",
    *(f"core/wasm/{kind}.{ending}" for kind in _KINDS for ending in ("js", "wasm")),
)


def runtime_files(folder: Path | None = None) -> dict[str, Path]:
    """Returns the files that a page needs, by their names in ``node_modules/@litertjs``.

    Args:
        folder: that one, of an ``npm ci``; by default they are in the cache, or brought there.

    Raises:
        ConfigError: the folder has not all of them.
        SystemFault: there is no network, or no space.
    """
    if folder is None:
        folder = data_root(None) / "downloads" / f"litertjs-{VERSION}"
        _bring(folder)
    missing = next((name for name in _FILES if not (folder / name).is_file()), None)
    if missing is not None:
        raise ConfigError(f"`runtime` {folder}: {missing} is missing; give web/node_modules/@litertjs")
    return {name: folder / name for name in _FILES}


def _bring(folder: Path, registry: str = _REGISTRY) -> None:
    """Downloads what is missing."""
    for package in _INTEGRITY:
        needed = [name for name in _FILES if name.startswith(f"{package}/")]
        if all((folder / name).is_file() for name in needed):
            continue
        archive = folder / f"{package}-{VERSION}.tgz"
        url = f"{registry}/@litertjs/{package}/-/{package}-{VERSION}.tgz"
        download_archive(url, archive, other_ways=_OTHER_WAYS)
        _refuse_other(archive, _INTEGRITY[package], url)
        with tarfile.open(archive) as packed, explain_disk_faults(folder):
            for name in needed:
                member = packed.extractfile("package/" + name.partition("/")[2])
                assert member is not None  # the digest is right, so this is the archive that has it
                write_whole(folder / name, member.read())
        os.unlink(archive)


def _refuse_other(archive: Path, integrity: str, url: str) -> None:
    digest = hashlib.sha512(archive.read_bytes()).digest()
    if base64.b64encode(digest).decode() != integrity:
        archive.unlink()
        raise SystemFault(f"{url} gave another file than LiteRT.js {VERSION}; it was deleted")
