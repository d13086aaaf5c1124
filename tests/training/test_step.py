"""The training step against a plain one: two tapes, Keras' own training calls, the losses as formulas."""

import contextlib
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf import replace
from pix2pix_tf.data.procedural import draw_pair
from pix2pix_tf.data.tasks import TASKS
from pix2pix_tf.models.forward import ForwardPass
from pix2pix_tf.models.registry import model_for
from pix2pix_tf.networks import build_discriminator, build_generator
from pix2pix_tf.networks.fast import convolutions
from pix2pix_tf.networks.layers import Dropout, InstanceNormalization
from pix2pix_tf.training.step import Trainer
from tests.conftest import small_config
from tests.networks.inputs import filter_everything_minimally


def config_of(tmp=None, **settings):
    return small_config(tmp, **{"input_channels": 3, "output_channels": 3, "seed": 3, **settings})


def trainer_of(config, strategy=None):
    return Trainer(model_for(config), config, 20, strategy)


def pairs(count, size=64):
    """Drawn façades: label map to photo, [count, size, size, 3] in [-1, 1]."""
    drawn = [draw_pair(1, number, size, size) for number in range(count)]
    photos, labels = (np.stack(images).astype(np.float32) / 127.5 - 1 for images in zip(*drawn, strict=True))
    return tf.constant(labels), tf.constant(photos)


def values(state):
    return {name: variable.numpy().copy() for name, variable in state.items()}


def reset(model, stored):
    for name, variable in model.state().items():
        variable.assign(stored[name])


def step(model, batch, number=0):
    metrics = model.train_step(batch, tf.constant(number, tf.int64)).numpy()
    return dict(zip(model.metrics, map(float, metrics), strict=True))


@pytest.fixture(scope="module")
def trained():
    """A model in float32, and its state at the start."""
    model = trainer_of(config_of())
    return model, values(model.state())


@pytest.fixture
def model(trained):
    reset(*trained)
    return trained[0]


# ---------------------------------------------------------------- against a plain step

NUMBER = 7  # of the step that is compared


def seeds_of(config, layers, number):
    """The dropout states that the step derives from the run's seed, the step and the device 0."""

    def fold(key, number):
        return tf.random.experimental.stateless_fold_in(key, tf.constant(number, tf.int64))

    seed = fold(tf.constant([config.optimization.seed, number], tf.int64), 0)
    return [tf.bitcast(fold(fold(seed, layer), 0)[0], tf.uint32) for layer in range(layers)]


@contextlib.contextmanager
def without_fast_layers():
    """Lets layers compute in training what they compute in inference, while what it decorates runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolutions, "_is_fast_here", lambda x: False)
        patch.setattr(InstanceNormalization, "_MOST_FUSED", 0)
        yield


class PlainStep:
    """The step as a textbook writes it: each loss under its own tape, the layers as in inference."""

    def __init__(self, config, stored, number, dtype="float32"):
        self.config = config
        settings = {"base_filters": config.model.base_filters, "norm": config.model.norm, "dtype": dtype}
        self.generator = build_generator(
            image_size=config.data.size,
            upsampling=config.model.upsampling,
            last_convolution=config.model.last_convolution,
            **settings,
        )
        self.discriminator = build_discriminator(**settings)
        for network in (self.generator, self.discriminator):
            for variable in network.trainable_variables:
                variable.assign(stored[f"{network.name}/{variable.path}"])
        dropouts = [layer for layer in self.generator.layers if isinstance(layer, keras.layers.Dropout)]
        self.dropout = list(zip(dropouts, seeds_of(config, len(dropouts), number), strict=True))

    @without_fast_layers()
    def generate(self, inputs):
        for layer, seed in self.dropout:
            layer.seed_generator.state.assign(seed)
        return self.generator(inputs, training=True)

    @staticmethod
    def cost(logits, real):
        probability = tf.sigmoid(logits)
        return tf.reduce_mean(-tf.math.log(probability if real else 1 - probability))

    @without_fast_layers()
    def generator_gradients(self, inputs, targets):
        with tf.GradientTape() as tape:
            fake = self.generate(inputs)
            gan = self.cost(self.discriminator([inputs, fake], training=True), real=True)
            l1 = tf.reduce_mean(tf.abs(fake - targets))
            total = gan + 100.0 * l1
        losses = {"gen_total": total, "gen_gan": gan, "gen_l1": l1}
        return tape.gradient(total, self.generator.trainable_variables), losses

    @without_fast_layers()
    def discriminator_gradients(self, inputs, targets, fake):
        with tf.GradientTape() as tape:
            real_logits = self.discriminator([inputs, targets], training=True)
            fake_logits = self.discriminator([inputs, fake], training=True)
            loss = (self.cost(real_logits, real=True) + self.cost(fake_logits, real=False)) / 2
        losses = {
            "disc": loss,
            "disc_real_accuracy": tf.reduce_mean(tf.cast(real_logits > 0, tf.float32)),
            "disc_fake_accuracy": tf.reduce_mean(tf.cast(fake_logits < 0, tf.float32)),
        }
        return tape.gradient(loss, self.discriminator.trainable_variables), losses


def distance(one, other):
    """How far two lists of gradients are apart: the norm of the difference, relative."""
    one, other = (np.concatenate([np.ravel(part) for part in parts]) for parts in (one, other))
    return np.linalg.norm(one - other) / np.linalg.norm(other)


@pytest.fixture(scope="module", params=[1, 3], ids=["batch of 1", "batch of 3"])
def compared(request, trained):
    """A step of the model, the same step done plainly, and the model's state after it."""
    model, stored = trained
    reset(model, stored)
    batch = pairs(request.param)
    metrics = step(model, batch, NUMBER)
    after = values(model.state())
    return config_of(), stored, batch, metrics, after, PlainStep(config_of(), stored, NUMBER)


def gradients_in(after, network):
    """The gradients that the optimiser was given: at the first update m = (1 - beta_1) gradient."""
    prefix = f"{network.name}_adam"
    return [after[f"{prefix}/{variable.path}/m"] / 0.5 for variable in network.trainable_variables]


# Two ways of summing the same float32 terms through a dozen layers: 1e-4 is ten times what is seen.
SAME = 1e-4


def test_losses_are_those_of_a_plain_step(compared):
    _, _, (inputs, targets), metrics, _, plain = compared
    _, generator_losses = plain.generator_gradients(inputs, targets)
    _, discriminator_losses = plain.discriminator_gradients(inputs, targets, plain.generate(inputs))
    expected = {name: float(loss) for name, loss in (generator_losses | discriminator_losses).items()}
    assert metrics == pytest.approx(expected, rel=SAME)


def test_the_generators_gradients_are_those_of_a_plain_step(compared):
    _, _, (inputs, targets), _, after, plain = compared
    expected, _ = plain.generator_gradients(inputs, targets)
    assert distance(gradients_in(after, plain.generator), expected) < SAME


def test_the_discriminators_gradients_come_from_the_generator_before_its_update(compared):
    _, stored, (inputs, targets), _, after, plain = compared
    found = gradients_in(after, plain.discriminator)
    expected, _ = plain.discriminator_gradients(inputs, targets, plain.generate(inputs))
    assert distance(found, expected) < SAME
    try:
        for variable in plain.generator.trainable_variables:
            variable.assign(after[f"generator/{variable.path}"])
        later, _ = plain.discriminator_gradients(inputs, targets, plain.generate(inputs))
    finally:
        for variable in plain.generator.trainable_variables:
            variable.assign(stored[f"generator/{variable.path}"])
    assert distance(found, later) > 10 * SAME


def test_the_generators_gradients_pass_through_the_discriminator_before_its_update(compared):
    _, stored, (inputs, targets), _, after, plain = compared
    try:
        for variable in plain.discriminator.trainable_variables:
            variable.assign(after[f"discriminator/{variable.path}"])
        later, _ = plain.generator_gradients(inputs, targets)
    finally:
        for variable in plain.discriminator.trainable_variables:
            variable.assign(stored[f"discriminator/{variable.path}"])
    assert distance(gradients_in(after, plain.generator), later) > 2 * SAME


@pytest.mark.slow
@pytest.mark.parametrize(
    ("batch_size", "products", "luck"),
    [(1, "all", 1.5), (8, "all", 1.5), (8, "fewer", 3)],
)
def test_every_gradient_is_the_plain_ones_within_float32s_rounding(
    trained, batch_size, products, luck, monkeypatch
):
    _, stored = trained
    if products == "fewer":
        filter_everything_minimally(monkeypatch, pixels=200)
    model, batch = trainer_of(config_of()), pairs(batch_size)
    reset(model, stored)
    step(model, batch, NUMBER)
    after = values(model.state())
    plain = PlainStep(config_of(), stored, NUMBER)
    for name in ("generator", "discriminator"):
        truth = gradients_of(plain, name, batch)
        usual = [gradients_of(plain, name, each) for each in (batch, *nudged(batch))]
        network = getattr(plain, name)
        found = gradients_in(after, network)
        for variable, fast, true, *own in zip(network.trainable_variables, found, truth, *usual, strict=True):
            # As near to the plain gradient as that of images which differ by rounding, but for luck.
            error, bound = distance([fast], [true]), max(distance([each], [true]) for each in own)
            assert error <= luck * bound + SAME, variable.path


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 8])
def test_gradients_in_bfloat16_are_as_exact_as_the_plain_ones(trained, batch_size):
    _, stored = trained
    model, batch = trainer_of(config_of(precision="mixed_bfloat16")), pairs(batch_size)
    errors = {}  # of each tensor, a step: the fast and the plain error, beside float32
    for number in range(3, 9):  # each drops other units
        reset(model, stored)
        step(model, batch, number)
        after = values(model.state())
        exact, plain = (
            PlainStep(config_of(), stored, number, dtype) for dtype in ("float32", "mixed_bfloat16")
        )
        for name in ("generator", "discriminator"):
            found, network = gradients_in(after, getattr(plain, name)), getattr(plain, name)
            true, usual = gradients_of(exact, name, batch), gradients_of(plain, name, batch)
            for variable, *each in zip(network.trainable_variables, found, true, usual, strict=True):
                fast, truth, slow = each
                pair = distance([fast], [truth]), distance([slow], [truth])
                errors.setdefault(f"{name}/{variable.path}", []).append(pair)
    pooled = {name: np.sqrt(np.mean(np.square(each), axis=0)) for name, each in errors.items()}
    ratios = {name: fast / slow for name, (fast, slow) in pooled.items()}
    # Both ways round equally often, at different places, so their errors have one distribution. One more
    # rounding of the same size everywhere would double its variance; the limit is half of that.
    assert np.median(list(ratios.values())) < np.sqrt(1.5)
    # A tensor's six errors don't depend on each other: four times their mean square isn't chance. Errors are
    # about 0.15, so that a wrong tensor has seven times as much and more.
    worst = max(ratios, key=ratios.get)
    assert ratios[worst] < 2, worst


def nudged(batch):
    """The images moved as little as rounding in the layers does: some leaky ReLU changes sign."""
    random = np.random.default_rng(0)
    for _ in range(6):
        yield tuple(
            images * (1 + 1e-6 * random.normal(size=images.shape).astype(np.float32)) for images in batch
        )


def gradients_of(plain, name, batch):
    if name == "generator":
        return plain.generator_gradients(*batch)[0]
    return plain.discriminator_gradients(*batch, plain.generate(batch[0]))[0]


@pytest.mark.parametrize("name", ["generator", "discriminator"])
def test_weights_are_updated_as_keras_adam_updates_them(compared, name):
    config, stored, _, _, after, plain = compared
    network = getattr(plain, name)
    options = config.optimization
    theirs = [keras.Variable(stored[f"{name}/{v.path}"]) for v in network.trainable_variables]
    adam = keras.optimizers.Adam(options.learning_rate, options.beta_1, options.beta_2, epsilon=1e-8)
    adam.build(theirs)
    adam.iterations.assign(NUMBER)
    adam.apply([tf.constant(gradient) for gradient in gradients_in(after, network)], theirs)
    for variable, expected in zip(network.trainable_variables, theirs, strict=True):
        # A first step is as long as the learning rate, 2e-4: a hundredth of that.
        np.testing.assert_allclose(after[f"{name}/{variable.path}"], expected.numpy(), atol=2e-6)
        assert (after[f"{name}/{variable.path}"] != stored[f"{name}/{variable.path}"]).any()


# ---------------------------------------------------------------- pure function of seed and step


def test_the_same_step_from_the_same_state_gives_the_same_weights(trained, model):
    batch = pairs(1)
    first = step(model, batch, 7)
    after = values(model.state())
    reset(model, trained[1])
    assert step(model, batch, 7) == first
    for name, value in values(model.state()).items():
        np.testing.assert_array_equal(value, after[name], err_msg=name)


def test_another_step_drops_other_units(trained, model):
    batch = pairs(1)
    seen = set()
    for number in (0, 1, 2, 2**33):
        reset(model, trained[1])
        seen.add(step(model, batch, number)["gen_l1"])
    assert len(seen) == 4


def test_no_two_steps_of_a_run_drop_the_same_units():
    # These two have the same 32-bit hash.
    inputs = keras.Input((1000,))
    network = keras.Model(inputs, Dropout(0.5, seed=0)(inputs))
    one, other = (
        ForwardPass({"network": network}, {}, 3, tf.constant(number, tf.int64)).run(
            "network", tf.ones([1, 1000])
        )
        for number in (13489, 23111)
    )
    assert 0.4 < np.mean(one == other) < 0.6


def test_another_process_starts_from_the_same_weights_and_another_seed_from_others(trained):
    again = values(trainer_of(config_of()).state())
    assert again.keys() == trained[1].keys()
    for name, value in again.items():
        np.testing.assert_array_equal(value, trained[1][name])
    other = values(trainer_of(config_of(seed=4)).state())
    kernels = [name for name in again if name.endswith("kernel")]
    assert kernels
    assert all((other[name] != again[name]).all() for name in kernels)


def test_the_state_names_every_weight_and_its_moments_but_no_random_state(model):
    state = model.state()
    weights = [name for name in state if name.startswith(("generator/", "discriminator/"))]
    moments = [name for name in state if "_adam/" in name]
    assert len(moments) == 2 * len(weights)
    averages = [name for name in state if name.startswith("average/generator/")]
    assert len(state) == len(weights) + len(moments) + len(averages)
    assert not [name for name in state if "seed" in name]
    assert len({variable.ref() for variable in state.values()}) == len(state)


def test_a_few_steps_on_one_pair_learn_it(model):
    batch = pairs(1)
    losses = [step(model, batch, number)["gen_l1"] for number in range(60)]
    assert np.isfinite(losses).all()
    assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:3])


# ---------------------------------------------------------------- precisions and normalisations


def without_dropout(model):
    """Precisions and devices each draw their own dropout: comparing them needs none."""
    for layer in model.networks["generator"].layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    return model


@pytest.fixture(scope="module")
def exact_step():
    model = without_dropout(trainer_of(config_of()))
    return step(model, pairs(1)), values(model.state())


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.slow
def test_a_mixed_precision_stays_near_float32(exact_step, precision):
    expected, exact = exact_step
    model = without_dropout(trainer_of(config_of(precision=precision)))
    if precision == "mixed_float16":
        model.state()["loss_scale/scale"].assign(2.0**8)  # the first scale overflows, and is halved
    found = step(model, pairs(1))
    for name in ("gen_total", "gen_gan", "gen_l1", "disc"):
        assert found[name] == pytest.approx(expected[name], rel=0.01), name  # bfloat16 rounds by 0.004
    state = values(model.state())
    assert {value.dtype for name, value in state.items() if "good" not in name} == {np.dtype(np.float32)}
    assert all(np.isfinite(value).all() for value in state.values())
    kernels = [name for name in exact if name.endswith("kernel/m")]
    assert len(kernels) == 13 + 5
    for name in kernels:
        ours, theirs = state[name].ravel(), exact[name].ravel()
        lengths = np.linalg.norm(ours), np.linalg.norm(theirs)
        # Errors of 0.004 add up through two dozen layers: 0.98 is the least that is seen.
        assert ours @ theirs / np.prod(lengths) > 0.95, name
        assert 0.85 < lengths[0] / lengths[1] < 1.15, name


@pytest.mark.slow
def test_float16_skips_an_update_that_overflows_and_halves_its_scale():
    model = trainer_of(config_of(precision="mixed_float16"))
    state = model.state()
    state["loss_scale/scale"].assign(2.0**24)
    before = values(state)
    metrics = step(model, pairs(1))
    assert np.isfinite(list(metrics.values())).all()
    after = values(state)
    assert after["loss_scale/scale"] == 2.0**23
    for name in before:
        if not name.startswith("loss_scale/"):
            np.testing.assert_array_equal(after[name], before[name], err_msg=name)
    state["loss_scale/scale"].assign(2.0**10)
    step(model, pairs(1))
    assert state["loss_scale/scale"].numpy() == 2.0**10
    assert state["loss_scale/good_updates"].numpy() == 1
    assert (state["generator/down_1_conv/kernel"].numpy() != before["generator/down_1_conv/kernel"]).any()


@pytest.mark.slow
def test_batch_normalisation_updates_its_running_averages():
    config = config_of(norm="batch")
    model = trainer_of(config)
    before = values(model.state())
    inputs, targets = pairs(2)
    first = {name for name in before if name.endswith(("/moving_mean", "/moving_variance"))}
    assert len({name for name in first if name.startswith("generator/")}) == 2 * (4 + 5)
    assert len({name for name in first if name.startswith("discriminator/")}) == 2 * 3
    plain = PlainStep(config, before, 4)
    plain.generate(inputs)
    step(model, (inputs, targets), 4)
    after = values(model.state())
    for layer in plain.generator.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            for variable in (layer.moving_mean, layer.moving_variance):
                name = f"generator/{variable.path}"
                np.testing.assert_allclose(after[name], variable.numpy(), rtol=1e-4, atol=1e-6)
    assert all((after[name] != before[name]).any() for name in first)


# ---------------------------------------------------------------- a batch in parts


def batch_for(config, count, missing=False):
    """What a model is given of drawn façades; the share of missing pixels is another in each image."""
    labels, photos = pairs(count)
    if config.data.task != "pairs":
        task = TASKS[config.data.task]()
        labels = tf.stack(
            [task.degraded(photo, tf.constant([0, i], tf.int64)) for i, photo in enumerate(photos)]
        )
        photos = task.target(photos)
    images = (photos,) if config.model.data == "images" else (labels, photos)
    if not missing:
        return images
    shares = np.linspace(0.2, 0.9, count)[:, None, None, None]
    draw = np.random.default_rng(0)
    weights = [
        tf.constant((draw.random((count, 64, 64, 1)) < shares).astype(np.float32))
        for _ in range(2 if config.model.data == "unpaired" else 1)
    ]
    first = images[: len(images) - len(weights)]  # the input of a pair
    masked = (image * weight for image, weight in zip(images[len(first) :], weights, strict=True))
    return (*first, *masked, *weights)


def trainer_for(config, strategy=None):
    """A trainer; of a student, with some network as its teacher."""
    with (strategy or tf.distribute.get_strategy()).scope():
        keras.utils.set_random_seed(8)
        inputs = TASKS[config.data.task]().input_channels if config.data.task != "pairs" else 3
        taught = build_generator(image_size=(64, 64), base_filters=4, input_channels=inputs)
    teacher = taught if hasattr(config.model, "teacher") else None
    return Trainer(model_for(config), config, 20, strategy, teacher)


INPAINT = {"task": "inpaint", "input_channels": None}
# A model, settings, and whether pixels are missing: every task that has weights, every loss, and every model
# whose normalization is per image.
MODELS = [
    ("pix2pix", {"pool_size": 3, "diff_augment": True}, False),
    ("pix2pix", INPAINT, False),
    ("pix2pix", {"gan_loss": "wgan-gp", "critic_steps": 2}, True),
    ("pix2pix", {**INPAINT, "gan_loss": "lsgan", "pixel_loss": "l2", "feature_matching": 5.0}, True),
    ("pix2pix", {"task": "colorize", "input_channels": None, "gan_loss": "hinge"}, True),
    ("distilled", INPAINT, True),
    ("distilled_from_inputs", {}, True),
    ("cyclegan", {"generator": "unet", "pool_size": 3}, True),
]


@pytest.mark.parametrize(
    ("model", "settings", "missing"),
    [*MODELS[:2], *(pytest.param(*each, marks=pytest.mark.slow) for each in MODELS[2:])],
)
def test_a_batch_in_parts_gives_the_step_of_the_batch(model, settings, missing):
    config = config_of(model=model, batch_size=4, **settings)
    found = []
    for each in (config, replace(config, accumulate=2)):
        trainer = trainer_for(each)
        metrics = step(trainer, batch_for(config, 4 * trainer.batches_per_step, missing))
        found.append((metrics, values(trainer.state())))
    (metrics, whole), (in_parts, parts) = found
    for name, value in metrics.items():
        assert in_parts[name] == pytest.approx(value, rel=SAME, abs=SAME), name
    assert gap_of(parts, whole) < 10 * SAME
    for name in whole:
        if "pool" in name:
            np.testing.assert_allclose(parts[name], whole[name], atol=1e-5)


def gap_of(one, other):
    """How far the gradients of two states are apart, relative, at most."""
    moments = [name for name in one if name.endswith("/m")]
    assert moments
    return max(
        float(np.linalg.norm(one[name] - other[name]) / (np.linalg.norm(other[name]) + 1e-12))
        for name in moments
    )


# ---------------------------------------------------------------- several devices

TWO_DEVICES = """
import json, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf
[cpu] = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import numpy as np
from tests.training.test_step import config_of, pairs, trainer_of, values, without_dropout

config = config_of(batch_size=2, all_reduce=sys.argv[1])
mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert mirrored.num_replicas_in_sync == 2
results = []
for strategy in (tf.distribute.get_strategy(), mirrored):
    model = without_dropout(trainer_of(config, strategy))
    data = tf.data.Dataset.from_tensors(pairs(2)).repeat(3)
    metrics = []
    for number, batch in enumerate(strategy.experimental_distribute_dataset(data)):
        metrics.append(model.train_step(batch, tf.constant(number, tf.int64)).numpy().tolist())
        if number == 0:
            first = values(model.state())
    last = values(model.state())
    results.append((metrics, first, last))
(single, first, _), (double, second, last) = results
assert first.keys() == second.keys()
moments = [name for name in first if name.endswith("/m")]
gap = {
    name: float(np.linalg.norm(first[name] - second[name]) / (np.linalg.norm(first[name]) + 1e-12))
    for name in moments
}
copies = max(
    float(np.abs(part.numpy() - variable.values[0].numpy()).max())
    for variable in model.state().values() if hasattr(variable, "values")
    for part in variable.values
)
print(json.dumps({"single": single, "double": double, "gap": max(gap.values()), "copies": copies}))
"""


def test_two_devices_do_the_step_of_one(python):
    done = python(TWO_DEVICES, "float32")
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    np.testing.assert_allclose(found["double"][0], found["single"][0], rtol=SAME)
    # From the second step on, Adam's first steps (signs of gradients) have made rounding visible.
    np.testing.assert_allclose(found["double"], found["single"], rtol=0.02, atol=0.02)
    assert found["gap"] < 10 * SAME
    assert found["copies"] == 0.0


def test_gradients_that_are_sent_in_bfloat16_are_rounded(python):
    done = python(TWO_DEVICES, "bfloat16")
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert 1e-4 < found["gap"] < 2**-7  # all_reduce keeps 8 bits of each


OF_EVERY_MODEL = """
import json, os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf
[cpu] = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import numpy as np
from tests.training.test_step import MODELS, batch_for, config_of, gap_of, trainer_for, values

mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
wgan = ("wgan", {"generator_filters": 8, "critic_filters": 2, "critic_steps": 2}, True)
for name, settings, missing in (*MODELS, wgan):
    config = config_of(model=name, batch_size=2, **settings)
    states, metrics = [], []
    for strategy in (tf.distribute.get_strategy(), mirrored):
        trainer = trainer_for(config, strategy)
        updates = trainer.batches_per_step
        batch = batch_for(config, 2 * updates, missing)
        if strategy is mirrored:  # a device's images of each update are together
            batch = [np.concatenate([images[::2], images[1::2]]) for images in batch]
        data = tf.data.Dataset.from_tensors(tuple(batch))
        [batch] = strategy.experimental_distribute_dataset(data)
        metrics.append(trainer.train_step(batch, tf.constant(0, tf.int64)).numpy().tolist())
        states.append(values(trainer.state()))
    print(json.dumps([name, *metrics, gap_of(*states)]), flush=True)
"""


@pytest.mark.slow
def test_two_devices_do_the_step_of_one_for_every_model(python):
    done = python(OF_EVERY_MODEL)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = list(map(json.loads, done.stdout.splitlines()))
    assert len(lines) == len(MODELS) + 1
    for name, single, double, gap in lines:
        np.testing.assert_allclose(double, single, rtol=SAME, atol=SAME, err_msg=name)
        assert gap < 10 * SAME, name


# ---------------------------------------------------------------- full size


@pytest.mark.slow
def test_the_papers_network_learns_at_full_size():
    model = trainer_of(config_of(image_size=(256, 256), base_filters=64))
    batch = pairs(1, 256)
    steps = [step(model, batch, number) for number in range(3)]
    assert np.isfinite([list(metrics.values()) for metrics in steps]).all()
    assert steps[2]["gen_l1"] < steps[0]["gen_l1"]
