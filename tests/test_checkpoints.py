"""Checkpoints: exact, untouched by what training does meanwhile, whole or not there at all."""

import errno
import shutil
import threading

import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.errors import RunError, SystemFault, TrainingDiverged
from pix2pix_tf.runs import FORMAT, RunDirectory, checkpoints
from pix2pix_tf.runs.checkpoints import CheckpointWriter, has_moments, read_checkpoint, restore


@pytest.fixture
def run(tmp_path):
    return RunDirectory(tmp_path / "run")


def variables(seed=0):
    """A state like that of a run: tensors of several ranks, a scalar, an integer."""
    draw = np.random.default_rng(seed)
    state = {
        f"generator/layer_{shape}/kernel": tf.Variable(draw.normal(size=shape).astype(np.float32))
        for shape in ((4, 4, 3, 8), (8,), ())
    }
    return state | {"loss_scale/good_updates": tf.Variable(seed + 7, dtype=tf.int32)}


def values(state):
    return {name: variable.numpy().copy() for name, variable in state.items()}


def written(run, step, state, **options):
    writer = CheckpointWriter(run, state, **options)
    writer.save(step)
    writer.wait()
    return writer


def assert_stored(run, step, expected):
    stored = read_checkpoint(run.checkpoint(step), list(expected))
    for name, value in expected.items():
        assert stored[name].dtype == value.dtype
        np.testing.assert_array_equal(stored[name], value)


def test_checkpoint_is_restored_bit_for_bit(run):
    state = variables()
    state["generator/odd"] = tf.Variable([-0.0, 1e-45, np.finfo(np.float32).max, 0.1])
    before = values(state)
    written(run, 12, state)
    for variable in state.values():
        variable.assign(tf.ones_like(variable))
    written(run, 12, state)  # there is one already
    restore(run.checkpoint(12), state)
    for name, value in before.items():
        assert state[name].numpy().tobytes() == value.tobytes()


def adam_step(state, moments):
    """The in-place update of training: the fused kernel writes to the variables' own buffers."""
    for name, (m, v) in moments.items():
        tf.raw_ops.ResourceApplyAdam(
            var=state[name].handle,
            m=m.handle,
            v=v.handle,
            beta1_power=0.5,
            beta2_power=0.9,
            lr=0.1,
            beta1=0.5,
            beta2=0.9,
            epsilon=1e-8,
            grad=tf.ones_like(state[name]),
        )


@pytest.mark.parametrize("in_graph", [False, True])
def test_checkpoint_is_a_snapshot(run, monkeypatch, in_graph):
    state = {f"w{i}": tf.Variable(tf.random.stateless_normal([64, 64], [0, i])) for i in range(4)}
    moments = {
        name: (tf.Variable(tf.zeros_like(w)), tf.Variable(tf.zeros_like(w))) for name, w in state.items()
    }
    all_state = state | {f"{name}/m": m for name, (m, _) in moments.items()}
    all_state |= {f"{name}/v": v for name, (_, v) in moments.items()}
    step = tf.function(lambda: adam_step(state, moments)) if in_graph else lambda: adam_step(state, moments)
    step()  # the kernel has run before, as it has in training
    before = values(all_state)

    trained_on = threading.Event()
    write = checkpoints.tf.raw_ops.SaveV2

    def write_late(**arguments):
        assert trained_on.wait(60)
        return write(**arguments)

    monkeypatch.setattr(checkpoints.tf.raw_ops, "SaveV2", write_late)
    writer = CheckpointWriter(run, all_state)
    writer.save(1)
    for _ in range(5):
        step()
    state["w0"].assign(tf.zeros_like(state["w0"]))
    state["w1"].assign_add(tf.ones_like(state["w1"]))
    trained_on.set()
    writer.wait()
    assert_stored(run, 1, before)
    assert all((variable.numpy() != before[name]).any() for name, variable in all_state.items())


WEIGHTS = ("generator/layer_(8,)/kernel", "generator/layer_()/kernel")


def full_steps(run):
    return [step for step in run.checkpoint_steps() if has_moments(run.checkpoint(step))]


def test_older_checkpoints_keep_weights_only(run):
    """At multiples of `keep_every`, and the best one."""
    state = variables()
    writer = CheckpointWriter(run, state, WEIGHTS, 10, 20)
    for step in range(10, 90, 10):
        writer.save(step, {"ssim": 0.5} if step == 30 else None)
    writer.wait()
    assert run.checkpoint_steps() == [20, 30, 40, 60, 70, 80]
    assert full_steps(run) == [70, 80]
    assert_stored(run, 80, values(state))
    for step in (20, 30):
        assert_stored(run, step, {name: value for name, value in values(state).items() if name in WEIGHTS})
        assert not list(run.checkpoint(step).glob("moments*"))
    with pytest.raises(RunError):
        restore(run.checkpoint(30), state)


def test_kill_while_moments_are_deleted(run):
    """At each instant it is a checkpoint, with moments or without; the next start deletes the rest."""
    state = variables()
    writer = CheckpointWriter(run, state, WEIGHTS, keep_every=1)
    for step in (1, 2):
        writer.save(step)
    writer.wait()
    (run.checkpoint(1) / "moments.index").unlink()  # what is deleted first
    assert full_steps(run) == [2]
    assert_stored(run, 1, {name: value for name, value in values(state).items() if name in WEIGHTS})
    writer = CheckpointWriter(run, state, WEIGHTS, keep_every=1)
    writer.save(3)
    writer.wait()
    assert not list(run.checkpoint(1).glob("moments*"))


def test_unfinished_checkpoints_are_removed(run):
    written(run, 5, variables())
    leftover = run.checkpoints / "step_000000006.unfinished"
    shutil.copytree(run.checkpoint(5), leftover)
    assert run.checkpoint_steps() == [5]
    CheckpointWriter(run, variables())
    assert [path.name for path in run.checkpoints.iterdir()] == ["step_000000005"]


def test_best_checkpoint_after_a_kill(run):
    writer = CheckpointWriter(run, variables())
    for step, best in ((1, {"ssim": 0.5}), (2, {"ssim": 0.625}), (3, None)):
        writer.save(step, best)
    writer.wait()
    expected = run.best_file.read_bytes()
    run.best_file.write_text('{"step": 1}')  # as a kill beside checkpoint 2 would have left it
    CheckpointWriter(run, variables()).wait()
    assert run.best_file.read_bytes() == expected
    assert run.best() == {"step": 2, "ssim": 0.625}


def test_best_checkpoint_after_the_best_is_set_aside(run):
    writer = CheckpointWriter(run, variables())
    for step in (1, 2):
        writer.save(step, {"ssim": step / 4})
    writer.wait()
    aside = run.set_aside(2)
    assert aside.is_dir()
    assert run.checkpoint_steps() == [1]
    assert run.best() == {"step": 1, "ssim": 0.25}
    run.set_aside(1)
    assert run.best() is None


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


DAMAGE = {
    "a flipped byte": ("data", flip_a_byte),
    "a cut data file": ("data", lambda path: path.write_bytes(path.read_bytes()[:-50])),
    "no index": ("index", lambda path: path.unlink()),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_checkpoint_is_reported(run, damage):
    state = {"generator/w": tf.Variable(tf.random.stateless_normal([100, 10], [0, 1]))}
    written(run, 8, state)
    part, harm = DAMAGE[damage]
    [file] = [path for path in run.checkpoint(8).iterdir() if part in path.name]
    harm(file)
    with pytest.raises(RunError) as caught:
        restore(run.checkpoint(8), state)
    message = str(caught.value)
    assert message.startswith(f"the checkpoint {run.checkpoint(8)} is damaged (")
    assert "delete its folder" in message
    assert "\n" not in message


def test_tensors_that_differ_are_refused_by_name(run):
    written(run, 8, {"w": tf.Variable(tf.zeros([2, 3]))})
    with pytest.raises(RunError, match=r"'w' has shape \(2, 3\) .* \(3, 2\)"):
        restore(run.checkpoint(8), {"w": tf.Variable(tf.zeros([3, 2]))})
    with pytest.raises(RunError, match="'other/w'"):
        restore(run.checkpoint(8), {"w": tf.Variable(tf.zeros([2, 3])), "other/w": tf.Variable(0.0)})


@pytest.mark.parametrize(
    ("fault", "partly"),
    [
        (tf.errors.ResourceExhaustedError(None, None, "step; No space left on device"), True),
        (OSError(errno.ENOSPC, "No space left on device"), False),
    ],
)
def test_full_disk_while_saving(run, monkeypatch, fault, partly):
    state = variables()
    before = values(state)
    writer = written(run, 1, state)
    write = checkpoints.tf.raw_ops.SaveV2

    def full(**arguments):
        if partly:
            write(**arguments)
        raise fault

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.tf.raw_ops, "SaveV2", full)
        writer.save(2)
        with pytest.raises(SystemFault, match=r"the disk is full: .*checkpoints could not be written"):
            writer.wait()
        writer.save(2)
        with pytest.raises(SystemFault):
            writer.save(3)
    assert [path.name for path in run.checkpoints.iterdir()] == ["step_000000001"]
    assert_stored(run, 1, before)
    writer.save(3)
    writer.wait()
    assert run.checkpoint_steps() == [1, 3]


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_non_finite_weights_are_not_saved(run, value):
    state = variables()
    writer = written(run, 1, state)
    kernel = next(iter(state))
    state[kernel].assign(tf.tensor_scatter_nd_update(state[kernel], [[1, 2, 0, 3]], [value]))
    writer.save(2)
    with pytest.raises(TrainingDiverged) as caught:
        writer.wait()
    assert str(caught.value) == f"'{kernel}' is no longer finite at step 2"
    assert run.checkpoint_steps() == [1]


@pytest.mark.parametrize("written_in", [None, FORMAT - 1])
def test_a_checkpoint_of_another_format_is_refused(run, written_in):
    run.checkpoint(8).mkdir(parents=True)
    tensors = {"w": tf.constant(0.0)} | ({} if written_in is None else {"format": tf.constant(written_in)})
    tf.raw_ops.SaveV2(
        prefix=str(run.checkpoint(8) / "state"),
        tensor_names=list(tensors),
        shape_and_slices=[""] * len(tensors),
        tensors=list(tensors.values()),
    )
    with pytest.raises(RunError, match=f"format {written_in}, .*format {FORMAT}"):
        read_checkpoint(run.checkpoint(8), ["w"])
