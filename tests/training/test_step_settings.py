"""Training steps with mixed precision and accumulation, compared with plain ones."""

import numpy as np
import pytest

from pix2pix_tf import replace
from tests.training.steps import (
    MODELS,
    SAME,
    batch_for,
    config_of,
    eagerly,
    largest_gap,
    pairs,
    step,
    trainer_of,
    values,
    without_dropout,
)


@pytest.fixture(autouse=True)
def eager():
    with eagerly():
        yield


@pytest.fixture(scope="module")
def exact_step():
    trainer = without_dropout(trainer_of(config_of()))
    with eagerly():
        return step(trainer, pairs(1)), values(trainer.state())


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.slow
def test_mixed_precision_stays_near_float32(exact_step, precision):
    expected, exact = exact_step
    trainer = without_dropout(trainer_of(config_of(precision=precision)))
    if precision == "mixed_float16":
        trainer.state()["loss_scale/scale"].assign(2.0**8)  # the initial scale overflows
    found = step(trainer, pairs(1))
    for name in ("gen_total", "gen_gan", "gen_l1", "disc"):
        assert found[name] == pytest.approx(expected[name], rel=0.01), name  # bfloat16 rounds by 0.004
    state = values(trainer.state())
    assert {value.dtype for name, value in state.items() if "good" not in name} == {np.dtype(np.float32)}
    assert all(np.isfinite(value).all() for value in state.values())
    kernels = [name for name in exact if name.endswith("kernel/m")]
    assert len(kernels) == 13 + 5
    for name in kernels:
        ours, theirs = state[name].ravel(), exact[name].ravel()
        lengths = np.linalg.norm(ours), np.linalg.norm(theirs)
        # Rounding errors of 0.004 add up over two dozen layers; the smallest observed value is 0.98.
        assert ours @ theirs / np.prod(lengths) > 0.95, name
        assert 0.85 < lengths[0] / lengths[1] < 1.15, name


def test_float16_skips_an_update_that_overflows_and_halves_its_scale():
    trainer = trainer_of(config_of(precision="mixed_float16"))
    state = trainer.state()
    state["loss_scale/scale"].assign(2.0**24)
    before = values(state)
    metrics = step(trainer, pairs(1))
    assert np.isfinite(list(metrics.values())).all()
    after = values(state)
    assert after["loss_scale/scale"] == 2.0**23
    for name in before:
        if not name.startswith("loss_scale/"):
            np.testing.assert_array_equal(after[name], before[name], err_msg=name)
    state["loss_scale/scale"].assign(2.0**10)
    step(trainer, pairs(1))
    assert state["loss_scale/scale"].numpy() == 2.0**10
    assert state["loss_scale/good_updates"].numpy() == 1
    assert (state["generator/down_1_conv/kernel"].numpy() != before["generator/down_1_conv/kernel"]).any()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "settings", "missing"),
    MODELS,
)
def test_accumulated_parts_give_the_step_of_the_batch(model, settings, missing):
    config = config_of(model=model, batch_size=4, **settings)
    found = []
    for each in (config, replace(config, accumulate=2)):
        trainer = trainer_of(each)
        metrics = step(trainer, batch_for(config, 4 * trainer.batches_per_step, missing))
        found.append((metrics, values(trainer.state())))
    (metrics, whole), (in_parts, parts) = found
    for name, value in metrics.items():
        assert in_parts[name] == pytest.approx(value, rel=SAME, abs=SAME), name
    assert largest_gap(parts, whole) < 10 * SAME
    for name in whole:
        if "pool" in name:
            np.testing.assert_allclose(parts[name], whole[name], atol=1e-5)
