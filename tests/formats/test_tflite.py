"""The .tflite files: outputs of the network, computed whole by XNNPACK, and metadata."""

import collections
import json
import subprocess
import sys

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from pix2pix_tf.exporting.verification import compare, shortfall
from pix2pix_tf.formats.tflite import TFLite
from pix2pix_tf.formats.tflite.conversion import convert
from pix2pix_tf.formats.tflite.reader import read_metadata
from tests.formats.models import NOISE, SIZE, noise, psnr, smooth_images, untrained

pytestmark = pytest.mark.slow

PLAIN = {"experimental_op_resolver_type": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES}


@pytest.fixture(scope="module")
def translate():
    return untrained(contrast=3)


@pytest.fixture(scope="module")
def models(translate):
    """A file of every kind, by its name."""
    return {kind: convert(translate, SIZE, kind, smooth_images(6)) for kind in TFLite.tolerances}


def interpreter_of(model, **options):
    interpreter = Interpreter(model_content=model, num_threads=1, **options)
    interpreter.allocate_tensors()
    return interpreter


def run(model, given, **options):
    """The output of a model, as uint8, from an image or noise; its metadata has the types."""
    side = read_metadata(model)["input"]
    if "range" in side and side["dtype"] == "float32":
        given = (given / 127.5 - 1).astype(np.float32)
    runner = interpreter_of(model, **options).get_signature_runner("serving_default")
    output = runner(**{side["name"]: given[np.newaxis]})["image"][0]
    return output if output.dtype == np.uint8 else np.round((output + 1) * 127.5).astype(np.uint8)


def missed(kind, model, translate, samples):
    """How a file exceeds its tolerance."""
    expected = [translate(sample) for sample in samples]
    assert np.std(expected) > 5
    return shortfall(TFLite.tolerances[kind], compare([run(model, sample) for sample in samples], expected))


def is_one_partition(model, **options):
    """Whether XNNPACK runs the whole model, from its input to its output."""
    interpreter = interpreter_of(model, **options)
    operators = interpreter._get_ops_details()
    taken = [operator for operator in operators if operator["op_name"] == "DELEGATE"]
    computed = {tensor for operator in operators for tensor in operator["outputs"]}
    [output] = interpreter.get_output_details()
    return (
        len(taken) == 1
        and list(taken[0]["outputs"]) == [output["index"]]
        and not computed & set(taken[0]["inputs"])
    )


def convolution_types(model):
    """How many convolutions compute in which type."""
    interpreter = interpreter_of(model, **PLAIN)
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    types = collections.Counter()
    for node in interpreter._get_ops_details():
        if node["op_name"] in ("CONV_2D", "TRANSPOSE_CONV"):
            image, kernel, _ = (tensors[index] for index in node["inputs"])
            types[image["dtype"], kernel["dtype"], tensors[node["outputs"][0]]["dtype"]] += 1
            scales = kernel["quantization_parameters"]["scales"]
            assert kernel["dtype"] != np.int8 or len(scales) == kernel["shape"][0]
    return types


# ---------------------------------------------------------------- the same output


@pytest.mark.parametrize("kind", TFLite.tolerances)
def test_a_file_is_within_its_tolerance_in_one_partition_and_without_xnnpack(models, translate, kind):
    assert missed(kind, models[kind], translate, smooth_images(8)[5:]) == ""
    assert is_one_partition(models[kind])
    assert not is_one_partition(models[kind], **PLAIN)
    [image] = smooth_images(1)
    assert psnr(translate(image), run(models[kind], image, **PLAIN)) >= 35


def test_int8_generates_images_beyond_its_calibration(translate, models):
    [image] = smooth_images(1)
    for other in (np.zeros_like(image), np.full_like(image, 255), 255 - image):
        assert psnr(translate(other), run(models["int8"], other)) >= 25


@pytest.mark.parametrize(
    ("size", "settings"),
    [
        ((1, 2), {}),
        ((65, 99), {"norm": "none", "input_channels": 1}),
        ((33, 51), {"generator": "encoder_decoder", "output_channels": 1}),
        ((3, 50), {"generator": "resnet", "norm": "batch", "upsampling": "resize"}),
    ],
    ids=str,
)
def test_every_network_generates_any_size_in_one_partition(size, settings):
    translate = untrained(**settings)
    model = convert(translate, size, "none")
    image = noise(*size, settings.get("input_channels", 3))
    expected = translate(image)
    assert np.abs(run(model, image).astype(int) - expected).max() <= 1
    assert expected.std() > 5
    assert is_one_partition(model)


def check_int8(model, translate, samples):
    """Checks that convolutions are int8, but for the two at full size, and that the tolerance is met."""
    every = sum("conv/kernel" in weight.path for weight in translate.network.weights)
    assert convolution_types(model) == {(np.int8,) * 3: every - 2, (np.float32,) * 3: 2}
    assert missed("int8", model, translate, samples) == ""
    assert is_one_partition(model)


def test_int8_convolves_in_int8_below_full_size(models, translate):
    check_int8(models["int8"], translate, smooth_images(6)[:2])
    translate, samples = untrained(generator="resnet", contrast=1), smooth_images(6, (34, 41))
    check_int8(convert(translate, (34, 41), "int8", samples), translate, samples[:2])


def test_noise_becomes_the_networks_output_and_converting_writes_nothing_to_the_terminal(capfd):
    translate = untrained("wgan")
    vectors = list(np.random.default_rng(0).standard_normal((20, NOISE), np.float32))
    capfd.readouterr()
    model = convert(translate, SIZE, "int8", vectors[4:])
    assert capfd.readouterr() == ("", "")
    print("still heard", file=sys.stderr)
    assert capfd.readouterr().err == "still heard\n"
    assert missed("int8", model, translate, vectors[:4]) == ""
    assert is_one_partition(model)
    side = read_metadata(model)["input"]
    assert (side["name"], side["shape"], side["dtype"]) == ("z", [1, NOISE], "float32")
    # The last upsampling and the last convolution, which work at full size, stay float32.
    found = convolution_types(model)
    assert (found[(np.float32,) * 3], sum(found.values())) == (2, 6)


def test_quantized_files_are_smaller(models):
    # A network of 8 filters is so small that the graph weighs, too: 0.25 and 0.5 are what large ones have.
    shares = {name: len(model) / len(models["none"]) for name, model in models.items()}
    assert 0.5 < shares["float16"] < 0.52
    assert 0.25 < shares["int8"] < 0.3
    assert 0.25 < shares["dynamic"] < 0.3


# ---------------------------------------------------------------- what it says of itself


@pytest.mark.parametrize("kind", TFLite.tolerances)
def test_the_signature_takes_image_and_gives_image(models, kind):
    interpreter = interpreter_of(models[kind])
    assert interpreter.get_signature_list() == {
        "serving_default": {"inputs": ["image"], "outputs": ["image"]}
    }
    dtype = np.uint8 if kind == "int8" else np.float32
    runner = interpreter.get_signature_runner("serving_default")
    for side in (runner.get_input_details()["image"], runner.get_output_details()["image"]):
        assert (side["dtype"], list(side["shape"])) == (dtype, [1, *SIZE, 3])
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

images, *models = sys.argv[1:]
for path in models:
    model = schema.Model.GetRootAs(open(path, "rb").read(), 0)
    texts = {}
    for entry in map(model.Metadata, range(model.MetadataLength())):
        texts[entry.Name()] = model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
    facts = json.loads(texts[b"pix2pix"])
    runner = Interpreter(model_path=path).get_signature_runner(facts["signature"])
    pixel = np.load(images)
    value = eval(facts["input"]["value_of_pixel"]).astype(facts["input"]["dtype"])
    value = runner(image=value)["image"]
    np.save(path + ".npy", eval(facts["output"]["pixel_of_value"], {"round": np.round, "value": value}))
    print(json.dumps([model.Description().decode(), facts]))
"""


def test_a_process_with_only_litert_and_numpy_runs_it_by_what_it_says_of_itself(models, translate, tmp_path):
    [image] = smooth_images(1)
    np.save(tmp_path / "images.npy", image[np.newaxis])
    (tmp_path / "script.py").write_text(ONLY_LITERT, encoding="utf-8")
    kinds = {"none": ("float32", [-1, 1]), "int8": ("uint8", [0, 255])}
    for kind in kinds:
        (tmp_path / kind).write_bytes(models[kind])
    names = ("script.py", "images.npy", *kinds)
    done = subprocess.run(
        [sys.executable, "-I", *(str(tmp_path / name) for name in names)],
        capture_output=True, text=True, encoding="utf-8", timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    for line, (kind, (dtype, limits)) in zip(done.stdout.splitlines(), kinds.items(), strict=True):
        assert psnr(translate(image), np.load(tmp_path / f"{kind}.npy")[0]) >= 35
        sentence, facts = json.loads(line)
        assert all(word in sentence for word in ("64x64", "RGB", dtype, str(limits), kind))
        assert facts["quantization"] == kind
        for side in (facts["input"], facts["output"]):
            assert (side["name"], side["shape"]) == ("image", [1, *SIZE, 3])
            assert (side["dtype"], side["range"], side["color_order"]) == (dtype, limits, "RGB")
