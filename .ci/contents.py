"""Fails unless a wheel and a source archive have the tracked files and no others: contents.py FOLDER."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

folder = Path(sys.argv[1])
tracked = set(subprocess.check_output(["git", "ls-files", "-z"], text=True).rstrip("\0").split("\0"))
package = {file for file in tracked if file.startswith("pix2pix_tf/")}
beside = {file for file in tracked if not file.startswith((".git", ".dockerignore"))}

with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
    in_wheel = {name for name in wheel.namelist() if ".dist-info/" not in name}
with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
    files = {member.name.partition("/")[2] for member in archive if member.isfile()}
in_archive = {name for name in files if name != "PKG-INFO" and ".egg-info/" not in name}

for name, found, expected in (("wheel", in_wheel, package), ("source archive", in_archive, beside)):
    if found != expected:
        sys.exit(f"{name}: missing {sorted(expected - found)}, not tracked {sorted(found - expected)}")
