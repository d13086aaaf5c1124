"""Images that no viewer shows, from a folder through a run to files and exports."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from pix2pix_tf.evaluation.evaluator import EvaluateOptions, evaluate
from pix2pix_tf.exporting import verification
from pix2pix_tf.exporting.export import export
from pix2pix_tf.exporting.options import ExportOptions
from pix2pix_tf.inference.options import PredictOptions
from pix2pix_tf.inference.predict import predict
from pix2pix_tf.training.train import train
from tests.conftest import small_config
from tests.formats.models import translate_in_this_process


def scene(number):
    """A picture of smooth colors, float32 [72, 80, 3] in [0, 1]."""
    y, x = np.mgrid[0:72, 0:80] / 80
    waves = [np.sin(5 * x + number), np.cos(4 * y * (number + 1)), np.sin(3 * (x + y) + number)]
    return (np.stack(waves, axis=-1).astype(np.float32) + 1) / 2


def folder_of_pairs(root, write_a, write_b):
    for side, write in (("A", write_a), ("B", write_b)):
        (root / side).mkdir(parents=True)
        for number in range(3):
            write(root / side / f"장면 {number}", scene(number))
    return root


def as_bands_of_int16(path, picture):
    bands = np.concatenate([picture, picture[::-1, :, :2]], axis=2)
    tifffile.imwrite(path.with_suffix(".tif"), (bands * 3000 - 500).astype(np.int16), planarconfig="contig")


def as_real_numbers(path, picture):
    np.save(path.with_suffix(".npy"), picture.mean(axis=2) * 40 - 10)


def as_deep_gray(path, picture):
    Image.fromarray((picture[..., 0] * 65535).astype(np.uint16)).save(path.with_suffix(".png"))


def as_deep_colors(path, picture):
    tifffile.imwrite(path.with_suffix(".tif"), (picture * 65535).astype(np.uint16), photometric="rgb")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("write_a", "write_b", "suffix"),
    [(as_real_numbers, as_bands_of_int16, ".npy"), (as_deep_colors, as_deep_gray, ".png")],
)
def test_measurements_and_16_bit_images_end_to_end(tmp_path, monkeypatch, write_a, write_b, suffix):
    pairs = folder_of_pairs(tmp_path / "pairs", write_a, write_b)
    run = tmp_path / "run"
    train(small_config(run, dataset=str(pairs), direction="AtoB", steps=2), report=lambda line: None)
    predict(PredictOptions(run, [pairs / "A"], tmp_path / "by run"))
    files = sorted((tmp_path / "by run").iterdir())
    assert [file.suffix for file in files] == [suffix] * 3
    output = read(files[0])
    assert output.shape[:2] == (72, 80)
    if suffix == ".png":
        assert output.dtype == np.uint16
        assert (output % 257 != 0).any()  # not 8 bits in disguise
    else:
        assert output.dtype == np.float32
        target = read(next((pairs / "B").iterdir()))
        assert target.min() <= output.mean() <= target.max()
    monkeypatch.setattr(verification, "translate_in_fresh_process", translate_in_this_process)
    export(ExportOptions(run, tmp_path / "exported", formats=("saved_model",)))
    predict(PredictOptions(tmp_path / "exported" / "run", [pairs / "A"], tmp_path / "by export"))
    for file in files:
        exported = read(tmp_path / "by export" / file.name)
        np.testing.assert_allclose(exported, read(file), rtol=0, atol=1e-3 * np.ptp(output))
    evaluate(EvaluateOptions((str(run),), split="val", out=tmp_path / "report"))
    assert (tmp_path / "report" / "report.html").exists()


def read(path):
    if path.suffix == ".npy":
        return np.load(path)
    return tifffile.imread(path) if path.suffix == ".tif" else np.asarray(Image.open(path))
