"""The common interface of trained models in any format: a function from image to image.

TensorFlow is imported inside functions, because importing a format must not import it.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pix2pix_tf.data.pixel_format import MOST_BANDS, WITH_ALPHA, PixelFormat
from pix2pix_tf.errors import ConfigError, DataError, SystemFault
from pix2pix_tf.files import first_line
from pix2pix_tf.models.base import Translate
from pix2pix_tf.wording import counted

if TYPE_CHECKING:
    import tensorflow as tf

_MOST_ENLARGED = 4


class Translator(abc.ABC):
    """Translates one image at a time, so that each output depends only on its input and the model.

    If the model generates images from noise, it takes vectors instead.

    Attributes:
        input: channels, bits and range of inputs, with 0 channels for noise. Files may have more bits.
        output: channels, bits and range of outputs.
        noise: length of the noise vector; 0 if the model takes images.
        inpaints: whether the model fills in transparent pixels; the last input channel is then alpha.
        enlarges: scale from an image file to the output. If it isn't 1, call the model with the result of
            :meth:`enlarged`.
        size: the only height and width that the model accepts; ``None`` for any.
        stochastic: whether dropout stays active as seeded noise.

    Example:
        >>> translate = pix2pix_tf.load("runs/facades")
        >>> photo = translate(labels)          # uint8 [height, width, 3] in and out
    """

    input: PixelFormat
    output: PixelFormat
    noise: int = 0
    inpaints: bool = False
    enlarges: int = 1
    size: tuple[int, int] | None = None
    stochastic: bool = False

    def __call__(self, image: np.ndarray | tf.Tensor) -> np.ndarray:
        """Translates one image.

        Args:
            image: uint8 or uint16, [height, width, channels] or [height, width]. Gray and RGB are
                converted to what the model takes. If the model inpaints, alpha is the mask; otherwise, the
                image is composited over white. Models with other channels need exactly those channels. If the
                model takes noise, this is a float32 vector of ``noise`` numbers from a standard normal
                distribution.

        Returns:
            An image [height, width, output channels] with the height and width of the given one, uint8, or
            uint16 if ``output.bits`` is 16.

        Raises:
            DataError: the array is not an image, or its size doesn't fit the model.
            SystemFault: there is not enough memory, or a server failed.
        """
        import tensorflow as tf

        given = np.asarray(image)
        if self.noise:
            is_noise = given.shape == (self.noise,) and np.issubdtype(given.dtype, np.floating)
            if not is_noise or not np.isfinite(given).all():
                raise DataError(
                    f"the model takes {self.noise} finite numbers; got {given.dtype} {list(given.shape)}"
                )
            return self._translate(tf.constant(given, tf.float32))
        if given.ndim == 2:
            given = given[..., np.newaxis]
        is_image = given.ndim == 3 and given.shape[-1] <= MOST_BANDS and 0 not in given.shape
        if not is_image or given.dtype not in (np.uint8, np.uint16):
            raise DataError(
                f"an image is uint8 or uint16 [height, width, 1 to {MOST_BANDS} channels]; got "
                f"{given.dtype} {list(given.shape)}"
            )
        return self._translate(converted(tf.constant(given), self.input.channels, self.inpaints))

    @abc.abstractmethod
    def _translate(self, given: tf.Tensor) -> np.ndarray:
        """Translates ``uint8`` or ``uint16`` [height, width, input channels], or noise."""

    def translate_file(self, path: str | Path) -> np.ndarray:
        """Translates an image file.

        Args:
            path: an image of any supported kind.

        Returns:
            The same as a call. Height and width are the file's after EXIF orientation, times ``enlarges``.

        Raises:
            DataError: the file is missing, or isn't a readable image.
            SystemFault: there is not enough memory, or a server failed.
        """
        path = Path(path)
        image = self.enlarged(self.load_input(path))
        with naming(path):
            return self(image)

    def load_input(
        self,
        path: Path,
        most_pixels: int | None = None,
        clipped: list[int] | None = None,
        missing: int | None = None,
    ) -> np.ndarray:
        """Reads an image file with the model's channels and the file's bit depth.

        Missing pixels get the value ``missing``, by default the middle of the range.
        """
        from pix2pix_tf.data.reading import MAX_PIXELS, read_input

        form = dataclasses.replace(self.input, missing=missing)
        return read_input(path, form, self.inpaints, most_pixels or MAX_PIXELS, clipped)

    def _take_shapes(self, takes_noise: bool, source: Sequence[Any], result: Sequence[Any]) -> bool:
        """Sets noise and channels from batch shapes; returns False if no export has such shapes."""
        noise = source[1] if takes_noise and len(source) == 2 and isinstance(source[1], int) else 0
        if not (noise or (not takes_noise and _is_image_batch(source))) or not _is_image_batch(result):
            return False
        self.noise = noise
        self.input, self.output = PixelFormat(0 if noise else source[3]), PixelFormat(result[3])
        return True

    def pixel_facts(self) -> dict[str, Any]:
        """Returns the meaning of pixels as JSON, which the network itself doesn't store."""
        return {
            "input_format": self.input.to_json(),
            "output_format": self.output.to_json(),
            "inpaints": self.inpaints,
            "enlarges": self.enlarges,
        }

    def _read_pixel_facts(self, path: Path, read: Callable[[], Mapping[str, Any]]) -> None:
        """Applies the `pixel_facts` that ``read`` returns; raises `ConfigError` if they are damaged.

        The channel counts stay those of the network.
        """
        try:
            facts = read()
            self.input, self.output = (
                PixelFormat.from_json({**facts.get(name, {}), "channels": form.channels})
                for name, form in (("input_format", self.input), ("output_format", self.output))
            )
            self.inpaints = bool(facts.get("inpaints", False))
            for has_alpha, form in ((self.inpaints, self.input), (self.output.has_alpha, self.output)):
                if has_alpha and form.channels not in WITH_ALPHA:
                    raise ValueError(f"alpha needs 2 or 4 channels, not {form.channels}")
            self.enlarges = int(facts.get("enlarges", 1))
            if not 1 <= self.enlarges <= _MOST_ENLARGED:
                raise ValueError(f"the scale must be from 1 to {_MOST_ENLARGED}")
        except Exception as error:  # damaged JSON raises many types
            raise ConfigError(
                f"{path}: its pixel format is damaged ({brief(str(error))}); export it again"
            ) from error

    def enlarged(self, image: np.ndarray) -> np.ndarray:
        """Enlarges an image by the factor ``enlarges``, as in training.

        Args:
            image: uint8 or uint16 [height, width, channels].

        Returns:
            The enlarged image, with the same type.
        """
        from pix2pix_tf.data.tasks.upscale import enlarged_levels

        return image if self.enlarges == 1 else enlarged_levels(image, self.enlarges)

    def for_tiles(self, sample: Iterable[np.ndarray]) -> Translate:
        """Returns a function that translates the tiles of one image. The next call invalidates it.

        Args:
            sample: some of the image's tiles, ``uint8`` or ``uint16`` [height, width, input channels]. A
                run's model with instance normalization estimates the whole image's statistics from them.
                Other models ignore the sample and translate each tile separately.
        """
        return self

    def signatures(self) -> dict[str, Translate]:
        """Returns the model's entry points by name; the first is ``self(image)``."""
        return {"serving_default": self}


def _is_image_batch(shape: Sequence[Any]) -> bool:
    return len(shape) == 4 and shape[3] in range(1, MOST_BANDS + 1)


def converted(image: tf.Tensor, channels: int, inpaints: bool = False) -> tf.Tensor:
    """Converts an image uint8 or uint16 [height, width, channels] to a model's input channels.

    If ``inpaints``, the last channel is alpha. Raises `DataError` for conversions other than between
    gray, RGB and alpha.
    """
    from pix2pix_tf.data.pixels import convert_channels

    if image.shape[-1] == channels:
        return image
    if image.shape[-1] > 4 or not (inpaints or channels in (1, 3)):
        raise DataError(f"the image has {counted(image.shape[-1], 'channel')}; the model takes {channels}")
    return convert_channels(image, channels, with_alpha=inpaints)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Prefixes image errors with the file's name."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def read_model(path: Path) -> bytes:
    """Reads an exported file; raises `SystemFault` if that fails."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise SystemFault(f"{path}: can't be read ({error.strerror}); check its permissions") from error


def out_of_memory(given: tf.Tensor) -> SystemFault:
    """Returns the error for an image [height, width, channels], or noise, that needs too much memory."""
    if given.shape.rank == 1:
        return SystemFault("not enough memory for an image")
    height, width = given.shape[:2]
    return SystemFault(f"not enough memory for an image of {width}x{height} pixels; make it smaller")


def cant_load(what: str, error: Exception) -> ConfigError:
    """Returns the error for a damaged exported model, with the first line of the library's error."""
    return ConfigError(f"{what} ({brief(first_line(error))}); export it again")


def refusal(message: str) -> str:
    """Extracts the reason from TensorFlow's message for a failed assertion."""
    asserted = re.search(r"assertion failed: \[(.*?)\](?=\s|$)", message, re.DOTALL)
    return brief(asserted[1] if asserted else message.partition("[[{{node")[0])


def brief(message: str) -> str:
    """Shortens a message to one line of 300 characters."""
    line = " ".join(message.split())
    return line if len(line) <= 300 else f"{line[:300]}..."
