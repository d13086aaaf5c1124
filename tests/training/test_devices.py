"""Two devices do what one does: the same images, the same steps."""

import json
import subprocess
import sys

import numpy as np
import pytest

from tests.end_to_end.commands import ROOT, environment
from tests.training.steps import MODELS, SAME

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found():
    command = [sys.executable, "-m", "tests.training.two_devices"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = map(json.loads, done.stdout.splitlines())
    return {line["name"]: line for line in lines}


def test_two_devices_get_the_images_of_one(found):
    assert found["batches"]["same"]


def test_two_devices_do_the_step_of_one(found):
    steps = found["float32"]
    np.testing.assert_allclose(steps["two"][0], steps["one"][0], rtol=SAME)
    # From the second step on, Adam's first steps (signs of gradients) have made rounding visible.
    np.testing.assert_allclose(steps["two"], steps["one"], rtol=0.02, atol=0.02)
    assert steps["gap"] < 10 * SAME
    assert steps["copies"] == 0.0


def test_gradients_sent_in_bfloat16_are_rounded(found):
    assert 1e-4 < found["bfloat16"]["gap"] < 2**-7  # all_reduce keeps 8 bits of each


def test_two_devices_do_the_step_of_one_for_every_model(found):
    models = [line for name, line in found.items() if name not in ("batches", "float32", "bfloat16")]
    assert len(models) == len(MODELS) + 1
    for line in models:
        np.testing.assert_allclose(line["two"], line["one"], rtol=SAME, atol=SAME, err_msg=line["name"])
        assert line["gap"] < 10 * SAME, line["name"]
