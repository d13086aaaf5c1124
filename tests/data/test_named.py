"""Named data sets, from small archives made here."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core.download.checksums import UrlInfo

from pix2pix_tf import preset, replace
from pix2pix_tf.data import archives, download, named, tfds_images
from pix2pix_tf.data.named import named_folder, stored_counts
from pix2pix_tf.data.names import CYCLE_GAN, facts_of
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.sources import open_dataset, open_existing
from pix2pix_tf.errors import ConfigError, DataError, SystemFault
from pix2pix_tf.files import UNFINISHED
from tests.data.folders import read_all
from tests.data.test_download import Server, serving

HORSES = "cycle_gan/horse2zebra"


def encoded(seed: int, width: int = 16, kind: str = "JPEG") -> bytes:
    """A small image; at 16 pixels its halves are whole blocks, so that no color crosses over."""
    pixels = np.random.default_rng(seed).integers(0, 256, (2, width // 4, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels.repeat(4, 0).repeat(4, 1)).save(buffer, kind, quality=90)
    return buffer.getvalue()


def files(dataset: str, **counts: int) -> dict[str, bytes]:
    """The files of an archive: NAME/SPLIT/1.jpg and so on."""
    paths = [f"{dataset}/{split}/{n + 1}.jpg" for split, count in counts.items() for n in range(count)]
    return {path: encoded(seed) for seed, path in enumerate(sorted(paths))}


MAP_FILES = files("maps", train=12, val=3)
HORSE_FILES = files("horse2zebra", trainA=5, trainB=3, testA=2, testB=4)


def write_tar(path: Path, contents: dict[str, bytes], *others: tarfile.TarInfo) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for other in others:
            tar.addfile(other, io.BytesIO(b"\0" * other.size))
        for name, data in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def write_zip(path: Path, contents: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return path


def special(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


def decoded(data: bytes) -> np.ndarray:
    return tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE").numpy()


def open_named_dataset(name, data_dir, **settings):
    config = replace(preset(name), data_dir=data_dir, **settings)
    return named.open_named_dataset(name, config, facts_of(name).kind)


@pytest.fixture(autouse=True)
def _direct(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSES_SECONDS", ())


@pytest.fixture
def root(tmp_path):
    return tmp_path / "준비된 자료"


@pytest.fixture
def maps(tmp_path):
    return write_tar(tmp_path / "내 자료" / "지도 maps.tar.gz", MAP_FILES)


@pytest.fixture
def horses(tmp_path):
    return write_zip(tmp_path / "말 horse2zebra.zip", HORSE_FILES)


# ---------------------------------------------------------------------------- reading


def test_pairs_are_the_halves_of_the_archived_images_in_natural_order(root, maps, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(root))
    open_named_dataset("maps", None, archive=maps)
    maps.unlink()
    dataset = open_named_dataset("maps", root)  # needs neither archive nor network
    assert (dataset.name, dataset.kind, dataset.skipped) == ("maps", "pairs", [])
    assert list(dataset.splits) == ["train", "val"]
    for split, (pairs,) in dataset.splits.items():
        assert list(pairs.names) == [str(n + 1) for n in range(len(pairs))]
        for name, pair in zip(pairs.names, read_all(pairs), strict=True):
            whole = decoded(MAP_FILES[f"maps/{split}/{name}.jpg"])
            np.testing.assert_array_equal(np.concatenate(pair, axis=1), whole)
    assert stored_counts("maps", root) == {"train": 12, "val": 3}
    assert stored_counts("cityscapes", root) == {}


def test_photos_that_go_on_in_the_right_half_are_pairs_all_the_same(root, tmp_path):
    seamless = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").resize((64, 32)).save(seamless, "JPEG")
    contents = {f"night2day/train/{number}.jpg": seamless.getvalue() for number in range(12)}
    archive = write_tar(tmp_path / "night2day.tar.gz", contents)
    assert open_named_dataset("night2day", root, archive=archive).kind == "pairs"


def test_the_unpaired_sets_of_a_zip(root, horses):
    dataset = open_named_dataset(HORSES, root, archive=horses)
    assert (dataset.kind, dataset.sides) == ("unpaired", (PixelFormat(), PixelFormat()))
    for split, sets in dataset.splits.items():
        for side, images in zip("AB", sets, strict=True):
            for name, (image,) in zip(images.names, read_all(images), strict=True):
                whole = decoded(HORSE_FILES[f"horse2zebra/{split}{side}/{name}.jpg"])
                np.testing.assert_array_equal(image, whole)
    assert stored_counts(HORSES, root) == {"trainA": 5, "trainB": 3, "testA": 2, "testB": 4}


def test_a_bare_name_is_trained_on_unpaired_or_by_its_target_side(root, horses):
    config = replace(preset("horse2zebra"), data_dir=root, archive=horses)
    assert open_existing(config) is None  # there is something to extract first
    assert "5 + 3 train, 2 + 4 test unpaired" in open_dataset(config, "unpaired").description()
    assert open_existing(replace(preset("horse2zebra", "cyclegan"), data_dir=root)) is not None
    assert open_dataset(config, "images").count("train") == 3
    assert open_dataset(replace(config, direction="BtoA"), "images").count("train") == 5
    with pytest.raises(DataError, match="horse2zebra"):
        open_dataset(config, "pairs")


def test_broken_images_are_refused_or_left_out_and_named(root, tmp_path):
    contents = files("maps", train=4) | {"maps/train/bad.jpg": encoded(0)[:-200]}
    archive = write_tar(tmp_path / "maps.tar.gz", contents)
    with pytest.raises(DataError, match=r"bad\.jpg.*skip-bad-images"):
        open_named_dataset("maps", root, archive=archive)
    dataset = open_named_dataset("maps", root, skip_bad_images=True)
    assert [Path(file).name for file in dataset.skipped] == ["bad.jpg"]
    assert list(dataset.splits["train"][0].names) == ["1", "2", "3", "4"]


# ---------------------------------------------------------------------------- where it comes from


@pytest.mark.parametrize("name", ["maps", HORSES])
def test_a_download_is_extracted_and_deleted(name, tmp_path, maps, horses, monkeypatch):
    archive = maps if name == "maps" else horses
    with serving(Server(content=archive.read_bytes())) as server:
        address = server.url.rsplit("/", 1)[0]
        file_name = f"{name.split('/')[-1]}{'.tar.gz' if name == 'maps' else '.zip'}"
        for mirror in (address, f"{address}/OTHER.ZIP"):
            data_dir = tmp_path / mirror.rsplit("/", 1)[-1]
            if name == HORSES:
                digest = hashlib.sha256(archive.read_bytes()).hexdigest()
                monkeypatch.setattr(tfds_images, "cycle_gan_source", lambda _, digest=digest: ("", digest))
            dataset = open_named_dataset(name, data_dir, mirror_url=mirror)
            left = [path for path in data_dir.rglob("*") if path.suffix not in ("", ".jpg", ".json", ".lock")]
            assert not left
    assert [Path(path).name for path in server.paths] == [file_name, "OTHER.ZIP"]
    assert dataset.identity() == open_named_dataset(name, tmp_path / "local", archive=archive).identity()


def test_a_download_with_another_digest_is_refused(root, horses):
    with serving(Server(content=horses.read_bytes())) as server, pytest.raises(SystemFault, match="SHA-256"):
        open_named_dataset(HORSES, root, mirror_url=server.url)
    assert not [path for path in root.rglob("*") if path.suffix in (".zip", ".part", ".gz")]


@pytest.mark.parametrize("name", ["maps", HORSES])
def test_offline_costs_one_line_that_says_what_to_do(name, root):
    with pytest.raises(SystemFault, match=r"offline.*--archive.*--mirror-url") as fault:
        open_named_dataset(name, root, mirror_url="http://127.0.0.1:9")
    assert "\n" not in str(fault.value)
    assert stored_counts(name, root) == {}


def test_offline_a_local_folder_of_that_name_is_mentioned(root, tmp_path, monkeypatch):
    (tmp_path / "maps").mkdir()
    monkeypatch.chdir(tmp_path)
    config = replace(preset("maps"), data_dir=root, mirror_url="http://127.0.0.1:9")
    with pytest.raises(SystemFault, match=r"--dataset \./maps"):
        open_dataset(config)


def test_public_archives_are_listed_with_their_digests():
    for name in CYCLE_GAN:
        url, digest = tfds_images.cycle_gan_source(f"{Path(name).name}.zip")
        assert url.startswith("https://")
        assert len(bytes.fromhex(digest)) == 32


@pytest.mark.parametrize("name", ["cycle_gan/cityscapes", "no_such_data_set"])
def test_names_that_nothing_has(name, root):
    with pytest.raises(DataError, match=f"{name}.*(did you mean|horse2zebra)"):
        open_dataset(replace(preset(name), data_dir=root), "images")


def test_archive_and_data_dir_that_are_none(root, maps):
    for archive, problem in ((maps.parent / "none.zip", "does not exist"), (maps.parent, "is a folder")):
        with pytest.raises(DataError, match=f"--archive: .* {problem}"):
            open_named_dataset("maps", root, archive=archive)
    with pytest.raises(ConfigError, match=r"--data-dir: .* is a file"):
        open_named_dataset("maps", maps, archive=maps)


# ---------------------------------------------------------------------------- archives that are no use


def refusal(root, archive, name="maps") -> str:
    """Opens what must be refused with one line that names the archive, and leaves nothing behind."""
    with pytest.raises(DataError) as fault:
        open_named_dataset(name, root, archive=archive)
    message = str(fault.value)
    assert "\n" not in message
    assert str(archive) in message
    assert "--archive" in message
    assert not [path for path in root.rglob("*") if path.suffix in (".jpg", UNFINISHED)]
    return message


@pytest.mark.parametrize("path", ["/etc/evil", "maps/../../evil", "maps\\..\\..\\evil", "C:\\evil"])
def test_paths_that_leave_their_folder_are_refused(root, tmp_path, path):
    contents = files("maps", train=2) | {path: b""}
    assert "unsafe" in refusal(root, write_tar(tmp_path / "maps.tar.gz", contents))
    assert "unsafe" in refusal(root, write_zip(tmp_path / "maps.zip", contents))


def test_nothing_but_the_images_is_extracted(root, tmp_path):
    (tmp_path / "secret.jpg").write_bytes(encoded(0))
    others = [
        special("maps/train", tarfile.DIRTYPE),
        special("maps/train/._1.jpg", tarfile.REGTYPE),
        special("maps/train/link.jpg", tarfile.SYMTYPE, str(tmp_path / "secret.jpg")),
        special("maps/train/hard.jpg", tarfile.LNKTYPE, "../secret.jpg"),
        special("maps/train/device.jpg", tarfile.CHRTYPE),
        special("maps/README.txt", tarfile.REGTYPE),
        special("maps/extra/1.jpg", tarfile.REGTYPE),
        special("other/train/1.jpg", tarfile.REGTYPE),
    ]
    contents = {f"./{path}": data for path, data in files("maps", train=2).items()}
    open_named_dataset("maps", root, archive=write_tar(tmp_path / "maps.tar.gz", contents, *others))
    folder = named_folder("maps", root)
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")) == [
        "train", "train/1.jpg", "train/2.jpg",
    ]  # fmt: skip


def flipped_bit(data: bytes) -> bytes:
    stored = bytearray(gzip.compress(gzip.decompress(data), compresslevel=0))
    stored[stored.index(b"\xff\xd8\xff") + 300] ^= 1
    return bytes(stored)


DAMAGES = {
    "cut in the middle": lambda data: data[: len(data) // 2],
    "cut before the checksum": lambda data: data[:-4],
    "no archive": lambda _: b"<html>",
    "no tar": lambda _: gzip.compress(b"not a tar" * 200, mtime=0),
    "a flipped bit": flipped_bit,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_tar_is_refused(root, maps, damage):
    maps.write_bytes(DAMAGES[damage](maps.read_bytes()))
    assert "damaged" in refusal(root, maps)


@pytest.mark.parametrize("is_cut", [True, False])
def test_a_damaged_zip_is_refused_and_another_is_taken(root, horses, is_cut):
    data = horses.read_bytes()
    flipped = bytearray(data)
    flipped[data.index(b"\xff\xd8\xff") + 300] ^= 1
    horses.write_bytes(data[:-40] if is_cut else flipped)
    assert "damaged" in refusal(root, horses, HORSES)
    horses.write_bytes(data)
    assert open_named_dataset(HORSES, root, archive=horses).count("train") == 5


@pytest.mark.parametrize(
    ("name", "contents", "problem"),
    [
        ("maps", files("cityscapes", train=2), "no images in maps/train"),
        ("maps", files("maps", val=2), "no images in maps/train"),
        ("facades", files("facades", train=399, val=1), "399 images in facades/train instead of 400"),
        ("maps", files("maps", train=1) | {"./maps/train/1.jpg": b""}, "duplicate"),
        (HORSES, files("horse2zebra", trainA=1), "no images in horse2zebra/trainB"),
    ],
)
def test_archives_of_other_content_are_refused(root, tmp_path, name, contents, problem):
    assert problem in refusal(root, write_tar(tmp_path / "some.tar.gz", contents), name)


def test_archives_that_expand_to_more_than_images_do_are_refused(root, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_LARGEST_IMAGE", 10_000)
    for contents in ({"1.jpg": bytes(10_001)}, {f"{number}.jpg": bytes(9_000) for number in range(100)}):
        paths = {f"maps/train/{name}": data for name, data in contents.items()}
        assert "too large" in refusal(root, write_tar(tmp_path / "maps.tar.gz", paths))


# ---------------------------------------------------------------------------- whole or not at all


def test_what_a_killed_process_left_is_not_mixed_in(root, maps):
    left = root / "images" / f".maps{UNFINISHED}" / "train" / "0.jpg"
    left.parent.mkdir(parents=True)
    left.write_bytes(encoded(0))
    assert open_named_dataset("maps", root, archive=maps).count("train") == 12
    assert [path.name for path in (root / "images").iterdir()] == ["maps"]


# ---------------------------------------------------------------------------- tensorflow-datasets


class Noise(tfds.core.GeneratorBasedBuilder):
    """A data set with gray images, without a network unless one has an address."""

    VERSION = tfds.core.Version("1.0.0")
    url_infos = None

    def _info(self):
        features = {"image": tfds.features.Image(shape=(4, 5, 1)), "label": tfds.features.Text()}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(6), "validation": self._generate_examples(2)}

    def _generate_examples(self, count):
        for number in range(count):
            yield number, {"image": np.full((4, 5, 1), 40 * number, np.uint8), "label": "gray"}


class RealNoise(Noise):
    def _info(self):
        features = {"image": tfds.features.Image(shape=(4, 5, 1), dtype=np.float32)}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))


@pytest.mark.parametrize("file_format", [None, "tfrecord", "array_record"])
def test_images_of_any_other_data_set_are_written_once(root, file_format):
    if file_format is not None:
        pytest.importorskip(file_format if file_format == "array_record" else "tensorflow")
        Noise(data_dir=root).download_and_prepare(file_format=file_format)
    config = replace(preset("noise"), data_dir=root)
    dataset = open_dataset(config, "images")
    assert (dataset.kind, dataset.sides) == ("images", (PixelFormat(channels=1),))
    assert {split: dataset.count(split) for split in dataset.splits} == {"train": 6, "val": 2}
    assert sorted(int(image.max()) for (image,) in read_all(dataset.splits["train"][0])) == [
        *range(0, 240, 40)
    ]
    assert (root / "noise").exists() == (file_format is not None)  # what was prepared for it alone is gone
    assert stored_counts("noise", root) == {"train": 6, "val": 2}
    with pytest.raises(DataError, match="noise"):
        open_dataset(config, "unpaired")


def test_other_data_sets_that_are_no_use_cost_one_line(root, monkeypatch):
    monkeypatch.setattr(
        Noise, "url_infos", {"http://127.0.0.1:9/noise.zip": UrlInfo(size=1, checksum="", filename="")}
    )
    with pytest.raises(SystemFault, match=r"noise could not be downloaded.*--data-dir") as offline:
        open_named_dataset("noise", root)
    assert "\n" not in str(offline.value)

    def fail(*_):
        raise KeyError("no such file")

    monkeypatch.setattr(Noise, "url_infos", None)
    monkeypatch.setattr(Noise, "_generate_examples", fail)
    with pytest.raises(DataError, match="noise can't be prepared"):
        open_named_dataset("noise", root)
    with pytest.raises(DataError, match="no images"):
        open_named_dataset("imdb_reviews", root)
    with pytest.raises(DataError, match=r"real numbers.*--dataset"):
        open_named_dataset("real_noise", root)
    assert not list((root / "images").iterdir())


# ---------------------------------------------------------------------------- other processes


def run_python(code: str, home: Path) -> subprocess.CompletedProcess:
    environment = os.environ | {
        "HOME": str(home),
        "USERPROFILE": str(home),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    environment.pop("TFDS_DATA_DIR", None)
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_plain_tfds_load_reads_what_is_extracted(tmp_path, maps):
    open_named_dataset("maps", tmp_path / "tensorflow_datasets", archive=maps)
    done = run_python(
        "import tensorflow_datasets as tfds, pix2pix_tf\n"
        "import socket; socket.socket.connect = socket.getaddrinfo = None\n"
        "data, info = tfds.load('pix2pix/maps', split='val', with_info=True)\n"
        "names = sorted(each['name'].numpy().decode() for each in data)\n"
        "print(info.splits['train'].num_examples, names, next(iter(data))['pair'].shape)",
        tmp_path,
    )
    assert done.stdout.splitlines()[-1] == "12 ['1', '2', '3'] (8, 16, 3)", done.stderr


@pytest.mark.slow
def test_preparing_prints_nothing(tmp_path):
    done = run_python(
        "from pathlib import Path; from tests.data.test_named import Noise, open_named_dataset\n"
        f"open_named_dataset('noise', Path({str(tmp_path / 'data')!r}))",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    loud = ("dataset", "tfds", "warning:absl", "rendezvous", "traceback")
    assert not [line for line in done.stderr.splitlines() if any(word in line.lower() for word in loud)]
