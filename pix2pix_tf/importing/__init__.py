"""``pix2pix import``: converts a PyTorch generator to a run for predict, export and evaluate."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from pix2pix_tf import config as configs
from pix2pix_tf.config import Direction, TrainConfig
from pix2pix_tf.data.names import UNKNOWN, looks_like_path
from pix2pix_tf.data.sources import refuse_missing
from pix2pix_tf.errors import ConfigError, RunError
from pix2pix_tf.importing.pytorch import Generator, read_generator
from pix2pix_tf.models.registry import model_for, preset
from pix2pix_tf.runs import RunDirectory
from pix2pix_tf.runs.checkpoints import CheckpointWriter, average_name, stored_weights
from pix2pix_tf.storage import absolute
from pix2pix_tf.wording import quoted


def import_checkpoint(
    checkpoint: Path,
    out: Path,
    dataset: str = UNKNOWN,
    direction: Direction | None = None,
    eval: bool = False,
) -> tuple[RunDirectory, Generator]:
    """Converts a generator file of pytorch-CycleGAN-and-pix2pix, such as ``latest_net_G.pth``, to a run.

    The run has a checkpoint of step 0 with the generator and an untrained discriminator; other runs can start
    from it (``init_from``). With ``eval``, batch normalization uses the stored statistics, like the original
    ``test.py --eval``. By default it uses the statistics of each image. ``direction`` defaults to the data
    set's direction. Other commands can override it.
    """
    run = RunDirectory(out)
    run.refuse_unreadable_path()
    if run.exists():
        raise RunError(f"--out {quoted(out)} already contains a run; give another directory")
    refuse_missing(dataset)
    generator = read_generator(checkpoint, eval)
    if eval and generator.norm != "batch":
        raise ConfigError(f"--eval has no effect with {quoted(checkpoint)}, which has no batch normalization")
    config = _config_for(generator, out, dataset, direction)
    state = _initial_state(config, generator.weights)
    with run.locked(), contextlib.closing(CheckpointWriter(run, state)) as writer:
        images = {"count": 1, "digest": f"of {checkpoint.name}", "imported": {"direction": direction}}
        run.write_config(config, images)
        writer.save(0)
        writer.wait()
    return run, generator


def _config_for(
    generator: Generator, run_dir: Path, dataset: str, direction: Direction | None
) -> TrainConfig:
    dataset = absolute(dataset) if looks_like_path(dataset) else dataset  # valid in any working directory
    config = preset(dataset, recipe="paper")
    return configs.replace(
        config,
        generator=generator.kind,
        base_filters=generator.base_filters,
        norm=generator.norm,
        upsampling="transposed",
        last_convolution=False,
        image_size=generator.image_size,
        input_channels=generator.input_channels,
        output_channels=generator.output_channels,
        input_bits=8,
        output_bits=8,
        direction=direction or config.data.direction,
        precision="float32",
        run_dir=run_dir,
    )


def _initial_state(config: TrainConfig, weights: Mapping[str, np.ndarray]) -> dict[str, tf.Variable]:
    """Returns a checkpoint's variables: the given generator, and initial weights of the discriminator."""
    state = {}
    for name, build in model_for(config).networks().items():
        network = build("float32")
        for key, variable in stored_weights(name, network).items():
            value = weights.get(variable.path) if name == "generator" else variable.numpy()
            if value is None or value.shape != tuple(variable.shape):
                problem = "is missing" if value is None else f"has shape {list(value.shape)}"
                raise RunError(
                    f"'{variable.path}' {problem}, but shape {list(variable.shape)} is needed: this is not a "
                    "network of pytorch-CycleGAN-and-pix2pix"
                )
            for stored in (key, average_name(key)):
                state[stored] = tf.Variable(value)
    return state
