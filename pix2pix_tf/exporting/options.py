"""Options of ``pix2pix export``, for the command line and for Python; without TensorFlow, for ``--help``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tyro.conf import Positional

from pix2pix_tf import config as configs
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.formats import DEFAULT_FORMATS, EXPORT_FORMATS, export_format
from pix2pix_tf.formats.base import ExportFormat
from pix2pix_tf.wording import flag

if TYPE_CHECKING:
    FormatName = str
    FormatSettings = Any
else:
    FormatName = Literal[tuple(EXPORT_FORMATS)]
    # A format's fields are its flags, in a group of their own.
    FormatSettings = dataclasses.make_dataclass(
        "FormatSettings",
        [
            (name, export_format(name), dataclasses.field(default_factory=export_format(name)))
            for name in EXPORT_FORMATS
        ],
        frozen=True,
    )


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """Exports a run to formats that serve and run elsewhere, and verifies each against the trained model."""

    run: Positional[Path]
    """A run directory."""
    out: Path | None = None
    """Output folder; RUN/export if not given."""
    name: str | None = None
    """What clients call the model; the run directory's name if not given. If a run has two generators, each
    is a model of its own, NAME_AtoB and NAME_BtoA."""
    direction: configs.Direction | None = None
    """Which of a run's generators; all if not given."""
    formats: tuple[FormatName, ...] = DEFAULT_FORMATS
    """What to write; onnx needs the extra of that name."""
    step: int | None = None
    """Export the checkpoint of that step instead of the newest."""
    noise: Literal["as-trained", "keep", "drop"] = "as-trained"
    """Dropout as a source of noise (train's --stochastic), which only a SavedModel can have."""
    raw_weights: bool = False
    """Export the weights of the step itself, not their moving average."""
    verification_images: Path | None = None
    """A folder of input images for verification and calibration, instead of the run's own."""
    data_dir: Path | None = None
    """Directory of data sets, if not the one that the run used."""
    allow_worse: bool = False
    """Also publish models that exceed their tolerance; the report says so."""
    settings: Annotated[FormatSettings, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=FormatSettings
    )

    @property
    def stochastic(self) -> bool | None:
        return {"as-trained": None, "keep": True, "drop": False}[self.noise]

    def chosen_formats(self) -> dict[str, ExportFormat]:
        """Returns the formats to write; raises `ConfigError` for settings of others."""
        if not self.formats:
            raise ConfigError("--formats: name at least one")
        for name in EXPORT_FORMATS:
            chosen, default = getattr(self.settings, name), export_format(name)()
            changed = [
                field.name
                for field in dataclasses.fields(default)
                if getattr(chosen, field.name) != getattr(default, field.name)
            ]
            if changed and name not in self.formats:
                raise ConfigError(f"{flag(changed[0])} has no meaning without {name} in --formats")
        return {name: getattr(self.settings, name) for name in self.formats}
