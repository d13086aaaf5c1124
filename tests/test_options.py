"""Options of the commands that would have no effect for what they are given are refused."""

import json

import numpy as np
import pytest
from PIL import Image

from pix2pix_tf import preset, replace
from pix2pix_tf.commands.main import main
from pix2pix_tf.data.checking.report import check_dataset
from pix2pix_tf.data.folder import FolderOptions
from pix2pix_tf.data.packed import pack_folder
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.exporting.samples import run_dataset
from pix2pix_tf.inference.options import PredictOptions
from pix2pix_tf.inference.predict import predict
from pix2pix_tf.wording import flag
from tests.exported_models import write_tflite


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """Pairs whose folders say which are held out."""
    place = tmp_path_factory.mktemp("split")
    for part, side, number in [(p, s, n) for p in ("train", "val") for s in "AB" for n in range(3)]:
        (place / part / side).mkdir(parents=True, exist_ok=True)
        shade = number * 3 + len(part) + ord(side)
        Image.new("RGB", (64, 64), (shade, 0, 255 - shade)).save(place / part / side / f"{number}.png")
    return place


@pytest.mark.parametrize(
    "option",
    [
        {"masks": "mask.png"},
        {"count": 3},
        {"seed": 4},
        {"raw_weights": True},
        {"stochastic": True},
        {"step": 3},
        {"direction": "AtoB"},
        {"precision": "mixed_bfloat16"},
    ],
)
def test_predict_refuses_what_an_exported_model_has_not(option, tmp_path):
    Image.new("RGB", (48, 32)).save(tmp_path / "one.png")
    write_tflite(tmp_path / "m.tflite", (32, 48))
    with pytest.raises(ConfigError, match=flag(next(iter(option)))):
        predict(PredictOptions(tmp_path / "m.tflite", [tmp_path / "one.png"], tmp_path / "out", **option))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", [{"seed": 4}, {"fit_input": True}, {"count": 2}, {"masks": "mask.png"}])
def test_predict_refuses_what_a_run_has_not(option, tiny_run, tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "one.png")
    with pytest.raises(ConfigError, match=flag(next(iter(option)))):
        predict(PredictOptions(tiny_run.path, [tmp_path / "one.png"], tmp_path / "out", **option))


def test_data_preview_and_check_refuse_what_their_data_do_not_use(split, tmp_path, capsys):
    pack_folder(split, tmp_path / "pack", FolderOptions())
    with pytest.raises(ConfigError, match="--seed"):
        pack_folder(split, tmp_path / "again", FolderOptions(seed=3))
    preview = f"--out {tmp_path / 'preview.png'} --kind unpaired"
    for action, place, flags in (
        ("check", tmp_path / "pack", "--skip-bad-images"),
        ("preview", tmp_path / "pack", f"--skip-bad-images {preview}"),
        ("check", tmp_path / "pack", "--image-size 64"),
        ("preview", tmp_path / "pack", f"--direction BtoA {preview}"),
        ("check", split, "--val-share 0.5"),
    ):
        assert main(["data", action, str(place), *flags.split()]) == 2
        assert f"{flags.split()[0]} has no effect with --dataset" in capsys.readouterr().err


def test_a_number_is_ignored_in_measurements_and_gray_images_only(split, tmp_path):
    usual = preset(str(split))
    with pytest.raises(ConfigError, match="--ignore has no effect with --dataset"):
        check_dataset(replace(usual, ignore=7), usual)
    with pytest.raises(ConfigError, match="--ignore has no effect"):
        pack_folder(split, tmp_path / "pack", FolderOptions(ignored=(7, 7)))
    for side in "AB":
        (tmp_path / "gray" / side).mkdir(parents=True)
        for number in range(3):
            shades = np.arange(number, number + 64, dtype=np.uint8).repeat(64).reshape(64, 64)
            Image.fromarray(shades + ord(side)).save(tmp_path / "gray" / side / f"{number}.png")
    usual = preset(str(tmp_path / "gray"))
    assert check_dataset(replace(usual, ignore=7, val_share=0.5), usual).is_good
    pack_folder(tmp_path / "gray", tmp_path / "packed", FolderOptions(ignored=(7, 7)))


@pytest.mark.parametrize(
    ("place", "flags"),
    [
        ("pack", "--skip-bad-images"),
        ("folder", "--val-share 0.5"),
        ("pack", "--layout folders"),
        ("folder", "--ignore 7"),
    ],
)
def test_evaluate_refuses_what_its_data_do_not_use(place, flags, split, tiny_run, tmp_path, capsys):
    dataset = split
    if place == "pack":
        dataset = tmp_path / "pack"
        pack_folder(split, dataset, FolderOptions())
    arguments = ["evaluate", str(tiny_run.path), "--dataset", str(dataset), "--out", str(tmp_path / "out")]
    assert main([*arguments, *flags.split()]) == 2
    assert f"{flags.split()[0]} has no effect with --dataset" in capsys.readouterr().err


def test_evaluate_leaves_ignored_pixels_out(tmp_path, capsys):
    random = np.random.default_rng(0)
    for number in range(2):
        target = random.integers(8, 256, (64, 64), np.uint8)
        target[:8, :8] = 7
        picture = target.copy()
        picture[:8, :8] = 200
        for place, image in (("data/val/A", target), ("data/val/B", target), ("model", picture)):
            (tmp_path / place).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(tmp_path / place / f"{number}.png")
    arguments = ["evaluate", str(tmp_path / "model"), "--dataset", str(tmp_path / "data"), "--out"]
    errors = []
    for name, flags in (("all", []), ("some", ["--ignore", "7"])):
        assert main([*arguments, str(tmp_path / name), *flags]) == 0, capsys.readouterr().err
        results = json.loads((tmp_path / name / "metrics.json").read_text(encoding="utf-8"))
        errors.append(results["models"]["model"]["values"]["l1"]["value"])
    assert errors[0] > 0.01
    assert errors[1] == 0


def test_export_refuses_a_place_of_data_that_are_drawn(tiny_run, tmp_path):
    with pytest.raises(ConfigError, match="--data-dir has no effect with --dataset procedural"):
        run_dataset(tiny_run.read_config(), tmp_path)
