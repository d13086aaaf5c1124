"""The data sets that have a name: what is in them, and the settings that a name brings.

Everything here is plain data, so that ``--help`` and a configuration cost no import of a framework.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pix2pix_tf.config import DataConfig

UNKNOWN = "unknown"  # the data set of an imported run, unless the user names one
PROCEDURAL = "procedural"


@dataclasses.dataclass(frozen=True)
class NamedSet:
    """A data set of the pix2pix or the CycleGAN paper, which comes as one archive."""

    name: str
    description: str  # A (the left half of each image), B (the right half) and the usual direction
    settings: Mapping[str, Any]  # of the pix2pix paper's appendix "Training details", for its title task
    kind: Literal["pairs", "unpaired"] = "pairs"
    archive_bytes: int = 0  # approximate
    labels: str = ""  # which of A and B are label maps, such as "B"
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)  # images per split, where verified
    homepage: str = "https://phillipi.github.io/pix2pix/"
    license: str = ""  # what is certain about it
    classes: Mapping[str, tuple[int, int, int]] = dataclasses.field(default_factory=dict)  # label colors


_CATALOG = (
    NamedSet(
        name="facades",
        description="CMP Facades: A photos of facades, B their label maps. Labels to photo is BtoA.",
        labels="B",
        archive_bytes=30_000_000,
        counts={"train": 400, "val": 100, "test": 106},
        homepage="https://cmp.felk.cvut.cz/~tylecr1/facade/",
        settings={"direction": "BtoA", "epochs": 200, "batch_size": 1},
        # In the order of the CMP's classes; the colors as the JPEGs have them.
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
        description="UT Zappos50K: A the edges of shoes as drawn lines, B photos. Edges to shoes is AtoB.",
        archive_bytes=2_200_000_000,
        homepage="https://vision.cs.utexas.edu/projects/finegrained/utzap50k/",
        settings={"direction": "AtoB", "epochs": 15, "batch_size": 4, "jitter": False, "flip": False},
    ),
    NamedSet(
        name="edges2handbags",
        description="Amazon handbags: A the edges of handbags as drawn lines, B photos. Edges to handbags "
        "is AtoB.",
        archive_bytes=8_600_000_000,
        homepage="https://github.com/junyanz/iGAN",
        settings={"direction": "AtoB", "epochs": 15, "batch_size": 4, "jitter": False, "flip": False},
    ),
    NamedSet(
        name="night2day",
        description="Transient Attributes: A places by night, B the same by day, as the name says (not "
        "verified). Day to night is BtoA.",
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
"""The data sets of the CycleGAN paper; ``cycle_gan/cityscapes`` left tensorflow-datasets for its license."""

NAMED: Mapping[str, NamedSet] = {**CATALOG, **CYCLE_GAN}

_TFDS_NAME = re.compile(r"[a-z][a-z0-9_]*")  # without a configuration, which would look like a path


def full_name(dataset: str) -> str:
    """Returns the one spelling of a name: 'pix2pix/maps' is 'maps', 'horse2zebra' 'cycle_gan/horse2zebra'."""
    bare = dataset.removeprefix("pix2pix/")
    if bare in CATALOG:
        return bare
    return f"cycle_gan/{dataset}" if dataset in _CYCLE_GAN else dataset


def kind_of(name: str) -> Literal["pairs", "unpaired", "images"]:
    """Returns the kind of the data set of a full name."""
    if name in NAMED:
        return NAMED[name].kind
    return "pairs" if name == PROCEDURAL else "images"


def label_sides(data: DataConfig) -> str:
    """Returns which of A and B are label maps, as far as a data set's name tells: "", "A", "B" or "AB"."""
    if data.label_maps != "auto":
        return {"none": "", "both": "AB"}.get(data.label_maps, data.label_maps)
    name = full_name(data.dataset)
    return "B" if name == PROCEDURAL else NAMED[name].labels if name in NAMED else ""


def settings_of(dataset: str) -> Mapping[str, Any]:
    """Returns the settings that a data set brings. A folder brings none, the procedural one a model's."""
    name = full_name(dataset)
    return NAMED[name].settings if name in NAMED else {}


def classes_known_of(dataset: str) -> Mapping[str, tuple[int, ...]]:
    """Returns the known classes and colors of a data set's label maps."""
    if dataset == PROCEDURAL:
        from pix2pix_tf.data.procedural.canvas import PALETTE

        return PALETTE
    name = full_name(dataset)
    return NAMED[name].classes if name in NAMED else {}


def looks_like_path(dataset: str) -> bool:
    """Whether ``--dataset`` is a folder rather than a name.

    A word that is no name of ours and no folder that is there may be a name of tensorflow-datasets, which
    only that can tell.
    """
    name = full_name(dataset)
    if name == PROCEDURAL or name in NAMED:
        return False
    return _TFDS_NAME.fullmatch(dataset) is None or Path(dataset).exists()
