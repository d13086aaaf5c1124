"""The commands: parse, call, turn known errors into one line and an exit code.

TensorFlow is imported inside the commands, after parsing, so that ``--help`` and wrong flags answer at once.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import errno
import inspect
import io
import json
import os
import re
import sys
import traceback
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import tyro
from tyro.conf import Positional

from pix2pix_tf import config as configs
from pix2pix_tf.config import Precision, Recipe, TrainConfig
from pix2pix_tf.data.names import UNKNOWN, full_name
from pix2pix_tf.errors import ConfigError, DataError, Interrupted, Pix2pixError, UserError
from pix2pix_tf.exporting.formats import DEFAULT_FORMATS, FORMATS, Format, format_class
from pix2pix_tf.models.distilled import TaughtSettings, student_directory, student_of
from pix2pix_tf.models.registry import TRAINED, preset
from pix2pix_tf.quiet import import_frameworks
from pix2pix_tf.storage import absolute, address_of
from pix2pix_tf.wording import counted, did_you_mean, quoted, with_flags

if TYPE_CHECKING:
    from pix2pix_tf.runs import RunDirectory

Args = TypeVar("Args")

_USAGE = """usage: pix2pix COMMAND [options]

  train     learn from pairs, from two sets without pairs, or from one; the same command again continues
  predict   translate images or folders, or make images, with a trained run or an exported model
  evaluate  judge trained models, or anybody's pictures: numbers with intervals, and a report
  export    SavedModel for TensorFlow Serving, TFLite for mobile, each proven against the run
  distill   a small network that paints like a trained run: for phones, browsers, and whoever waits
  import    a generator that PyTorch has trained, as a run
  demo      a page to draw on, and an exported network that answers in the browser
  timeline  a GIF of a run's samples, from the first to the last
  train-segmenter
            the network that 'evaluate' reads label maps in photos with; it trains its own when it needs one
  data      list, download, check and preview data sets

'pix2pix COMMAND --help' shows a command's options. 'pix2pix train' alone trains façades that the
program draws itself: no download, a picture within minutes."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: the command and its flags; those of the process by default.

    Returns:
        The exit code: 0 done, 2 something given is wrong, 1 the system failed, 3 training diverged, 4 an
        exported model is not the trained one, 128 + the signal's number when stopped.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):  # a console's code page may lack letters of a path, or λ
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        return _run_command(arguments)
    except (Pix2pixError, KeyboardInterrupt, OSError, MemoryError) as error:
        return _told(error, arguments[0])


def _told(error: BaseException, command: str) -> int:
    """Says in a line what went wrong, where that is known; returns the exit code."""
    match error:
        case Interrupted():
            print(f"pix2pix: {_worded(error)}", file=sys.stderr)
            return error.exit_code
        case Pix2pixError():
            return _fail(_worded(error), error.exit_code)
        case KeyboardInterrupt():
            return _fail("stopped", 130)
        case BrokenPipeError():
            return 1
        case OSError():
            full = error.errno == errno.ENOSPC
            place = f"{error.filename}: " if error.filename else ""
            return _fail(f"{place}{error.strerror or error}{'; free space and run again' if full else ''}", 1)
        case MemoryError():
            smaller = "a smaller --image-size or --batch-size" if command == "train" else "smaller images"
            return _fail(f"not enough memory; take {smaller}", 1)
    traceback.print_exception(error)
    return 1


def _run_command(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_USAGE)
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(f"pix2pix-tf {version('pix2pix-tf')}")
        return 0
    commands = {
        "train": _train,
        "predict": _predict,
        "evaluate": _evaluate,
        "export": _export,
        "distill": _distill,
        "import": _import,
        "demo": _demo,
        "timeline": _timeline,
        "train-segmenter": _train_segmenter,
        "data": _data,
    }
    command = commands.get(arguments[0])
    if command is None:
        meant = did_you_mean(arguments[0], commands)
        raise UserError(
            f"there is no command '{arguments[0]}'{meant}; the commands are {', '.join(commands)}"
        )
    return command(arguments[1:])


def _worded(error: Pix2pixError) -> str:
    return with_flags(str(error))


def _fail(message: str, exit_code: int) -> int:
    print(f"pix2pix: error: {' '.join(message.split())}", file=sys.stderr)
    return exit_code


def _import_frameworks() -> None:
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import_frameworks()
    import keras

    keras.utils.disable_interactive_logging()


def _parse(
    kind: type[Args],
    command: str,
    arguments: Sequence[str],
    default: Args | None = None,
    description: str | None = None,
) -> Args:
    """Parses flags into a dataclass; ``--help`` prints and exits 0."""
    if arguments:  # HEIGHTxWIDTH is two numbers
        text = re.sub(
            r"(^|\0)(--image[-_]size)[\0=](\d+)x(\d+)(?=\0|$)", r"\1\2\0\3\0\4", "\0".join(arguments)
        )
        arguments = text.split("\0")
    shown = io.StringIO()
    options: dict[str, Any] = {} if default is None else {"default": default}
    try:
        with contextlib.redirect_stderr(shown):
            parsed = tyro.cli(
                kind,
                prog=f"pix2pix {command}",
                args=list(arguments),
                description=description,
                config=(
                    tyro.conf.OmitArgPrefixes,
                    tyro.conf.HelptextFromCommentsOff,
                    tyro.conf.PositionalMetavarFromFieldName,
                ),
                **options,
            )
    except SystemExit as leaving:
        if leaving.code in (0, None):
            raise
        raise ConfigError(
            f"{_plain_message(shown.getvalue())}; 'pix2pix {command} --help' lists the flags"
        ) from None
    _refuse_addresses(parsed)
    return parsed


def _refuse_addresses(args: Any) -> None:
    """Checks that what must be on this machine is no address in an object store."""
    groups = [args, getattr(getattr(args, "config", None), "data", None)]
    for group in filter(dataclasses.is_dataclass, groups):
        for field in dataclasses.fields(group):
            value = () if field.name == "run" else getattr(group, field.name)
            for path in value if isinstance(value, list | tuple) else [value]:
                if isinstance(path, Path) and address_of(path) is not None:
                    raise ConfigError(
                        f"{configs.setting(field.name)} {address_of(path)}: that must be on this machine"
                    )


_NUMBERS = {"INT": "a whole number", "FLOAT": "a number", "FLOAT FLOAT": "two numbers"}
_ELSEWHERE = {  # flags of other programs
    "--lr": "--learning-rate",
    "--batch": "--batch-size",
    "--ngf": "--base-filters",
    "--netG": "--generator",
    "--lambda_L1": "--l1-weight",
    "--dataroot": "--dataset",
}
_NEXT = "', '"  # between arguments, as Python lists them


def _choices(listed: str) -> str:
    """Returns choices without what stands for none given, in an order that stays."""
    return ", ".join(sorted(set(re.findall(r"'([^']+)'", listed)) - {"None"}))


def _plain_message(boxed: str) -> str:
    """Returns the words of tyro's framed error message as one line."""
    inside = (line.strip("│─ ") for line in boxed.splitlines() if not line.startswith(("╭", "╰")))
    message = " ".join(" ".join(inside).split())
    for aside in ("For full helptext", "Argument helptext:", "Got errors:"):
        message = message.partition(aside)[0].rstrip(" .")
    # A type as tyro writes it, {None}|INT, says little to who isn't a programmer.
    message = re.sub(
        r"Error parsing (--[\w-]+): no type matching .*?\b(INT|FLOAT FLOAT|FLOAT)\b.* from \['(.*)'\]",
        lambda found: f"{found[1]} takes {_NUMBERS[found[2]]}, got {' '.join(found[3].split(_NEXT))!r}",
        message,
    )
    message = re.sub(
        r"Error parsing (--[\w-]+): could not convert string to float: (.*)",
        r"\1 takes a number, got \2",
        message,
    )
    message = re.sub(
        r"Error parsing (--[\w-]+): invalid literal for int\(\) with base 10: (.*)",
        r"\1 takes a whole number, got \2",
        message,
    )
    message = re.sub(
        r"invalid choice '(.*)' for argument '(--[\w-]+)'. Expected one of \((.*)\)",
        lambda found: f"{found[2]} can't be {found[1]!r}; give one of {_choices(found[3])}",
        message,
    )
    message = message.replace(". Expected 1 values", "; give one")
    message = re.sub(
        r"Error parsing (--[\w-]+): Could not find valid parse for arguments: (.*)",
        r"\1 can't be \2",
        message,
    )
    unknown = re.search(r"Unrecognized options: (--[\w-]+)", message)
    if unknown and unknown[1] in _ELSEWHERE:
        return f"Unrecognized options: {unknown[1]} (did you mean {_ELSEWHERE[unknown[1]]}?)"
    message = re.sub(r"Perhaps you meant: (--[\w-]+).*", r"(did you mean \1?)", message)
    return message or "the flags can't be understood"


# ---------------------------------------------------------------- train


@dataclasses.dataclass(frozen=True)
class TrainArgs:
    """Trains a model; the same command again continues where it stopped.

    The settings and defaults below are those of the model and the data set that are named, or of the run that
    is continued: 'pix2pix train --model cyclegan --dataset horse2zebra --help' shows theirs.
    """

    config: Annotated[TrainConfig, tyro.conf.arg(name="")]
    dry_run: bool = False
    """Check the settings and the data that are on this machine, print what all resolve to, and stop."""
    hosts: str | None = None
    """Addresses of all hosts that train together, such as node1:2222,node2:2222, the one that writes the run
    first. Under TF_CONFIG or srun they are found without this."""
    host_index: int | None = None
    """Which of these this process is, from 0."""


def _train(arguments: list[str]) -> int:
    return _trained(train_args(arguments))


def _trained(args: TrainArgs) -> int:
    _import_frameworks()
    from pix2pix_tf.distribution import find_cluster
    from pix2pix_tf.training.train import dry_run, train

    cluster = find_cluster(args.hosts.split(",") if args.hosts else (), args.host_index)
    if args.dry_run:
        print(json.dumps(configs.to_json(dry_run(args.config)), indent=2, ensure_ascii=False))
        return 0
    try:
        run = train(args.config, lambda line: print(with_flags(line)), cluster)
    except BaseException as error:
        if cluster is None:
            raise
        # Here and at once: what TensorFlow holds would be given back behind this, and wait for other hosts.
        code = _told(error, "train")
        sys.stderr.flush()
        os._exit(code)
    if cluster is None or cluster.index == 0:
        print(_what_next(run))
    return 0


def train_args(arguments: Sequence[str]) -> TrainArgs:
    """Resolves the flags of ``pix2pix train``.

    The defaults are those of the run that is continued, else the preset of the data set; flags override.

    Raises:
        UserError: a flag is wrong, or the run directory can't be read.
    """
    deciding = ("--model", "--recipe", "--dataset", "--task", "--run-dir")
    given = _early(arguments, *deciding)
    default = _with_length(_train_defaults(*(given[name] for name in deciding)), arguments)
    description = f"{inspect.cleandoc(str(TrainArgs.__doc__))}\n\nModels: {', '.join(TRAINED)}."
    return _parse(TrainArgs, "train", arguments, TrainArgs(default), description)


def _early(arguments: Sequence[str], *names: str) -> dict[str, str | None]:
    """Returns the flags that decide the defaults of the others, ``None`` where they aren't given."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name in names:
        early.add_argument(name, name.replace("-", "_").replace("__", "--", 1), nargs="?", dest=name)
    return vars(early.parse_known_args(list(arguments))[0])


def _with_length(default: TrainConfig, arguments: Sequence[str]) -> TrainConfig:
    """Returns the defaults with the length in steps or in epochs, whichever is given."""
    given = _early(arguments, "--steps", "--epochs")
    if given["--steps"] is not None and given["--epochs"] is not None:
        raise ConfigError("--steps and --epochs both say how long to train; give one of them")
    if given["--steps"] is not None:
        return configs.replace(default, epochs=None, steps=1)
    return default if given["--epochs"] is None else configs.replace(default, steps=None, epochs=1.0)


def _train_defaults(
    model: str | None, recipe: str | None, dataset: str | None, task: str | None, run_dir: str | None
) -> TrainConfig:
    from pix2pix_tf.runs import RunDirectory

    recipes: tuple[Recipe, ...] = typing.get_args(Recipe)
    known = next((each for each in recipes if each == recipe), recipes[0])  # the parser refuses another
    asked = preset(dataset or "procedural", model or configs.DEFAULT_MODEL, known)
    if task in typing.get_args(configs.TaskName):
        asked = configs.replace(asked, task=task)
    run = RunDirectory(Path(run_dir) if run_dir is not None else asked.run_dir)
    run.fetch("config.json")
    if not run.exists():
        return asked
    stored = run.read_config()
    kept = ((model, stored.model.model), (recipe, stored.model.recipe), (task, stored.data.task))
    if any(given not in (None, before) for given, before in kept):
        return asked  # what that contradicts is said where a run is continued
    # A copied or moved run is continued where it is now, not where it was.
    return configs.replace(stored, run_dir=Path(run_dir) if run_dir is not None else None)


def _what_next(run: RunDirectory) -> str:
    from pix2pix_tf.models.registry import model_for

    longer = 2 * (run.latest_step() or 0)
    judged = run.validation_file.is_file() and run.validation_file.stat().st_size > 0
    painters = model_for(run.read_config()).painters()
    uses = []
    for name, painter in painters.items():
        inputs = "" if painter.noise else "IMAGE_OR_FOLDER "
        direction = f"--direction {name} " if len(painters) > 1 else ""
        uses.append(f"pix2pix predict {quoted(run.place)} {inputs}{direction}--out pictures")
    return "\n".join(
        (
            f"{run.final_sheet} shows what it has learnt{', on pairs that it never saw' if judged else ''}",
            f"  look at the losses    tensorboard --logdir {quoted(run.path)}",
            *(f"  paint pictures        {use}" for use in uses),
            *([f"  judge them            pix2pix evaluate {quoted(run.place)}"] if judged else []),
            f"  train for longer      pix2pix train --run-dir {quoted(run.place)} --steps {longer}",
            "  train elsewhere       the same flags with another --run-dir",
        )
    )


# ---------------------------------------------------------------- distill


@dataclasses.dataclass(frozen=True)
class DistillArgs(TrainArgs):
    """Trains a small network that paints like a trained run; the same command again continues.

    Call it as 'pix2pix distill RUN [options]', RUN being a run directory or one of its checkpoints. What
    isn't said is as the teacher was trained, its data and its length, too.
    """

    inputs_only: bool = False
    """Learn from the teacher's pictures alone, without targets: of --dataset, which may be a folder of plain
    images, the inputs suffice. So it is in any case where the teacher had no pairs."""


def _distill(arguments: list[str]) -> int:
    return _trained(distill_args(arguments))


def distill_args(arguments: Sequence[str]) -> DistillArgs:
    """Resolves the flags of ``pix2pix distill``."""
    if any(help_flag in arguments for help_flag in ("-h", "--help")) and arguments[0].startswith("-"):
        student = student_of(preset(), Path("RUN"))
        return _parse(DistillArgs, "distill RUN", ["--help"], DistillArgs(student))
    if not arguments or arguments[0].startswith("-"):
        raise ConfigError("name the run to learn from first: pix2pix distill RUN")
    run, *flags = arguments
    given = _early(flags, "--model", "--recipe", "--direction", "--gan-weight", "--run-dir")
    for name in ("--model", "--recipe"):
        if given[name] is not None:
            raise ConfigError(f"{name} has no meaning here: a student is what its teacher is")
    has_targets = "--inputs-only" not in flags and "--inputs_only" not in flags
    student = _with_length(_student_defaults(Path(run), has_targets, given), flags)
    return _parse(DistillArgs, "distill RUN", flags, DistillArgs(student))


def _student_defaults(teacher: Path, has_targets: bool, given: dict[str, str | None]) -> TrainConfig:
    from pix2pix_tf.runs import RunDirectory, open_checkpoint

    place = Path(given["--run-dir"] or student_directory(teacher))
    directory = RunDirectory(place)
    directory.fetch("config.json")
    if directory.exists():  # it needs its teacher no more
        stored = directory.read_config()
        before = stored.model.teacher if isinstance(stored.model, TaughtSettings) else None
        if before is None or absolute(before) != absolute(teacher):
            whose = "is no student's" if before is None else f"learns from {quoted(before)}"
            raise ConfigError(f"--run-dir {quoted(directory.place)}: the run there {whose}; give another")
        if not has_targets and stored.model.data == "pairs":
            raise ConfigError(
                f"--inputs-only has no effect with --run-dir {quoted(directory.place)}: it has begun"
            )
        return configs.replace(stored, run_dir=place)
    directions: tuple[configs.Direction, ...] = typing.get_args(configs.Direction)
    direction = next((each for each in directions if each == given["--direction"]), None)
    weight = given["--gan-weight"]
    has_discriminator = weight is None or weight.strip("0.") != ""
    config = open_checkpoint(teacher)[0].read_config()
    return student_of(config, teacher, direction, has_targets, has_discriminator)


# ---------------------------------------------------------------- predict


@dataclasses.dataclass(frozen=True)
class PredictArgs:
    """Translates images or folders with a trained model; each output has its input's size. They are PNGs, but
    TIFFs where an image is too large to be translated whole or no PNG can hold it."""

    model: Positional[str]
    """A run directory, a SavedModel (its directory, or that of its versions), a .tflite or .onnx file, the
    URL of a model that TensorFlow Serving serves, http://host:8501/v1/models/NAME, or a model that comes with
    the package: facades-small, procedural-small."""
    inputs: Positional[tuple[Path, ...]]
    """Images, or folders of images (with their subfolders); none for a model that makes images from noise."""
    out: Path
    """The folder that the translated images go to."""
    masks: Path | None = None
    """Of a model that paints holes ('--task inpaint'): an image that is white where all inputs are to be
    painted, or a folder with one for each, of the same name. Transparent pixels are holes, too."""
    side_by_side: bool = False
    """The inputs are side-by-side pairs: translate the half that was the input in training."""
    direction: configs.Direction | None = None
    """Which of a run's generators, where it has both, and which half of a pair it takes, A being the left
    one; a run knows its own, other models don't."""
    count: Annotated[int | None, *configs.limited(1, 1_000_000)] = None
    """How many images a model makes from noise, 16 if not given."""
    step: int | None = None
    """Of a run, use the checkpoint of that step instead of the newest."""
    precision: Precision = "float32"
    """'float32' gives the same picture everywhere; the mixed ones may be faster and differ slightly."""
    stochastic: bool = False
    """Keep dropout as a source of noise, even if the run was trained without --stochastic."""
    input_range: tuple[float, float] | None = None
    """Lowest and highest value of the inputs' numbers, where they are measurements; a run knows them."""
    output_range: tuple[float, float] | None = None
    """Likewise of the translations, which are then written in these numbers."""
    raw_weights: bool = False
    """Of a run, use the weights of the step itself, not their moving average."""
    seed: Annotated[int, *configs.limited(0, 2**31 - 1)] = 0
    """Decides the noise, of --stochastic and of images from noise."""
    tile_size: Annotated[int | None, *configs.limited(64)] = None
    """Translate images larger than so many pixels a side in tiles of that size, to TIFF; if not given, images
    of more than 16.7 million pixels in tiles of 1024."""
    fit_input: bool = False
    """Of a model that takes images of one size only (.tflite): resize images to it, and the pictures back."""
    skip_bad_images: bool = False
    """Leave out images that can't be read, and count them, instead of stopping."""


def _predict(arguments: list[str]) -> int:
    args = _parse(PredictArgs, "predict", arguments)
    configs.check_limits(args)
    _import_frameworks()
    from pix2pix_tf.prediction import predict

    report = predict(
        args.model,
        args.inputs,
        args.out,
        masks=args.masks,
        side_by_side=args.side_by_side,
        direction=args.direction,
        count=args.count,
        step=args.step,
        precision=args.precision,
        stochastic=args.stochastic or None,
        input_range=args.input_range,
        output_range=args.output_range,
        raw_weights=args.raw_weights,
        seed=args.seed,
        tile_size=args.tile_size,
        fit_input=args.fit_input,
        skip_bad_images=args.skip_bad_images,
    )
    print(report)
    return 0


# ---------------------------------------------------------------- export


if TYPE_CHECKING:
    _FormatName = str
    _FormatSettings = Any
else:
    _FormatName = Literal[tuple(FORMATS)]
    # A format's fields are its flags, in a group of their own.
    _FormatSettings = dataclasses.make_dataclass(
        "FormatSettings",
        [
            (name, kind, dataclasses.field(default_factory=kind))
            for name, kind in ((name, format_class(name)) for name in FORMATS)
        ],
        frozen=True,
    )


@dataclasses.dataclass(frozen=True)
class ExportArgs:
    """Writes what serves and runs elsewhere, and proves that it paints what the trained model paints."""

    run: Positional[Path]
    """A run directory."""
    out: Path | None = None
    """The folder that everything goes to; RUN/export if not given."""
    name: str | None = None
    """What clients call the model; the run directory's name if not given. Of a run with two generators each
    is a model of its own, NAME_AtoB and NAME_BtoA."""
    direction: configs.Direction | None = None
    """Which of a run's generators; all if not given."""
    formats: tuple[_FormatName, ...] = DEFAULT_FORMATS
    """What to write; onnx needs the extra of that name."""
    step: int | None = None
    """Export the checkpoint of that step instead of the newest."""
    noise: Literal["as-trained", "keep", "drop"] = "as-trained"
    """Dropout as a source of noise (train's --stochastic), which only a SavedModel can have."""
    raw_weights: bool = False
    """Export the weights of the step itself, not their moving average."""
    proof_images: Path | None = None
    """A folder of input images to prove and calibrate with, instead of the run's own."""
    data_dir: Path | None = None
    """Where data sets are kept, if not where the run had them."""
    allow_worse: bool = False
    """Publish what misses its bar, too; the report says so."""
    settings: Annotated[_FormatSettings, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=_FormatSettings
    )


def _export(arguments: list[str]) -> int:
    args = _parse(ExportArgs, "export", arguments)
    formats = _chosen_formats(args)
    _import_frameworks()
    from pix2pix_tf.exporting import export as exporting
    from pix2pix_tf.exporting.names import is_model_name
    from pix2pix_tf.exporting.report import refuse_worse
    from pix2pix_tf.runs import open_checkpoint

    options = exporting.ExportOptions(
        out=args.out,
        name=args.name,
        direction=args.direction,
        formats=formats,
        step=args.step,
        stochastic={"as-trained": None, "keep": True, "drop": False}[args.noise],
        raw_weights=args.raw_weights,
        proof_images=args.proof_images,
        data_dir=args.data_dir,
        allow_worse=args.allow_worse,
    )
    report = exporting.export(args.run, options)
    print(report.table())
    if args.name is None and not is_model_name(open_checkpoint(args.run)[0].path.resolve().name):
        print(f"served as {report.models[0].name}, as not all letters have a place there; --name chooses it")
    refuse_worse(report, args.allow_worse)
    return 0


def _chosen_formats(args: ExportArgs) -> list[Format]:
    """Returns the formats that were asked for, with their settings."""
    for name in FORMATS:
        chosen, default = getattr(args.settings, name), format_class(name)()
        changed = [
            configs.setting(field.name)
            for field in dataclasses.fields(default)
            if getattr(chosen, field.name) != getattr(default, field.name)
        ]
        if changed and name not in args.formats:
            raise ConfigError(f"{changed[0]} has no meaning without {name} in --formats")
    return [getattr(args.settings, name) for name in dict.fromkeys(args.formats)]


# ---------------------------------------------------------------- evaluate


@dataclasses.dataclass(frozen=True)
class ShareArgs:
    """What is held out of a folder that doesn't say so itself."""

    val_share: float | None = None
    """Share of a folder that is held out to evaluate on, where its subfolders don't say; as in training."""
    test_share: float | None = None
    """Share that is held out for --split test."""

    def given(self) -> dict[str, float]:
        """Returns the settings that were given."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}


_Shares = Annotated[ShareArgs, tyro.conf.arg(name="")]


@dataclasses.dataclass(frozen=True)
class EvaluateArgs:
    """Judges pictures by numbers with intervals and shows them side by side: metrics.json, report.html."""

    models: Positional[tuple[str, ...]]
    """Each a run directory or one of its checkpoints (RUN@4000, RUN@best), an exported model, the URL of a
    served one, or a folder of pictures, by any program, that are named as the inputs are."""
    dataset: str | None = None
    """The pairs to judge on: a name or the path of a folder; by default those of the first run."""
    out: Path = Path("evaluation")
    """The folder that metrics.json and report.html go to."""
    split: Literal["train", "val", "test", "all"] | None = None
    """Which part of the data set; what is held out by default. 'all' is for folders that are all held out."""
    shares: _Shares = ShareArgs()
    direction: configs.Direction | None = None
    """Which side of the pairs is the input, and which of a run's generators; by default as the first run."""
    image_size: tuple[int, ...] | None = None
    """Height and width to compare at; by default what the runs were trained at, the largest of them."""
    data_dir: Path | None = None
    """Where data sets are kept, if not where the run had them."""
    archive: Path | None = None
    """A copy of the data set's .tar.gz on this machine, used instead of a download."""
    layout: configs.Layout | None = None
    """How a folder holds pairs, as in training; by default as the first run."""
    label_maps: Literal["auto", "none", "A", "B", "both"] = "auto"
    """Sides that are label maps, for the segmentation score; 'auto' asks the data set."""
    skip_bad_images: bool = False
    """Leave out images that can't be read instead of stopping; the runs' own setting counts, too."""
    task: configs.TaskName | None = None
    """What makes pairs of plain photos to judge on; by default as the first run."""
    upscale_factor: Literal[2, 4] | None = None
    """How many times larger 'upscale' makes photos; by default as the first run."""
    segmentation: bool = True
    """Let a segmentation network read the pictures, where a side is a label map; it is trained once."""
    inception_weights: Path | None = None
    """InceptionV3's weights without its top, for FID and KID; by default those in Keras' cache."""
    answers: tuple[Path, ...] = ()
    """Files that a report's 'real or fake?' saved; the new report tells of them."""
    raw_weights: bool = False
    """Of runs, judge the weights of the step itself, not their moving average."""


def _evaluate(arguments: list[str]) -> int:
    args = _parse(EvaluateArgs, "evaluate", arguments)
    if not args.models:
        raise ConfigError("name at least one model to evaluate")
    config = _judged_on(args)
    _import_frameworks()
    from pix2pix_tf.evaluation.evaluator import EvaluateOptions, evaluate
    from pix2pix_tf.evaluation.table import table

    options = EvaluateOptions(
        config=config,
        split=args.split,
        size=None if args.image_size is None else config.data.size,
        raw_weights=args.raw_weights,
        segmentation=args.segmentation,
        inception_weights=args.inception_weights,
        answers=args.answers,
    )
    print(with_flags(table(evaluate(args.models, args.out, options))))
    print(f"{args.out / 'report.html'} shows the pictures, {args.out / 'metrics.json'} has the numbers")
    return 0


def _judged_on(args: EvaluateArgs) -> TrainConfig:
    """Returns the configuration of the data set to judge on: that of the first run, or of what is named."""
    from pix2pix_tf.runs import find_run

    runs = [found[0] for found in map(find_run, args.models) if found is not None]
    of_run = runs[0].read_config() if runs else None
    if args.dataset is None and of_run is None:
        _import_frameworks()
        from pix2pix_tf.translators import refuse_missing

        for model in args.models:
            if not Path(model).expanduser().is_dir():  # which may hold pictures
                refuse_missing(model)
        raise ConfigError("`dataset` is missing: only a run knows which pairs it was made for")
    config = of_run or preset(args.dataset or "")
    if of_run is not None and args.dataset is not None:
        # The run's pairs may lie elsewhere; another data set brings its own settings.
        both_are_folders = configs.looks_like_path(args.dataset) and configs.looks_like_path(
            of_run.data.dataset
        )
        is_known = both_are_folders or full_name(args.dataset) == of_run.data.dataset
        config = configs.replace(of_run, dataset=args.dataset) if is_known else preset(args.dataset)
    is_undirected = bool(runs) and runs[0].imported() == {"direction": None}
    given = {
        "data_dir": args.data_dir,
        "archive": args.archive,
        "image_size": args.image_size,
        "direction": args.direction or (of_run.data.direction if of_run and not is_undirected else None),
        "task": args.task or (of_run.data.task if of_run is not None else None),
        "upscale_factor": args.upscale_factor or (of_run.data.upscale_factor if of_run is not None else None),
        "fit": of_run.data.fit if of_run is not None else None,
        "layout": args.layout,
        "label_maps": None if args.label_maps == "auto" else args.label_maps,
        "skip_bad_images": args.skip_bad_images or None,
        **args.shares.given(),
    }
    asked = configs.replace(config, **{name: value for name, value in given.items() if value is not None})
    configs.refuse_unread(asked, configs.replace(config, direction=asked.data.direction))
    return asked


@dataclasses.dataclass(frozen=True)
class TrainSegmenterArgs:
    """Trains, once, the network that reads label maps in photos; 'evaluate' trains it where it needs one."""

    dataset: str
    """A name or the path of a folder: pairs with a label map on one side."""
    image_size: tuple[int, ...] = (256, 256)
    """Height and width that photos are read at."""
    data_dir: Path | None = None
    """Where data sets, and the network, are kept."""
    archive: Path | None = None
    """A copy of the data set's .tar.gz on this machine, used instead of a download."""
    label_maps: Literal["auto", "A", "B"] = "auto"
    """The side that is a label map; 'auto' asks the data set."""


def _train_segmenter(arguments: list[str]) -> int:
    args = _parse(TrainSegmenterArgs, "train-segmenter", arguments)
    config = configs.replace(
        preset(args.dataset),
        data_dir=args.data_dir,
        archive=args.archive,
        image_size=args.image_size,
        label_maps=args.label_maps,
    )
    _import_frameworks()
    from pix2pix_tf.data.preparing import data_root
    from pix2pix_tf.data.sources import open_dataset
    from pix2pix_tf.evaluation.segmenter import load_or_train

    reader = load_or_train(open_dataset(config, "pairs"), config.data.size, data_root(args.data_dir))
    print(f"it reads real photos with {reader.real}")
    return 0


# ---------------------------------------------------------------- import


@dataclasses.dataclass(frozen=True)
class ImportArgs:
    """Makes a run of a generator that pytorch-CycleGAN-and-pix2pix has trained; needs the extra torch."""

    checkpoint: Positional[Path]
    """Its latest_net_G.pth, or latest_net_G_A.pth: a unet_128, unet_256, resnet_6blocks or resnet_9blocks."""
    out: Path
    """The directory of the run."""
    dataset: str = UNKNOWN
    """What it was trained on, a name or the path of a folder; evaluate can be told as well."""
    direction: configs.Direction | None = None
    """Which side of pairs it takes, BtoA if it was trained with that; by default the data set's. predict,
    evaluate and export can be told as well."""
    eval: bool = False
    """Normalise by the statistics that training has stored, as their test.py --eval; by default each image by
    itself, as their test.py without it. Only batch normalisation has such."""


def _import(arguments: list[str]) -> int:
    args = _parse(ImportArgs, "import", arguments)
    _import_frameworks()
    from pix2pix_tf.importing import import_checkpoint

    run, generator = import_checkpoint(args.checkpoint, args.out, args.dataset, args.direction, args.eval)
    print(f"{run.path}: {generator.description}, {generator.base_filters} filters, norm {generator.norm}")
    direction = run.read_config().data.direction
    print(f"  of pairs it takes side {direction[0]}, unless --direction says otherwise, here or at its use")
    print(f"  pix2pix predict {quoted(run.path)} IMAGES --out translated")
    return 0


# ---------------------------------------------------------------- demo


@dataclasses.dataclass(frozen=True)
class DemoArgs:
    """Opens a page to draw on: an exported network answers in the browser, on this machine."""

    model: Positional[str] = "facades-small"
    """A .tflite that 'pix2pix export' wrote, or a model that comes with this package."""
    port: Annotated[int, *configs.limited(0, 65535)] = 0
    """Where the page is served, on the loopback interface; 0 takes a port that is free."""
    open_browser: bool = True
    """Open the page."""
    runtime: Path | None = None
    """LiteRT.js: node_modules/@litertjs, or a .tgz of 'npm pack'; by default downloaded once (12 MB)."""


def _demo(arguments: list[str]) -> int:
    args = _parse(DemoArgs, "demo", arguments)
    configs.check_limits(args)
    _import_frameworks()
    from pix2pix_tf.demo import demo

    demo(args.model, args.port, args.runtime, args.open_browser)
    return 0


# ---------------------------------------------------------------- timeline


@dataclasses.dataclass(frozen=True)
class TimelineArgs:
    """Makes a GIF of a run's samples, from the first sheet to the last."""

    run: Positional[str]
    """A run directory."""
    out: Path | None = None
    """The file; RUN/timeline.gif if not given."""
    row: Annotated[int, *configs.limited(1)] = 1
    """Which row of the sheets."""


def _timeline(arguments: list[str]) -> int:
    args = _parse(TimelineArgs, "timeline", arguments)
    configs.check_limits(args)
    _import_frameworks()
    from pix2pix_tf.timeline import timeline

    if args.out is not None and args.out.suffix.lower() != ".gif":
        raise ConfigError(f"--out {quoted(args.out)}: a timeline is a GIF; give a name that ends in .gif")
    print(timeline(args.run, args.out, args.row))
    return 0


# ---------------------------------------------------------------- data


@dataclasses.dataclass(frozen=True)
class DataListArgs:
    """Lists the data sets that have a name."""

    data_dir: Path | None = None
    """Where data sets are kept; by default where tensorflow-datasets keeps them."""


@dataclasses.dataclass(frozen=True)
class DataArgs:
    """What is common to the commands below."""

    dataset: Positional[str]
    """'procedural', a catalogue name such as 'facades', or the path of your folder."""
    data_dir: Path | None = None
    """Where data sets are kept; by default where tensorflow-datasets keeps them."""
    archive: Path | None = None
    """A copy of the data set's .tar.gz on this machine, used instead of a download."""
    mirror_url: str | None = None
    """Where to download from instead of the public server: MIRROR/NAME.tar.gz."""
    kind: Literal["pairs", "unpaired", "images"] | None = None
    """How to take it; by default as it is by itself."""
    layout: configs.Layout = "auto"
    """How a folder holds pairs: 'side-by-side' in one image, or in two 'folders'; 'auto' finds out."""
    skip_bad_images: bool = False
    """Leave out images that can't be read, and count them, instead of stopping."""
    ignore: float | None = None
    """Number of the pixels that have no value (nodata, void classes), in measurements and gray images."""


@dataclasses.dataclass(frozen=True)
class DataDownloadArgs(DataArgs):
    """Downloads and prepares one data set of the catalogue."""


@dataclasses.dataclass(frozen=True)
class DataCheckArgs(DataArgs):
    """Tells what is wrong with a data set or with your folder; exits 2 if it can't be used."""

    shares: _Shares = ShareArgs()

    image_size: tuple[int, ...] | None = None
    """Height and width that it is to be trained at; by default the data set's own."""
    label_maps: Literal["auto", "none", "A", "B", "both"] = "auto"
    """Sides that are label maps; 'auto' asks the data set, and looks at the images."""
    task: configs.TaskName = "pairs"
    """What is to make pairs of plain photos, as in training; 'pairs' looks for those that are there."""
    json: bool = False
    """Write one JSON object, which names every file."""


@dataclasses.dataclass(frozen=True)
class DataPreviewArgs(DataArgs):
    """Writes a sheet of pairs as training sees them: resized, jittered, cropped and mirrored."""

    out: Path = Path("preview.png")
    """Where the sheet goes."""
    direction: Literal["AtoB", "BtoA"] | None = None
    """Which side is the input; by default the data set's own."""
    label_maps: Literal["auto", "none", "A", "B", "both"] = "auto"
    """Sides that are label maps; 'auto' asks the data set."""
    task: configs.TaskName = "pairs"
    """What makes pairs of plain photos, as in training; 'pairs' shows those that are there."""
    upscale_factor: Literal[2, 4] = 4
    """How many times larger 'upscale' makes photos."""
    jitter: bool = True
    """Resize to 286/256 and crop, where the data set is trained so."""
    flip: bool = True
    """Mirror at random, where the data set is trained so."""
    image_size: tuple[int, ...] | None = None
    """Height and width, each from 64 to 2048; by default the data set's own."""
    fit: configs.Fit = "resize"
    """How images of another shape get that size: stretched, cropped, or surrounded by their reflection."""
    count: Annotated[int, *configs.limited(1, 64)] = 6
    """How many pairs."""
    seed: Annotated[int, *configs.limited(0, 2**31 - 1)] = 0
    """Decides the order, the jitter and the mirroring, as in training."""


@dataclasses.dataclass(frozen=True)
class DataPackArgs:
    """Writes a folder's images into a few large files, which open in moments and are read at random."""

    folder: Positional[str]
    """Your folder of images."""
    out: Path
    """The folder of the pack; give it as --dataset."""
    kind: Literal["pairs", "unpaired", "images"] | None = None
    """How to take it; by default as it is by itself."""
    seed: Annotated[int, *configs.limited(0, 2**31 - 1)] = 0
    """Decides which images are held out, where the folder doesn't say."""
    layout: configs.Layout = "auto"
    """How the folder holds pairs: 'side-by-side' in one image, or in two 'folders'; 'auto' finds out."""
    shares: _Shares = ShareArgs()
    data_dir: Path | None = None
    """Where it is remembered which images were checked."""
    skip_bad_images: bool = False
    """Leave out images that can't be read, and count them, instead of stopping."""
    ignore: float | None = None
    """Number of the pixels that have no value (nodata, void classes), in measurements and gray images."""


_DATA_USAGE = """usage: pix2pix data list | download NAME | check DATASET | preview DATASET | pack FOLDER

  list       the data sets that have a name, and which of them are on this machine
  download   fetch and prepare one of them
  check      tell what is wrong with a data set or with your folder
  preview    write a sheet of pairs as training sees them
  pack       write a folder's images into a few large files, for sets of many thousands

'pix2pix data list --help' (or any other) shows the options."""


def _data(arguments: list[str]) -> int:
    actions: dict[str, Callable[[list[str]], int]] = {
        "list": _data_list,
        "download": _data_download,
        "check": _data_check,
        "preview": _data_preview,
        "pack": _data_pack,
    }
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_DATA_USAGE)
        return 0 if arguments else 2
    if arguments[0] not in actions:
        meant = did_you_mean(arguments[0], actions)
        raise UserError(f"there is no 'pix2pix data {arguments[0]}'{meant}; there are {', '.join(actions)}")
    return actions[arguments[0]](arguments[1:])


def _data_list(arguments: list[str]) -> int:
    args = _parse(DataListArgs, "data list", arguments)
    _import_frameworks()
    from pix2pix_tf.inspection import list_datasets

    print(list_datasets(args.data_dir))
    return 0


def _data_download(arguments: list[str]) -> int:
    args = _parse(DataDownloadArgs, "data download", arguments)
    if configs.looks_like_path(args.dataset):
        raise DataError(f"'{args.dataset}' has no download; 'pix2pix data list' shows what has")
    _import_frameworks()
    from pix2pix_tf.inspection import describe_dataset

    print(describe_dataset(_dataset_config(args), args.kind))
    return 0


def _data_check(arguments: list[str]) -> int:
    args = _parse(DataCheckArgs, "data check", arguments)
    _import_frameworks()
    from pix2pix_tf.inspection import check_dataset

    settings: dict[str, Any] = {"label_maps": args.label_maps, "task": args.task, **args.shares.given()}
    if args.image_size is not None:
        settings["image_size"] = args.image_size
    config = configs.replace(_dataset_config(args), **settings)
    report, is_good = check_dataset(config, args.kind, args.json)
    print(with_flags(report))
    if not is_good:
        raise DataError(f"{args.dataset} can't be trained on as it is; the report above says why")
    return 0


def _data_preview(arguments: list[str]) -> int:
    args = _parse(DataPreviewArgs, "data preview", arguments)
    configs.check_limits(args)
    out = args.out if args.out.suffix else args.out.with_suffix(".png")
    if out.suffix.lower() != ".png":
        raise ConfigError(f"--out {quoted(out)}: a sheet is a PNG; give a name that ends in .png")
    brought = preset(args.dataset).data
    given = {name: getattr(args, name) for name in ("direction", "image_size")}
    settings = {name: value for name, value in given.items() if value is not None}
    settings.update(jitter=args.jitter and brought.jitter, flip=args.flip and brought.flip)
    settings.update(seed=args.seed, label_maps=args.label_maps, fit=args.fit)
    settings.update(task=args.task, upscale_factor=args.upscale_factor)
    _import_frameworks()
    from pix2pix_tf.data.sets import ITEMS
    from pix2pix_tf.inspection import preview_dataset

    config = configs.replace(_dataset_config(args), **settings)
    kind = preview_dataset(config, args.count, out, args.kind)
    print(f"{out}: {counted(args.count, ITEMS[kind])} as training sees them")
    return 0


def _dataset_config(args: DataArgs) -> TrainConfig:
    return configs.replace(
        preset(args.dataset),
        data_dir=args.data_dir,
        archive=args.archive,
        mirror_url=args.mirror_url,
        layout=args.layout,
        skip_bad_images=args.skip_bad_images,
        ignore=args.ignore,
    )


def _data_pack(arguments: list[str]) -> int:
    args = _parse(DataPackArgs, "data pack", arguments)
    configs.check_limits(args)
    _import_frameworks()
    from pix2pix_tf.data.packed import pack_folder
    from pix2pix_tf.data.preparing import data_root
    from pix2pix_tf.data.sources import existing_folder, usual_kind

    folder = existing_folder(args.folder if address_of(args.folder) else str(Path(args.folder).absolute()))
    kind = args.kind or usual_kind(str(folder))
    data, root = configs.replace(preset(), **args.shares.given()).data, data_root(args.data_dir)
    skip, shares = args.skip_bad_images, (data.val_share, data.test_share)
    dataset = pack_folder(folder, args.out, args.seed, root, kind, skip, args.layout, shares, args.ignore)
    print(f"{dataset.description()}; pix2pix train --dataset {quoted(args.out)} learns from it")
    return 0
