"""What devices of one host get of each batch, on processors that are divided in two."""

TWO_DEVICES = """
import os
from itertools import islice
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf
[cpu] = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import numpy as np
from pix2pix_tf.data.pipeline import training_batches
from pix2pix_tf.data.sources import open_dataset
from pix2pix_tf.distribution import Hosts
from tests.conftest import small_config

config = small_config(None, batch_size=6, accumulate=3, jitter=True)
dataset = open_dataset(config)
mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
alone, both = (
    list(islice(Hosts(strategy).batches(lambda share: training_batches(dataset, config, 2, 5, 2, share)), 3))
    for strategy in (tf.distribute.get_strategy(), mirrored)
)
assert len(alone) == len(both) == 3
for expected, found in zip(alone, both, strict=True):
    for side, shared in zip(expected, found, strict=True):
        first, second = (np.split(each, 6) for each in mirrored.experimental_local_results(shared))
        parts = [part for pair in zip(first, second, strict=True) for part in pair]
        np.testing.assert_array_equal(np.concatenate(parts), side)
print("same")
"""


def test_devices_together_get_what_one_gets(python):
    done = python(TWO_DEVICES)
    assert done.stdout.strip() == "same", done.stderr[-3000:]
