"""Random access to the images of a data set that tensorflow-datasets has prepared.

It prepares TFRecord files wherever it runs, so that is what is read here, by the offset of each record. Its
own random access is to array_record files, whose package there is for Linux and newer Macs only: it is used
where a data set was prepared that way.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pix2pix_tf.data.sets import natural_key
from pix2pix_tf.errors import DataError, SystemFault
from pix2pix_tf.files import first_line, written_whole

if TYPE_CHECKING:
    import tensorflow as tf

    ReadBytes = Callable[[tf.Tensor], tf.Tensor]

_READ_BYTES = 1 << 16
"""How much to read ahead for one record: about an image."""


def open_split(builder: Any, split: str, image: str, name: str | None) -> tuple[Sequence[str], ReadBytes]:
    """Indexes a split.

    Args:
        builder: a builder of tensorflow-datasets whose files are there.
        split: one of its splits.
        image: the feature that holds the bytes of an image file.
        name: the feature that holds its name; None if there is none, and the number stands for it.

    Returns:
        The names, and a function of TensorFlow operations from an int64 scalar, a place among them, to the
        image's bytes, a scalar string. Names are in natural order; numbers are in the order of the files.

    Raises:
        DataError: the files are damaged, empty, or of a format that can't be read here.
    """
    file_format = builder.info.file_format.value
    try:
        if file_format == "tfrecord":
            return _tfrecords(builder, split, image, name)
        if file_format == "array_record":
            return _array_records(builder, split, image, name)
    except (OSError, ValueError, IndexError, struct.error, ImportError) as error:
        raise DataError(
            f"the prepared {split} of {builder.info.full_name} is damaged ({error}); delete "
            f"{builder.data_path} and run again"
        ) from error
    raise DataError(
        f"{builder.data_path} was prepared as {file_format}, which isn't read here; delete it and run again"
    )


def _tfrecords(builder: Any, split: str, image: str, name: str | None) -> tuple[Sequence[str], ReadBytes]:
    files = [os.fspath(path) for path in builder.info.splits[split].filepaths]
    records = [
        (found, shard, offset) for shard, file in enumerate(files) for offset, found in _records(file, name)
    ]
    if not records or len(records) != builder.info.splits[split].num_examples:
        raise ValueError("records are missing")
    names, shards, offsets = zip(*records, strict=True)
    if name is None:
        return _numbers(split, len(records)), _reader(files, shards, offsets, image)
    order = _natural_order(names)
    shards, offsets = (tuple(column[at] for at in order) for column in (shards, offsets))
    return tuple(names[at] for at in order), _reader(files, shards, offsets, image)


def _array_records(builder: Any, split: str, image: str, name: str | None) -> tuple[Sequence[str], ReadBytes]:
    import tensorflow as tf
    import tensorflow_datasets as tfds

    source = builder.as_data_source(split, decoders={image: tfds.decode.SkipDecoding()})
    if len(source) == 0:
        raise ValueError("records are missing")
    if name is None:
        names, order = _numbers(split, len(source)), list(range(len(source)))
    else:
        stored = [record[name].decode("utf-8") for record in source]
        order = _natural_order(stored)
        names = tuple(stored[at] for at in order)

    def read(index: tf.Tensor) -> tf.Tensor:
        def stored_bytes(place: Any) -> bytes:
            return source[order[int(place)]][image]

        return tf.ensure_shape(tf.numpy_function(stored_bytes, [index], tf.string, stateful=False), [])

    return names, read


def _numbers(split: str, count: int) -> tuple[str, ...]:
    return tuple(f"{split}-{number:06d}" for number in range(count))


def _natural_order(names: Sequence[str]) -> list[int]:
    return sorted(range(len(names)), key=lambda at: natural_key(names[at]))


def _reader(files: list[str], shards: Sequence[int], offsets: Sequence[int], feature: str) -> ReadBytes:
    """Returns the function from an index to a feature of the record that begins at that place."""
    import tensorflow as tf

    read_record = record_reader(files, shards, offsets)
    features = {feature: tf.io.FixedLenFeature([], tf.string)}
    return lambda index: tf.io.parse_single_example(read_record(index), features)[feature]


def record_digests(
    folder: Path, split: str, count: int, read: ReadBytes, show_progress: bool = True
) -> np.ndarray:
    """Returns the `content_digests` of a prepared split's images, ``uint64`` [count, 3], or zeros.

    All are decoded once: what was found is kept beside the prepared files.
    """
    import tensorflow as tf
    from tqdm import tqdm

    from pix2pix_tf.data.checking.decoding import INDEX_VERSION, digests_of_file

    kept = folder / f"decoded-by-pix2pix-{INDEX_VERSION}-{split}.npy"
    with contextlib.suppress(OSError, ValueError, EOFError):
        if (known := np.load(kept, allow_pickle=False)).shape == (count, 3):
            return known
    some = tf.data.Dataset.range(count).map(read, tf.data.AUTOTUNE, deterministic=True).batch(64)
    disable = None if show_progress else True  # None: only on a terminal
    bar = tqdm(desc=f"checking {split}", total=count, unit="image", leave=False, delay=2, disable=disable)
    found: list[tuple[int, int, int]] = []
    try:
        with bar, ThreadPoolExecutor(os.cpu_count()) as executor:
            for stored in some.as_numpy_iterator():
                found += executor.map(digests_of_file, stored)
                bar.update(len(stored))
    except tf.errors.OpError as error:
        raise DataError(
            f"{folder}: {split} is damaged ({first_line(error)}); delete that folder and run again"
        ) from error
    digests = np.array(found, np.uint64)
    with contextlib.suppress(SystemFault), written_whole(kept) as unfinished, unfinished.open("wb") as file:
        np.save(file, digests)  # it only saves time
    return digests


def record_reader(
    files: list[str], shards: Sequence[int] | np.ndarray, offsets: Sequence[int] | np.ndarray
) -> ReadBytes:
    """Returns a function of TensorFlow operations from an int64 scalar to that record, a scalar string.

    Each lies in one of the TFRecord ``files``, its shard, and begins there at an offset in bytes.
    """
    import tensorflow as tf

    with tf.device("CPU"):
        file_of_shard = tf.constant(files)
        shard_of_record = tf.constant(shards, tf.int64)
        offset_of_record = tf.constant(offsets, tf.int64)

    def read(index: tf.Tensor) -> tf.Tensor:
        file = tf.gather(file_of_shard, tf.gather(shard_of_record, index))
        return _read_record(file, tf.gather(offset_of_record, index))

    return read


def _read_record(file: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    """Reads the record of a TFRecord file that begins at a byte, checking its checksum."""
    import tensorflow as tf

    one_string = {"output_types": [tf.string], "output_shapes": [[]]}
    # tf.data.TFRecordDataset can't begin within a file; the operation below it can.
    records = tf.raw_ops.TFRecordDatasetV2(
        filenames=[file], compression_type="", buffer_size=_READ_BYTES, byte_offsets=[offset]
    )
    first = tf.raw_ops.TakeDataset(input_dataset=records, count=1, **one_string)
    (record,) = tf.raw_ops.DatasetToSingleElement(dataset=first, **one_string)
    return record


def _records(file: str, name: str | None) -> Iterator[tuple[int, str]]:
    """Yields the byte offset and the name of each record of a TFRecord file; no name if none is asked for.

    The file is mapped and only hopped over, because the images would make it gigabytes to read.
    """
    if os.path.getsize(file) == 0:  # nothing to map
        return
    with open(file, "rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        offset = 0
        while offset < len(data):
            # length (8 bytes), its checksum (4), the record, its checksum (4)
            (length,) = struct.unpack_from("<Q", data, offset)
            begin, end = offset + 12, offset + 12 + length
            if end + 4 > len(data):
                raise ValueError(f"{file} ends within a record")
            yield offset, "" if name is None else _text_feature(data, begin, end, name.encode())
            offset = end + 4


def _text_feature(data: mmap.mmap, begin: int, end: int, name: bytes) -> str:
    """Returns a feature of a serialised tf.train.Example."""
    # Example.features.feature: the entries of a map, each with key = 1 and value = 2
    for entry in _fields(data, *next(_fields(data, begin, end, 1)), 1):
        key_begin, key_end = next(_fields(data, *entry, 1))
        if data[key_begin:key_end] == name:
            # Feature.bytes_list.value
            span = next(_fields(data, *entry, 2))
            for _ in range(2):
                span = next(_fields(data, *span, 1))
            return data[span[0] : span[1]].decode("utf-8")
    raise ValueError(f"a record without {name.decode()}")


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
