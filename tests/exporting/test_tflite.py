"""The .tflite files: the trained pictures, computed whole by XNNPACK, and what a file says of itself."""

import collections
import json
import subprocess
import sys

import flatbuffers
import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from flatbuffers import number_types

from pix2pix_tf.config import NetworkConfig
from pix2pix_tf.data.pipeline import held_out_images
from pix2pix_tf.data.sources import open_dataset
from pix2pix_tf.errors import ConfigError, RunError
from pix2pix_tf.exporting.tflite import convert, partitions
from pix2pix_tf.exporting.tflite_file import read_metadata
from pix2pix_tf.translators.run import GeneratorTranslator

SIZE = (64, 64)
QUANTIZATIONS = ("none", "float16", "dynamic", "int8")


@pytest.fixture(scope="module")
def translate(tiny_run):
    return GeneratorTranslator.load(tiny_run.path)


@pytest.fixture(scope="module")
def pictures(tiny_run):
    """Inputs the run was not trained on, uint8 [64, 64, 3]."""
    config = tiny_run.read_config()
    return [image for _, image, _ in held_out_images(open_dataset(config), SIZE, 12)]


@pytest.fixture(scope="module")
def models(translate, pictures):
    """A file of every quantization, by its name."""
    calibration = {"int8": pictures[::2]}
    return {name: convert(translate, SIZE, name, calibration.get(name)) for name in QUANTIZATIONS}


def untrained(levels=5, **settings):
    """A translator with first weights made larger, so that its output has contrast."""
    keras.utils.set_random_seed(0)
    config = {"base_filters": 8, "input_channels": 3, "output_channels": 3, **settings}
    translator = GeneratorTranslator(NetworkConfig(**config), levels)
    for variable in translator.generator.trainable_variables:
        if "kernel" in variable.path:
            variable.assign(variable * 4)
    return translator


def noise(height, width, channels=3):
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


def interpreter_of(model, **options):
    interpreter = Interpreter(model_content=model, num_threads=1, **options)
    interpreter.allocate_tensors()
    return interpreter


def run(model, image, **options):
    """The picture that a model makes of one, uint8 in and out, as its metadata tell."""
    side = read_metadata(model)["input"]
    given = image[np.newaxis]
    if side["dtype"] == "float32":
        given = (given / 127.5 - 1).astype(np.float32)
    painted = interpreter_of(model, **options).get_signature_runner("serving_default")(image=given)["image"][
        0
    ]
    return painted if painted.dtype == np.uint8 else np.round((painted + 1) * 127.5).astype(np.uint8)


def psnr(expected, found):
    error = np.mean((np.asarray(expected, float) - np.asarray(found, float)) ** 2)
    return 10 * np.log10(255**2 / max(error, 1e-9))


# ---------------------------------------------------------------- the same picture


@pytest.mark.parametrize(("quantization", "least"), [("float16", 50), ("dynamic", 40), ("int8", 35)])
def test_a_quantized_file_paints_what_the_translator_paints(models, translate, pictures, quantization, least):
    for picture in pictures:
        expected = translate(picture)
        assert expected.std() > 5
        assert psnr(expected, run(models[quantization], picture)) >= least


def test_the_float_file_paints_the_translators_picture(models, translate, pictures):
    gaps = np.stack([run(models["none"], one).astype(int) - translate(one) for one in pictures])
    assert (np.abs(gaps) <= 1).mean() > 0.9999
    assert (gaps != 0).mean() < 0.001


def test_int8_serves_pictures_beyond_its_calibration(translate, pictures, models):
    for picture in (np.zeros_like(pictures[0]), np.full_like(pictures[0], 255), 255 - pictures[1]):
        assert psnr(translate(picture), run(models["int8"], picture)) >= 25


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_litert_without_xnnpack_paints_it_too(models, translate, pictures, quantization):
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    painted = run(models[quantization], pictures[0], experimental_op_resolver_type=plain)
    assert psnr(translate(pictures[0]), painted) >= 35


@pytest.mark.parametrize("size", [(65, 99), (31, 9), (1, 2)])
def test_any_size_paints_the_translators_picture_in_one_partition(size):
    translator = untrained()
    model = convert(translator, size, "none")
    picture = noise(*size)
    expected = translator(picture)
    assert np.abs(run(model, picture).astype(int) - expected).max() <= 1
    assert expected.std() > 5
    assert partitions(model).is_whole


def test_int8_takes_odd_sizes():
    translator = untrained()
    picture = noise(33, 51)
    model = convert(translator, (33, 51), "int8", [picture])
    assert psnr(translator(picture), run(model, picture)) >= 30
    assert partitions(model).is_whole


@pytest.mark.parametrize(
    "settings", [{"norm": "none", "input_channels": 1}, {"norm": "batch", "output_channels": 1}], ids=str
)
def test_every_network_paints_its_picture_in_one_partition(settings):
    translator = untrained(**settings)
    picture = noise(40, 48, settings.get("input_channels", 3))
    model = convert(translator, (40, 48), "none")
    assert np.abs(run(model, picture).astype(int) - translator(picture)).max() <= 1
    assert partitions(model).is_whole
    orders = [read_metadata(model)[end]["color_order"] for end in ("input", "output")]
    assert orders == (["grey", "RGB"] if "input_channels" in settings else ["RGB", "grey"])


def test_converting_leaves_the_translator_as_it_was(translate, pictures, tiny_run, models):
    assert models
    np.testing.assert_array_equal(
        translate(pictures[0]), GeneratorTranslator.load(tiny_run.path)(pictures[0])
    )
    assert len(translate.generator.input.shape) == 4
    assert translate.generator.input.shape[1:3] == (None, None)


# ---------------------------------------------------------------- how it is computed


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_xnnpack_takes_the_file_whole(models, quantization):
    assert partitions(models[quantization]).is_whole


def test_what_xnnpack_does_not_take_is_told():
    class Reversing(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((1, 8, 8, 3), tf.float32)])
        def __call__(self, image):
            return tf.tanh(tf.reverse(tf.sigmoid(image), [1]))

    module = Reversing()
    function = module.__call__.get_concrete_function()
    model = tf.lite.TFLiteConverter.from_concrete_functions([function], module).convert()
    found = partitions(model)
    assert found.fallbacks == {"REVERSE_V2": 1}
    assert not found.is_whole


def test_int8_convolves_in_int8_with_weights_scaled_by_channel(models, translate):
    interpreter = interpreter_of(
        models["int8"], experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    convolutions = [node for node in interpreter._get_ops_details() if node["op_name"] == "CONV_2D"]
    types = collections.Counter()
    for node in convolutions:
        image, kernel, _ = (tensors[index] for index in node["inputs"])
        types[image["dtype"], kernel["dtype"], tensors[node["outputs"][0]]["dtype"]] += 1
        if kernel["dtype"] == np.int8:
            assert len(kernel["quantization_parameters"]["scales"]) == kernel["shape"][0]
    all_of_them = sum("kernel" in variable.path for variable in translate.generator.weights)
    assert types == {(np.int8,) * 3: all_of_them - 1, (np.float32,) * 3: 1}


def test_quantized_files_are_smaller(models):
    # A network of 8 filters is so small that the graph weighs, too: 0.25 and 0.5 are what large ones have.
    shares = {name: len(model) / len(models["none"]) for name, model in models.items()}
    assert 0.5 < shares["float16"] < 0.52
    assert 0.25 < shares["int8"] < 0.3
    assert 0.25 < shares["dynamic"] < 0.3


# ---------------------------------------------------------------- what it says of itself


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_the_signature_takes_image_and_gives_image(models, quantization):
    interpreter = interpreter_of(models[quantization])
    assert interpreter.get_signature_list() == {
        "serving_default": {"inputs": ["image"], "outputs": ["image"]}
    }
    dtype = np.uint8 if quantization == "int8" else np.float32
    runner = interpreter.get_signature_runner("serving_default")
    for side in (runner.get_input_details()["image"], runner.get_output_details()["image"]):
        assert (side["dtype"], list(side["shape"])) == (dtype, [1, 64, 64, 3])
        # A pixel is its own value, for those who go by scale and zero point.
        assert side["quantization"] == ((1.0, 0) if dtype == np.uint8 else (0.0, 0))


ONLY_LITERT = """
import importlib.abc, json, sys

class Refusing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "keras", "pix2pix_tf", "jax", "torch", "PIL"):
            raise ImportError(name)

sys.meta_path.insert(0, Refusing())
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

content = open(sys.argv[1], "rb").read()
model = schema.Model.GetRootAs(content, 0)
texts = {}
for entry in map(model.Metadata, range(model.MetadataLength())):
    texts[entry.Name()] = model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
runner = Interpreter(model_path=sys.argv[1]).get_signature_runner("serving_default")
np.save(sys.argv[3], runner(image=np.load(sys.argv[2]))["image"])
print(json.dumps([model.Description().decode(), json.loads(texts[b"pix2pix"])]))
"""


@pytest.mark.parametrize("quantization", ["none", "int8"])
def test_a_process_with_only_litert_and_numpy_runs_it(models, translate, pictures, tmp_path, quantization):
    (tmp_path / "script.py").write_text(ONLY_LITERT, encoding="utf-8")
    (tmp_path / "model.tflite").write_bytes(models[quantization])
    image = pictures[3][np.newaxis]
    np.save(tmp_path / "in.npy", image if quantization == "int8" else (image / 127.5 - 1).astype(np.float32))
    names = ("script.py", "model.tflite", "in.npy", "out.npy")
    done = subprocess.run(
        [sys.executable, "-I", *(str(tmp_path / name) for name in names)],
        capture_output=True, text=True, encoding="utf-8", timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    painted = np.load(tmp_path / "out.npy")[0]
    painted = painted if painted.dtype == np.uint8 else np.round((painted + 1) * 127.5)
    assert psnr(translate(pictures[3]), painted) >= 35

    sentence, facts = json.loads(done.stdout)
    is_int8 = quantization == "int8"
    for word in ("64x64", "RGB", "uint8 in [0, 255]" if is_int8 else "float32 in [-1, 1]", quantization):
        assert word in sentence
    assert facts["quantization"] == quantization
    assert facts["signature"] == "serving_default"
    for side in (facts["input"], facts["output"]):
        assert side["name"] == "image"
        assert side["shape"] == [1, 64, 64, 3]
        assert side["dtype"] == ("uint8" if is_int8 else "float32")
        assert side["range"] == ([0, 255] if is_int8 else [-1, 1])
        assert side["color_order"] == "RGB"
    assert facts["input"]["value_of_pixel"] == ("pixel" if is_int8 else "pixel / 127.5 - 1")
    assert facts["output"]["pixel_of_value"] == ("value" if is_int8 else "round((value + 1) * 127.5)")


class Reader:
    """A table of a flatbuffer, read by the places of its fields as metadata_schema.fbs has them."""

    def __init__(self, data, position):
        self.table = flatbuffers.table.Table(data, position)

    @classmethod
    def root(cls, data):
        return cls(data, flatbuffers.encode.Get(flatbuffers.packer.uoffset, data, 0))

    def at(self, place):
        return self.table.Offset(4 + 2 * place) + self.table.Pos

    def number(self, place, kind):
        return self.table.Get(kind, self.at(place))

    def text(self, place):
        return self.table.String(self.at(place)).decode()

    def child(self, place):
        return Reader(self.table.Bytes, self.table.Indirect(self.at(place)))

    def first(self, place):
        vector = self.table.Vector(self.table.Offset(4 + 2 * place))
        return Reader(self.table.Bytes, self.table.Indirect(vector))

    def floats(self, place):
        return self.table.GetVectorAsNumpy(
            number_types.Float32Flags, self.table.Offset(4 + 2 * place)
        ).tolist()


@pytest.mark.parametrize(("quantization", "mean", "deviation"), [("none", 127.5, 127.5), ("int8", 0, 1)])
def test_android_studio_finds_its_own_metadata(models, quantization, mean, deviation):
    model = schema.Model.GetRootAs(models[quantization], 0)
    entries = {entry.Name(): entry for entry in map(model.Metadata, range(model.MetadataLength()))}
    data = bytearray(model.Buffers(entries[b"TFLITE_METADATA"].Buffer()).DataAsNumpy())
    assert data[4:8] == b"M001"
    root = Reader.root(data)
    assert root.text(0) == "pix2pix"
    assert root.text(7) == "1.0.0"
    graph = root.first(3)
    image = graph.first(2)
    assert image.text(0) == "image"
    content = image.child(3)
    assert content.number(0, number_types.Uint8Flags) == 2  # ImageProperties
    assert content.child(1).number(0, number_types.Int8Flags) == 1  # RGB
    unit = image.first(4)
    assert unit.number(0, number_types.Uint8Flags) == 1  # NormalizationOptions
    assert (unit.child(1).floats(0), unit.child(1).floats(1)) == ([mean], [deviation])
    low, high = (0, 255) if quantization == "int8" else (-1, 1)
    assert (image.child(5).floats(0), image.child(5).floats(1)) == ([high] * 3, [low] * 3)
    # Back from values to pixels: (x - mean) / deviation again.
    back = graph.first(3).first(4).child(1)
    [mean], [deviation] = back.floats(0), back.floats(1)
    np.testing.assert_allclose([(low - mean) / deviation, (high - mean) / deviation], [0, 255], atol=1e-4)


def test_a_foreign_file_has_no_metadata():
    function = tf.function(tf.tanh, input_signature=[tf.TensorSpec((1, 4), tf.float32)])
    concrete = function.get_concrete_function()
    assert read_metadata(tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert()) == {}


# ---------------------------------------------------------------- silence and errors


def test_converting_writes_nothing_to_the_terminal(capfd, pictures):
    model = convert(untrained(levels=2), SIZE, "int8", pictures[:2])
    partitions(model)
    written = capfd.readouterr()
    assert (written.out, written.err) == ("", "")
    print("still heard", file=sys.stderr)
    assert capfd.readouterr().err == "still heard\n"


def test_a_stochastic_generator_is_refused_with_the_way_out():
    with pytest.raises(ConfigError, match="SavedModel, or load the run with stochastic=False"):
        convert(untrained(levels=2, stochastic=True), SIZE, "none")


def test_other_precisions_are_refused():
    config = NetworkConfig(base_filters=8, input_channels=3, output_channels=3)
    with pytest.raises(ConfigError, match="float32"):
        convert(GeneratorTranslator(config, 2, "mixed_bfloat16"), SIZE, "none")


@pytest.mark.parametrize("size", [(0, 64), (64, -1)])
def test_a_size_without_pixels_is_refused(size):
    with pytest.raises(ConfigError, match="at least 1x1"):
        convert(untrained(levels=2), size, "none")


def test_an_unknown_quantization_is_refused_with_those_that_there_are():
    with pytest.raises(ConfigError, match="none, float16, dynamic, int8, not 'int4'"):
        convert(untrained(levels=2), SIZE, "int4")


@pytest.mark.parametrize("calibration", [None, [], iter(())])
def test_int8_without_images_is_refused(calibration):
    with pytest.raises(ConfigError, match="calibration images"):
        convert(untrained(levels=2), SIZE, "int8", calibration)


@pytest.mark.parametrize("image", [noise(64, 65), noise(64, 64, 1), noise(64, 64).astype(np.float32)])
def test_int8_refuses_images_of_another_kind(image):
    with pytest.raises(ConfigError, match=r"uint8 images of \[64, 64, 3\]; got"):
        convert(untrained(levels=2), SIZE, "int8", [noise(64, 64), image])


def test_weights_that_are_no_numbers_are_refused():
    translator = untrained(levels=2)
    kernel = translator.generator.get_layer("up_2_conv").kernel
    kernel.assign(kernel * np.nan)
    with pytest.raises(RunError, match=r"up_2_conv/kernel.* earlier step"):
        convert(translator, SIZE, "none")
