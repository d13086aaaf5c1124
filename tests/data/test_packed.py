"""Packed data sets: the folder's images in its order, from a few files."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pix2pix_tf import preset
from pix2pix_tf.data.checking.report import check_dataset
from pix2pix_tf.data.packed import MANIFEST, is_pack, open_pack, write_records
from pix2pix_tf.data.sources import open_dataset, usual_kind
from pix2pix_tf.errors import ConfigError, DataError
from tests.data.folders import config_of, open_folder, pack_folder


@pytest.fixture
def folders(tmp_path, save_image):
    """A folder of each layout and depth, by the kind that it is taken as."""
    for number in range(12):
        for split in ("train", "val"):
            save_image(tmp_path / f"pairs/{split}/Fassade {number}.png", 80, 30, seed=number)
        save_image(tmp_path / f"deep/A/{number}.png", mode="L", seed=number)
        save_image(tmp_path / f"deep/B/{number}.png", mode="I;16", seed=100 + number)
        save_image(tmp_path / f"unpaired/trainA/a{number}.jpg", 40 + number, 30, seed=number)
        save_image(tmp_path / f"images/{number}.webp", 40, 30 + number, seed=number)
        measured = np.random.default_rng(number).normal(size=(30, 40)).astype(np.float32)
        (tmp_path / "measured").mkdir(exist_ok=True)
        measured[0, :number] = np.nan
        Image.fromarray(measured).save(tmp_path / f"measured/{number}.tif")
    for number in range(5):
        save_image(tmp_path / f"unpaired/trainB/b{number}.png", 50, 60, mode="RGBA", seed=number)
    return tmp_path


KINDS = {"pairs": "pairs", "deep": "pairs", "unpaired": "unpaired", "images": "images", "measured": "images"}


@pytest.mark.parametrize("name", KINDS)
def test_a_pack_reads_what_its_folder_reads(folders, name):
    folder, out = folders / name, folders / "packed 한글" / name
    seed = 0 if (folder / "train").exists() or (folder / "trainA").exists() else 3
    expected = open_folder(folder, KINDS[name], split_seed=seed)
    pack_folder(folder, out, KINDS[name], split_seed=seed)
    found = open_pack(out, config_of(out), KINDS[name])
    assert (found.sides, found.kind, found.name) == (expected.sides, expected.kind, expected.name)
    assert usual_kind(str(out)) == found.kind
    assert found.identity() == expected.identity()
    assert found.splits.keys() == expected.splits.keys()
    for split, sets in expected.splits.items():
        for images, packed in zip(sets, found.splits[split], strict=True):
            assert list(packed.names) == list(images.names)
            numbers = tf.data.Dataset.range(len(images))  # in a graph, as the pipeline reads
            for one, other in zip(numbers.map(images.read), numbers.map(packed.read), strict=True):
                for image, same in zip(one, other, strict=True):
                    assert image.dtype == same.dtype
                    np.testing.assert_array_equal(image, same)


def test_records_continue_in_the_next_shard(folders):
    records = [(f"{number}", [bytes([number]) * 50]) for number in range(10)]
    digests = np.arange(20, dtype=np.uint64).reshape(10, 2)
    written = write_records(folders / "out", "train", records, digests, shard_bytes=200)
    assert len(written["shards"]) == 4
    index = np.load(folders / "out/train.index.npy")
    assert index[:, 0].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]
    assert index[:, 2:].tolist() == digests.tolist()
    assert {path.name for path in (folders / "out").iterdir()} == {*written["shards"], "train.index.npy"}


def test_packs_are_complete_or_absent_and_never_overwritten(folders):
    out = folders / "packed"
    pack_folder(folders / "pairs", out)
    for place in (out, folders / "pairs", folders / "pairs" / "train" / ".."):
        with pytest.raises(ConfigError, match="--out"):
            pack_folder(folders / "pairs", place)
    (out / MANIFEST).unlink()  # written last
    assert not is_pack(out)
    pack_folder(folders / "pairs", out)
    assert len(open_pack(out).splits["train"][0]) == 12


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"format": 3', '"format": 9'),
        ('"sides"', '"side"'),
        ('"channels": 3', '"channels": 70000'),
        ('"missing": null', '"missing": 70000'),
        ('"splits": {', '"splits": {}, "unused": {'),
        ("}", ""),
    ],
)
def test_a_damaged_manifest_is_refused(folders, before, after):
    pack_folder(folders / "pairs", folders / "packed")
    manifest = folders / "packed" / MANIFEST
    stored = manifest.read_text()
    assert before in stored
    manifest.write_text(stored.replace(before, after))
    with pytest.raises(DataError):
        open_pack(folders / "packed")


@pytest.mark.parametrize("damage", ["no shard", "no index", "short index"])
def test_damaged_shards_and_indexes_are_refused(folders, damage):
    pack_folder(folders / "pairs", folders / "packed")
    index = folders / "packed" / "train.index.npy"
    if damage == "no shard":
        (folders / "packed" / "train-00000.tfrecord").unlink()
    elif damage == "no index":
        index.unlink()
    else:
        np.save(index, np.load(index)[:-1])
    with pytest.raises(DataError):
        open_pack(folders / "packed")


def test_a_damaged_record_is_reported_by_reading_and_by_check(folders):
    out = folders / "packed"
    pack_folder(folders / "pairs", out)
    shard = out / "train-00000.tfrecord"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    [images] = open_pack(out).splits["train"]
    with pytest.raises(tf.errors.DataLossError):
        list(tf.data.Dataset.range(len(images)).map(images.read))
    report = check_dataset(preset(str(out)), preset(str(out)))
    assert not report.is_good
    [[case]] = [finding.cases for finding in report.findings]
    assert case.remark.startswith("corrupted record at ")
    assert "[" not in case.remark


def test_a_pack_of_another_kind_is_refused(folders):
    for name in ("unpaired", "images"):
        pack_folder(folders / name, folders / "packed" / name, KINDS[name])
        with pytest.raises(DataError):
            open_dataset(preset(str(folders / "packed" / name)), "pairs")
    assert open_dataset(preset(str(folders / "packed/unpaired")), "images").kind == "images"


def test_pairs_of_a_pack_as_unpaired_sets(folders):
    pack_folder(folders / "pairs", folders / "packed")
    apart = open_dataset(preset(str(folders / "packed"), "cyclegan"))
    assert [list(images.names) for images in apart.splits["train"]] == [
        [f"Fassade {number}" for number in range(first, 12, 2)] for first in range(2)
    ]
    assert apart.identity() != open_pack(folders / "packed").identity()


def test_requested_ranges(folders):
    pack_folder(folders / "measured", folders / "packed", "images")
    [side] = open_pack(folders / "packed", config_of("./measured", output_range=(-8.0, 8.0)), "images").sides
    assert side == dataclasses.replace(open_pack(folders / "packed").sides[0], value_range=(-8.0, 8.0))
