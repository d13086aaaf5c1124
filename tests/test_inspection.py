"""pix2pix data: what there is, what is wrong with a folder, how training sees it."""

import json

import numpy as np
import pytest
from PIL import Image

from pix2pix_tf import preset, replace
from pix2pix_tf.commands.main import main
from pix2pix_tf.data.names import CATALOG
from pix2pix_tf.data.pipeline import training_batches
from pix2pix_tf.data.pixels import to_uint8
from pix2pix_tf.data.sources import open_dataset
from pix2pix_tf.errors import ConfigError, DataError, SystemFault
from pix2pix_tf.inspection import check_dataset, describe_dataset, list_datasets, preview_dataset
from pix2pix_tf.sheets import compose_sheet

COUNT = 51


@pytest.fixture
def folder(tmp_path, save_image):
    """Pairs, side by side: some to train on, one to validate."""
    place = tmp_path / "내 사진"
    for number in range(COUNT):
        save_image(place / "train" / f"{number}.png", width=160, height=70, seed=number)
    save_image(place / "val" / "9.png", width=140, height=64, seed=9)
    return place


def config_of(dataset, tmp_path, **settings):
    return replace(preset(str(dataset)), **{"data_dir": tmp_path / "kept", "image_size": (64,), **settings})


def test_every_named_data_set_is_listed_with_where_it_is(tmp_path):
    listed = list_datasets(tmp_path)
    assert listed.splitlines()[0].startswith("procedural ")
    for name in CATALOG:
        assert f"\n{name} " in listed
    assert listed.count("not here yet: http") == len(CATALOG)
    assert "2.2 GB" in listed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_a_data_set_is_described_in_a_line(direction):
    described = describe_dataset(replace(preset("procedural"), direction=direction))
    sides = ["RGB", "RGB label maps"]
    given, wanted = sides if direction == "AtoB" else sides[::-1]
    assert described == (
        f"procedural: 400 train, 50 val, 50 test pairs; {direction}: input {given}, target {wanted}"
    )


def test_a_good_folder_is_said_to_be_good(folder, tmp_path):
    report, is_good = check_dataset(config_of(folder, tmp_path))
    assert is_good
    lines = report.splitlines()
    assert lines[0].startswith(f"{folder}: ")
    assert f"{COUNT} train, 1 val" in lines[1]
    assert f"80x70 ({COUNT})" in lines[2]
    assert "70x64 (1)" in lines[2]
    assert lines[3].endswith("RGB and RGB, 8 and 8 bits")
    assert lines[-1] == "nothing is wrong"


def test_every_problem_of_a_folder_is_named(folder, tmp_path):
    (folder / "train" / "글자.png").write_text("not an image")
    cut = folder / "train" / "0.png"
    cut.write_bytes(cut.read_bytes()[:500])
    report, is_good = check_dataset(config_of(folder, tmp_path))
    assert not is_good
    assert "글자.png" in report
    assert "0.png" in report
    assert report.splitlines()[-1] == "1 error"
    report, is_good = check_dataset(config_of(folder, tmp_path, skip_bad_images=True))
    assert is_good
    assert "글자.png" in report
    assert report.splitlines()[-1] == "1 warning"


def test_photos_are_checked_as_what_a_task_makes_pairs_of(tmp_path, save_image):
    folder = tmp_path / "photos"
    for number in range(COUNT):
        save_image(folder / "train" / f"{number}.png", 64, 64, seed=number)
    save_image(folder / "val" / "0.png", 64, 64, seed=COUNT)
    report, _ = check_dataset(config_of(folder, tmp_path, task="colorize"))
    assert report.splitlines()[1].split() == ["images", str(COUNT), "train,", "1", "val"]
    assert report.endswith("nothing is wrong")
    with pytest.raises(ConfigError):
        check_dataset(config_of(folder, tmp_path, task="colorize"), "unpaired")


def test_of_many_files_a_few_are_named_and_all_in_the_json(folder, tmp_path):
    bad = [folder / "train" / f"bad {number}.png" for number in range(20)]
    for path in bad:
        path.write_text("text")
    shown, _ = check_dataset(config_of(folder, tmp_path))
    assert 1 <= shown.count("bad ") <= 3
    assert "17 more" in shown
    report, is_good = check_dataset(config_of(folder, tmp_path), as_json=True)
    assert not is_good
    report = json.loads(report)
    assert (report["kind"], report["counts"]) == ("pairs", {"train": [COUNT], "val": [1]})
    [finding] = report["findings"]
    assert (finding["severity"], finding["code"]) == ("error", "unreadable")
    assert sorted(finding["files"]) == sorted(map(str, bad))
    assert finding["message"]
    assert finding["fix"]


def test_a_named_data_set_has_a_json_report_too():
    report, is_good = check_dataset(preset("procedural"), as_json=True)
    assert is_good
    assert json.loads(report) == {
        "kind": "pairs",
        "layout": "procedural",
        "counts": {"train": [400], "val": [50], "test": [50]},
        "findings": [],
    }


def test_a_missing_partner_is_a_problem(tmp_path, save_image):
    for name in ("A/1.png", "B/1.png", "A/2.png"):
        save_image(tmp_path / "pairs" / name)
    report, is_good = check_dataset(config_of(tmp_path / "pairs", tmp_path))
    assert not is_good
    assert "2.png" in report


def test_a_folder_that_is_not_there_is_refused_with_the_names_that_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        check_dataset(config_of("./nowhere", tmp_path))
    assert all(name in str(caught.value) for name in ("procedural", *CATALOG))


def test_of_a_folder_that_a_run_remembers_the_new_place_is_asked_for(tmp_path):
    with pytest.raises(DataError, match="moved"):
        check_dataset(config_of(tmp_path / "nowhere", tmp_path))


def test_a_preview_shows_the_first_batches_of_training(folder, tmp_path):
    config = config_of(folder, tmp_path, image_size=(64, 80), seed=3, batch_size=2)
    out = tmp_path / "그림" / "preview.png"
    preview_dataset(config, 3, out)
    batches = training_batches(open_dataset(config), replace(config, batch_size=1), 0, 3)
    rows = [[to_uint8(image[0]).numpy() for image in batch] for batch in batches]
    assert len(rows) == 3
    expected = compose_sheet("내 사진 AtoB", ("input", "target"), rows)
    np.testing.assert_array_equal(np.asarray(Image.open(out)), expected)


def test_a_preview_that_can_not_be_written_is_a_fault_of_the_system(folder, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(SystemFault, match="taken"):
        preview_dataset(config_of(folder, tmp_path), 1, tmp_path / "taken" / "preview.png")


# ---------------------------------------------------------------- through the command


def run(capsys, *arguments):
    code = main(["data", *map(str, arguments)])
    shown = capsys.readouterr()
    return code, shown.out, [line for line in shown.err.splitlines() if "error" in line]


def test_check_exits_0_for_a_good_folder_and_2_for_a_bad_one(capsys, folder, tmp_path):
    code, out, errors = run(capsys, "check", folder, "--data-dir", tmp_path / "kept", "--image-size", 64)
    assert (code, errors) == (0, [])
    assert "nothing is wrong" in out
    (folder / "train" / "bad.png").write_text("text")
    code, out, errors = run(capsys, "check", folder, "--data-dir", tmp_path / "kept", "--image-size", 64)
    assert code == 2
    assert "bad.png" in out
    assert len(errors) == 1
    assert "the report above says why" in errors[0]


def test_check_writes_json_alone_and_flags_for_settings(capsys, folder, tmp_path):
    (folder / "train" / "bad.png").write_text("text")
    code, out, errors = run(capsys, "check", folder, "--data-dir", tmp_path / "kept", "--json")
    assert (code, len(errors)) == (2, 1)
    assert "--skip-bad-images" in json.loads(out)["findings"][0]["fix"]
    code, out, errors = run(
        capsys, "check", folder, "--data-dir", tmp_path / "kept", "--json", "--skip-bad-images",
        "--image-size", 512,
    )  # fmt: skip
    assert (code, errors) == (0, [])
    assert [finding["code"] for finding in json.loads(out)["findings"]] == ["unreadable", "enlarged"]


def test_preview_writes_the_sheet_and_says_where(capsys, folder, tmp_path):
    out_file = tmp_path / "sheet.png"
    code, out, errors = run(
        capsys, "preview", folder, "--data-dir", tmp_path / "kept", "--out", out_file, "--count", 2,
        "--image-size", 64, "--direction", "BtoA",
    )  # fmt: skip
    assert (code, errors) == (0, [])
    assert str(out_file) in out
    assert Image.open(out_file).size[1] > 2 * 64


def test_preview_writes_no_png_under_another_name(capsys, folder, tmp_path):
    code, _, errors = run(capsys, "preview", folder, "--out", tmp_path / "sheet.jpg")
    assert (code, len(errors)) == (2, 1)
    assert "sheet.jpg" in errors[0]
    assert not (tmp_path / "sheet.jpg").exists()


@pytest.mark.parametrize("action", ["check", "preview"])
def test_a_folder_that_is_not_there_costs_one_line(capsys, tmp_path, action):
    code, out, errors = run(capsys, action, tmp_path / "nowhere", "--data-dir", tmp_path / "kept")
    assert code == 2
    assert out == ""
    assert len(errors) == 1
    assert "nowhere" in errors[0]


def test_a_preview_size_out_of_range_costs_one_line(capsys, folder, tmp_path):
    code, _, errors = run(capsys, "preview", folder, "--image-size", 7, "--out", tmp_path / "sheet.png")
    assert code == 2
    assert "--image-size" in errors[0]
    assert not (tmp_path / "sheet.png").exists()


def test_list_runs(capsys, tmp_path):
    code, out, errors = run(capsys, "list", "--data-dir", tmp_path)
    assert (code, errors) == (0, [])
    assert "facades" in out


# ---------------------------------------------------------------- unpaired sets, and images alone


@pytest.fixture
def unpaired_folder(tmp_path, save_image):
    for name in ("trainA/horse 1.png", "trainA/horse 2.png", "trainB/zebra.png"):
        save_image(tmp_path / "two" / name, seed=len(name))
    return tmp_path / "two"


def test_check_says_which_kind_it_found(unpaired_folder, folder, tmp_path):
    report, is_good = check_dataset(config_of(unpaired_folder, tmp_path))
    assert is_good
    assert "unpaired" in report
    assert "2 + 1 train" in report
    assert "pairs in " in check_dataset(config_of(folder, tmp_path))[0]
    assert not check_dataset(config_of(unpaired_folder, tmp_path), "pairs")[1]
    report, is_good = check_dataset(config_of(folder, tmp_path), "images")
    assert is_good
    assert f"160x70 ({COUNT})" in report


@pytest.mark.slow
def test_an_unpaired_data_set_is_previewed_as_a_and_b(capsys, unpaired_folder, tmp_path):
    code, out, errors = run(
        capsys, "preview", unpaired_folder, "--data-dir", tmp_path, "--out", tmp_path / "x.png",
        "--image-size", 64, "--count", 2,
    )  # fmt: skip
    assert (code, errors) == (0, [])
    assert "unpaired" in out
    code, out, _ = run(
        capsys, "preview", "procedural", "--kind", "images", "--out", tmp_path / "y.png",
        "--image-size", 64, "--count", 2,
    )  # fmt: skip
    assert code == 0
    wide, narrow = (Image.open(tmp_path / name).size[0] for name in ("x.png", "y.png"))
    assert wide >= 2 * 64 > narrow


def test_a_side_that_is_missing_costs_one_line(capsys, tmp_path, save_image):
    save_image(tmp_path / "one" / "trainA" / "1.png")
    code, out, errors = run(capsys, "check", tmp_path / "one", "--data-dir", tmp_path, "--kind", "unpaired")
    assert (code, len(errors)) == (2, 1)
    assert "trainA: the folder of the other side is missing" in out


def test_the_unpaired_data_sets_of_cyclegan_are_listed(tmp_path):
    listed = list_datasets(tmp_path)
    for name in ("horse2zebra ", "summer2winter_yosemite ", "cycle_gan/maps "):
        assert f"\n{name}" in listed


def test_what_is_held_out_of_a_flat_folder_is_what_check_and_pack_are_told(tmp_path, save_image, capsys):
    for number in range(8):
        save_image(tmp_path / "flat" / f"{number}.png", width=160, height=70, seed=number)
    shares = ["--val-share", "0.9", "--test-share", "0", "--data-dir", str(tmp_path / "kept")]
    assert main(["data", "check", str(tmp_path / "flat"), "--json", *shares]) == 0
    counts = {split: count for split, [count] in json.loads(capsys.readouterr().out)["counts"].items()}
    assert counts.keys() == {"train", "val"}
    assert counts["val"] > 4
    assert main(["data", "pack", str(tmp_path / "flat"), "--out", str(tmp_path / "pack"), *shares]) == 0
    packed = open_dataset(config_of(tmp_path / "pack", tmp_path))
    assert {split: packed.count(split) for split in packed.splits} == counts
    assert main(["data", "check", str(tmp_path / "flat"), "--val-share", "0.5", "--test-share", "0.6"]) == 2


@pytest.mark.parametrize("action", ["download", "check", "preview"])
@pytest.mark.parametrize("option", [("--ignore", "3"), ("--layout", "folders"), ("--skip-bad-images",)])
def test_options_without_effect_on_a_data_set_are_refused(capsys, tmp_path, action, option):
    out = ("--out", str(tmp_path / "sheet.png")) if action == "preview" else ()
    assert main(["data", action, "procedural", *option, *out]) == 2
    assert option[0] in capsys.readouterr().err
    assert not any(tmp_path.iterdir())
