"""TensorFlow Lite (LiteRT), for phones and other devices: one file per image size and quantization."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import tyro

from pix2pix_tf.errors import ConfigError
from pix2pix_tf.files import write_whole
from pix2pix_tf.formats.base import Artifact, ExportFormat, Size, Subject, Tolerance
from pix2pix_tf.formats.shipped import shipped_file
from pix2pix_tf.validation import COMMON

if TYPE_CHECKING:
    from pix2pix_tf.formats.tflite.reader import TFLiteTranslator

Quantization = Literal["none", "float16", "dynamic", "int8"]

_CALIBRATION_SAMPLES = 64
_DEMO_SAMPLES = 6
_LARGEST_SIDE = 4096


def _parse_size(words: list[str]) -> Size:
    parts = re.fullmatch(r"(\d+)x(\d+)", words[0])
    if parts is None:
        raise ValueError(f"a size is HEIGHTxWIDTH, such as 256x256; got {words[0]}")
    return int(parts[1]), int(parts[2])


_SizeFlag = Annotated[
    Size,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="HEIGHTxWIDTH",
        instance_from_str=_parse_size,
        is_instance=lambda value: isinstance(value, tuple),
        str_from_instance=lambda size: [f"{size[0]}x{size[1]}"],
    ),
]


@dataclasses.dataclass(frozen=True)
class TFLite(ExportFormat):
    """Each file takes one image at a time, of a fixed size."""

    example: ClassVar[str] = "a .tflite file"
    tolerances: ClassVar[Mapping[Quantization, Tolerance]] = {
        "none": Tolerance(within_1_level=0.9999),
        "float16": Tolerance(psnr=50.0),
        "dynamic": Tolerance(psnr=35.0),
        "int8": Tolerance(psnr=35.0),
    }

    quantize: Annotated[tuple[Quantization, ...], COMMON] = ("none",)
    """One .tflite for each: float32, float16 weights, int8 weights, or int8 convolutions."""
    tflite_sizes: Annotated[tuple[_SizeFlag, ...], COMMON] = ()
    """Image sizes, with one .tflite for each; the run's size if not given."""

    def __post_init__(self) -> None:
        unknown = [kind for kind in self.quantize if kind not in self.tolerances]
        if unknown or not self.quantize:
            raise ConfigError(
                f"--quantize takes at least one of {', '.join(self.tolerances)}; got {unknown or 'none'}"
            )
        for height, width in self.tflite_sizes:
            if not (1 <= height <= _LARGEST_SIDE and 1 <= width <= _LARGEST_SIDE):
                raise ConfigError(f"--tflite-sizes {height}x{width}: both must be from 1 to {_LARGEST_SIDE}")

    @staticmethod
    def find(model: str | Path) -> Path | None:
        path = shipped_file(model) or Path(model).expanduser()
        return path if path.suffix.lower() == ".tflite" and path.is_file() else None

    @staticmethod
    def load(found: Path) -> TFLiteTranslator:
        from pix2pix_tf.formats.tflite.reader import TFLiteTranslator

        return TFLiteTranslator(found)

    def check(self, subject: Subject) -> None:
        if subject.translator.stochastic:
            raise ConfigError(
                "a .tflite can't keep dropout as noise, because its noise would never change; use --noise "
                "drop, or export only a SavedModel"
            )
        if subject.translator.noise and self.tflite_sizes:
            raise ConfigError(
                "--tflite-sizes has no effect with a model that makes images from noise, whose size is fixed"
            )

    def write(self, subject: Subject, served: Path, files: Path) -> Iterator[Artifact]:
        from pix2pix_tf.formats.tflite.conversion import convert

        sizes = dict.fromkeys(self.tflite_sizes or (subject.size,))
        classes = subject.samples.classes()
        for size, kind in itertools.product(sizes, dict.fromkeys(self.quantize)):
            samples = subject.samples.for_calibration(size, _CALIBRATION_SAMPLES) if kind == "int8" else ()
            content = convert(subject.translator, size, kind, samples, classes)
            shape, suffix = f"{size[0]}x{size[1]}", "" if kind == "none" else f"_{kind}"
            path = files / f"{subject.name}_{shape}{suffix}.tflite"
            write_whole(path, content)
            _write_samples(path, subject, size)
            yield Artifact(
                label=f"TFLite {'float32' if kind == 'none' else kind} {shape}",
                path=path,
                tolerance=self.tolerances[kind],
                size=None if subject.translator.noise else size,
            )


def samples_file(model: Path) -> Path:
    """Returns the place of the held-out inputs of a .tflite file, which ``pix2pix demo`` offers."""
    return model.with_suffix(".samples.png")


def _write_samples(model: Path, subject: Subject, size: Size) -> None:
    """Writes a few held-out inputs, one below the other, if they are 8-bit gray or RGB images."""
    import numpy as np
    import tensorflow as tf

    form = subject.translator.input
    if form.channels in (1, 3) and form.bits == 8:
        stacked = np.concatenate(subject.samples.held_out(size, _DEMO_SAMPLES))
        write_whole(samples_file(model), tf.io.encode_png(tf.constant(stacked)).numpy())
