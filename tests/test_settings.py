"""Every setting of every model has an effect, or is refused with what takes it away."""

import numpy as np
import pytest

from pix2pix_tf import preset, replace, train
from pix2pix_tf.config import READ_IF, each_setting, refuse_unread
from pix2pix_tf.data.packed import pack_folder
from pix2pix_tf.data.sources import open_dataset
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.models.registry import MODELS
from tests.test_config import OTHER

# A valid value, other than the usual one, of each setting of any model.
GIVEN = OTHER | {
    "upscale_factor": 2,
    "label_colors": (0, 0, 0, 255, 255, 255),
    "image_size": (128, 128),
    "noise": 3,
    "generator_filters": 3,
    "critic_filters": 3,
    "cycle_weight": 3.0,
    "identity_weight": 0.25,
    "teacher_weight": 3.0,
    "gan_loss": "hinge",
    "unconditional": True,
    "label_maps": "A",
    "all_reduce": "bfloat16",
    "archive": "facades.tar.gz",
    "precision": "mixed_bfloat16",
}
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
SMALL = {"base_filters": 2, "image_size": 64, "precision": "float32"}


def settings_of(config):
    return {name: value for _, name, _, value in each_setting(config)}


def changed(config, settings):
    """A configuration with those of the settings that its model has."""
    return replace(config, **{name: value for name, value in settings.items() if name in settings_of(config)})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pairs in A/ and B/ that aren't split; one side could be a label map."""
    from PIL import Image

    place = tmp_path_factory.mktemp("pairs")
    draw = np.random.default_rng(0)
    for side in "AB":
        (place / side).mkdir()
        for number in range(12):
            flat = draw.integers(0, 2, (9, 11, 1), np.uint8).repeat(3, -1) * 255
            image = Image.fromarray(flat).resize((90, 70), Image.NEAREST)
            image.save(place / side / f"{number}.png")
    return place


# ---------------------------------------------------------------- refused


def refusals():
    """Each model with a setting of its own and what can take its effect away."""
    for model in MODELS:
        usual = preset("./pairs", model)
        has = settings_of(usual)
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
    with pytest.raises(ConfigError, match=f"`{name}` has no effect with `{other}`"):
        refuse_unread(replace(before, **{name: GIVEN[name]}), before)


@pytest.mark.parametrize("name", ["archive", "mirror_url"])
def test_downloads_are_for_what_is_downloaded(name, folder):
    with pytest.raises(ConfigError, match=f"`{name}` has no effect with `dataset`"):
        open_dataset(replace(preset(str(folder)), **{name: GIVEN[name]}))


OF_FILES = {"input_range", "output_range", "fit", "photo_filter"}
OF_FOLDERS = OF_FILES | {"skip_bad_images", "layout"}
OF_PAIRS = {"direction", "evaluate_every", "best_metric"}
OF_SPLITS = {"split_seed", "val_share", "test_share"}


def test_what_only_opened_data_can_tell(folder, tmp_path):
    """Each kind of data uses what its readers read, of the settings that the table leaves to it."""
    left_to_data = {
        name
        for name, conditions in READ_IF.items()
        if any(isinstance(each, str) for each in conditions.values())
    }
    assert left_to_data == OF_FOLDERS | OF_PAIRS | OF_SPLITS | {"ignore"}

    def used(dataset, model="pix2pix", **settings):
        return open_dataset(replace(preset(str(dataset), model), image_size=64, **settings)).used

    pack_folder(folder, tmp_path / "pack", 0, None)
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
    assert used(tmp_path / "pack", "cyclegan") == OF_FILES | OF_PAIRS
    assert used(tmp_path / "pack", task="colorize") == OF_FILES | OF_PAIRS | {"split_seed"}


@pytest.mark.parametrize("name", ["split_seed", "val_share", "skip_bad_images", "evaluate_every"])
def test_training_refuses_what_its_data_do_not_use(name, folder, tmp_path):
    pack_folder(folder, tmp_path / "pack", 0, None, "unpaired")
    config = replace(
        preset(str(tmp_path / "pack"), "cyclegan"), run_dir=tmp_path / "run", **SMALL, **{name: GIVEN[name]}
    )
    with pytest.raises(ConfigError, match=f"`{name}` has no effect with `dataset`"):
        train(config)
    assert not (tmp_path / "run" / "config.json").exists()
