"""ONNX, verified like the others, if the extra is installed; without it, a line that says so."""

import importlib.util

import numpy as np
import pytest

from pix2pix_tf import formats
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.exporting.export import export
from pix2pix_tf.exporting.options import ExportOptions
from pix2pix_tf.formats.onnx import write_onnx
from tests.formats.models import NOISE, noise, untrained, write_run

pytestmark = pytest.mark.slow

INSTALLED = all(importlib.util.find_spec(name) for name in ("tf2onnx", "onnxruntime"))
needs_extra = pytest.mark.skipif(not INSTALLED, reason="tf2onnx is not installed; the extra onnx has it")


@needs_extra
def test_onnx_is_exported_and_verified(tmp_path):
    run = write_run(tmp_path / "run", "wgan", steps=(20,)).path
    [model] = export(ExportOptions(run, tmp_path / "out", "tiny", formats=("onnx",)))
    assert model.published == [tmp_path / "out" / "tiny-1" / "tiny.onnx"]
    [found] = model.verifications
    assert len(found.sizes) == 16
    assert found.difference.max_levels <= 1
    loaded = formats.load(model.published[0])
    assert (loaded.input.channels, loaded.noise) == (0, NOISE)


@needs_extra
@pytest.mark.parametrize(
    "settings",
    # With more contrast the latter's output is black and white alone, and rounding decides which.
    [{}, {"generator": "resnet", "norm": "batch", "input_channels": 1, "contrast": 2}],
    ids=str,
)
def test_onnx_generates_the_networks_output_at_any_size(tmp_path, settings):
    translate = untrained(**settings)
    write_onnx(translate, tmp_path / "tiny.onnx")
    loaded = formats.load(tmp_path / "tiny.onnx")
    assert (loaded.input.channels, loaded.noise) == (settings.get("input_channels", 3), 0)
    for size in ((64, 64), (35, 90), (1, 1)):
        image = noise(*size, loaded.input.channels)
        assert np.abs(loaded(image).astype(int) - translate(image)).max() <= 1
    deep = noise(64, 64, loaded.input.channels, dtype=np.uint16)
    assert np.abs(loaded(deep).astype(int) - translate(deep)).max() <= 1


@needs_extra
def test_a_damaged_or_another_onnx_is_named(tmp_path, refused):
    import onnx

    path = tmp_path / "tiny.onnx"
    write_onnx(untrained("wgan"), path)
    model, whole = onnx.load(path), path.read_bytes()
    model.graph.input[0].name = "x"
    for content in (b"", b"hello there, this is text", whole[: len(whole) // 2], model.SerializeToString()):
        path.write_bytes(content)
        assert str(path) in refused(ConfigError, formats.load, path)


@pytest.mark.skipif(INSTALLED, reason="the extra onnx is installed")
def test_without_the_extra_a_line_names_what_to_install(tmp_path):
    run = write_run(tmp_path / "run", "wgan", steps=(20,)).path
    with pytest.raises(ConfigError, match="extra 'onnx'"):
        export(ExportOptions(run, tmp_path / "out", formats=("onnx",)))
    assert not (tmp_path / "out").exists()
    (tmp_path / "m.onnx").write_bytes(b"")
    with pytest.raises(ConfigError, match="extra 'onnx'"):
        formats.load(tmp_path / "m.onnx")
