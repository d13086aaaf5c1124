"""``pix2pix export``: writes exported models, verifies each and publishes those within tolerance."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from pix2pix_tf import config as configs
from pix2pix_tf.config import TrainConfig
from pix2pix_tf.data.pixels import over_checkerboard
from pix2pix_tf.errors import ConfigError, RunError
from pix2pix_tf.exporting.options import ExportOptions
from pix2pix_tf.exporting.report import ExportedModel, parity_image
from pix2pix_tf.exporting.samples import open_samples
from pix2pix_tf.exporting.verification import SAMPLES, Verification, verify_all
from pix2pix_tf.files import UNFINISHED, explain_disk_faults, locked, write_whole
from pix2pix_tf.formats.base import Artifact, ExportFormat, Subject, check_model_name, model_name_for
from pix2pix_tf.formats.run import GeneratorTranslator, published_generator
from pix2pix_tf.models.registry import model_for
from pix2pix_tf.runs import open_run, package_versions

_FORMAT = 3
_SHOWN = 2


def export(options: ExportOptions) -> list[ExportedModel]:
    """Exports a run; publishes only models that pass verification in a new process."""
    job = _Job.prepare(options)
    busy = ConfigError(f"another export is writing to {job.out}; wait for it, or give another --out")
    with contextlib.ExitStack() as stack:
        stack.enter_context(explain_disk_faults(job.out, "another --out"))
        stack.enter_context(locked(job.out, busy))
        _clear_leftovers(job.out)
        raise_if_pressed = stack.enter_context(_noting_ctrl_c())
        models = []
        for subject in job.subjects:
            model = _StagedModel(job, subject)
            stack.callback(_discard, model.staging)
            for act in (model.write, model.verify, model.describe):
                act()
                raise_if_pressed()
            models.append(model)
        # Publishes the default direction last, because the last one is described in the README.
        published = [model.publish() for model in reversed(models)]
    return published[::-1]


# ---------------------------------------------------------------- preparation


@dataclasses.dataclass(frozen=True)
class _Job:
    """Validated options and loaded generators; nothing is written yet."""

    config: TrainConfig
    options: ExportOptions
    formats: Mapping[str, ExportFormat]
    step: int
    out: Path
    subjects: Sequence[Subject]

    @classmethod
    def prepare(cls, options: ExportOptions) -> _Job:
        formats = options.chosen_formats()
        run = open_run(options.run).at(options.step)
        directory, step, config = run.directory, run.step(), run.config_for(options.direction)
        model = model_for(config)
        generators = model.published_generators()
        if options.direction is not None:
            generators = {options.direction: published_generator(model, options.direction)}
        name = options.name or model_name_for(directory.path)
        check_model_name(name)
        out = (options.out or directory.beside("export")).expanduser()
        _refuse_foreign(out)
        samples_for = open_samples(config, generators, options)
        subjects = []
        for direction in generators:
            translator = GeneratorTranslator.load(
                run,
                direction=direction,
                stochastic=options.stochastic,
                raw_weights=options.raw_weights,
            )
            _refuse_nonfinite(translator, directory.checkpoint(step))
            subjects.append(
                Subject(
                    name=name if len(model.published_generators()) == 1 else f"{name}_{direction}",
                    translator=translator,
                    size=translator.network.output.shape[1:3] if translator.noise else config.data.size,
                    samples=samples_for(translator),
                )
            )
        for subject in subjects:
            for each in formats.values():
                each.check(subject)
        return cls(config, options, formats, step, out, subjects)


def _refuse_foreign(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file; give a folder")
    if not out.exists() or any(out.glob("*-*/export.json")):
        return
    found = next((path.name for path in out.iterdir() if not path.name.startswith(".")), None)
    if found is not None:
        raise ConfigError(
            f"--out {out} contains other files ('{found}'); give a new folder, or one from an earlier export"
        )


def _refuse_nonfinite(translator: GeneratorTranslator, checkpoint: Path) -> None:
    for variable in translator.network.weights:
        if not np.isfinite(np.asarray(variable)).all():
            raise RunError(
                f"'{variable.path}' in {checkpoint} is infinite or NaN; export another checkpoint with --step"
            )


# ---------------------------------------------------------------- writing and publishing


class _StagedModel:
    """A model in its staging folder, which has the layout of the output folder.

    Attributes:
        files: relative folder of reports and of models for devices.
        served: relative folder of the version for servers.
    """

    def __init__(self, job: _Job, subject: Subject):
        self.job, self.subject = job, subject
        self.version = _next_version(job.out, subject.name)
        self.files = Path(f"{subject.name}-{self.version}")
        self.served = Path(subject.name, str(self.version))
        self.staging = job.out / f".{self.files}{UNFINISHED}"
        self.staging.mkdir()
        self.written: list[tuple[ExportFormat, Artifact]] = []
        self.verifications: list[Verification] = []
        self.milliseconds = 0.0

    def write(self) -> None:
        served, files = self.staging / self.served, self.staging / self.files
        jobs = [
            (each, write)
            for each in self.job.formats.values()
            for write in each.jobs(self.subject, served, files)
        ]
        for each, write in tqdm(
            jobs, desc="writing", unit="model", leave=False, disable=None, dynamic_ncols=True
        ):
            self.written.append((each, write()))

    def verify(self) -> None:
        artifacts = [artifact for _, artifact in self.written]
        self.verifications, self.milliseconds = verify_all(self.subject, artifacts)

    def describe(self) -> None:
        """Writes export.json and parity.png."""
        subject, options = self.subject, self.job.options
        described = {
            "format": _FORMAT,
            "name": subject.name,
            "version": self.version,
            "step": self.job.step,
            "stochastic": subject.translator.stochastic,
            "samples": subject.samples.description,
            "options": {name: dataclasses.asdict(each) for name, each in self.job.formats.items()},
            "allow_worse": options.allow_worse,
            "trained_model_milliseconds": round(self.milliseconds, 2),
            "artifacts": [
                {
                    **each.to_json(),
                    "published": self._is_good(each),
                    "file": str(each.artifact.path.relative_to(self.staging)),
                }
                for each in self.verifications
            ],
            "packages": package_versions(),
            "config": configs.to_json(self.job.config),
        }
        content = json.dumps(described, indent=2, ensure_ascii=False) + "\n"
        write_whole(self.staging / self.files / "export.json", content)
        inputs = subject.samples.held_out(subject.size, SAMPLES)[:_SHOWN]
        shown = [over_checkerboard(each) if subject.translator.inpaints else each for each in inputs]
        image = parity_image(
            f"{subject.name} after {self.job.step} steps",
            [] if subject.translator.noise else shown,
            [subject.translator(each) for each in inputs],
            [each for each in self.verifications if each.artifact.size in (None, subject.size)],
        )
        write_whole(self.staging / self.files / "parity.png", tf.io.encode_png(tf.constant(image)).numpy())

    def _is_good(self, verification: Verification) -> bool:
        return self.job.options.allow_worse or not verification.shortfall

    def publish(self) -> ExportedModel:
        """Publishes good artifacts by atomic moves: the reports first, the served version after them."""
        out, good = self.job.out, []
        for each in self.verifications:
            path = each.artifact.path
            if self._is_good(each):
                good.append(path)
            else:
                path.unlink() if path.is_file() else shutil.rmtree(path)
        (self.staging / self.files).replace(out / self.files)
        if self.staging / self.served in good:
            (out / self.served).parent.mkdir(exist_ok=True)
            (self.staging / self.served).replace(out / self.served)
        # Last, because without a model, these files would look like a user's folder.
        for chosen in dict.fromkeys(each for each, artifact in self.written if artifact.path in good):
            chosen.announce(self.subject, out)
        return ExportedModel(
            name=self.subject.name,
            verifications=self.verifications,
            published=[out / path.relative_to(self.staging) for path in good],
            folder=out / self.files,
            reference_milliseconds=self.milliseconds,
        )


def _next_version(out: Path, name: str) -> int:
    """Returns one more than the highest version in ``out``."""
    served = (path.name for path in (out / name).glob("*"))
    reported = (path.name.removeprefix(f"{name}-") for path in out.glob(f"{name}-*"))
    versions = [int(version) for version in (*served, *reported) if version.isdecimal()]
    return max(versions, default=0) + 1


# ---------------------------------------------------------------- interrupted exports


@contextlib.contextmanager
def _noting_ctrl_c() -> Iterator[Callable[[], None]]:
    """Yields a function that raises if Ctrl-C was pressed; Keras may swallow `KeyboardInterrupt`."""
    pressed: list[int] = []

    def note(number: int, frame: object) -> None:
        pressed.append(number)
        raise KeyboardInterrupt

    def raise_if_pressed() -> None:
        if pressed:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only the main thread can set handlers
        yield raise_if_pressed
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield raise_if_pressed
    finally:
        signal.signal(signal.SIGINT, before)


def _clear_leftovers(out: Path) -> None:
    """Removes the files of exports that were killed before they were published."""
    for staging in out.glob(f".*-*{UNFINISHED}"):
        _discard(staging)


def _discard(staging: Path) -> None:
    """Removes a staging folder, and its published files if publishing was incomplete."""
    name, _, version = staging.name.removeprefix(".").removesuffix(UNFINISHED).rpartition("-")
    files = staging.with_name(f"{name}-{version}")
    if (staging / name / version).exists() and files.exists():  # the SavedModel is moved last
        with contextlib.suppress(OSError):
            staging.with_name(name).rmdir()  # if empty
        # Atomic, because a partly deleted report would look like a user's folder later.
        files.replace(staging / "withdrawn")
    shutil.rmtree(staging, ignore_errors=True)
