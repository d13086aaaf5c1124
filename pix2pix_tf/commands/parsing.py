"""Parses command-line flags into a dataclass."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

from pix2pix_tf.commands.options import HELP_FLAGS, help_text, options_of
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.quiet import import_frameworks
from pix2pix_tf.storage import address_of
from pix2pix_tf.validation import check_limits, description
from pix2pix_tf.wording import did_you_mean

Args = TypeVar("Args")
_ELSEWHERE = {  # flags of other pix2pix programs
    "--lr": "--learning-rate",
    "--batch": "--batch-size",
    "--ngf": "--base-filters",
    "--netG": "--generator",
    "--lambda_L1": "--l1-weight",
    "--dataroot": "--dataset",
}
_SIZES = {"--image-size": "a size, such as 256 or 256x384", "--tflite-sizes": "sizes, such as 256x384"}
_MAY_BE_STORED = ("run", "run_dir", "init_from", "teacher")  # settings that may be in an object store


def start_frameworks() -> None:
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import_frameworks()
    import keras

    keras.utils.disable_interactive_logging()


def parse(kind: type[Args], command: str, arguments: Sequence[str], default: Args | None = None) -> Args:
    """Parses flags into a dataclass; ``--help`` prints and exits 0."""
    options: Any = default or kind
    given: dict[str, Any] = {} if default is None else {"default": default}
    if not HELP_FLAGS.isdisjoint(arguments):
        print(help_text(options, command, everything="--help-all" in arguments))
        raise SystemExit(0)
    text = "\0".join(arguments)  # splits --image-size HEIGHTxWIDTH into two numbers
    text = re.sub(r"(^|\0)(--image[-_]size)[\0=](\d+)x(\d+)(?=\0|$)", r"\1\2\0\3\0\4", text)
    arguments = text.split("\0") if arguments else []
    problem = ""
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # hides tyro's multi-line messages
            parsed, unknown = tyro.cli(
                kind,
                args=arguments,
                add_help=False,
                return_unknown_args=True,
                config=(tyro.conf.OmitArgPrefixes,),
                **given,
            )
        if unknown:
            problem = _problem(arguments, options) or f"{unknown[0]} is unknown"
    except SystemExit:
        problem = _problem(arguments, options) or "an argument is missing"
    if problem:
        raise ConfigError(f"{problem}; 'pix2pix {command} --help-all' lists the options")
    check_limits(parsed)
    for option in options_of(parsed):
        for value in option.value if isinstance(option.value, tuple) else [option.value]:
            address = address_of(value) if isinstance(value, Path) else None
            if address is not None and option.field not in _MAY_BE_STORED:
                raise ConfigError(f"{option.name} {address} is in an object store; give a local path")
    return parsed


def _problem(arguments: Sequence[str], options: Any) -> str | None:
    """Describes the first unknown flag, invalid value or missing flag."""
    listed = list(options_of(options))
    flags = {each.name: each for each in listed if not each.is_positional}
    given = set()
    for at, argument in enumerate(arguments):
        spelled, joined, value = argument.partition("=")
        name = spelled.replace("_", "-").replace("--no-", "--", 1)
        if name in flags:
            following = itertools.takewhile(lambda each: not each.startswith("--"), arguments[at + 1 :])
            words = [value] if joined else list(following)
            if not flags[name].is_bool and not _can_parse(flags[name].annotation, words):
                allowed = _SIZES.get(name) or description(flags[name].annotation)
                return f"{name} takes {allowed}; got {repr(' '.join(words)) if words else 'nothing'}"
            given.add(name)
        elif name.startswith("--"):
            known = _ELSEWHERE.get(spelled)
            meant = f" (did you mean {known}?)" if known else did_you_mean(spelled, [*flags, *HELP_FLAGS])
            return f"{spelled} is unknown{meant}"
    missing = [each for each in listed if each.is_required and each.name not in given]
    if arguments:  # they may be the positional ones
        missing = [each for each in missing if not each.is_positional] or missing
    names = " and ".join(each.name for each in missing)
    return f"{names} {'is' if len(missing) == 1 else 'are'} missing" if missing else None


def _can_parse(annotation: Any, words: list[str]) -> bool:
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            tyro.cli(annotation, args=words, return_unknown_args=True)
    except SystemExit:
        return False
    return True
