"""Checkpoints: folders of named tensors in TensorFlow's format, written atomically.

One file of a checkpoint has the weights and their averages. The other has state that only training needs,
such as Adam's moments. Only the newest `KEPT` checkpoints have both files; older ones have only the first.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from pix2pix_tf.errors import DamagedCheckpoint, RunError, TrainingDiverged
from pix2pix_tf.files import UNFINISHED, explain_disk_faults, first_line, flush_to_disk
from pix2pix_tf.runs import FORMAT, RunDirectory

KEPT = 2
_WEIGHTS, _MOMENTS = "state", "moments"  # file names
_FORMAT = "format"  # tensor with the number of the format


def average_name(name: str) -> str:
    """Returns the name of a weight's moving average in a checkpoint."""
    return f"average/{name}"


def stored_weights(name: str, network: keras.Model) -> dict[str, keras.Variable]:
    """Returns a network's variables by their names in a checkpoint, without dropout's random state."""
    return {
        f"{name}/{variable.path}": variable
        for variable in network.weights
        if "seed_generator" not in variable.path
    }


def restore_published(path: Path, name: str, network: keras.Model, averaged: bool) -> None:
    """Restores ``network`` from a checkpoint's network ``name``: its weights, or their moving averages."""
    weights = stored_weights(name, network)
    restore(path, {average_name(key) if averaged else key: weights[key] for key in weights})


def read_checkpoint(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Reads tensors of a checkpoint."""
    try:
        reader = tf.train.load_checkpoint(str(path / _WEIGHTS))
        written_in = int(reader.get_tensor(_FORMAT)) if reader.has_tensor(_FORMAT) else None
        if written_in != FORMAT:
            raise RunError(
                f"the checkpoint {path} has format {written_in}, but this version reads format {FORMAT}; use "
                "the version that wrote it, or train in another --run-dir"
            )
        readers = [reader]
        if has_moments(path) and not all(map(reader.has_tensor, names)):
            readers.append(tf.train.load_checkpoint(str(path / _MOMENTS)))
        reader_of = {name: reader for reader in readers for name in reader.get_variable_to_shape_map()}
        missing = [name for name in names if name not in reader_of]
        if not missing:
            return {name: reader_of[name].get_tensor(name) for name in names}
    except (tf.errors.OpError, LookupError, ValueError, RuntimeError) as error:
        raise DamagedCheckpoint(
            f"the checkpoint {path} is damaged ({first_line(error)}); delete its folder to continue from the "
            "previous checkpoint"
        ) from error
    raise RunError(
        f"the checkpoint {path} has no '{missing[0]}': it was written by another version or another network"
    )


def has_moments(path: Path) -> bool:
    """Whether training can continue from a checkpoint."""
    return (path / f"{_MOMENTS}.index").is_file()


def restore(path: Path, state: Mapping[str, tf.Variable | keras.Variable]) -> None:
    """Restores variables from a checkpoint."""
    tensors = read_checkpoint(path, list(state))
    for name, variable in state.items():
        if tensors[name].shape != tuple(variable.shape):
            raise RunError(
                f"'{name}' has shape {tensors[name].shape} in the checkpoint {path}, but the network needs "
                f"{tuple(variable.shape)}: the networks differ"
            )
        variable.assign(tensors[name])


class CheckpointWriter:
    """Writes checkpoints in a background thread, one at a time.

    Training pauses for about 0.1 s while the state is copied to preallocated memory.

    Args:
        run: the run directory.
        state: variables by name.
        weights: names of the weights and averages in ``state``. Default: all.
        every: also keep the last `KEPT` checkpoints at multiples of this step.
        keep_every: also keep all checkpoints at multiples of this step.
    """

    def __init__(
        self,
        run: RunDirectory,
        state: Mapping[str, tf.Variable],
        weights: Collection[str] | None = None,
        every: int = 1,
        keep_every: int | None = None,
    ):
        self._run = run
        self._folder = folder = run.checkpoints
        self._state = state
        self._weights = frozenset(state if weights is None else weights)
        self._every = every
        self._keep_every = keep_every
        self._fault: Exception | None = None
        with explain_disk_faults(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for leftover in folder.glob(f"*{UNFINISHED}"):
                shutil.rmtree(leftover)
            self._drop_old()
            run.write_best()
        # The first use of memory can take more than a second on a virtual machine. Allocates it while the
        # first step is compiled.
        self._copies: dict[str, tf.Variable] = {}
        self._thread: threading.Thread | None = threading.Thread(target=self._allocate, name="checkpoint")
        self._thread.start()

    def _allocate(self) -> None:
        try:
            with tf.device("CPU:0"):
                for name, variable in self._state.items():
                    zeros = tf.zeros(variable.shape, variable.dtype)
                    self._copies[name] = tf.Variable(zeros, trainable=False)
        except tf.errors.OpError as error:  # out of memory
            self._fault = error

    def save(self, step: int, best: Mapping[str, float] | None = None) -> None:
        """Waits for the previous checkpoint and starts to write a new one.

        If the new checkpoint is the best so far, ``best`` has its metrics.
        """
        self.wait()
        for name, variable in self._state.items():
            self._copies[name][...].assign(variable.read_value())  # without [...] both would share a buffer
        self._thread = threading.Thread(target=self._write, args=(step, best), name="checkpoint")
        self._thread.start()

    def wait(self) -> None:
        """Waits until the last checkpoint is on disk."""
        self.close()
        if self._fault is not None:
            fault, self._fault = self._fault, None
            raise fault

    def close(self) -> None:
        """Waits for the writer thread and ignores its errors."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _write(self, step: int, best: Mapping[str, float] | None) -> None:
        if sys.platform == "linux":
            with contextlib.suppress(OSError):  # a lower priority, of this thread only
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        tensors = {name: copy.read_value() for name, copy in self._copies.items()}
        try:
            bad = next(
                (name for name, value in tensors.items() if not np.isfinite(value.numpy()).all()), None
            )
            if bad is not None:
                raise TrainingDiverged(f"'{bad}' is no longer finite at step {step}")
            with explain_disk_faults(self._folder):
                self._write_whole(step, tensors, best)
                self._drop_old()
                self._run.write_best()
            self._run.publish()
        except Exception as error:
            self._fault = error  # raised by `wait`

    def _write_whole(
        self, step: int, tensors: dict[str, tf.Tensor], best: Mapping[str, float] | None
    ) -> None:
        final = self._run.checkpoint(step)
        if final.exists():  # a step always has the same state
            return
        unfinished = final.with_name(final.name + UNFINISHED)
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        try:
            weights = {name: tensor for name, tensor in tensors.items() if name in self._weights}
            moments = {name: tensor for name, tensor in tensors.items() if name not in self._weights}
            for name, part in ((_WEIGHTS, weights), *([(_MOMENTS, moments)] if moments else [])):
                tf.raw_ops.SaveV2(
                    prefix=str(unfinished / name),
                    tensor_names=[*part, _FORMAT],
                    shape_and_slices=[""] * (len(part) + 1),
                    tensors=[*part.values(), tf.constant(FORMAT)],
                )
            if best is not None:
                (unfinished / self._run.best_file.name).write_text(json.dumps({"step": step, **best}))
            for file in unfinished.iterdir():
                flush_to_disk(file)
            unfinished.replace(final)
            flush_to_disk(self._folder)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise

    def _drop_old(self) -> None:
        best, steps = self._run.best(), self._run.checkpoint_steps()
        kept = {*[step for step in steps if step % self._every == 0][-KEPT:], best and best["step"]}
        for step in steps[:-KEPT]:
            old = self._run.checkpoint(step)
            # On some systems, files that another process reads can't be deleted; the next start retries.
            with contextlib.suppress(OSError):
                if step in kept or (self._keep_every and step % self._keep_every == 0):
                    for file in sorted(old.glob(f"{_MOMENTS}.*"), reverse=True):  # the index, then the data
                        file.unlink()
                else:
                    # Renames it first, so that a kill leaves no partial checkpoint under a valid name.
                    shutil.rmtree(old.replace(old.with_name(old.name + UNFINISHED)))
