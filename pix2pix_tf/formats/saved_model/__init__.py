"""SavedModel format, for TensorFlow Serving and TensorFlow."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pix2pix_tf.errors import ConfigError
from pix2pix_tf.formats.base import Artifact, ExportFormat, Subject, Tolerance

if TYPE_CHECKING:
    from pix2pix_tf.formats.saved_model.reader import SavedModelTranslator

_MOST_PIXELS = 2**26  # limit of the decoder


@dataclasses.dataclass(frozen=True)
class SavedModel(ExportFormat):
    """Image size limits, which the SavedModel checks before decoding."""

    example: ClassVar[str] = "a directory with a SavedModel or its versions"
    tolerance: ClassVar[Tolerance] = Tolerance(max_levels=1)

    max_pixels_per_image: int = 2**24
    """Maximum height times width of an image."""
    max_pixels_per_request: int = 2**26
    """Maximum total pixels of all images in a request."""

    def __post_init__(self) -> None:
        if not 1 <= self.max_pixels_per_image <= _MOST_PIXELS:
            raise ConfigError(
                f"--max-pixels-per-image must be from 1 to {_MOST_PIXELS}; got {self.max_pixels_per_image}"
            )
        if self.max_pixels_per_request < self.max_pixels_per_image:
            raise ConfigError(
                f"the limit of {self.max_pixels_per_request} pixels per request is less than the limit of "
                f"{self.max_pixels_per_image} pixels per image; raise the first"
            )

    @staticmethod
    def find(model: str | Path) -> Path | None:
        """Returns the directory of the SavedModel: ``model``, or its highest version."""
        path = Path(model).expanduser()
        if not path.is_dir():
            return None
        if (path / "saved_model.pb").exists() or (path / "variables").is_dir():
            return path
        versions = [child for child in path.iterdir() if child.is_dir() and re.fullmatch(r"\d+", child.name)]
        # Servers load the highest version too, so an older one must not replace a damaged one.
        return max(versions, key=lambda child: int(child.name), default=None)

    @staticmethod
    def load(found: Path) -> SavedModelTranslator:
        from pix2pix_tf.formats.saved_model.reader import SavedModelTranslator

        return SavedModelTranslator(found)

    def check(self, subject: Subject) -> None:
        height, width = subject.size
        if not subject.translator.noise and self.max_pixels_per_image < height * width:
            raise ConfigError(
                f"the limit of {self.max_pixels_per_image} pixels per image is too low for the run's "
                f"{width}x{height} images; raise it"
            )

    def write(self, subject: Subject, served: Path, files: Path) -> Iterator[Artifact]:
        from pix2pix_tf.formats.saved_model.graph import write_saved_model
        from pix2pix_tf.formats.saved_model.serving_files import write_warmup

        write_saved_model(subject.translator, served, self)
        write_warmup(served, subject.name, subject.translator, subject.size)
        most_pixels = None if subject.translator.noise else self.max_pixels_per_image
        yield Artifact("SavedModel", served, self.tolerance, most_pixels=most_pixels)

    def write_companions(self, subject: Subject, out: Path) -> None:
        from pix2pix_tf.formats.saved_model.serving_files import write_serving_files

        write_serving_files(out, subject.name, subject.translator, subject.size, self)
