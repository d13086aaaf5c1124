"""Whether a run may be continued with a config, and completion of what the config leaves open."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

from pix2pix_tf import config as configs
from pix2pix_tf.config import DataConfig, TrainConfig, each_setting
from pix2pix_tf.data.dataset import ImageDataset
from pix2pix_tf.data.label_maps import palette
from pix2pix_tf.data.names import full_name, looks_like_path
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.tasks.pairs import colors_in
from pix2pix_tf.devices import resolve_precision
from pix2pix_tf.effects import refuse_unread
from pix2pix_tf.errors import ConfigError, RunError
from pix2pix_tf.formats.run import published_generator
from pix2pix_tf.models.registry import model_for, preset
from pix2pix_tf.recording.jsonl import read_metrics
from pix2pix_tf.runs import RunDirectory, open_run
from pix2pix_tf.storage import absolute
from pix2pix_tf.training.schedules import learning_rate
from pix2pix_tf.wording import counted, flag, quoted, shown

# Settings that the data decide if they are not given.
FROM_DATA = (
    "input_channels",
    "output_channels",
    "input_bits",
    "output_bits",
    "input_range",
    "output_range",
    "label_colors",
)


def requested_config(
    config: TrainConfig, run: RunDirectory, dataset: ImageDataset | None = None
) -> TrainConfig:
    """Returns ``config`` completed from the run's own config; raises if they contradict each other.

    A run without a checkpoint has nothing to lose: it may be started again with other settings. ``dataset``
    is that of ``config`` once it is open.
    """
    used = None if dataset is None else dataset.used
    run.refuse_unreadable_path()
    latest = run.latest_step()
    if latest is None:
        _refuse_lost_checkpoints(run)
        refuse_unread(config, _usual(config), used)
        return config
    stored = run.read_config()
    config = _merged(stored, config)
    refuse_unread(config, stored, used)
    if total_steps(config, run.image_count()) < latest:
        raise RunError(
            f"{latest} steps of the run in {quoted(run.place)} are done already; give a larger --steps or "
            "--epochs, or another --run-dir"
        )
    return config


def _usual(config: TrainConfig) -> TrainConfig:
    """Returns what would be trained if nothing had been given: a student has its teacher's settings."""
    teacher = model_for(config).teacher()
    if teacher is None:
        return preset(config.data.dataset, config.model.model, config.model.recipe)
    return teacher.student_defaults(open_run(teacher.run).config)


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


def is_finished(run: RunDirectory, config: TrainConfig) -> bool:
    """Whether all steps are done, as far as can be known without opening the data."""
    latest = run.latest_step()
    if latest is None or latest != total_steps(config, run.image_count()) or not run.final_grid.is_file():
        return False
    # If the folder is elsewhere, only its images show whether it is the same data set.
    return _absolute(run.read_config().data.dataset) == _absolute(config.data.dataset)


def with_absolute_paths(config: TrainConfig) -> TrainConfig:
    """Returns the config with absolute paths: the run may be continued from another working directory."""
    paths = {name: value for _, name, _, value in each_setting(config) if isinstance(value, Path)}
    return configs.replace(
        config, **{name: Path(absolute(path)) for name, path in paths.items() if name != "run_dir"}
    )


def _absolute(dataset: str) -> str:
    """Returns the full path of a folder, or the full name of a named data set."""
    return absolute(dataset) if looks_like_path(dataset) else full_name(dataset)


def initial_checkpoint(path: Path, config: TrainConfig) -> Path:
    """Returns the checkpoint that `--init-from` names; raises if its networks differ."""
    other = open_run(path)
    checkpoint, theirs = other.checkpoint(), other.config
    if theirs.model.model != config.model.model:
        raise RunError(
            f"--init-from {quoted(path)}: that run trains {theirs.model.model}, not {config.model.model}"
        )
    left_open = {name: getattr(theirs.data, name) for name in FROM_DATA if getattr(config.data, name) is None}
    differing = _differing_networks(configs.replace(config, **left_open), theirs)
    if any("--image-size" in each for each in differing):
        sides = [side for side in _DEEPER_FROM if not _differing_networks(_at(theirs, side), theirs)]
        end = "on" if sides[-1] == _DEEPER_FROM[-1] else f"to {2 * sides[-1] - 1}"
        differing.append(f"the size decides the depth; a shorter side from {sides[0]} {end} has that run's")
    if differing:
        raise RunError(f"--init-from {quoted(path)}: that run has other networks ({'; '.join(differing)})")
    return checkpoint


# Image sizes at which networks may become deeper.
_DEEPER_FROM = (64, 128, 256, 512, 1024, 2048)


def _at(config: TrainConfig, side: int) -> TrainConfig:
    return configs.replace(config, image_size=(side, side))


def _differing_networks(config: TrainConfig, theirs: TrainConfig) -> list[str]:
    """Lists, as ``name: theirs → ours``, the settings that need weights which the other run lacks."""

    def shapes(config: TrainConfig) -> dict[str, tuple[int, ...]]:
        networks = {name: build("float32") for name, build in model_for(config).networks().items()}
        return {f"{name}/{each.path}": each.shape for name, net in networks.items() for each in net.weights}

    found = []
    for (group, name, _, ours), (*_, before) in zip(each_setting(config), each_setting(theirs), strict=True):
        if group in ("model", "data") and name not in ("recipe", "dataset") and ours != before:
            with contextlib.suppress(ConfigError):
                if not shapes(configs.replace(theirs, **{name: ours})).items() <= shapes(theirs).items():
                    found.append(f"{flag(name)}: {shown(before)} → {shown(ours)}")
    return found


def source_runs(config: TrainConfig) -> list[RunDirectory]:
    """Returns the runs that a new run starts from or is distilled from."""
    teacher = model_for(config).teacher()
    paths = [config.record.init_from, teacher.run if teacher else None]
    runs = [open_run(path) for path in paths if path is not None]
    for run in runs:
        run.step()  # raises if it has no checkpoint
    if teacher:
        published_generator(model_for(runs[-1].config_for(teacher.generator)), teacher.generator)
    return [run.directory for run in runs]


def _merged(stored: TrainConfig, asked: TrainConfig) -> TrainConfig:
    """Returns ``asked`` with its open settings taken from the run; raises if others differ."""
    teacher = getattr(stored.model, "teacher", None)
    settings = {
        "precision": (asked.optimization.precision, "auto", stored.optimization.precision),
        "init_from": (asked.record.init_from, None, stored.record.init_from),
        **({"teacher": (asked.model.teacher, None, teacher)} if hasattr(asked.model, "teacher") else {}),
        **{name: (getattr(asked.data, name), None, getattr(stored.data, name)) for name in FROM_DATA},
    }
    asked = configs.replace(
        asked, **{name: before if now == unset else now for name, (now, unset, before) in settings.items()}
    )
    changes = configs.differences(stored, asked)
    if changes:
        raise RunError(
            f"the run in {quoted(asked.run_dir)} was started with other settings ({'; '.join(changes)}); "
            "leave these flags as they were to continue it, or start another run with --run-dir"
        )
    return asked


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
        dataset=_absolute(config.data.dataset),
        precision=resolve_precision(config.optimization.precision),
        input_channels=data.input_channels or first.channels if has_input else None,
        output_channels=data.output_channels or last.channels,
        input_bits=(data.input_bits or (first.bits if is_paired else most_bits)) if has_input else None,
        output_bits=data.output_bits or (last.bits if is_paired else most_bits),
        input_range=data.input_range or first.value_range if has_input else None,
        output_range=data.output_range or last.value_range,
        label_colors=_label_colors(data, dataset) if data.one_hot_labels else None,
    )


def _label_colors(data: DataConfig, dataset: ImageDataset) -> tuple[int, ...]:
    """Returns the colors of the input's classes, flattened: those given, else those in the data."""
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


def steps_per_epoch(config: TrainConfig, image_count: int) -> float:
    """Returns the steps in one pass over ``image_count`` training pairs or images."""
    return image_count / (config.optimization.batch_size * model_for(config).batches_per_step())


def total_steps(config: TrainConfig, image_count: int) -> int:
    """Returns the steps of the whole run over ``image_count`` training pairs or images."""
    if config.optimization.steps is not None:
        return config.optimization.steps
    assert config.optimization.epochs is not None  # the configuration has checked that
    return math.ceil(config.optimization.epochs * steps_per_epoch(config, image_count))


def schedule_change(stored: TrainConfig, config: TrainConfig, step: int, image_count: int) -> str | None:
    """Returns a message if ``config`` moves the end of the schedule, which changes the rate at ``step``."""
    before, now = (total_steps(each, image_count) for each in (stored, config))
    ends = (stored.optimization.lr_end_step or before, config.optimization.lr_end_step or now)
    if config.optimization.lr_schedule == "constant" or ends[0] == ends[1]:
        return None
    old = float(learning_rate(stored.optimization, step - 1, before))
    new = float(learning_rate(config.optimization, step, now))
    return (
        f"learning rate {old:.3g} → {new:.3g}: --lr-schedule {config.optimization.lr_schedule} ends at step "
        f"{ends[1]}, no longer at {ends[0]}; --lr-end-step {ends[0]} keeps that end"
    )
