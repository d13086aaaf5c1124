"""The typed, frozen configuration of a training run: every flag with its help text, default and limits.

The classes below, and the model's subclass of `ModelSettings`, define the command line, ``--help``,
validation, ``--dry-run`` and ``config.json``. A field is a flag (``image_size`` is ``--image-size``), and its
docstring is the help text. `Limits` are checked whenever a config is created. `CHANGEABLE` marks settings
that may differ when a run is resumed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import tyro

from pix2pix_tf.data.names import looks_like_path
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.metrics import BEST_METRICS
from pix2pix_tf.validation import COMMON, Limits, check_limits, check_range, fields_of, fits
from pix2pix_tf.wording import did_you_mean, flag, shown

Precision = Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"]
AllReduce = Literal["float32", "bfloat16"]
Normalization = Literal["instance", "batch", "none"]
Upsampling = Literal["nearest", "transposed", "resize"]
GanLoss = Literal["vanilla", "lsgan", "hinge", "wgan-gp"]
PixelLoss = Literal["l1", "l2"]
Direction = Literal["AtoB", "BtoA"]
Recipe = Literal["default", "paper"]
DataKind = Literal["pairs", "unpaired", "images"]
TaskName = Literal["pairs", "colorize", "inpaint", "edges", "deblur", "upscale"]
Layout = Literal["auto", "side-by-side", "folders"]
LabelMaps = Literal["auto", "none", "A", "B", "both"]
Fit = Literal["resize", "crop", "pad"]
Flip = Literal["none", "horizontal", "both"]
LearningRateSchedule = Literal["constant", "linear", "cosine"]
if TYPE_CHECKING:
    BestMetric = str
else:
    BestMetric = Literal[BEST_METRICS]

CHANGEABLE = "changeable"
"""Annotates a setting that may differ when a run is resumed; all others affect the weights."""

DEFAULT_MODEL = "pix2pix"
IMAGE_SIDE = Limits(64, 2048)
MOST_STEPS = 999_999_999  # checkpoint and sample names have nine digits


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """The images to train on, and their preprocessing."""

    dataset: Annotated[str, COMMON] = "procedural"
    """'procedural' (generated facades), a name such as 'facades', or the path or object-store address of a
    folder."""
    data_dir: Annotated[Path | None, CHANGEABLE] = None
    """Directory of the named data sets; by default that of tensorflow-datasets."""
    archive: Annotated[Path | None, CHANGEABLE] = None
    """A local copy of the data set's .tar.gz or .zip, used instead of a download; for emoji, the folder with
    its two .tgz files."""
    mirror_url: Annotated[str | None, CHANGEABLE] = None
    """Server to download from instead of the public one: MIRROR/NAME.tar.gz or NAME.zip; for emoji, a
    server of npm packages file by file."""
    direction: Annotated[Direction, COMMON] = "AtoB"
    """Input side and output side: A is the left half or folder A."""
    task: Annotated[TaskName, COMMON] = "pairs"
    """'pairs' uses the data set's pairs; the others make pairs from photos or targets."""
    upscale_factor: Literal[2, 4] = 4
    """Enlargement of the task 'upscale'."""
    input_channels: Annotated[int | None, Limits(1, 16)] = None
    """Channels of the input (of A if unpaired); the data's by default."""
    output_channels: Annotated[int | None, Limits(1, 16)] = None
    """Channels of the output (of B if unpaired); the data's by default."""
    input_bits: Literal[8, 16] | None = None
    """Minimum bits per sample of the input (of both sides if unpaired); the data's by default."""
    output_bits: Literal[8, 16] | None = None
    """Bits per sample of the output (of both sides if unpaired); the data's by default."""
    output_alpha: bool | None = None
    """Treat the last of 2 or 4 output channels as alpha; by default, if the target files have alpha and
    --output-channels includes it."""
    input_range: tuple[float, float] | None = None
    """Minimum and maximum of the input's values (A's if unpaired); the range of the type, or of the data, by
    default."""
    output_range: tuple[float, float] | None = None
    """Minimum and maximum of the output's values (B's if unpaired); outputs are written in this range."""
    ignore: float | None = None
    """Value of pixels without data (nodata, void classes), in measurements and gray images. Applies to both
    sides, or only to the sides in --label-maps. NaN and declared nodata (GDAL_NODATA) are always ignored."""
    image_size: Annotated[tuple[int, ...], tyro.conf.arg(metavar="H [W]"), COMMON] = (256, 256)
    """Height and width of the training images, from 64 to 2048; one number means a square."""
    fit: Fit = "resize"
    """How images with a different aspect ratio get the image size: 'resize' stretches, 'crop' fills and
    crops, 'pad' fits inside and pads by reflection."""
    layout: Layout = "auto"
    """How a folder stores pairs: 'side-by-side' in one image, or in two 'folders'; 'auto' detects it and
    rejects folders of plain photos."""
    label_maps: Annotated[LabelMaps, COMMON] = "auto"
    """Sides that are label maps, whose colors must not be mixed; 'auto' uses the data set's declaration."""
    one_hot_labels: bool = False
    """Feed an input label map to the networks as one channel per class instead of its colors."""
    label_colors: tuple[int, ...] | None = None
    """Colors of the classes for --one-hot-labels, one number per channel of the map; by default the colors in
    the data."""
    photo_filter: Literal["cubic", "triangle"] = "cubic"
    """Interpolation for resizing training photos; 'cubic' is sharper."""
    split_seed: Annotated[int | None, Limits(0, 2**31 - 1)] = 0
    """Seed of the split of a folder without train/, val/ and test/; None uses --seed."""
    val_share: Annotated[float, Limits(0, 0.9)] = 0.1
    """Share of a folder without split subfolders held out for validation; at least ten of 50 or more images,
    unless it is 0."""
    test_share: Annotated[float, Limits(0, 0.9)] = 0.1
    """Share of a folder without split subfolders held out for evaluate's --split test."""
    jitter: bool = True
    """Resize to 286/256 of the image size, then crop randomly (paper, section 6.2)."""
    flip: Flip = "horizontal"
    """Random flips of training images: left to right, or also upside down."""
    rotate: Literal[0, 90] = 0
    """Rotate training images at random by multiples of 90 degrees, or not; needs a square --image-size."""
    skip_bad_images: bool = False
    """Skip and count unreadable images instead of stopping."""

    def __post_init__(self) -> None:
        """Expands the size of a square, so that equal sizes compare equal."""
        if isinstance(self.image_size, tuple) and len(self.image_size) == 1:
            object.__setattr__(self, "image_size", self.image_size * 2)

    @property
    def ignored(self) -> tuple[float | None, float | None]:
        """The value of pixels without data for A and for B."""
        of_a, of_b = (self.label_maps in ("auto", "none", "both", name) for name in "AB")
        return (self.ignore if of_a else None, self.ignore if of_b else None)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the training images."""
        return (self.image_size[0], self.image_size[-1])


@dataclasses.dataclass(frozen=True)
class ModelSettings:
    """Base class of the models' settings, which are in the model files."""

    data: ClassVar[DataKind] = "pairs"  # the kind of data set to train on
    side: ClassVar[int] = 1  # for models of single images: the side of pairs to use, 0 input or 1 target
    takes_images: ClassVar[bool] = True  # false for models that generate images from noise

    model: Annotated[str, COMMON]
    """Model to train."""
    recipe: Annotated[Recipe, COMMON] = "default"
    """Defaults for the best results, or the networks and training of the paper."""

    def check(self, config: TrainConfig) -> None:
        """Raises `ConfigError` if settings of ``config``, which contains ``self``, are contradictory."""


@dataclasses.dataclass(frozen=True)
class OptimizationConfig:
    """Optimizers, precision and length of training."""

    steps: Annotated[int | None, Limits(1, MOST_STEPS), CHANGEABLE, COMMON] = None
    """Total number of steps, instead of --epochs; a step updates every network at least once."""
    epochs: Annotated[float | None, Limits(0.001, 1_000_000), CHANGEABLE, COMMON] = 200
    """Total number of passes over the training images."""
    batch_size: Annotated[int, Limits(1), COMMON] = 1
    """Pairs (or images per side) per step, over all devices."""
    accumulate: Annotated[int, Limits(1), CHANGEABLE] = 1
    """Number of parts that a batch is split into to save memory; gradients are accumulated. Batch
    normalization computes its statistics for each part."""
    all_reduce: Annotated[AllReduce, CHANGEABLE] = "float32"
    """Type of the gradients sent between devices; bfloat16 halves the traffic but rounds."""
    learning_rate: Annotated[float, Limits(1e-8, 1.0)] = 2e-4
    """Learning rate of Adam, for all networks."""
    lr_schedule: LearningRateSchedule = "constant"
    """'linear' is constant for half of the run, then decays to 0; 'cosine' decays over the whole run."""
    lr_end_step: Annotated[int | None, Limits(1, MOST_STEPS), CHANGEABLE] = None
    """Step at which --lr-schedule ends; later steps keep the last rate. The run's last step by default."""
    beta_1: Annotated[float, Limits(0.0, 0.9999)] = 0.5
    """Decay of Adam's first moment."""
    beta_2: Annotated[float, Limits(0.0, 0.9999999)] = 0.999
    """Decay of Adam's second moment."""
    ema_decay: Annotated[float, Limits(0.0, 0.99999)] = 0.999
    """Decay per step of the moving average of the generator's weights, with a warm-up; 0 publishes the raw
    weights."""
    precision: Annotated[Precision, COMMON] = "auto"
    """'auto' is mixed_bfloat16 if faster on this machine, else float32."""
    seed: Annotated[int, Limits(0, 2**31 - 1)] = 0
    """Seed of initial weights, image order, jitter and dropout."""


@dataclasses.dataclass(frozen=True)
class RecordConfig:
    """What a run writes, how often, and where."""

    run_dir: Annotated[Path | None, CHANGEABLE, COMMON] = None
    """Directory or object-store address (s3://…) of the run; an existing run is resumed. By default
    runs/DATASET, with -MODEL or -TASK added."""
    init_from: Annotated[Path | None, COMMON] = None
    """Run whose weights are the initial weights."""
    log_every: Annotated[int, Limits(1), CHANGEABLE] = 50
    """Number of steps between log lines (metrics.jsonl, TensorBoard)."""
    sample_every: Annotated[int, Limits(1), CHANGEABLE] = 1000
    """Number of steps between sample grids."""
    evaluate_every: Annotated[int | None, Limits(1), CHANGEABLE] = None
    """Number of steps between validations on held-out pairs (validation.jsonl, TensorBoard); by default the
    same as --sample-every, or more if validation would take over 3 % of the time."""
    best_metric: Annotated[BestMetric, CHANGEABLE] = "ssim"
    """Metric that selects the best checkpoint, RUN@best."""
    checkpoint_every: Annotated[int, Limits(1), CHANGEABLE] = 1000
    """Number of steps between checkpoints; the last two are kept."""
    checkpoint_minutes: Annotated[float, Limits(0.1, 1e6), CHANGEABLE] = 5.0
    """Maximum number of minutes between checkpoints."""
    keep_every: Annotated[int | None, Limits(1), CHANGEABLE] = None
    """Number of steps between checkpoints whose weights are kept permanently; none by default."""


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The complete configuration of a training run, immutable.

    Make one with :func:`~pix2pix_tf.preset`, and change it with :func:`~pix2pix_tf.replace`.

    Args:
        model: settings of the model, such as ``config.model.l1_weight``.
        data: the data set and how its images are read, such as ``config.data.image_size``.
        optimization: length of the run, batch size, learning rate, precision and seed.
        record: run directory; intervals of logging, sample grids, validation and checkpoints.

    Raises:
        ConfigError: a setting is outside its limits, or settings contradict each other.
    """

    model: ModelSettings
    data: DataConfig = DataConfig()
    optimization: OptimizationConfig = OptimizationConfig()
    record: RecordConfig = RecordConfig()

    def __post_init__(self) -> None:
        for each in (self, self.model, self.data, self.optimization, self.record):
            check_limits(each)
        size = self.data.image_size
        if len(size) != 2 or not all(IMAGE_SIDE.contain(side) for side in size):
            given = " ".join(map(str, size)) or "nothing"
            raise ConfigError(f"--image-size takes one or two whole numbers, each {IMAGE_SIDE}; got {given}")
        if self.data.rotate and size[0] != size[1]:
            raise ConfigError(f"--rotate needs a square --image-size; got {size[0]}x{size[1]}")
        for name in ("input_range", "output_range"):
            check_range(name, getattr(self.data, name))
        if self.optimization.steps is None and self.optimization.epochs is None:
            raise ConfigError("the length of the run is missing; give --steps or --epochs")
        if self.data.val_share + self.data.test_share >= 1:
            raise ConfigError(
                "--val-share and --test-share leave no training images; their sum must be below 1"
            )
        if self.optimization.batch_size % self.optimization.accumulate:
            raise ConfigError(
                f"--accumulate {self.optimization.accumulate} must divide --batch-size "
                f"{self.optimization.batch_size}"
            )
        colors = self.data.label_colors
        if colors is not None and not (colors and all(0 <= level <= 255 for level in colors)):
            raise ConfigError(f"--label-colors takes numbers from 0 to 255; got {shown(colors) or 'none'}")
        self.model.check(self)

    @property
    def split_seed(self) -> int:
        """The seed that selects a folder's held-out images."""
        return self.optimization.seed if self.data.split_seed is None else self.data.split_seed

    @property
    def run_dir(self) -> Path:
        """The directory of the run; by default, its name is that of the data set, model and task."""
        parts = [dataset_label(self.data.dataset)]
        parts += [self.model.model] if self.model.model != DEFAULT_MODEL else []
        parts += [self.data.task] if self.data.task != "pairs" else []
        return self.record.run_dir or Path("runs") / "-".join(parts)


def dataset_label(dataset: str) -> str:
    """Returns a data set's name, or the last part of its path, for folders and titles."""
    return (
        Path(dataset).expanduser().resolve().name if looks_like_path(dataset) else dataset.replace("/", "-")
    )


# The groups that all models share.
_SHARED = {"data": DataConfig, "optimization": OptimizationConfig, "record": RecordConfig}


def each_setting(config: TrainConfig) -> Iterator[tuple[str, str, Any, Any]]:
    """Yields (group, field, annotation, value) of every setting, in the order of ``--help``."""
    for group in dataclasses.fields(config):
        for setting in fields_of(getattr(config, group.name)):
            yield group.name, *setting


def settings_of(config: TrainConfig) -> dict[str, Any]:
    """Returns the value of every setting by name."""
    return {name: value for _, name, _, value in each_setting(config)}


def build(model: type[ModelSettings], settings: Mapping[str, Any]) -> TrainConfig:
    """Returns a model's config with these settings, given by field name, and defaults for the others.

    Paths can be strings, tuples can be lists, and ``image_size`` can be one number for squares.
    """
    groups: dict[str, Any] = {}
    unknown = dict(settings)
    known: list[str] = []
    for group, kind in {"model": model, **_SHARED}.items():
        given = {}
        for name, annotation, _ in fields_of(kind):
            known.append(name)
            if name not in unknown:
                continue
            value = unknown.pop(name)
            if isinstance(value, str) and fits(annotation, Path()):
                value = Path(value)
            if name == "image_size" and isinstance(value, int):
                value = (value,)
            given[name] = tuple(value) if isinstance(value, list) else value
        groups[group] = kind(**given)
    for name in unknown:
        meant = did_you_mean(name, known) or f"; choose from {', '.join(known)}"
        raise ConfigError(f"unknown setting '{name}'{meant}")
    return TrainConfig(**groups)


def replace(config: TrainConfig, **settings: Any) -> TrainConfig:
    """Returns a copy of a config with changed settings.

    Args:
        config: the config to copy.
        **settings: new values by name, in any of the config's four parts. Paths can be strings, and
            ``image_size`` can be one number for squares. To change from ``epochs`` to ``steps``, also set
            ``epochs=None``.

    Returns:
        The changed copy.

    Raises:
        ConfigError: a setting doesn't exist, or a value is outside its limits.
    """
    before = settings_of(config)
    for name in ("model", "recipe"):
        if settings.get(name, before[name]) != before[name]:
            raise ConfigError(f"{name} determines other settings; use preset(dataset, model, recipe)")
    return build(type(config.model), {**before, **settings})


def differences(stored: TrainConfig, asked: TrainConfig) -> list[str]:
    """Lists the changes that prevent resuming a run, as ``--flag: stored → asked``.

    The path of a folder may differ, because folders move. The run compares the images instead.
    """
    before, after = settings_of(stored), settings_of(asked)
    marks = {name: getattr(kind, "__metadata__", ()) for _, name, kind, _ in each_setting(stored)}
    names = [name for name in marks if CHANGEABLE not in marks[name]]
    if looks_like_path(before["dataset"]) and looks_like_path(after["dataset"]):
        names.remove("dataset")
    for deciding in ("model", "task"):  # they determine other settings
        if before[deciding] != after[deciding]:
            return [f"{flag(deciding)}: {before[deciding]} → {after[deciding]}"]
    return [
        f"{flag(name)}: {shown(before[name])} → {shown(after[name])}"
        for name in names
        if before[name] != after[name]
    ]


def to_json(config: TrainConfig) -> dict[str, dict[str, Any]]:
    """Returns the settings as JSON values, by group."""
    plain: dict[str, dict[str, Any]] = {}
    for group, name, _, value in each_setting(config):
        value = str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value
        plain.setdefault(group, {})[name] = value
    return plain


def from_json(plain: Mapping[str, Mapping[str, Any]], model: type[ModelSettings]) -> TrainConfig:
    """Inverse of `to_json`, for the settings of a model.

    Raises:
        ConfigError: a setting is missing, unknown or has the wrong type.
    """
    given = {name: value for section in plain.values() for name, value in section.items()}
    known = {name for kind in (model, *_SHARED.values()) for name, *_ in fields_of(kind)}
    if odd := sorted(given.keys() ^ known):
        raise ConfigError(f"missing or unknown settings: {', '.join(odd):.200}")
    return build(model, given)
