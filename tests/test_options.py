"""Options of the commands that would have no effect for what they are given are refused."""

import pytest
from PIL import Image

from pix2pix_tf import preset, replace
from pix2pix_tf.data.packed import pack_folder
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.inspection import check_dataset, preview_dataset
from pix2pix_tf.prediction import predict
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
    with pytest.raises(ConfigError, match=f"`{next(iter(option))}`"):
        predict(tmp_path / "m.tflite", [tmp_path / "one.png"], tmp_path / "out", **option)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", [{"seed": 4}, {"fit_input": True}, {"count": 2}, {"masks": "mask.png"}])
def test_predict_refuses_what_a_run_has_not(option, tiny_run, tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "one.png")
    with pytest.raises(ConfigError, match=f"`{next(iter(option))}`"):
        predict(tiny_run.path, [tmp_path / "one.png"], tmp_path / "out", **option)


def test_data_preview_and_check_refuse_what_their_data_do_not_use(split, tmp_path):
    pack_folder(split, tmp_path / "pack", 0, None)
    with pytest.raises(ConfigError, match="`seed`"):
        pack_folder(split, tmp_path / "again", 3, None)
    packed = preset(str(tmp_path / "pack"))
    for look in (
        lambda config: check_dataset(config),
        lambda config: preview_dataset(config, 1, tmp_path / "sheet.png"),
    ):
        with pytest.raises(ConfigError, match="`skip_bad_images` has no effect with `dataset`"):
            look(replace(packed, skip_bad_images=True))
    with pytest.raises(ConfigError, match="`image_size`"):
        check_dataset(replace(packed, image_size=64))
    with pytest.raises(ConfigError, match="`direction` has no effect with `dataset`"):
        preview_dataset(replace(packed, direction="BtoA"), 1, tmp_path / "sheet.png", "unpaired")
