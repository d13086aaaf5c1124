"""Translates a video, or a folder of frames, to a video: frame by frame, with constant memory."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import av
import numpy as np
import tensorflow as tf
from av.sidedata.sidedata import Type as SideData
from av.stream import Disposition
from av.video.reformatter import Colorspace, Interpolation
from tqdm import tqdm

from pix2pix_tf.data.layout import KINDS, natural_key, walk
from pix2pix_tf.data.pixels import as_shown
from pix2pix_tf.data.reading import MAX_PIXELS
from pix2pix_tf.data.reading.stored import upright
from pix2pix_tf.errors import ConfigError, DataError, Interrupted, Pix2pixError, SystemFault
from pix2pix_tf.files import written_whole
from pix2pix_tf.formats.translator import Translator, converted, naming
from pix2pix_tf.inference.options import PredictOptions
from pix2pix_tf.signals import caught_signals
from pix2pix_tf.wording import counted, flag, quoted

_BT709, _BT601, _UNSPECIFIED, _LIMITED = 1, 5, 2, 1  # color spaces and range of FFmpeg
_ACCURATE = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)
_DEFAULT_RATE = 25.0
_LOST = 1  # seconds by which a file must be shorter than declared to count as truncated
# EXIF orientation by the signs of a display matrix, which maps stored to displayed coordinates.
_ORIENTATIONS = {
    (1, 0, 0, 1): 1, (-1, 0, 0, 1): 2, (-1, 0, 0, -1): 3, (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5, (0, 1, -1, 0): 6, (0, -1, -1, 0): 7, (0, -1, 1, 0): 8,
}  # fmt: skip


class Frame(NamedTuple):
    """A frame: an image file or a decoded frame, with its time and duration in units of the time base."""

    source: Path | av.VideoFrame
    time: int
    duration: int


@dataclasses.dataclass(frozen=True)
class Clip:
    """An opened video, or a folder of frames."""

    rate: Fraction  # frames per second, on average
    time_base: Fraction  # seconds
    count: int | None  # expected number of frames
    parts: Iterator[Frame | av.Packet | DataError]
    """Frames, packets of audio, and an error for each damaged part."""
    audio: Sequence[av.AudioStream] = ()
    aspect: Fraction | None = None  # width of a pixel divided by its height


def check_options(options: PredictOptions) -> None:
    """Raises an error for options that can't make a video."""
    out, name = options.out, f"--out {quoted(options.out)}"
    if len(options.inputs) != 1:
        raise ConfigError(f"{name} is a video; give one input, a video or a folder of frames")
    [source] = options.inputs
    if not source.exists():
        raise DataError(f"{source}: the video or folder doesn't exist")
    if out.is_dir() or (out.exists() and out.samefile(source)):
        raise ConfigError(f"{name} is {'a folder' if out.is_dir() else 'the input'}; give another file")
    for option in ("masks", "count", "side_by_side"):
        if getattr(options, option) not in (None, False):
            raise ConfigError(f"{flag(option)} has no effect with {name}, a video")
    if options.frame_rate is not None and not source.is_dir():
        raise ConfigError(f"--frame-rate is for a folder of frames; {source} has its own")


# ---------------------------------------------------------------- reading


@contextlib.contextmanager
def open_clip(source: Path, frame_rate: float | None) -> Iterator[Clip]:
    """Opens a video or a folder of images, in natural order."""
    if source.is_dir():
        files = sorted(walk(source), key=lambda path: natural_key(path.relative_to(source).as_posix()))
        if not files:
            raise DataError(f"{source} and its subfolders have no images ({KINDS})")
        rate = Fraction(frame_rate or _DEFAULT_RATE).limit_denominator(1001)
        yield Clip(rate, 1 / rate, len(files), (Frame(path, at, 1) for at, path in enumerate(files)))
        return
    with source.open("rb") as file:  # raises the system's errors
        if not file.read(1):
            raise DataError(f"{source}: empty file (0 bytes); replace it")
    try:
        container = av.open(f"file:{source}", metadata_errors="ignore")
    except (av.FFmpegError, ValueError) as error:
        raise DataError(f"{source}: not a video, damaged or truncated; replace it") from error
    with container:
        videos = [each for each in container.streams.video if not each.disposition & Disposition.attached_pic]
        if not videos or videos[0].codec_context is None:
            raise DataError(f"{source}: {'no decoder for its' if videos else 'has no'} video stream")
        stream = videos[0]
        if stream.width * stream.height > MAX_PIXELS:
            raise DataError(f"{source}: frames of {stream.width}x{stream.height} pixels are too large")
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS), "err_detect": "explode"}
        stream.thread_type = "AUTO"
        audio = [each for each in container.streams.audio if each.codec_context is not None]
        rate = stream.average_rate or stream.guessed_rate or Fraction(_DEFAULT_RATE)
        count = stream.frames or int((container.duration or 0) * rate / av.time_base) or None
        base = stream.time_base or 1 / rate
        parts = _decoded(source, container, stream, audio, 1 / rate / base)
        yield Clip(rate, base, count, parts, audio, stream.sample_aspect_ratio)


def _decoded(
    source: Path,
    container: av.container.InputContainer,
    stream: av.VideoStream,
    audio: Sequence[av.AudioStream],
    spacing: Fraction,
) -> Iterator[Frame | av.Packet | DataError]:
    """Decodes the frames; times begin at 0. ``spacing`` is the time between frames that have none."""
    start = Fraction(container.start_time or 0, av.time_base)
    number, last, end, size = 0, -1, Fraction(0), None
    packets = container.demux(stream, *audio)
    while True:
        frames, is_damaged = [], False
        try:
            packet = next(packets, None)  # the last is empty, and gives the decoder's last frames
        except av.FFmpegError:
            packet, is_damaged = None, True
        try:
            if is_damaged or (packet and packet.stream is stream):
                frames = stream.decode(packet)
        except av.FFmpegError:
            is_damaged = True
        for frame in frames:
            number += 1
            size = size or (frame.width, frame.height)
            if (frame.width, frame.height) != size:
                yield DataError(f"{source}: frame {number} has another size than the first")
            elif frame.is_corrupt:
                yield DataError(f"{source}: frame {number} is damaged")
            else:
                time = last + max(round(spacing), 1)
                if frame.pts is not None:
                    time = max(frame.pts - round(start / stream.time_base), last + 1)
                yield Frame(frame, time, frame.duration or 0)
                last = time
        if is_damaged:
            yield DataError(f"{source}: damaged after frame {number}")
        if packet is None:
            break
        if packet.dts is None:
            continue
        end = max(end, (packet.dts + (packet.duration or 0)) * packet.time_base - start)
        if packet.stream is not stream:
            shift = round(start / packet.time_base)
            packet.dts -= shift
            packet.pts = packet.dts if packet.pts is None else packet.pts - shift
            yield packet
    if container.duration and container.format.name.startswith(
        ("matroska", "mov")
    ):  # declared, not estimated
        declared = Fraction(container.duration, av.time_base)
        if end < declared - _LOST:
            yield DataError(
                f"{source}: truncated, ends after {float(end):.1f} of {float(declared):.1f} seconds"
            )


def _image(frame: Frame, translator: Translator) -> np.ndarray:
    """Returns a frame upright, with the model's channels, as if read from an image file."""
    if isinstance(frame.source, Path):
        return translator.load_input(frame.source)
    decoded = frame.source
    if decoded.colorspace == _UNSPECIFIED:  # as players assume
        is_hd = decoded.width >= 1280 or decoded.height > 576
        decoded.colorspace = _BT709 if is_hd else _BT601
    parts = decoded.format.components
    has_alpha, is_deep = any(part.is_alpha for part in parts), any(part.bits > 8 for part in parts)
    form = ("rgba64le" if has_alpha else "rgb48le") if is_deep else ("rgba" if has_alpha else "rgb24")
    pixels = decoded.to_ndarray(format=form, interpolation=_ACCURATE)
    matrix = decoded.side_data.get(SideData.DISPLAYMATRIX)
    if matrix is not None:
        signs = np.rint(np.frombuffer(bytes(matrix), np.int32)[[0, 1, 3, 4]] / 2**16).tolist()
        pixels = np.ascontiguousarray(upright(pixels, _ORIENTATIONS.get(tuple(signs), 1)))
    return converted(tf.constant(pixels), translator.input.channels).numpy()


# ---------------------------------------------------------------- writing


class _Writer:
    """Encodes images, and copies packets of audio."""

    def __init__(self, path: Path, clip: Clip):
        self.count = 0
        self.without: list[str] = []  # codecs of the audio that the container can't hold
        self._clip = clip
        self._is_vp9 = path.suffix.lower() == ".webm"
        has_index = path.suffix.lower() in (".mp4", ".mov")
        self._container = av.open(
            f"file:{path}", "w", container_options={"movflags": "faststart"} if has_index else {}
        )
        self._video: av.VideoStream | None = None
        self._audio: dict[av.stream.Stream, av.AudioStream] = {}
        self._waiting: list[av.Packet] = []

    def __enter__(self) -> _Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._container:
            if error is None and self._video is not None:
                self._container.mux(self._video.encode())

    def add(self, image: np.ndarray, frame: Frame) -> None:
        """Encodes uint8 [height, width, 3]."""
        if self._video is None:
            self._video = self._start(image.shape)
        encoded = av.VideoFrame.from_ndarray(image, "rgb24").reformat(
            format=self._video.pix_fmt,
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=_LIMITED,
            interpolation=_ACCURATE,
        )
        encoded.pts, encoded.duration, encoded.time_base = frame.time, frame.duration, self._clip.time_base
        self._container.mux(self._video.encode(encoded))
        self.count += 1

    def add_audio(self, packet: av.Packet) -> None:
        if self._video is None:
            self._waiting.append(packet)  # streams can't be added after the first packet
        elif packet.stream in self._audio:
            packet.stream = self._audio[packet.stream]
            self._container.mux(packet)

    def _start(self, shape: tuple[int, ...]) -> av.VideoStream:
        if self._is_vp9:
            options = {"crf": "24", "b": "0", "cpu-used": "4", "row-mt": "1"}
            video = self._container.add_stream("libvpx-vp9", self._clip.rate, options)
        else:
            video = self._container.add_stream("libx264", self._clip.rate, {"crf": "18"})
        context = video.codec_context
        video.height, video.width = shape[:2]
        is_odd = video.height % 2 or video.width % 2  # H.264 halves the resolution of colors only if even
        video.pix_fmt = "yuv444p" if is_odd and not self._is_vp9 else "yuv420p"
        context.time_base = self._clip.time_base
        context.flags |= av.codec.context.Flags.frame_duration
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED
        if self._clip.aspect:
            context.sample_aspect_ratio = self._clip.aspect
        for stream in self._clip.audio:
            try:
                self._audio[stream] = self._container.add_stream_from_template(stream)
            except ValueError:
                self.without.append(stream.codec_context.name)
        self._video = video
        for packet in self._waiting:
            self.add_audio(packet)
        self._waiting.clear()
        return video


def translate_clip(
    clip: Clip,
    translator: Translator,
    translate: Callable[[np.ndarray], np.ndarray],
    options: PredictOptions,
) -> str:
    """Writes the translated frames to ``--out``; returns a one-line summary.

    If a signal or a damaged frame stops it, the frames before are saved.
    """
    [source], out = options.inputs, options.out
    skipped, error = 0, None
    bar = tqdm(
        total=clip.count, unit="frame", desc="translating", dynamic_ncols=True, leave=False, disable=None
    )
    with bar, caught_signals() as signals, written_whole(out) as unfinished:
        try:
            with _Writer(unfinished, clip) as writer:
                for part in clip.parts:
                    if signals:
                        break
                    if isinstance(part, av.Packet):
                        writer.add_audio(part)
                        continue
                    try:
                        if isinstance(part, DataError):
                            raise part
                        image = _image(part, translator)
                    except DataError as found:
                        if options.skip_bad_images:
                            skipped += 1
                            continue
                        error = DataError(f"{found}; --skip-bad-images leaves out what is damaged")
                        break
                    with naming(source):
                        image = translator.enlarged(image)
                        output = as_shown(translate(image))
                    if options.side_by_side_output:
                        output = np.concatenate([as_shown(image), output], axis=1)
                    writer.add(output, part)
                    bar.update()
        except av.FFmpegError as failed:
            if isinstance(failed, OSError):
                raise
            raise SystemFault(f"{out}: the encoder failed ({failed}); give another suffix") from failed
        frames = counted(writer.count, "frame")
        stopped: Pix2pixError | None = error
        if signals:
            name = signal.Signals(signals[0]).name
            saved = f"; {out} has them" if writer.count else ""
            stopped = Interrupted(f"stopped by {name} after {frames}{saved}", signals[0])
        elif error and writer.count:
            stopped = DataError(f"{error}; {out} has the {frames} before")
        elif not writer.count:
            stopped = error or DataError(f"{source}: no frame could be read; replace it")
        if stopped and not writer.count:
            raise stopped
    if stopped:
        raise stopped
    summary = f"{out}: {frames} translated"
    summary += f", {counted(skipped, 'damaged part')} left out" if skipped else ""
    if writer.without:
        summary += f"; without its audio ({', '.join(writer.without)}), which {out.suffix} can't hold"
    return summary
