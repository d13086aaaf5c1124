"""Translates a video, or a folder of frames, to a video: frame by frame, with constant memory."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import tensorflow as tf
from av.codec.context import Flags
from av.stream import Disposition
from av.video.reformatter import Colorspace, Interpolation
from tqdm import tqdm

from pix2pix_tf.data.layout import KINDS, natural_key, walk
from pix2pix_tf.data.pixels import as_shown, convert_channels
from pix2pix_tf.data.reading import MAX_PIXELS
from pix2pix_tf.errors import ConfigError, DataError, Interrupted, Pix2pixError
from pix2pix_tf.files import written_whole
from pix2pix_tf.formats.translator import Translator, converted, naming
from pix2pix_tf.inference.options import PredictOptions
from pix2pix_tf.signals import caught_signals
from pix2pix_tf.wording import counted, flag, quoted

_BT709, _BT601, _UNSPECIFIED, _LIMITED = 1, 5, 2, 1  # of FFmpeg; the last is a color range
_ACCURATE = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
_DEFAULT_RATE = 25.0
_MOST_MISSING = 1  # second; a file that is shorter than declared by more is truncated


class Frame(NamedTuple):
    """An image file or a decoded frame, with its time and duration in units of the clip's time base."""

    source: Path | av.VideoFrame
    time: int
    duration: int


@dataclasses.dataclass(frozen=True)
class Clip:
    """An opened video, or a folder of frames."""

    rate: Fraction  # frames per second, on average
    time_base: Fraction  # seconds
    count: int | None  # expected number of frames
    parts: Iterator[Frame | av.Packet | DataError]  # packets are audio, errors are damaged parts
    audio: Sequence[av.AudioStream] = ()
    aspect: Fraction | None = None  # width of a stored pixel divided by its height


def check_options(options: PredictOptions) -> None:
    """Raises an error for options that can't make a video."""
    out, inputs = f"--out {quoted(options.out)}", options.inputs
    if len(inputs) != 1:
        raise ConfigError(f"{out} is a video; give one input, a video or a folder of frames")
    if not inputs[0].exists():
        raise DataError(f"{inputs[0]}: the video or folder doesn't exist")
    if options.out.exists() and (options.out.is_dir() or options.out.samefile(inputs[0])):
        raise ConfigError(f"{out} is a folder or the input; give another file")
    of_folders = ["frame_rate", "input_range"] * inputs[0].is_file()
    for name in ["masks", "count", "side_by_side", "output_range", *of_folders]:
        if getattr(options, name) not in (None, False):
            raise ConfigError(f"{flag(name)} has no effect with {inputs[0]} and {out}, a video")


# ---------------------------------------------------------------- reading


@contextlib.contextmanager
def open_clip(source: Path, frame_rate: float | None) -> Iterator[Clip]:
    """Opens a video, or a folder of images, which are taken in natural order."""
    if source.is_dir():
        files = sorted(walk(source), key=lambda path: natural_key(path.relative_to(source).as_posix()))
        if not files:
            raise DataError(f"{source} and its subfolders have no images ({KINDS})")
        rate = Fraction(frame_rate or _DEFAULT_RATE).limit_denominator(1001)
        yield Clip(rate, 1 / rate, len(files), (Frame(path, at, 1) for at, path in enumerate(files)))
        return
    source.open("rb").close()  # raises the system's errors
    try:
        container = av.open(f"file:{source}", metadata_errors="ignore")
    except (av.FFmpegError, ValueError) as error:
        raise DataError(f"{source}: not a video, or damaged or truncated; replace it") from error
    with container:
        if container.format.name == "concat":
            raise DataError(f"{source}: a list of other files; give a video")
        videos = [each for each in container.streams.video if not each.disposition & Disposition.attached_pic]
        if not videos or videos[0].codec_context is None:
            raise DataError(f"{source}: no video stream with a known codec; convert it to H.264")
        stream = videos[0]
        if stream.width * stream.height > MAX_PIXELS:
            raise DataError(f"{source}: frames of more than {MAX_PIXELS} pixels; make them smaller")
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS), "err_detect": "crccheck"}
        stream.thread_type = "AUTO"
        audio = [each for each in container.streams.audio if each.codec_context is not None]
        rate = stream.average_rate or stream.guessed_rate or Fraction(_DEFAULT_RATE)
        count = stream.frames or int((container.duration or 0) * rate / av.time_base) or None
        parts = _decoded(source, container, stream, audio, rate)
        yield Clip(rate, stream.time_base, count, parts, audio, stream.sample_aspect_ratio)


def _decoded(
    source: Path,
    container: av.container.InputContainer,
    stream: av.VideoStream,
    audio: Sequence[av.AudioStream],
    rate: Fraction,
) -> Iterator[Frame | av.Packet | DataError]:
    """Decodes the frames; times begin at 0, also in containers that begin later."""
    start = Fraction(container.start_time or 0, av.time_base)
    number, last, end = 0, -1, Fraction(0)
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
            step = max(round(1 / rate / stream.time_base), 1)
            here = last + step if frame.pts is None else frame.pts - round(start / stream.time_base)
            last = max(here, last + 1)
            is_damaged |= frame.is_corrupt
            if not frame.is_corrupt:
                yield Frame(frame, last, frame.duration or 0)
        if is_damaged:
            yield DataError(f"{source}: damaged at or before frame {number + 1}")
        if packet is None:
            break
        if packet.dts is None:
            continue
        end = max(end, (packet.dts + (packet.duration or 0)) * packet.time_base - start)
        if packet.stream is not stream:
            shift = round(start / packet.time_base)
            packet.pts, packet.dts = (packet.pts or packet.dts) - shift, packet.dts - shift
            yield packet
    declared = Fraction(container.duration or 0, av.time_base)
    if end < declared - _MOST_MISSING and container.format.name.startswith(("matroska", "mov")):
        yield DataError(f"{source}: truncated, ends after {float(end):.1f} of {float(declared):.1f} seconds")


def _image(source: Path | av.VideoFrame, translator: Translator) -> np.ndarray:
    """Returns a frame upright, with the model's channels, as if read from an image file."""
    if isinstance(source, Path):
        return translator.load_input(source)
    if source.colorspace == _UNSPECIFIED:  # as players assume
        source.colorspace = _BT709 if source.width >= 1280 or source.height > 576 else _BT601
    parts = source.format.components
    formats = ("rgba", "rgba64le") if any(part.is_alpha for part in parts) else ("rgb24", "rgb48le")
    form = formats[any(part.bits > 8 for part in parts)]
    pixels = np.rot90(source.to_ndarray(format=form, interpolation=_ACCURATE), source.rotation // 90)
    return converted(tf.constant(np.ascontiguousarray(pixels)), translator.input.channels).numpy()


# ---------------------------------------------------------------- writing


class _Writer:
    """Encodes images, and copies packets of audio."""

    def __init__(self, container: av.container.OutputContainer, clip: Clip):
        self.count = 0
        self.without: list[str] = []  # codecs of the audio that the container can't hold
        self._container, self._clip = container, clip
        self._video: av.VideoStream | None = None
        self._audio: dict[av.AudioStream, av.AudioStream] = {}
        self._waiting: list[av.Packet] = []  # audio before the first frame, which starts the file

    def add(self, image: np.ndarray, frame: Frame) -> None:
        """Encodes uint8 [height, width, 3]."""
        if self._video is None:
            self._video = self._start(image, frame)
        encoded = av.VideoFrame.from_ndarray(image, "rgb24").reformat(
            format=self._video.pix_fmt,
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=_LIMITED,
            interpolation=_ACCURATE,
        )
        encoded.pts, encoded.duration, encoded.time_base = frame.time, frame.duration, self._clip.time_base
        self._container.mux(self._video.encode(encoded))
        self.count += 1
        while self._waiting:
            self.add_audio(self._waiting.pop(0))

    def add_audio(self, packet: av.Packet) -> None:
        if self._video is None:
            self._waiting.append(packet)
        elif packet.stream in self._audio:
            packet.stream = self._audio[packet.stream]
            self._container.mux(packet)

    def finish(self) -> None:
        if self._video is not None:
            self._container.mux(self._video.encode())

    def _start(self, image: np.ndarray, frame: Frame) -> av.VideoStream:
        """Adds the streams; returns the video stream."""
        codec, options, form = "libx264", {"crf": "18"}, "yuv420p"
        if "webm" in self._container.format.name:
            codec, options = "libvpx-vp9", {"crf": "24", "b": "0", "cpu-used": "4", "row-mt": "1"}
        elif image.shape[0] % 2 or image.shape[1] % 2:
            form = "yuv444p"  # H.264 can't halve the resolution of colors
        video = self._container.add_stream(codec, self._clip.rate, options)
        video.height, video.width, video.pix_fmt = *image.shape[:2], form
        context = video.codec_context
        context.time_base = self._clip.time_base
        context.flags |= Flags.frame_duration
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED
        if self._clip.aspect and isinstance(frame.source, av.VideoFrame):
            is_turned = frame.source.rotation % 180
            context.sample_aspect_ratio = 1 / self._clip.aspect if is_turned else self._clip.aspect
        try:
            context.open()
        except av.FFmpegError as error:
            size = f"{video.width}x{video.height}"
            raise DataError(f"{codec} can't encode frames of {size} pixels; make them smaller") from error
        for stream in self._clip.audio:
            if _can_hold(self._container.format.name, stream):
                self._audio[stream] = self._container.add_stream_from_template(stream)
            else:
                self.without.append(stream.codec_context.name)
        return video


def _can_hold(form: str, stream: av.AudioStream) -> bool:
    """Whether a container format takes a stream, which some refuse only when the header is written."""
    try:
        with av.open(io.BytesIO(), "w", format=form) as container:
            container.add_stream_from_template(stream)
            container.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    return True


def translate_clip(
    clip: Clip, translator: Translator, translate: Callable[[np.ndarray], np.ndarray], options: PredictOptions
) -> str:
    """Writes the translated frames to ``--out``; returns a one-line summary.

    If a signal, a damaged frame or a lost server stops it, the frames before are saved.
    """
    [source], out = options.inputs, options.out
    stopped: Pix2pixError | None = None
    skipped, begun = 0, time.perf_counter()
    muxer = {"movflags": "faststart"} if out.suffix.lower() in (".mp4", ".mov") else {}
    bar = tqdm(
        total=clip.count, unit="frame", desc="translating", dynamic_ncols=True, leave=False, disable=None
    )
    with bar, caught_signals() as signals, written_whole(out) as unfinished:
        with av.open(f"file:{unfinished}", "w", container_options=muxer) as container:
            writer = _Writer(container, clip)
            try:
                for part in _outputs(clip, translator, translate, options):
                    if isinstance(part, av.Packet):
                        writer.add_audio(part)
                    elif not isinstance(part, DataError):
                        writer.add(*part)
                        bar.update()
                    elif options.skip_bad_images:
                        skipped += 1
                    else:
                        raise DataError(f"{part}; --skip-bad-images leaves out what is damaged")
                    if signals:
                        raise Interrupted(f"stopped by {signal.Signals(signals[0]).name}", signals[0])
            except Pix2pixError as error:
                stopped = error
            writer.finish()
        if not writer.count:
            raise stopped or DataError(f"{source}: no frame can be read; replace it")
    if stopped:
        stopped.args = (f"{stopped}; {out} has the {counted(writer.count, 'frame')} before",)
        raise stopped
    rate = writer.count / (time.perf_counter() - begun)
    summary = f"{out}: {counted(writer.count, 'frame')} translated, {rate:.1f} per second"
    summary += f", {counted(skipped, 'damaged part')} left out" if skipped else ""
    if writer.without:
        summary += f"; without its audio ({', '.join(writer.without)}), which {out.suffix} can't hold"
    return summary


def _outputs(
    clip: Clip, translator: Translator, translate: Callable[[np.ndarray], np.ndarray], options: PredictOptions
) -> Iterator[tuple[np.ndarray, Frame] | av.Packet | DataError]:
    """Translates the frames to RGB; yields the other parts, and an error for each unreadable frame."""
    [source] = options.inputs
    size: tuple[int, ...] | None = None
    for part in clip.parts:
        if not isinstance(part, Frame):
            yield part
            continue
        try:
            image = _image(part.source, translator)
        except DataError as error:
            yield error
            continue
        size = size or image.shape
        if image.shape != size:
            name = part.source if isinstance(part.source, Path) else source
            yield DataError(f"{name}: a frame of another size than the first")
            continue
        with naming(source):
            image = translator.enlarged(image)
            output = translate(image)
        if translator.output.has_alpha:
            output = convert_channels(tf.constant(output), output.shape[2] - 1).numpy()  # over white
        shown = [as_shown(image), as_shown(output)] if options.side_by_side_output else [as_shown(output)]
        yield np.concatenate(shown, axis=1), part
