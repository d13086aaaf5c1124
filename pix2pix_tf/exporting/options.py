"""Options of ``pix2pix export``. Doesn't import TensorFlow, so that ``--help`` is fast."""

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
from pix2pix_tf.validation import COMMON
from pix2pix_tf.wording import flag

if TYPE_CHECKING:
    FormatName = str
    FormatSettings = Any
else:
    FormatName = Literal[tuple(EXPORT_FORMATS)]
    # Each format's fields are a group of flags.
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
    """Exports a run to SavedModel, TFLite or ONNX, and verifies each file.

    Examples:
      pix2pix export runs/facades
      pix2pix export runs/facades --formats tflite --quantize float16 --tflite-sizes 512x512
    """

    run: Positional[Path]
    """A run directory."""
    out: Annotated[Path | None, COMMON] = None
    """Output folder; RUN/export if not given."""
    name: Annotated[str | None, COMMON] = None
    """Name of the model for clients; the run directory's name if not given. A run with two generators becomes
    two models, NAME_AtoB and NAME_BtoA."""
    direction: Annotated[configs.Direction | None, COMMON] = None
    """Export only this generator of the run; all if not given."""
    formats: Annotated[tuple[FormatName, ...], COMMON] = DEFAULT_FORMATS
    """Formats to write; onnx needs the extra 'onnx'."""
    step: int | None = None
    """Export the checkpoint of this step instead of the newest."""
    noise: Literal["as-trained", "keep", "drop"] = "as-trained"
    """Whether dropout stays active as noise (train's --stochastic); only a SavedModel can keep it."""
    raw_weights: bool = False
    """Export the weights of the step, not their moving average."""
    verification_images: Path | None = None
    """Folder of input images for verification and calibration, instead of the run's data set."""
    data_dir: Path | None = None
    """Directory of data sets, if it moved since training."""
    allow_worse: Annotated[bool, COMMON] = False
    """Also publish models that exceed their tolerance; the report says so."""
    settings: Annotated[FormatSettings, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=FormatSettings
    )

    @property
    def stochastic(self) -> bool | None:
        return {"as-trained": None, "keep": True, "drop": False}[self.noise]

    def chosen_formats(self) -> dict[str, ExportFormat]:
        """Returns the formats to write; raises `ConfigError` if a setting belongs to another format."""
        if not self.formats:
            raise ConfigError("--formats is empty; give at least one")
        for name in EXPORT_FORMATS:
            chosen, default = getattr(self.settings, name), export_format(name)()
            changed = [each for each, value in vars(chosen).items() if value != getattr(default, each)]
            if changed and name not in self.formats:
                raise ConfigError(f"{flag(changed[0])} has no effect without {name} in --formats")
        return {name: getattr(self.settings, name) for name in self.formats}
