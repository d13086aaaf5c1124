"""Packed data sets: millions of image files in a few large files, which open quickly.

``pack.json`` describes the data set. TFRecord shards contain the unchanged files of each set, and
``NAME.index.npy`` has the offset of each record and the digests of its images. An open set needs only 16
bytes of memory per image. Random access works as for folders.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from pix2pix_tf.config import DataConfig, DataKind, TrainConfig
from pix2pix_tf.data.dataset import ImageDataset, Images, LazyNames, sides_of_sets
from pix2pix_tf.data.folder import digests_of, formats_of, read_sides, requested_formats, usable_survey
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.reading import decode_in_pipeline
from pix2pix_tf.errors import ConfigError, DataError
from pix2pix_tf.files import write_whole, written_whole

MANIFEST = "pack.json"
SHARD_BYTES = 1 << 28
_FORMAT = 3
_READ_AHEAD_BYTES = 1 << 16  # about one image
_FRAME_BYTES = 16  # TFRecord framing: length, and checksums of length and content

Record = tuple[str, Sequence[bytes]]
"""A name, and the bytes of the image file or files."""


def is_pack(folder: Path) -> bool:
    """Whether a folder is a packed data set."""
    return (folder / MANIFEST).is_file()


def pack_folder(folder: Path, out: Path, config: TrainConfig, kind: DataKind) -> ImageDataset:
    """Checks and packs a folder of images."""
    if is_pack(out):
        raise ConfigError(f"--out {out} already has a packed data set; give a different folder, or delete it")
    if out.resolve() == folder.resolve():
        raise ConfigError(f"--out {out} is the folder of the images; give a different folder")
    survey = usable_survey(folder, config, kind)
    sides = formats_of(survey)
    settings = ("split_seed", "val_share", "test_share")
    is_usual = all(getattr(config.data, name) == getattr(DataConfig, name) for name in settings)
    if not (survey.is_split_here or is_usual):
        raise ConfigError(
            f"--seed and shares have no effect on {folder}, which already has splits; omit them"
        )
    if config.data.ignore not in {None, *(side.ignore for side in sides)}:
        raise ConfigError(f"--ignore has no effect with {folder}, which has no measurements or gray images")
    splits: dict[str, list[dict[str, Any]]] = {}
    for split, sets in survey.splits.items():
        splits[split] = []
        for items, place in zip(sets, ("",) if len(sets) == 1 else ("-A", "-B"), strict=True):
            files = ((item.name, [file.read_bytes() for file in item.files]) for item in items)
            shown = tqdm(files, f"packing {split}{place}", len(items), unit="image", delay=2, disable=None)
            written = write_records(out, split + place, shown, digests_of(items, survey))
            splits[split].append({**written, "halved": survey.is_halved})
    write_manifest(out, folder.resolve().name, sides, splits)
    return open_pack(out)


def write_manifest(
    out: Path, name: str, sides: Sequence[PixelFormat], splits: Mapping[str, Sequence[Mapping[str, Any]]]
) -> None:
    """Writes pack.json, after all other files: an incomplete pack has none."""
    manifest = {
        "format": _FORMAT,
        "name": name,
        "sides": [dataclasses.asdict(side) for side in sides],
        "splits": splits,  # ``halved`` marks sets of side-by-side files
    }
    write_whole(out / MANIFEST, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")


def write_records(
    out: Path, name: str, records: Iterable[Record], digests: np.ndarray, shard_bytes: int = SHARD_BYTES
) -> dict[str, Any]:
    """Writes one set's shards and index; returns the set's entry of the manifest."""
    places: list[tuple[int, int]] = []  # shard and offset of each record
    shards: list[str] = []
    end = shard_bytes
    with contextlib.ExitStack() as open_shard:
        for record_name, files in records:
            if end >= shard_bytes:
                open_shard.close()
                shards.append(f"{name}-{len(shards):05d}.tfrecord")
                unfinished = open_shard.enter_context(written_whole(out / shards[-1]))
                writer = open_shard.enter_context(tf.io.TFRecordWriter(str(unfinished)))
                end = 0
            example = tf.train.Example()
            example.features.feature["name"].bytes_list.value.append(record_name.encode())
            example.features.feature["files"].bytes_list.value.extend(files)
            record = example.SerializeToString()
            writer.write(record)
            places.append((len(shards) - 1, end))
            end += len(record) + _FRAME_BYTES
    index = np.concatenate([np.array(places, np.int64), digests.view(np.int64)], axis=1)
    with written_whole(out / f"{name}.index.npy") as unfinished, unfinished.open("wb") as file:
        np.save(file, index)
    return {"name": name, "count": len(index), "shards": shards}


def open_pack(folder: Path, config: TrainConfig | None = None, kind: DataKind = "pairs") -> ImageDataset:
    """Opens a packed data set, as it is stored or with the configured ranges and channels."""
    try:
        stored = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if stored["format"] != _FORMAT:
            raise DataError(
                f"{folder} has pack format {stored['format']} instead of {_FORMAT}; pack it again"
            )
        if not stored["splits"]:
            raise ValueError("no splits")
        sides = tuple(map(PixelFormat.from_json, stored["sides"]))
        if config is not None:
            sides = requested_formats(sides, config, kind, folder)
        return ImageDataset(
            name=stored["name"],
            sides=sides,
            splits={
                split: tuple(
                    _images(folder, each, of_set)
                    for each, of_set in zip(sets, sides_of_sets(sides, sets), strict=True)
                )
                for split, sets in stored["splits"].items()
            },
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"the packed data set {folder} is damaged ({error}); pack it again") from error


def _images(folder: Path, stored: dict[str, Any], sides: tuple[PixelFormat, ...]) -> Images:
    index = np.load(folder / f"{stored['name']}.index.npy", mmap_mode="r", allow_pickle=False)
    if index.shape != (stored["count"], 2 + len(sides)):
        raise ValueError(f"the index of {stored['name']} doesn't match {stored['count']} images")
    shards = [folder / shard for shard in stored["shards"]]
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing:
        raise ValueError(f"{missing[0]} is missing")
    with tf.device("CPU"):
        shard_files = tf.constant(list(map(str, shards)))
        shard_of, offset_of = tf.constant(index[:, 0]), tf.constant(index[:, 1])
    features = {
        "name": tf.io.FixedLenFeature([], tf.string),
        "files": tf.io.FixedLenFeature([1 if stored["halved"] else len(sides)], tf.string),
    }

    def parsed(number: tf.Tensor) -> dict[str, tf.Tensor]:
        file = tf.gather(shard_files, tf.gather(shard_of, number))
        return tf.io.parse_single_example(_read_record(file, tf.gather(offset_of, number)), features)

    def read(number: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return read_sides(tf.unstack(parsed(number)["files"]), sides, decode_in_pipeline)

    names = LazyNames(stored["count"], lambda number: parsed(tf.constant(number))["name"].numpy().decode())
    return Images(names, read, lambda: index[:, 2:].view(np.uint64))


def _read_record(file: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """Reads the record at a byte offset of a TFRecord file and verifies its checksum."""
    one_string = {"output_types": [tf.string], "output_shapes": [[]]}
    # tf.data.TFRecordDataset can't start at an offset, but the underlying operation can.
    records = tf.raw_ops.TFRecordDatasetV2(
        filenames=[file], compression_type="", buffer_size=_READ_AHEAD_BYTES, byte_offsets=[offset]
    )
    first = tf.raw_ops.TakeDataset(input_dataset=records, count=1, **one_string)
    (record,) = tf.raw_ops.DatasetToSingleElement(dataset=first, **one_string)
    return record
