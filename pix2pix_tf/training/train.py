"""What ``pix2pix train`` calls: prepares, continues or refuses a run, and trains it."""

from __future__ import annotations

from collections.abc import Callable

from pix2pix_tf.config import TrainConfig
from pix2pix_tf.data.sources import open_dataset
from pix2pix_tf.runs import RunDirectory
from pix2pix_tf.training.agreement import agreeing, checkpoint_to_start_from, is_finished, resolved
from pix2pix_tf.training.faults import explaining_framework_errors
from pix2pix_tf.training.loop import Session


def train(config: TrainConfig, say: Callable[[str], None] = print) -> RunDirectory:
    """Trains a model, from the start or from where the run directory stands.

    Killed at any instant and called again, it ends with the same weights as if nothing had happened.

    Args:
        config: what to train. Where the run directory holds a run already, it must agree with it in
            everything that decides the weights; the length of the run may change.
        say: is told in a line or two what happens.

    Returns:
        The finished run.

    Raises:
        UserError: a setting, the data or the run directory is wrong.
        SystemFault: no space, no network, no permission.
        TrainingDiverged: a loss or a weight is no longer finite; the last good checkpoint is kept.
        Interrupted: SIGTERM or Ctrl-C; everything is saved.
    """
    run = RunDirectory(config.run_dir)
    # Before the data are opened, so that a contradiction costs no download and leaves no directory.
    config = agreeing(config, run)
    if config.record.init_from is not None:
        checkpoint_to_start_from(config.record.init_from, config)
    if is_finished(run, config):
        say(f"this run is finished already: all {run.latest_step()} steps are done")
        return run

    dataset = open_dataset(config)
    with run.locked(), explaining_framework_errors():
        config = agreeing(config, run)  # again: another process may have trained here meanwhile
        identity = dataset.identity()
        if run.latest_step() is not None:
            run.refuse_other_images(identity)
        config = resolved(config, dataset)
        session = Session(config, run, dataset)
        run.write_config(config, identity)
        say(session.description())
        session.run()
    return run
