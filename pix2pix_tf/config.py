"""One typed, frozen configuration: every flag, its meaning, default and limits.

The command line, ``--help``, validation, ``--dry-run`` and ``config.json`` are all made from the classes
below and from the settings of the model (a subclass of `ModelSettings` in the model's file): a field is a
flag (``image_size`` is ``--image-size``), its docstring is the help text, its ``Limits`` are checked
whenever a configuration is made, and `CHANGEABLE` marks what may differ when a run is continued.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar

import tyro

from pix2pix_tf.data.names import full_name, is_archived, looks_like_path
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.metrics import BEST_METRICS
from pix2pix_tf.wording import did_you_mean, flag

Precision = Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"]
AllReduce = Literal["float32", "bfloat16"]
Normalization = Literal["instance", "batch", "none"]
Upsampling = Literal["nearest", "transposed", "resize"]
Direction = Literal["AtoB", "BtoA"]
Recipe = Literal["default", "paper"]
DataKind = Literal["pairs", "unpaired", "images"]
TaskName = Literal["pairs", "colorize", "inpaint", "edges", "deblur", "upscale"]
Layout = Literal["auto", "side-by-side", "folders"]
Fit = Literal["resize", "crop", "pad"]
LearningRateSchedule = Literal["constant", "linear", "cosine"]
if TYPE_CHECKING:
    BestMetric = str
else:  # a choice of the table of metrics
    BestMetric = Literal[BEST_METRICS]


class _Changeable:
    """What annotates a setting that may differ when a run is continued: the others decide the weights."""


CHANGEABLE = _Changeable()


Function = TypeVar("Function", bound=Callable[..., Any])
_LARGEST = sys.float_info.max
DEFAULT_MODEL = "pix2pix"


@dataclasses.dataclass(frozen=True)
class Limits:
    """The range of a number, both ends included. ``None`` means no limit on that side."""

    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.high is None:
            return f"at least {self.low}"
        return f"from {self.low} to {self.high}"

    def contain(self, value: float) -> bool:
        """Whether ``value`` is a number inside the limits; NaN and what is beyond all floats never are."""
        return (
            -_LARGEST <= value <= _LARGEST
            and (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
        )


def limited(low: float, high: float | None = None) -> tuple[Any, ...]:
    """What annotates a number: its limits, and their mention in ``--help``."""
    limits = Limits(low, high)
    return limits, tyro.conf.arg(help_behavior_hint=lambda default: f"({limits}; default: {default})")


IMAGE_SIDE = Limits(64, 2048)
MOST_STEPS = 999_999_999  # what the names of checkpoints and samples have room for


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which images are learned from, and how they are prepared."""

    dataset: str = "procedural"
    """'procedural' (drawn by the program), a name such as 'facades', or the path of your folder, or
    its address in an object store."""
    data_dir: Annotated[Path | None, CHANGEABLE] = None
    """Where data sets are stored; by default where tensorflow-datasets stores them."""
    archive: Annotated[Path | None, CHANGEABLE] = None
    """A copy of the data set's .tar.gz or .zip on this machine, used instead of a download."""
    mirror_url: Annotated[str | None, CHANGEABLE] = None
    """Where to download from instead of the public server: MIRROR/NAME.tar.gz or NAME.zip."""
    direction: Direction = "AtoB"
    """Which side is the input. A is the left half, or the folder A."""
    task: TaskName = "pairs"
    """'pairs' learns from pairs; the others make theirs of plain photos, or of the target side's:
    colours for grey photos, holes painted, photos of drawn edges, blurred photos sharp, small ones larger."""
    upscale_factor: Literal[2, 4] = 4
    """How many times larger 'upscale' makes photos."""
    input_channels: Annotated[int | None, *limited(1, 16)] = None
    """Channels of the input (of A, where images are unpaired); by default what the data has."""
    output_channels: Annotated[int | None, *limited(1, 16)] = None
    """Channels of the output (of B, where images are unpaired); by default what the data has."""
    output_bits: Literal[8, 16] | None = None
    """Bits of each sample of a translation (of both, where images are unpaired); by default the data's."""
    input_range: tuple[float, float] | None = None
    """Lowest and highest value of the input's numbers (A's); by default the type's, or that of the data."""
    output_range: tuple[float, float] | None = None
    """Likewise of the output (B's); translations are then written in these numbers."""
    ignore: float | None = None
    """Number of the pixels that have no value (nodata, void classes), in measurements and gray images of both
    sides, or of those alone that are named as label maps; NaN and declared nodata (GDAL_NODATA) never have
    one."""
    image_size: tuple[int, ...] = (256, 256)
    """Height and width that the network is trained at, each from 64 to 2048; one number means a square."""
    fit: Fit = "resize"
    """How images of another shape get the image size: 'resize' stretches them, 'crop' scales them to fill it
    and cuts off the rest, 'pad' scales them to fit inside and surrounds them by their reflection."""
    layout: Layout = "auto"
    """How a folder holds pairs: 'side-by-side' in one image, or in two 'folders'; 'auto' finds out, and
    refuses what looks like plain photos."""
    label_maps: Literal["auto", "none", "A", "B", "both"] = "auto"
    """Sides that are label maps, resized without mixing colours; 'auto' asks the data set."""
    one_hot_labels: bool = False
    """Where the input is a label map: give the networks one channel a class instead of its colours."""
    label_colors: tuple[int, ...] | None = None
    """The classes' colours for --one-hot-labels, as many numbers each as the map has channels; by default
    those found in the data."""
    photo_filter: Literal["cubic", "triangle"] = "cubic"
    """What training resizes photos with; 'cubic' keeps them sharper."""
    split_seed: Annotated[int | None, *limited(0, 2**31 - 1)] = 0
    """Decides which images of a folder are held out, where its subfolders don't; None: as --seed."""
    val_share: Annotated[float, *limited(0, 0.9)] = 0.1
    """Share of these that is held out to evaluate on; of 50 images and more at least ten, unless it is 0."""
    test_share: Annotated[float, *limited(0, 0.9)] = 0.1
    """Share of these that is held out for evaluate's --split test."""
    jitter: bool = True
    """Resize to 286/256 of the image size, then crop at random (paper, section 6.2)."""
    flip: bool = True
    """Mirror left and right at random."""
    skip_bad_images: bool = False
    """Leave out images that can't be read, and count them, instead of stopping."""

    def __post_init__(self) -> None:
        """Writes a square's size in full, so that one size has one spelling."""
        if isinstance(self.image_size, tuple) and len(self.image_size) == 1:
            object.__setattr__(self, "image_size", self.image_size * 2)

    @property
    def ignored(self) -> tuple[float | None, float | None]:
        """The number of pixels without a value in A, and in B."""
        of_a, of_b = (self.label_maps in ("auto", "none", "both", name) for name in "AB")
        return (self.ignore if of_a else None, self.ignore if of_b else None)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the training images."""
        return (self.image_size[0], self.image_size[-1])


@dataclasses.dataclass(frozen=True)
class ModelSettings:
    """What a model's own settings have in common; each model's file has a subclass with its fields.

    Attributes:
        data: what the model is trained on: pairs, two unpaired sets or one set of images.
        side: which side of pairs it takes, where it is trained on images: 0 the input, 1 the target.
        takes_images: whether it translates images, and isn't one that makes them from noise.
    """

    data: ClassVar[DataKind] = "pairs"
    side: ClassVar[int] = 1
    takes_images: ClassVar[bool] = True

    model: Annotated[str, tyro.conf.arg(metavar="NAME")]
    """What is trained."""
    recipe: Recipe = "default"
    """What the defaults are: those that paint best, or the networks and the training as published."""

    def check(self, config: TrainConfig) -> None:
        """Refuses what makes no sense together.

        Args:
            config: the whole configuration, whose ``model`` this is.

        Raises:
            ConfigError: which settings contradict each other.
        """


@dataclasses.dataclass(frozen=True)
class OptimizationConfig:
    """What is minimised, how, and for how long."""

    steps: Annotated[int | None, *limited(1, MOST_STEPS), CHANGEABLE] = None
    """Steps of the whole run; one step updates every network at least once. Takes the place of --epochs."""
    epochs: Annotated[float | None, *limited(0.001, 1_000_000), CHANGEABLE] = 200
    """Passes over the training images in the whole run."""
    batch_size: Annotated[int, *limited(1)] = 1
    """Pairs (or images of each side) in an update, over all devices."""
    accumulate: Annotated[int, *limited(1), CHANGEABLE] = 1
    """Parts of a batch that are computed one after the other, in the memory of one; their gradients are
    summed. With batch normalisation each part has its own statistics."""
    all_reduce: Annotated[AllReduce, CHANGEABLE] = "float32"
    """In what gradients are summed over devices: bfloat16 sends half as many bytes, and rounds."""
    learning_rate: Annotated[float, *limited(1e-8, 1.0)] = 2e-4
    """Adam's learning rate, for all networks."""
    lr_schedule: LearningRateSchedule = "constant"
    """'linear' is constant for half of the run, then falls to 0; 'cosine' falls over the whole run."""
    lr_end_step: Annotated[int | None, *limited(1, MOST_STEPS), CHANGEABLE] = None
    """The step at which --lr-schedule ends: later steps keep its last rate. None: the run's last step."""
    beta_1: Annotated[float, *limited(0.0, 0.9999)] = 0.5
    """Adam's decay of the mean gradient."""
    beta_2: Annotated[float, *limited(0.0, 0.9999999)] = 0.999
    """Adam's decay of the mean squared gradient."""
    ema_decay: Annotated[float, *limited(0.0, 0.99999)] = 0.999
    """Decay, a step, of the moving average of the published networks' weights; short runs warm up to it, 0
    publishes the weights of the last step."""
    precision: Precision = "auto"
    """'auto' is mixed_bfloat16 where this machine has it in hardware, else float32."""
    seed: Annotated[int, *limited(0, 2**31 - 1)] = 0
    """Decides the first weights, the order, the jitter and the dropout."""


@dataclasses.dataclass(frozen=True)
class RecordConfig:
    """What a run leaves behind, and where."""

    run_dir: Annotated[Path | None, CHANGEABLE] = None
    """The run's directory, or its address in an object store (s3://…); by default runs/DATASET,
    runs/DATASET-MODEL or runs/DATASET-TASK. The same one continues the run."""
    init_from: Path | None = None
    """Start from the weights of another run."""
    log_every: Annotated[int, *limited(1), CHANGEABLE] = 50
    """Steps between two lines of metrics.jsonl and TensorBoard."""
    sample_every: Annotated[int, *limited(1), CHANGEABLE] = 1000
    """Steps between two sample grids."""
    evaluate_every: Annotated[int | None, *limited(1), CHANGEABLE] = None
    """Steps between two looks at held-out pairs (validation.jsonl, TensorBoard); by default with the sample
    sample grids, or less often, so that they take less than 3 % of the time."""
    best_metric: Annotated[BestMetric, CHANGEABLE] = "ssim"
    """By which of these the best checkpoint is kept: RUN@best."""
    checkpoint_every: Annotated[int, *limited(1), CHANGEABLE] = 1000
    """Steps between two checkpoints; the last two are kept."""
    checkpoint_minutes: Annotated[float, *limited(0.1, 1e6), CHANGEABLE] = 5.0
    """Minutes after which a checkpoint is written in any case."""
    keep_every: Annotated[int | None, *limited(1), CHANGEABLE] = None
    """Also keep for good the weights at multiples of so many steps."""


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a training run.

    Raises:
        ConfigError: a value is outside its limits, or values contradict each other.
    """

    model: ModelSettings
    data: DataConfig = DataConfig()
    optimization: OptimizationConfig = OptimizationConfig()
    record: RecordConfig = RecordConfig()

    def __post_init__(self) -> None:
        """Checks every value against its limits."""
        for each in (self, self.model, self.data, self.optimization, self.record):
            check_limits(each)
        size = self.data.image_size
        if len(size) != 2 or not all(IMAGE_SIDE.contain(side) for side in size):
            given = " ".join(map(str, size)) or "nothing"
            raise ConfigError(f"--image-size takes one or two whole numbers, each {IMAGE_SIDE}; got {given}")
        for name in ("input_range", "output_range"):
            check_range(name, getattr(self.data, name))
        if self.optimization.steps is None and self.optimization.epochs is None:
            raise ConfigError("the length of the run is missing: give --steps or --epochs")
        if self.data.val_share + self.data.test_share >= 1:
            raise ConfigError("--val-share and --test-share leave nothing to train on")
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
        """What decides which images of a folder are held out."""
        return self.optimization.seed if self.data.split_seed is None else self.data.split_seed

    @property
    def run_dir(self) -> Path:
        """Where the run is kept."""
        parts = [dataset_label(self.data.dataset)]
        parts += [self.model.model] if self.model.model != DEFAULT_MODEL else []
        parts += [self.data.task] if self.data.task != "pairs" else []
        return self.record.run_dir or Path("runs") / "-".join(parts)


def dataset_label(dataset: str) -> str:
    """The short name of a data set, fit for a folder: its name, or the last part of its path."""
    return (
        Path(dataset).expanduser().resolve().name if looks_like_path(dataset) else dataset.replace("/", "-")
    )


def each_setting(config: TrainConfig) -> Iterator[tuple[str, str, Any, Any]]:
    """Yields (group, field, annotation, value) of every setting, in the order of ``--help``."""
    for group in dataclasses.fields(config):
        section = getattr(config, group.name)
        hints = typing.get_type_hints(type(section), include_extras=True)
        for field in dataclasses.fields(section):
            yield group.name, field.name, hints[field.name], getattr(section, field.name)


def replace(config: TrainConfig, **settings: Any) -> TrainConfig:
    """Returns ``config`` with some settings changed, each named without its group.

    Paths may be given as strings, and the image size of a square as one number.

    Raises:
        ConfigError: there is no such setting, or a value is outside its limits.
    """
    groups: dict[str, dict[str, Any]] = {}
    group_of, kind_of = {}, {}
    for group, field, annotation, _ in each_setting(config):
        group_of[field], kind_of[field] = group, _members(annotation)
    for name, value in settings.items():
        if name not in group_of:
            known = did_you_mean(name, group_of) or f"; there are {', '.join(group_of)}"
            raise ConfigError(f"there is no setting '{name}'{known}")
        if name == "model" and value != config.model.model:
            raise ConfigError("another model has other settings: begin with preset(dataset, model)")
        if name == "recipe" and value != config.model.recipe:
            raise ConfigError("another recipe has other defaults: begin with preset(dataset, model, recipe)")
        if Path in kind_of[name] and isinstance(value, str):
            value = Path(value)
        if name == "image_size" and isinstance(value, int):
            value = (value,)
        value = tuple(value) if isinstance(value, list) else value
        groups.setdefault(group_of[name], {})[name] = value
    sections = {group: dataclasses.replace(getattr(config, group), **new) for group, new in groups.items()}
    return dataclasses.replace(config, **sections)


def differences(stored: TrainConfig, asked: TrainConfig) -> list[str]:
    """Lists, as ``--flag: stored → asked``, what ``asked`` changes that would break continuation.

    A folder of pairs may have moved, so its path is not compared: the run compares the pairs.
    """
    if stored.model.model != asked.model.model:
        return [f"{flag('model')}: {stored.model.model} → {asked.model.model}"]
    if stored.data.task != asked.data.task:  # which decides others
        return [f"{flag('task')}: {stored.data.task} → {asked.data.task}"]
    fixed = {name for _, name, kind, _ in each_setting(stored) if CHANGEABLE not in _metadata(kind)}
    if looks_like_path(stored.data.dataset) and looks_like_path(asked.data.dataset):
        fixed -= {"dataset"}
    pairs = zip(each_setting(stored), each_setting(asked), strict=True)
    return [
        f"{flag(name)}: {shown(before)} → {shown(after)}"
        for (_, name, _, before), (_, _, _, after) in pairs
        if name in fixed and before != after
    ]


def to_json(config: TrainConfig) -> dict[str, dict[str, Any]]:
    """Returns the configuration as plain JSON values, by group."""
    plain: dict[str, dict[str, Any]] = {}
    for group, name, _, value in each_setting(config):
        value = str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value
        plain.setdefault(group, {})[name] = value
    return plain


def from_json(plain: Mapping[str, Mapping[str, Any]], defaults: TrainConfig) -> TrainConfig:
    """Rebuilds a configuration from :func:`to_json`.

    Args:
        plain: from :func:`to_json`.
        defaults: of the model that ``plain`` names.

    Raises:
        ConfigError: a setting is missing, unknown or of another type.
    """
    known = {name: annotation for _, name, annotation, _ in each_setting(defaults)}
    given = {name: value for section in plain.values() for name, value in section.items()}
    if odd := sorted(given.keys() ^ known.keys()):
        raise ConfigError(f"missing or unknown settings: {', '.join(odd):.200}")
    stored = {name: _from_plain(name, known[name], value) for name, value in given.items()}
    return replace(defaults, **stored)


def _from_plain(name: str, annotation: Any, value: Any) -> Any:
    members = _members(annotation)
    if Path in members and isinstance(value, str):
        value = Path(value)
    elif isinstance(value, list):
        value = tuple(value)
    if not any(_fits(member, value) for member in members):
        raise ConfigError(f"{flag(name)} can't be {value!r:.200}")
    return value


def _fits(member: Any, value: Any) -> bool:
    """Whether a value is of one type of an annotation."""
    origin, parts = typing.get_origin(member) or member, typing.get_args(member)
    if origin is Any or origin is ClassVar:
        return True
    if origin is Literal:
        return value in parts
    if origin is tuple:
        kinds = [kind for part in parts if part is not ... for kind in _members(part)]
        return isinstance(value, tuple) and all(any(_fits(kind, each) for kind in kinds) for each in value)
    if origin in (int, float):
        return isinstance(value, (int, origin)) and not isinstance(value, bool)
    return isinstance(value, origin)


def checked(function: Function) -> Function:
    """Returns a function that refuses arguments of types that it doesn't declare."""
    signature = inspect.signature(function)
    # What is returned isn't checked, and may be of a class that is imported for type checkers only.
    annotations = {name: kind for name, kind in function.__annotations__.items() if name != "return"}
    declared = types.SimpleNamespace(__annotations__=annotations)

    @functools.wraps(function)
    def call(*given: Any, **named: Any) -> Any:
        hints = typing.get_type_hints(declared, function.__globals__, include_extras=True)
        for name, value in signature.bind(*given, **named).arguments.items():
            if not any(_fits(kind, value) for kind in _members(hints[name])):
                choices = typing.get_args(hints[name]) if typing.get_origin(hints[name]) is Literal else ()
                kind = ", ".join(map(repr, choices)) or signature.parameters[name].annotation
                raise TypeError(f"{function.__name__}: `{name}` must be {kind}, not {value!r:.80}")
        return function(*given, **named)

    return typing.cast(Function, call)


def _members(annotation: Any) -> tuple[Any, ...]:
    """The types of a union, its ``Annotated`` members unwrapped; one type gives itself."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return tuple(member for part in typing.get_args(annotation) for member in _members(part))
    if typing.get_origin(annotation) is Annotated:
        return _members(typing.get_args(annotation)[0])
    return (annotation,)


def _metadata(annotation: Any) -> tuple[Any, ...]:
    """What an annotation carries besides the type."""
    return getattr(annotation, "__metadata__", ())


def _limits_of(annotation: Any) -> Limits | None:
    """The ``Limits`` that an annotation carries, if any."""
    return next((extra for extra in _metadata(annotation) if isinstance(extra, Limits)), None)


def _is(name: str, *values: Any) -> Callable[[Mapping[str, Any]], bool]:
    return lambda given: given[name] in values


_Conditions = Mapping[str, Callable[[Mapping[str, Any]], Any] | str]
_ARCHIVED: _Conditions = {"dataset": lambda given: is_archived(full_name(given["dataset"]))}
_DISCRIMINATOR: _Conditions = {"gan_weight": lambda given: given["gan_weight"]}
_TRANSLATES: _Conditions = {"task": _is("task", "pairs"), "model": lambda given: given["model"].takes_images}
_NO_FILES: _Conditions = {"dataset": "which is drawn at the image size"}
_NO_MEASUREMENTS: _Conditions = {"dataset": "whose images are no measurements"}
_SPLIT_ALREADY: _Conditions = {"dataset": "which is split already"}
_NO_TARGETS: _Conditions = {"dataset": "which has no held-out pairs"}

READ_IF: Mapping[str, _Conditions] = {
    "data_dir": {"dataset": "which needs no such place"},
    "archive": _ARCHIVED,
    "mirror_url": _ARCHIVED,
    "direction": {
        "model": lambda given: given["model"].data != "unpaired",
        "dataset": "whose images have one side",
    },
    "task": {"model": lambda given: given["model"].data == "pairs"},
    "upscale_factor": {"task": _is("task", "upscale")},
    "input_channels": _TRANSLATES,
    "input_range": {**_TRANSLATES, **_NO_MEASUREMENTS},
    "output_range": _NO_MEASUREMENTS,
    "ignore": {"dataset": "which has no measurements or gray images, or was packed without it"},
    "fit": _NO_FILES,
    "photo_filter": _NO_FILES,
    "label_maps": {"task": _is("task", "pairs"), "dataset": "of which the other side is taken"},
    "one_hot_labels": {**_TRANSLATES, "model": lambda given: given["model"].data == "pairs"},
    "label_colors": {"one_hot_labels": _is("one_hot_labels", True)},
    **dict.fromkeys(("split_seed", "val_share", "test_share"), _SPLIT_ALREADY),
    "layout": {"dataset": "which is no folder of images"},
    "skip_bad_images": {"dataset": "whose images were checked when it was made"},
    "epochs": {"steps": _is("steps", None)},
    "lr_end_step": {"lr_schedule": lambda given: given["lr_schedule"] != "constant"},
    "evaluate_every": _NO_TARGETS,
    "best_metric": _NO_TARGETS,
    "all_reduce": {"": "on one device"},
    "last_convolution": {"generator": _is("generator", "unet", "encoder_decoder", "unet_of_pytorch")},
    **dict.fromkeys(("discriminator_filters", "patch", "spectral_norm", "gan_loss"), _DISCRIMINATOR),
    **dict.fromkeys(("critic_steps", "pool_size", "diff_augment", "unconditional"), _DISCRIMINATOR),
    "gradient_penalty": {**_DISCRIMINATOR, "gan_loss": _is("gan_loss", "wgan-gp")},
    # Features are compared place by place, and unpaired images have no common places.
    "feature_matching": {**_DISCRIMINATOR, "model": lambda given: given["model"].data != "unpaired"},
    "pixel_loss": {"l1_weight": lambda given: given["l1_weight"] or given.get("teacher_weight")},
    "identity_weight": {"cycle_weight": lambda given: given["cycle_weight"]},
}
"""When a setting is read: what another setting must be, for each that matters. A setting that isn't listed is
always read, and a condition on a setting that the model doesn't have is met.

A text stands for what is known only when the data set is open (`ImageDataset.used`), and says why it isn't
read; with no other setting, it is no setting that decides.
"""


def refuse_unread(
    config: TrainConfig,
    before: TrainConfig,
    used: Collection[str] | None = None,
    named: Collection[str] = (),
) -> None:
    """Refuses settings without effect.

    Args:
        config: what is asked for.
        before: what it would be if nothing had been given.
        used: the settings that the opened data set has used; not checked if not given.
        named: settings that were given even if they are as before.

    Raises:
        ConfigError: a setting was given that nothing reads; names it and why.
    """
    given = {name: value for _, name, _, value in each_setting(config)} | {"model": config.model}
    usual = {name: value for _, name, _, value in each_setting(before)}
    for name, conditions in READ_IF.items():
        if given.get(name) is None or (given[name] == usual.get(name) and name not in named):
            continue
        for other, is_read in conditions.items():
            if isinstance(is_read, str):
                met, why = used is None or name in used, is_read
            else:
                met, why = other not in given or is_read(given), ""
            if not met and other:
                value = config.model.model if other == "model" else shown(given[other])
                why = f"with {flag(other)} {value}{why and ', '}{why}"
            if not met:
                raise ConfigError(f"{flag(name)} has no effect {why}")


def check_range(name: str, values: tuple[float, ...] | None) -> None:
    """Checks the lowest and highest value of an image's numbers."""
    if values is not None and not (len(values) == 2 and -_LARGEST <= values[0] < values[1] <= _LARGEST):
        raise ConfigError(f"{flag(name)} takes two numbers, the lower one first; got {shown(values)}")


def check_limits(settings: Any) -> None:
    """Checks every number of a dataclass against its limits, and every choice against what there is.

    Raises:
        ConfigError: one is outside; names the setting.
    """
    for name, annotation in typing.get_type_hints(type(settings), include_extras=True).items():
        limits, value, kinds = _limits_of(annotation), getattr(settings, name), _members(annotation)
        if not any(_fits(kind, value) for kind in kinds):
            raise ConfigError(f"{flag(name)} can't be {value!r}")
        if limits is not None and value is not None and not limits.contain(value):
            raise ConfigError(f"{flag(name)} must be {limits}, got {value}")


def shown(value: Any) -> str:
    """Returns a setting's value as it is typed."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
