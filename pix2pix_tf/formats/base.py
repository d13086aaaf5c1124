"""Base classes of model formats.

Format modules must not import TensorFlow at the top, so that ``--help`` is fast.
"""

from __future__ import annotations

import abc
import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pix2pix_tf.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

    from pix2pix_tf.formats.run import GeneratorTranslator
    from pix2pix_tf.formats.translator import Translator

Size = tuple[int, int]


class Format(abc.ABC):
    """A format that can be loaded; ``example`` describes a model of this format in messages."""

    example: ClassVar[str]

    @staticmethod
    @abc.abstractmethod
    def find(model: str | Path) -> Any:
        """Returns the exact location of the model, or None if it has another format."""

    @staticmethod
    @abc.abstractmethod
    def load(found: Any) -> Translator:
        """Loads the model that `find` located; raises `ConfigError` if it is damaged or another program's."""


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """How much an exported model may differ from the trained one.

    Args:
        max_levels: largest allowed difference, in 8-bit values.
        within_1_level: minimum fraction of values that differ by at most 1.
        psnr: minimum PSNR in dB.
    """

    max_levels: int | None = None
    within_1_level: float | None = None
    psnr: float | None = None

    def __str__(self) -> str:
        parts = []
        if self.max_levels is not None:
            parts.append(f"off by at most {self.max_levels} everywhere")
        if self.within_1_level is not None:
            parts.append(f"off by at most 1 for {self.within_1_level:.2%}")
        if self.psnr is not None:
            parts.append(f"PSNR {self.psnr:g} dB")
        return ", ".join(parts)


@dataclasses.dataclass(frozen=True)
class Artifact:
    """An exported file or directory.

    Args:
        label: name in tables and plots.
        size: the only height and width that it accepts; ``None`` for any.
        most_pixels: maximum number of pixels per image; ``None`` for no limit.
    """

    label: str
    path: Path
    tolerance: Tolerance
    size: Size | None = None
    most_pixels: int | None = None


@dataclasses.dataclass(frozen=True)
class Samples:
    """A source of inputs: images uint8 or uint16 [height, width, channels], or noise float32 [numbers].

    Args:
        held_out: returns at most N inputs that training did not use; images have the given size.
        for_calibration: the same from the training distribution.
        classes: returns the color of each class, if images are label maps.
    """

    description: str
    held_out: Callable[[Size, int], Sequence[np.ndarray]]
    for_calibration: Callable[[Size, int], Sequence[np.ndarray]]
    classes: Callable[[], Mapping[str, Sequence[int]]] = dict


@dataclasses.dataclass(frozen=True)
class Subject:
    """One generator of a run, to be exported.

    Args:
        name: name under which servers offer the model.
        translator: the generator in float32, with the trained weights.
        size: height and width of training images; for models that take noise, of the outputs.
        samples: inputs for verification and calibration.
    """

    name: str
    translator: GeneratorTranslator
    size: Size
    samples: Samples


@dataclasses.dataclass(frozen=True)
class ExportFormat(Format):
    """A format that can be written; its fields become flags of ``export``."""

    def check(self, subject: Subject) -> None:
        """Raises `ConfigError` if the generator can't be exported with these options; writes nothing."""

    @abc.abstractmethod
    def write(self, subject: Subject, served: Path, files: Path) -> Iterator[Artifact]:
        """Writes and yields one artifact after the other.

        Formats for servers write to ``served``, the directory of the version. All others write to ``files``,
        which may not exist yet.
        """

    def write_companions(self, subject: Subject, out: Path) -> None:
        """Writes files next to an artifact of this format that was published in ``out``."""


def check_model_name(name: str) -> None:
    """Raises `ConfigError` if URLs, shells, YAML or server configs would need escapes for the name."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ConfigError(
            f"a model can't be served as {name!r}: use letters from a to z, digits, '.', '_' and '-', "
            "beginning with a letter or digit"
        )


def model_name_for(run: Path) -> str:
    """Returns the run directory's name, with invalid characters replaced by '_'."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", run.resolve().name).strip("_.-")
    return name or "model"
