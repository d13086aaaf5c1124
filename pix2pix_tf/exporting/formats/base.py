"""What a format tells the export, which knows no format by name.

A format is a frozen dataclass whose fields are its flags. Importing it needs no TensorFlow, so that
``--help`` answers at once: what does is imported where something is written.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pix2pix_tf.wording import counted

if TYPE_CHECKING:
    from pix2pix_tf.exporting.samples import Samples
    from pix2pix_tf.translators.run import GeneratorTranslator

Size = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Bar:
    """What an artifact must reach to be published.

    Args:
        max_levels: the largest difference anywhere, in levels of 255.
        within_1_level: the share of values that differ by at most 1 level.
        psnr: in dB.
    """

    max_levels: int | None = None
    within_1_level: float | None = None
    psnr: float | None = None

    def __str__(self) -> str:
        parts = []
        if self.max_levels is not None:
            parts.append(f"at most {counted(self.max_levels, 'level')} everywhere")
        if self.within_1_level is not None:
            parts.append(f"at most 1 level on {self.within_1_level:.2%}")
        if self.psnr is not None:
            parts.append(f"PSNR {self.psnr:g} dB")
        return ", ".join(parts)


@dataclasses.dataclass(frozen=True)
class Artifact:
    """A file or directory that was written, still to be proven.

    Args:
        label: what the table and the picture call it.
        path: where it is.
        bar: what it must reach.
        size: the height and width that it is bound to, ``None`` if it takes any.
        most_pixels: of an image that it takes, ``None`` if it takes any number.
        remark: what the table says of it besides.
        facts: what export.json says of it besides.
    """

    label: str
    path: Path
    bar: Bar
    size: Size | None = None
    most_pixels: int | None = None
    remark: str = ""
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is exported: one painter of a run, as one model.

    Args:
        name: of the model, as clients call it.
        translator: in float32, with the trained weights.
        size: height and width that the run was trained at; where it takes noise, those that it gives.
        samples: what to prove and calibrate with.
    """

    name: str
    translator: GeneratorTranslator
    size: Size
    samples: Samples


@dataclasses.dataclass(frozen=True)
class Format(abc.ABC):
    """A kind of files that a painter is exported as.

    Attributes:
        name: in ``--formats`` and the registry.
    """

    name: ClassVar[str]

    def check(self, subject: Subject) -> None:  # noqa: B027 (most formats take everything)
        """Refuses, before anything is written, what can't be exported so.

        Raises:
            ConfigError: the combination of painter and options has no meaning, or a package is missing.
        """

    @abc.abstractmethod
    def jobs(self, subject: Subject, served: Path, files: Path) -> Iterator[Callable[[], Artifact]]:
        """Yields what writes each artifact.

        Args:
            subject: what is exported.
            served: the directory to write, where the format is a version of a model for servers.
            files: the folder for files, which need not exist.

        Raises:
            ConfigError: (when called) it can't be converted.
            SystemFault: (when called) the disk is full, or the place can't be written.
        """

    def announce(self, subject: Subject, out: Path) -> None:  # noqa: B027 (most need nothing)
        """Writes what else ``out`` needs, once an artifact of this format is about to be published there."""
