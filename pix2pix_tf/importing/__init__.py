"""``pix2pix import``: converts a PyTorch generator to a run that predicts, exports and evaluates."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from pix2pix_tf import config as configs
from pix2pix_tf.config import Direction, TrainConfig
from pix2pix_tf.data.names import UNKNOWN, looks_like_path
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
    """Writes a run with the generator in ``latest_net_G.pth`` of pytorch-CycleGAN-and-pix2pix (or ``_G_A``).

    The run has a checkpoint of step 0 with the generator and an untrained discriminator; other runs can start
    from it (``init_from``). With ``eval``, batch normalization uses the stored statistics, like their
    ``test.py --eval``; by default it uses those of each image. ``direction`` defaults to the data set's and
    can be given again at each use.
    """
    run = RunDirectory(out)
    run.refuse_unreadable_path()
    if run.exists():
        raise RunError(f"--out {quoted(out)}: a run exists there; give another directory")
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
    dataset = absolute(dataset) if looks_like_path(dataset) else dataset  # for any working directory
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
    """Returns the variables of a checkpoint: the given generator, initial weights of the discriminator."""
    state = {}
    for name, build in model_for(config).networks().items():
        network = build("float32")
        for key, variable in stored_weights(name, network).items():
            value = weights.get(variable.path) if name == "generator" else variable.numpy()
            if value is None or value.shape != tuple(variable.shape):
                has = "missing" if value is None else f"of shape {list(value.shape)}"
                raise RunError(
                    f"'{variable.path}' is {has} where {list(variable.shape)} is needed: the network differs "
                    "from those of pytorch-CycleGAN-and-pix2pix"
                )
            for stored in (key, average_name(key)):
                state[stored] = tf.Variable(value)
    return state
