"""``pix2pix export``: writes exported models, verifies each and publishes those within tolerance."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import shutil
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from rich import box
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from pix2pix_tf import config as configs
from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.pixels import over_checkerboard, shown_as
from pix2pix_tf.errors import ConfigError, RunError, VerificationFailed
from pix2pix_tf.exporting.options import ExportOptions
from pix2pix_tf.exporting.samples import open_samples
from pix2pix_tf.exporting.verification import SAMPLES, Verification, to_8_bit, verify_all
from pix2pix_tf.files import UNFINISHED, explain_disk_faults, locked, refuse_file, write_whole
from pix2pix_tf.formats.base import Artifact, ExportFormat, Subject, check_model_name, model_name_for
from pix2pix_tf.formats.run import GeneratorTranslator, published_generator
from pix2pix_tf.models.registry import model_for
from pix2pix_tf.runs import OpenedRun, open_run, package_versions
from pix2pix_tf.sample_grids import compose_grid

_FORMAT = 3
_SHOWN = 2
_MEASURED = ("MB", "ms/image", "max", "mean", "PSNR dB", "SSIM", "off by > 1")
_MAGNIFIED = 16


def export(options: ExportOptions) -> list[ModelExport]:
    """Exports a run; publishes only models that pass verification in a new process."""
    formats = options.chosen_formats()
    run = open_run(options.run).at(options.step)
    name = options.name or model_name_for(run.directory.path)
    check_model_name(name)
    out = (options.out or run.directory.beside("export")).expanduser()
    _refuse_foreign(out)
    subjects = _subjects(run, name, options)
    for subject in subjects:
        for each in formats.values():
            each.check(subject)
    busy = ConfigError(f"another export is writing to {out}; wait for it, or give another --out")
    with contextlib.ExitStack() as stack:
        stack.enter_context(explain_disk_faults(out, "another --out"))
        stack.enter_context(locked(out / ".lock", busy))
        for staging in out.glob(f".*-*{UNFINISHED}"):  # of exports that were killed
            _discard(staging)
        raise_if_pressed = stack.enter_context(_noting_ctrl_c())
        models = []
        for subject in subjects:
            model = ModelExport(out, subject)
            stack.callback(_discard, model.staging)
            model.write(formats.values())
            raise_if_pressed()
            model.verify()
            raise_if_pressed()
            model.describe(run, options)
            raise_if_pressed()
            models.append(model)
        for model in reversed(models):  # the README describes the model that is published last
            model.publish(options.allow_worse)
    return models


def _refuse_foreign(out: Path) -> None:
    refuse_file(out)
    if not out.exists() or any(out.glob("*-*/export.json")):
        return
    found = next((path.name for path in out.iterdir() if not path.name.startswith(".")), None)
    if found is not None:
        raise ConfigError(
            f"--out {out} contains other files ('{found}'); give a new folder, or one from an earlier export"
        )


def _subjects(run: OpenedRun, name: str, options: ExportOptions) -> list[Subject]:
    """Loads the generators to export."""
    config = run.config_for(options.direction)
    model = model_for(config)
    all_generators = generators = model.published_generators()
    if options.direction is not None:
        generators = {options.direction: published_generator(model, options.direction)}
    samples_for = open_samples(config, generators, options)
    subjects = []
    for direction in generators:
        translator = GeneratorTranslator.load(
            run, direction=direction, stochastic=options.stochastic, raw_weights=options.raw_weights
        )
        for variable in translator.network.weights:
            if not np.isfinite(np.asarray(variable)).all():
                raise RunError(
                    f"'{variable.path}' in {run.directory.checkpoint(run.step())} is infinite or NaN; export "
                    "another checkpoint with --step"
                )
        subjects.append(
            Subject(
                name=name if len(all_generators) == 1 else f"{name}_{direction}",
                translator=translator,
                size=translator.network.output.shape[1:3] if translator.noise else config.data.size,
                samples=samples_for(translator),
            )
        )
    return subjects


class ModelExport:
    """The export of one generator: written to a staging folder, which has the layout of the output folder.

    Attributes:
        version: one more than the highest version in the output folder.
        folder: folder of reports after publishing.
        files: relative folder of reports and of models for devices.
        served: relative folder of the version for servers.
        milliseconds: time per image of the trained network.
        published: paths of published artifacts.
    """

    def __init__(self, out: Path, subject: Subject):
        self.out, self.subject, self.name = out, subject, subject.name
        served = (path.name for path in (out / self.name).glob("*"))
        reported = (path.name.removeprefix(f"{self.name}-") for path in out.glob(f"{self.name}-*"))
        versions = (int(version) for version in (*served, *reported) if version.isdecimal())
        self.version = max(versions, default=0) + 1
        self.files = Path(f"{self.name}-{self.version}")
        self.folder = out / self.files
        self.served = Path(subject.name, str(self.version))
        self.staging = out / f".{self.files}{UNFINISHED}"
        self.staging.mkdir()
        self.written: list[tuple[ExportFormat, Artifact]] = []
        self.verifications: list[Verification] = []
        self.milliseconds = 0.0
        self.published: list[Path] = []

    def write(self, formats: Iterable[ExportFormat]) -> None:
        served, files = self.staging / self.served, self.staging / self.files
        with tqdm(desc="writing", unit="model", leave=False, disable=None, dynamic_ncols=True) as progress:
            for each in formats:
                for artifact in each.write(self.subject, served, files):
                    self.written.append((each, artifact))
                    progress.update()

    def verify(self) -> None:
        artifacts = [artifact for _, artifact in self.written]
        self.verifications, self.milliseconds = verify_all(self.subject, artifacts)

    def describe(self, run: OpenedRun, options: ExportOptions) -> None:
        """Writes export.json and parity.png."""
        subject, step = self.subject, run.step()
        formats = options.chosen_formats()
        described = {
            "format": _FORMAT,
            "name": subject.name,
            "version": self.version,
            "step": step,
            "stochastic": subject.translator.stochastic,
            "samples": subject.samples.description,
            "options": {name: dataclasses.asdict(each) for name, each in formats.items()},
            "allow_worse": options.allow_worse,
            "trained_model_milliseconds": round(self.milliseconds, 2),
            "artifacts": [
                {
                    **each.to_json(),
                    "published": options.allow_worse or not each.shortfall,
                    "file": str(each.artifact.path.relative_to(self.staging)),
                }
                for each in self.verifications
            ],
            "packages": package_versions(),
            "config": configs.to_json(run.config_for(options.direction)),
        }
        content = json.dumps(described, indent=2, ensure_ascii=False) + "\n"
        write_whole(self.staging / self.files / "export.json", content)
        inputs = subject.samples.held_out(subject.size, SAMPLES)[:_SHOWN]
        shown = [over_checkerboard(each) if subject.translator.inpaints else each for each in inputs]
        image = parity_image(
            f"{subject.name} after {step} steps",
            [] if subject.translator.noise else shown,
            [subject.translator(each) for each in inputs],
            [each for each in self.verifications if each.artifact.size in (None, subject.size)],
            subject.translator.output,
        )
        write_whole(self.staging / self.files / "parity.png", tf.io.encode_png(tf.constant(image)).numpy())

    def publish(self, allow_worse: bool) -> None:
        """Publishes good artifacts by atomic moves: the reports first, the served version after them."""
        good = []
        for each in self.verifications:
            path = each.artifact.path
            if allow_worse or not each.shortfall:
                good.append(path)
            else:
                path.unlink() if path.is_file() else shutil.rmtree(path)
        (self.staging / self.files).replace(self.folder)
        if self.staging / self.served in good:
            (self.out / self.served).parent.mkdir(exist_ok=True)
            (self.staging / self.served).replace(self.out / self.served)
        # Last, because without a model, these files would look like a user's folder.
        for chosen in dict.fromkeys(each for each, artifact in self.written if artifact.path in good):
            chosen.write_companions(self.subject, self.out)
        self.published = [self.out / path.relative_to(self.staging) for path in good]


# ---------------------------------------------------------------- reports


def table(models: Sequence[ModelExport]) -> str:
    """Returns a table of results and the published paths."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("artifact", *_MEASURED, "tolerance"):
        table.add_column(heading, justify="right" if heading in _MEASURED else "left")
    for model in models:
        table.add_row(f"{model.name}, trained, float32", "", f"{model.milliseconds:.1f}")
        for each in model.verifications:
            found = each.difference
            table.add_row(
                each.artifact.label,
                f"{each.bytes / 1e6:.1f}",
                f"{each.milliseconds:.1f}",
                str(found.max_levels),
                f"{found.mean_levels:.4f}",
                "equal" if found.psnr is None else f"{found.psnr:.1f}",
                "" if found.ssim is None else f"{found.ssim:.4f}",
                f"{found.off_by_more_than_1:.3%}",
                f"missed: {each.shortfall}" if each.shortfall else "met",
            )
        table.add_section()
    text = io.StringIO()
    Console(file=text, width=200).print(table)
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    for model in models:
        lines += map(str, (*model.published, model.folder / "export.json", model.folder / "parity.png"))
    return "\n".join(lines)


def refuse_worse(models: Sequence[ModelExport], allow_worse: bool) -> None:
    """Raises `VerificationFailed` if an artifact exceeds its tolerance, unless ``allow_worse``."""
    failures = [(model, each) for model in models for each in model.verifications if each.shortfall]
    if failures and not allow_worse:
        missed = "; ".join(
            f"{model.name} {each.artifact.label}: {each.shortfall}" for model, each in failures
        )
        images = " and ".join(dict.fromkeys(str(model.folder / "parity.png") for model, _ in failures))
        raise VerificationFailed(
            f"not published, because the output differs too much from the trained model's: {missed}; "
            f"see {images}, or publish it with --allow-worse"
        )


def parity_image(
    title: str,
    images: Sequence[np.ndarray],
    expected: Sequence[np.ndarray],
    verifications: Sequence[Verification],
    form: PixelFormat,
) -> np.ndarray:
    """Returns a grid uint8 [height, width, 3] of inputs, outputs of a format and, below them, differences.

    ``images`` is empty if the model takes noise. The first outputs of ``verifications`` belong to ``images``.
    """

    def magnified(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return np.minimum(np.abs(to_8_bit(one) - to_8_bit(other)) * _MAGNIFIED, 255).astype(np.uint8)

    rows: list[list[np.ndarray]] = []
    for number, image in enumerate(expected):
        trained, *outputs = (
            shown_as(form, each) for each in (image, *(each.outputs[number] for each in verifications))
        )
        blank = np.full_like(trained, np.iinfo(trained.dtype).max)
        shown = list(images[number : number + 1])
        rows.append([*shown, trained, *outputs])
        rows.append([*([blank] * len(shown)), blank, *(magnified(output, trained) for output in outputs)])
    columns = ["trained model", *(each.artifact.label for each in verifications)]
    columns = ["input", *columns] if images else columns
    return compose_grid(f"{title}; below each, {_MAGNIFIED} times its difference", columns, rows)


# ---------------------------------------------------------------- interrupted exports


@contextlib.contextmanager
def _noting_ctrl_c() -> Iterator[Callable[[], None]]:
    """Yields a function that raises if Ctrl-C was pressed; Keras may swallow `KeyboardInterrupt`."""
    pressed = threading.Event()

    def note(number: int, frame: object) -> None:
        pressed.set()
        raise KeyboardInterrupt

    def raise_if_pressed() -> None:
        if pressed.is_set():
            raise KeyboardInterrupt

    is_main = threading.current_thread() is threading.main_thread()  # only it can set handlers
    before = signal.signal(signal.SIGINT, note) if is_main else None
    try:
        yield raise_if_pressed
    finally:
        if is_main:
            signal.signal(signal.SIGINT, before)


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
