"""Data sets of tensorflow-datasets: the real builder of CycleGAN's, fed by a small archive."""

from __future__ import annotations

import hashlib
import io
import zipfile

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core.download.checksums import UrlInfo
from tensorflow_datasets.image_classification import cycle_gan

from pix2pix_tf import preset, replace
from pix2pix_tf.data import preparing
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.published import is_published, open_published_dataset, published_counts
from pix2pix_tf.data.sources import open_dataset
from pix2pix_tf.errors import DataError, SystemFault
from tests.data.test_download import Server, serving

COUNTS = {"trainA": 5, "trainB": 3, "testA": 2, "testB": 4}


def jpeg(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8 + shade % 3, 6), (shade, shade, shade)).save(buffer, "JPEG")
    return buffer.getvalue()


def shade(place: int, number: int) -> int:
    return 60 * place + 5 * number


def pack(path, leave_out="", **others):
    """A zip of the public ones' layout; each image has a shade of its own."""
    with zipfile.ZipFile(path, "w") as packed:
        for place, (split, count) in enumerate(COUNTS.items()):
            packed.writestr(f"horse2zebra/{split}/", b"")
            for number in range(count if split != leave_out else 0):
                packed.writestr(f"horse2zebra/{split}/n0{number}.jpg", jpeg(shade(place, number)))
        for name, data in others.items():
            packed.writestr(f"horse2zebra/{name}.jpg", data)
    return path


@pytest.fixture
def archive(tmp_path):
    return pack(tmp_path / "말 horse2zebra.zip")


def shades(images) -> list[int]:
    read = [images.read(tf.constant(index, tf.int64)) for index in range(len(images))]
    return sorted(round(float(image.numpy().mean())) for (image,) in read)


def test_the_unpaired_sets_of_an_archive_are_prepared_once_and_read(tmp_path, archive):
    first = open_published_dataset("cycle_gan/horse2zebra", tmp_path / "kept", archive)
    archive.unlink()
    again = open_published_dataset("cycle_gan/horse2zebra", tmp_path / "kept")
    assert first.identity() == again.identity()
    assert first.kind == "unpaired"
    assert first.sides == (PixelFormat(), PixelFormat())
    for split, places in {"train": (0, 1), "test": (2, 3)}.items():
        for images, place in zip(again.splits[split], places, strict=True):
            counted = list(COUNTS.values())[place]
            np.testing.assert_allclose(
                shades(images), [shade(place, number) for number in range(counted)], atol=2
            )
            assert len(set(images.names)) == counted
    assert published_counts("cycle_gan/horse2zebra", tmp_path / "kept") == COUNTS
    assert published_counts("cycle_gan/apple2orange", tmp_path / "kept") == {}


def test_a_bare_name_is_trained_on_unpaired_or_by_its_target_side(tmp_path, archive):
    config = replace(preset("horse2zebra"), data_dir=tmp_path / "kept", archive=archive)
    assert "5 + 3 train, 2 + 4 test unpaired" in open_dataset(config, "unpaired").description()
    assert open_dataset(config, "images").count("train") == COUNTS["trainB"]
    assert open_dataset(replace(config, direction="BtoA"), "images").count("train") == COUNTS["trainA"]
    with pytest.raises(DataError, match="horse2zebra"):
        open_dataset(config, "pairs")


def test_a_download_is_the_builder_s_own(tmp_path, archive, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    content = archive.read_bytes()
    with serving(Server(content=content)) as server:
        url = f"{server.url.rpartition('/')[0]}/horse2zebra.zip"
        digest = hashlib.sha256(content).hexdigest()
        info = UrlInfo(size=len(content), checksum=digest, filename="horse2zebra.zip")
        monkeypatch.setitem(cycle_gan._DL_URLS, "horse2zebra", url)
        monkeypatch.setattr(cycle_gan.CycleGAN, "url_infos", {url: info})
        downloaded = open_published_dataset("cycle_gan/horse2zebra", tmp_path / "one")
    unpacked = open_published_dataset("cycle_gan/horse2zebra", tmp_path / "two", archive)
    assert downloaded.identity() == unpacked.identity()


def test_offline_costs_one_line_that_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setitem(cycle_gan._DL_URLS, "horse2zebra", "http://127.0.0.1:9/horse2zebra.zip")
    monkeypatch.setattr(preparing, "_DOWNLOAD_RETRIES", 0)
    with pytest.raises(SystemFault, match=r"archive.*data-dir") as fault:
        open_published_dataset("cycle_gan/horse2zebra", tmp_path)
    assert "\n" not in str(fault.value)
    assert published_counts("cycle_gan/horse2zebra", tmp_path) == {}


@pytest.mark.parametrize("damage", ["not a zip", "cut", "side missing"])
def test_an_archive_that_is_no_use_is_named_and_nothing_stays(tmp_path, archive, damage):
    if damage == "not a zip":
        archive.write_bytes(b"hello")
    elif damage == "cut":
        archive.write_bytes(archive.read_bytes()[:-40])
    else:
        pack(archive, leave_out="trainB")
    with pytest.raises(DataError) as fault:
        open_published_dataset("cycle_gan/horse2zebra", tmp_path / "kept", archive)
    assert str(archive) in str(fault.value)
    assert "\n" not in str(fault.value)
    assert ("trainB" in str(fault.value)) == (damage == "side missing")
    assert published_counts("cycle_gan/horse2zebra", tmp_path / "kept") == {}
    pack(archive)
    assert open_published_dataset("cycle_gan/horse2zebra", tmp_path / "kept", archive).count("train") == 5


def test_broken_images_are_refused_or_left_out_and_named(tmp_path):
    archive = pack(tmp_path / "x.zip", **{"trainA/broken": jpeg(9)[:-100], "testB/text": b"hello"})
    with pytest.raises(DataError, match=r"trainA-\d+.*skip-bad-images"):
        open_published_dataset("cycle_gan/horse2zebra", tmp_path, archive)
    for _ in range(2):  # as found, and as remembered
        dataset = open_published_dataset("cycle_gan/horse2zebra", tmp_path, skip_bad_images=True)
        assert [name.split("-")[0] for name in dataset.skipped] == ["trainA", "testB"]
        assert [list(map(len, sets)) for sets in dataset.splits.values()] == [[5, 3], [2, 4]]
        np.testing.assert_allclose(shades(dataset.splits["train"][0]), range(0, 25, 5), atol=2)


class Noise(tfds.core.GeneratorBasedBuilder):
    """Another data set with images, and grey ones, without a network."""

    VERSION = tfds.core.Version("1.0.0")
    url_infos = None

    def _info(self):
        features = {"image": tfds.features.Image(shape=(4, 5, 1)), "label": tfds.features.Text()}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(6), "validation": self._generate_examples(2)}

    def _generate_examples(self, count):
        for number in range(count):
            yield number, {"image": np.full((4, 5, 1), 40 * number, np.uint8), "label": "grey"}


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_images_of_any_other_data_set(tmp_path, file_format):
    if file_format == "array_record":
        pytest.importorskip("array_record")
    Noise(data_dir=tmp_path).download_and_prepare(file_format=file_format)
    config = replace(preset("noise"), data_dir=tmp_path)
    dataset = open_dataset(config, "images")
    assert (dataset.kind, dataset.sides) == ("images", (PixelFormat(channels=1),))
    assert {split: dataset.count(split) for split in dataset.splits} == {"train": 6, "val": 2}
    assert shades(dataset.splits["train"][0]) == list(range(0, 240, 40))
    with pytest.raises(DataError, match="noise"):
        open_dataset(config, "unpaired")


def test_names_that_tensorflow_datasets_does_not_have(tmp_path):
    assert is_published("oxford_flowers102")
    assert not is_published("no_such_data_set")
    with pytest.raises(DataError, match="cycle_gan/cityscapes"):
        open_published_dataset("cycle_gan/cityscapes", tmp_path)
    with pytest.raises(DataError, match=r"no_such_data_set': .*horse2zebra"):
        open_dataset(replace(preset("no_such_data_set"), data_dir=tmp_path), "images")


@pytest.mark.parametrize("damage", ["records", "description", "no description"])
def test_prepared_files_that_are_damaged_are_to_be_deleted(tmp_path, archive, damage):
    open_published_dataset("cycle_gan/horse2zebra", tmp_path, archive)
    (info,) = tmp_path.rglob("dataset_info.json")
    if damage == "records":
        (records,) = tmp_path.rglob("*trainB.tfrecord*")
        records.write_bytes(records.read_bytes()[:-10])
    elif damage == "description":
        info.write_text("{")
    else:
        info.unlink()
    with pytest.raises(DataError, match="delete") as fault:
        open_published_dataset("cycle_gan/horse2zebra", tmp_path)
    assert str(tmp_path / "cycle_gan" / "horse2zebra") in str(fault.value)
    assert "\n" not in str(fault.value)
