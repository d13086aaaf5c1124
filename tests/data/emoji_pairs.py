"""Makes the list of the pairs of the data set 'emoji' from its two packages.

``python -m tests.data.emoji_pairs FLAT 3D`` takes the unpacked packages and writes emoji/pairs.txt.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from PIL import Image

from pix2pix_tf.data import emoji

HEADER = f"""\
# Pairs of Microsoft's Fluent Emoji: A the drawing NAME in {emoji.FLAT}/icons.json,
# B the picture {emoji.THREE_D}/assets/CODE.webp.
#
# Lines: SPLIT CODE NAME DIGEST. DIGEST is the first half of the SHA-256 of B, in hexadecimal. Pairs have the
# same code points, without fe0f. Emoji with skin tones are left out, and of equal pictures all but the first.
# The split is selected by a hash of an emoji's code points, without 200d and the gender signs 2640 and 2642,
# and with 1f9d1 (person) for man and woman (1f468, 1f469): the variants of an emoji are in one split.
# tests/data/emoji_pairs.py makes this file.
"""
_TONES = {"1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff"}
_SPLITS = ["val"] * 2 + ["test"] * 2 + ["train"] * 16


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def pair_list(flat: Path, three_d: Path) -> str:
    """Returns the list for the folders of two packages."""
    names = {_code(key): name for key, name in json.loads((flat / "chars.json").read_text()).items()}
    files = {_code(path.stem): path for path in sorted(three_d.glob("assets/*.webp"))}
    lines, seen = [], set()
    for code in sorted(names.keys() & files.keys()):
        content = files[code].read_bytes()
        pixels = Image.open(files[code]).convert("RGBA").tobytes()
        if not _TONES.intersection(code.split("-")) and pixels not in seen:
            seen.add(pixels)
            lines.append(f"{_split(code)} {files[code].stem} {names[code]} {digest(content)}")
    return HEADER + "\n".join(lines) + "\n"


def _code(points: str) -> str:
    return "-".join(point for point in points.lower().split("-") if point != "fe0f")


def _split(code: str) -> str:
    person = ["1f9d1" if point in ("1f468", "1f469") else point for point in code.split("-")]
    group = "-".join(point for point in person if point not in ("2640", "2642", "200d"))
    return _SPLITS[int(hashlib.sha256(group.encode()).hexdigest(), 16) % 20]


if __name__ == "__main__":
    emoji.PAIRS.write_text(pair_list(Path(sys.argv[1]), Path(sys.argv[2])), "utf-8")
