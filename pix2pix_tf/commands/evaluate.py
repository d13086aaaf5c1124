"""``pix2pix evaluate``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from pix2pix_tf import config as configs
from pix2pix_tf.commands.parsing import ShareArgs, Shares, parse, start_frameworks
from pix2pix_tf.config import TrainConfig
from pix2pix_tf.data.names import full_name
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.models.registry import preset


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
    shares: Shares = dataclasses.field(default_factory=ShareArgs)
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
    ignore: float | None = None
    """Number of pixels without a value, in measurements and gray images; by default as the first run."""
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


def run(arguments: list[str]) -> int:
    args = parse(EvaluateArgs, "evaluate", arguments)
    if not args.models:
        raise ConfigError("name at least one model to evaluate")
    config, usual = _judged_on(args)
    start_frameworks()
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
        usual=usual,
    )
    print(table(evaluate(args.models, args.out, options)))
    print(f"{args.out / 'report.html'} shows the pictures, {args.out / 'metrics.json'} has the numbers")
    return 0


def _judged_on(args: EvaluateArgs) -> tuple[TrainConfig, TrainConfig]:
    """Returns the configuration of the data set to judge on, that of the first run or of what is named.

    And what it would be without the flags but --direction, which also chooses a run's generator.
    """
    from pix2pix_tf.runs import find_run

    runs = [found[0] for found in map(find_run, args.models) if found is not None]
    of_run = runs[0].read_config() if runs else None
    if args.dataset is None and of_run is None:
        start_frameworks()
        from pix2pix_tf.formats import refuse_missing

        for model in args.models:
            if not Path(model).expanduser().is_dir():  # which may hold pictures
                refuse_missing(model)
        raise ConfigError("--dataset is missing: only a run knows which pairs it was made for")
    config = of_run or preset(args.dataset or "")
    if of_run is not None and args.dataset is not None:
        # The run's pairs may lie elsewhere; another data set brings its own settings.
        both_are_folders = configs.looks_like_path(args.dataset) and configs.looks_like_path(
            of_run.data.dataset
        )
        is_known = both_are_folders or full_name(args.dataset) == of_run.data.dataset
        config = configs.replace(of_run, dataset=args.dataset) if is_known else preset(args.dataset)
    is_undirected = bool(runs) and runs[0].imported() == {"direction": None}
    if of_run is not None:
        inherited = {name: getattr(of_run.data, name) for name in ("task", "upscale_factor", "fit")}
        config = configs.replace(config, **inherited)
        if not is_undirected:
            config = configs.replace(config, direction=of_run.data.direction)
    if args.direction is not None:
        config = configs.replace(config, direction=args.direction)
    given = {
        "data_dir": args.data_dir,
        "archive": args.archive,
        "image_size": args.image_size,
        "task": args.task,
        "upscale_factor": args.upscale_factor,
        "layout": args.layout,
        "ignore": args.ignore,
        "label_maps": None if args.label_maps == "auto" else args.label_maps,
        "skip_bad_images": args.skip_bad_images or None,
        **args.shares.given(),
    }
    asked = configs.replace(config, **{name: value for name, value in given.items() if value is not None})
    configs.refuse_unread(asked, config)
    return asked, config
