"""What every trained model is, whatever its format: a function from image to image.

TensorFlow is imported where it is needed, because the formats' modules must not import it at the top.
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

from pix2pix_tf.data.pixel_format import MOST_BANDS, PixelFormat
from pix2pix_tf.errors import ConfigError, DataError, SystemFault
from pix2pix_tf.files import first_line
from pix2pix_tf.models.base import Translate
from pix2pix_tf.wording import counted

if TYPE_CHECKING:
    import tensorflow as tf

_MOST_ENLARGED = 4


class Translator(abc.ABC):
    """Translates images, one at a time: an output depends on nothing but the image and the model.

    Models that make images from noise are translators, too: of vectors.

    Attributes:
        input: how inputs are read; files may have more bits. Without channels for noise.
        output: of what it returns.
        noise: how many numbers of noise it takes; 0 if it takes images.
        inpaints: transparent pixels are the mask of what it fills in; the last input channel is alpha.
        enlarges: how many times larger than an image file its output is. Such a model takes enlarged images,
            as :meth:`enlarged` returns them.
        size: height and width of the only images it takes; ``None`` for any.
        stochastic: whether it has noise of its own, which a seed decides.

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

    def __repr__(self) -> str:
        """Returns what it takes and returns."""
        source, result = (
            {1: "gray", 3: "RGB"}.get(form.channels, f"{form.channels} channels")
            for form in (self.input, self.output)
        )
        return f"<{type(self).__name__}: {f'noise[{self.noise}]' if self.noise else source} to {result}>"

    def __call__(self, image: np.ndarray | tf.Tensor) -> np.ndarray:
        """Translates one image.

        Args:
            image: ``uint8`` or ``uint16``, [height, width, channels] or [height, width]. Models of gray or
                RGB images take both, and alpha behind them, which is laid over white unless it is the mask of
                what the model fills in; other models take their own channels only. For models that take
                noise, float32 [noise], standard normal.

        Returns:
            uint8, or uint16 if ``output.bits`` is 16, [height, width, output channels], of the image's height
            and width.

        Raises:
            DataError: the array is no image, or the model takes none of its size.
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
        """Translates an image file of any kind that can be read.

        Returns:
            What a call returns, of the height and width that a viewer shows, times ``enlarges``.

        Raises:
            DataError: the file is missing or no image that can be read.
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
        """Reads an image file as the model takes it: [height, width, input channels], full depth.

        Missing pixels get the level ``missing``, by default the middle one.
        """
        from pix2pix_tf.data.reading import MAX_PIXELS, read_input

        form = dataclasses.replace(self.input, missing=missing)
        return read_input(path, form, self.inpaints, most_pixels or MAX_PIXELS, clipped)

    def _take_shapes(self, takes_noise: bool, source: Sequence[Any], result: Sequence[Any]) -> bool:
        """Sets noise and channels by the shapes of batches; returns False if no export has such shapes."""
        noise = source[1] if takes_noise and len(source) == 2 and isinstance(source[1], int) else 0
        if not (noise or (not takes_noise and _is_image_batch(source))) or not _is_image_batch(result):
            return False
        self.noise = noise
        self.input, self.output = PixelFormat(0 if noise else source[3]), PixelFormat(result[3])
        return True

    def pixel_facts(self) -> dict[str, Any]:
        """Returns, as JSON, the meaning of pixels, which can't be seen in a network."""
        return {
            "input_format": self.input.to_json(),
            "output_format": self.output.to_json(),
            "inpaints": self.inpaints,
            "enlarges": self.enlarges,
        }

    def _read_pixel_facts(self, path: Path, read: Callable[[], Mapping[str, Any]]) -> None:
        """Sets what ``read`` returns of `pixel_facts`; raises `ConfigError` if the file's are damaged.

        The numbers of channels stay as they are: those of the network.
        """
        try:
            facts = read()
            self.input, self.output = (
                PixelFormat.from_json({**facts.get(name, {}), "channels": form.channels})
                for name, form in (("input_format", self.input), ("output_format", self.output))
            )
            self.inpaints = bool(facts.get("inpaints", False))
            if self.inpaints and self.input.channels not in (2, 4):
                raise ValueError("there is no alpha to be the mask")
            self.enlarges = int(facts.get("enlarges", 1))
            if not 1 <= self.enlarges <= _MOST_ENLARGED:
                raise ValueError("nothing is enlarged that much")
        except Exception as error:  # whatever is damaged
            raise ConfigError(
                f"{path}: what it says of its images is damaged ({brief(str(error))}); export it again"
            ) from error

    def enlarged(self, image: np.ndarray) -> np.ndarray:
        """Returns an image of a file as the model takes it: ``enlarges`` times larger, as it was trained."""
        from pix2pix_tf.data.tasks.upscale import enlarged_levels

        return image if self.enlarges == 1 else enlarged_levels(image, self.enlarges)

    def for_tiles(self, sample: Iterable[np.ndarray]) -> Translate:
        """Returns a function that translates the tiles of one image, until this is called for another.

        Args:
            sample: some of the image's tiles, ``uint8`` or ``uint16`` [height, width, input channels]. Used
                only if the model normalizes by statistics of the whole image and they can be set; other
                models treat each tile as an image of its own.
        """
        return self

    def signatures(self) -> dict[str, Translate]:
        """Returns every way to call the model, by name; the first is ``self(image)``."""
        return {"serving_default": self}


def _is_image_batch(shape: Sequence[Any]) -> bool:
    return len(shape) == 4 and shape[3] in range(1, MOST_BANDS + 1)


def converted(image: tf.Tensor, channels: int, inpaints: bool = False) -> tf.Tensor:
    """Returns an image uint8 or uint16 [height, width, channels] with the channels that a model takes.

    If ``inpaints``, the last of them is alpha. Raises `DataError` for conversions other than between
    gray, RGB and alpha.
    """
    from pix2pix_tf.data.pixels import convert_channels

    if image.shape[-1] == channels:
        return image
    if image.shape[-1] > 4 or not (inpaints or channels in (1, 3)):
        raise DataError(f"an image of {counted(image.shape[-1], 'channel')}; the model takes {channels}")
    return convert_channels(image, channels, with_alpha=inpaints)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Puts the file's name before errors about the image in it."""
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
    """Returns the error for an image [height, width, channels], or noise, that exceeds the memory."""
    if given.shape.rank == 1:
        return SystemFault("not enough memory for an image")
    height, width = given.shape[:2]
    return SystemFault(f"not enough memory for an image of {width}x{height} pixels; make it smaller")


def cant_load(what: str, error: Exception) -> ConfigError:
    """Returns the error for a damaged exported model, with the first line of a library's own error."""
    return ConfigError(f"{what} ({brief(first_line(error))}); export it again")


def refusal(message: str) -> str:
    """Returns the reason in TensorFlow's message of a failed assertion, without what surrounds it."""
    asserted = re.search(r"assertion failed: \[(.*?)\](?=\s|$)", message, re.DOTALL)
    return brief(asserted[1] if asserted else message.partition("[[{{node")[0])


def brief(message: str) -> str:
    """Returns a message as one line that is not too long."""
    line = " ".join(message.split())
    return line if len(line) <= 300 else f"{line[:300]}..."
