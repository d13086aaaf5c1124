"""``pix2pix export``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tyro.conf import Positional

from pix2pix_tf import config as configs
from pix2pix_tf.commands.parsing import parse, start_frameworks
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.formats import DEFAULT_FORMATS, FORMATS, Format, format_class
from pix2pix_tf.wording import flag

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


def run(arguments: list[str]) -> int:
    args = parse(ExportArgs, "export", arguments)
    formats = _chosen_formats(args)
    start_frameworks()
    from pix2pix_tf.exporting import export as exporting
    from pix2pix_tf.exporting.report import refuse_worse
    from pix2pix_tf.formats.names import is_model_name
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
            flag(field.name)
            for field in dataclasses.fields(default)
            if getattr(chosen, field.name) != getattr(default, field.name)
        ]
        if changed and name not in args.formats:
            raise ConfigError(f"{changed[0]} has no meaning without {name} in --formats")
    return [getattr(args.settings, name) for name in dict.fromkeys(args.formats)]
