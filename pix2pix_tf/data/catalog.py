"""The public pix2pix data sets, as a tensorflow-datasets builder and as sources of pairs.

``tfds.load("pix2pix/facades")`` works after ``import pix2pix_tf``. Whichever way a data set was prepared,
:func:`open_catalog_dataset` reads it with random access and in the natural order of the file names.
Importing this module doesn't import TensorFlow.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import difflib
import functools
import gzip
import io
import json
import mmap
import os
import posixpath
import re
import struct
import sys
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tensorflow_datasets as tfds

from pix2pix_tf.data.download import download_archive
from pix2pix_tf.data.pairs import PairDataset, Side, Split, natural_key
from pix2pix_tf.errors import ConfigError, DataError, SystemFault
from pix2pix_tf.files import explain_disk_faults, first_line, printable

if TYPE_CHECKING:
    import tensorflow as tf

    from pix2pix_tf.data.pairs import ReadPair

PUBLIC_SERVER = "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets"

_SPLITS = ("train", "val", "test")
_VERSION = "1.0.0"
_READ_BYTES = 1 << 16
"""How much to read ahead for one record: about an image."""
_CITATION = """@inproceedings{isola2017image,
  title = {Image-to-Image Translation with Conditional Adversarial Networks},
  author = {Isola, Phillip and Zhu, Jun-Yan and Zhou, Tinghui and Efros, Alexei A.},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  year = {2017},
}"""


@dataclasses.dataclass(kw_only=True, eq=False)
class CatalogConfig(tfds.core.BuilderConfig):
    """One data set of the catalogue.

    Args:
        sides: what A (the left half of each image) and B (the right half) are like.
        archive_bytes: about how much there is to download.
        counts: images in each split, where that is verified; the others are learnt at preparation.
        homepage: where the pictures come from.
        license: what is certain about the pictures' licence, empty if nothing.
    """

    sides: tuple[Side, Side] = (Side(), Side())
    archive_bytes: int
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    homepage: str = "https://phillipi.github.io/pix2pix/"
    license: str = ""

    @property
    def url(self) -> str:
        """The archive on the public server."""
        return archive_url(self.name, PUBLIC_SERVER)


_CONFIGS = (
    CatalogConfig(
        name="facades",
        description="CMP Facades: A photos of facades, B their label maps. Labels to photo is BtoA.",
        sides=(Side(), Side(labels=True)),
        archive_bytes=30_000_000,
        counts={"train": 400, "val": 100, "test": 106},
        homepage="https://cmp.felk.cvut.cz/~tylecr1/facade/",
    ),
    CatalogConfig(
        name="cityscapes",
        description="Cityscapes: A photos of streets, B their label maps. Labels to photo is BtoA.",
        sides=(Side(), Side(labels=True)),
        archive_bytes=103_000_000,
        homepage="https://www.cityscapes-dataset.com/",
        license="Non-commercial purposes only; see https://www.cityscapes-dataset.com/license/",
    ),
    CatalogConfig(
        name="maps",
        description="Google Maps around New York: A aerial photos, B maps. Aerial photo to map is AtoB, "
        "map to aerial photo is BtoA; the paper shows both.",
        archive_bytes=246_000_000,
    ),
    CatalogConfig(
        name="edges2shoes",
        description="UT Zappos50K: A the edges of shoes as drawn lines, B photos. Edges to shoes is AtoB.",
        archive_bytes=2_200_000_000,
        homepage="https://vision.cs.utexas.edu/projects/finegrained/utzap50k/",
    ),
    CatalogConfig(
        name="edges2handbags",
        description="Amazon handbags: A the edges of handbags as drawn lines, B photos. Edges to handbags "
        "is AtoB.",
        archive_bytes=8_600_000_000,
        homepage="https://github.com/junyanz/iGAN",
    ),
    CatalogConfig(
        name="night2day",
        description="Transient Attributes: A places by night, B the same by day, as the name says (not "
        "verified). Day to night is BtoA.",
        archive_bytes=2_100_000_000,
        homepage="http://transattr.cs.brown.edu/",
    ),
)


@dataclasses.dataclass(frozen=True)
class CatalogEntry:
    """What is known of a data set of the catalogue without opening it.

    Args:
        name: what ``--dataset`` takes.
        description: one line on A, B and the usual direction.
        url: the archive on the public server.
        archive_bytes: about how much there is to download.
        counts: pairs in each split: of the prepared data set, else the verified ones; may be empty.
        license: what is certain about the pictures' licence, empty if nothing.
        prepared: the folder of the prepared data set, None if it isn't there.
    """

    name: str
    description: str
    url: str
    archive_bytes: int
    counts: Mapping[str, int]
    license: str
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
    BUILDER_CONFIGS = list(_CONFIGS)  # noqa: RUF012 (what tensorflow-datasets declares)

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
            homepage=self.builder_config.homepage,
            citation=_CITATION,
            license=self.builder_config.license or None,
            metadata=tfds.core.MetadataDict(skipped=[]),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[str, dict[str, Any]]]]:
        config = self.builder_config
        if self._archive is None:
            url = archive_url(config.name, self._mirror or PUBLIC_SERVER)
            target = Path(dl_manager.download_dir) / "pix2pix" / f"{config.name}.tar.gz"
            archive = _Archive(download_archive(url, target, self._show_progress), downloaded=True)
        else:
            archive = _Archive(Path(self._archive), downloaded=False)
        present = _check_contents(archive, config)
        return {split: self._generate_examples(archive, split) for split in present}

    def _generate_examples(self, archive: _Archive, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        good = 0
        for image in _images(archive, self.builder_config.name):
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


def catalog_names() -> tuple[str, ...]:
    """Returns the names of the public data sets."""
    return tuple(config.name for config in _CONFIGS)


def catalog_entries(data_dir: Path | None) -> list[CatalogEntry]:
    """Lists the catalogue, and what of it is prepared.

    Args:
        data_dir: where data sets are kept; as tensorflow-datasets if None.

    Returns:
        An entry for each data set.
    """
    root = data_root(data_dir)
    return [_entry(config, root) for config in _CONFIGS]


def open_catalog_dataset(
    name: str,
    data_dir: Path | None,
    archive: Path | None = None,
    mirror: str | None = None,
    skip_bad_images: bool = False,
    show_progress: bool = True,
) -> PairDataset:
    """Opens a public data set, after downloading and preparing it if that was never done.

    A prepared data set needs neither network nor archive.

    Args:
        name: one of :func:`catalog_names`.
        data_dir: where data sets are kept; None is as tensorflow-datasets: ``$TFDS_DATA_DIR``, else
            ``~/tensorflow_datasets``.
        archive: a local ``.tar.gz``, read in place instead of a download.
        mirror: another server, as in :func:`archive_url`.
        skip_bad_images: leave broken images out and count them, instead of refusing the data set.
        show_progress: show bars while downloading and preparing, if stderr is a terminal.

    Returns:
        The pairs: A the left and B the right half of each image, ``uint8`` RGB in [0, 255], in natural
        order of the file names.

    Raises:
        ConfigError: ``data_dir`` isn't a folder, or ``mirror`` no address.
        DataError: an unknown name, or an archive or a prepared data set that can't be used.
        SystemFault: no network, no space, no permission.
    """
    config = _config(name)
    builder = _prepared_builder(
        config,
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
    splits = {split: _open_split(builder, split) for split in sorted(builder.info.splits)}
    return PairDataset(name, config.sides, splits, skipped)


def archive_url(name: str, mirror: str) -> str:
    """Returns the address of a data set's archive on a mirror.

    Args:
        name: of the data set.
        mirror: the address of a folder that holds ``NAME.tar.gz``, or that of the file itself.
    """
    return mirror if mirror.endswith(".tar.gz") else f"{mirror.rstrip('/')}/{name}.tar.gz"


def _config(name: str) -> CatalogConfig:
    for config in _CONFIGS:
        if config.name == name:
            return config
    near = difflib.get_close_matches(name, catalog_names(), n=1)
    guess = f"; did you mean {near[0]}?" if near else ";"
    raise DataError(f"the catalogue has no data set {name!r}{guess} It has {', '.join(catalog_names())}")


def data_root(data_dir: Path | None) -> Path:
    """Returns where data sets are kept: ``data_dir``, or where tensorflow-datasets keeps them.

    Raises:
        ConfigError: it is a file.
    """
    root = Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    if root.exists() and not root.is_dir():
        raise ConfigError(f"--data-dir: {root} is a file; give a folder")
    return root


def _prepared_folder(config: CatalogConfig, root: Path) -> Path:
    return root / Pix2pix.name / config.name / _VERSION


def _entry(config: CatalogConfig, root: Path) -> CatalogEntry:
    folder = _prepared_folder(config, root)
    try:
        info = json.loads((folder / "dataset_info.json").read_text("utf-8"))
        found = {split["name"]: sum(map(int, split["shardLengths"])) for split in info["splits"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        found = {}
    is_prepared = "train" in found
    return CatalogEntry(
        name=config.name,
        description=config.description or "",
        url=config.url,
        archive_bytes=config.archive_bytes,
        counts=found if is_prepared else config.counts,
        license=config.license,
        prepared=folder if is_prepared else None,
    )


# ---------------------------------------------------------------------------- preparing


def _prepared_builder(
    config: CatalogConfig, root: Path, archive: Path | None, show_progress: bool, **options: Any
) -> Pix2pix:
    """Returns a builder whose files are there."""
    import filelock

    def builder() -> Pix2pix:
        return Pix2pix(
            config=config.name, data_dir=root, archive=archive, show_progress=show_progress, **options
        )

    folder = _prepared_folder(config, root)
    if folder.exists():
        return _reopened(folder, builder)
    archive = _existing_archive(archive)
    downloads = root / "downloads" / "pix2pix"
    with explain_disk_faults(root, "another --data-dir"):
        downloads.mkdir(parents=True, exist_ok=True)
        # A second program that wants the same data set waits for the first instead of working beside it.
        with filelock.FileLock(downloads / f"{config.name}.prepare.lock"), _hushed(show_progress):
            prepared = builder()
            prepared.download_and_prepare()
    return prepared


def _reopened(folder: Path, builder: Callable[[], Pix2pix]) -> Pix2pix:
    """Returns a builder that has found its files in ``folder``."""
    try:
        prepared = builder()
        is_whole = "train" in prepared.info.splits
    except PermissionError as error:
        raise SystemFault(f"{folder}: can't be read ({error.strerror}); check its permissions") from error
    except Exception as error:  # what tensorflow-datasets raises for damaged files is nowhere declared
        raise _unusable(folder, first_line(error)) from error
    if not is_whole:
        raise _unusable(folder, "dataset_info.json is missing, or knows of no train")
    return prepared


def _unusable(folder: Path, reason: str) -> DataError:
    return DataError(
        f"{folder}: not a prepared data set ({reason}); delete that folder and run again to prepare it anew"
    )


def _existing_archive(archive: Path | None) -> Path | None:
    if archive is None:
        return None
    archive = archive.expanduser()
    if archive.is_dir():
        raise DataError(f"--archive: {archive} is a folder; give the .tar.gz file itself")
    if not archive.exists():
        raise DataError(f"--archive: there is no file {archive}")
    return archive


@contextlib.contextmanager
def _hushed(show_progress: bool) -> Iterator[None]:
    """Keeps tensorflow-datasets from printing its messages, and its bars unless they are wanted."""
    from tensorflow_datasets.core.utils import tqdm_utils

    bars_before = tqdm_utils._active
    tfds.display_progress_bar(show_progress and sys.stderr.isatty())
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        tfds.display_progress_bar(bars_before)


def _image_fault(data: bytes) -> str | None:
    """Returns what is wrong with the bytes of an image, None if it is a pair in JPEG."""
    import tensorflow as tf

    from pix2pix_tf.data.images import MAGIC_NUMBERS, explain_fault

    # The decoder takes other formats too, but what is stored is declared to be JPEG.
    if not data.startswith(MAGIC_NUMBERS["JPEG"]):
        return "is not a JPEG file"
    try:
        with tf.device("CPU"):
            _compiled_decoder()(tf.constant(data))
    except tf.errors.InvalidArgumentError as error:
        return f"can't be used ({explain_fault(error, 'JPEG')})"
    return None


@functools.cache
def _compiled_decoder() -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    import tensorflow as tf

    # Operation by operation, decoding takes four times as long.
    return tf.function(_decode_pair, input_signature=[tf.TensorSpec([], tf.string)])


# ---------------------------------------------------------------------------- reading archives


@dataclasses.dataclass(frozen=True)
class _Archive:
    """A ``.tar.gz``, and whose it is.

    Args:
        path: the file.
        downloaded: it was downloaded here, so it may be deleted; otherwise it is the user's own.
    """

    path: Path
    downloaded: bool

    def error(self, problem: str) -> DataError:
        """Returns the error to raise for what is wrong inside the file."""
        if self.downloaded:
            advice = "delete the file and run again, or give another with --archive FILE"
        else:
            advice = "give another file with --archive, or leave it out to download"
        return DataError(f"{self.path}: {problem}; {advice}")


@dataclasses.dataclass(frozen=True)
class _ArchivedImage:
    """An image met in an archive, readable until the next one is met.

    Args:
        split: train, val or test.
        name: its file's name without the ending.
        member: its place in ``tar``.
        tar: the archive.
    """

    split: str
    name: str
    member: tarfile.TarInfo
    tar: tarfile.TarFile

    @property
    def path(self) -> str:
        """The path inside the archive."""
        return printable(self.member.name)

    def read(self) -> bytes:
        """Returns the bytes of the file."""
        file = self.tar.extractfile(self.member)
        assert file is not None, "only regular files become an _ArchivedImage"
        return file.read()


def _check_contents(archive: _Archive, config: CatalogConfig) -> list[str]:
    """Reads an archive once, to its end.

    Args:
        archive: what to read.
        config: the data set that it should hold.

    Returns:
        The splits that are there.

    Raises:
        DataError: it is damaged, unsafe, of another data set, without ``train``, or has a number of images
            that isn't the verified one.
    """
    names: dict[str, set[str]] = collections.defaultdict(set)
    for image in _images(archive, config.name):
        if image.name in names[image.split]:
            raise archive.error(f"{image.path} is there twice")
        names[image.split].add(image.name)
    if "train" not in names:
        raise archive.error(f"no images in {config.name}/train")
    for split, found in names.items():
        expected = config.counts.get(split, len(found))
        if len(found) != expected:
            raise archive.error(f"{len(found)} images in {config.name}/{split} instead of {expected}")
    return sorted(names)


def _images(archive: _Archive, dataset: str) -> Iterator[_ArchivedImage]:
    """Yields the images of NAME/SPLIT/ in the order of the archive, without writing anything to disk."""
    with _naming_damage(archive), gzip.open(archive.path) as stream:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=1 << 20) as tar:
            for member in tar:
                if _leaves_its_folder(member):
                    raise archive.error(f"not safe, {member.name!r} leads out of its folder")
                folder, file_name = posixpath.split(posixpath.normpath(member.name))
                name, ending = posixpath.splitext(file_name)
                split = folder.removeprefix(f"{dataset}/")
                is_image = ending.lower() in (".jpg", ".jpeg") and not name.startswith(".")
                if member.isreg() and is_image and folder != split and split in _SPLITS:
                    yield _ArchivedImage(split, printable(name), member, tar)
        # tar stops at its own end mark; gzip compares its checksum only when all is read.
        while stream.read(1 << 20):
            pass


@contextlib.contextmanager
def _naming_damage(archive: _Archive) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise archive.error(f"damaged or not a .tar.gz ({error})") from error
    except OSError as error:
        raise SystemFault(f"can't read {archive.path} ({error.strerror or error})") from error


def _leaves_its_folder(member: tarfile.TarInfo) -> bool:
    if _is_outside(member.name):
        return True
    if member.issym():
        # Inside the archive a link's target may climb, as long as it stays below the top.
        target = posixpath.join(posixpath.dirname(member.name), member.linkname)
        return _is_outside(posixpath.normpath(target.replace("\\", "/")))
    return member.islnk() and _is_outside(member.linkname)


def _is_outside(path: str) -> bool:
    # Windows' separators and drives count everywhere, so that no archive is good on one system only.
    path = path.replace("\\", "/")
    return path.startswith("/") or re.match("[A-Za-z]:", path) is not None or ".." in path.split("/")


# ---------------------------------------------------------------------------- random access


def _open_split(builder: Pix2pix, split: str) -> Split:
    """Indexes the TFRecord files of a prepared split."""
    try:
        files = [os.fspath(path) for path in builder.info.splits[split].filepaths]
        records = sorted(
            (natural_key(name), name, shard, offset)
            for shard, file in enumerate(files)
            for offset, name in _records(file)
        )
        if len(records) != builder.info.splits[split].num_examples:
            raise ValueError("records are missing")
        _, names, shards, offsets = zip(*records, strict=True)
    except (OSError, ValueError, IndexError, struct.error) as error:
        raise DataError(
            f"the prepared {split} of {builder.builder_config.name} is damaged ({error}); delete "
            f"{builder.data_dir} and run again"
        ) from error
    return Split(names, _reader(files, shards, offsets))


def _reader(files: list[str], shards: tuple[int, ...], offsets: tuple[int, ...]) -> ReadPair:
    """Returns the function from an index to the pair whose record begins at that place."""
    import tensorflow as tf

    with tf.device("CPU"):
        file_of_shard = tf.constant(files)
        shard_of_pair = tf.constant(shards, tf.int64)
        offset_of_pair = tf.constant(offsets, tf.int64)
    features = {"pair": tf.io.FixedLenFeature([], tf.string)}

    def read(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        file = tf.gather(file_of_shard, tf.gather(shard_of_pair, index))
        record = _read_record(file, tf.gather(offset_of_pair, index))
        return _decode_pair(tf.io.parse_single_example(record, features)["pair"])

    return read


def _read_record(file: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """Reads one record of a TFRecord file, checking its checksum.

    Args:
        file: scalar string.
        offset: int64 scalar, the byte at which the record begins.

    Returns:
        Scalar string.
    """
    import tensorflow as tf

    one_string = {"output_types": [tf.string], "output_shapes": [[]]}
    # tf.data.TFRecordDataset can't begin within a file; the operation below it can.
    records = tf.raw_ops.TFRecordDatasetV2(
        filenames=[file], compression_type="", buffer_size=_READ_BYTES, byte_offsets=[offset]
    )
    first = tf.raw_ops.TakeDataset(input_dataset=records, count=1, **one_string)
    (record,) = tf.raw_ops.DatasetToSingleElement(dataset=first, **one_string)
    return record


def _decode_pair(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    from pix2pix_tf.data.images import decode_image, split_side_by_side

    return split_side_by_side(decode_image(data, channels=3))


def _records(file: str) -> Iterator[tuple[int, str]]:
    """Yields the byte offset and the pair's name of each record of a TFRecord file.

    The file is mapped and only hopped over, because the images would make it gigabytes to read.
    """
    with open(file, "rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        offset = 0
        while offset < len(data):
            # length (8 bytes), its checksum (4), the record, its checksum (4)
            (length,) = struct.unpack_from("<Q", data, offset)
            begin, end = offset + 12, offset + 12 + length
            if end + 4 > len(data):
                raise ValueError(f"{file} ends within a record")
            yield offset, _name_of(data, begin, end)
            offset = end + 4


def _name_of(data: mmap.mmap, begin: int, end: int) -> str:
    """Returns the feature "name" of a serialised tf.train.Example."""
    # Example.features.feature: the entries of a map, each with key = 1 and value = 2
    for entry in _fields(data, *next(_fields(data, begin, end, 1)), 1):
        key_begin, key_end = next(_fields(data, *entry, 1))
        if data[key_begin:key_end] == b"name":
            # Feature.bytes_list.value
            span = next(_fields(data, *entry, 2))
            for _ in range(2):
                span = next(_fields(data, *span, 1))
            return data[span[0] : span[1]].decode("utf-8")
    raise ValueError("a record without a name")


def _fields(data: mmap.mmap, begin: int, end: int, number: int) -> Iterator[tuple[int, int]]:
    """Yields where the contents of a protocol buffer message's fields of one number begin and end."""
    while begin < end:
        tag = data[begin]
        # Every field of an Example and below has a number under 16 and is length-delimited (type 2).
        if tag & 7 != 2:
            raise ValueError("a record that isn't an example")
        begin += 1
        length = shift = 0
        while True:
            byte = data[begin]
            begin += 1
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        if tag >> 3 == number:
            yield begin, begin + length
        begin += length
