"""What a training starts with: decided before its data are opened, and completed from the data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pix2pix_tf import config as configs
from pix2pix_tf.config import DataConfig, TrainConfig, each_setting
from pix2pix_tf.data.dataset import ImageDataset
from pix2pix_tf.data.label_maps import palette
from pix2pix_tf.data.names import full_name, looks_like_path
from pix2pix_tf.data.pixel_format import WITH_ALPHA, PixelFormat
from pix2pix_tf.data.tasks.pairs import colors_in
from pix2pix_tf.devices import resolve_precision
from pix2pix_tf.effects import refuse_unread
from pix2pix_tf.errors import ConfigError, RunError
from pix2pix_tf.models.registry import config_from_json, model_for, preset
from pix2pix_tf.recording.jsonl import read_metrics
from pix2pix_tf.runs import OpenedRun, RunDirectory, open_run
from pix2pix_tf.storage import absolute
from pix2pix_tf.training.distillation import teacher_generator
from pix2pix_tf.training.schedules import total_steps
from pix2pix_tf.wording import counted, flag, quoted, shown

# Settings that each host may have in its own way.
LOCAL = ("data_dir", "archive", "mirror_url")
# Settings that the data decide if they are not given.
FROM_DATA = (
    "input_channels",
    "output_channels",
    "input_bits",
    "output_bits",
    "output_alpha",
    "input_range",
    "output_range",
    "label_colors",
)


@dataclasses.dataclass(frozen=True)
class Start:
    """What the first host decides before training. Only it uses the fields after ``finished``.

    Attributes:
        config: the requested settings, completed from the resumed run, later from the data.
        done: the step of the resumed run's newest checkpoint; ``None`` for a new run.
        finished: whether all steps are done.
        usual: the settings if none had been given: those of the resumed run, the teacher or the preset.
        init_from: the run that a new run takes its weights from.
        teacher: the run that a new run is distilled from.
        images: the identity of the training images.
    """

    config: TrainConfig
    done: int | None
    finished: bool
    usual: TrainConfig
    init_from: OpenedRun | None = None
    teacher: OpenedRun | None = None
    images: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"config": configs.to_json(self.config), "done": self.done, "finished": self.finished}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any], own: TrainConfig) -> Start:
        """Returns the first host's decision for a host with the config ``own``."""
        local = {name: getattr(own.data, name) for name in LOCAL}
        config = configs.replace(config_from_json(plain["config"]), **local)
        return cls(config, plain["done"], plain["finished"], config)


def prepare(config: TrainConfig, run: RunDirectory) -> Start:
    """Decides what is trained, before the data are opened, so that an error costs no download.

    Raises if the settings contradict each other, the existing run, or the runs that a new run starts from.
    """
    run.fetch()
    run.refuse_unreadable_path()
    done = run.latest_step()
    start = _new(config, run) if done is None else _resumed(config, run, done)
    refuse_unread(start.config, start.usual)
    return start


def complete(start: Start, run: RunDirectory, dataset: ImageDataset, images: Mapping[str, Any]) -> Start:
    """Completes the settings from the data, whose identity is ``images``; ``run`` is locked."""
    if run.latest_step() != start.done:  # another process has trained meanwhile
        start = prepare(start.config, run)
    refuse_unread(start.config, start.usual, dataset.used)
    if start.done is not None:
        run.refuse_other_images(images)
    config = completed_config(start.config, dataset)
    if start.init_from is not None:  # again, as the data may have other channels
        _refuse_other_networks(start.init_from, config)
    return dataclasses.replace(start, config=config, images=images)


def _new(config: TrainConfig, run: RunDirectory) -> Start:
    """Starts a run. One without a checkpoint has nothing to lose, so its settings may change."""
    _refuse_lost_checkpoints(run)
    init_from = teacher = None
    if config.record.init_from is not None:
        init_from = open_run(config.record.init_from)
        init_from.step()  # raises if it has no checkpoint
        _refuse_other_networks(init_from, config)
    described = model_for(config).teacher()
    if described is None:
        usual = preset(config.data.dataset, config.model.model, config.model.recipe)
    else:
        teacher = open_run(described.run)
        teacher.step()
        teacher_generator(described, teacher)  # raises if it has no such direction
        usual = described.student_defaults(teacher.config)
    return Start(config, None, False, usual, init_from, teacher)


def _refuse_lost_checkpoints(run: RunDirectory) -> None:
    """Raises if the run had checkpoints that are gone: they may have been moved by mistake."""
    logged = read_metrics(run.metrics_file)
    if not logged or not run.exists():
        return
    # The second checkpoint starts when the first one is complete.
    had_some = logged[-1]["step"] > 2 * run.read_config().record.checkpoint_every
    if had_some or not run.checkpoints.is_dir():
        raise RunError(
            f"the run in {quoted(run.place)} was trained for {counted(int(logged[-1]['step']), 'step')}, and "
            f"its checkpoints are gone from {quoted(run.checkpoints)}; restore them to continue it, or "
            f"delete {quoted(run.place)} or give another --run-dir to start anew"
        )


def _resumed(config: TrainConfig, run: RunDirectory, done: int) -> Start:
    """Resumes a run: takes the settings left open from it; raises if others differ."""
    stored = run.read_config()
    given, before = configs.settings_of(config), configs.settings_of(stored)
    left_open = {"precision": "auto", **dict.fromkeys((*FROM_DATA, "init_from", "teacher"))}
    taken = {
        name: before.get(name) for name, unset in left_open.items() if name in given and given[name] == unset
    }
    config = configs.replace(config, **_absolute_paths(config), **taken)
    if changes := configs.differences(stored, config):
        raise RunError(
            f"the run in {quoted(run.place)} was started with other settings ({'; '.join(changes)}); "
            "leave these flags as they were to continue it, or start another run with --run-dir"
        )
    total = total_steps(config, run.image_count())
    if total < done:
        raise RunError(
            f"{done} steps of the run in {quoted(run.place)} are done already; give a larger --steps or "
            "--epochs, or another --run-dir"
        )
    # If the folder is elsewhere, only its images show whether it is the same data set.
    is_same = _full_path(stored.data.dataset) == _full_path(config.data.dataset)
    return Start(config, done, total == done and is_same and run.final_grid.is_file(), stored)


def _refuse_other_networks(source: OpenedRun, config: TrainConfig) -> None:
    """Raises if ``config`` has networks with weights that the run to start from lacks."""
    theirs, refused = source.config, f"--init-from {quoted(source.name)}: that run"
    if theirs.model.model != config.model.model:
        raise RunError(f"{refused} trains {theirs.model.model}, not {config.model.model}")
    existing = _shapes(theirs)

    def needs_others(**settings: Any) -> bool:
        try:
            return not _shapes(configs.replace(theirs, **settings)).items() <= existing.items()
        except ConfigError:  # the setting needs another one, which differs too
            return False

    differing = []
    for (group, name, _, ours), (*_, before) in zip(each_setting(config), each_setting(theirs), strict=True):
        is_open = ours is None and name in FROM_DATA
        if group not in ("model", "data") or name in ("recipe", "dataset") or is_open or ours == before:
            continue
        if needs_others(**{name: ours}):
            differing.append(f"{flag(name)}: {shown(before)} → {shown(ours)}")
            if name == "image_size":
                sides = [side for side in _DEEPER_FROM if not needs_others(image_size=side)]
                end = "on" if sides[-1] == _DEEPER_FROM[-1] else f"to {2 * sides[-1] - 1}"
                differing.append(
                    f"the size decides the depth; a shorter side from {sides[0]} {end} has that run's"
                )
    if differing:
        raise RunError(f"{refused} has other networks ({'; '.join(differing)})")


# Image sizes at which networks may become deeper.
_DEEPER_FROM = (64, 128, 256, 512, 1024, 2048)


def _shapes(config: TrainConfig) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of all weights by network and name."""
    networks = {name: build("float32") for name, build in model_for(config).networks().items()}
    return {f"{name}/{each.path}": each.shape for name, net in networks.items() for each in net.weights}


def completed_config(config: TrainConfig, dataset: ImageDataset) -> TrainConfig:
    """Returns the config with precision, channels, ranges and colors decided by machine and data."""
    data = config.data
    first, last = dataset.sides[0], dataset.sides[-1]
    is_paired, most_bits = config.model.data != "unpaired", max(first.bits, last.bits)
    if config.model.data == "images" and config.model.side == 0:
        last = PixelFormat(data.output_channels or 3)  # inputs alone don't show what outputs look like
    # The input of a task has fixed channels, and noise has none.
    has_input = config.model.takes_images and not dataset.task.makes_input
    return configs.replace(
        config,
        **_absolute_paths(config),
        dataset=_full_path(config.data.dataset),
        precision=resolve_precision(config.optimization.precision),
        input_channels=data.input_channels or first.channels if has_input else None,
        output_channels=data.output_channels or last.channels,
        input_bits=(data.input_bits or (first.bits if is_paired else most_bits)) if has_input else None,
        output_bits=data.output_bits or (last.bits if is_paired else most_bits),
        output_alpha=_output_alpha(config, dataset),
        input_range=data.input_range or first.value_range if has_input else None,
        output_range=data.output_range or last.value_range,
        label_colors=_label_colors(data, dataset) if data.one_hot_labels else None,
    )


def _output_alpha(config: TrainConfig, dataset: ImageDataset) -> bool | None:
    """Returns whether the last output channel is alpha; ``None`` if the model doesn't use alpha."""
    if config.model.data == "images":
        return config.data.output_alpha  # the teacher's, because inputs alone don't show it
    if config.model.data != "pairs" or config.data.task != "pairs":
        return None
    given, target = config.data.output_alpha, dataset.sides[-1]
    if given and target.channels not in WITH_ALPHA:
        raise ConfigError(
            f"--output-alpha needs targets of 2 or 4 channels, but they have {target.channels}; give "
            "--output-channels 4 if the files have alpha"
        )
    return target.has_alpha if given is None else given


def _label_colors(data: DataConfig, dataset: ImageDataset) -> tuple[int, ...]:
    """Returns the colors of the input's classes, flattened: `--label-colors` if given, else the data's."""
    if not dataset.sides[0].labels:
        raise ConfigError(
            "--one-hot-labels needs a label map as the input; --label-maps says which side is one, and "
            "--direction which is the input"
        )
    if data.label_colors is None:
        return tuple(map(int, palette(dataset, 0).reshape(-1)))
    channels, given = dataset.sides[0].channels, data.label_colors
    colors = colors_in(given, channels)
    if len(given) % channels or len(set(colors)) < max(2, len(colors)):
        raise ConfigError(
            f"--label-colors takes {counted(channels, 'number')} for each class, and two classes or more of "
            f"different colors; got {' '.join(map(str, given))}"
        )
    return given


def _absolute_paths(config: TrainConfig) -> dict[str, Path]:
    """Returns the settings that are paths, absolute: the run may be resumed from another directory."""
    paths = {name: value for name, value in configs.settings_of(config).items() if isinstance(value, Path)}
    return {name: Path(absolute(path)) for name, path in paths.items() if name != "run_dir"}


def _full_path(dataset: str) -> str:
    """Returns the absolute path of a folder, or the full name of a named data set."""
    return absolute(dataset) if looks_like_path(dataset) else full_name(dataset)
