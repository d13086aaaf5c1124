"""The commands' entry: calls one, turns known errors into one line and an exit code.

TensorFlow is imported inside the commands, after parsing, so that ``--help`` and wrong flags answer at once.
"""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Sequence

from pix2pix_tf.commands.reporting import report_error
from pix2pix_tf.errors import Pix2pixError, UserError
from pix2pix_tf.wording import did_you_mean

_USAGE = """usage: pix2pix COMMAND [options]

  train     learn from pairs, from two sets without pairs, or from one; the same command again continues
  predict   translate images or folders, or make images, with a trained run or an exported model
  evaluate  compare trained models, or images of any program: numbers with intervals, and a report
  export    SavedModel for TensorFlow Serving, TFLite for mobile, each proven against the run
  distill   a small network that paints like a trained run: for phones, browsers, and whoever waits
  import    a generator that PyTorch has trained, as a run
  demo      a page to draw on, and an exported network that answers in the browser
  timeline  a GIF of a run's samples, from the first to the last
  train-segmenter
            the network that 'evaluate' finds classes in photos with; it trains its own when it needs one
  data      list, download, check and preview data sets

'pix2pix COMMAND --help' shows a command's options. 'pix2pix train' alone trains façades that the
program draws itself: no download, a picture within minutes."""


# Imported when they are called for, as each brings modules of its own.
_MODULES = {
    "train": "train",
    "predict": "predict",
    "evaluate": "evaluate",
    "export": "export",
    "distill": "distill",
    "import": "import_",
    "demo": "demo",
    "timeline": "timeline",
    "train-segmenter": "segmenter",
    "data": "data",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: the command and its flags; those of the process by default.

    Returns:
        The exit code: 0 done, 2 something given is wrong, 1 the system failed, 3 training diverged, 4 an
        exported model is not the trained one, 128 + the signal's number when stopped.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):  # a console's code page may lack letters of a path, or λ
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        return _run_command(arguments)
    except (Pix2pixError, KeyboardInterrupt, OSError, MemoryError, UnicodeEncodeError) as error:
        return report_error(error, arguments[0])
    except RuntimeError as error:
        if "home directory" not in str(error):  # as pathlib says it
            raise
        name = next((each for each in arguments if each.partition("=")[2].startswith("~")), None)
        name = name or next((each for each in arguments if each.startswith("~")), "~")
        return report_error(UserError(f"{name}: no user has that name; give the folder's own path"), "")


def _run_command(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_USAGE)
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(f"pix2pix-tf {version('pix2pix-tf')}")
        return 0
    module = _MODULES.get(arguments[0])
    if module is None:
        meant = did_you_mean(arguments[0], _MODULES)
        raise UserError(
            f"there is no command '{arguments[0]}'{meant}; the commands are {', '.join(_MODULES)}"
        )
    return int(importlib.import_module(f"pix2pix_tf.commands.{module}").run(arguments[1:]))
