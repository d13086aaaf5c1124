"""What a run takes of its teacher: a network that it keeps, and where its discriminator begins."""

from __future__ import annotations

from pathlib import Path

import keras

from pix2pix_tf.checkpoints import restore_published, write_network
from pix2pix_tf.config import Precision
from pix2pix_tf.distribution import Hosts
from pix2pix_tf.errors import RunError
from pix2pix_tf.files import first_line
from pix2pix_tf.formats.run import painter_of
from pix2pix_tf.models.base import Model, Painter, Teacher
from pix2pix_tf.models.registry import model_for
from pix2pix_tf.runs import RunDirectory, open_checkpoint
from pix2pix_tf.wording import quoted


def taken_teacher(model: Model, run: RunDirectory, precision: Precision, hosts: Hosts) -> keras.Model | None:
    """Returns the network that a model learns from, which its run keeps from its first step on.

    Args:
        model: whose teacher; one without gives ``None``.
        run: which keeps it: the teacher's own run may go on, or away.
        precision: resolved.
        hosts: whose first one has it, and gives it to the others.
    """
    teacher = model.teacher()
    if teacher is None:
        return None
    kept: list[keras.Model] = []

    def keep() -> str:
        if run.latest_step() is None:
            write_network(run.keras_file(Teacher.NETWORK), _network_of(teacher, precision))
        kept.append(_read(run))
        return kept[0].to_json()

    architecture = hosts.chief_decides(keep)
    with hosts.strategy.scope():
        network = keras.models.model_from_json(architecture)
    if kept:
        network.set_weights(kept[0].get_weights())
    hosts.share({str(number): weight.value for number, weight in enumerate(network.weights)})
    return network


def _read(run: RunDirectory) -> keras.Model:
    file = run.keras_file(Teacher.NETWORK)
    if not file.is_file():
        raise RunError(f"{quoted(file)} is gone; restore it to continue the run, or train in another")
    try:
        return keras.models.load_model(file, compile=False)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RunError(f"{quoted(file)} can't be read ({first_line(error)}); restore it") from error


def judge_to_start_from(model: Model) -> tuple[Path, dict[str, str]] | None:
    """Returns the checkpoint with the teacher's discriminator, and its name there by its name here.

    Returns:
        ``None`` where one of them has none.
    """
    teacher = model.teacher()
    if teacher is None or not teacher.judge:
        return None
    _, painter, checkpoint = _opened(teacher)
    return (checkpoint, {teacher.judge: painter.judge}) if painter.judge else None


def _opened(teacher: Teacher) -> tuple[Model, Painter, Path]:
    run, checkpoint = open_checkpoint(teacher.run)
    model = model_for(run.read_config(teacher.painter))
    return model, painter_of(model, teacher.painter), checkpoint


def _network_of(teacher: Teacher, precision: Precision) -> keras.Model:
    """Returns the network as it is published, but for what a task adds to it."""
    model, painter, checkpoint = _opened(teacher)
    network = model.networks()[painter.network](precision)
    averaged = model.config.optimization.ema_decay > 0
    restore_published(checkpoint, painter.network, network, averaged)
    return network
