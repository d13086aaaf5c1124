"""LiteRT.js, which computes in the browser: brought once, by npm or from a public CDN, and checked."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from pix2pix_tf.data.preparing import data_root
from pix2pix_tf.errors import ConfigError, SystemFault
from pix2pix_tf.files import first_line, write_whole

VERSION = "2.5.3"
_CDN = "https://cdn.jsdelivr.net/npm"
_NPM_SECONDS = 300
_FILES = {  # with the SHA-256 of each, in what web/package-lock.json pins
    "core/dist/index.js": "e7daccc3a31eef890848a737ccb863ded5f046a6b40c3fdc0556495adeb5d9b3",
    "core/wasm/litert_wasm_internal.js": "68efb69f770e3f76aff36a377de629ca496c131b86ac0f0f4b592a1543a898eb",
    "core/wasm/litert_wasm_internal.wasm": "7280cf4471774867e385e6c3cd53e2b45e2975b80fea338fff4ef359b0865614",
    "core/wasm/litert_wasm_threaded_internal.js": (
        "92fe7a720c6deedaa1194c011c79a005ea4f6fc98f533b661cf7900760ab4849"
    ),
    "core/wasm/litert_wasm_threaded_internal.wasm": (
        "b5e54eca10f043497edf9a02186332707cae260c550d7ea22b2cae55669596cf"
    ),
    "core/wasm/litert_wasm_compat_internal.js": (
        "4d8f894b7883654fd6e8439730aa41e79ceaab7d19184fc4f1f0b0f1a2a2c8a5"
    ),
    "core/wasm/litert_wasm_compat_internal.wasm": (
        "5255c8ad06eabdbd2522cdebf6b22fc10faf74625c23a49b9e072570cd1fa41c"
    ),
    "wasm-utils/dist/index.js": "e0e20bc28ab001ac732cf40d15b6eebd24fb0deaeb95eeba5100f51eebf015f2",
}
_PACKAGES = ("core", "wasm-utils")
_BY_HAND = "bring it from where there is a network ('npm ci' in web/) and name its folder by --runtime"


def runtime_files(given: Path | None = None) -> dict[str, Path]:
    """Returns the files that a page needs, by their names in ``node_modules/@litertjs``.

    Args:
        given: that folder, of an ``npm ci``; or what ``npm pack`` wrote of one package, beside the other's.
            By default the files are in the cache, or brought there.
    """
    kept = data_root(None) / "downloads" / f"litertjs-{VERSION}"
    folder = kept if given is None or given.is_file() else given
    if given is not None and given.is_file():
        _write(folder, _packed_in(given.parent), str(given.parent))
    elif given is None and not all((folder / name).is_file() for name in _FILES):
        _bring(folder)
    missing = next((name for name in _FILES if not (folder / name).is_file()), None)
    if missing is not None:
        raise ConfigError(f"--runtime {folder}: {missing} is missing; give web/node_modules/@litertjs")
    return {name: folder / name for name in _FILES}


def _bring(folder: Path) -> None:
    """Brings all files by npm where it is installed and can, else from a CDN."""
    import requests

    npm = shutil.which("npm")
    command = ["pack", "--ignore-scripts", *(f"@litertjs/{package}@{VERSION}" for package in _PACKAGES)]
    unable = (OSError, subprocess.SubprocessError, ConfigError)
    with tempfile.TemporaryDirectory() as place, contextlib.suppress(*unable):
        if npm is not None:  # which brings them from wherever it is configured to
            subprocess.run([npm, *command], cwd=place, check=True, capture_output=True, timeout=_NPM_SECONDS)
            return _write(folder, _packed_in(Path(place)), "npm")

    def of_cdn(name: str) -> bytes:
        package, _, path = name.partition("/")
        answer = requests.get(f"{_CDN}/@litertjs/{package}@{VERSION}/{path}", timeout=30)
        answer.raise_for_status()
        return answer.content

    try:
        _write(folder, of_cdn, _CDN)
    except requests.RequestException as error:
        raise SystemFault(f"LiteRT.js can't be downloaded ({first_line(error)}); {_BY_HAND}") from error


def _packed_in(folder: Path) -> Callable[[str], bytes]:
    """Returns what reads a file from what ``npm pack`` has written to a folder."""

    def read(name: str) -> bytes:
        package, _, path = name.partition("/")
        archive = folder / f"litertjs-{package}-{VERSION}.tgz"
        try:
            with tarfile.open(archive) as packed:
                member = packed.extractfile(f"package/{path}")
                return b"" if member is None else member.read()  # a folder is another than the pinned file
        except Exception as error:  # an archive is damaged in as many ways as it has parts
            raise ConfigError(
                f"{archive} can't be read ({first_line(error)}); give what 'npm pack' wrote of @litertjs/"
                f"{' and @litertjs/'.join(_PACKAGES)} {VERSION}, in one folder"
            ) from error

    return read


def _write(folder: Path, read: Callable[[str], bytes], source: str) -> None:
    """Writes all files that are missing, unless one is another than the pinned one."""
    missing = [name for name in _FILES if not (folder / name).is_file()]
    for name in tqdm(missing, "LiteRT.js", unit="file", leave=False, delay=1, disable=None):
        content = read(name)
        if hashlib.sha256(content).hexdigest() != _FILES[name]:
            raise SystemFault(f"{source} gave another {name} than that of LiteRT.js {VERSION}; {_BY_HAND}")
        write_whole(folder / name, content)
