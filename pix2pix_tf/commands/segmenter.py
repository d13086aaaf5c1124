"""``pix2pix train-segmenter``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from pix2pix_tf import config as configs
from pix2pix_tf.commands.parsing import parse, start_frameworks
from pix2pix_tf.models.registry import preset


@dataclasses.dataclass(frozen=True)
class TrainSegmenterArgs:
    """Trains, once, the network that finds classes in photos; 'evaluate' trains it where it needs one."""

    dataset: str
    """A name or the path of a folder: pairs with a label map on one side."""
    image_size: tuple[int, ...] = (256, 256)
    """Height and width of its input."""
    data_dir: Path | None = None
    """Where data sets and the network are saved."""
    archive: Path | None = None
    """A copy of the data set's .tar.gz on this machine, used instead of a download."""
    label_maps: Literal["auto", "A", "B"] = "auto"
    """The side that is a label map; 'auto' asks the data set."""


def run(arguments: list[str]) -> int:
    args = parse(TrainSegmenterArgs, "train-segmenter", arguments)
    config = configs.replace(
        preset(args.dataset),
        data_dir=args.data_dir,
        archive=args.archive,
        image_size=args.image_size,
        label_maps=args.label_maps,
    )
    start_frameworks()
    from pix2pix_tf.data.named import data_root
    from pix2pix_tf.data.sources import open_dataset
    from pix2pix_tf.evaluation.segmentation import load_or_train

    segmenter = load_or_train(open_dataset(config, "pairs"), config.data.size, data_root(args.data_dir))
    print(f"real photos, classified by that network: {segmenter.real}")
    return 0
