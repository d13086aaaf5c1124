"""Rejects settings that have no effect with the other settings, the model or the data set."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from pix2pix_tf.config import TrainConfig, settings_of
from pix2pix_tf.data.names import NAMED, full_name
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.wording import flag, shown


def _is(name: str, *values: Any) -> Callable[[Mapping[str, Any]], bool]:
    return lambda given: given[name] in values


_Conditions = Mapping[str, Callable[[Mapping[str, Any]], Any] | str]
_ARCHIVED: _Conditions = {"dataset": lambda given: full_name(given["dataset"]) in NAMED}
_DISCRIMINATOR: _Conditions = {"gan_weight": lambda given: given["gan_weight"]}
_TRANSLATES: _Conditions = {"task": _is("task", "pairs"), "model": lambda given: given["model"].takes_images}
_NO_FILES: _Conditions = {"dataset": "which is generated at the image size"}
_NO_MEASUREMENTS: _Conditions = {"dataset": "whose images are not measurements"}
_SPLIT_ALREADY: _Conditions = {"dataset": "which is already split"}
_NO_TARGETS: _Conditions = {"dataset": "which has no held-out pairs"}

READ_IF: Mapping[str, _Conditions] = {
    "data_dir": {"dataset": "which needs no directory"},
    "archive": _ARCHIVED,
    "mirror_url": _ARCHIVED,
    "direction": {
        "model": lambda given: given["model"].data != "unpaired",
        "dataset": "whose images are not pairs",
    },
    "task": {"model": lambda given: given["model"].data == "pairs"},
    "upscale_factor": {"task": _is("task", "upscale")},
    "input_channels": _TRANSLATES,
    "input_bits": _TRANSLATES,
    "output_alpha": {"task": _is("task", "pairs"), "model": lambda given: given["model"].data == "pairs"},
    "input_range": {**_TRANSLATES, **_NO_MEASUREMENTS},
    "output_range": _NO_MEASUREMENTS,
    "ignore": {"dataset": "which has no measurements or gray images, or was packed without it"},
    "fit": _NO_FILES,
    "photo_filter": _NO_FILES,
    "label_maps": {"task": _is("task", "pairs"), "dataset": "whose other side is used"},
    "one_hot_labels": {**_TRANSLATES, "model": lambda given: given["model"].data == "pairs"},
    "label_colors": {"one_hot_labels": _is("one_hot_labels", True)},
    **dict.fromkeys(("split_seed", "val_share", "test_share"), _SPLIT_ALREADY),
    "layout": {"dataset": "which is not a folder of images"},
    "skip_bad_images": {"dataset": "whose images were checked earlier"},
    "epochs": {"steps": _is("steps", None)},
    "lr_end_step": {"lr_schedule": lambda given: given["lr_schedule"] != "constant"},
    "evaluate_every": _NO_TARGETS,
    "best_metric": _NO_TARGETS,
    "all_reduce": {"": "on one device"},
    "last_convolution": {"generator": _is("generator", "unet", "encoder_decoder", "unet_of_pytorch")},
    **dict.fromkeys(("discriminator_filters", "patch", "spectral_norm", "gan_loss"), _DISCRIMINATOR),
    **dict.fromkeys(("critic_steps", "pool_size", "diff_augment", "unconditional"), _DISCRIMINATOR),
    "gradient_penalty": {**_DISCRIMINATOR, "gan_loss": _is("gan_loss", "wgan-gp")},
    # Feature matching compares positions, which differ in unpaired images.
    "feature_matching": {**_DISCRIMINATOR, "model": lambda given: given["model"].data != "unpaired"},
    "pixel_loss": {"l1_weight": lambda given: given["l1_weight"] or given.get("teacher_weight")},
    "identity_weight": {"cycle_weight": lambda given: given["cycle_weight"]},
}
"""Conditions under which a setting has an effect, by the setting that they depend on. Settings without an
entry always have an effect. A condition is met if the model lacks the setting that it depends on.

A string is a condition that only the opened data set can check (`ImageDataset.used`); it is the reason in the
message. The key "" means that the condition depends on no setting.
"""


def refuse_unread(
    config: TrainConfig, before: TrainConfig, used: Collection[str] | None = None, named: Collection[str] = ()
) -> None:
    """Raises `ConfigError` if a setting that differs between ``config`` and ``before`` has no effect.

    ``used`` lists the settings that the opened data set uses; ``None`` skips these checks. ``named`` lists
    settings to check even if they don't differ.
    """
    given = settings_of(config) | {"model": config.model}
    usual = settings_of(before)
    for name, conditions in READ_IF.items():
        if given.get(name) is None or (given[name] == usual.get(name) and name not in named):
            continue
        for other, is_read in conditions.items():
            if isinstance(is_read, str):
                met, reason = used is None or name in used, is_read
            else:
                met, reason = other not in given or is_read(given), ""
            if met:
                continue
            if other:
                value = config.model.model if other == "model" else shown(given[other])
                reason = f"with {flag(other)} {value}" + (reason and f", {reason}")
            raise ConfigError(f"{flag(name)} has no effect {reason}")
