"""What a student gets from its teacher: the generator, and initial weights of the discriminator."""

from __future__ import annotations

import keras

from pix2pix_tf.distribution import Hosts
from pix2pix_tf.errors import RunError
from pix2pix_tf.files import first_line, written_whole
from pix2pix_tf.formats.run import published_generator
from pix2pix_tf.models.base import Model, PublishedGenerator, Teacher
from pix2pix_tf.models.registry import model_for
from pix2pix_tf.runs import OpenedRun, RunDirectory
from pix2pix_tf.runs.checkpoints import restore_published
from pix2pix_tf.wording import quoted


def teacher_generator(teacher: Teacher, run: OpenedRun) -> tuple[Model, PublishedGenerator]:
    """Returns the model of the teacher's run and its generator; raises if there is no such generator."""
    model = model_for(run.config_for(teacher.generator))
    return model, published_generator(model, teacher.generator)


def load_teacher(
    model: Model, source: OpenedRun | None, run: RunDirectory, hosts: Hosts
) -> keras.Model | None:
    """Returns the network that a model is distilled from, or ``None``.

    A new run stores a copy of the network of ``source`` before its first step, because the teacher's run may
    be trained on or deleted. The first host reads the copy and sends it to the others.
    """
    teacher = model.teacher()
    if teacher is None:
        return None
    file = run.keras_file(Teacher.NETWORK)

    def read() -> keras.Model:
        if source is not None:
            theirs, generator = teacher_generator(teacher, source)
            # The network alone, without the layers that a task adds.
            network = theirs.networks()[generator.network](model.config.optimization.precision)
            averaged = theirs.config.optimization.ema_decay > 0
            restore_published(source.checkpoint(), generator.network, network, averaged)
            with written_whole(file) as unfinished:
                network.save(unfinished)
        if not file.is_file():
            raise RunError(
                f"{quoted(file)} is missing; restore it to continue the run, or train in another --run-dir"
            )
        try:
            return keras.models.load_model(file, compile=False)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise RunError(f"{quoted(file)} can't be read ({first_line(error)}); restore it") from error

    stored = hosts.chief_decides(read, keras.Model.to_json, keras.models.model_from_json)
    with hosts.strategy.scope():
        network = keras.models.model_from_json(stored.to_json())
    network.set_weights(stored.get_weights())
    hosts.share({str(number): weight.value for number, weight in enumerate(network.weights)})
    return network


def teacher_discriminator(model: Model, run: OpenedRun) -> dict[str, str] | None:
    """Maps the student's discriminator to its name in the teacher's checkpoint; ``None`` without one."""
    teacher = model.teacher()
    assert teacher is not None
    _, generator = teacher_generator(teacher, run)
    both = teacher.discriminator and generator.discriminator
    return {teacher.discriminator: generator.discriminator} if both else None
