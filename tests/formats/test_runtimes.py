"""An independent runtime reads what was exported: OpenVINO, an extra of its own ('runtimes')."""

import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.data.pixels import to_uint8, to_unit_range
from pix2pix_tf.exporting.verification import compare, shortfall
from pix2pix_tf.formats.tflite import TFLite
from pix2pix_tf.formats.tflite.conversion import convert
from tests.formats.models import untrained

pytestmark = pytest.mark.slow

openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed; the extra runtimes has it")


def test_openvino_paints_the_trained_models_picture_with_the_tflite(tmp_path):
    translator = untrained()
    path = tmp_path / "model.tflite"
    path.write_bytes(convert(translator, (64, 96), "none"))
    core = openvino.Core()
    model = core.compile_model(core.read_model(str(path)), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    images = np.random.default_rng(0).integers(0, 256, (4, 64, 96, 3), np.uint8)
    painted = [
        to_uint8(tf.constant(model(to_unit_range(tf.constant(image))[np.newaxis].numpy())[0][0])).numpy()
        for image in images
    ]
    difference = compare(painted, [translator(image) for image in images])
    assert shortfall(TFLite.tolerances["none"], difference) == ""
