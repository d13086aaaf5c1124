"""Parses a command's flags into its dataclass."""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro
from tyro import _errors as tyro_errors

from pix2pix_tf.errors import ConfigError
from pix2pix_tf.quiet import import_frameworks
from pix2pix_tf.storage import address_of
from pix2pix_tf.validation import check_limits
from pix2pix_tf.wording import did_you_mean, flag

Args = TypeVar("Args")


def start_frameworks() -> None:
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import_frameworks()
    import keras

    keras.utils.disable_interactive_logging()


_NUMBERS = {"INT": "a whole number", "FLOAT FLOAT": "two numbers", "FLOAT": "a number"}
_ELSEWHERE = {  # flags of other programs
    "--lr": "--learning-rate",
    "--batch": "--batch-size",
    "--ngf": "--base-filters",
    "--netG": "--generator",
    "--lambda_L1": "--l1-weight",
    "--dataroot": "--dataset",
}
_MAY_BE_STORED = ("run", "run_dir", "init_from", "teacher")  # in an object store


def parse(
    kind: type[Args],
    command: str,
    arguments: Sequence[str],
    default: Args | None = None,
    description: str | None = None,
) -> Args:
    """Parses flags into a dataclass; ``--help`` prints and exits 0."""
    if arguments:  # HEIGHTxWIDTH is two numbers
        text = re.sub(
            r"(^|\0)(--image[-_]size)[\0=](\d+)x(\d+)(?=\0|$)", r"\1\2\0\3\0\4", "\0".join(arguments)
        )
        arguments = text.split("\0")
    options: dict[str, Any] = {} if default is None else {"default": default}

    def refuse(event: tyro_errors.ParseErrorEvent) -> None:
        problem = _explained(event, list(arguments), list(_flags(default or kind)))
        raise ConfigError(f"{problem}; 'pix2pix {command} --help' lists the flags")

    with tyro_errors.on_parse_error(refuse):
        parsed = tyro.cli(
            kind,
            prog=f"pix2pix {command}",
            args=list(arguments),
            description=description,
            config=(
                tyro.conf.OmitArgPrefixes,
                tyro.conf.HelptextFromCommentsOff,
                tyro.conf.PositionalMetavarFromFieldName,
            ),
            **options,
        )
    check_limits(parsed)
    _refuse_addresses(parsed)
    return parsed


def _refuse_addresses(group: Any) -> None:
    """Checks that what must be on this machine is no address in an object store."""
    for field in dataclasses.fields(group):
        value = getattr(group, field.name)
        if dataclasses.is_dataclass(value):
            _refuse_addresses(value)
        elif field.name not in _MAY_BE_STORED:
            for path in value if isinstance(value, list | tuple) else [value]:
                if isinstance(path, Path) and address_of(path) is not None:
                    raise ConfigError(f"{flag(field.name)} {address_of(path)}: that must be on this machine")


def _flags(group: Any) -> Iterator[str]:
    """Yields the flags of a dataclass or of an instance, with those of the dataclasses inside."""
    for field in dataclasses.fields(group):
        inner = getattr(group, field.name, field.default_factory)
        yield from _flags(inner) if dataclasses.is_dataclass(inner) else [flag(field.name)]


def _explained(event: tyro_errors.ParseErrorEvent, arguments: list[str], flags: list[str]) -> str:
    """Returns what is wrong with the arguments."""
    match event:
        case tyro_errors.MissingArgs():
            return f"{', '.join(each.arg.display_name() for each in event.missing_arguments)} is missing"
        case tyro_errors.UnrecognizedArgs():
            token = event.tokens[0]
            known = _ELSEWHERE.get(token)
            return f"{token} is unknown{f' (did you mean {known}?)' if known else did_you_mean(token, flags)}"
        case tyro_errors.BadValue():
            return f"{event.argument.display_name()} needs a value"
        case tyro_errors.InvalidChoice():
            choices = ", ".join(choice for choice in event.choices if choice != "None")
            return f"{event.argument.display_name()} can't be {event.value!r}; give one of {choices}"
        case tyro_errors.InstantiationFailure(argument=argument) if argument is not None:
            name = argument.display_name()
            at = [each.partition("=")[0].replace("_", "-") for each in arguments].index(name)
            following = itertools.takewhile(lambda each: not each.startswith("--"), arguments[at + 1 :])
            value = arguments[at].partition("=")[2] or " ".join(following)
            kinds = str(argument.lowered.metavar)
            wanted = next((words for kind, words in _NUMBERS.items() if kind in kinds), None)
            return f"{name} takes {wanted}, got {value!r}" if wanted else f"{name} can't be {value!r}"
    return "the flags can't be understood"


@dataclasses.dataclass(frozen=True)
class ShareArgs:
    """What is held out of a folder that doesn't say so itself."""

    val_share: float | None = None
    """Share of a folder that is held out to evaluate on, where its subfolders don't say; as in training."""
    test_share: float | None = None
    """Share that is held out for --split test."""

    def given(self) -> dict[str, float]:
        """Returns the settings that were given."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}


Shares = Annotated[ShareArgs, tyro.conf.arg(name="")]
