"""Every setting of every model has an effect, or is refused with what takes it away."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pix2pix_tf import preset, replace, train
from pix2pix_tf.commands.main import main
from pix2pix_tf.commands.train import train_args
from pix2pix_tf.config import DEFAULT_MODEL, each_setting
from pix2pix_tf.data.checking.report import check_dataset
from pix2pix_tf.data.pipeline import held_out_images, training_batches
from pix2pix_tf.data.sources import open_dataset
from pix2pix_tf.effects import READ_IF, refuse_unread
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.exporting.samples import run_dataset
from pix2pix_tf.models.registry import MODELS, model_for
from pix2pix_tf.training.schedules import learning_rate, total_steps
from pix2pix_tf.training.start import completed_config
from pix2pix_tf.training.step import Trainer
from pix2pix_tf.training.train import dry_run
from pix2pix_tf.wording import flag
from tests.data.folders import pack_folder
from tests.test_config import changed_value, values

# What makes a setting be read, or leaves it without effect; the setting that decides comes first.
READ = {
    "upscale_factor": {"task": "upscale"},
    "label_colors": {"one_hot_labels": True, "label_maps": "A"},
    "one_hot_labels": {"label_maps": "A"},
    "gradient_penalty": {"gan_loss": "wgan-gp", "pool_size": 0},
    "last_convolution": {"generator": "unet"},
    "epochs": {"steps": None},
    "lr_end_step": {"lr_schedule": "linear"},
    "accumulate": {"batch_size": 6},
    "output_alpha": {"output_channels": 4, "output_alpha": False},
    **{name: {"identity_weight": 0.0} for name in ("input_channels", "output_channels")},
}
UNREAD = {
    "task": {"task": "colorize"},
    "gan_weight": {"gan_weight": 0.0},
    "gan_loss": {"gan_loss": "lsgan"},
    "generator": {"generator": "resnet"},
    "l1_weight": {"l1_weight": 0.0, "teacher_weight": 0.0},
    "cycle_weight": {"cycle_weight": 0.0},
    "steps": {"steps": 3},
    "lr_schedule": {"lr_schedule": "constant"},
    "one_hot_labels": {"one_hot_labels": False},
}
SMALL = {"base_filters": 2, "image_size": 64, "precision": "float32", "critic_steps": 1, "generator": "unet"}


def changed(config, settings):
    """A configuration with those of the settings that its model has."""
    return replace(config, **{name: value for name, value in settings.items() if name in values(config)})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pairs in A/ and B/ that aren't split; one side could be a label map, B has alpha."""
    place = tmp_path_factory.mktemp("pairs")
    draw = np.random.default_rng(0)
    for side in "AB":
        (place / side).mkdir()
        for number in range(12):
            flat = draw.integers(0, 2, (9, 11, 1), np.uint8).repeat(3, -1) * 255
            image = Image.fromarray(flat).resize((90, 70), Image.NEAREST)
            if side == "B":
                image.putalpha(255)
            image.save(place / side / f"{number}.png")
    return place


# ---------------------------------------------------------------- refused


def refusals():
    """Each model with a setting of its own and what can take its effect away."""
    for model in MODELS:
        usual = preset("./pairs", model)
        has = values(usual)
        for name, conditions in READ_IF.items():
            for other, is_read in conditions.items():
                if name not in has or other not in has or isinstance(is_read, str):
                    continue
                by_model = other == "model" and not is_read({"model": usual.model})
                if by_model or (other in UNREAD and (model, other) != ("cyclegan", "gan_weight")):
                    yield model, name, other


@pytest.mark.parametrize(("model", "name", "other"), list(refusals()))
def test_a_setting_that_nothing_reads_is_refused_with_the_one_that_decides(model, name, other):
    before = changed(preset("./pairs", model), {**READ.get(name, {}), **UNREAD.get(other, {})})
    with pytest.raises(ConfigError, match=f"{flag(name)} has no effect with {flag(other)}"):
        refuse_unread(changed_value(before, name), before)


@pytest.mark.parametrize("flags", [["--patch", "70"], ["--patch=70"], ["--no-spectral-norm"]])
def test_a_flag_without_effect_is_refused_with_its_default_too(flags):
    train_args(flags)
    with pytest.raises(ConfigError, match=r"--\S+ has no effect with --gan-weight 0"):
        train_args(["--gan-weight", "0", *flags])


@pytest.mark.parametrize("name", ["archive", "mirror_url"])
def test_downloads_are_for_what_is_downloaded(name, folder):
    with pytest.raises(ConfigError, match=f"{flag(name)} has no effect with --dataset"):
        open_dataset(changed_value(preset(str(folder)), name))


OF_FILES = {"input_range", "output_range", "fit", "photo_filter"}
OF_FOLDERS = OF_FILES | {"skip_bad_images", "layout", "data_dir"}
OF_PAIRS = {"direction", "evaluate_every", "best_metric"}
OF_SPLITS = {"split_seed", "val_share", "test_share"}


def test_what_only_opened_data_can_tell(folder, tmp_path):
    """Each kind of data uses what its readers read, of the settings that the table leaves to it."""
    left_to_data = {
        name
        for name, conditions in READ_IF.items()
        if any(isinstance(each, str) for each in conditions.values())
    }
    assert left_to_data == OF_FOLDERS | OF_PAIRS | OF_SPLITS | {"ignore", "label_maps", "all_reduce"}

    def used(dataset, model="pix2pix", **settings):
        return open_dataset(replace(preset(str(dataset), model), image_size=64, **settings)).used - {
            "label_maps"
        }

    pack_folder(folder, tmp_path / "pack")
    (tmp_path / "photos").mkdir()
    for image in (folder / "A").iterdir():
        (tmp_path / "photos" / image.name).write_bytes(image.read_bytes())
    (tmp_path / "split").mkdir()
    (tmp_path / "split" / "train").symlink_to(folder)
    assert used(folder) == OF_FOLDERS | OF_PAIRS | OF_SPLITS
    assert used(tmp_path / "split") == OF_FOLDERS | {"direction"}
    assert used(tmp_path / "pack") == OF_FILES | OF_PAIRS
    assert used("procedural", jitter=True) == OF_PAIRS | {"photo_filter"}
    assert used("procedural", jitter=False) == OF_PAIRS
    assert used(tmp_path / "photos", "wgan") == OF_FOLDERS | OF_SPLITS
    assert used(tmp_path / "photos", "distilled_from_inputs") == OF_FOLDERS | OF_SPLITS | {"direction"}
    assert used(tmp_path / "pack", "cyclegan") == OF_FILES | OF_PAIRS - {"direction"}
    assert used(tmp_path / "pack", task="colorize") == OF_FILES | OF_PAIRS | {"split_seed"}


@pytest.mark.parametrize(
    ("direction", "label_maps", "is_used"),
    [("AtoB", "A", False), ("AtoB", "B", True), ("BtoA", "A", True), ("BtoA", "B", False)],
)
def test_label_maps_are_of_the_side_that_is_taken(folder, direction, label_maps, is_used):
    config = replace(preset(str(folder), "wgan"), direction=direction, label_maps=label_maps)
    dataset = open_dataset(config)
    assert ("label_maps" in dataset.used) == dataset.sides[0].labels == is_used


@pytest.mark.parametrize("name", ["split_seed", "val_share", "skip_bad_images", "evaluate_every"])
def test_training_refuses_what_its_data_do_not_use(name, folder, tmp_path):
    pack_folder(folder, tmp_path / "pack", "unpaired")
    usual = replace(preset(str(tmp_path / "pack"), "cyclegan"), run_dir=tmp_path / "run", **SMALL)
    with pytest.raises(ConfigError, match=f"{flag(name)} has no effect with --dataset"):
        train(changed_value(usual, name))
    assert not (tmp_path / "run" / "config.json").exists()


@pytest.mark.slow
def test_gradients_are_summed_over_devices_where_there_are_several(tmp_path):
    config = replace(preset(), run_dir=tmp_path / "run", **SMALL, all_reduce="bfloat16")
    with pytest.raises(ConfigError, match="--all-reduce has no effect on one device"):
        train(config)
    assert dry_run(config).optimization.all_reduce == "bfloat16"  # there may be several hosts


# ---------------------------------------------------------------- options of other commands


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """Pairs whose folders say which are held out."""
    place = tmp_path_factory.mktemp("split")
    for part, side, number in [(p, s, n) for p in ("train", "val") for s in "AB" for n in range(3)]:
        (place / part / side).mkdir(parents=True, exist_ok=True)
        shade = number * 3 + len(part) + ord(side)
        Image.new("RGB", (64, 64), (shade, 0, 255 - shade)).save(place / part / side / f"{number}.png")
    return place


def test_data_preview_and_check_refuse_what_their_data_do_not_use(split, tmp_path, capsys):
    pack_folder(split, tmp_path / "pack")
    with pytest.raises(ConfigError, match="--seed"):
        pack_folder(split, tmp_path / "again", split_seed=3)
    preview = f"--out {tmp_path / 'preview.png'} --kind unpaired"
    for action, place, flags in (
        ("check", tmp_path / "pack", "--skip-bad-images"),
        ("preview", tmp_path / "pack", f"--skip-bad-images {preview}"),
        ("check", tmp_path / "pack", "--image-size 64"),
        ("preview", tmp_path / "pack", f"--direction BtoA {preview}"),
        ("check", split, "--val-share 0.5"),
        ("check", "procedural", "--ignore 3"),
        ("download", "procedural", "--layout folders"),
    ):
        assert main(["data", action, str(place), *flags.split()]) == 2
        assert f"{flags.split()[0]} has no effect" in capsys.readouterr().err


def test_a_number_is_ignored_in_measurements_and_gray_images_only(split, tmp_path):
    usual = preset(str(split))
    with pytest.raises(ConfigError, match="--ignore has no effect with --dataset"):
        check_dataset(replace(usual, ignore=7), usual)
    with pytest.raises(ConfigError, match="--ignore has no effect"):
        pack_folder(split, tmp_path / "pack", ignore=7)
    for side in "AB":
        (tmp_path / "gray" / side).mkdir(parents=True)
        for number in range(3):
            shades = np.arange(number, number + 64, dtype=np.uint8).repeat(64).reshape(64, 64)
            Image.fromarray(shades + ord(side)).save(tmp_path / "gray" / side / f"{number}.png")
    usual = preset(str(tmp_path / "gray"))
    assert check_dataset(replace(usual, ignore=7, val_share=0.5), usual).is_good
    pack_folder(tmp_path / "gray", tmp_path / "packed", ignore=7)


@pytest.mark.parametrize(
    ("place", "flags"),
    [
        ("pack", "--skip-bad-images"),
        ("folder", "--val-share 0.5"),
        ("pack", "--layout folders"),
        ("folder", "--ignore 7"),
    ],
)
def test_evaluate_refuses_what_its_data_do_not_use(place, flags, split, tiny_run, tmp_path, capsys):
    dataset = split
    if place == "pack":
        dataset = tmp_path / "pack"
        pack_folder(split, dataset)
    arguments = ["evaluate", str(tiny_run.path), "--dataset", str(dataset), "--out", str(tmp_path / "out")]
    assert main([*arguments, *flags.split()]) == 2
    assert f"{flags.split()[0]} has no effect" in capsys.readouterr().err


def test_export_refuses_a_place_of_data_that_are_drawn(tiny_run, tmp_path):
    with pytest.raises(ConfigError, match="--data-dir has no effect with --dataset procedural"):
        run_dataset(tiny_run.read_config(), tmp_path)


# ---------------------------------------------------------------- with an effect

# A step on one device, or the start of a run, doesn't show these.
SEEN_ELSEWHERE = {
    *("model", "recipe", "dataset", "data_dir", "archive", "mirror_url", "skip_bad_images", "ignore"),
    *("layout", "accumulate", "all_reduce", "run_dir", "init_from", "stochastic", "teacher", "best_metric"),
    *("log_every", "sample_every", "evaluate_every", "checkpoint_every", "checkpoint_minutes", "keep_every"),
}


# Students are pix2pix with other losses and, without targets, other sides.
OF_STUDENTS = {"teacher_weight", "l1_weight", "pixel_loss", "feature_matching", "direction", "label_maps"}


def effects():
    for model in MODELS:
        usual = preset("./pairs", model)
        is_student = "teacher" in values(usual)
        for group, name, *_ in each_setting(usual):
            # The optimization knows no model.
            is_shared = name not in OF_STUDENTS if is_student else group == "optimization"
            if name in SEEN_ELSEWHERE or (is_shared and model != DEFAULT_MODEL):
                continue
            needs_pairs = name in ("upscale_factor", "label_colors") and usual.model.data != "pairs"
            if not needs_pairs and not any(
                other == "model" and not isinstance(is_read, str) and not is_read({"model": usual.model})
                for other, is_read in READ_IF.get(name, {}).items()
            ):
                yield model, group, name


def described(config, dataset):
    """Returns facts that a model declares."""
    model = model_for(config)
    pools = {name: variable.shape for name, variable in model.extra_state().items()}
    return [
        *model.metrics(),
        model.published_generators(),
        [(list(each.trains), each.repeats) for each in model.phases()],
        pools,
    ]


def schedule(config, dataset):
    total = total_steps(config, dataset.count("train"))
    return total, [float(learning_rate(config.optimization, step, total)) for step in (0, total - 1)]


def networks(config, dataset):
    return [build("float32").to_json() for build in model_for(config).networks().values()]


def batches(config, dataset):
    steps = training_batches(dataset, config, 0, 2, model_for(config).batches_per_step())
    held_out = held_out_images(dataset, config.data.size, 2, fit=config.data.fit)
    return (
        {split: [len(images) for images in sets] for split, sets in dataset.splits.items()},
        [[image.numpy().tobytes() for image in batch] for batch in steps],
        [[image.tobytes() for image in row] for _, *row in held_out],
    )


def state(config, dataset):
    """Weights, averages and the optimizers' moments after a step."""
    model = model_for(config)
    is_student = "teacher" in values(config)
    trainer = Trainer(
        model, config, 9, teacher=model.networks()["generator"]("float32") if is_student else None
    )
    (batch,) = training_batches(dataset, config, 0, 1, trainer.batches_per_step)
    tf.config.run_functions_eagerly(True)
    try:
        trainer.train_step(batch, tf.constant(0, tf.int64))
    finally:
        tf.config.run_functions_eagerly(False)
    return {name: variable.numpy().tobytes() for name, variable in trainer.state().items()}


OBSERVATIONS = {  # the cheap ones first
    "model": (described, networks, state),
    "data": (described, batches, networks, state),
    "optimization": (schedule, batches, state),
}


@functools.cache
def opened(config):
    dataset = open_dataset(config)
    return completed_config(config, dataset), dataset


@functools.cache
def observed(observe, config):
    """Returns an observation; cached, because the default config is compared with many."""
    return observe(*opened(config))


@pytest.mark.slow
@pytest.mark.parametrize(("model", "group", "name"), list(effects()))
def test_a_setting_that_is_read_changes_something(model, group, name, folder):
    before = changed(preset(str(folder), model), {**SMALL, "teacher": "a run", **READ.get(name, {})})
    asked = changed_value(before, name)
    refuse_unread(asked, before)
    assert any(observed(each, before) != observed(each, asked) for each in OBSERVATIONS[group])
