"""Entry point: runs a command, and converts known errors to a one-line message and an exit code.

Commands import TensorFlow after parsing, so that ``--help`` and errors in flags are fast.
"""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Sequence
from typing import Any

from pix2pix_tf.commands.reporting import report_error
from pix2pix_tf.errors import Pix2pixError, UserError
from pix2pix_tf.wording import did_you_mean

# Module and summary. Modules are imported when needed, to start fast.
_COMMANDS = {
    "train": ("train", "train a model on pairs, on two unpaired sets or on one set; resumes an existing run"),
    "predict": ("predict", "translate images, folders or a video, or generate images, with any model"),
    "evaluate": ("evaluate", "compare models: metrics with intervals, and a report"),
    "export": ("export", "SavedModel for TensorFlow Serving, TFLite, ONNX; each verified against the run"),
    "distill": ("distill", "train a small student of a run, for phones and browsers"),
    "import": ("import_", "convert a PyTorch generator to a run"),
    "demo": ("demo", "a web page to draw on, translated in the browser"),
    "timeline": ("timeline", "a GIF of a run's samples over training"),
    "train-segmenter": (
        "segmenter",
        "train the segmentation network of 'evaluate'; it does so itself if needed",
    ),
    "data": ("data", "list, download, check, preview and pack data sets"),
}


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
    modules = {name: _module(name) for name in _COMMANDS if name != "data"}
    actions = {f"data {name}": kind for name, kind in _module("data").OPTIONS.items()}
    return {**{name: module.OPTIONS for name, module in modules.items()}, **actions}


def _module(command: str) -> Any:
    return importlib.import_module(f"pix2pix_tf.commands.{_COMMANDS[command][0]}")


def _run_command(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: pix2pix COMMAND [options]\n")
        for name, (_, summary) in _COMMANDS.items():
            print(f"  {name:<15}  {summary}")
        print(
            "\n'pix2pix COMMAND --help' lists a command's options. 'pix2pix train' alone trains on generated"
        )
        print("facades: no download, an image within minutes.")
        return 0 if arguments else 2
    command = arguments[0]
    if command == "--version":
        from importlib.metadata import version

        print(f"pix2pix-tf {version('pix2pix-tf')}")
        return 0
    if command not in _COMMANDS:
        meant = did_you_mean(command, _COMMANDS)
        raise UserError(f"unknown command '{command}'{meant}; use one of {', '.join(_COMMANDS)}")
    return int(_module(command).run(arguments[1:]))
