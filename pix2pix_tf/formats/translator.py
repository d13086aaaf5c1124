"""What every trained model is, wherever it runs: a function from image to image.

It knows none of the kinds of models; each is a module beside this one.
"""

from __future__ import annotations

import abc
import contextlib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from pix2pix_tf.data.images import MAX_PIXELS
from pix2pix_tf.data.pixels import convert_channels
from pix2pix_tf.data.rasters import MOST_BANDS, ValueRange
from pix2pix_tf.data.tasks.upscale import enlarged_levels
from pix2pix_tf.data.transparency import WITH_ALPHA, convert_transparent, load_input
from pix2pix_tf.errors import ConfigError, DataError, SystemFault
from pix2pix_tf.wording import counted


def _kind(channels: int) -> str:
    return {1: "grey", 3: "RGB"}.get(channels, f"{channels} channels")


_MOST_ENLARGED = 4
_PIXEL_FACTS = ("output_bits", "input_range", "output_range", "ignore", "paints_holes", "enlarges")


class Translator(abc.ABC):
    """Translates images, one at a time: an output depends on nothing but the image and the model.

    A model that makes images from noise is a translator, too: of vectors.

    Attributes:
        input_channels: 1 (grey), 3 (RGB) or another number of bands; 0 where it takes noise.
        output_channels: likewise.
        output_bits: of each sample that it gives: 8 or 16.
        noise: how many numbers of noise it takes; 0 where it takes an image.
        input_range: the numbers that the lowest and the highest level of an input stand for, where it is one
            of measurements and that is known.
        output_range: likewise of an output.
        ignore: the number of an input's pixels that have no value, besides what a file declares.
        paints_holes: what is transparent in an image is a hole that it paints; the last channel that it takes
            is then alpha.
        enlarges: how many times larger than an image's file its picture is. Such a model takes the image
            enlarged already, as :meth:`enlarged` returns it.
        size: height and width of the only images it takes; None where it takes any.
        stochastic: whether it has noise of its own, which a seed decides.

    Example:
        >>> translate = formats.load("runs/facades")
        >>> photo = translate(labels)          # uint8 [height, width, 3] in and out
    """

    input_channels: int
    output_channels: int
    output_bits: Literal[8, 16] = 8
    noise: int = 0
    input_range: ValueRange | None = None
    output_range: ValueRange | None = None
    ignore: float | None = None
    paints_holes: bool = False
    enlarges: int = 1
    size: tuple[int, int] | None = None
    stochastic: bool = False

    def __repr__(self) -> str:
        """Returns what it takes and gives."""
        taken = f"noise[{self.noise}]" if self.noise else _kind(self.input_channels)
        return f"<{type(self).__name__}: {taken} to {_kind(self.output_channels)}>"

    def __call__(self, image: np.ndarray | tf.Tensor) -> np.ndarray:
        """Translates one image.

        Args:
            image: ``uint8`` or ``uint16``, [height, width, channels] or [height, width]. A model of grey or
                RGB takes both, and alpha behind them, which is laid over white unless it is a hole that the
                model paints; any other model its own channels only. Where the model takes noise, float32
                [noise], standard normal.

        Returns:
            uint8, or uint16 where ``output_bits`` is 16, [height, width, output channels], of the image's
            height and width.

        Raises:
            DataError: the array is no image, or the model takes none of its size.
            SystemFault: there is not enough memory, or a server failed.
        """
        if self.noise:
            return self._translate(_as_noise(np.asarray(image), self.noise))
        return self._translate(
            converted(_as_image(np.asarray(image)), self.input_channels, self.paints_holes)
        )

    @abc.abstractmethod
    def _translate(self, given: tf.Tensor) -> np.ndarray:
        """Translates ``uint8`` or ``uint16`` [height, width, input channels], or noise, to `levels`."""

    def translate_file(self, path: str | Path) -> np.ndarray:
        """Translates an image file.

        Args:
            path: of a kind that `pix2pix_tf.data.images` reads.

        Returns:
            as a call does, of the height and width as a viewer shows them, or ``enlarges`` times these.

        Raises:
            DataError: the file is missing or no image that can be read.
        """
        path = Path(path)
        image = self.enlarged(self.load_input(path))
        with naming(path):
            return self(image)

    def load_input(
        self, path: Path, most_pixels: int = MAX_PIXELS, clipped: list[int] | None = None
    ) -> np.ndarray:
        """Reads an image file as the model takes it: [height, width, input channels], full depth."""
        taken = (self.input_channels, self.paints_holes, self.input_range)
        return load_input(path, *taken, most_pixels, self.ignore, clipped)

    @property
    def levels(self) -> tf.DType:
        """The type of the pictures."""
        return tf.uint16 if self.output_bits == 16 else tf.uint8

    def pixel_facts(self) -> dict[str, Any]:
        """Returns what images mean, which can't be seen in a network, as JSON has it."""
        return {name: getattr(self, name) for name in _PIXEL_FACTS}

    def _take_pixel_facts(self, facts: Mapping[str, Any]) -> None:
        """Sets them, from a file that an export wrote; where it says nothing, nothing changes.

        Raises:
            ValueError, TypeError: they are none.
        """
        self.output_bits = 16 if facts.get("output_bits", self.output_bits) == 16 else 8
        self.paints_holes = bool(facts.get("paints_holes", self.paints_holes))
        if self.paints_holes and self.input_channels not in WITH_ALPHA:
            raise ValueError("there is no alpha to say where the holes are")
        self.enlarges = int(facts.get("enlarges", self.enlarges))
        if not 1 <= self.enlarges <= _MOST_ENLARGED:
            raise ValueError("nothing is enlarged that much")
        self.ignore = None if facts.get("ignore") is None else float(facts["ignore"])
        for name in ("input_range", "output_range"):
            if facts.get(name) is not None:
                low, high = map(float, facts[name])
                if not (low < high and math.isfinite(high - low)):
                    raise ValueError(f"{name} is no range")
                setattr(self, name, (low, high))

    def enlarged(self, image: np.ndarray) -> np.ndarray:
        """Returns an image of a file as the model takes it: ``enlarges`` times larger, as it was trained."""
        return image if self.enlarges == 1 else enlarged_levels(image, self.enlarges)

    def for_tiles(self, sample: Iterable[np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
        """Returns what translates the tiles of one image, until it is called for another.

        Args:
            sample: some of the image's tiles, ``uint8`` or ``uint16`` [height, width, input channels]. Taken
                only where the model normalises by statistics of the whole image and can be told them; others
                take each tile for an image of its own.
        """
        return self

    def ways(self) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
        """Every way into the model, each of which gives its picture of an image, by name.

        The first is what ``self(image)`` does.
        """
        return {"serving_default": self}


def converted(image: tf.Tensor, channels: int, paints_holes: bool = False) -> tf.Tensor:
    """Returns an image with the channels that a model takes.

    Args:
        image: ``uint8`` or ``uint16`` [height, width, channels].
        channels: that the model takes.
        paints_holes: the last of them is alpha.

    Raises:
        DataError: it can't have them: only grey, RGB and alpha become each other.
    """
    if image.shape[-1] == channels:
        return image
    if image.shape[-1] > 4 or not (paints_holes or channels in (1, 3)):
        raise DataError(f"an image of {counted(image.shape[-1], 'channel')}; the model takes {channels}")
    return convert_transparent(image, channels) if paints_holes else convert_channels(image, channels)


@contextlib.contextmanager
def refusing_damaged_facts(path: Path) -> Iterator[None]:
    """Refuses an exported model that says of its images what can't be.

    Raises:
        ConfigError: what is read inside fails, in whichever way.
    """
    try:
        yield
    except Exception as error:
        raise ConfigError(
            f"{path}: what it says of its images is damaged ({brief(str(error))}); export it again"
        ) from error


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Puts the file's name before what is said against the image in it."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def out_of_memory(given: tf.Tensor) -> SystemFault:
    """Returns what to raise where memory doesn't suffice for an image [height, width, channels], or noise."""
    if given.shape.rank == 1:
        return SystemFault("not enough memory for an image")
    height, width = given.shape[:2]
    return SystemFault(f"not enough memory for an image of {width}x{height} pixels; make it smaller")


def _as_image(array: np.ndarray) -> tf.Tensor:
    """Returns an array as [height, width, channels] on the processor.

    Raises:
        DataError: it is no image.
    """
    if array.ndim == 2:
        array = array[..., np.newaxis]
    is_image = array.ndim == 3 and array.shape[-1] <= MOST_BANDS and 0 not in array.shape
    if not is_image or array.dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"an image is uint8 or uint16 [height, width, 1 to {MOST_BANDS} channels]; got "
            f"{array.dtype} {list(array.shape)}"
        )
    return tf.constant(array)


def _as_noise(array: np.ndarray, count: int) -> tf.Tensor:
    """Returns an array as noise for a network.

    Raises:
        DataError: it is none, or not as many numbers.
    """
    if array.shape != (count,) or not np.issubdtype(array.dtype, np.floating) or not np.isfinite(array).all():
        raise DataError(f"the model takes {count} finite numbers; got {array.dtype} {list(array.shape)}")
    return tf.constant(array, tf.float32)


def refusal(message: str) -> str:
    """The reason in TensorFlow's message of a failed check, without what surrounds it."""
    asserted = re.search(r"assertion failed: \[(.*?)\](?=\s|$)", message, re.DOTALL)
    return brief(asserted[1] if asserted else message.partition("[[{{node")[0])


def brief(message: str) -> str:
    """Returns a message as one line that is not too long."""
    line = " ".join(message.split())
    return line if len(line) <= 300 else f"{line[:300]}..."
