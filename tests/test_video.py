"""pix2pix predict with videos: what of the input is kept, and what is left after an interruption."""

import os
import signal
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from pix2pix_tf import formats
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.errors import ConfigError, DataError, Interrupted
from pix2pix_tf.formats.translator import Translator
from pix2pix_tf.inference.options import PredictOptions
from pix2pix_tf.inference.predict import predict
from pix2pix_tf.wording import flag

av = pytest.importorskip("av")

FRAMES = 6


class Identity(Translator):
    """Returns RGB images as they are, and keeps them."""

    input = output = PixelFormat(3)

    def __init__(self):
        self.given = []

    def _translate(self, given):
        self.given.append(given.numpy())
        return given.numpy()


@pytest.fixture
def identity(monkeypatch):
    translator = Identity()
    monkeypatch.setattr(formats, "load", lambda *_, **__: translator)
    monkeypatch.setattr("pix2pix_tf.inference.predict.find_model", lambda model: model)
    return translator


def frame_of(number, width, height):
    """A smooth image: red, green and blue areas, and a gray bar that moves."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2], image[: height // 2, width // 2 :] = (200, 40, 30), (20, 160, 60)
    image[height // 2 :] = (30, 60, 190)
    image[:, 4 * number : 4 * number + 8] = 128
    return image


def write_video(path, width=64, height=48, codec="libx264", form="yuv420p", times=range(FRAMES), **options):
    """Writes a clip of 25 frames per second; returns its frames."""
    images = [frame_of(number, width, height) for number in range(len(times))]
    with av.open(str(path), "w", container_options=options.get("muxer", {})) as container:
        video = container.add_stream(codec, 25, options.get("encoder", {}))
        video.width, video.height, video.pix_fmt = width, height, form
        video.codec_context.time_base = Fraction(1, 25)
        if "rotation" in options:
            video.set_display_rotation(options["rotation"])
        if "tags" in options:
            video.codec_context.colorspace, video.codec_context.color_range = options["tags"]
        sound = container.add_stream(options["audio"], 8000, layout="mono") if "audio" in options else None
        for image, time in zip(images, times, strict=True):
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            if "tags" in options:
                frame = frame.reformat(
                    format=form, dst_colorspace=options["tags"][0], dst_color_range=options["tags"][1]
                )
            frame.pts = time
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if sound:
            tone = np.int16(9000 * np.sin(np.arange(1920) / 4))[np.newaxis]
            tone = av.AudioFrame.from_ndarray(tone, "s16", "mono")
            tone.rate, tone.pts = 8000, 0
            container.mux([*sound.encode(tone), *sound.encode()])
    return images


def read_video(path):
    """Returns the frames [number, height, width, 3], their times in seconds, and the audio's packets."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    with av.open(str(path)) as container:
        audio = [bytes(packet) for packet in container.demux(audio=0)] if container.streams.audio else []
    images = np.stack([frame.to_ndarray(format="rgb24") for frame in frames])
    return images, [round(frame.time, 3) for frame in frames], [packet for packet in audio if packet]


def assert_similar(images, expected):
    assert images.shape == np.shape(expected)
    assert np.abs(images.astype(int) - expected).mean() < 6  # compression, halved resolution of colors


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_frames_times_and_odd_sizes_are_kept(identity, tmp_path, suffix):
    times = [0, 1, 4, 5, 9, 10]  # a variable rate
    images = write_video(tmp_path / "in put.mkv", 63, 47, form="yuv444p", times=times)
    out = tmp_path / "비디오" / f"out{suffix}"
    assert "6 frames" in predict(PredictOptions("model", [tmp_path / "in put.mkv"], out))
    found, seconds, _ = read_video(out)
    assert seconds == [each / 25 for each in times]
    assert_similar(found, images)
    assert [path.name for path in out.parent.iterdir()] == [out.name]


@pytest.mark.parametrize("codec", ["ffv1", "libx264rgb"])
def test_a_frame_is_translated_as_its_image(identity, tmp_path, codec):
    form = {"ffv1": "bgr0", "libx264rgb": "rgb24"}[codec]
    images = write_video(tmp_path / "in.mkv", codec=codec, form=form, encoder={"qp": "0"})
    predict(PredictOptions("model", [tmp_path / "in.mkv"], tmp_path / "out.mp4"))
    np.testing.assert_array_equal(identity.given, images)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_the_output_stands_upright(identity, tmp_path, rotation):
    images = write_video(tmp_path / "in.mp4", rotation=rotation)
    predict(PredictOptions("model", [tmp_path / "in.mp4"], tmp_path / "out.mp4"))
    assert_similar(read_video(tmp_path / "out.mp4")[0], np.rot90(images, rotation // 90, (1, 2)))


def test_audio_is_copied_where_the_container_can_hold_it(identity, tmp_path):
    for codec, refused in {"aac": ".webm", "libopus": ".mov"}.items():
        path = tmp_path / "in.mkv"
        write_video(path, audio=codec)
        for suffix in (".mkv", ".mp4", ".mov", ".webm"):
            out = tmp_path / f"out{suffix}"
            report = predict(PredictOptions("model", [path], out))
            assert read_video(out)[2] == ([] if suffix == refused else read_video(path)[2])
            assert (codec.removeprefix("lib") in report) == (suffix == refused)


def test_a_frame_of_another_size_is_named_or_left_out(identity, tmp_path, save_image):
    save_image(tmp_path / "frames" / "1.png")
    save_image(tmp_path / "frames" / "2.png", width=20)
    inputs, out = [tmp_path / "frames"], tmp_path / "out.mp4"
    with pytest.raises(DataError, match=r"2\.png"):
        predict(PredictOptions("model", inputs, out))
    predict(PredictOptions("model", inputs, out, skip_bad_images=True))
    assert read_video(out)[0].shape == (1, 30, 40, 3)


@pytest.mark.parametrize("tags", [(1, 1), (5, 1), (5, 2)])
def test_colors_are_kept_whatever_the_color_space_and_range(identity, tmp_path, tags):
    images = write_video(tmp_path / "in.mp4", form="yuv444p", tags=tags, encoder={"crf": "1"})
    predict(PredictOptions("model", [tmp_path / "in.mp4"], tmp_path / "out.mp4"))
    assert np.abs(np.subtract(identity.given, images, dtype=int)).max() <= 6
    assert_similar(read_video(tmp_path / "out.mp4")[0], images)


def test_a_folder_of_frames_becomes_a_video_beside_its_input(identity, tmp_path):
    images = [frame_of(number, 32, 24) for number in range(3)]
    for name, image in zip((2, 10, 1), images, strict=True):
        (tmp_path / "frames").mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / "frames" / f"{name}.png")
    out = tmp_path / "out.mp4"
    predict(PredictOptions("model", [tmp_path / "frames"], out, frame_rate=10, side_by_side_output=True))
    found, seconds, _ = read_video(out)
    assert seconds == [0, 0.1, 0.2]
    assert_similar(found, [np.concatenate([images[at]] * 2, axis=1) for at in (2, 0, 1)])


@pytest.mark.parametrize(("suffix", "width"), [(".mp4", 20_000), (".webm", 70_000)])
def test_frames_too_large_for_the_codec_cost_one_line(identity, tmp_path, suffix, width):
    (tmp_path / "frames").mkdir()
    Image.new("RGB", (width, 2)).save(tmp_path / "frames" / "1.png")
    with pytest.raises(DataError, match=f"{width}x2"):
        predict(PredictOptions("model", [tmp_path / "frames"], tmp_path / f"out{suffix}"))
    assert [path.name for path in tmp_path.iterdir()] == ["frames"]


def test_transparent_outputs_are_shown_over_white(identity, tmp_path, monkeypatch):
    identity.output = PixelFormat(4, has_alpha=True)
    half = lambda given: np.concatenate([given.numpy(), given.numpy()[..., :1] * 0 + 128], axis=-1)  # noqa: E731
    monkeypatch.setattr(identity, "_translate", half)
    images = write_video(tmp_path / "in.mp4")
    predict(PredictOptions("model", [tmp_path / "in.mp4"], tmp_path / "out.mp4"))
    assert_similar(read_video(tmp_path / "out.mp4")[0], 127 + np.array(images) // 2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_video_has_the_frames_before(identity, tmp_path, number, monkeypatch):
    images = write_video(tmp_path / "in.mp4", audio="aac")
    translated = identity._translate

    def interrupted(given):
        if len(identity.given) == 3:
            os.kill(os.getpid(), number)
        return translated(given)

    monkeypatch.setattr(identity, "_translate", interrupted)
    with pytest.raises(Interrupted) as caught:
        predict(PredictOptions("model", [tmp_path / "in.mp4"], tmp_path / "out.mp4"))
    assert caught.value.exit_code == 128 + number
    assert_similar(read_video(tmp_path / "out.mp4")[0], images[:4])


def cut(content):
    return content[: len(content) * 6 // 10]


def overwritten(content):
    middle = len(content) // 2
    return content[:middle] + bytes(300) + content[middle + 300 :]


@pytest.mark.parametrize(
    ("suffix", "codec", "form", "damage"),
    [
        (".mkv", "libx264", "yuv420p", cut),
        (".mp4", "libx264", "yuv420p", cut),
        (".mkv", "ffv1", "bgr0", overwritten),
    ],
)
def test_what_can_be_read_of_a_damaged_video_is_saved_and_the_damage_reported(
    identity, tmp_path, suffix, codec, form, damage
):
    path, out = tmp_path / f"in{suffix}", tmp_path / "out.mp4"
    encoder = {"crf": "1"} if codec == "libx264" else {"level": "3", "slicecrc": "1"}
    muxer = {"movflags": "faststart"} if suffix == ".mp4" else {}
    times = range(0, 20 * FRAMES, 20)  # 4 seconds
    write_video(path, codec=codec, form=form, times=times, encoder={**encoder, "g": "1"}, muxer=muxer)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError) as caught:
        predict(PredictOptions("model", [path], out))
    assert str(path) in str(caught.value)
    assert str(out) in str(caught.value)
    assert 0 < len(read_video(out)[0]) < FRAMES
    assert "left out" in predict(PredictOptions("model", [path], out, skip_bad_images=True))


@pytest.mark.parametrize("content", [b"", b"no video at all", "audio"])
def test_a_file_without_frames_is_named(identity, tmp_path, content):
    path = tmp_path / "in.mp4"
    if content == "audio":
        with av.open(str(path), "w") as container:
            sound = container.add_stream("aac", 8000)
            tone = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            tone.rate = 8000
            container.mux([*sound.encode(tone), *sound.encode()])
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=str(path)):
        predict(PredictOptions("model", [path], tmp_path / "out.mp4"))
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_list_of_other_files_is_no_video(identity, tmp_path):
    write_video(tmp_path / "other.mp4")
    path = tmp_path / "in.mp4"
    path.write_text("ffconcat version 1.0\nfile other.mp4\n", encoding="utf-8")
    with pytest.raises(DataError, match=str(path)):
        predict(PredictOptions("model", [path], tmp_path / "out.mp4"))


def test_what_cannot_be_a_video_is_refused(identity, tmp_path):
    path, out = tmp_path / "in.mp4", tmp_path / "out.mp4"
    write_video(path)
    ranges = {"input_range": (0.0, 5.0)}, {"output_range": (0.0, 5.0)}
    for options in ({"count": 2}, {"masks": path}, {"side_by_side": True}, {"frame_rate": 5.0}, *ranges):
        with pytest.raises(ConfigError, match=flag(*options)):
            predict(PredictOptions("model", [path], out, **options))
    for inputs, name in (([], out), ([path, path], out), ([path], path)):
        with pytest.raises(ConfigError, match="--out"):
            predict(PredictOptions("model", inputs, name))
    with pytest.raises(DataError, match="--out"):
        predict(PredictOptions("model", [path], tmp_path / "folder"))
    with pytest.raises(ConfigError, match="--side-by-side-output"):
        predict(PredictOptions("model", [tmp_path], tmp_path / "folder", side_by_side_output=True))
    assert sorted(tmp_path.iterdir()) == [path]
