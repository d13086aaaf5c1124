"""``pix2pix import``."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tyro.conf import Positional

from pix2pix_tf import config as configs
from pix2pix_tf.commands.parsing import parse, start_frameworks
from pix2pix_tf.data.names import UNKNOWN
from pix2pix_tf.wording import quoted


@dataclasses.dataclass(frozen=True)
class ImportArgs:
    """Makes a run of a generator that pytorch-CycleGAN-and-pix2pix has trained; needs the extra torch."""

    checkpoint: Positional[Path]
    """Its latest_net_G.pth, or latest_net_G_A.pth: a unet_128, unet_256, resnet_6blocks or resnet_9blocks."""
    out: Path
    """The directory of the run."""
    dataset: str = UNKNOWN
    """What it was trained on, a name or the path of a folder; evaluate can be told as well."""
    direction: configs.Direction | None = None
    """Which side of pairs it takes, BtoA if it was trained with that; by default the data set's. predict,
    evaluate and export can be told as well."""
    eval: bool = False
    """Normalise by the statistics that training has stored, as their test.py --eval; by default each image by
    itself, as their test.py without it. Only batch normalisation has such."""


def run(arguments: list[str]) -> int:
    args = parse(ImportArgs, "import", arguments)
    start_frameworks()
    from pix2pix_tf.importing import import_checkpoint

    run, generator = import_checkpoint(args.checkpoint, args.out, args.dataset, args.direction, args.eval)
    print(f"{run.path}: {generator.description}, {generator.base_filters} filters, norm {generator.norm}")
    direction = run.read_config().data.direction
    print(f"  of pairs it takes side {direction[0]}, unless --direction says otherwise, here or at its use")
    print(f"  pix2pix predict {quoted(run.path)} IMAGES --out translated")
    return 0
