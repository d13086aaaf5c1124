"""The learning rate at the beginning, half-way and at the end of a run."""

import pytest

from pix2pix_tf.training.schedules import learning_rate


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", (1.0, 1.0, 1.0, 1.0, 1.0)),
        ("linear", (1.0, 1.0, 1.0, 0.5, 0.0)),
        ("cosine", (1.0, 0.853553, 0.5, 0.146447, 0.0)),
    ],
)
def test_the_rate_follows_the_schedule(schedule, expected):
    found = [float(learning_rate(schedule, 2e-4, step, 100)) / 2e-4 for step in (0, 25, 50, 75, 100)]
    assert found == pytest.approx(expected, abs=1e-6)
