"""The public pix2pix data sets, as a tensorflow-datasets builder and as sources of pairs.

``tfds.load("pix2pix/facades")`` works after ``import pix2pix_tf``. Whichever way a data set was prepared,
:func:`open_catalog_dataset` reads it with random access and in the natural order of the file names.
Importing this module doesn't import TensorFlow.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tensorflow_datasets as tfds

from pix2pix_tf.data.archives import Archive, archived_images, check_contents
from pix2pix_tf.data.download import download_archive
from pix2pix_tf.data.names import CATALOG, CatalogSet
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.preparing import (
    data_root,
    existing_archive,
    preparation,
    prepared_builder,
    prepared_counts,
)
from pix2pix_tf.data.records import open_split, record_digests
from pix2pix_tf.data.sets import ImageDataset, Images
from pix2pix_tf.errors import DataError

if TYPE_CHECKING:
    import tensorflow as tf

PUBLIC_SERVER = "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets"

_VERSION = "1.0.0"
_CITATION = """@inproceedings{isola2017image,
  title = {Image-to-Image Translation with Conditional Adversarial Networks},
  author = {Isola, Phillip and Zhu, Jun-Yan and Zhou, Tinghui and Efros, Alexei A.},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  year = {2017},
}"""


@dataclasses.dataclass(kw_only=True, eq=False)
class CatalogConfig(tfds.core.BuilderConfig):
    """One data set of the catalogue, as tensorflow-datasets wants it."""

    facts: CatalogSet


@dataclasses.dataclass(frozen=True)
class CatalogEntry:
    """What is known of a data set of the catalogue without opening it.

    Args:
        facts: its name, what is in it, and how much there is to download.
        url: the archive on the public server.
        counts: pairs in each split: of the prepared data set, else the verified ones; may be empty.
        prepared: the folder of the prepared data set, None if it isn't there.
    """

    facts: CatalogSet
    url: str
    counts: Mapping[str, int]
    prepared: Path | None


class Pix2pix(tfds.core.GeneratorBasedBuilder):
    """Builds each data set from its archive, storing the JPEG files as they are.

    Args:
        archive: a local ``.tar.gz`` to read in place instead of downloading.
        mirror: where to download from, as in :func:`archive_url`; the public server if None.
        skip_bad_images: leave broken images out and note their names, instead of refusing the archive.
        show_progress: show the download's progress on a terminal.
        **kwargs: as of every builder: ``config``, ``data_dir``, ``version``.
    """

    VERSION = tfds.core.Version(_VERSION)
    # tensorflow-datasets would look for checksums of its own downloads, and there are none.
    url_infos = None
    BUILDER_CONFIGS = [  # noqa: RUF012 (what tensorflow-datasets declares)
        CatalogConfig(name=facts.name, description=facts.description, facts=facts)
        for facts in CATALOG.values()
    ]

    def __init__(
        self,
        *,
        archive: Path | None = None,
        mirror: str | None = None,
        skip_bad_images: bool = False,
        show_progress: bool = True,
        **kwargs: Any,
    ):
        self._archive = archive
        self._mirror = mirror
        self._skip_bad_images = skip_bad_images
        self._show_progress = show_progress
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.builder_config.description,
            features=tfds.features.FeaturesDict(
                {
                    "pair": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
                    "name": tfds.features.Text(),
                }
            ),
            homepage=self.builder_config.facts.homepage,
            citation=_CITATION,
            license=self.builder_config.facts.license or None,
            metadata=tfds.core.MetadataDict(skipped=[]),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[str, dict[str, Any]]]]:
        name = self.builder_config.name
        if self._archive is None:
            url = archive_url(name, self._mirror or PUBLIC_SERVER)
            target = Path(dl_manager.download_dir) / "pix2pix" / f"{name}.tar.gz"
            archive = Archive(download_archive(url, target, self._show_progress), downloaded=True)
        else:
            archive = Archive(Path(self._archive), downloaded=False)
        present = check_contents(archive, name, self.builder_config.facts.counts)
        return {split: self._generate_examples(archive, split) for split in present}

    def _generate_examples(self, archive: Archive, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        good = 0
        for image in archived_images(archive, self.builder_config.name):
            if image.split != split:
                continue
            data = image.read()
            fault = _image_fault(data)
            if fault is None:
                good += 1
                yield image.name, {"pair": data, "name": image.name}
            elif self._skip_bad_images:
                self.info.metadata["skipped"].append(image.path)
            else:
                raise archive.error(f"{image.path} {fault} (--skip-bad-images leaves out what is broken)")
        if good == 0:
            raise archive.error(f"no image of {split} can be read")


def catalog_entries(data_dir: Path | None) -> list[CatalogEntry]:
    """Lists the catalogue, and what of it is prepared in ``data_dir``."""
    root = data_root(data_dir)
    return [_entry(facts, root) for facts in CATALOG.values()]


def open_catalog_dataset(
    name: str,
    data_dir: Path | None,
    archive: Path | None = None,
    mirror: str | None = None,
    skip_bad_images: bool = False,
    show_progress: bool = True,
) -> ImageDataset:
    """Opens a public data set, after downloading and preparing it if that was never done.

    A prepared data set needs neither network nor archive. A is the left and B the right half of each
    image, in the natural order of the file names.

    Args:
        archive: a local ``.tar.gz``, read in place instead of a download.
        mirror: another server, as in :func:`archive_url`.
    """
    facts = _facts(name)
    builder = _prepared(
        name,
        data_root(data_dir),
        archive=archive,
        mirror=mirror,
        skip_bad_images=skip_bad_images,
        show_progress=show_progress,
    )
    skipped = tuple(builder.info.metadata.get("skipped", ()))
    if skipped and not skip_bad_images:
        raise DataError(
            f"{name} was prepared without {len(skipped)} broken image(s), {skipped[0]} the first; go on "
            f"without them with --skip-bad-images, or delete {builder.data_dir} to prepare it again"
        )
    sides = (PixelFormat(labels="A" in facts.labels), PixelFormat(labels="B" in facts.labels))
    splits = {split: (_open_pairs(builder, split, show_progress),) for split in sorted(builder.info.splits)}
    return ImageDataset(name, sides, splits, skipped)


def _open_pairs(builder: Pix2pix, split: str, show_progress: bool) -> Images:
    names, read = open_split(builder, split, image="pair", name="name")
    known = functools.partial(record_digests, Path(builder.data_dir), split, len(names), read, show_progress)
    return Images(names, lambda index: _decode_pair(read(index)), lambda: known()[:, 1:])


def _decode_pair(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    from pix2pix_tf.data.images import decode_in_pipeline
    from pix2pix_tf.data.pixels import split_side_by_side

    return split_side_by_side(decode_in_pipeline(data, PixelFormat()))


def archive_url(name: str, mirror: str) -> str:
    """Returns the address of a data set's archive on a mirror.

    Args:
        name: of the data set.
        mirror: the address of a folder that holds ``NAME.tar.gz``, or that of the file itself.
    """
    return mirror if mirror.lower().endswith(".tar.gz") else f"{mirror.rstrip('/')}/{name}.tar.gz"


def _facts(name: str) -> CatalogSet:
    if name in CATALOG:
        return CATALOG[name]
    near = difflib.get_close_matches(name, CATALOG, n=1)
    guess = f"; did you mean {near[0]}?" if near else ";"
    raise DataError(f"the catalogue has no data set {name!r}{guess} It has {', '.join(CATALOG)}")


def _prepared_folder(name: str, root: Path) -> Path:
    return root / Pix2pix.name / name / _VERSION


def _entry(facts: CatalogSet, root: Path) -> CatalogEntry:
    folder = _prepared_folder(facts.name, root)
    counts = prepared_counts(folder)
    is_prepared = "train" in counts
    return CatalogEntry(
        facts=facts,
        url=archive_url(facts.name, PUBLIC_SERVER),
        counts=counts if is_prepared else facts.counts,
        prepared=folder if is_prepared else None,
    )


# ---------------------------------------------------------------------------- preparing


def _prepared(name: str, root: Path, archive: Path | None, show_progress: bool, **options: Any) -> Pix2pix:
    """Returns a builder whose files are there."""

    def builder() -> Pix2pix:
        return Pix2pix(config=name, data_dir=root, archive=archive, show_progress=show_progress, **options)

    folder = _prepared_folder(name, root)
    if folder.exists():
        return prepared_builder(builder, folder, needed="train")
    archive = existing_archive(archive, ".tar.gz")
    with preparation(root, name, show_progress):
        prepared = builder()
        prepared.download_and_prepare()
    return prepared


def _image_fault(data: bytes) -> str | None:
    """Returns what is wrong with the bytes of an image, None if it is a pair in JPEG."""
    from pix2pix_tf.data.images import decode_image

    # More kinds can be decoded, but what is stored is declared to be JPEG.
    if not data.startswith(b"\xff\xd8\xff"):
        return "is not a JPEG file"
    try:
        width = decode_image(data, channels=3).shape[1]
    except DataError as error:
        return f"can't be used ({str(error).partition(';')[0]})"
    return None if width >= 2 else "can't be used (it is too narrow to be a pair)"
