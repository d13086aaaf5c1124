"""What every trained model is, wherever it runs: a function from image to image.

It knows none of the kinds of models; each is a module beside this one.
"""

from __future__ import annotations

import abc
import contextlib
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from pix2pix_tf.data.images import MAX_PIXELS, load_image, read_header
from pix2pix_tf.data.pixels import convert_channels
from pix2pix_tf.errors import DataError, SystemFault

_KINDS = {1: "grey", 3: "RGB"}


class Translator(abc.ABC):
    """Translates images, one at a time: an output depends on nothing but the image and the model.

    A model that makes images from noise is a translator, too: of vectors.

    Attributes:
        input_channels: 1 (grey) or 3 (RGB); 0 where it takes noise.
        output_channels: 1 or 3.
        noise: how many numbers of noise it takes; 0 where it takes an image.
        size: height and width of the only images it takes; None where it takes any.

    Example:
        >>> translate = translators.load("runs/facades")
        >>> photo = translate(labels)          # uint8 [height, width, 3] in and out
    """

    input_channels: int
    output_channels: int
    noise: int = 0
    size: tuple[int, int] | None = None

    def __repr__(self) -> str:
        """Returns what it takes and gives."""
        taken = f"noise[{self.noise}]" if self.noise else _KINDS.get(self.input_channels, "image")
        return f"<{type(self).__name__}: {taken} to {_KINDS.get(self.output_channels, 'image')}>"

    def __call__(self, image: np.ndarray | tf.Tensor) -> np.ndarray:
        """Translates one image.

        Args:
            image: ``uint8`` or ``uint16``, [height, width, channels] or [height, width]; grey and RGB are
                converted to what the model takes, a fourth channel is alpha and laid over white. Where the
                model takes noise, float32 [noise], standard normal.

        Returns:
            uint8 [height, width, output channels], of the image's height and width.

        Raises:
            DataError: the array is no image, or the model takes none of its size.
            SystemFault: there is not enough memory, or a server failed.
        """
        if self.noise:
            return self._translate(_as_noise(np.asarray(image), self.noise))
        return self._translate(convert_channels(_as_image(np.asarray(image)), self.input_channels))

    @abc.abstractmethod
    def _translate(self, given: tf.Tensor) -> np.ndarray:
        """Translates ``uint8`` or ``uint16`` [height, width, input channels], or noise, to uint8."""

    def translate_file(self, path: str | Path) -> np.ndarray:
        """Translates an image file.

        Args:
            path: of a kind that `pix2pix_tf.data.images` reads.

        Returns:
            uint8 [height, width, output channels], of the image's height and width as a viewer shows it.

        Raises:
            DataError: the file is missing or no image that can be read.
        """
        path = Path(path)
        image = self.load_input(path)
        with naming(path):
            return self(image)

    def load_input(self, path: Path, most_pixels: int = MAX_PIXELS) -> np.ndarray:
        """Reads an image file as the model takes it: [height, width, input channels], full depth."""
        dtype = np.uint16 if read_header(path, most_pixels).bits == 16 else np.uint8
        return load_image(path, self.input_channels, dtype, most_pixels)

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
    is_image = array.ndim == 3 and array.shape[-1] in (1, 2, 3, 4) and 0 not in array.shape
    if not is_image or array.dtype not in (np.uint8, np.uint16):
        raise DataError(
            "an image is uint8 or uint16 [height, width, 1 to 4 channels]; got "
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
