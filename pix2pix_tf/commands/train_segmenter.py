"""``pix2pix train-segmenter``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from pix2pix_tf import config as configs
from pix2pix_tf.commands.parsing import start_frameworks
from pix2pix_tf.models.registry import preset


@dataclasses.dataclass(frozen=True)
class TrainSegmenterOptions:
    """Trains the segmentation network that 'evaluate' uses.

    Without it, 'evaluate' trains the network when needed.
    """

    dataset: str
    """Pairs with a label map on one side: a name, or the path of a folder."""
    image_size: tuple[int, ...] = (256, 256)
    """Height and width of the network's input."""
    data_dir: Path | None = None
    """Directory of data sets and of the network."""
    archive: Path | None = None
    """A local copy of the data set's .tar.gz, used instead of a download."""
    label_maps: Literal["auto", "A", "B"] = "auto"
    """Side that is a label map; 'auto' uses the data set's declaration."""


def run(options: TrainSegmenterOptions) -> None:
    config = configs.replace(preset(options.dataset), **vars(options))
    start_frameworks()
    from pix2pix_tf.data.names import data_root
    from pix2pix_tf.data.sources import open_dataset
    from pix2pix_tf.evaluation.segmentation import load_or_train

    segmenter = load_or_train(open_dataset(config, "pairs"), config.data.size, data_root(options.data_dir))
    print(f"segmentation network on real photos: {segmenter.scores}")
