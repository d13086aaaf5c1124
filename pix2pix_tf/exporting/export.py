"""``pix2pix export``: writes the artifacts of a run, proves each, and publishes those that pass."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import json
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from pix2pix_tf import config as configs
from pix2pix_tf.config import TrainConfig
from pix2pix_tf.data.images import encode_png
from pix2pix_tf.errors import ConfigError, RunError
from pix2pix_tf.exporting import onnx, tflite
from pix2pix_tf.exporting.fresh import seconds_of
from pix2pix_tf.exporting.images import ProofImages, Size
from pix2pix_tf.exporting.parity import Artifact, Proof, parity_sheet, prove
from pix2pix_tf.exporting.report import Report
from pix2pix_tf.exporting.saved_model import Limits, write_saved_model
from pix2pix_tf.exporting.serving import check_model_name, model_name_for, write_serving_files, write_warmup
from pix2pix_tf.exporting.tflite import Quantization
from pix2pix_tf.files import UNFINISHED, explain_disk_faults, locked, write_whole
from pix2pix_tf.runs import RunDirectory, package_versions
from pix2pix_tf.translators.run import GeneratorTranslator

Format = Literal["saved_model", "tflite", "onnx"]

_FORMAT = 1
_PROOF_IMAGES = 16
_CALIBRATION_IMAGES = 64
_SHOWN = 2


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """What to export.

    Args:
        out: where everything goes; ``RUN/export`` where not given.
        name: of the model, as clients call it; the run directory's where not given.
        formats: what to write.
        quantize: the kinds of .tflite.
        sizes: heights and widths of the .tflite files; the run's where none is given.
        step: of which checkpoint; the newest by default.
        stochastic: keep dropout as noise; by default as the run was trained.
        proof_images: a folder of input images to prove (and calibrate) with, instead of the run's own.
        data_dir: where data sets are kept, if not where the run had them.
        allow_worse: publish what misses its bar, too.
        limits: of the SavedModel.
    """

    out: Path | None = None
    name: str | None = None
    formats: Sequence[Format] = ("saved_model", "tflite")
    quantize: Sequence[Quantization] = ("none",)
    sizes: Sequence[Size] = ()
    step: int | None = None
    stochastic: bool | None = None
    proof_images: Path | None = None
    data_dir: Path | None = None
    allow_worse: bool = False
    limits: Limits = dataclasses.field(default_factory=Limits)


def export(run: Path, options: ExportOptions) -> Report:
    """Exports a run: nothing is published that was not run, compared and found good.

    Args:
        run: a run directory.
        options: what to export.

    Returns:
        What was written, what was held back, and how good each is.

    Raises:
        UserError: the run, its data, the output directory or a combination of options can't be used.
        SystemFault: something can't be written or run.
    """
    job = _Job.prepare(run, options)
    busy = ConfigError(f"another export is writing to {job.out}; wait for it, or give another --out")
    with explain_disk_faults(job.out, "another --out"), locked(job.out, busy), _heeding_ctrl_c() as heed:
        version = _next_version(job.out, job.name)
        with _staging(job.out / f".{job.name}-{version}{UNFINISHED}") as staging:
            artifacts = _write(job, staging)
            heed()
            proofs, sheet, milliseconds = _prove(job, artifacts)
            heed()
            good = [proof for proof in proofs if options.allow_worse or not proof.shortfall]
            content = _report_json(job, version, proofs, good, milliseconds)
            write_whole(
                staging / "report" / "export.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n"
            )
            write_whole(staging / "report" / "parity.png", encode_png(tf.constant(sheet)).numpy())
            published = _publish(job, version, staging, proofs, good)
    return Report(proofs, published, job.out / f"{job.name}-{version}", milliseconds)


# ---------------------------------------------------------------- before anything is written


@dataclasses.dataclass(frozen=True)
class _Job:
    """All that is known before anything is written."""

    config: TrainConfig
    options: ExportOptions
    checkpoint: Path
    out: Path
    name: str
    sizes: Sequence[Size]
    translator: GeneratorTranslator
    images: ProofImages

    @classmethod
    def prepare(cls, run: Path, options: ExportOptions) -> _Job:
        """Checks and loads everything."""
        directory = RunDirectory(run)
        config = directory.read_config()
        _refuse_meaningless(config, options)
        out = (options.out or directory.path / "export").expanduser()
        _refuse_foreign(out)
        checkpoint = directory.existing_checkpoint(options.step)
        translator = GeneratorTranslator.load(run, step=options.step, stochastic=options.stochastic)
        _refuse_nonfinite(translator, checkpoint)
        return cls(
            config=config,
            options=options,
            checkpoint=checkpoint,
            out=out,
            name=options.name or model_name_for(directory.path),
            sizes=list(dict.fromkeys(options.sizes)) or [config.data.size],
            translator=translator,
            images=ProofImages(config, options.proof_images, options.data_dir),
        )


def _refuse_meaningless(config: TrainConfig, options: ExportOptions) -> None:
    if not options.formats:
        raise ConfigError("--formats: name at least one of saved_model, tflite and onnx")
    if "onnx" in options.formats:
        onnx.refuse_missing_packages()
    if "tflite" in options.formats and not options.quantize:
        raise ConfigError("--quantize: name at least one of none, float16, dynamic and int8")
    if options.name is not None:
        check_model_name(options.name)
    for height, width in options.sizes:
        if not (1 <= height <= 4096 and 1 <= width <= 4096):
            raise ConfigError(f"--tflite-sizes: {height}x{width} is not from 1x1 to 4096x4096")
    stochastic = config.network.stochastic if options.stochastic is None else options.stochastic
    if stochastic and set(options.formats) != {"saved_model"}:
        raise ConfigError(
            "only a SavedModel can have dropout as noise; give --noise drop, or --formats saved_model"
        )
    if "tflite" not in options.formats and (options.sizes or tuple(options.quantize) != ("none",)):
        flag = "--tflite-sizes" if options.sizes else "--quantize"
        raise ConfigError(f"{flag} has no meaning without tflite in --formats")
    height, width = config.data.size
    if "saved_model" in options.formats and options.limits.max_pixels_per_image < height * width:
        raise ConfigError(
            f"--max-pixels-per-image {options.limits.max_pixels_per_image} would refuse the run's own images "
            f"of {height}x{width}; raise it"
        )


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
    for variable in translator.generator.weights:
        if not np.isfinite(np.asarray(variable)).all():
            raise RunError(
                f"'{variable.path}' in {checkpoint} is not finite; export another checkpoint with --step"
            )


# ---------------------------------------------------------------- writing


@contextlib.contextmanager
def _heeding_ctrl_c() -> Iterator[Callable[[], None]]:
    """Gives a function that stops if Ctrl-C was pressed: Keras has a bare except that may swallow it."""
    pressed: list[int] = []

    def note(number: int, frame: object) -> None:
        pressed.append(number)
        raise KeyboardInterrupt

    def heed() -> None:
        if pressed:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # others can't have handlers
        yield heed
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield heed
    finally:
        signal.signal(signal.SIGINT, before)


def _next_version(out: Path, name: str) -> int:
    """One more than the highest version that is there."""
    served = (path.name for path in (out / name).glob("*"))
    reported = (path.name.removeprefix(f"{name}-") for path in out.glob(f"{name}-*"))
    versions = [int(version) for version in (*served, *reported) if version.isdecimal()]
    return max(versions, default=0) + 1


@contextlib.contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A folder that is gone afterwards, whatever happens; what is to stay is moved out of it."""
    shutil.rmtree(folder, ignore_errors=True)  # left by an export that was killed
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(job: _Job, staging: Path) -> list[Artifact]:
    """Writes everything that was asked for: the SavedModel to ``staging``/served, the rest to /report."""
    options = job.options
    (staging / "report").mkdir()
    jobs: list[Callable[[], Artifact]] = []
    if "saved_model" in options.formats:
        jobs.append(lambda: _write_saved_model(job, staging / "served"))
    if "tflite" in options.formats:
        kinds = itertools.product(job.sizes, dict.fromkeys(options.quantize))
        jobs += [functools.partial(_write_tflite, job, staging / "report", *each) for each in kinds]
    if "onnx" in options.formats:
        jobs.append(lambda: _write_onnx(job, staging / "report"))
    bar = tqdm(jobs, desc="writing", unit="model", leave=False, disable=None, dynamic_ncols=True)
    return [write() for write in bar]


def _write_saved_model(job: _Job, path: Path) -> Artifact:
    write_saved_model(job.translator, path, job.options.limits)
    channels = job.translator.input_channels
    write_warmup(path, job.name, channels, job.config.data.size, job.options.limits)
    return Artifact("saved_model", "SavedModel", path)


def _write_tflite(job: _Job, folder: Path, size: Size, kind: Quantization) -> Artifact:
    height, width = size
    calibration = job.images.for_calibration(size, _CALIBRATION_IMAGES) if kind == "int8" else None
    suffix = "" if kind == "none" else f"_{kind}"
    path = folder / f"{job.name}_{height}x{width}{suffix}.tflite"
    model = tflite.convert(job.translator, size, kind, calibration)
    path.write_bytes(model)
    label = f"TFLite {'float32' if kind == 'none' else kind} {height}x{width}"
    return Artifact(kind, label, path, size, tflite.partitions(model))


def _write_onnx(job: _Job, folder: Path) -> Artifact:
    path = folder / f"{job.name}.onnx"
    onnx.write_onnx(job.translator, path)
    return Artifact("onnx", "ONNX", path)


# ---------------------------------------------------------------- proving


def _prove(job: _Job, artifacts: Sequence[Artifact]) -> tuple[list[Proof], np.ndarray, float]:
    """Proves every artifact.

    Returns:
        The proofs, the sheet that shows them, and the milliseconds that the generator itself takes.
    """
    usual = job.config.data.size
    references = _references(job, {artifact.size for artifact in artifacts})
    bar = tqdm(artifacts, desc="proving", unit="model", leave=False, disable=None, dynamic_ncols=True)
    proofs = [prove(artifact, *references[artifact.size]) for artifact in bar]

    images, expected, _ = references[usual]
    sheet = parity_sheet(
        f"{job.name} after {_step(job.checkpoint)} steps",
        images[:_SHOWN],
        expected[:_SHOWN],
        [proof for proof in proofs if proof.artifact.size in (None, usual)],
    )
    return proofs, sheet, 1000 * float(np.median([seconds_of(job.translator, image) for image in images]))


_Reference = tuple[list[np.ndarray], list[np.ndarray], int]


def _references(job: _Job, sizes: set[Size | None]) -> dict[Size | None, _Reference]:
    """Images of each size, what the trained generator makes of them, and how many of them to time.

    The run's size is always there. Without a size, for artifacts that take any, there are the images of the
    run's size first and then some of others.
    """

    def reference(images: list[np.ndarray]) -> _Reference:
        return images, [job.translator(image) for image in images], len(images)

    usual = job.config.data.size
    fixed = {size for size in {usual, *sizes} if size is not None}
    references: dict[Size | None, _Reference] = {
        size: reference(job.images.held_out(size, _PROOF_IMAGES)) for size in fixed
    }
    if None in sizes:
        images, expected, timed = references[usual]
        most = job.options.limits.max_pixels_per_image
        others = [image for image in _at_other_sizes(images) if image.shape[0] * image.shape[1] <= most]
        more, also_expected, _ = reference(others)
        references[None] = (images + more, expected + also_expected, timed)
    return references


def _at_other_sizes(images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Odd sizes, smaller and larger ones, and a single pixel, made of the images that are there."""
    height, width, _ = images[0].shape
    larger = ((0, 45), (0, width - 1), (0, 0))
    return [
        images[0][: height - 3, : width - 29],
        images[1 % len(images)][: height // 2 + 1, : width // 3],
        np.pad(images[2 % len(images)], larger, mode="reflect"),
        images[0][:1, :1],
    ]


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix("step_"))


# ---------------------------------------------------------------- publishing


def _report_json(
    job: _Job, version: int, proofs: Sequence[Proof], good: Sequence[Proof], milliseconds: float
) -> dict[str, Any]:
    options = job.options
    return {
        "format": _FORMAT,
        "name": job.name,
        "version": version,
        "step": _step(job.checkpoint),
        "stochastic": job.translator.stochastic,
        "images": job.images.description,
        "limits": dataclasses.asdict(options.limits),
        "allow_worse": options.allow_worse,
        "trained_model_milliseconds": round(milliseconds, 2),
        "artifacts": [
            {
                **proof.to_json(),
                "published": proof in good,
                "file": str(_place(job, version, proof.artifact).relative_to(job.out)),
            }
            for proof in proofs
        ],
        "packages": package_versions(),
        "config": configs.to_json(job.config),
    }


def _publish(
    job: _Job, version: int, staging: Path, proofs: Sequence[Proof], good: Sequence[Proof]
) -> list[Path]:
    """Moves what passed to where it is looked for, each whole, the SavedModel last: servers watch for it."""
    for proof in proofs:
        if proof not in good and proof.artifact.path.is_file():
            proof.artifact.path.unlink()
    (staging / "report").replace(job.out / f"{job.name}-{version}")
    if any(proof.artifact.kind == "saved_model" for proof in good):
        write_serving_files(
            job.out,
            job.name,
            input_channels=job.translator.input_channels,
            output_channels=job.translator.output_channels,
            size=job.config.data.size,
            limits=job.options.limits,
        )
        served = job.out / job.name / str(version)
        served.parent.mkdir(exist_ok=True)
        (staging / "served").replace(served)
    return [_place(job, version, proof.artifact) for proof in good]


def _place(job: _Job, version: int, artifact: Artifact) -> Path:
    """Where an artifact is published."""
    if artifact.kind == "saved_model":
        return job.out / job.name / str(version)
    return job.out / f"{job.name}-{version}" / artifact.path.name
