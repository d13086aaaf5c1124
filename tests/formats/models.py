"""Networks and runs to export, with first weights instead of trained ones: nothing waits for training."""

import keras
import numpy as np
import tensorflow as tf

from pix2pix_tf import formats, preset, replace
from pix2pix_tf.formats.run import GeneratorTranslator
from pix2pix_tf.models.registry import model_for
from pix2pix_tf.runs import RunDirectory
from pix2pix_tf.runs.checkpoints import CheckpointWriter, average_name, stored_weights

SIZE = (64, 64)
NOISE = 10


def model(kind="pix2pix", **settings):
    """A small model, resolved."""
    widths = {"generator_filters": 8, "critic_filters": 4} if kind == "wgan" else {"base_filters": 8}
    small = {"image_size": SIZE, "input_channels": 3, "output_channels": 3, "precision": "float32", **widths}
    return model_for(replace(preset(model=kind), **{**small, **settings}))


def translator_of(described, direction=None, seed=0, contrast=4, precision="float32"):
    """A model's translator, its first weights made larger so that its output has contrast."""
    keras.utils.set_random_seed(0)
    generators = described.published_generators()
    generator = generators[direction or next(iter(generators))]
    translator = GeneratorTranslator(described, generator, precision, seed)
    for variable in translator.network.trainable_variables:
        if "kernel" in variable.path:
            variable.assign(variable * contrast)
    for layer in translator.network.layers:  # as if trained: moving averages away from 0 and 1
        if isinstance(layer, keras.layers.BatchNormalization):
            draw = np.random.default_rng(len(layer.name))
            layer.moving_mean.assign(draw.normal(0, 0.05, layer.moving_mean.shape))
            layer.moving_variance.assign(draw.uniform(0.2, 0.4, layer.moving_variance.shape))
    translator.take_changed_weights()
    return translator


def untrained(kind="pix2pix", seed=0, contrast=4, precision="float32", **settings):
    """The translator of a small model with first weights."""
    return translator_of(model(kind, **settings), seed=seed, contrast=contrast, precision=precision)


def write_run(path, kind="pix2pix", steps=(10, 20), **settings):
    """Writes a run whose networks have first weights, with a checkpoint of each step."""
    run = RunDirectory(path)
    described = model(kind, run_dir=path, **settings)
    state = {}
    for direction in described.published_generators():
        translator = translator_of(described, direction, contrast=3)
        weights = stored_weights(translator.generator.network, translator.network)
        for name, variable in weights.items():
            state |= {each: tf.Variable(variable.numpy()) for each in (name, average_name(name))}
    run.write_config(described.config, {"count": 1, "digest": ""})
    writer = CheckpointWriter(run, state)
    for step in steps:
        writer.save(step)
    writer.wait()
    return run


def translate_in_this_process(path, samples):
    """Replaces `translate_in_fresh_process`: a new process takes seconds to load TensorFlow."""
    signatures = formats.load(path).signatures()
    outputs = {name: [each(sample) for sample in samples] for name, each in signatures.items()}
    return outputs, [0.1] * len(samples)


def smooth_images(count, size=SIZE, channels=3):
    """Smooth images with some noise, uint8 [height, width, channels]."""
    draw = np.random.default_rng(0)
    images = []
    for _ in range(count):
        coarse = tf.image.resize(draw.uniform(-40, 295, (5, 4, channels)), size, "bicubic").numpy()
        images.append(np.clip(coarse + draw.normal(0, 4, coarse.shape), 0, 255).astype(np.uint8))
    return images


def noise(height, width, channels=3, seed=0, dtype=np.uint8):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, (height, width, channels), dtype)


def psnr(expected, found):
    error = np.mean((np.asarray(expected, float) - np.asarray(found, float)) ** 2)
    return 10 * np.log10(255**2 / max(error, 1e-9))
