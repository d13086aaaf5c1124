"""Parses a command's flags into its dataclass."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from pix2pix_tf.errors import ConfigError
from pix2pix_tf.quiet import import_frameworks
from pix2pix_tf.storage import address_of
from pix2pix_tf.wording import flag

Args = TypeVar("Args")


def start_frameworks() -> None:
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import_frameworks()
    import keras

    keras.utils.disable_interactive_logging()


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
    shown = io.StringIO()
    options: dict[str, Any] = {} if default is None else {"default": default}
    try:
        with contextlib.redirect_stderr(shown):
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
    except SystemExit as leaving:
        if leaving.code in (0, None):
            raise
        raise ConfigError(
            f"{_plain_message(shown.getvalue())}; 'pix2pix {command} --help' lists the flags"
        ) from None
    _refuse_addresses(parsed)
    return parsed


def _refuse_addresses(args: Any) -> None:
    """Checks that what must be on this machine is no address in an object store."""
    groups = [args, getattr(getattr(args, "config", None), "data", None)]
    for group in filter(dataclasses.is_dataclass, groups):
        for field in dataclasses.fields(group):
            value = () if field.name == "run" else getattr(group, field.name)
            for path in value if isinstance(value, list | tuple) else [value]:
                if isinstance(path, Path) and address_of(path) is not None:
                    raise ConfigError(f"{flag(field.name)} {address_of(path)}: that must be on this machine")


_NUMBERS = {"INT": "a whole number", "FLOAT": "a number", "FLOAT FLOAT": "two numbers"}
_ELSEWHERE = {  # flags of other programs
    "--lr": "--learning-rate",
    "--batch": "--batch-size",
    "--ngf": "--base-filters",
    "--netG": "--generator",
    "--lambda_L1": "--l1-weight",
    "--dataroot": "--dataset",
}
_NEXT = "', '"  # between arguments, as Python lists them


def _choices(listed: str) -> str:
    """Returns choices without what stands for none given, in an order that stays."""
    return ", ".join(sorted(set(re.findall(r"'([^']+)'", listed)) - {"None"}))


def _plain_message(boxed: str) -> str:
    """Returns the words of tyro's framed error message as one line."""
    boxed = re.sub(r"\A.*\n *-{5,} *\n", "", boxed)  # the title, where the console has no letters for frames
    lines = (line for line in boxed.splitlines() if not re.match(r" *(-{5,}|╭|╰)", line))
    inside = (line.strip("│─ ") for line in lines)
    message = " ".join(" ".join(inside).split())
    for aside in ("For full helptext", "Argument helptext:", "Got errors:"):
        message = message.partition(aside)[0].rstrip(" .")
    # A type as tyro writes it, {None}|INT, says little to who isn't a programmer.
    message = re.sub(
        r"Error parsing (--[\w-]+): no type matching .*?\b(INT|FLOAT FLOAT|FLOAT)\b.* from \['(.*)'\]",
        lambda found: f"{found[1]} takes {_NUMBERS[found[2]]}, got {' '.join(found[3].split(_NEXT))!r}",
        message,
    )
    message = re.sub(
        r"Error parsing (--[\w-]+): could not convert string to float: (.*)",
        r"\1 takes a number, got \2",
        message,
    )
    message = re.sub(
        r"Error parsing (--[\w-]+): invalid literal for int\(\) with base 10: (.*)",
        r"\1 takes a whole number, got \2",
        message,
    )
    message = re.sub(
        r"invalid choice '(.*)' for argument '(--[\w-]+)'. Expected one of \((.*)\)",
        lambda found: f"{found[2]} can't be {found[1]!r}; give one of {_choices(found[3])}",
        message,
    )
    message = message.replace(". Expected 1 values", "; give one")
    message = re.sub(
        r"Error parsing (--[\w-]+): Could not find valid parse for arguments: (.*)",
        r"\1 can't be \2",
        message,
    )
    unknown = re.search(r"Unrecognized options: (--[\w-]+)", message)
    if unknown and unknown[1] in _ELSEWHERE:
        return f"Unrecognized options: {unknown[1]} (did you mean {_ELSEWHERE[unknown[1]]}?)"
    message = re.sub(r"Perhaps you meant: (--[\w-]+).*", r"(did you mean \1?)", message)
    return message or "the flags can't be understood"


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
