"""The training step of any model: forward passes, gradients, updates, on one device or on several."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import keras
import tensorflow as tf

from pix2pix_tf.config import TrainConfig
from pix2pix_tf.models.base import Model, Teacher
from pix2pix_tf.models.forward import ForwardPass, changing_weights
from pix2pix_tf.runs.checkpoints import average_name, restore
from pix2pix_tf.training.ema import MovingAverages
from pix2pix_tf.training.optimizers import Adam, LossScale, all_finite
from pix2pix_tf.training.schedules import learning_rate

# In parts: the first gradients are sent while the last are computed, which saved an eighth of a step.
_TOGETHER = tf.distribute.experimental.CommunicationOptions(bytes_per_pack=32 << 20)


class Trainer:
    """A model's networks and their optimisers, trained one step at a time.

    Args:
        model: what is trained.
        config: with ``precision`` resolved (no 'auto').
        total_steps: of the whole run.
        strategy: where the variables live and steps run; the current one by default.
        teacher: the network of the model's `Teacher`, where it has one.

    Attributes:
        networks: Keras models by name.
        metrics: the names of what a step returns, in that order.
        batches_per_step: how many batches of ``batch_size`` a step takes, one for each update.

    Batches that are accumulated come as their parts, which each device has a share of.
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
        self._recalled = {} if teacher is None else {Teacher.NETWORK: teacher}
        self._total_steps = total_steps
        self._phases = [phase for phase in model.phases() for _ in range(phase.repeats)]
        self.batches_per_step = model.batches_per_step()
        with self.strategy.scope():
            keras.utils.set_random_seed(self._options.seed)
            precision = self._options.precision
            self.networks = {name: build(precision) for name, build in model.networks().items()}
            self._adams = {name: self._adam(network) for name, network in self.networks.items()}
            self._loss_scale = LossScale() if precision == "mixed_float16" else None
            self._extra_state = dict(model.extra_state())
            published = {generator.network for generator in model.published_generators().values()}
            decay = self._options.ema_decay
            self._averages = MovingAverages(self.weights(published), decay) if decay else None

    def _adam(self, network: keras.Model) -> Adam:
        variables = [variable.value for variable in network.trainable_variables]
        return Adam(variables, self._options.beta_1, self._options.beta_2)

    def weights(self, networks: Collection[str] | None = None) -> dict[str, tf.Variable]:
        """Returns the weights of some networks, or of all: all that change, by names that stay for ever."""
        return {
            f"{name}/{variable.path}": variable.value
            for name, network in self.networks.items()
            if networks is None or name in networks
            for variable in (*network.trainable_variables, *changing_weights(network))
        }

    def published_weights(self) -> dict[str, tf.Variable]:
        """Returns the weights that samples are painted with, by the same names: averages where there are."""
        return self.weights() | (self._averages.variables if self._averages is not None else {})

    def load_weights(self, checkpoint: Path, renamed: Mapping[str, str] | None = None) -> None:
        """Begins with the weights of another run; averages begin there, too.

        Args:
            checkpoint: of that run.
            renamed: of the networks to take, their names there; all by their own names if not given.
        """
        taken = {
            other + key.removeprefix(name): variable
            for name, other in (renamed or {name: name for name in self.networks}).items()
            for key, variable in self.weights([name]).items()
        }
        restore(checkpoint, taken)
        if self._averages is not None:
            self._averages.reset()

    def weights_and_averages(self) -> dict[str, tf.Variable]:
        """Returns the weights and their averages: all but what only continuing needs."""
        averages = self._averages.variables if self._averages is not None else {}
        return self.weights() | {average_name(name): average for name, average in averages.items()}

    def state(self) -> dict[str, tf.Variable]:
        """Returns every variable that training changes, by a name that stays the same for ever.

        Dropout's random state is not among them: each step sets it from the seed and the step.
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

    def learning_rate(self, step: tf.Tensor | int) -> tf.Tensor:
        """Returns the learning rate after ``step`` steps, a float32 scalar."""
        return learning_rate(self._options, step, self._total_steps)

    @tf.function(reduce_retracing=True)
    def train_step(self, batch: tuple[tf.Tensor, ...], step: tf.Tensor) -> tf.Tensor:
        """Updates every network, as often as the model says.

        Args:
            batch: as `training_batches` gives it, [batches_per_step batch_size, ...], or one a device.
            step: steps done before this one, an int64 scalar. With the seed it decides all that is random.

        Returns:
            float32 [len(metrics)], means over the whole batch and over the updates that measure them.
        """
        per_device = self.strategy.run(self._device_step, args=(batch, step))
        return self.strategy.experimental_local_results(per_device)[0]

    def _device_step(self, batch: tuple[tf.Tensor, ...], step: tf.Tensor) -> tf.Tensor:
        parts = self._options.accumulate
        count = len(self._phases) * parts
        batches = (
            list(zip(*(tf.split(images, count) for images in batch), strict=True)) if count > 1 else [batch]
        )
        measured: dict[str, list[tf.Tensor]] = {name: [] for name in self.metrics}
        for number in range(len(self._phases)):
            for metrics in self._update(number, batches[number * parts : (number + 1) * parts], step):
                for name, value in metrics.items():
                    measured[name].append(value)
        if self._averages is not None:
            self._averages.update(step + 1)
        means = tf.stack([tf.add_n(values) / len(values) for values in measured.values()])
        if self.strategy.num_replicas_in_sync == 1:
            return means
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, [means])[0]

    def _update(
        self, number: int, parts: Sequence[Sequence[tf.Tensor]], step: tf.Tensor
    ) -> list[Mapping[str, tf.Tensor]]:
        """Does one of a step's updates; returns the metrics of each part of its batch."""
        sums, measured = None, []
        for place, part in enumerate(parts):
            forward = ForwardPass(
                self.networks | self._recalled,
                self._extra_state,
                self._options.seed,
                step,
                number,
                (place, len(parts)),
            )
            # One after the other: at the same time they would take the memory of the whole batch.
            with tf.control_dependencies(tf.nest.flatten(sums) if sums is not None else []):
                gradients, metrics = self._gradients(number, part, forward)
            sums = gradients if sums is None else tf.nest.map_structure(tf.add, sums, gradients)
            measured.append(metrics)
        assert sums is not None  # a batch has a part
        self._apply(sums, step, number)
        return measured

    def _gradients(
        self, number: int, batch: Sequence[tf.Tensor], forward: ForwardPass
    ) -> tuple[dict[str, list[tf.Tensor]], Mapping[str, tf.Tensor]]:
        """Returns one update's gradients of each network that it trains, and its metrics."""
        phase = self._phases[number]
        factor = 1.0 / (self.strategy.num_replicas_in_sync * self._options.accumulate)
        scale = factor * self._loss_scale.scale if self._loss_scale is not None else factor
        with contextlib.ExitStack() as tapes:
            tape_of = {
                objective: tapes.enter_context(tf.GradientTape(watch_accessed_variables=False))
                for objective in phase.trains
            }
            for objective, names in phase.trains.items():
                for name in names:
                    tape_of[objective].watch(self._adams[name].variables)
            objectives, metrics = phase.objectives(batch, forward)
            scaled = {objective: objectives[objective] * scale for objective in phase.trains}
        gradients: dict[str, list[tf.Tensor]] = {}
        for objective, names in phase.trains.items():
            trained = {name: self._adams[name].variables for name in names}
            gradients |= tape_of[objective].gradient(scaled[objective], trained)
        # No weight may change before every loss is computed: the runtime orders the updates behind what their
        # gradients need only, and a generator's loss would now and then see a newer discriminator.
        with tf.control_dependencies([*objectives.values(), *metrics.values()]):
            gradients = tf.nest.map_structure(tf.identity, gradients)
        return gradients, metrics

    def _apply(self, gradients: Mapping[str, Sequence[tf.Tensor]], step: tf.Tensor, number: int) -> None:
        """Sums the gradients of each network over the devices and applies them, unless float16 overflowed."""
        sums = self._summed(tf.nest.flatten(gradients))
        rate = self.learning_rate(step)

        def update(summed: list[tf.Tensor]) -> None:
            for name, own in tf.nest.pack_sequence_as(gradients, summed).items():
                of_network = [name in itertools.chain(*phase.trains.values()) for phase in self._phases]
                updates = step * sum(of_network) + sum(of_network[: number + 1])  # since training began
                self._adams[name].apply(own, rate, updates)

        if self._loss_scale is None:
            update(sums)
            return
        unscaled = self._loss_scale.unscale(sums)
        finite = all_finite(unscaled)
        tf.cond(finite, lambda: update(unscaled), lambda: None)
        self._loss_scale.update(finite)

    def _summed(self, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
        """Sums gradients over the devices."""
        if self.strategy.num_replicas_in_sync == 1:
            return gradients
        context = tf.distribute.get_replica_context()
        sent = [tf.cast(gradient, self._options.all_reduce) for gradient in gradients]
        sums = context.all_reduce(tf.distribute.ReduceOp.SUM, sent, _TOGETHER)
        return [tf.cast(each, tf.float32) for each in sums]
