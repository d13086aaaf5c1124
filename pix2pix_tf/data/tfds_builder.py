"""Makes the data sets of the pix2pix paper available in tensorflow-datasets.

Importing this module registers ``pix2pix/facades`` and the others, without importing TensorFlow.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from pix2pix_tf.data.named import prepare_folder
from pix2pix_tf.data.names import CATALOG

_CITATION = """@inproceedings{isola2017image,
  title = {Image-to-Image Translation with Conditional Adversarial Networks},
  author = {Isola, Phillip and Zhu, Jun-Yan and Zhou, Tinghui and Efros, Alexei A.},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  year = {2017},
}"""


class Pix2pix(tfds.core.GeneratorBasedBuilder):
    """The data sets of the pix2pix paper for tensorflow-datasets.

    Each example is a dictionary with ``pair``, uint8 [height, width, 3], both images side by side as in the
    file, and ``name``, the name of the file. Importing ``pix2pix_tf`` registers the builder. It uses the
    images that ``pix2pix data download`` extracts, and downloads them if necessary.

    Args:
        data_dir: Folder where data sets are stored, as ``--data-dir``.
        **kwargs: Arguments of every builder, such as ``config``, the name of the data set.

    Example:
        >>> import pix2pix_tf
        >>> import tensorflow_datasets as tfds
        >>> pairs = tfds.load("pix2pix/facades", split="train")
    """

    VERSION = tfds.core.Version("1.0.0")
    # tensorflow-datasets would look for checksums of downloads, which don't exist here.
    url_infos = None
    BUILDER_CONFIGS = [  # noqa: RUF012 (what tensorflow-datasets declares)
        tfds.core.BuilderConfig(name=facts.name, description=facts.description) for facts in CATALOG.values()
    ]

    def __init__(self, *, data_dir: str | os.PathLike[str] | None = None, **kwargs: Any):
        self._images_root = None if data_dir is None else Path(data_dir)
        super().__init__(data_dir=data_dir, **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        facts = CATALOG[self.builder_config.name]
        return tfds.core.DatasetInfo(
            builder=self,
            description=facts.description,
            features=tfds.features.FeaturesDict(
                {"pair": tfds.features.Image(shape=(None, None, 3)), "name": tfds.features.Text()}
            ),
            homepage=facts.homepage,
            citation=_CITATION,
            license=facts.license or None,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[str, dict[str, Any]]]]:
        folder = prepare_folder(self.builder_config.name, self._images_root)
        return {split.name: self._generate_examples(split) for split in sorted(folder.iterdir())}

    def _generate_examples(self, split: Path) -> Iterator[tuple[str, dict[str, Any]]]:
        from pix2pix_tf.data.layout import files_by_name

        for name, path in files_by_name(split)[0].items():
            yield name, {"pair": os.fspath(path), "name": name}
