"""Named data sets: their contents and default settings.

This module imports no framework, which keeps ``--help`` and parsing of a configuration fast.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pix2pix_tf.errors import ConfigError

if TYPE_CHECKING:
    from pix2pix_tf.config import DataConfig, DataKind

UNKNOWN = "unknown"  # data set of an imported run if the user gives none
PROCEDURAL = "procedural"


@dataclasses.dataclass(frozen=True)
class NamedSet:
    """A data set of the pix2pix or the CycleGAN paper, distributed as one archive."""

    name: str
    description: str  # A (the left half of each image), B (the right half) and the usual direction
    settings: Mapping[str, Any]  # for pix2pix, from the paper's appendix "Training details"
    kind: DataKind = "pairs"
    archive_bytes: int = 0  # approximate
    labels: str = ""  # which of A and B are label maps, such as "B"
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)  # verified number of images per split
    homepage: str = "https://phillipi.github.io/pix2pix/"
    license: str = ""  # empty if uncertain
    source: str = ""  # address, if it isn't NAME.tar.gz on the public server
    classes: Mapping[str, tuple[int, int, int]] = dataclasses.field(default_factory=dict)  # label colors

    @property
    def splits(self) -> tuple[str, ...]:
        """The folders of the archive."""
        return ("train", "val", "test") if self.kind == "pairs" else ("trainA", "trainB", "testA", "testB")


_CATALOG = (
    NamedSet(
        name="facades",
        description="CMP Facades: A photos of facades, B their label maps. Labels to photo is BtoA.",
        labels="B",
        archive_bytes=30_000_000,
        counts={"train": 400, "val": 100, "test": 106},
        homepage="https://cmp.felk.cvut.cz/~tylecr1/facade/",
        settings={"direction": "BtoA", "epochs": 200, "batch_size": 1},
        # In the CMP's order; colors as decoded from the JPEG files.
        classes={
            "background": (0, 0, 222),
            "wall": (0, 48, 255),
            "window": (0, 128, 255),
            "door": (1, 207, 255),
            "cornice": (32, 255, 224),
            "sill": (112, 254, 142),
            "balcony": (192, 255, 63),
            "blind": (255, 240, 1),
            "decoration": (255, 159, 0),
            "moulding": (255, 80, 0),
            "pillar": (254, 0, 0),
            "shop": (174, 0, 1),
        },
    ),
    NamedSet(
        name="cityscapes",
        description="Cityscapes: A photos of streets, B their label maps. Labels to photo is BtoA.",
        labels="B",
        archive_bytes=103_000_000,
        homepage="https://www.cityscapes-dataset.com/",
        license="Non-commercial purposes only; see https://www.cityscapes-dataset.com/license/",
        settings={"direction": "BtoA", "epochs": 200, "batch_size": 1},
    ),
    NamedSet(
        name="maps",
        description="Google Maps around New York: A aerial photos, B maps. Aerial photo to map is AtoB, "
        "map to aerial photo is BtoA; the paper shows both.",
        archive_bytes=246_000_000,
        settings={"direction": "AtoB", "epochs": 200, "batch_size": 1},
    ),
    NamedSet(
        name="edges2shoes",
        description="UT Zappos50K: A edge drawings of shoes, B photos. Edges to shoes is AtoB.",
        archive_bytes=2_200_000_000,
        homepage="https://vision.cs.utexas.edu/projects/finegrained/utzap50k/",
        settings={"direction": "AtoB", "epochs": 15, "batch_size": 4, "jitter": False, "flip": "none"},
    ),
    NamedSet(
        name="edges2handbags",
        description="Amazon handbags: A edge drawings of handbags, B photos. Edges to handbags is AtoB.",
        archive_bytes=8_600_000_000,
        homepage="https://github.com/junyanz/iGAN",
        settings={"direction": "AtoB", "epochs": 15, "batch_size": 4, "jitter": False, "flip": "none"},
    ),
    NamedSet(
        name="night2day",
        description="Transient Attributes: A places by night, B the same places by day (assumed from "
        "the name). Day to night is BtoA.",
        archive_bytes=2_100_000_000,
        homepage="http://transattr.cs.brown.edu/",
        settings={"direction": "BtoA", "epochs": 17, "batch_size": 4},
    ),
)

CATALOG: Mapping[str, NamedSet] = {each.name: each for each in _CATALOG}
"""The data sets of the pix2pix paper, by name."""

_CYCLE_GAN = {
    "apple2orange": "A apples, B oranges (ImageNet)",
    "summer2winter_yosemite": "A summer, B winter in Yosemite (Flickr)",
    "horse2zebra": "A horses, B zebras (ImageNet)",
    "monet2photo": "A paintings of Monet, B photos of landscapes",
    "cezanne2photo": "A paintings of Cézanne, B photos of landscapes",
    "ukiyoe2photo": "A ukiyo-e prints, B photos of landscapes",
    "vangogh2photo": "A paintings of Van Gogh, B photos of landscapes",
    "maps": "A aerial photos, B maps",
    "facades": "A photos of facades, B their label maps",
    "iphone2dslr_flower": "A photos of flowers by a phone, B by a large camera",
}
CYCLE_GAN: Mapping[str, NamedSet] = {
    f"cycle_gan/{name}": NamedSet(
        f"cycle_gan/{name}", description, {"epochs": 200, "batch_size": 1}, kind="unpaired"
    )
    for name, description in _CYCLE_GAN.items()
}
"""The data sets of the CycleGAN paper, except cityscapes, which tensorflow-datasets no longer provides."""

EMOJI = "emoji"
_EMOJI = NamedSet(
    name=EMOJI,
    description="Microsoft's Fluent Emoji: A flat drawings, B the same emoji in 3D. Flat to 3D is AtoB.",
    # Emoji are lit from one side, and jitter blurs their edges.
    settings={"direction": "AtoB", "epochs": None, "steps": 12_000, "jitter": False, "flip": "none"},
    archive_bytes=20_000_000,
    counts={"train": 1273, "val": 143, "test": 153},
    homepage="https://github.com/microsoft/fluentui-emoji",
    license="MIT, Microsoft Corporation; the file LICENSE is stored with the images",
    source="cdn.jsdelivr.net",
)

NAMED: Mapping[str, NamedSet] = {EMOJI: _EMOJI, **CATALOG, **CYCLE_GAN}

_FACTS = {**NAMED, PROCEDURAL: NamedSet(PROCEDURAL, "generated, no download", {}, labels="B")}
_OTHER = NamedSet("", "", {}, kind="images")  # a data set of tensorflow-datasets, or a folder

_TFDS_NAME = re.compile(r"[a-z][a-z0-9_]*")  # no NAME/CONFIG, which would look like a path


def full_name(dataset: str) -> str:
    """Normalizes a name: 'pix2pix/maps' to 'maps', and 'horse2zebra' to 'cycle_gan/horse2zebra'."""
    bare = dataset.removeprefix("pix2pix/")
    if bare in CATALOG:
        return bare
    return f"cycle_gan/{dataset}" if dataset in _CYCLE_GAN else dataset


def short_name(name: str) -> str:
    """Returns 'horse2zebra' for 'cycle_gan/horse2zebra', unless this is the name of another data set."""
    short = name.rpartition("/")[2]
    return short if full_name(short) == name else name


def facts_of(dataset: str) -> NamedSet:
    """Returns what is known about a data set by its name; nothing but the kind of other data sets."""
    return _FACTS.get(full_name(dataset), _OTHER)


def label_sides(data: DataConfig) -> str:
    """Returns the sides with label maps ("", "A", "B" or "AB"), from the settings or the data set's name."""
    if data.label_maps != "auto":
        return {"none": "", "both": "AB"}.get(data.label_maps, data.label_maps)
    return facts_of(data.dataset).labels


def looks_like_path(dataset: str) -> bool:
    """Whether ``--dataset`` is a path rather than a name.

    A word that is neither a built-in name nor an existing path may be a name of tensorflow-datasets.
    """
    name = full_name(dataset)
    if name == PROCEDURAL or name in NAMED:
        return False
    return _TFDS_NAME.fullmatch(dataset) is None or Path(dataset).exists()


def data_root(data_dir: Path | None) -> Path:
    """Returns `--data-dir`, by default the folder of tensorflow-datasets."""
    root = Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    if root.exists() and not root.is_dir():
        raise ConfigError(f"--data-dir: {root} is a file; give a folder")
    return root
