"""Steps and batches of one device and of two, on CPUs that are divided in two; prints what differs as JSON.

python -m tests.training.two_devices
"""

import contextlib
import json
from itertools import islice

import numpy as np
import tensorflow as tf

from pix2pix_tf.data.pipeline import training_batches
from pix2pix_tf.data.sources import open_dataset
from pix2pix_tf.distribution import Hosts
from tests.conftest import small_config
from tests.training.steps import (
    MODELS,
    batch_for,
    config_of,
    eagerly,
    largest_gap,
    pairs,
    trainer_of,
    values,
    without_dropout,
)

[CPU] = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(CPU, [tf.config.LogicalDeviceConfiguration()] * 2)
ONE, TWO = tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
CYCLEGAN = ("cyclegan", {"generator": "unet", "pool_size": 0}, True)
WGAN = ("wgan", {"generator_filters": 8, "critic_filters": 2, "critic_steps": 2}, True)


def report(name: str, **found: object) -> None:
    print(json.dumps({"name": name, **found}), flush=True)


def compare_batches() -> None:
    """Whether the images of two devices, put together, are those of one."""
    config = small_config(None, batch_size=6, accumulate=3, jitter=True)
    dataset = open_dataset(config)
    alone, both = (
        list(
            islice(
                Hosts(strategy).batches(lambda share: training_batches(dataset, config, 2, 5, 2, share)), 3
            )
        )
        for strategy in (ONE, TWO)
    )
    same = [len(alone) == len(both) == 3]
    for expected, found in zip(alone, both, strict=True):
        for side, shared in zip(expected, found, strict=True):
            first, second = (np.split(each, 6) for each in TWO.experimental_local_results(shared))
            parts = [part for pair in zip(first, second, strict=True) for part in pair]
            same.append(np.array_equal(np.concatenate(parts), side))
    report("batches", same=all(same))


def compare_steps(all_reduce: str, count: int) -> None:
    """Compiled steps of pix2pix."""
    metrics, states = [], []
    for strategy in (ONE, TWO):
        trainer = without_dropout(trainer_of(config_of(batch_size=2, all_reduce=all_reduce), strategy))
        data = tf.data.Dataset.from_tensors(pairs(2)).repeat(count)
        metrics.append([])
        for number, batch in enumerate(strategy.experimental_distribute_dataset(data)):
            metrics[-1].append(trainer.train_step(batch, tf.constant(number, tf.int64)).numpy().tolist())
            if number == 0:
                states.append(values(trainer.state()))
    copies = max(
        float(np.abs(part.numpy() - variable.values[0].numpy()).max())
        for variable in trainer.state().values()
        if hasattr(variable, "values")
        for part in variable.values
    )
    one, two = metrics
    report(all_reduce, one=one, two=two, gap=largest_gap(*reversed(states)), copies=copies)


def compare_models() -> None:
    """One step of every model; compiled if images of all devices are gathered in a pool."""
    for name, settings, missing in (*MODELS[:-1], CYCLEGAN, WGAN):
        with contextlib.nullcontext() if settings.get("pool_size") else eagerly():
            compare_model(name, settings, missing)


def compare_model(name: str, settings: dict[str, object], missing: bool) -> None:
    config = config_of(model=name, batch_size=2, **settings)
    states, metrics = [], []
    for strategy in (ONE, TWO):
        trainer = trainer_of(config, strategy)
        batch = batch_for(config, 2 * trainer.batches_per_step, missing)
        if strategy is TWO:  # a device's images of each update are together
            batch = [np.concatenate([images[::2], images[1::2]]) for images in batch]
        data = tf.data.Dataset.from_tensors(tuple(batch))
        [batch] = strategy.experimental_distribute_dataset(data)
        metrics.append(trainer.train_step(batch, tf.constant(0, tf.int64)).numpy().tolist())
        states.append(values(trainer.state()))
    report(f"{name} {settings}", one=metrics[0], two=metrics[1], gap=largest_gap(*states))


if __name__ == "__main__":
    compare_batches()
    compare_steps("float32", 3)
    with eagerly():
        compare_steps("bfloat16", 1)
    compare_models()
