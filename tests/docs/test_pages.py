"""Runs the code blocks of the README and the documentation, with short trainings of small networks.

A block after ``<!-- not run: REASON -->`` is not run, but the flags of its commands are parsed.
"""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from pix2pix_tf import replace
from pix2pix_tf.commands import distill, parsing, train
from pix2pix_tf.commands.main import main

MarkdownIt = pytest.importorskip("markdown_it", reason="the extra docs is not installed").MarkdownIt
pytest.importorskip("myst_parser", reason="the extra docs is not installed")

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAMS = {"pix2pix": [], "python train.py": ["train"], "python export.py": ["export"]}
TRAINING = ("train", "distill")
INTERVALS = {"--log-every", "--sample-every", "--checkpoint-every", "--evaluate-every", "--keep-every"}


def blocks(page):
    """Yields language, text, line and whether it is run, of each block of shell commands or Python."""
    before = None
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        if token.type == "fence" and token.info in ("sh", "python"):
            is_run = not (before and before.type == "html_block" and "<!-- not run: " in before.content)
            yield token.info, token.content, token.map[0] + 2, is_run
        before = token


def commands(text):
    """Splits a block of shell commands into lines, without comments and with continued lines joined."""
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line


def arguments_of(command):
    """Returns the arguments if a command is one of ours, else None."""
    for program, first in PROGRAMS.items():
        if command == program or command.startswith(f"{program} "):
            return [*first, *shlex.split(command.removeprefix(program), comments=True)]
    return None


def shortened(arguments):
    """Replaces length and size of a training by small ones."""
    if not arguments or arguments[0] not in TRAINING or {"--help", "--help-all"} & set(arguments):
        return arguments
    positional, flags = [], {}
    for argument in arguments:
        if argument.startswith("--"):
            flags[argument] = []
        elif flags:
            flags[list(flags)[-1]].append(argument)
        else:
            positional.append(argument)
    flags.pop("--epochs", None)
    flags["--steps"] = [str(short(int(flags.get("--steps", ["4000"])[0])))]
    for name in INTERVALS & set(flags):
        flags[name] = ["2"]
    is_new = not Path(*flags.get("--run-dir", [""]), "config.json").is_file()
    sizes = {"--base-filters": "8", "--image-size": "64"} if flags.get("--model") != ["wgan"] else {}
    for name, value in sizes.items():
        if name in flags or (is_new and (positional[0] == "train" or name == "--base-filters")):
            flags[name] = [value]
    return [*positional, *(word for name, values in flags.items() for word in (name, *values))]


def short(steps):
    return max(2, min(steps // 1000, 20))


def small_train(config, *arguments, **options):
    from pix2pix_tf.training.train import train

    steps = short(config.optimization.steps or 4000)
    config = replace(config, image_size=(64, 64), base_filters=8, steps=steps, epochs=None)
    config = replace(config, log_every=2, sample_every=2, checkpoint_every=2, evaluate_every=2)
    return train(config, *arguments, **options)


class ParsedError(Exception):
    """Raised instead of running a command, once its flags are parsed."""


def run_in_shell(command):
    subprocess.run(["bash", "-euo", "pipefail", "-c", command], check=True, timeout=120)


def exit_code(arguments):
    try:
        return main(arguments)
    except SystemExit as leaving:  # --help
        return leaving.code or 0


def run_command(command, monkeypatch, capfd):
    arguments = arguments_of(command)
    if arguments is None:
        run_in_shell(command)
        return
    quick = shortened(arguments)
    if quick != arguments:
        with monkeypatch.context() as patched:  # checks the flags as written
            for module in (train, distill):
                patched.setattr(module, "run_training", lambda args: 0)
            assert exit_code(arguments) == 0, f"{command}\n{capfd.readouterr().err}"
    assert exit_code(quick) == 0, f"{command}\n{capfd.readouterr().err}"


def parse_command(command, monkeypatch, capfd):
    def stop(parsed):
        raise ParsedError

    for part in re.split(r"&&|\|", command):
        arguments = arguments_of(part.strip().removeprefix("srun "))
        if arguments and not arguments[0].startswith("-"):
            with monkeypatch.context() as patched:
                patched.setattr(parsing, "check_limits", stop)
                try:
                    code = main(arguments)
                except (ParsedError, SystemExit):
                    continue
                pytest.fail(f"{part}: exit code {code}\n{capfd.readouterr().err}")


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(blocks(page))],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_blocks_run_as_written(page, example_folder, monkeypatch, capfd):
    monkeypatch.setattr("pix2pix_tf.train", small_train)
    variables = {}
    for language, text, line, is_run in blocks(page):
        if language == "python":
            code = compile("\n" * line + text, str(page), "exec")
            if is_run:
                exec(code, variables)
            continue
        for command in commands(text):
            if is_run:
                run_command(command, monkeypatch, capfd)
            else:
                parse_command(command, monkeypatch, capfd)
