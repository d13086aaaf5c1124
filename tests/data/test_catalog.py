"""The public data sets, from small archives made here and, where it is at hand, the real facades."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pix2pix_tf.data import archives, catalog, download
from pix2pix_tf.data.catalog import catalog_entries, open_catalog_dataset
from pix2pix_tf.data.folder import open_folder_dataset
from pix2pix_tf.data.names import CATALOG
from pix2pix_tf.data.sets import natural_key
from pix2pix_tf.errors import ConfigError, DataError, SystemFault
from tests.data.test_download import Server, serving

REAL_FACADES = Path(__file__).parents[2] / ".." / "shared" / "data" / "facades.tar.gz"


def jpeg(seed: int, height: int = 8, width: int = 16) -> bytes:
    """A small JPEG of a pair; at 16 pixels its halves are whole blocks, so that no colour crosses over."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels.repeat(4, 0).repeat(4, 1)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def files(dataset: str, **counts: int) -> dict[str, bytes]:
    """The files of an archive: NAME/SPLIT/1.jpg and so on."""
    paths = [f"{dataset}/{split}/{n + 1}.jpg" for split, count in counts.items() for n in range(count)]
    return {path: jpeg(seed) for seed, path in enumerate(sorted(paths))}


def pack(path: Path, contents: dict[str, bytes], *others: tarfile.TarInfo) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for other in others:
            tar.addfile(other, io.BytesIO(b"\0" * other.size))
        for name, data in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def special(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


def decoded(data: bytes) -> np.ndarray:
    import tensorflow as tf

    return tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE").numpy()


def read_all(split) -> list[tuple[np.ndarray, np.ndarray]]:
    return [tuple(side.numpy() for side in split.read(index)) for index in range(len(split))]


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def maps(tmp_path):
    return pack(tmp_path / "maps.tar.gz", files("maps", train=12, val=3))


@pytest.fixture(scope="module")
def facades_root(tmp_path_factory):
    """Tiny facades with the numbers of the real ones, prepared in a home's default folder."""
    home = tmp_path_factory.mktemp("home")
    archive = pack(home / "facades.tar.gz", files("facades", train=400, val=100))
    root = home / "tensorflow_datasets"
    open_catalog_dataset("facades", root, archive=archive)
    archive.unlink()
    return root


# ---------------------------------------------------------------------------- reading


def test_pairs_are_the_halves_of_the_stored_images_in_natural_order(root, maps):
    dataset = open_catalog_dataset("maps", root, archive=maps)
    contents = files("maps", train=12, val=3)
    assert list(dataset.splits) == ["train", "val"]
    assert dataset.skipped == ()
    for name, (split,) in dataset.splits.items():
        assert list(split.names) == [str(n + 1) for n in range(len(split))]
        for stem, (a, b) in zip(split.names, read_all(split), strict=True):
            whole = decoded(contents[f"maps/{name}/{stem}.jpg"])
            np.testing.assert_array_equal(a, whole[:, :8])
            np.testing.assert_array_equal(b, whole[:, 8:])


def test_a_folder_of_the_extracted_images_is_known_to_hold_the_same(root, maps, tmp_path):
    with tarfile.open(maps) as archive:
        archive.extractall(tmp_path, filter="data")
    folder = open_folder_dataset(tmp_path / "maps", 0, None, show_progress=False)
    for _ in range(2):  # the second time from what is kept
        dataset = open_catalog_dataset("maps", root, archive=maps)
        for split in dataset.splits:
            assert dataset.identity(split) == folder.identity(split)


def test_middle_column_of_an_odd_width_belongs_to_neither_half(root, tmp_path):
    contents = {"maps/train/1.jpg": jpeg(0, width=20)}
    image = Image.open(io.BytesIO(contents["maps/train/1.jpg"])).crop((0, 0, 17, 8))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG")
    archive = pack(tmp_path / "maps.tar.gz", {"maps/train/1.jpg": buffer.getvalue()})
    ((a, b),) = read_all(open_catalog_dataset("maps", root, archive=archive).splits["train"][0])
    whole = decoded(buffer.getvalue())
    np.testing.assert_array_equal(a, whole[:, :8])
    np.testing.assert_array_equal(b, whole[:, 9:])


def test_original_bytes_are_what_is_stored(root, maps):
    import tensorflow_datasets as tfds

    open_catalog_dataset("maps", root, archive=maps)
    builder = catalog.Pix2pix(config="maps", data_dir=root)
    stored = builder.as_dataset(split="train", decoders={"pair": tfds.decode.SkipDecoding()})
    expected = files("maps", train=12, val=3)
    found = {f"maps/train/{e['name'].numpy().decode()}.jpg": e["pair"].numpy() for e in stored}
    assert found == {path: data for path, data in expected.items() if "/train/" in path}


@pytest.mark.slow
def test_random_access_inside_a_parallel_map(facades_root):
    import tensorflow as tf

    split = open_catalog_dataset("facades", facades_root).splits["train"][0]
    order = np.random.default_rng(0).permutation(np.arange(400).repeat(2))
    pairs = tf.data.Dataset.from_tensor_slices(order).map(split.read, num_parallel_calls=4)
    contents = files("facades", train=400, val=100)
    for index, (a, b) in zip(order, pairs.as_numpy_iterator(), strict=True):
        whole = decoded(contents[f"facades/train/{split.names[index]}.jpg"])
        np.testing.assert_array_equal(np.concatenate([a, b], axis=1), whole)


def test_many_shards_are_one_split(root, maps, monkeypatch):
    from tensorflow_datasets.core.utils import shard_utils

    monkeypatch.setattr(
        shard_utils.ShardConfig, "get_number_shards", lambda self, size, examples: min(examples, 5)
    )
    split = open_catalog_dataset("maps", root, archive=maps).splits["train"][0]
    assert len(list(root.rglob("pix2pix-train.tfrecord-*"))) == 5
    contents = files("maps", train=12, val=3)
    for name, (a, b) in zip(split.names, read_all(split), strict=True):
        whole = decoded(contents[f"maps/train/{name}.jpg"])
        np.testing.assert_array_equal(np.concatenate([a, b], axis=1), whole)


def test_names_sort_as_people_count():
    names = ["a10", "a9", "10", "B", "9", "a", "010", ""]
    assert sorted(names, key=natural_key) == ["", "9", "010", "10", "a", "a9", "a10", "B"]


def test_damaged_prepared_files_are_named(root, maps):
    open_catalog_dataset("maps", root, archive=maps)
    (records,) = root.rglob("pix2pix-val.tfrecord-*")
    records.write_bytes(records.read_bytes()[:-10])
    with pytest.raises(DataError, match=r"prepared val of .*maps.* is damaged") as fault:
        open_catalog_dataset("maps", root)
    assert str(records.parent) in str(fault.value)


def without_train(info: str) -> str:
    content = json.loads(info)
    content["splits"] = [split for split in content["splits"] if split["name"] != "train"]
    return json.dumps(content)


@pytest.mark.parametrize(
    "damage",
    [None, lambda _: "", lambda info: info[:100], lambda _: "[]", lambda _: "{}", without_train],
    ids=["missing", "empty", "truncated", "list", "nothing in it", "no train"],
)
def test_prepared_folder_without_its_description_is_to_be_deleted(root, maps, damage):
    open_catalog_dataset("maps", root, archive=maps)
    (info,) = root.rglob("dataset_info.json")
    if damage is None:
        info.unlink()
    else:
        info.write_text(damage(info.read_text("utf-8")), "utf-8")
    with pytest.raises(DataError, match=r"not a prepared data set .*; delete that folder") as fault:
        open_catalog_dataset("maps", root)
    assert str(fault.value).startswith(f"{info.parent}: ")
    assert "\n" not in str(fault.value)
    entries = {entry.facts.name: entry for entry in catalog_entries(root)}
    assert entries["maps"].prepared is None
    assert not entries["maps"].counts


# ---------------------------------------------------------------------------- where it comes from


def test_download_and_archive_give_the_same(tmp_path, maps, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(Server(content=maps.read_bytes())) as server:
        mirror = server.url.rsplit("/", 1)[0]
        from_mirror = open_catalog_dataset("maps", tmp_path / "one", mirror=mirror)
        from_file = open_catalog_dataset("maps", tmp_path / "two", mirror=server.url)
    assert [asked["Host"] for asked in server.asked] == [server.url.split("/")[2]] * 2
    from_archive = open_catalog_dataset("maps", tmp_path / "three", archive=maps)
    assert (tmp_path / "one/downloads/pix2pix/maps.tar.gz").read_bytes() == maps.read_bytes()
    for other in (from_mirror, from_file):
        for name, (split,) in from_archive.splits.items():
            assert other.splits[name][0].names == split.names
            np.testing.assert_array_equal(read_all(other.splits[name][0]), read_all(split))


def test_mirror_is_a_folder_or_a_file():
    assert catalog.archive_url("maps", "https://mirror/MAPS.TAR.GZ") == "https://mirror/MAPS.TAR.GZ"
    assert catalog.archive_url("maps", "http://host/a/") == "http://host/a/maps.tar.gz"
    assert catalog.archive_url("maps", "http://host/b.tar.gz") == "http://host/b.tar.gz"


def test_archive_with_spaces_and_korean_letters_is_used_in_place(root, tmp_path):
    archive = pack(tmp_path / "내 자료 모음" / "지도 maps.tar.gz", files("maps", train=2))
    data_dir = tmp_path / "준비된 자료"
    assert len(open_catalog_dataset("maps", data_dir, archive=archive).splits["train"][0]) == 2
    assert not list(data_dir.rglob("*.tar.gz"))
    assert len(read_all(open_catalog_dataset("maps", data_dir).splits["train"][0])) == 2


def test_offline_says_what_to_do_and_leaves_nothing(root, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSES_SECONDS", ())
    with pytest.raises(SystemFault, match=r"offline.*archive FILE.*mirror-url URL"):
        open_catalog_dataset("maps", root, mirror="http://127.0.0.1:9")
    assert not list(root.rglob("*.tfrecord*"))
    assert not catalog_entries(root)[2].prepared


def test_default_folder_is_that_of_tensorflow_datasets(maps, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "elsewhere"))
    open_catalog_dataset("maps", None, archive=maps)
    assert (tmp_path / "elsewhere" / "pix2pix" / "maps").is_dir()


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
def test_plain_tfds_load_finds_what_is_prepared(facades_root):
    done = run_python(
        "import tensorflow_datasets as tfds, pix2pix_tf.data.catalog\n"
        "import socket; socket.socket.connect = socket.getaddrinfo = None\n"
        "data, info = tfds.load('pix2pix/facades', split='val', with_info=True)\n"
        "example = next(iter(data))\n"
        "print(info.splits['train'].num_examples, len(data), example['pair'].shape, example['name'].dtype)",
        facades_root.parent,
    )
    assert done.stdout == "400 100 (8, 16, 3) <dtype: 'string'>\n", done.stderr


@pytest.mark.slow
def test_preparing_prints_nothing(tmp_path, maps):
    done = run_python(
        "from pathlib import Path; from pix2pix_tf.data.catalog import open_catalog_dataset\n"
        f"data = open_catalog_dataset('maps', Path({str(tmp_path / 'quiet')!r}), Path({str(maps)!r}))\n"
        "data.splits['train'][0].read(0)",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    loud = ("dataset", "tfds", "warning:absl", "rendezvous", "traceback")
    assert not [line for line in done.stderr.splitlines() if any(word in line.lower() for word in loud)]


def test_listing_the_catalogue_does_not_import_tensorflow(facades_root):
    done = run_python(
        "import sys; from pix2pix_tf.data.catalog import catalog_entries\n"
        "print(catalog_entries(None)[0].prepared, 'tensorflow' in sys.modules)",
        facades_root.parent,
    )
    assert done.stdout == f"{facades_root / 'pix2pix' / 'facades' / '1.0.0'} False\n", done.stderr


def test_entries_tell_what_is_known_and_what_is_prepared(root, maps):
    open_catalog_dataset("maps", root, archive=maps)
    entries = {entry.facts.name: entry for entry in catalog_entries(root)}
    assert list(entries) == list(CATALOG)
    assert entries["maps"].counts == {"train": 12, "val": 3}
    assert entries["maps"].prepared == root / "pix2pix" / "maps" / "1.0.0"
    assert entries["facades"].counts == {"train": 400, "val": 100, "test": 106}
    assert entries["facades"].prepared is None
    assert entries["facades"].url.endswith("/facades.tar.gz")


# ---------------------------------------------------------------------------- bad input


def refused(root, archive, name="maps", **options) -> str:
    """Opens what must be refused with one line that names the archive, and leaves nothing prepared."""
    with pytest.raises(DataError) as fault:
        open_catalog_dataset(name, root, archive=archive, **options)
    message = str(fault.value)
    assert "\n" not in message
    assert str(archive) in message
    assert "archive" in message
    assert not list(root.rglob("*.tfrecord*"))
    return message


@pytest.mark.parametrize(
    "member",
    [
        special("/etc/cron.d/evil", tarfile.REGTYPE),
        special("maps/../../evil", tarfile.REGTYPE),
        special("maps\\..\\..\\evil", tarfile.REGTYPE),
        special("C:\\evil", tarfile.REGTYPE),
        special("maps/train/9.jpg", tarfile.SYMTYPE, "/etc/passwd"),
        special("maps/train/9.jpg", tarfile.SYMTYPE, "../../../evil"),
        special("maps/train/9.jpg", tarfile.LNKTYPE, "../evil"),
    ],
    ids=lambda member: f"{member.name} {member.linkname}",
)
def test_members_that_leave_their_folder_are_refused(root, tmp_path, member):
    archive = pack(tmp_path / "maps.tar.gz", files("maps", train=2), member)
    assert "not safe" in refused(root, archive)


def test_harmless_other_members_are_ignored(root, tmp_path):
    others = [
        special("maps", tarfile.DIRTYPE),
        special("maps/train", tarfile.DIRTYPE),
        special("maps/train/._1.jpg", tarfile.REGTYPE),
        special("maps/train/link.jpg", tarfile.SYMTYPE, "../val/1.jpg"),
        special("maps/README.txt", tarfile.REGTYPE),
        special("maps/extra/1.jpg", tarfile.REGTYPE),
    ]
    contents = {f"./{path}": data for path, data in files("maps", train=2).items()}
    dataset = open_catalog_dataset("maps", root, archive=pack(tmp_path / "maps.tar.gz", contents, *others))
    assert {name: split.names for name, (split,) in dataset.splits.items()} == {"train": ("1", "2")}


def test_names_in_an_archive_that_are_not_unicode(root, tmp_path):
    contents = {os.fsdecode(b"maps/train/\xff.jpg"): jpeg(0), os.fsdecode(b"maps/train/\xfe.jpg"): b"hello"}
    archive = pack(tmp_path / "maps.tar.gz", contents)
    assert r"maps/train/\udcfe.jpg" in refused(root, archive)
    dataset = open_catalog_dataset("maps", root, archive=archive, skip_bad_images=True)
    assert dataset.splits["train"][0].names == (r"\udcff",)
    assert dataset.skipped == (r"maps/train/\udcfe.jpg",)


@pytest.mark.parametrize("keep", [10, 0.5, -4])
def test_truncated_archive_is_damaged(root, maps, keep):
    data = maps.read_bytes()
    maps.write_bytes(data[: int(len(data) * keep) if isinstance(keep, float) else keep])
    assert "damaged" in refused(root, maps)


@pytest.mark.parametrize("content", [b"", b"<html>", gzip.compress(b"not a tar" * 200, mtime=0)])
def test_something_else_is_not_an_archive(root, maps, content):
    maps.write_bytes(content)
    assert "damaged or not a .tar.gz" in refused(root, maps)


def test_flipped_bits_are_noticed_by_the_checksum(root, maps):
    data = bytearray(gzip.decompress(maps.read_bytes()))
    packed = bytearray(gzip.compress(bytes(data), compresslevel=0))
    packed[packed.index(b"\xff\xd8\xff") + 300] ^= 1
    maps.write_bytes(packed)
    assert "damaged" in refused(root, maps)


def test_archive_of_another_data_set_is_refused(root, tmp_path):
    archive = pack(tmp_path / "maps.tar.gz", files("cityscapes", train=2))
    assert "no images in maps/train" in refused(root, archive)


def test_archive_without_train_is_refused(root, tmp_path):
    assert "maps/train" in refused(root, pack(tmp_path / "maps.tar.gz", files("maps", val=2)))


def test_wrong_count_of_a_split_that_is_there_is_refused(root, tmp_path):
    archive = pack(tmp_path / "facades.tar.gz", files("facades", train=399, val=100))
    assert "399 images in facades/train instead of 400" in refused(root, archive, "facades")


def test_image_of_more_bytes_than_any_has_is_not_read(root, tmp_path, monkeypatch):
    archive = pack(tmp_path / "maps.tar.gz", files("maps", train=2))
    monkeypatch.setattr(archives, "_LARGEST_IMAGE", 100)
    assert "maps/train/1.jpg" in refused(root, archive)


def test_image_that_is_there_twice_is_refused(root, tmp_path):
    contents = files("maps", train=2) | {"./maps/train/1.jpg": jpeg(7)}
    assert "twice" in refused(root, pack(tmp_path / "maps.tar.gz", contents))


@pytest.mark.parametrize(
    "broken",
    [jpeg(0)[:-200], b"hello", b"", jpeg(0).replace(b"\xff\xd8", b"\0\0", 1), jpeg(0, width=4)[:20]],
    ids=["truncated", "text", "empty", "no magic", "header only"],
)
def test_broken_image_is_named_or_left_out_and_counted(root, tmp_path, broken):
    contents = files("maps", train=4) | {"maps/train/3.jpg": broken}
    archive = pack(tmp_path / "maps.tar.gz", contents)
    message = refused(root, archive)
    assert "maps/train/3.jpg" in message
    assert "skip-bad-images" in message

    dataset = open_catalog_dataset("maps", root, archive=archive, skip_bad_images=True)
    assert dataset.skipped == ("maps/train/3.jpg",)
    assert dataset.splits["train"][0].names == ("1", "2", "4")
    assert open_catalog_dataset("maps", root, skip_bad_images=True).skipped == dataset.skipped
    with pytest.raises(DataError, match=r"without 1 broken image.*maps/train/3\.jpg.*skip-bad-images"):
        open_catalog_dataset("maps", root)


def test_split_of_broken_images_only_is_refused(root, tmp_path):
    archive = pack(tmp_path / "maps.tar.gz", {"maps/train/1.jpg": b"hello"})
    assert "no image of train" in refused(root, archive, skip_bad_images=True)


def test_unknown_name_gets_the_nearest_and_the_list(root):
    with pytest.raises(DataError, match=r"'facade'; did you mean facades\? It has facades, .*night2day"):
        open_catalog_dataset("facade", root)


def test_missing_archive_and_folder_as_archive_are_named(root, tmp_path):
    with pytest.raises(DataError, match=r"archive: there is no file .*nothing\.tar\.gz"):
        open_catalog_dataset("maps", root, archive=tmp_path / "nothing.tar.gz")
    with pytest.raises(DataError, match=r"archive: .* is a folder"):
        open_catalog_dataset("maps", root, archive=tmp_path)


def test_file_as_data_dir_is_named(tmp_path, maps):
    with pytest.raises(ConfigError, match=r"data-dir: .* is a file"):
        open_catalog_dataset("maps", maps, archive=maps)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            PermissionError(13, "Permission denied"),
            "could not be written: Permission denied; give another --data-dir",
        ),
        (OSError(28, "No space left on device"), "disk is full"),
    ],
)
def test_data_dir_that_refuses_writes_is_named(root, maps, monkeypatch, fault, message):
    from tensorflow_datasets.core import writer

    def refuse(*_):
        raise fault

    monkeypatch.setattr(writer.Writer, "finalize", refuse)
    with pytest.raises(SystemFault, match=message) as caught:
        open_catalog_dataset("maps", root, archive=maps)
    assert str(root) in str(caught.value)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------------------- the real one


@pytest.mark.skipif(not REAL_FACADES.exists(), reason=f"the public facades archive is not at {REAL_FACADES}")
@pytest.mark.slow
def test_real_facades(root):
    dataset = open_catalog_dataset("facades", root, archive=REAL_FACADES)
    assert {name: len(split) for name, (split,) in dataset.splits.items()} == {"train": 400, "val": 100}
    assert dataset.splits["train"][0].names == tuple(str(n) for n in range(1, 401))
    assert dataset.sides[1].labels
    assert not dataset.sides[0].labels
    with tarfile.open(REAL_FACADES) as tar:
        whole = decoded(tar.extractfile("facades/val/37.jpg").read())
    a, b = dataset.splits["val"][0].read(36)
    np.testing.assert_array_equal(np.concatenate([a, b], axis=1), whole)
    info = json.loads((root / "pix2pix" / "facades" / "1.0.0" / "dataset_info.json").read_text())
    assert {split["name"] for split in info["splits"]} == {"train", "val"}
