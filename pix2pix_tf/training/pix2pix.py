"""The pix2pix training step: both losses from one forward pass, both gradients, both updates."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import tensorflow as tf

from pix2pix_tf.config import TrainConfig
from pix2pix_tf.losses import discriminator_loss, generator_loss
from pix2pix_tf.networks import build_discriminator, build_generator
from pix2pix_tf.networks.generators import unet_levels
from pix2pix_tf.training.optimizers import Adam, LossScale, all_finite

# The order of the vector that a training step returns.
METRICS = (
    "gen_total",
    "gen_gan",
    "gen_l1",
    "disc",
    "disc_real_accuracy",
    "disc_fake_accuracy",
)


class Pix2Pix:
    """Generator, discriminator and their optimisers, trained one step at a time.

    Args:
        config: with ``precision`` and the channels resolved (no 'auto', no ``None``).
        strategy: where the variables live and steps run; the current one by default.

    Attributes:
        generator: Keras model, input to output.
        discriminator: Keras model, [input, target] to logits.
    """

    def __init__(self, config: TrainConfig, strategy: tf.distribute.Strategy | None = None):
        self.config = config
        self.strategy = strategy or tf.distribute.get_strategy()
        options = config.optimization
        with self.strategy.scope():
            keras.utils.set_random_seed(options.seed)
            levels = unet_levels(config.data.size)
            self.generator = build_generator(config.network, levels, dtype=options.precision)
            self.discriminator = build_discriminator(config.network, dtype=options.precision)
            self._generator_adam = self._adam(self.generator)
            self._discriminator_adam = self._adam(self.discriminator)
            self._loss_scale = LossScale() if options.precision == "mixed_float16" else None
        self._dropout_states = [
            layer.seed_generator.state
            for layer in self.generator.layers
            if isinstance(layer, keras.layers.Dropout)
        ]

    def _adam(self, model: keras.Model) -> Adam:
        options = self.config.optimization
        variables = [variable.value for variable in model.trainable_variables]
        return Adam(variables, options.learning_rate, options.beta_1, options.beta_2)

    def state(self) -> dict[str, tf.Variable]:
        """Returns every variable that training changes, by a name that stays the same for ever.

        Dropout's random state is not among them: each step sets it from the seed and the step.
        """
        variables = {
            **_named("generator", self.generator),
            **_named("discriminator", self.discriminator),
            **_named_moments("generator", self.generator, self._generator_adam),
            **_named_moments("discriminator", self.discriminator, self._discriminator_adam),
        }
        if self._loss_scale is not None:
            variables["loss_scale/scale"] = self._loss_scale.scale
            variables["loss_scale/good_updates"] = self._loss_scale.good_updates
        return variables

    @tf.function(reduce_retracing=True)
    def train_step(self, inputs: tf.Tensor, targets: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Updates both networks once, on one batch.

        The paper alternates a step on D and a step on G. Here both gradients come from one forward pass,
        G's through D as it was before its update: half the work, the same learning.

        Args:
            inputs: float32 [batch, height, width, input channels] in [-1, 1], or one a device.
            targets: float32 [batch, height, width, output channels] in [-1, 1], or one a device.
            step: steps done before this one, an int64 scalar. With the seed it decides the dropout.

        Returns:
            float32 [len(METRICS)], the values named by ``METRICS``, means over the whole batch.
        """
        per_device = self.strategy.run(self._device_step, args=(inputs, targets, step))
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, per_device, axis=None)

    def _device_step(self, inputs: tf.Tensor, targets: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        share = 1.0 / self.strategy.num_replicas_in_sync
        loss_scale = self._loss_scale.scale if self._loss_scale is not None else 1.0

        with tf.GradientTape() as generator_tape, tf.GradientTape() as discriminator_tape:
            fake = self._generate(inputs, step)
            real_logits = self.discriminator([inputs, targets], training=True)
            fake_logits = self.discriminator([inputs, fake], training=True)
            loss = generator_loss(fake_logits, fake, targets, self.config.optimization.l1_weight)
            disc_loss = discriminator_loss(real_logits, fake_logits)
            generator_objective = loss.total * (share * loss_scale)
            discriminator_objective = disc_loss * (share * loss_scale)

        generator_gradients = generator_tape.gradient(generator_objective, self._generator_adam.variables)
        discriminator_gradients = discriminator_tape.gradient(
            discriminator_objective, self._discriminator_adam.variables
        )
        self._apply(generator_gradients, discriminator_gradients, step)
        self._share_running_averages()

        accuracy_on_real = tf.reduce_mean(tf.cast(real_logits > 0, tf.float32))
        accuracy_on_fake = tf.reduce_mean(tf.cast(fake_logits < 0, tf.float32))
        return share * tf.stack([*loss, disc_loss, accuracy_on_real, accuracy_on_fake])

    def _generate(self, inputs: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """The generator's output in training, its dropout a pure function of seed, step and device."""
        device = tf.distribute.get_replica_context().replica_id_in_sync_group
        seed = tf.stack([tf.constant(self.config.optimization.seed, tf.int64), step])
        seed = tf.random.experimental.stateless_fold_in(seed, tf.cast(device, tf.int64))
        seeds = [
            (state, tf.cast(tf.random.experimental.stateless_fold_in(seed, layer), tf.uint32))
            for layer, state in enumerate(self._dropout_states)
        ]
        with keras.StatelessScope(state_mapping=seeds) as scope:
            fake = self.generator(inputs, training=True)
        for variable in _running_averages(self.generator):
            variable.assign(scope.get_current_value(variable))
        return fake

    def _share_running_averages(self) -> None:
        """Gives every device the mean of all devices' moving averages, so that any one may be saved."""
        if self.strategy.num_replicas_in_sync == 1:
            return
        context = tf.distribute.get_replica_context()
        for variable in (*_running_averages(self.generator), *_running_averages(self.discriminator)):
            variable.assign(context.all_reduce(tf.distribute.ReduceOp.MEAN, variable.value))

    def _apply(
        self,
        generator_gradients: list[tf.Tensor],
        discriminator_gradients: list[tf.Tensor],
        step: tf.Tensor,
    ) -> None:
        """Sums the gradients over the devices and applies them, unless float16 overflowed."""
        context = tf.distribute.get_replica_context()
        sums = context.all_reduce(
            tf.distribute.ReduceOp.SUM, [*generator_gradients, *discriminator_gradients]
        )

        def update(gradients: list[tf.Tensor]) -> None:
            split = len(generator_gradients)
            self._generator_adam.apply(gradients[:split], step)
            self._discriminator_adam.apply(gradients[split:], step)

        if self._loss_scale is None:
            update(sums)
            return
        gradients = self._loss_scale.unscale(sums)
        finite = all_finite(gradients)
        tf.cond(finite, lambda: update(gradients), lambda: None)
        self._loss_scale.update(finite)


def _running_averages(model: keras.Model) -> Iterator[keras.Variable]:
    """The moving mean and variance of batch normalisation, which are not trained but do change."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            yield from (layer.moving_mean, layer.moving_variance)


def _named(prefix: str, model: keras.Model) -> dict[str, tf.Variable]:
    variables = [*model.trainable_variables, *_running_averages(model)]
    return {f"{prefix}/{variable.path}": variable.value for variable in variables}


def _named_moments(prefix: str, model: keras.Model, adam: Adam) -> dict[str, tf.Variable]:
    return {
        f"{prefix}_adam/{variable.path}/{name}": moment
        for variable, moments in zip(model.trainable_variables, adam.moments, strict=True)
        for name, moment in zip(("m", "v"), moments, strict=True)
    }
