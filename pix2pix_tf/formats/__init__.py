"""The formats of trained models, each with its reader and, if models are exported to it, its writer.

:func:`load` returns a `Translator`; its results are the same for all formats. A new format is a module and a
line here. Importing this package needs no TensorFlow, so that ``--help`` is fast.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pix2pix_tf.config import Precision
from pix2pix_tf.errors import ConfigError, RunError
from pix2pix_tf.formats.base import ExportFormat, Format
from pix2pix_tf.formats.shipped import shipped_models
from pix2pix_tf.runs import OpenedRun, find_run
from pix2pix_tf.storage import address_of, local_folder
from pix2pix_tf.wording import flag

if TYPE_CHECKING:
    from pix2pix_tf.formats.translator import Translator

EXPORT_FORMATS = {
    "saved_model": "saved_model:SavedModel",
    "tflite": "tflite:TFLite",
    "onnx": "onnx:Onnx",
}
DEFAULT_FORMATS = ("saved_model", "tflite")
# What is no run belongs to the first format that finds it.
_FORMATS = {**EXPORT_FORMATS, "served": "served:Served"}
_OPTIONS_OF_RUNS = {
    "step": None,
    "direction": None,
    "precision": "float32",
    "stochastic": None,
    "raw_weights": False,
    "seed": 0,
}


def export_format(name: str) -> type[ExportFormat]:
    """Returns the class of a format that models are exported to; raises `ConfigError` for unknown names."""
    if name not in EXPORT_FORMATS:
        raise ConfigError(f"there is no format {name!r}; there are {', '.join(EXPORT_FORMATS)}")
    return _class(name)


def load(
    model: str | Path | OpenedRun,
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
        model: a run directory or one of its checkpoints (RUN@best, RUN@4000); the directory of a SavedModel,
            or of its versions, of which the highest is loaded; a .tflite or .onnx file; the name of a model
            that comes with the package; or the URL of a model in TensorFlow Serving,
            http://host:8501/v1/models/NAME or .../NAME/versions/N.
        step: the checkpoint to load, the newest by default. Like all that follow, for runs only.
        direction: the generator to load if the run has several; its first by default.
        precision: 'float32' gives the same output everywhere; a mixed precision is faster and differs
            by a few 8-bit values.
        stochastic: keep dropout as noise; by default as the run was trained.
        raw_weights: load the weights of the step, not their moving average.
        seed: decides the noise of a stochastic generator.

    Raises:
        RunError: there is no model, no such checkpoint, or the run is damaged.
        ConfigError: the exported model is damaged, not one of ours, or has no such option.
        SystemFault: it can't be read, or the server can't be reached.

    Example:
        >>> translate = load("runs/facades")
        >>> photo = translate(labels)          # uint8 [height, width, 3] in and out
    """
    options: dict[str, Any] = {
        "step": step,
        "direction": direction,
        "precision": precision,
        "stochastic": stochastic,
        "raw_weights": raw_weights,
        "seed": seed,
    }
    found = _find(model)
    if isinstance(found, OpenedRun):
        from pix2pix_tf.formats.run import GeneratorTranslator

        return GeneratorTranslator.load(found, **options)
    if changed := [flag(name) for name, value in options.items() if value != _OPTIONS_OF_RUNS[name]]:
        raise ConfigError(
            f"{' and '.join(changed)} can be chosen for a run only, not for {model}: an exported model is "
            "one checkpoint, in one precision and with its own noise, or none"
        )
    exported, place = found
    return exported.load(place)


def refuse_missing(model: str | Path) -> None:
    """Checks, without the cost of loading, that a model is there.

    Raises:
        RunError: there is no model, or the run is damaged.
        ConfigError: what is there is no whole model.
    """
    found = _find(model)
    if isinstance(found, OpenedRun):
        _ = found.config


def models_inside(folder: Path) -> list[str]:
    """Returns the names of the files and folders in a folder that are models."""
    visible = (child for child in folder.iterdir() if not child.name.startswith("."))
    return sorted(
        child.name
        for child in visible
        if find_run(child) is not None or any(_class(name).find(child) for name in _FORMATS)
    )


def _class(name: str) -> Any:
    module, _, attribute = _FORMATS[name].partition(":")
    return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)


def _find(model: str | Path | OpenedRun) -> OpenedRun | tuple[type[Format], str | Path]:
    """Returns a run, or the format of an exported model and where it is."""
    run = model if isinstance(model, OpenedRun) else find_run(model)
    if run is not None:
        return run
    assert not isinstance(model, OpenedRun)
    if address_of(model) is not None:
        model = local_folder(model)
    classes: list[type[Format]] = [_class(name) for name in _FORMATS]
    for each in classes:
        found = each.find(model)
        if found is not None:
            return each, found
    path = Path(model).expanduser()
    shipped = f"one that comes with the package ({', '.join(shipped_models())})"
    models = f"MODEL may be a run directory, {', '.join(each.example for each in classes)} or {shipped}"
    if not path.exists():
        is_address = "/v1/models/" in str(model) and ":/" not in str(model)
        meant = f" (did you mean http://{model}?)" if is_address else ""
        raise RunError(f"there is no model at {path}{meant}; {models}")
    if not path.is_dir():
        raise ConfigError(f"{path} is a file that holds no model; {models}")
    inside = models_inside(path)
    if inside:
        raise RunError(f"{path} holds several files and folders with models; give one: {', '.join(inside)}")
    raise RunError(f"{path} is no model: it has neither config.json nor saved_model.pb; {models}")
