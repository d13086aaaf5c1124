"""What a run shows while it trains: progress bar, metrics.jsonl, TensorBoard, sample sheets, plots."""

from __future__ import annotations

import contextlib
import io
import json
import math
import sys
import time
import warnings
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tqdm import tqdm

from pix2pix_tf.data.images import encode_png
from pix2pix_tf.files import explain_disk_faults, write_whole
from pix2pix_tf.runs import RunDirectory
from pix2pix_tf.sheets import compose_sheet
from pix2pix_tf.training.pix2pix import METRICS
from pix2pix_tf.translators.run import GeneratorTranslator

SHEET_ROWS = 4

# metrics.jsonl keeps these; TensorBoard has all of METRICS.
_LINE_METRICS = ("gen_total", "gen_gan", "gen_l1", "disc")
_TENSORBOARD_TAGS = {
    "gen_total": "generator/total",
    "gen_gan": "generator/gan",
    "gen_l1": "generator/l1",
    "disc": "discriminator/loss",
    "disc_real_accuracy": "discriminator/accuracy_on_real",
    "disc_fake_accuracy": "discriminator/accuracy_on_fake",
}

HeldOut = list[tuple[str, np.ndarray, np.ndarray]]


class Recorder(contextlib.AbstractContextManager["Recorder"]):
    """Records one session of training; a context manager that opens and closes its files.

    Args:
        run: where to.
        first_step: steps already done; records beyond it are dropped.
        last_step: steps of the whole run.
        steps_per_epoch: batches in one pass over the training pairs.
        held_out: (name, input, target) of the samples, ``uint8`` or ``uint16`` [height, width, channels].
        dataset: the data set's name.
        split: which of its splits the samples are from.
        config_text: the configuration, for TensorBoard.
    """

    def __init__(
        self,
        run: RunDirectory,
        *,
        first_step: int,
        last_step: int,
        steps_per_epoch: float,
        held_out: HeldOut,
        dataset: str,
        split: str,
        config_text: str,
    ):
        self._run = run
        self._total = last_step
        self._steps_per_epoch = steps_per_epoch
        self._held_out = held_out
        self._dataset = dataset
        self._split = split
        self._config_text = config_text
        self._last_step = first_step

    def __enter__(self) -> Recorder:
        """Drops what was recorded beyond the first step, opens the files and starts the clock."""
        kept = _kept_lines(self._run, self._last_step)
        self._seconds_before = kept[-1]["seconds"] if kept else 0.0
        write_whole(self._run.metrics_file, "".join(json.dumps(line) + "\n" for line in kept))
        with explain_disk_faults(self._run.path):
            if self._last_step:
                _drop_tensorboard_beyond(self._run, self._last_step)
            self._lines = self._run.metrics_file.open("a", encoding="utf-8", newline="\n")
            self._summaries = tf.summary.create_file_writer(str(self._run.tensorboard))
        with self._summarizing(self._last_step):
            tf.summary.text("config", f"```json\n{self._config_text}\n```")
        self._bar = tqdm(
            total=self._total,
            initial=self._last_step,
            unit="step",
            desc="training",
            dynamic_ncols=True,
            smoothing=0.05,
            mininterval=0.1 if sys.stderr.isatty() else 10.0,  # a log file wants a line now and then
        )
        self._start = self._last_time = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the files and the progress bar."""
        self._bar.close()
        # All lines are written already: a full disk that comes up again here was told before.
        with contextlib.suppress(OSError, tf.errors.OpError):
            self._lines.close()
        with contextlib.suppress(OSError, tf.errors.OpError):
            self._summaries.close()

    @contextlib.contextmanager
    def _summarizing(self, step: int) -> Iterator[None]:
        """Collects what TensorBoard shows for a step, and writes it."""
        with explain_disk_faults(self._run.tensorboard):
            with self._summaries.as_default(step=step):
                yield
            self._summaries.flush()

    def advance(self) -> None:
        """Moves the progress bar by a step."""
        self._bar.update()

    def log(self, step: int, metrics: Mapping[str, float], learning_rate: float) -> None:
        """Records the means of ``METRICS`` since the last call, after ``step`` steps."""
        now = time.perf_counter()
        rate = (step - self._last_step) / max(now - self._last_time, 1e-9)
        self._last_step, self._last_time = step, now
        line = {
            "step": step,
            "epoch": round(step / self._steps_per_epoch, 4),
            **{name: round(metrics[name], 6) for name in _LINE_METRICS},
            "steps_per_second": round(rate, 3),
            "seconds": round(self._seconds_before + now - self._start, 2),
        }
        with explain_disk_faults(self._run.metrics_file):
            self._lines.write(json.dumps(line) + "\n")
            self._lines.flush()
        with self._summarizing(step):
            for name in METRICS:
                tf.summary.scalar(_TENSORBOARD_TAGS[name], metrics[name])
            tf.summary.scalar("learning_rate", learning_rate)
            tf.summary.scalar("steps_per_second", rate)
        self._bar.set_postfix(
            {
                "G": f"{metrics['gen_total']:.2f}",
                "L1": f"{metrics['gen_l1']:.3f}",
                "D": f"{metrics['disc']:.3f}",
            },
            refresh=False,
        )

    def sample(self, step: int, translator: GeneratorTranslator) -> np.ndarray:
        """Paints the held-out samples; returns the sheet, uint8 [height, width, 3]."""
        rows = [(image, translator(image), target) for _, image, target in self._held_out]
        sheet = compose_sheet(
            f"{self._dataset} ({self._split}), step {step}", ("input", "output", "target"), rows
        )
        write_whole(self._run.samples / f"step_{step:09d}.png", encode_png(tf.constant(sheet)).numpy())
        with self._summarizing(step):
            for number, row in enumerate(rows):
                strip = compose_sheet(f"step {step}", ("input", "output", "target"), [row])
                tf.summary.image(f"samples/{number + 1}", strip[np.newaxis])
        return sheet

    def finish(self, step: int, translator: GeneratorTranslator) -> None:
        """Writes what a finished run leaves: the last sheet, the losses' plot, the Keras model."""
        self._bar.set_description("finishing")
        sheet = self.sample(step, translator)
        write_whole(self._run.loss_plot, _plot_losses(self._run, self._dataset))
        with explain_disk_faults(self._run.keras_file):
            unfinished = self._run.keras_file.with_name(".unfinished.keras")
            try:
                translator.generator.save(unfinished)
                unfinished.replace(self._run.keras_file)
            finally:
                unfinished.unlink(missing_ok=True)
        # Last, because its presence tells that the run is whole.
        write_whole(self._run.final_sheet, encode_png(tf.constant(sheet)).numpy())


def read_metrics(run: RunDirectory) -> list[dict[str, float]]:
    """Returns the lines of metrics.jsonl; a line cut off by a kill ends them."""
    lines = []
    if run.metrics_file.is_file():
        for line in run.metrics_file.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                break
    return lines


def _kept_lines(run: RunDirectory, first_step: int) -> list[dict[str, float]]:
    return [line for line in read_metrics(run) if line["step"] <= first_step]


def _drop_tensorboard_beyond(run: RunDirectory, step: int) -> None:
    """Tells TensorBoard that the run starts again after ``step``, so that it hides what came later."""
    writer = EventFileWriter(str(run.tensorboard), filename_suffix=".restart")
    writer.add_event(
        Event(wall_time=time.time(), step=step + 1, session_log=SessionLog(status=SessionLog.START))
    )
    writer.close()


def _plot_losses(run: RunDirectory, title: str) -> bytes:
    """Returns a PNG of the losses over the steps, with their running means."""
    import matplotlib.figure

    lines = read_metrics(run)
    steps = [line["step"] for line in lines]
    figure = matplotlib.figure.Figure(figsize=(9, 7), layout="constrained")
    names = {
        "gen_l1": "generator, L1 (before λ)",
        "gen_gan": "generator, adversarial",
        "disc": "discriminator",
    }
    axes = figure.subplots(len(names), 1, sharex=True)
    for axis, (name, label) in zip(axes, names.items(), strict=True):
        values = np.array([line[name] for line in lines])
        axis.plot(steps, values, color="0.75", linewidth=1)
        axis.plot(steps, _running_mean(values), color="tab:blue", linewidth=1.6)
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    axes[-1].axhline(math.log(2), color="tab:red", linestyle=":", linewidth=1, label="log 2: undecided")
    axes[-1].legend(loc="upper right")
    axes[-1].set_xlabel("step")
    axes[0].set_title(title)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The font may lack letters of the data set's name: no reason to write to the screen.
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _running_mean(values: np.ndarray) -> np.ndarray:
    """Centred mean over a twentieth of the run, over fewer values at both ends."""
    if not len(values):
        return values
    reach = len(values) // 40
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    low, high = np.maximum(index - reach, 0), np.minimum(index + reach + 1, len(values))
    return (sums[high] - sums[low]) / (high - low)
