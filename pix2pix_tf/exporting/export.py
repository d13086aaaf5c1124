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
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from pix2pix_tf import config as configs
from pix2pix_tf.config import TrainConfig
from pix2pix_tf.data.pixels import encode_png
from pix2pix_tf.data.transparency import over_board
from pix2pix_tf.errors import ConfigError, RunError
from pix2pix_tf.exporting.fresh import seconds_of
from pix2pix_tf.exporting.parity import Proof, parity_sheet, prove
from pix2pix_tf.exporting.report import ExportedModel, Report
from pix2pix_tf.exporting.samples import (
    DatasetSamples,
    FolderSamples,
    NoiseSamples,
    run_dataset,
)
from pix2pix_tf.files import UNFINISHED, explain_disk_faults, locked, write_whole
from pix2pix_tf.formats import default_formats
from pix2pix_tf.formats.base import Artifact, Format, Samples, Size, Subject
from pix2pix_tf.formats.names import check_model_name, model_name_for
from pix2pix_tf.formats.run import GeneratorTranslator, ignored_in_input, painter_of
from pix2pix_tf.models.base import Model, Painter
from pix2pix_tf.models.registry import model_for
from pix2pix_tf.runs import open_checkpoint, package_versions
from pix2pix_tf.wording import flag

_FORMAT = 2
_PROOF_SAMPLES = 16
_SHOWN = 2


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """Options of `export`.

    Args:
        out: output directory; ``RUN/export`` by default.
        name: name of the served model; by default that of the run directory. If a run has two generators,
            each becomes a model such as NAME_AtoB.
        direction: the generator to export; all by default.
        formats: formats with their options; SavedModel and TFLite by default.
        step: the checkpoint to export; the newest by default.
        stochastic: whether dropout stays active; by default as the run was trained.
        raw_weights: export the weights of the step, not their moving average.
        proof_images: a folder of input images for verification and calibration, instead of the run's own.
        data_dir: directory of data sets, if not the one that the run used.
        allow_worse: also publish models that exceed their tolerance.
    """

    out: Path | None = None
    name: str | None = None
    direction: str | None = None
    formats: Sequence[Format] = dataclasses.field(default_factory=default_formats)
    step: int | None = None
    stochastic: bool | None = None
    raw_weights: bool = False
    proof_images: Path | None = None
    data_dir: Path | None = None
    allow_worse: bool = False


def export(run: Path, options: ExportOptions) -> Report:
    """Exports a run; only models that were loaded in a new process, compared and found good are published."""
    job = _Job.prepare(run, options)
    busy = ConfigError(f"another export is writing to {job.out}; wait for it, or give another --out")
    with contextlib.ExitStack() as stack:
        stack.enter_context(explain_disk_faults(job.out, "another --out"))
        stack.enter_context(locked(job.out, busy))
        _clear_leftovers(job.out)
        heed = stack.enter_context(_heeding_ctrl_c())
        models = []
        for subject in job.subjects:
            model = _Staged.under(job.out, subject)
            stack.callback(_discard, model.staging)
            artifacts = _write(options.formats, model)
            heed()
            _prove(model, artifacts)
            heed()
            _describe(job, model)
            models.append(model)
        # The default direction last, because the README describes the model that is published last.
        published = {model.subject.name: _publish(job, model) for model in reversed(models)}
    return Report([published[subject.name] for subject in job.subjects])


# ---------------------------------------------------------------- preparation


@dataclasses.dataclass(frozen=True)
class _Job:
    """Everything that is checked and loaded before anything is written."""

    config: TrainConfig
    options: ExportOptions
    checkpoint: Path
    out: Path
    subjects: Sequence[Subject]

    @property
    def step(self) -> int:
        return int(self.checkpoint.name.removeprefix("step_"))

    @classmethod
    def prepare(cls, run: Path, options: ExportOptions) -> _Job:
        if not options.formats:
            raise ConfigError("--formats: name at least one")
        directory, checkpoint = open_checkpoint(run, options.step)
        config = directory.read_config(options.direction)
        model = model_for(config)
        painters = model.painters()
        if options.direction is not None:
            painters = {options.direction: painter_of(model, options.direction)}
        name = options.name or model_name_for(directory.path)
        check_model_name(name)
        out = (options.out or directory.beside("export")).expanduser()
        _refuse_foreign(out)
        samples = _samples_for(model, painters, options)
        subjects = []
        for direction in painters:
            translator = GeneratorTranslator.load(
                directory.place,
                step=int(checkpoint.name.removeprefix("step_")),  # training may have written another since
                direction=direction,
                stochastic=options.stochastic,
                raw_weights=options.raw_weights,
            )
            _refuse_nonfinite(translator, checkpoint)
            subjects.append(
                Subject(
                    name=name if len(model.painters()) == 1 else f"{name}_{direction}",
                    translator=translator,
                    size=translator.network.output.shape[1:3] if translator.noise else config.data.size,
                    samples=samples[direction],
                )
            )
        for subject in subjects:
            for each in options.formats:
                each.check(subject)
        return cls(config=config, options=options, checkpoint=checkpoint, out=out, subjects=subjects)


def _samples_for(model: Model, painters: Mapping[str, Painter], options: ExportOptions) -> dict[str, Samples]:
    """Returns samples for verification by the generator's name."""
    is_noise = all(painter.noise for painter in painters.values())
    other = "a model that makes images from noise" if is_noise else options.proof_images and "--proof-images"
    for name in ("proof_images", "data_dir") if is_noise else ("data_dir",):
        if other and getattr(options, name) is not None:
            raise ConfigError(f"{flag(name)} has no effect with {other}")
    if is_noise:
        return {name: NoiseSamples(painter.noise) for name, painter in painters.items()}
    if options.proof_images is not None:
        if len(painters) > 1:
            raise ConfigError(f"--proof-images are for one --direction; give one of {', '.join(painters)}")
        folder = options.proof_images
        return {
            name: FolderSamples(folder, painter, ignored_in_input(model.config, painter))
            for name, painter in painters.items()
        }
    dataset = run_dataset(model.config, options.data_dir)
    fit = model.config.data.fit
    return {name: DatasetSamples(dataset, painter, fit) for name, painter in painters.items()}


def _refuse_foreign(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file; name a folder")
    if not out.exists() or any(out.glob("*-*/export.json")):
        return
    found = next((path.name for path in out.iterdir() if not path.name.startswith(".")), None)
    if found is not None:
        raise ConfigError(
            f"--out {out} holds something else ('{found}'); name a new folder, or an earlier export's"
        )


def _refuse_nonfinite(translator: GeneratorTranslator, checkpoint: Path) -> None:
    for variable in translator.network.weights:
        if not np.isfinite(np.asarray(variable)).all():
            raise RunError(
                f"'{variable.path}' in {checkpoint} is not finite; export another checkpoint with --step"
            )


# ---------------------------------------------------------------- writing


@contextlib.contextmanager
def _heeding_ctrl_c() -> Iterator[Callable[[], None]]:
    """Yields a function that raises if Ctrl-C was pressed: a bare except in Keras may swallow it."""
    pressed: list[int] = []

    def note(number: int, frame: object) -> None:
        pressed.append(number)
        raise KeyboardInterrupt

    def heed() -> None:
        if pressed:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # other threads can't set handlers
        yield heed
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield heed
    finally:
        signal.signal(signal.SIGINT, before)


def _clear_leftovers(out: Path) -> None:
    """Removes the unfinished and partly published files of exports that were killed."""
    for staging in out.glob(f".*-*{UNFINISHED}"):
        _discard(staging)


def _discard(staging: Path) -> None:
    """Removes a staging folder, and files already moved out of it if publishing was incomplete."""
    name, _, version = staging.name.removeprefix(".").removesuffix(UNFINISHED).rpartition("-")
    files = staging.with_name(f"{name}-{version}")
    if (staging / name / version).exists() and files.exists():  # the SavedModel is moved last
        with contextlib.suppress(OSError):
            staging.with_name(name).rmdir()  # if empty
        # In one step: the next export would take a partly deleted report for a folder of the user.
        files.replace(staging / "taken_back")
    shutil.rmtree(staging, ignore_errors=True)


def _next_version(out: Path, name: str) -> int:
    """Returns one more than the highest version in ``out``."""
    served = (path.name for path in (out / name).glob("*"))
    reported = (path.name.removeprefix(f"{name}-") for path in out.glob(f"{name}-*"))
    versions = [int(version) for version in (*served, *reported) if version.isdecimal()]
    return max(versions, default=0) + 1


@dataclasses.dataclass
class _Staged:
    """A model in its staging folder, which has the layout of the output folder."""

    subject: Subject
    version: int
    staging: Path
    proofs: list[tuple[Format, Proof]] = dataclasses.field(default_factory=list)
    milliseconds: float = 0.0

    @classmethod
    def under(cls, out: Path, subject: Subject) -> _Staged:
        version = _next_version(out, subject.name)
        staging = out / f".{subject.name}-{version}{UNFINISHED}"
        staging.mkdir()
        return cls(subject, version, staging)

    @property
    def files(self) -> Path:
        """Relative folder of reports and of models that no server reads."""
        return Path(f"{self.subject.name}-{self.version}")

    @property
    def served(self) -> Path:
        """Relative folder of the version that a server reads."""
        return Path(self.subject.name, str(self.version))

    def place(self, artifact: Artifact) -> Path:
        """Returns the relative path of an artifact."""
        return artifact.path.relative_to(self.staging)


def _write(formats: Sequence[Format], model: _Staged) -> list[tuple[Format, Artifact]]:
    served, files = model.staging / model.served, model.staging / model.files
    jobs = [(each, write) for each in formats for write in each.jobs(model.subject, served, files)]
    bar = tqdm(jobs, desc="writing", unit="model", leave=False, disable=None, dynamic_ncols=True)
    return [(each, write()) for each, write in bar]


# ---------------------------------------------------------------- verification


def _prove(model: _Staged, artifacts: Sequence[tuple[Format, Artifact]]) -> None:
    """Verifies all artifacts, and times the trained network."""
    subject = model.subject
    references = _references(subject, {artifact.size for _, artifact in artifacts})
    bar = tqdm(artifacts, desc="proving", unit="model", leave=False, disable=None, dynamic_ncols=True)
    for each, artifact in bar:
        samples, expected, timed = references[artifact.size]
        most = artifact.most_pixels
        taken = [at for at, image in enumerate(expected) if most is None or image[..., 0].size <= most]
        proof = prove(artifact, [samples[at] for at in taken], [expected[at] for at in taken], timed)
        model.proofs.append((each, proof))
    samples, _, timed = references[None if subject.translator.noise else subject.size]
    model.milliseconds = 1000 * float(
        np.median([seconds_of(subject.translator, sample) for sample in samples[:timed]])
    )


_Reference = tuple[list[np.ndarray], list[np.ndarray], int]


def _references(subject: Subject, sizes: set[Size | None]) -> dict[Size | None, _Reference]:
    """Returns, for each size, samples, the trained network's outputs, and the number of samples to time.

    The run's size is always included. ``None``, for artifacts that take any size, has images of the run's
    size first and then some of other sizes. For networks that take noise, ``None`` is the only key.
    """
    translate, usual = subject.translator, subject.size

    def reference(size: Size) -> _Reference:
        samples = list(subject.samples.held_out(size, _PROOF_SAMPLES))
        return samples, [translate(sample) for sample in samples], len(samples)

    if translate.noise:
        return {None: reference(usual)}
    references: dict[Size | None, _Reference] = {
        size: reference(size) for size in {usual, *sizes} if size is not None
    }
    if None in sizes:
        images, expected, timed = references[usual]
        others = _at_other_sizes(images)
        references[None] = (images + others, expected + [translate(image) for image in others], timed)
    return references


def _at_other_sizes(images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Returns variants with odd, smaller and larger sizes, and a single pixel."""
    height, width, _ = images[0].shape
    larger = ((0, 45), (0, width - 1), (0, 0))
    return [
        images[0][: height - 3, : width - 29],
        images[1 % len(images)][: height // 2 + 1, : width // 3],
        np.pad(images[2 % len(images)], larger, mode="reflect"),
        images[0][:1, :1],
    ]


# ---------------------------------------------------------------- publishing


def _seen(sample: np.ndarray, subject: Subject) -> np.ndarray:
    return over_board(sample) if subject.translator.paints_holes else sample


def _describe(job: _Job, model: _Staged) -> None:
    """Writes export.json and parity.png."""
    content = json.dumps(_report_json(job, model), indent=2, ensure_ascii=False) + "\n"
    write_whole(model.staging / model.files / "export.json", content)
    subject = model.subject
    shown = subject.samples.held_out(subject.size, _PROOF_SAMPLES)[:_SHOWN]
    sheet = parity_sheet(
        f"{subject.name} after {job.step} steps",
        [] if subject.translator.noise else [_seen(sample, subject) for sample in shown],
        [subject.translator(sample) for sample in shown],
        [proof for _, proof in model.proofs if proof.artifact.size in (None, subject.size)],
    )
    write_whole(model.staging / model.files / "parity.png", encode_png(tf.constant(sheet)).numpy())


def _report_json(job: _Job, model: _Staged) -> dict[str, Any]:
    subject = model.subject
    return {
        "format": _FORMAT,
        "name": subject.name,
        "version": model.version,
        "step": job.step,
        "stochastic": subject.translator.painter.stochastic,
        "samples": subject.samples.description,
        "options": {each.name: dataclasses.asdict(each) for each in job.options.formats},
        "allow_worse": job.options.allow_worse,
        "trained_model_milliseconds": round(model.milliseconds, 2),
        "artifacts": [
            {
                **proof.to_json(),
                "published": _is_good(job, proof),
                "file": str(model.place(proof.artifact)),
            }
            for _, proof in model.proofs
        ],
        "packages": package_versions(),
        "config": configs.to_json(job.config),
    }


def _is_good(job: _Job, proof: Proof) -> bool:
    return job.options.allow_worse or not proof.shortfall


def _publish(job: _Job, model: _Staged) -> ExportedModel:
    """Moves good artifacts to the output folder, served models after their report, each in one step."""
    for _, proof in model.proofs:
        if not _is_good(job, proof):
            path = proof.artifact.path
            path.unlink() if path.is_file() else shutil.rmtree(path)
    (model.staging / model.files).replace(job.out / model.files)
    good = [(each, model.place(proof.artifact)) for each, proof in model.proofs if _is_good(job, proof)]
    if model.served in (place for _, place in good):
        (job.out / model.served).parent.mkdir(exist_ok=True)
        (model.staging / model.served).replace(job.out / model.served)
    # Last: these files without an exported model would look like a folder of the user.
    for each in dict.fromkeys(each for each, _ in good):
        each.announce(model.subject, job.out)
    return ExportedModel(
        name=model.subject.name,
        proofs=[proof for _, proof in model.proofs],
        published=[job.out / place for _, place in good],
        folder=job.out / model.files,
        reference_milliseconds=model.milliseconds,
    )
