"""Formats of trained models. Every format has a reader; export formats also have a writer.

:func:`load` returns a `Translator`, which works the same for every format. To add a format, write a module
and add a line here. Importing this package doesn't import TensorFlow, so that ``--help`` is fast.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pix2pix_tf.config import Precision
from pix2pix_tf.errors import ConfigError, RunError
from pix2pix_tf.formats.base import ExportFormat, Format
from pix2pix_tf.formats.shipped import shipped_models
from pix2pix_tf.runs import OpenedRun, RunDirectory, find_run
from pix2pix_tf.storage import address_of, local_folder
from pix2pix_tf.wording import did_you_mean, flag

if TYPE_CHECKING:
    from pix2pix_tf.formats.translator import Translator

EXPORT_FORMATS = {"saved_model": "saved_model:SavedModel", "tflite": "tflite:TFLite", "onnx": "onnx:Onnx"}
DEFAULT_FORMATS = ("saved_model", "tflite")
# A model that isn't a run is loaded by the first of these formats that recognizes it.
_FORMATS = {**EXPORT_FORMATS, "served": "served:Served"}


def export_format(name: str) -> type[ExportFormat]:
    """Returns the class of an export format; raises `ConfigError` if the name is unknown."""
    if name not in EXPORT_FORMATS:
        raise ConfigError(f"unknown export format {name!r}; choose from {', '.join(EXPORT_FORMATS)}")
    return _class(name)


class ExportedModel(NamedTuple):
    """An exported or served model: its name as given, its format and its location."""

    name: str
    format: type[Format]
    place: str | Path

    def __str__(self) -> str:
        return self.name


def load(
    model: str | Path | OpenedRun | ExportedModel,
    *,
    step: int | None = None,
    direction: str | None = None,
    precision: Precision = "float32",
    stochastic: bool | None = None,
    raw_weights: bool = False,
    seed: int = 0,
) -> Translator:
    """Loads a trained model.

    Args:
        model: one of

            - a run directory or one of its checkpoints (``RUN@best``, ``RUN@4000``);
            - a SavedModel directory, or the parent of its versions, where the highest version is loaded;
            - a .tflite or .onnx file;
            - the name of a model that comes with the package;
            - the URL of a model in TensorFlow Serving, ``http://host:8501/v1/models/NAME`` or
              ``…/NAME/versions/N``.
        step: the checkpoint to load, the newest by default. This and all following options are for runs only.
        direction: the generator to load if the run has several, the first by default.
        precision: 'float32' gives the same output everywhere; a mixed precision is faster and differs
            by a few 8-bit values.
        stochastic: whether dropout stays active as noise; by default as in training.
        raw_weights: load the weights of the step, not their moving average.
        seed: random seed for the noise of a stochastic generator.

    Returns:
        A function from image to image. If the model is a run, its attribute ``network`` is the Keras model.

    Raises:
        RunError: the model or checkpoint doesn't exist, or the run is damaged.
        ConfigError: the exported model is damaged, was not exported by this package, or lacks an option.
        SystemFault: the model can't be read, or the server can't be reached.

    Example:
        >>> translate = load("runs/facades")
        >>> photo = translate(labels)          # uint8 [height, width, 3] in and out
    """
    options: dict[str, Any] = {"step": step, "direction": direction, "precision": precision}
    options |= {"stochastic": stochastic, "raw_weights": raw_weights, "seed": seed}
    found = model if isinstance(model, OpenedRun | ExportedModel) else find_model(model)
    if isinstance(found, OpenedRun):
        from pix2pix_tf.formats.run import GeneratorTranslator

        return GeneratorTranslator.load(found, **options)
    defaults = load.__kwdefaults__ or {}
    if changed := [flag(name) for name, value in options.items() if value != defaults[name]]:
        raise ConfigError(
            f"{' and '.join(changed)}: only a run has this choice, and {model} is an exported model, where "
            "it is fixed; leave it out"
        )
    return found.format.load(found.place)


def models_inside(folder: Path) -> list[str]:
    """Returns the names of the models (files or folders) in a folder."""
    visible = (child for child in folder.iterdir() if not child.name.startswith("."))
    return sorted(
        child.name
        for child in visible
        if RunDirectory(child).exists() or any(_class(name).find(child) for name in _FORMATS)
    )


def _class(name: str) -> Any:
    module, _, attribute = _FORMATS[name].partition(":")
    return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)


def find_model(model: str | Path) -> OpenedRun | ExportedModel:
    """Finds the model that a MODEL argument names, without loading it.

    Raises:
        RunError: there is no model, or the run is damaged.
        ConfigError: the path contains no model.
    """
    run = find_run(model)
    if run is not None:
        return run
    name = str(model)
    if address_of(model) is not None:
        model = local_folder(model)
    classes: list[type[Format]] = [_class(name) for name in _FORMATS]
    for each in classes:
        found = each.find(model)
        if found is not None:
            return ExportedModel(name, each, found)
    path = Path(model).expanduser()
    shipped = f"the name of a shipped model ({', '.join(shipped_models())})"
    models = f"MODEL may be a run directory, {', '.join(each.example for each in classes)} or {shipped}"
    if not path.exists():
        is_address = "/v1/models/" in str(model) and ":/" not in str(model)
        known = [f"http://{model}"] if is_address else shipped_models()
        meant = did_you_mean(str(model), known)
        raise RunError(f"there is no model at {path}{meant}; {models}")
    if not path.is_dir():
        raise ConfigError(f"{path} is not a model file; {models}")
    inside = models_inside(path)
    if inside:
        raise RunError(f"{path} contains several models; give one: {', '.join(inside)}")
    raise RunError(f"{path} is not a model: it has neither config.json nor saved_model.pb; {models}")
