"""Entry point: runs a command, and converts known errors to a one-line message and an exit code.

Commands import TensorFlow after parsing, so that ``--help`` and errors in flags are fast.
"""

from __future__ import annotations

import importlib
import io
import sys
import typing
from collections.abc import Sequence
from typing import Any

from pix2pix_tf import __version__
from pix2pix_tf.commands.options import HELP_FLAGS, overview
from pix2pix_tf.commands.parsing import parse
from pix2pix_tf.commands.reporting import report_error
from pix2pix_tf.errors import Pix2pixError, UserError
from pix2pix_tf.wording import did_you_mean

_COMMANDS = ["train", "predict", "evaluate", "export", "distill", "demo", "data", "timeline", "import"]
_COMMANDS += ["train-segmenter"]
_START = """usage: pix2pix COMMAND [options]

Trains and applies networks that translate images to images.

First steps:
  pix2pix predict emoji-small DRAWING.png --out images  # with a shipped model
  pix2pix demo                                          # draw in the browser
  pix2pix train                                         # on generated facades

Commands:"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command with its flags, by default from ``sys.argv``.

    Returns:
        The exit code: 0 success, 1 system failure, 2 wrong input, 3 training diverged, 4 verification of an
        exported model failed, 128 + signal number if stopped by a signal.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):  # consoles may lack characters
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        return _run_command(arguments)
    except (Pix2pixError, KeyboardInterrupt, OSError, MemoryError, UnicodeEncodeError) as error:
        return report_error(error, arguments[0])
    except RuntimeError as error:
        if "home directory" not in str(error):  # from pathlib
            raise
        parts = [part for argument in arguments for part in argument.split("=")]
        path = next((part for part in parts if part.startswith("~")), "~")
        return report_error(UserError(f"{path}: the user doesn't exist; give the full path"), "")


def command_options() -> dict[str, Any]:
    """Returns the options of each command (also "data check"): a dataclass, or an instance of one."""
    options = {name: _options(_module(name)) for name in _COMMANDS if name != "data"}
    return options | {f"data {name}": kind for name, kind in _module("data").OPTIONS.items()}


def _options(module: Any) -> Any:
    return getattr(module, "OPTIONS", None) or typing.get_type_hints(module.run)["options"]


def _module(command: str) -> Any:
    """Imports a command's module when it is needed, to start fast."""
    name = {"import": "import_"}.get(command, command.replace("-", "_"))
    return importlib.import_module(f"pix2pix_tf.commands.{name}")


def _run_command(arguments: list[str]) -> int:
    if not arguments or arguments[0] in HELP_FLAGS:
        documented = {name: _options(_module(name)) for name in _COMMANDS} | {"data": _module("data")}
        print(_START, overview(documented), sep="\n")
        print("\n'pix2pix COMMAND --help' shows examples and the main options of a command.")
        print("'pix2pix --completion' prints a script that completes all of this in bash and zsh.")
        return 0 if arguments else 2
    command = arguments[0]
    if command in ("--completion", "--version") and len(arguments) > 1:
        raise UserError(f"{command} takes no arguments; leave out {arguments[1]}")
    if command == "--completion":
        from pix2pix_tf.commands.completion import completion_script

        print(completion_script(command_options()))
        return 0
    if command == "--version":
        print(f"pix2pix-tf {__version__}")
        return 0
    if command not in _COMMANDS:
        meant = did_you_mean(command, (*_COMMANDS, "--help", "--version", "--completion"))
        raise UserError(f"unknown command '{command}'{meant}; use one of {', '.join(_COMMANDS)}")
    module = _module(command)
    if hasattr(module, "OPTIONS"):
        return int(module.run(arguments[1:]))
    module.run(parse(_options(module), command, arguments[1:]))
    return 0
