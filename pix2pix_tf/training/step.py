"""The training step of all models: forward passes, gradients and updates, on one or more devices."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import keras
import tensorflow as tf

from pix2pix_tf.config import TrainConfig
from pix2pix_tf.models.base import Model, Teacher, Tensors
from pix2pix_tf.models.forward import ForwardPass, non_trainable_weights
from pix2pix_tf.runs.checkpoints import average_name, restore
from pix2pix_tf.training.ema import MovingAverages
from pix2pix_tf.training.optimizers import Adam, LossScale, all_finite
from pix2pix_tf.training.schedules import learning_rate

# Gradients are sent in packs: the first packs while the last gradients are computed. Saves 1/8 of a step.
_PACKED = tf.distribute.experimental.CommunicationOptions(bytes_per_pack=32 << 20)


class Trainer:
    """The networks and optimizers of a model, and its training step.

    Args:
        model: Model to train.
        config: Configuration with resolved ``precision`` (no 'auto').
        total_steps: Number of steps of the whole run.
        strategy: Distribution strategy of the variables and steps; the current one by default.
        teacher: Network of the model's `Teacher`, if it has one.

    Attributes:
        networks: Keras models by name.
        metrics: Names of the values that :meth:`train_step` returns.
        batches_per_step: Number of batches of ``batch_size`` per step, one per update.
    """

    def __init__(
        self,
        model: Model,
        config: TrainConfig,
        total_steps: int,
        strategy: tf.distribute.Strategy | None = None,
        teacher: keras.Model | None = None,
    ):
        self.strategy = strategy or tf.distribute.get_strategy()
        self.metrics = tuple(metric.name for metric in model.metrics())
        self._options = config.optimization
        self._teacher = {} if teacher is None else {Teacher.NETWORK: teacher}
        self._total_steps = total_steps
        self._phases = [phase for phase in model.phases() for _ in range(phase.repeats)]
        self.batches_per_step = model.batches_per_step()
        with self.strategy.scope():
            keras.utils.set_random_seed(self._options.seed)
            precision = self._options.precision
            self.networks = {name: build(precision) for name, build in model.networks().items()}
            self._adams = {
                name: Adam(
                    [variable.value for variable in network.trainable_variables],
                    self._options.beta_1,
                    self._options.beta_2,
                )
                for name, network in self.networks.items()
            }
            self._loss_scale = LossScale() if precision == "mixed_float16" else None
            self._extra_state = dict(model.extra_state())
            published = {generator.network for generator in model.published_generators().values()}
            decay = self._options.ema_decay
            self._averages = MovingAverages(self.weights(published), decay) if decay else None

    def weights(self, networks: Collection[str] | None = None) -> dict[str, tf.Variable]:
        """Returns the weights of ``networks``, or of all networks, by checkpoint name."""
        return {
            f"{name}/{variable.path}": variable.value
            for name, network in self.networks.items()
            if networks is None or name in networks
            for variable in (*network.trainable_variables, *non_trainable_weights(network))
        }

    def _averaged(self) -> dict[str, tf.Variable]:
        return {} if self._averages is None else self._averages.variables

    def published_weights(self) -> dict[str, tf.Variable]:
        """Returns the weights, with moving averages instead of the published generators' weights, if any."""
        return self.weights() | self._averaged()

    def weights_and_averages(self) -> dict[str, tf.Variable]:
        """Returns the weights and their moving averages, by checkpoint name: all that inference needs."""
        return self.weights() | {average_name(name): each for name, each in self._averaged().items()}

    def state(self) -> dict[str, tf.Variable]:
        """Returns every variable that training changes, by checkpoint name.

        Dropout's random state is not among them, because each step sets it from the seed and the step.
        """
        variables = self.weights_and_averages() | self._extra_state
        for name, network in self.networks.items():
            moments = zip(network.trainable_variables, self._adams[name].moments, strict=True)
            for variable, (m, v) in moments:
                variables |= {f"{name}_adam/{variable.path}/m": m, f"{name}_adam/{variable.path}/v": v}
        if self._loss_scale is not None:
            variables["loss_scale/scale"] = self._loss_scale.scale
            variables["loss_scale/good_updates"] = self._loss_scale.good_updates
        return variables

    def load_weights(self, checkpoint: Path, sources: Mapping[str, str] | None = None) -> None:
        """Loads initial weights from another run's checkpoint.

        ``sources`` maps networks to their names in the checkpoint; by default all networks are loaded by
        their own names.
        """
        sources = sources or {name: name for name in self.networks}
        weights = {
            source + key.removeprefix(name): variable
            for name, source in sources.items()
            for key, variable in self.weights([name]).items()
        }
        restore(checkpoint, weights)
        if self._averages is not None:
            self._averages.reset()

    def learning_rate(self, step: tf.Tensor | int) -> tf.Tensor:
        """Returns the learning rate after ``step`` steps, a float32 scalar."""
        return learning_rate(self._options, step, self._total_steps)

    @tf.function(reduce_retracing=True)
    def train_step(self, batch: tuple[tf.Tensor, ...], step: tf.Tensor) -> tf.Tensor:
        """Makes all updates of a step.

        Args:
            batch: Images from `training_batches`, [batches_per_step * batch size, ...], or a distributed
                batch. The images of each update, and of each accumulated part of it, are consecutive.
            step: Number of completed steps, an int64 scalar. Together with the seed it determines all
                randomness.

        Returns:
            float32 [len(metrics)], means over the batch and over the updates that measure a metric.
        """
        per_device = self.strategy.run(self._device_step, args=(batch, step))
        return self.strategy.experimental_local_results(per_device)[0]

    def _device_step(self, batch: tuple[tf.Tensor, ...], step: tf.Tensor) -> tf.Tensor:
        accumulate = self._options.accumulate
        parts = list(zip(*(tf.split(x, len(self._phases) * accumulate) for x in batch), strict=True))
        measured: dict[str, list[tf.Tensor]] = {name: [] for name in self.metrics}
        for number in range(len(self._phases)):
            for metrics in self._update(number, parts[number * accumulate :][:accumulate], step):
                for name, value in metrics.items():
                    measured[name].append(value)
        if self._averages is not None:
            self._averages.update(step + 1)
        means = tf.stack([tf.add_n(values) / len(values) for values in measured.values()])
        if self.strategy.num_replicas_in_sync == 1:
            return means
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, [means])[0]

    def _update(
        self, number: int, parts: Sequence[Tensors], step: tf.Tensor
    ) -> list[Mapping[str, tf.Tensor]]:
        """Makes update ``number`` of a step; returns the metrics of each accumulated part of its batch."""
        sums: dict[str, list[tf.Tensor]] | None = None
        networks, seed = self.networks | self._teacher, self._options.seed
        measured = []
        for index, part in enumerate(parts):
            place = (index, len(parts))
            forward = ForwardPass(networks, self._extra_state, seed, step, number, place)
            # One after the other: computed together, the parts would need the memory of the whole batch.
            with tf.control_dependencies(tf.nest.flatten(sums) if sums is not None else []):
                gradients, metrics = self._gradients(number, part, forward)
            sums = gradients if sums is None else tf.nest.map_structure(tf.add, sums, gradients)
            measured.append(metrics)
        assert sums is not None  # there is at least one part
        self._apply(sums, step, number)
        return measured

    def _gradients(
        self, number: int, batch: Tensors, forward: ForwardPass
    ) -> tuple[dict[str, list[tf.Tensor]], Mapping[str, tf.Tensor]]:
        """Returns the gradients of each network that update ``number`` trains, and the metrics."""
        phase = self._phases[number]
        factor = 1.0 / (self.strategy.num_replicas_in_sync * self._options.accumulate)
        scale = factor * self._loss_scale.scale if self._loss_scale is not None else factor
        trained = {
            loss: {name: self._adams[name].variables for name in names}
            for loss, names in phase.trains.items()
        }
        with contextlib.ExitStack() as stack:
            tapes = {
                loss: stack.enter_context(tf.GradientTape(watch_accessed_variables=False)) for loss in trained
            }
            for loss, tape in tapes.items():
                tape.watch(trained[loss])
            losses, metrics = phase.losses(batch, forward)
            scaled = {loss: losses[loss] * scale for loss in trained}
        gradients: dict[str, list[tf.Tensor]] = {}
        for loss, tape in tapes.items():
            gradients |= tape.gradient(scaled[loss], trained[loss])
        # No weight may change before all losses are computed. Without these dependencies, an update waits for
        # its own gradients only, and a generator's loss may use a discriminator that is already updated.
        with tf.control_dependencies([*losses.values(), *metrics.values()]):
            gradients = tf.nest.map_structure(tf.identity, gradients)
        return gradients, metrics

    def _apply(self, gradients: Mapping[str, Sequence[tf.Tensor]], step: tf.Tensor, number: int) -> None:
        """Sums gradients over the devices and applies them, unless float16 overflows."""
        sums = tf.nest.flatten(gradients)
        if self.strategy.num_replicas_in_sync > 1:
            sent = [tf.cast(gradient, self._options.all_reduce) for gradient in sums]
            context = tf.distribute.get_replica_context()
            received = context.all_reduce(tf.distribute.ReduceOp.SUM, sent, _PACKED)
            sums = [tf.cast(each, tf.float32) for each in received]
        rate = self.learning_rate(step)

        def update(sums: list[tf.Tensor]) -> None:
            for name, own in tf.nest.pack_sequence_as(gradients, sums).items():
                trains = [name in itertools.chain(*phase.trains.values()) for phase in self._phases]
                updates = step * sum(trains) + sum(trains[: number + 1])  # including this one
                self._adams[name].apply(own, rate, updates)

        if self._loss_scale is None:
            update(sums)
            return
        unscaled = self._loss_scale.unscale(sums)
        finite = all_finite(unscaled)
        tf.cond(finite, lambda: update(unscaled), lambda: None)
        self._loss_scale.update(finite)
