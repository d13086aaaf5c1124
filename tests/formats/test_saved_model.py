"""The SavedModel: the outputs of the translator, in TensorFlow alone."""

import io
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2

from pix2pix_tf.errors import UserError
from pix2pix_tf.formats.saved_model import SavedModel
from pix2pix_tf.formats.saved_model.graph import write_saved_model
from tests.data.image_files import encode, png_chunk
from tests.data.image_files import png as png_of_rows
from tests.formats.models import noise, untrained

pytestmark = pytest.mark.slow

LIMITS = SavedModel(max_pixels_per_image=200_000, max_pixels_per_request=500_000)


@pytest.fixture(scope="module")
def translate():
    return untrained()


@pytest.fixture(scope="module")
def directory(translate, tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "1"
    write_saved_model(translate, path, LIMITS)
    return path


@pytest.fixture(scope="module")
def model(directory):
    return tf.saved_model.load(str(directory)).signatures


def png(pixels):
    return tf.io.encode_png(pixels).numpy()


def unpacked(reply):
    return [np.asarray(Image.open(io.BytesIO(data))) for data in reply["image_bytes"].numpy()]


def translate_files(model, *files):
    return unpacked(model["bytes"](image_bytes=tf.constant(files)))


# ---------------------------------------------------------------- the same output


@pytest.mark.parametrize("size", [(1, 1), (64, 64), (37, 65), (200, 300), (130, 511)])
def test_every_signature_gives_the_translators_output(model, translate, size):
    image = noise(*size)
    expected = translate(image)
    assert expected.std() > 1 or size == (1, 1)
    np.testing.assert_array_equal(model["serving_default"](images=image[np.newaxis])["images"][0], expected)
    np.testing.assert_array_equal(translate_files(model, png(image))[0], expected)
    floats = tf.constant(image / 127.5 - 1, tf.float32)
    output = model["float"](images=floats[tf.newaxis])["images"][0]
    np.testing.assert_array_equal(output, translate.translate_floats(floats))


def test_an_output_does_not_depend_on_its_batch(model):
    images = np.stack([noise(70, 64, seed=seed) for seed in range(4)])
    batch = model["serving_default"](images=images)["images"].numpy()
    assert batch.shape == images.shape
    assert not np.array_equal(batch[0], batch[1])
    for image, output in zip(images, batch, strict=True):
        alone = model["serving_default"](images=image[np.newaxis])["images"][0]
        np.testing.assert_array_equal(alone, output)
    floats = (images / 127.5 - 1).astype(np.float32)
    one = model["float"](images=floats[2:3])["images"][0]
    np.testing.assert_array_equal(one, model["float"](images=floats)["images"][2])


def test_a_request_without_images_is_answered_without_images(model):
    assert model["serving_default"](images=np.zeros((0, 5, 4, 3), np.uint8))["images"].shape == (0, 5, 4, 3)
    assert model["float"](images=np.zeros((0, 5, 4, 3), np.float32))["images"].shape == (0, 5, 4, 3)
    assert model["bytes"](image_bytes=tf.constant([], tf.string))["image_bytes"].shape == (0,)


def test_a_stochastic_generator_of_one_channel_takes_luma_and_gives_the_translators_gray(tmp_path):
    translate = untrained(input_channels=1, output_channels=1, stochastic=True, seed=5, base_filters=4)
    write_saved_model(translate, tmp_path / "1", SavedModel())
    model, color, gray = tf.saved_model.load(str(tmp_path / "1")).signatures, noise(64, 70), noise(64, 70, 1)
    expected = translate(color)
    assert expected.std() > 1
    reply = model["bytes"](image_bytes=tf.constant([png(color)]))
    assert Image.open(io.BytesIO(reply["image_bytes"][0].numpy())).mode == "L"
    np.testing.assert_array_equal(unpacked(reply)[0], expected[..., 0])
    for _ in range(2):  # the noise is the seed's, not the request's
        outputs = model["serving_default"](images=np.stack([gray, gray]))["images"]
        np.testing.assert_array_equal(outputs, np.stack([translate(gray)] * 2))


# ---------------------------------------------------------------- what is refused, and the next request


def cut(file_format, **options):
    return encode(Image.fromarray(noise(30, 40)), file_format, **options)[:-60]


def png_header(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return SIGNATURE + png_chunk(b"IHDR", header)


SIGNATURE = b"\x89PNG\r\n\x1a\n"
GOOD = png(noise(40, 30, seed=9))
REFUSED = {
    "not a supported image": [b"hello", b"<svg/>", b"II*\0" + bytes(99), b"GIF89a", b"BM", cut("WEBP")],
    "not an image: 0 bytes": [b""],
    # The library decodes such a file, whose size would not be known before.
    "damaged PNG: its header is not the first chunk": [
        SIGNATURE + png_chunk(b"abCd", bytes(13)) + png_header(1, 1)[8:]
    ],
    "Invalid PNG": [cut("PNG"), png_header(40, 30)],
    "Invalid JPEG": [cut("JPEG"), b"\xff\xd8\xff"],
    "image 0: 0x0, no pixels": [png_header(0, 0)],
    "image 0: 10000x10000, more than the limit of 200000 pixels": [png_header(10000, 10000)],
    "image 0: 1000x201, more than the limit": [png(noise(201, 1000))],
    "image 0: 4294967295x4294967295, more than": [png_header(2**32 - 1, 2**32 - 1)],
}


@pytest.mark.parametrize("reason", REFUSED)
def test_bad_input_is_refused_with_the_reason_and_the_next_request_served(model, translate, reason):
    for data in REFUSED[reason]:
        with pytest.raises(tf.errors.InvalidArgumentError, match=re.escape(reason)):
            translate_files(model, data)
    np.testing.assert_array_equal(translate_files(model, GOOD)[0], translate(noise(40, 30, seed=9)))


def test_a_bad_image_refuses_its_request_and_is_counted_from_zero(model):
    large = png(noise(200, 1000))
    assert len(translate_files(model, large, large)) == 2
    for reason, files in {
        "image 2: 1000x201, more than the limit": (GOOD, GOOD, png(noise(201, 1000))),
        "not an image: 0 bytes": (GOOD, b""),
        "request too large: 600000 pixels, more than the": (large, large, large),
    }.items():
        with pytest.raises(tf.errors.InvalidArgumentError, match=reason):
            translate_files(model, *files)


@pytest.mark.parametrize("signature", ["serving_default", "float"])
def test_arrays_have_the_same_limits(model, signature):
    def ask(*shape):
        dtype = tf.uint8 if signature == "serving_default" else tf.float32
        return model[signature](images=tf.zeros(shape, dtype))["images"]

    for shape, reason in {
        (1, 201, 1000, 3): "image 0: 1000x201, more than the limit of 200000 pixels",
        (3, 200, 1000, 3): "request too large: 600000 pixels, more than the limit of 500000",
        (2, 0, 4, 3): "image 0: 4x0, no pixels",
        (1, 8, 8, 1): "the images have 1 channels; this model takes 3",
    }.items():
        with pytest.raises(tf.errors.InvalidArgumentError, match=reason):
            ask(*shape)
        assert ask(2, 40, 30, 3).shape == (2, 40, 30, 3)


# ---------------------------------------------------------------- what is written


def test_its_graph_computes_without_python_training_or_chance(directory):
    saved = saved_model_pb2.SavedModel.FromString((directory / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    operations = {node.op for node in nodes}
    assert {"Conv2D", "DecodePng", "Assert"} <= operations
    strange = re.compile(r"PyFunc|Apply|AssignAdd|AssignSub|Dataset|Random|Table|Print|Grad")
    assert not {operation for operation in operations if strange.search(operation)}


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError) as caught:
        write_saved_model(untrained("wgan"), tmp_path / "file" / "1", LIMITS)
    assert str(tmp_path / "file") in str(caught.value)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- those who have only TensorFlow

# Run with -I: no PYTHONPATH, no current directory, no user's packages; and neither of these two.
ONLY_TENSORFLOW = """
import resource
import sys
sys.modules["pix2pix_tf"] = sys.modules["keras"] = None
import numpy as np
import tensorflow as tf

directory, *files = sys.argv[1:]
model = tf.saved_model.load(directory).signatures
files = [tf.io.read_file(name) for name in files]
for number, output in enumerate(model["bytes"](image_bytes=files[:3])["image_bytes"]):
    tf.io.write_file(f"{number}.png", output)
print(model["serving_default"](images=np.zeros((2, 33, 65, 3), np.uint8))["images"].shape)
used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for bomb in files[3:]:
    try:
        model["bytes"](image_bytes=[bomb])
        print("translated")
    except tf.errors.InvalidArgumentError as error:
        print("refused" if "more than the limit" in str(error) else error)
    same = model["bytes"](image_bytes=files[:1])["image_bytes"][0] == tf.io.read_file("0.png")
    assert same, "the next request was not served"
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used) // 1024)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows doesn't tell how much memory was used")
def test_a_process_that_has_only_tensorflow_serves_it_and_survives_bombs(directory, translate, tmp_path):
    sizes = [(200, 300), (384, 512), (1, 1)]
    files = [png(noise(*size, seed=number)) for number, size in enumerate(sizes)]
    files.append(png_of_rows([bytes(10_000)] * 10_000, 10_000, 8, 0))
    names = []
    for number, data in enumerate(files):
        names.append(str(tmp_path / f"input_{number}"))
        Path(names[-1]).write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-I", "-c", ONLY_TENSORFLOW, str(directory), *names],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    *answers, megabytes = done.stdout.splitlines()
    assert answers == ["(2, 33, 65, 3)", "refused"]
    assert int(megabytes) < 300
    for number, size in enumerate(sizes):
        output = np.asarray(Image.open(tmp_path / f"{number}.png"))
        np.testing.assert_array_equal(output, translate(noise(*size, seed=number)))
