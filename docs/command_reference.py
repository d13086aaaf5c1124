"""Sphinx directive ``commands``: all commands with their options, read from the package."""

import dataclasses
import inspect
import itertools

from docutils.nodes import Node
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from pix2pix_tf.commands.main import command_options
from pix2pix_tf.commands.options import Option, options_of, usage_line
from pix2pix_tf.models.registry import TRAINED, defaults


class Commands(SphinxDirective):
    def run(self) -> list[Node]:
        lines = []
        for command, options in command_options().items():
            lines += section(command, options)
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def section(command: str, options: object) -> list[str]:
    """Returns the Markdown section of a command."""
    listed = list(options_of(options))
    lines = [f"## {command}", "", "```text", usage_line(command, listed), "```", ""]
    lines += [*markdown(inspect.getdoc(options)), ""]
    for group, members in itertools.groupby(listed, lambda option: option.group):
        if group:
            lines += ["", f"**{group.replace('_', ' ').capitalize()} options**", ""]
        lines += map(item, members)
    if command == "train":
        before = {option.name: option for option in listed}
        for model in TRAINED[1:]:
            other = options_of(dataclasses.replace(options, config=defaults(model)))
            lines += ["", f"**With `--model {model}`** (new options, or other defaults)", ""]
            lines += [item(each) for each in other if is_changed(each, before.get(each.name))]
    return [*lines, ""]


def is_changed(option: Option, before: Option | None) -> bool:
    return before is None or (option.help, option.default) != (before.help, before.default)


def item(option: Option) -> str:
    default = "" if option.value is False else option.default
    notes = "; ".join(filter(None, (option.limits, f"default: `{default}`" if default else "")))
    return f"- `{option.usage}`<br>{option.help}" + (f" ({notes})" if notes else "")


def markdown(text: str) -> list[str]:
    """Puts indented examples of a docstring into a code block."""
    lines = []
    for paragraph in text.split("\n\n"):
        if "\n  " not in paragraph:
            lines += [paragraph, ""]
            continue
        first, *examples = paragraph.splitlines()
        lines += [first, "", "```text", *map(str.strip, examples), "```", ""]
    return lines


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True}
