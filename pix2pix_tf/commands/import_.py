"""``pix2pix import``."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tyro.conf import Positional

from pix2pix_tf import config as configs
from pix2pix_tf.commands.parsing import start_frameworks
from pix2pix_tf.data.names import UNKNOWN
from pix2pix_tf.wording import quoted


@dataclasses.dataclass(frozen=True)
class ImportOptions:
    """Converts a generator of pytorch-CycleGAN-and-pix2pix to a run.

    Needs the extra 'torch'.
    """

    checkpoint: Positional[Path]
    """latest_net_G.pth or latest_net_G_A.pth: unet_128, unet_256, resnet_6blocks or resnet_9blocks."""
    out: Path
    """Directory of the run."""
    dataset: str = UNKNOWN
    """Training data: a name or the path of a folder. Can also be given to evaluate."""
    direction: configs.Direction | None = None
    """Input side and output side in training; the data set's preset by default. Can also be given to
    predict, evaluate and export."""
    eval: bool = False
    """Use the stored statistics in batch normalization, like the original test.py --eval. By default, use
    each image's statistics, like the original test.py."""


def run(options: ImportOptions) -> None:
    start_frameworks()
    from pix2pix_tf.importing import import_checkpoint

    run, generator = import_checkpoint(**vars(options))
    print(f"{run.path}: {generator.description}, {generator.base_filters} filters, norm {generator.norm}")
    direction = run.read_config().data.direction
    print(f"Input side: {direction[0]}; --direction changes it, here or later")
    print(f"To create images: pix2pix predict {quoted(run.path)} IMAGE_OR_FOLDER --out outputs")
