"""ONNX, proven like the others, where the extra is installed; without it, a line that says so."""

import importlib.util

import pytest

from pix2pix_tf.errors import ConfigError
from pix2pix_tf.exporting.export import ExportOptions, export

INSTALLED = all(importlib.util.find_spec(name) for name in ("tf2onnx", "onnxruntime"))


@pytest.mark.skipif(not INSTALLED, reason="tf2onnx is not installed; the extra onnx has it")
def test_onnx_paints_the_trained_models_picture_at_any_size(tiny_run, tmp_path):
    report = export(tiny_run.path, ExportOptions(out=tmp_path, name="tiny", formats=("onnx",)))
    assert report.published == [tmp_path / "tiny-1" / "tiny.onnx"]
    [proof] = report.proofs
    assert proof.images == 20
    assert proof.difference.max_levels <= 1


@pytest.mark.skipif(INSTALLED, reason="the extra onnx is installed")
def test_without_the_extra_a_line_says_what_to_install(tiny_run, tmp_path):
    with pytest.raises(ConfigError, match="--formats onnx needs the extra 'onnx'"):
        export(tiny_run.path, ExportOptions(out=tmp_path, formats=("onnx",)))
    assert list(tmp_path.iterdir()) == []
