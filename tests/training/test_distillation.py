"""Distillation: what a student takes of its teacher, and that it needs nothing of it afterwards."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
import tifffile

from pix2pix_tf import load, replace, train
from pix2pix_tf.commands.distill import distill_args
from pix2pix_tf.data.sources import open_dataset
from pix2pix_tf.distribution import Hosts
from pix2pix_tf.errors import ConfigError, RunError
from pix2pix_tf.models.distilled import student_defaults
from pix2pix_tf.models.registry import model_for
from pix2pix_tf.recording.jsonl import read_metrics
from pix2pix_tf.runs import RunDirectory, open_run
from pix2pix_tf.runs.checkpoints import read_checkpoint
from pix2pix_tf.training.distillation import load_teacher, teacher_discriminator
from pix2pix_tf.training.step import Trainer
from pix2pix_tf.training.train import dry_run
from tests.conftest import small_config
from tests.training.steps import eagerly, step

IMAGE = np.random.default_rng(0).uniform(-1, 1, (1, 64, 64, 3)).astype(np.float32)

ALONE = Hosts(tf.distribute.get_strategy())


def student_config(teacher, run_dir, **settings):
    small = {"base_filters": 4, "precision": "float32", "run_dir": run_dir}
    inputs_only = settings.pop("inputs_only", False)
    config = student_defaults(teacher.read_config(), teacher.path, inputs_only=inputs_only)
    return replace(config, **{**small, **settings})


def weights(run, step):
    names = [f"generator/{variable.path}" for variable in load(run.path).network.weights]
    return read_checkpoint(run.checkpoint(step), [name for name in names if "seed" not in name])


def assert_equal_outputs(teacher, run):
    expected = load(run.path).translate_floats(IMAGE[0])
    np.testing.assert_allclose(teacher(IMAGE, training=False)[0], expected, atol=1e-5)


def quietly(config):
    return train(config, report=lambda line: None)


def test_student_starts_from_its_teacher(tiny_run, tmp_path):
    config = student_config(tiny_run, tmp_path / "student")
    model = model_for(config)
    source = open_run(tiny_run.path)
    teacher = load_teacher(model, source, RunDirectory(config.run_dir), ALONE)
    assert_equal_outputs(teacher, tiny_run)

    trainer = Trainer(model, config, 10, teacher=teacher)
    trainer.load_weights(source.checkpoint(), teacher_discriminator(model, source))
    own = trainer.weights(["discriminator"])
    theirs = read_checkpoint(tiny_run.checkpoint(tiny_run.latest_step()), list(own))
    assert own
    for name, variable in own.items():
        np.testing.assert_array_equal(variable.numpy(), theirs[name])


@pytest.mark.slow
def test_student_without_targets_learns_teacher_outputs(tiny_run, tmp_path):
    config = student_config(tiny_run, tmp_path / "student", inputs_only=True)
    model = model_for(config)
    source = open_run(tiny_run.path)
    teacher = load_teacher(model, source, RunDirectory(config.run_dir), ALONE)
    trainer = Trainer(model, config, 10, teacher=teacher)
    student = trainer.networks["generator"]
    # Without dropout's noise the student's image is known beforehand.
    for layer in student.layers:
        if "dropout" in layer.name:
            layer.rate = 0.0
    apart = np.abs(student(IMAGE, training=False) - teacher(IMAGE, training=False)).mean()
    with eagerly():
        measured = step(trainer, (tf.constant(IMAGE),))
    assert measured["gen_l1"] == pytest.approx(float(apart), rel=1e-4)


@pytest.mark.slow
def test_a_student_learns_and_continues_without_its_teacher(tiny_run, tmp_path, monkeypatch):
    teacher = RunDirectory(tmp_path / "teacher")
    shutil.copytree(tiny_run.path, teacher.path)
    teacher.write_training_images(np.array([5], np.uint64))
    published, publish = [], RunDirectory.publish
    with monkeypatch.context() as watched:
        watched.setattr(
            RunDirectory, "publish", lambda run: published.append(run.latest_step()) or publish(run)
        )
        undisturbed = quietly(student_config(teacher, tmp_path / "undisturbed", steps=30))
    assert published.count(0) == 1  # the start from other weights
    lines = read_metrics(undisturbed.metrics_file)
    assert lines[-1]["gen_teacher"] < 0.8 * lines[0]["gen_teacher"]
    assert set(undisturbed.training_images()) == {5, *tiny_run.training_images()}

    continued = RunDirectory(shutil.copytree(undisturbed.path, tmp_path / "continued"))
    continued.final_grid.unlink()  # as a kill before the last checkpoint leaves a run
    shutil.rmtree(continued.checkpoint(30))
    config = student_config(teacher, continued.path, steps=30)
    shutil.rmtree(teacher.path)
    quietly(config)
    expected = weights(undisturbed, 30)
    for name, value in weights(continued, 30).items():
        np.testing.assert_array_equal(value, expected[name])

    again = distill_args([str(teacher.path), "--run-dir", str(continued.path), "--steps", "40"])
    assert again.config == replace(continued.read_config(), steps=40)
    with pytest.raises(ConfigError, match="has the teacher"):
        distill_args([str(tiny_run.path), "--run-dir", str(continued.path)])
    with pytest.raises(RunError, match="--teacher"):  # it would have no effect
        quietly(replace(config, steps=40, teacher=tiny_run.path))
    continued.keras_file("teacher").unlink()
    with pytest.raises(RunError, match=r"teacher\.keras"):
        quietly(replace(config, steps=40))


@pytest.mark.slow
def test_a_run_is_distilled_from_a_folder_of_inputs(tiny_run, tmp_path, save_image):
    for number in range(3):
        save_image(tmp_path / "labels" / f"{number}.png", 70, 64, seed=number)
    flags = ["--inputs-only", "--dataset", str(tmp_path / "labels"), "--steps", "2", "--base-filters", "4"]
    args = distill_args([str(tiny_run.path), *flags, "--run-dir", str(tmp_path / "student")])
    run = quietly(args.config)
    assert run.read_config().model.model == "distilled_from_inputs"
    image = load(run.path).translate_file(tmp_path / "labels" / "0.png")
    assert image.shape == (64, 70, 3)


def test_direction_selects_the_teacher(tmp_path):
    config = small_config(
        tmp_path,
        "cyclegan",
        input_channels=1,
        output_channels=3,
        output_range=(0.0, 9.0),
        identity_weight=0.0,
    )
    student = student_defaults(config, tmp_path, "BtoA")
    assert (student.data.input_channels, student.data.output_channels) == (3, 1)
    assert (student.data.input_range, student.data.output_range) == ((0.0, 9.0), None)
    teacher = model_for(student).teacher()
    assert model_for(config).published_generators()[teacher.generator].discriminator == "discriminator_a"


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
@pytest.mark.parametrize("name", ["inputs", "pairs"])
def test_a_student_of_inputs_reads_images_as_its_teacher(tmp_path, name, direction):
    given, target = direction[0], direction[-1]
    for number in range(3):
        folders = {"inputs": {"": 1000}, "pairs": {given: 1000, target: 10}}[name]
        for folder, top in folders.items():
            path = tmp_path / name / folder / f"{number}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, np.linspace(0, top, 64 * 64, dtype=np.float32).reshape(64, 64))
    teacher = small_config(
        tmp_path,
        direction=direction,
        input_channels=1,
        output_channels=2,
        input_range=(0.0, 1000.0),
        output_range=(0.0, 10.0),
        label_maps=direction[0],
        ignore=7.0,
    )
    student = student_defaults(teacher, tmp_path, inputs_only=True)
    [side] = open_dataset(replace(student, dataset=str(tmp_path / name))).sides
    [published] = model_for(student).published_generators().values()
    [expected] = model_for(teacher).published_generators().values()
    assert published.input == expected.input
    for setting in ("channels", "value_range", "labels", "ignore"):
        assert getattr(side, setting) == getattr(expected.input, setting), setting


def test_teacher_of_a_failed_start_is_replaced(tiny_run, tmp_path):
    run = RunDirectory(tmp_path / "student")
    run.keras_file("teacher").parent.mkdir()
    run.keras_file("teacher").write_bytes(b"another network")
    model = model_for(student_config(tiny_run, run.path))
    teacher = load_teacher(model, open_run(tiny_run.path), run, ALONE)
    assert_equal_outputs(teacher, tiny_run)


@pytest.mark.parametrize(
    "flags",
    [
        ["--model", "pix2pix"],
        ["--recipe", "paper"],
        ["--teacher", "x"],
        ["--patch", "70", "--gan-weight", "0"],
    ],
)
def test_settings_without_effect_on_a_student_are_refused(tiny_run, tmp_path, flags):
    with pytest.raises(ConfigError, match=flags[0]):
        distill_args([str(tiny_run.path), "--run-dir", str(tmp_path / "student"), *flags])


@pytest.mark.slow
def test_inherited_settings_are_accepted(tiny_run, tmp_path):
    teacher = RunDirectory(tmp_path / "teacher")
    shutil.copytree(tiny_run.path, teacher.path)
    theirs = replace(teacher.read_config(), layout="side-by-side")  # no effect on drawn images
    teacher.write_config(theirs, {"count": 1})
    dry_run(student_config(teacher, tmp_path / "student"))
    with pytest.raises(ConfigError, match="--layout"):
        dry_run(student_config(teacher, tmp_path / "student", layout="folders"))


def test_a_dry_run_misses_the_teacher_or_its_generator(tiny_run, tmp_path):
    config = student_config(tiny_run, tmp_path / "student")
    for teacher, fault in ((tmp_path / "none", RunError), (None, ConfigError)):
        with pytest.raises(fault, match=r"none|--teacher"):
            dry_run(replace(config, teacher=teacher))
    other = {"AtoB": "BtoA", "BtoA": "AtoB"}[config.data.direction]
    with pytest.raises(ConfigError, match=f"--direction {other}"):
        dry_run(replace(config, direction=other))
