"""The formats of trained models: what is loaded and what is exported, each with its reader and writer.

:func:`load` returns a `Translator`, whatever the format; its results are the same for all. Importing this
package needs no TensorFlow, so that ``--help`` is fast.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pix2pix_tf.config import Precision
from pix2pix_tf.errors import ConfigError, RunError
from pix2pix_tf.formats.base import Format
from pix2pix_tf.formats.shipped import shipped_models
from pix2pix_tf.runs import find_run
from pix2pix_tf.storage import address_of, local_folder
from pix2pix_tf.wording import flag

if TYPE_CHECKING:
    from pix2pix_tf.formats.translator import Translator

FORMATS = {
    "saved_model": "pix2pix_tf.formats.saved_model:SavedModel",
    "tflite": "pix2pix_tf.formats.tflite:TFLite",
    "onnx": "pix2pix_tf.formats.onnx:Onnx",
}
DEFAULT_FORMATS = ("saved_model", "tflite")


def format_class(name: str) -> type[Format]:
    """Returns a format's class without importing TensorFlow; raises `ConfigError` for unknown names."""
    if name not in FORMATS:
        raise ConfigError(f"there is no format {name!r}; there are {', '.join(FORMATS)}")
    module, _, attribute = FORMATS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def default_formats() -> list[Format]:
    return [format_class(name)() for name in DEFAULT_FORMATS]


class _Kind(NamedTuple):
    """A kind of model.

    Args:
        name: as a message calls it.
        find: from what the user named to where exactly the model is, None where it is another kind's.
        load: loads what ``find`` found.
        has_choices: whether ``load`` takes the options of :func:`load`.
    """

    name: str
    find: Callable[[str | Path], str | Path | None]
    load: Callable[..., Translator]
    has_choices: bool = False


def _kinds() -> tuple[_Kind, ...]:
    """Returns the kinds of models; the first that finds a model has it."""
    from pix2pix_tf.formats import run, served
    from pix2pix_tf.formats.onnx import reader as onnx
    from pix2pix_tf.formats.saved_model import reader as saved_model
    from pix2pix_tf.formats.tflite import reader as tflite

    savedmodel = "a directory with a SavedModel or its versions"
    return (
        _Kind("a run directory", run.find, run.GeneratorTranslator.load, has_choices=True),
        _Kind(savedmodel, saved_model.find, saved_model.SavedModelTranslator),
        _Kind("a .tflite file", tflite.find, tflite.TFLiteTranslator),
        _Kind("an .onnx file", onnx.find, onnx.OnnxTranslator),
        _Kind("a URL such as http://host:8501/v1/models/NAME", served.find, served.ServingTranslator),
    )


def load(
    model: str | Path,
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
        model: a run directory; a directory with a SavedModel, or with several versions of one, of
            which the highest is taken; a .tflite or an .onnx file; the name of a model that comes with the
            package; or the URL of a model that TensorFlow Serving serves, http://host:8501/v1/models/NAME or
            .../NAME/versions/N.
        step: of which checkpoint, the newest by default. For runs only, like the following.
        direction: which of a run's generators, where it has several; the usual one by default.
        precision: 'float32' gives the same picture everywhere; a mixed precision is faster and differs
            by a few levels of 255.
        stochastic: keep dropout as noise; by default as the run was trained.
        raw_weights: those of the checkpoint's step itself, not their moving average.
        seed: decides the noise of a stochastic generator.

    Raises:
        RunError: there is no model, no such checkpoint, or the run is damaged.
        ConfigError: the exported model is damaged, not one of ours, or has no such option.
        SystemFault: it can't be read, or the server can't be reached.

    Example:
        >>> translate = load("runs/facades")
        >>> photo = translate(labels)          # uint8 [height, width, 3] in and out
    """
    kind, place = _find(model)
    if kind.has_choices:
        return kind.load(
            place,
            step=step,
            direction=direction,
            precision=precision,
            stochastic=stochastic,
            raw_weights=raw_weights,
            seed=seed,
        )
    changed = {
        "step": step is not None,
        "direction": direction is not None,
        "precision": precision != "float32",
        "stochastic": stochastic is not None,
        "raw_weights": raw_weights,
        "seed": seed != 0,
    }
    if any(changed.values()):
        flags = " and ".join(flag(name) for name, is_changed in changed.items() if is_changed)
        raise ConfigError(
            f"{flags} can be chosen for a run only, not for {model}: what was exported is one "
            "checkpoint, in one precision and with its own noise, or none"
        )
    return kind.load(place)


def is_run(model: str | Path) -> bool:
    """Whether a run directory is meant, and not an exported model."""
    return find_run(model) is not None


def refuse_missing(model: str | Path) -> None:
    """Checks, without the cost of loading, that a model is there.

    Raises:
        RunError: there is no model, or the run is damaged.
        ConfigError: what is there is no whole model.
    """
    found = find_run(model)
    if found is not None:
        found[0].read_config()
    else:
        _find(model)


def models_inside(folder: Path) -> list[str]:
    """Returns the names of the files and folders in a folder that are models."""
    visible = (child for child in folder.iterdir() if not child.name.startswith("."))
    return sorted(child.name for child in visible if any(kind.find(child) for kind in _kinds()))


def _find(model: str | Path) -> tuple[_Kind, str | Path]:
    """Returns which kind of model is meant, and where it is."""
    if address_of(model) is not None and find_run(model) is None:
        model = local_folder(model)
    for kind in _kinds():
        place = kind.find(model)
        if place is not None:
            return kind, place
    path = Path(model).expanduser()
    names = f"one that comes with the package ({', '.join(shipped_models())})"
    models = f"MODEL may be {', '.join(kind.name for kind in _kinds())} or {names}"
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
