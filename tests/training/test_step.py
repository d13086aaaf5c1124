"""The training step against a plain one: two tapes, Keras' own training calls, the losses as formulas."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.models.forward import ForwardPass
from pix2pix_tf.networks import build_discriminator, build_generator
from pix2pix_tf.networks.layers import Dropout
from tests.networks.inputs import filter_everything_minimally
from tests.training.steps import (
    SAME,
    config_of,
    distance,
    eagerly,
    pairs,
    reset,
    step,
    trainer_of,
    values,
    without_fast_layers,
)

NUMBER = 7  # of the step that is compared
NETWORKS = ("generator", "discriminator")


@pytest.fixture(scope="module")
def trained():
    """A trainer in float32, and its state at the start."""
    trainer = trainer_of(config_of())
    return trainer, values(trainer.state())


@pytest.fixture
def trainer(trained):
    reset(*trained)
    return trained[0]


# ---------------------------------------------------------------- against a plain step


def seeds_of(config, layers, number):
    """The dropout states that the step derives from the run's seed, the step and the device 0."""

    def fold(key, number):
        return tf.random.experimental.stateless_fold_in(key, tf.constant(number, tf.int64))

    seed = fold(tf.constant([config.optimization.seed, number], tf.int64), 0)
    return [tf.bitcast(fold(fold(seed, layer), 0)[0], tf.uint32) for layer in range(layers)]


class PlainStep:
    """The step as a textbook writes it: each loss under its own tape, the layers as in inference."""

    def __init__(self, config, dtype="float32"):
        self.config = config
        settings = {"base_filters": config.model.base_filters, "norm": config.model.norm, "dtype": dtype}
        self.generator = build_generator(
            image_size=config.data.size,
            upsampling=config.model.upsampling,
            last_convolution=config.model.last_convolution,
            **settings,
        )
        self.discriminator = build_discriminator(**settings)
        self.number = NUMBER

    def load(self, stored, name):
        """Sets the weights of a network."""
        for variable in getattr(self, name).trainable_variables:
            variable.assign(stored[f"{name}/{variable.path}"])

    @without_fast_layers()
    def generate(self, inputs):
        dropouts = [layer for layer in self.generator.layers if isinstance(layer, keras.layers.Dropout)]
        for layer, seed in zip(dropouts, seeds_of(self.config, len(dropouts), self.number), strict=True):
            layer.seed_generator.state.assign(seed)
        return self.generator(inputs, training=True)

    @staticmethod
    def cost(logits, real):
        probability = tf.sigmoid(logits)
        return tf.reduce_mean(-tf.math.log(probability if real else 1 - probability))

    @without_fast_layers()
    def gradients_and_losses(self, name, inputs, targets):
        network = getattr(self, name)
        with tf.GradientTape() as tape:
            fake = self.generate(inputs)
            fake_logits = self.discriminator([inputs, fake], training=True)
            if name == "generator":
                gan, l1 = self.cost(fake_logits, real=True), tf.reduce_mean(tf.abs(fake - targets))
                loss = gan + 100.0 * l1
                losses = {"gen_total": loss, "gen_gan": gan, "gen_l1": l1}
            else:
                real_logits = self.discriminator([inputs, targets], training=True)
                loss = (self.cost(real_logits, real=True) + self.cost(fake_logits, real=False)) / 2
                losses = {
                    "disc": loss,
                    "disc_real_accuracy": tf.reduce_mean(tf.cast(real_logits > 0, tf.float32)),
                    "disc_fake_accuracy": tf.reduce_mean(tf.cast(fake_logits < 0, tf.float32)),
                }
        return tape.gradient(loss, network.trainable_variables), losses

    def gradients(self, name, batch):
        return self.gradients_and_losses(name, *batch)[0]


@pytest.fixture(scope="module")
def plain(trained):
    return PlainStep(config_of())


@pytest.fixture(scope="module", params=[1, 3], ids=["batch of 1", "batch of 3"])
def compared(request, trained, plain):
    """A batch, a step's metrics and the state after it, and the plain step from the same state."""
    trainer, stored = trained
    reset(trainer, stored)
    batch = pairs(request.param)
    metrics = step(trainer, batch, NUMBER)
    for name in NETWORKS:
        plain.load(stored, name)
    return batch, metrics, values(trainer.state()), plain


def gradients_in(after, network):
    """The gradients that the optimizer was given: at the first update m = (1 - beta_1) gradient."""
    prefix = f"{network.name}_adam"
    return [after[f"{prefix}/{variable.path}/m"] / 0.5 for variable in network.trainable_variables]


def test_losses_equal_a_plain_step(compared):
    batch, metrics, _, plain = compared
    expected = {}
    for name in NETWORKS:
        expected |= {key: float(loss) for key, loss in plain.gradients_and_losses(name, *batch)[1].items()}
    assert metrics == pytest.approx(expected, rel=SAME)


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_equal_a_plain_step_with_the_other_network_before_its_update(compared, trained, name):
    batch, _, after, plain = compared
    found = gradients_in(after, getattr(plain, name))
    assert distance(found, plain.gradients(name, batch)) < SAME
    [other] = {*NETWORKS} - {name}
    plain.load(after, other)
    later = plain.gradients(name, batch)
    plain.load(trained[1], other)
    assert distance(found, later) > (10 if name == "discriminator" else 2) * SAME


@pytest.mark.slow
@pytest.mark.parametrize(
    ("batch_size", "products", "luck"), [(1, "all", 1.5), (8, "all", 1.5), (8, "fewer", 3)]
)
def test_every_gradient_equals_the_plain_one_within_float32_rounding(
    trained, plain, batch_size, products, luck, monkeypatch
):
    trainer, stored = trained
    batch = pairs(batch_size)
    reset(trainer, stored)
    if products == "fewer":
        filter_everything_minimally(monkeypatch, pixels=200)
        with eagerly():
            step(trainer, batch, NUMBER)
    else:
        step(trainer, batch, NUMBER)
    after = values(trainer.state())
    for name in NETWORKS:
        plain.load(stored, name)
    for name in NETWORKS:
        network, truth = getattr(plain, name), plain.gradients(name, batch)
        usual = [plain.gradients(name, each) for each in nudged(batch)]
        found = gradients_in(after, network)
        for variable, fast, true, *own in zip(network.trainable_variables, found, truth, *usual, strict=True):
            # As near to the plain gradient as that of images which differ by rounding, but for luck.
            error, bound = distance([fast], [true]), max(distance([each], [true]) for each in own)
            assert error <= luck * bound + SAME, variable.path


def nudged(batch):
    """The images moved as little as rounding in the layers does: some leaky ReLU changes sign."""
    random = np.random.default_rng(0)
    for _ in range(6):
        yield tuple(
            images * (1 + 1e-6 * random.normal(size=images.shape).astype(np.float32)) for images in batch
        )


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 8])
def test_gradients_in_bfloat16_are_as_exact_as_the_plain_ones(trained, plain, batch_size):
    _, stored = trained
    trainer, batch = trainer_of(config_of(precision="mixed_bfloat16")), pairs(batch_size)
    rounded = PlainStep(config_of(), "mixed_bfloat16")
    errors = {}  # of each tensor, a step: the fast and the plain error, beside float32
    for each in (plain, rounded):
        for name in NETWORKS:
            each.load(stored, name)
    for number in range(3, 9):  # each drops other units
        reset(trainer, stored)
        step(trainer, batch, number)
        after = values(trainer.state())
        plain.number = rounded.number = number
        for name in NETWORKS:
            network = getattr(plain, name)
            found = gradients_in(after, network)
            true, usual = plain.gradients(name, batch), rounded.gradients(name, batch)
            for variable, fast, truth, slow in zip(
                network.trainable_variables, found, true, usual, strict=True
            ):
                pair = distance([fast], [truth]), distance([slow], [truth])
                errors.setdefault(f"{name}/{variable.path}", []).append(pair)
    plain.number = NUMBER
    pooled = {name: np.sqrt(np.mean(np.square(each), axis=0)) for name, each in errors.items()}
    ratios = {name: fast / slow for name, (fast, slow) in pooled.items()}
    # Both ways round equally often, at different places, so their errors have one distribution. One more
    # rounding of the same size everywhere would double its variance; the limit is half of that.
    assert np.median(list(ratios.values())) < np.sqrt(1.5)
    # A tensor's six errors don't depend on each other: four times their mean square isn't chance. Errors are
    # about 0.15, so that a wrong tensor has seven times as much and more.
    worst = max(ratios, key=ratios.get)
    assert ratios[worst] < 2, worst


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_are_updated_as_keras_adam_updates_them(compared, trained, name):
    _, _, after, plain = compared
    network, stored, options = getattr(plain, name), trained[1], plain.config.optimization
    theirs = [keras.Variable(stored[f"{name}/{v.path}"]) for v in network.trainable_variables]
    adam = keras.optimizers.Adam(options.learning_rate, options.beta_1, options.beta_2, epsilon=1e-8)
    adam.build(theirs)
    adam.iterations.assign(NUMBER)
    adam.apply([tf.constant(gradient) for gradient in gradients_in(after, network)], theirs)
    for variable, expected in zip(network.trainable_variables, theirs, strict=True):
        # A first step is as long as the learning rate, 2e-4: a hundredth of that.
        np.testing.assert_allclose(after[f"{name}/{variable.path}"], expected.numpy(), atol=2e-6)
        assert (after[f"{name}/{variable.path}"] != stored[f"{name}/{variable.path}"]).any()


def test_batch_normalization_updates_its_running_averages():
    config = config_of(norm="batch")
    trainer, plain = trainer_of(config), PlainStep(config)
    before = values(trainer.state())
    plain.load(before, "generator")
    averages = {name for name in before if name.endswith(("/moving_mean", "/moving_variance"))}
    assert len({name for name in averages if name.startswith("generator/")}) == 2 * (4 + 5)
    assert len({name for name in averages if name.startswith("discriminator/")}) == 2 * 3
    inputs, targets = pairs(2)
    plain.generate(inputs)
    with eagerly():
        step(trainer, (inputs, targets), NUMBER)
    after = values(trainer.state())
    for layer in plain.generator.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            for variable in (layer.moving_mean, layer.moving_variance):
                name = f"generator/{variable.path}"
                np.testing.assert_allclose(after[name], variable.numpy(), rtol=1e-4, atol=1e-6)
    assert all((after[name] != before[name]).any() for name in averages)


# ---------------------------------------------------------------- pure function of seed and step


def test_seed_and_step_decide_everything(trained, trainer):
    batch = pairs(1)
    first = step(trainer, batch, 7)
    after = values(trainer.state())
    reset(*trained)
    assert step(trainer, batch, 7) == first
    for name, value in values(trainer.state()).items():
        np.testing.assert_array_equal(value, after[name], err_msg=name)
    seen = set()
    for number in (0, 1, 2, 2**33):
        reset(*trained)
        seen.add(step(trainer, batch, number)["gen_l1"])
    assert len(seen) == 4


def test_steps_with_equal_32_bit_hashes_drop_different_units():
    inputs = keras.Input((1000,))
    network = keras.Model(inputs, Dropout(0.5, seed=0)(inputs))
    one, other = (
        ForwardPass({"network": network}, {}, 3, tf.constant(number, tf.int64)).run(
            "network", tf.ones([1, 1000])
        )
        for number in (13489, 23111)
    )
    assert 0.4 < np.mean(one == other) < 0.6


def test_the_seed_decides_the_first_weights(trained):
    again = values(trainer_of(config_of()).state())
    assert again.keys() == trained[1].keys()
    for name, value in again.items():
        np.testing.assert_array_equal(value, trained[1][name])
    other = values(trainer_of(config_of(seed=4)).state())
    kernels = [name for name in again if name.endswith("kernel")]
    assert kernels
    assert all((other[name] != again[name]).all() for name in kernels)


def test_the_state_names_every_weight_and_its_moments_but_no_random_state(trainer):
    state = trainer.state()
    weights = [name for name in state if name.startswith(("generator/", "discriminator/"))]
    moments = [name for name in state if "_adam/" in name]
    assert len(moments) == 2 * len(weights)
    averages = [name for name in state if name.startswith("average/generator/")]
    assert len(state) == len(weights) + len(moments) + len(averages)
    assert not [name for name in state if "seed" in name]
    assert len({variable.ref() for variable in state.values()}) == len(state)


def test_steps_on_one_pair_learn_it(trainer):
    batch = pairs(1)
    losses = [step(trainer, batch, number)["gen_l1"] for number in range(60)]
    assert np.isfinite(losses).all()
    assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:3])
