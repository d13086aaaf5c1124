"""Folders as users have them: every layout, everything that can be wrong, and what is remembered."""

import dataclasses
import io
import itertools
import json
import os
import shutil
import sys
import unicodedata

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pix2pix_tf import replace
from pix2pix_tf.data.checking import decoding
from pix2pix_tf.data.checking.report import check_dataset
from pix2pix_tf.data.layout import FEWEST_HELD_OUT, Item, likely_kind, split_by_hash
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.preview import write_preview
from pix2pix_tf.data.sources import open_dataset
from pix2pix_tf.errors import ConfigError, DataError, SystemFault
from pix2pix_tf.files import printable
from tests.data.folders import check_folder, config_of, open_folder, read_all, save, survey_folder


def problem_of(folder, **options):
    with pytest.raises(DataError) as caught:
        open_folder(folder, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def names(dataset):
    return {split: list(pairs.names) for split, (pairs,) in dataset.splits.items()}


# ---------------------------------------------------------------- layouts


def test_side_by_side_images_in_split_folders(tmp_path):
    pictures = [save(tmp_path / "train" / name, seed=at) for at, name in enumerate(["2.png", "10.bmp"])]
    save(tmp_path / "train" / "more" / "1.webp")
    save(tmp_path / "validation" / "1.png", width=9)
    save(tmp_path / "test" / "1.png")
    dataset = open_folder(tmp_path)
    assert names(dataset) == {"train": ["2", "10", "more/1"], "val": ["1"], "test": ["1"]}
    assert dataset.name == tmp_path.name
    assert dataset.sides == (PixelFormat(), PixelFormat())
    for (a, b), picture in zip(read_all(dataset.splits["train"][0]), pictures, strict=False):
        np.testing.assert_array_equal(a, picture[:, :4])
        np.testing.assert_array_equal(b, picture[:, 4:])
    ((a, b),) = read_all(dataset.splits["val"][0])
    assert a.shape == b.shape == (4, 4, 3)


@pytest.mark.parametrize("place", ["train/{}_{}.png", "{}-{}.png"])
def test_names_that_end_in_a_and_b_are_pairs(tmp_path, place):
    pictures = {
        (name, side): save(tmp_path / place.format(name, side), seed=ord(name) + ord(side), width=9)
        for name in "xyz"
        for side in "AB"
    }
    dataset = open_folder(tmp_path)
    [pairs] = dataset.splits["train"]
    for name, (a, b) in zip(pairs.names, read_all(pairs), strict=True):
        np.testing.assert_array_equal(a, pictures[name, "A"])
        np.testing.assert_array_equal(b, pictures[name, "B"])
    assert check_folder(tmp_path).counts == {
        split: (len(pairs),) for split, (pairs,) in dataset.splits.items()
    }
    assert [len(side) for side in open_folder(tmp_path, kind="unpaired").splits["train"]] == [len(pairs)] * 2
    (tmp_path / place.format("x", "A")).unlink()
    assert "x_B" in problem_of(tmp_path).replace("-", "_")


def test_rare_suffixes_of_known_formats(tmp_path):
    formats = {"jfif": "JPEG", "jpe": "JPEG", "JIF": "JPEG", "apng": "PNG", "pnm": "PPM", "jpx": "JPEG2000"}
    for suffix, file_format in {**formats, "TIFF": "TIFF"}.items():
        Image.effect_noise((8, 4), 90).convert("RGB").save(tmp_path / f"{suffix}.{suffix}", file_format)
    assert sorted(itertools.chain(*names(open_folder(tmp_path)).values())) == sorted([*formats, "TIFF"])


@pytest.mark.parametrize(("name", "package"), [("scan{}.dcm", "pydicom"), ("scan{}.nii.gz", "nibabel")])
@pytest.mark.parametrize("place", ["", "train", "A", "A and B"])
def test_medical_images_name_their_converter(tmp_path, name, package, place):
    for number in range(3):
        for side in place.split(" and "):
            (tmp_path / side).mkdir(exist_ok=True)
            (tmp_path / side / name.format(number)).write_bytes(b"volume")
    if place == "A":
        save(tmp_path / "B" / "scan0.png")
    line = problem_of(tmp_path)
    assert package in line
    [finding, *_] = check_folder(tmp_path).findings
    assert package in finding.fix


@pytest.mark.parametrize(
    ("train", "val"),
    [
        (("train/A", "train/B"), ("val/A", "val/B")),
        (("trainA", "trainB"), ("validA", "validB")),
        (("A/train", "B/train"), ("A/val", "B/val")),
        (("Train/a", "Train/b"), ("VAL/a", "VAL/b")),
    ],
)
def test_two_folders_in_splits(tmp_path, train, val):
    a = save(tmp_path / train[0] / "x.png", seed=1)
    b = save(tmp_path / train[1] / "x.webp", seed=2)
    save(tmp_path / val[0] / "y.png")
    save(tmp_path / val[1] / "y.png", mode="L")
    dataset = open_folder(tmp_path)
    assert names(dataset) == {"train": ["x"], "val": ["y"]}
    assert dataset.sides == (PixelFormat(), PixelFormat())
    ((read_a, read_b),) = read_all(dataset.splits["train"][0])
    np.testing.assert_array_equal(read_a, a)
    np.testing.assert_array_equal(read_b, b)


def test_two_folders_of_different_channels_and_depths_are_split_by_name(tmp_path):
    deep = np.random.default_rng(0).integers(0, 65536, (4, 8), dtype=np.uint16)
    (tmp_path / "B").mkdir()
    for at in range(10):
        save(tmp_path / "A" / f"{at}.png")
        Image.fromarray(deep).save(tmp_path / "B" / f"{at}.png")
    dataset = open_folder(tmp_path)
    assert sorted(itertools.chain(*names(dataset).values())) == sorted(map(str, range(10)))
    assert dataset.sides == (PixelFormat(), PixelFormat(channels=1, bits=16))
    for a, b in read_all(dataset.splits["train"][0]):
        assert (a.shape, a.dtype) == ((4, 8, 3), np.uint8)
        np.testing.assert_array_equal(b[..., 0], deep)


# ---------------------------------------------------------------- the split by names


def split_of(count, seed=0, shares=(0.1, 0.1)):
    items = [Item(str(at), ()) for at in range(count)]
    chosen = split_by_hash((items,), seed, shares)
    return {split: {item.name for item in members} for split, (members,) in chosen.items()}


@pytest.mark.parametrize(
    ("shares", "val", "test"), [((0.1, 0.1), (8, 35), (8, 35)), ((0.3, 0), (40, 80), (0, 0))]
)
def test_shares_of_held_out_images(shares, val, test):
    found = split_of(200, shares=shares)
    assert len(set.union(*found.values())) == 200
    assert val[0] <= len(found["val"]) <= val[1]
    assert test[0] <= len(found["test"]) <= test[1]
    assert not split_of(200, shares=(0.0, 0.0))["val"]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 50, 60, 120])
def test_training_and_validation_images_of_any_count(count):
    for seed in range(50):
        found = split_of(count, seed)
        assert len(found["train"]) > count / 2 or count < 50
        assert found["train"]
        assert len(found["val"]) >= (FEWEST_HELD_OUT if count >= 50 else count > 1)


def test_the_split_stays_when_files_are_added():
    assert split_of(200, 1) != split_of(200)
    for seed in range(50):
        before, after = split_of(200, seed), split_of(260, seed)
        assert all(before[split] <= after[split] for split in before)
        assert split_of(55, seed)["train"] <= split_of(110, seed)["train"]


@pytest.mark.parametrize("files", [["val/1.png"], ["test/1.png"], ["valA/1.png", "valB/1.png"]])
def test_a_folder_of_held_out_pairs_is_for_evaluation_only(tmp_path, files):
    for file in files:
        save(tmp_path / "data" / file, 16, 16)
    config = config_of(tmp_path / "data")
    with pytest.raises(DataError, match="nothing to train on"):
        open_dataset(config)
    dataset = open_dataset(config, to_train=False)
    assert (dataset.kind, dataset.count(dataset.held_out)) == ("pairs", 1)
    assert check_dataset(config, config).is_good
    write_preview(dataset, replace(config, image_size=64), 1, tmp_path / "preview.png")
    assert (tmp_path / "preview.png").exists()


# ---------------------------------------------------------------- names


def test_korean_names_pair_across_normal_forms(tmp_path):
    folder = tmp_path / "내 데이터 세트"
    composed = unicodedata.normalize("NFC", "한글 사진")
    save(folder / "trainA" / f"{composed}.png")
    save(folder / "trainB" / f"{unicodedata.normalize('NFD', composed)}.png")
    dataset = open_folder(folder)
    assert names(dataset) == {"train": [composed]}
    assert len(read_all(dataset.splits["train"][0])) == 1


def test_hidden_and_foreign_files_are_ignored(tmp_path):
    save(tmp_path / "train" / "1.png")
    for name in ("._1.png", ".hidden.png", "Thumbs.db", "notes.txt"):
        (tmp_path / "train" / name).write_text("no image")
    for name in (".cache", "@eaDir", "#recycle", "$RECYCLE.BIN", "__MACOSX", ".ipynb_checkpoints"):
        save(tmp_path / "train" / name / "1.png" / "2.png")
    assert names(open_folder(tmp_path)) == {"train": ["1"]}


def test_an_additional_channel_reads_alpha(tmp_path):
    for number in range(12):
        save(tmp_path / "A" / f"{number}.png", mode="RGBA", seed=number)
        save(tmp_path / "B" / f"{number}.png", seed=number)
    config = config_of(tmp_path)
    assert open_dataset(config).sides[0].channels == 3
    four = open_dataset(replace(config, input_channels=4))
    [pairs] = four.splits["train"]
    stored = np.asarray(Image.open(tmp_path / "A" / f"{pairs.names[0]}.png"))
    np.testing.assert_array_equal(pairs.read(tf.constant(0, tf.int64))[0], stored)
    with pytest.raises(ConfigError, match="4"):
        open_dataset(replace(config, output_channels=4))


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_links_are_followed_once(tmp_path):
    save(tmp_path / "elsewhere" / "1.png")
    (tmp_path / "data" / "train").mkdir(parents=True)
    (tmp_path / "data" / "train" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "train" / "loop").symlink_to(tmp_path / "data" / "train")
    assert names(open_folder(tmp_path / "data")) == {"train": ["linked/1"]}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere names are Unicode")
@pytest.mark.parametrize("sides", [["train"], ["trainA", "trainB"], [""]])
def test_names_that_are_not_unicode(tmp_path, sides):
    folder = tmp_path / os.fsdecode(b"\xfe")
    picture = save(tmp_path / "1.png")
    for side in sides:
        (folder / side).mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / "1.png", os.fsencode(folder / side) + b"/\xff.png")
    for _ in range(2):  # as they are, and as they are remembered
        dataset = open_folder(folder)
        assert dataset.name == r"\udcfe"
        assert names(dataset) == {"train": [r"\udcff"]}
        ((a, _),) = read_all(dataset.splits["train"][0])
        np.testing.assert_array_equal(a, picture[:, :4] if len(sides) == 1 else picture)
        assert not survey_folder(folder).findings

    for side in sides:
        save(folder / side / "2.png")
    with open(os.fsencode(folder / sides[0]) + b"/\xff.png", "wb") as file:
        file.write(b"text")
    for _ in range(2):
        (bad,) = survey_folder(folder).findings
        line = bad.line(folder)
        assert r"\udcff.png (not an image" in line.encode().decode()
        assert problem_of(folder) == printable(f"{folder}: {line}")
        (skipped,) = open_folder(folder, skip_bad_images=True).skipped
        assert skipped.endswith(r"\udcff.png")
    (folder / sides[0] / os.fsdecode(b"\xff.jpg")).touch()
    assert r"\udcff.jpg = " in problem_of(folder)


# ---------------------------------------------------------------- what can be wrong


LONELY = {**{f"trainA/{at}.png": (8, 4) for at in range(1, 12)}, "trainB/1.png": (8, 4)}
OF_A = {"trainA/1.png": (8, 4)}
PAIR = {"A/1.png": (8, 4), "B/1.png": (8, 4)}
SIDE_BY_SIDE = {"train/1.png": (8, 4)}
FAULTS = [
    ("pairs", {"train/x.jpg": (8, 4), "train/x.png": (8, 4)}, "train/x.jpg = train/x.png"),
    ("pairs", LONELY, "trainA/2.png, trainA/3.png, trainA/4.png and 7 more"),
    ("pairs", {**PAIR, "B/2.png": (8, 4)}, "on the other side: B/2.png"),
    ("pairs", {"trainA/horse.png": (8, 4), "trainB/zebra.png": (8, 4)}, "--model cyclegan"),
    ("pairs", {"trainA/1.png": (8, 4), "trainB/1.png": (9, 4)}, "trainA/1.png = trainB/1.png (8x4 and 9x4)"),
    ("pairs", {"A/1.png": (8, 4), "B/1.tiff": b"II*\0"}, "B/1.tiff"),
    ("pairs", {**SIDE_BY_SIDE, "1.png": (8, 4)}, "a mixture of layouts"),
    ("pairs", {**SIDE_BY_SIDE, "val/A/1.png": (8, 4), "val/B/1.png": (8, 4)}, "a mixture of layouts"),
    ("pairs", {**PAIR, **OF_A, "trainB/1.png": (8, 4)}, "a mixture of layouts"),
    ("pairs", {**PAIR, "1.png": (8, 4)}, "a mixture of layouts"),
    ("pairs", OF_A, "the folder of the other side is missing: trainA"),
    ("pairs", {"train/A/1.png": (8, 4)}, "the folder of the other side is missing: train/A"),
    ("pairs", {**SIDE_BY_SIDE, "val/1.png": (8, 4), "valid/1.png": (8, 4)}, "val = valid"),
    ("pairs", {"photos/1.png": (8, 4)}, "no images in a known layout; expected (1) "),
    ("pairs", {"train/notes.txt": b"text"}, "no images; expected (1) "),
    ("pairs", {**SIDE_BY_SIDE, "train/x.png": (1, 9)}, "train/x.png (too few pixels: 1x9"),
    ("pairs", {**SIDE_BY_SIDE, "train/x.png": (2, 1)}, "train/x.png (too few pixels: 2x1"),
    ("pairs", {"A/x.png": (1, 1), "B/x.png": (1, 1)}, "B/x.png (too few pixels: 1x1)"),
    ("unpaired", OF_A, "trainA"),
    ("unpaired", {**OF_A, "trainB/1.png": (8, 4), "testA/1.png": (8, 4)}, "testA"),
    ("unpaired", {**OF_A, "trainB/notes.txt": b"text"}, "no images, but the other side has some: trainB;"),
    ("unpaired", {**OF_A, "trainB/2.png": (8, 4), "trainB/3.png": b"text"}, "trainB/3.png (not an image"),
]


@pytest.mark.parametrize(("kind", "files", "problem"), FAULTS)
def test_faults_are_named(tmp_path, kind, files, problem):
    for name, content in files.items():
        path = tmp_path / name
        if isinstance(content, bytes):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        else:
            save(path, *content)
    assert problem in problem_of(tmp_path, kind=kind)


def test_missing_folders_and_folders_without_usable_images(tmp_path):
    assert "no such folder" in problem_of(tmp_path / "nowhere")
    (tmp_path / "x.png").write_text("text")
    assert "a file, not a folder" in problem_of(tmp_path / "x.png")
    assert "none of its images can be used" in problem_of(tmp_path, skip_bad_images=True)
    save(tmp_path / "x.png")
    with pytest.raises(DataError, match="from 0 to 255"):
        open_folder(tmp_path, output_range=(0.0, 1.0))


@pytest.fixture
def damaged_folder(tmp_path):
    folder = tmp_path / "data"
    for at in range(4):
        save(folder / "train" / f"{at}.png")
    save(folder / "val" / "0.png")
    file = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(file, "JPEG")
    (folder / "train" / "5.jpg").write_bytes(file.getvalue()[:-200])
    (folder / "train" / "6.png").write_text("text")
    (folder / "val" / "1.png").touch()
    return folder


def test_damaged_images_are_named_or_skipped(damaged_folder):
    problem = problem_of(damaged_folder)
    assert problem.startswith(f"{damaged_folder}: 3 images")
    for file in ("train/5.jpg (damaged or truncated JPEG image", "train/6.png (not", "val/1.png (empty file"):
        assert file in problem
    dataset = open_folder(damaged_folder, skip_bad_images=True)
    assert names(dataset) == {"train": ["0", "1", "2", "3"], "val": ["0"]}
    assert [os.path.basename(file) for file in dataset.skipped] == ["5.jpg", "6.png", "1.png"]


# ---------------------------------------------------------------- identity


def test_identity_depends_on_pixels_only(tmp_path):
    """Not on names, encoding and layout; replacing any image changes it."""
    draw = np.random.default_rng(0)
    pixels = [draw.integers(0, 256, (6, 8, 1 if at % 2 else 3), np.uint8) for at in range(30)]
    for at, each in enumerate(pixels):
        for name in ("own/train", "other/train", "apart/trainA", "apart/trainB"):
            (tmp_path / name).mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(each.squeeze())
        image.save(tmp_path / f"own/train/{at}.png")
        image.convert("RGB").save(tmp_path / f"other/train/image {at}.bmp")
        image.crop((0, 0, 4, 6)).save(tmp_path / f"apart/trainA/{at}.tif")
        image.crop((4, 0, 8, 6)).save(tmp_path / f"apart/trainB/{at}.webp", lossless=True)
    own = open_folder(tmp_path / "own")
    assert own.identity() == open_folder(tmp_path / "own").identity()
    for same in ("other", "apart"):
        assert open_folder(tmp_path / same).identity() == own.identity()
    read = dataclasses.replace(own.splits["train"][0], known=None)
    np.testing.assert_array_equal(read.digests(), own.splits["train"][0].digests())
    Image.new("RGB", (8, 6), (9, 9, 9)).save(tmp_path / "own/train/17.png")
    assert open_folder(tmp_path / "own").identity() != own.identity()


def test_identity_of_measurements_depends_on_their_values(tmp_path):
    """Not on the 16-bit values that they are converted to, which are equal here."""
    measured = np.random.default_rng(0).normal(size=(6, 4, 1)).astype(np.float32)
    found = []
    for name, values in (
        ("once", measured),
        ("twice", 2 * measured),
        ("other bytes", measured.astype(">f4")),
    ):
        (tmp_path / name).mkdir()
        for at in range(3):
            np.save(tmp_path / name / f"{at}.npy", values)
        opened = open_folder(tmp_path / name, kind="images")
        found.append(opened.identity())
    assert found[0] == found[2] != found[1]


# ---------------------------------------------------------------- cached checks


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files that checks decode."""
    files = []
    check_image = decoding.check_image
    monkeypatch.setattr(
        decoding, "check_image", lambda path, *more: files.append(path.name) or check_image(path, *more)
    )
    return files


def test_unchanged_files_are_not_decoded_again(damaged_folder, decoded):
    first = survey_folder(damaged_folder)
    report = check_folder(damaged_folder)  # decodes again, because training needs no appearances
    assert len(decoded) == 8 + 5
    decoded.clear()
    assert (survey_folder(damaged_folder).splits, check_folder(damaged_folder)) == (first.splits, report)
    assert decoded == []
    save(damaged_folder / "train" / "6.png", seed=3)
    save(damaged_folder / "train" / "7.png")
    assert len(survey_folder(damaged_folder).bad_files) == 2
    assert sorted(decoded) == ["6.png", "7.png"]


@pytest.mark.parametrize(
    "later_ns",
    [
        1000,  # as little as file systems can tell apart
        pytest.param(
            0, marks=pytest.mark.skipif(os.name == "nt", reason="Windows has no time of attribute changes")
        ),
    ],
)
def test_file_changed_in_place_is_decoded_again(tmp_path, decoded, later_ns):
    picture = tmp_path / "data" / "train" / "1.bmp"
    save(picture)
    before = open_folder(tmp_path / "data").identity()
    times = picture.stat()
    save(picture, seed=1)
    os.utime(picture, ns=(times.st_atime_ns, times.st_mtime_ns + later_ns))
    assert open_folder(tmp_path / "data").identity() != before
    assert decoded == ["1.bmp", "1.bmp"]


def test_interrupted_checks_are_resumed(tmp_path, decoded, monkeypatch):
    for at in range(30):
        save(tmp_path / "data" / "train" / f"{at}.png")
    check_image = decoding.check_image

    def fail_late(path, *more):
        if path.name == "29.png":
            raise SystemFault(f"{path}: can't be read")
        return check_image(path, *more)

    monkeypatch.setattr(decoding, "check_image", fail_late)
    with pytest.raises(SystemFault):
        open_folder(tmp_path / "data")
    monkeypatch.setattr(decoding, "check_image", check_image)
    decoded.clear()
    open_folder(tmp_path / "data")
    assert decoded == ["29.png"]


@pytest.mark.parametrize("index", ["", "[]", "{}", '{"version": 1, "files": [1]}', '{"version": 0}', "\xff"])
def test_unreadable_index_is_ignored(tmp_path, decoded, index, data_dir):
    save(tmp_path / "data" / "train" / "1.png")
    open_folder(tmp_path / "data")
    (file,) = data_dir.iterdir()
    file.write_text(index, encoding="latin-1")
    open_folder(tmp_path / "data")
    assert decoded == ["1.png", "1.png"]
    assert json.loads(file.read_text())["files"]


def test_checks_do_not_need_their_index(tmp_path, monkeypatch):
    def fail(file, _):
        raise SystemFault(f"{file}: no space left")

    save(tmp_path / "data" / "train" / "1.png")
    monkeypatch.setattr(decoding, "write_whole", fail)
    assert open_folder(tmp_path / "data").splits


# ---------------------------------------------------------------- unpaired, and images alone


def write_text(path):
    path.parent.mkdir(exist_ok=True)
    path.write_text("text")


def shapes(images):
    return [tuple(image.shape) for (image,) in read_all(images)]


@pytest.mark.parametrize("layout", ["{split}{side}", "{split}/{side}", "{side}/{split}"])
def test_unpaired_sides_differ_in_names_counts_and_sizes(tmp_path, layout):
    def at(split, side, name):
        return tmp_path / layout.format(split=split, side=side) / name

    for number in range(3):
        save(at("train", "A", f"horse {number}.png"), width=8 + number, seed=number)
    zebra = save(at("train", "B", "zebra.png"), width=9, height=7, mode="L")
    save(at("test", "A", "1.png"))
    save(at("test", "B", "2.png"), mode="L")
    dataset = open_folder(tmp_path, kind="unpaired")
    assert dataset.kind == "unpaired"
    assert dataset.sides == (PixelFormat(), PixelFormat(channels=1))
    a, b = dataset.splits["train"]
    assert (list(a.names), list(b.names)) == (["horse 0", "horse 1", "horse 2"], ["zebra"])
    assert shapes(a) == [(4, 8, 3), (4, 9, 3), (4, 10, 3)]
    np.testing.assert_array_equal(read_all(b)[0][0], zebra[..., :1])
    assert [len(images) for images in dataset.splits["test"]] == [1, 1]
    assert likely_kind(tmp_path) == "unpaired"


def test_unpaired_folders_without_splits(tmp_path):
    for side, count in {"A": 12, "B": 5}.items():
        for number in range(count):
            save(tmp_path / side / f"{number}.png", seed=number)
    dataset = open_folder(tmp_path, kind="unpaired")
    for place, count in enumerate((12, 5)):
        found = [name for sets in dataset.splits.values() for name in sets[place].names]
        assert sorted(found, key=int) == [str(number) for number in range(count)]
    assert {"train", "val"} <= set(dataset.splits)
    assert likely_kind(tmp_path) == "pairs"  # of one name there are images on both sides


def test_side_by_side_images_stay_pairs_if_unpaired_ones_are_requested(tmp_path):
    save(tmp_path / "train" / "1.png")
    assert open_folder(tmp_path, kind="unpaired").kind == "pairs"
    assert likely_kind(tmp_path) == "pairs"


def test_images_alone_are_whole(tmp_path):
    pictures = [save(tmp_path / "train" / f"{number}.png", width=7, seed=number) for number in range(2)]
    save(tmp_path / "val" / "1.png", width=1, height=9)
    dataset = open_folder(tmp_path, kind="images")
    assert (dataset.kind, dataset.sides) == ("images", (PixelFormat(),))
    for (image,), picture in zip(read_all(dataset.splits["train"][0]), pictures, strict=True):
        np.testing.assert_array_equal(image, picture)
    assert shapes(dataset.splits["val"][0]) == [(9, 1, 3)]


def test_images_twice_as_wide_as_high_are_pairs(tmp_path):
    for number, height in enumerate((4, 8)):
        save(tmp_path / "train" / f"{number}.png", width=2 * height, height=height)
    dataset = open_folder(tmp_path, kind="images")
    assert dataset.kind == "pairs"
    assert [image.shape for image in dataset.splits["train"][0].read(1)] == [(8, 8, 3), (8, 8, 3)]
    save(tmp_path / "train" / "2.png", width=9, height=4)
    assert open_folder(tmp_path, kind="images").kind == "images"


def test_a_broken_image_of_one_side_is_skipped_alone(tmp_path):
    for file in ("trainA/1.png", "trainA/2.png", "trainB/1.png", "testA/1.png"):
        save(tmp_path / file)
    for file in ("trainA/3.png", "testB/1.png"):
        write_text(tmp_path / file)
    dataset = open_folder(tmp_path, kind="unpaired", skip_bad_images=True)
    # Nothing is left of a side of test, so the split is.
    assert {split: tuple(map(len, sets)) for split, sets in dataset.splits.items()} == {"train": (2, 1)}
    assert [os.path.basename(file) for file in dataset.skipped] == ["3.png", "1.png"]


def test_halves_of_an_image_with_different_ranges(tmp_path):
    picture = save(tmp_path / "a.png").astype(np.int64)
    (pairs,) = open_folder(tmp_path, input_range=(0, 510)).splits["train"]
    ((left, right),) = read_all(pairs)
    expected = np.round(picture[:, :4] / 510 * 65535).clip(1)  # level 0 is that of missing pixels
    np.testing.assert_array_equal(left, expected)
    np.testing.assert_array_equal(right, picture[:, 4:])
