"""What a student gets from its teacher: the generator, and initial weights of the discriminator."""

from __future__ import annotations

from pathlib import Path

import keras

from pix2pix_tf.config import Precision
from pix2pix_tf.distribution import Hosts
from pix2pix_tf.errors import RunError
from pix2pix_tf.files import first_line, written_whole
from pix2pix_tf.formats.run import published_generator
from pix2pix_tf.models.base import Model, PublishedGenerator, Teacher
from pix2pix_tf.models.registry import model_for
from pix2pix_tf.runs import RunDirectory, open_run
from pix2pix_tf.runs.checkpoints import restore_published
from pix2pix_tf.wording import quoted


def load_teacher(model: Model, run: RunDirectory, precision: Precision, hosts: Hosts) -> keras.Model | None:
    """Returns the network that a model is distilled from, or ``None``.

    The run stores a copy before its first step, because the teacher's run may be trained on or deleted. The
    first host reads it and sends it to the others.
    """
    teacher = model.teacher()
    if teacher is None:
        return None
    stored: list[keras.Model] = []

    def read() -> str:
        if run.latest_step() is None:
            network = _published_network(teacher, precision)
            with written_whole(run.keras_file(Teacher.NETWORK)) as unfinished:
                network.save(unfinished)
        stored.append(_read(run))
        return stored[0].to_json()

    architecture = hosts.chief_decides(read)
    with hosts.strategy.scope():
        network = keras.models.model_from_json(architecture)
    if stored:
        network.set_weights(stored[0].get_weights())
    hosts.share({str(number): weight.value for number, weight in enumerate(network.weights)})
    return network


def _read(run: RunDirectory) -> keras.Model:
    file = run.keras_file(Teacher.NETWORK)
    if not file.is_file():
        raise RunError(
            f"{quoted(file)} is missing; restore it to continue the run, or train in another --run-dir"
        )
    try:
        return keras.models.load_model(file, compile=False)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RunError(f"{quoted(file)} can't be read ({first_line(error)}); restore it") from error


def teacher_discriminator(model: Model) -> tuple[Path, dict[str, str]] | None:
    """Returns the teacher's checkpoint and a map of the discriminator's names, or ``None`` without one."""
    teacher = model.teacher()
    if teacher is None or not teacher.discriminator:
        return None
    _, generator, checkpoint = _opened(teacher)
    return (checkpoint, {teacher.discriminator: generator.discriminator}) if generator.discriminator else None


def _opened(teacher: Teacher) -> tuple[Model, PublishedGenerator, Path]:
    run = open_run(teacher.run)
    model = model_for(run.config_for(teacher.generator))
    return model, published_generator(model, teacher.generator), run.checkpoint()


def _published_network(teacher: Teacher, precision: Precision) -> keras.Model:
    """Returns the published generator without the layers that a task adds."""
    model, generator, checkpoint = _opened(teacher)
    network = model.networks()[generator.network](precision)
    averaged = model.config.optimization.ema_decay > 0
    restore_published(checkpoint, generator.network, network, averaged)
    return network
