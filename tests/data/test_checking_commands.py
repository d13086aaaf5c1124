"""pix2pix data list, download, check and preview: what they print, write and refuse."""

import itertools
import json
import shlex
import shutil

import numpy as np
import pytest
from PIL import Image

from pix2pix_tf import preset, replace
from pix2pix_tf.commands.main import main
from pix2pix_tf.data.checking.report import check_dataset, description
from pix2pix_tf.data.names import CATALOG
from pix2pix_tf.data.pipeline import training_batches
from pix2pix_tf.data.pixels import to_uint8
from pix2pix_tf.data.sources import open_dataset
from pix2pix_tf.sample_grids import compose_grid
from tests.data.folders import config_of

COUNT = 51


@pytest.fixture
def folder(tmp_path, save_image):
    """Pairs, side by side: some to train on, one to validate."""
    place = tmp_path / "내 사진"
    for number in range(COUNT):
        save_image(place / "train" / f"{number}.png", width=160, height=70, seed=number)
    save_image(place / "val" / "9.png", width=140, height=64, seed=9)
    return place


@pytest.fixture
def unpaired_folder(tmp_path, save_image):
    for name in ("trainA/horse 1.png", "trainA/horse 2.png", "trainB/zebra.png"):
        save_image(tmp_path / "two" / name, seed=len(name))
    return tmp_path / "two"


@pytest.fixture
def run(capsys, tmp_path):
    """Runs a subcommand; returns its exit code, what it printed and the lines of its errors."""

    def run(action, *arguments):
        code = main(["data", action, *map(str, arguments), "--data-dir", str(tmp_path / "cache")])
        shown = capsys.readouterr()
        return code, shown.out, [line for line in shown.err.splitlines() if "error" in line]

    return run


# ---------------------------------------------------------------- list, download


def test_list_of_named_data_sets(run, tmp_path):
    code, listed, errors = run("list")
    assert (code, errors) == (0, [])
    assert listed.splitlines()[0].startswith("procedural ")
    for name in (*CATALOG, "horse2zebra", "summer2winter_yosemite", "cycle_gan/maps"):
        assert f"\n{name} " in listed
    assert listed.count("not downloaded: http") == len(CATALOG)
    assert "2,200 MB" in listed
    code, listed, _ = run("list", "--json")
    facts = {each["name"]: each for each in json.loads(listed)}
    assert (code, facts["facades"]["counts"], facts["facades"]["folder"]) == (
        0,
        CATALOG["facades"].counts,
        None,
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_a_data_set_is_described_in_a_line(direction):
    sides = ["RGB", "RGB label maps"]
    given, wanted = sides if direction == "AtoB" else sides[::-1]
    assert description(open_dataset(replace(preset("procedural"), direction=direction)), direction) == (
        f"procedural: 400 train, 50 val, 50 test pairs; {direction}: input {given}, target {wanted}"
    )


@pytest.mark.parametrize(
    ("action", "flag"),
    [("check", "--flip"), ("check", "--direction"), ("preview", "--val-share"), ("download", "--task")],
)
def test_settings_that_a_command_ignores_have_no_flag(run, tmp_path, action, flag):
    code, _, [error] = run(action, tmp_path, flag)
    assert code == 2
    assert f"{flag} is unknown" in error


# ---------------------------------------------------------------- check


def test_the_report_of_a_good_folder(run, folder):
    code, out, errors = run("check", folder, "--image-size", 64)
    assert (code, errors) == (0, [])
    lines = out.splitlines()
    assert lines[0].startswith(f"{folder}: pairs in ")
    assert f"{COUNT} train, 1 val" in lines[1]
    assert f"80x70 ({COUNT})" in lines[2]
    assert "70x64 (1)" in lines[2]
    assert lines[3].endswith("RGB and RGB, 8 and 8 bits")
    assert lines[-2] == "nothing is wrong"
    assert lines[-1].startswith(f"To train: pix2pix train --dataset '{folder}' ")
    code, out, errors = run("check", folder, "--image-size", 64, "--kind", "images")
    assert (code, errors) == (0, [])
    assert f"160x70 ({COUNT})" in out


def test_the_report_of_many_bad_files(run, folder):
    bad = [folder / "train" / f"bad {number} 글자.png" for number in range(20)]
    for path in bad:
        path.write_text("text")
    code, out, errors = run("check", folder, "--image-size", 64)
    assert (code, len(errors)) == (2, 1)
    assert out.splitlines()[-1] == "1 error"
    assert 1 <= out.count("글자.png") <= 3
    assert "17 more" in out
    code, out, errors = run("check", folder, "--image-size", 64, "--json")
    assert (code, len(errors)) == (2, 1)
    report = json.loads(out)
    assert (report["kind"], report["counts"]) == ("pairs", {"train": [COUNT], "val": [1]})
    [finding] = report["findings"]
    assert (finding["severity"], finding["code"]) == ("error", "unreadable")
    assert sorted(finding["files"]) == sorted(map(str, bad))
    assert "--skip-bad-images" in finding["fix"]
    code, out, errors = run("check", folder, "--image-size", 512, "--json", "--skip-bad-images")
    assert (code, errors) == (0, [])
    assert [finding["code"] for finding in json.loads(out)["findings"]] == ["unreadable", "enlarged"]


def test_check_of_a_folder_with_bad_files_only(run, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_text("text")
    code, out, errors = run("check", tmp_path / "bad")
    assert (code, len(errors)) == (2, 1)
    assert "a.png" in out
    assert "To train" not in out


@pytest.mark.parametrize(
    ("sides", "flags"),
    [
        (("A/{}.png", "B/{}.png"), "--label-maps B --direction BtoA"),
        (("trainA/{}.png", "trainB/zebra {}.png"), "--model cyclegan"),
        (("{}.png",), "--task colorize"),
    ],
)
def test_check_ends_with_the_command_that_trains(run, tmp_path, monkeypatch, save_image, sides, flags):
    monkeypatch.chdir(tmp_path)
    for number, (seed, place) in itertools.product(range(12), enumerate(sides)):
        path = tmp_path / "images" / place.format(number)
        save_image(path, 64, 64, seed=number + 100 * seed)
        if path.parent.name == "B":
            colors = np.repeat(np.eye(3, dtype=np.uint8) * 255, 22, 0)[:64]
            Image.fromarray(np.roll(np.tile(colors[:, np.newaxis], (1, 64, 1)), number, 0)).save(path)
    (tmp_path / "images").rename("my 사진")
    code, out, _ = run("check", "./my 사진", "--image-size", "64", "--layout", "auto")
    command = out.splitlines()[-1]
    assert code == 0
    assert command.startswith("To train: pix2pix train --dataset './my 사진' ")
    assert " --image-size 64 --" in command
    assert command.endswith(flags)
    assert main([*shlex.split(command)[3:], "--dry-run"]) == 0


def test_photos_for_a_task(run, tmp_path, save_image):
    folder = tmp_path / "photos"
    for number in range(COUNT):
        save_image(folder / "train" / f"{number}.png", 64, 64, seed=number)
    save_image(folder / "val" / "0.png", 64, 64, seed=COUNT)
    _, out, _ = run("check", folder, "--image-size", 64, "--task", "colorize")
    assert out.splitlines()[1].split() == ["images", str(COUNT), "train,", "1", "val"]
    assert out.splitlines()[-2] == "nothing is wrong"
    code, _, errors = run("check", folder, "--task", "colorize", "--kind", "unpaired")
    assert code == 2
    assert "--task" in errors[0]


def test_the_report_of_a_named_data_set():
    report = check_dataset(preset("procedural"), preset("procedural"))
    counts = {"train": [400], "val": [50], "test": [50]}
    expected = {"kind": "pairs", "layout": "procedural", "counts": counts, "findings": []}
    assert (report.is_good, json.loads(report.to_json())) == (True, expected)


def test_check_reports_which_kind_it_found(run, unpaired_folder):
    code, out, _ = run("check", unpaired_folder)
    assert code == 0
    assert "unpaired" in out
    assert "2 + 1 train" in out
    assert run("check", unpaired_folder, "--kind", "pairs")[0] == 2
    shutil.rmtree(unpaired_folder / "trainB")
    code, out, errors = run("check", unpaired_folder, "--kind", "unpaired")
    assert (code, len(errors)) == (2, 1)
    assert "the folder of the other side is missing\n            trainA\n" in out


@pytest.mark.parametrize("action", ["check", "preview"])
def test_a_missing_folder_is_reported_in_one_line(run, tmp_path, action, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for place, words in (("./nowhere", ("procedural", *CATALOG)), (tmp_path / "nowhere", ("moved",))):
        code, out, errors = run(action, place)
        assert (code, out, len(errors)) == (2, "", 1)
        assert all(word in errors[0] for word in ("nowhere", *words))


def test_shares_of_check_and_pack(run, tmp_path, save_image):
    for number in range(8):
        save_image(tmp_path / "flat" / f"{number}.png", width=160, height=70, seed=number)
    code, out, _ = run("check", tmp_path / "flat", "--json", "--val-share", 0.9, "--test-share", 0)
    assert code == 0
    counts = {split: count for split, [count] in json.loads(out)["counts"].items()}
    assert counts.keys() == {"train", "val"}
    assert counts["val"] > 4
    out = tmp_path / "pack"
    assert run("pack", tmp_path / "flat", "--out", out, "--val-share", 0.9, "--test-share", 0)[0] == 0
    packed = open_dataset(config_of(out))
    assert {split: packed.count(split) for split in packed.splits} == counts
    assert run("check", tmp_path / "flat", "--val-share", 0.5, "--test-share", 0.6)[0] == 2


# ---------------------------------------------------------------- preview


@pytest.mark.slow
def test_a_preview_shows_the_first_batches_of_training(run, folder, tmp_path):
    config = config_of(folder, image_size=64, seed=3)
    out = tmp_path / "그림" / "preview.png"
    code, printed, errors = run(
        "preview", folder, "--out", out, "--count", 3, "--image-size", 64, "--seed", 3
    )
    assert (code, errors) == (0, [])
    assert str(out) in printed
    batches = training_batches(open_dataset(config), replace(config, batch_size=1), 0, 3)
    rows = [[to_uint8(image[0]).numpy() for image in batch] for batch in batches]
    assert len(rows) == 3
    expected = compose_grid("내 사진 AtoB", ("input", "target"), rows)
    np.testing.assert_array_equal(np.asarray(Image.open(out)), expected)


@pytest.mark.parametrize(("option", "name"), [((), "preview.jpg"), (("--image-size", 7), "preview.png")])
def test_a_preview_of_another_kind_or_size_is_refused(run, folder, tmp_path, option, name):
    code, _, errors = run("preview", folder, "--out", tmp_path / name, *option)
    assert (code, len(errors)) == (2, 1)
    assert (option[0] if option else name) in errors[0]
    assert not (tmp_path / name).exists()


@pytest.mark.slow
def test_preview_of_unpaired_data_sets(run, capsys, unpaired_folder, tmp_path):
    size = ("--image-size", "64", "--count", "2")
    code, out, errors = run("preview", unpaired_folder, "--out", tmp_path / "x.png", *size)
    assert (code, errors) == (0, [])
    assert "unpaired" in out
    images = ["data", "preview", "procedural", "--kind", "images", "--out", str(tmp_path / "y.png")]
    assert main([*images, *size]) == 0
    wide, narrow = (Image.open(tmp_path / name).size[0] for name in ("x.png", "y.png"))
    assert wide >= 2 * 64 > narrow
