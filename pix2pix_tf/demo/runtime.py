"""Downloads and verifies LiteRT.js, the runtime in the browser, with npm or from a public CDN."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from pix2pix_tf.data.names import data_root
from pix2pix_tf.errors import ConfigError, SystemFault
from pix2pix_tf.files import first_line, write_whole

VERSION = "2.5.3"
_CDN = "https://cdn.jsdelivr.net/npm"
_NPM_SECONDS = 300
_FILES = {  # SHA-256 of each file of the version in web/package-lock.json
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
_BY_HAND = "download it on another machine ('npm ci' in web/) and give the folder with --runtime"


def runtime_files(given: Path | None = None) -> dict[str, Path]:
    """Returns the runtime's files by their names in ``node_modules/@litertjs``.

    ``given`` is this folder after ``npm ci``. By default, the files are downloaded to the cache.
    """
    folder = given or data_root(None) / "downloads" / f"litertjs-{VERSION}"
    files = {name: folder / name for name in _FILES}
    if given is None and not all(file.is_file() for file in files.values()):
        _download(folder)
    missing = next((name for name, file in files.items() if not file.is_file()), None)
    if missing is not None:
        raise ConfigError(f"--runtime {folder}: {missing} is missing; give web/node_modules/@litertjs")
    return files


def _download(folder: Path) -> None:
    """Downloads all files with npm if it is installed and works, else from a CDN."""
    import requests

    npm = shutil.which("npm")
    packages = [f"@litertjs/{package}@{VERSION}" for package in _PACKAGES]
    with tempfile.TemporaryDirectory() as place, contextlib.suppress(OSError, subprocess.SubprocessError):
        if npm is not None:  # npm uses the user's registry
            command = [npm, "install", "--ignore-scripts", "--no-save", "--prefix", place, *packages]
            subprocess.run(command, cwd=place, check=True, capture_output=True, timeout=_NPM_SECONDS)
            return _write(
                folder, lambda name: Path(place, "node_modules/@litertjs", name).read_bytes(), "npm"
            )

    def read_from_cdn(name: str) -> bytes:
        package, _, path = name.partition("/")
        answer = requests.get(f"{_CDN}/@litertjs/{package}@{VERSION}/{path}", timeout=30)
        answer.raise_for_status()
        return answer.content

    try:
        _write(folder, read_from_cdn, _CDN)
    except requests.RequestException as error:
        raise SystemFault(f"LiteRT.js can't be downloaded ({first_line(error)}); {_BY_HAND}") from error


def _write(folder: Path, read: Callable[[str], bytes], source: str) -> None:
    """Writes missing files; raises if a digest is wrong."""
    missing = [name for name in _FILES if not (folder / name).is_file()]
    for name in tqdm(missing, "LiteRT.js", unit="file", leave=False, delay=1, disable=None):
        content = read(name)
        if hashlib.sha256(content).hexdigest() != _FILES[name]:
            raise SystemFault(f"{name} from {source} has a wrong digest for LiteRT.js {VERSION}; {_BY_HAND}")
        write_whole(folder / name, content)
