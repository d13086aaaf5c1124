"""The options of a command, as ``--help``, the completion of shells and the reference page list them."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import functools
import inspect
import itertools
import shutil
import textwrap
import types
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import tyro

from pix2pix_tf.models.registry import TRAINED
from pix2pix_tf.validation import COMMON, Limits, fields_of, parts_of
from pix2pix_tf.wording import flag, shown

HELP_FLAGS = frozenset(("-h", "--help", "--help-all"))
_VALUES = {int: "INT", float: "NUMBER", Path: "PATH", str: "TEXT", bool: "True|False"}


class Option(NamedTuple):
    """A flag or a positional argument; ``value`` is its default, or ``MISSING`` if it is required."""

    name: str  # --image-size, or MODEL if it is positional
    kind: type  # the dataclass that has the field
    field: str
    annotation: Any
    value: Any
    group: str  # such as "data" in training, or an empty text
    is_positional: bool
    is_bool: bool  # a flag without a value, with --no- for the opposite
    is_common: bool  # listed in the short help
    choices: tuple[str, ...]  # empty if other values are possible
    usage: str  # the name with its values: --direction AtoB|BtoA
    default: str  # as on the command line; empty if the help text describes it or there is none
    limits: str

    @property
    def help(self) -> str:
        return _docstrings(self.kind).get(self.field, "")

    @property
    def is_required(self) -> bool:
        return self.value is dataclasses.MISSING

    @property
    def is_argument(self) -> bool:
        """Whether it is part of the command's usage."""
        return self.is_positional or self.is_required


def options_of(options: Any, group: str = "") -> Iterator[Option]:
    """Yields the options of a dataclass, or of an instance with the defaults, and of nested ones."""
    kind = options if isinstance(options, type) else type(options)
    for field, annotation, value in fields_of(options):
        marks = getattr(annotation, "__metadata__", ())
        if tyro.conf.Fixed in marks:
            continue
        if dataclasses.is_dataclass(value):
            yield from options_of(value, field)
            continue
        is_positional = tyro.conf.Positional in marks
        name = field.upper() if is_positional else flag(field)
        choices = TRAINED if name == "--model" else _choices(annotation)
        is_bool, usage = parts_of(annotation)[0] is bool, name
        if is_bool and value:
            usage += f", {flag(f'no-{field}')}"
        elif not is_bool and not is_positional:
            usage += " " + ("|".join(choices) if name == "--model" else _values(annotation))
        yield Option(
            name=name,
            kind=kind,
            field=field,
            annotation=annotation,
            value=value,
            group=group,
            is_positional=is_positional,
            is_bool=is_bool,
            is_common=COMMON in marks,
            choices=choices,
            usage=usage,
            default="" if value is False or value in (None, (), dataclasses.MISSING) else shown(value),
            limits=next((str(mark) for mark in marks if isinstance(mark, Limits)), ""),
        )


def usage_line(command: str, listed: Iterable[Option]) -> str:
    """Returns a command with its arguments: ``pix2pix predict MODEL INPUTS --out PATH [options]``."""
    arguments = [each.usage if each.is_required else f"[{each.name}]" for each in listed if each.is_argument]
    return " ".join(["pix2pix", command, *arguments, "[options]"])


def overview(commands: Mapping[str, Any]) -> str:
    """Lists commands with the first line of the documentation of their options."""
    summaries = {name: inspect.getdoc(options) or "" for name, options in commands.items()}
    return "\n".join(f"  {name:<15}  {text.splitlines()[0]}" for name, text in summaries.items())


def help_text(options: Any, command: str, everything: bool) -> str:
    """Returns the help of a command: the common options, or all options in groups and with their limits."""
    width = min(max(shutil.get_terminal_size().columns, 50), 100)
    fill = functools.partial(textwrap.fill, break_on_hyphens=False)
    chosen = listed = list(options_of(options))
    if not everything and any(each.is_common for each in listed):
        chosen = [each._replace(group="") for each in listed if each.is_common or each.is_argument]
    lines = [f"usage: {usage_line(command, listed)}"]
    for paragraph in (inspect.getdoc(options) or "").split("\n\n"):
        lines += ["", paragraph if "\n  " in paragraph else fill(paragraph, width)]
    for group, members in itertools.groupby(chosen, lambda option: option.group):
        lines += ["", f"{group.replace('_', ' ')} options:".strip().capitalize()]
        for option in members:
            notes = [option.limits if everything else "", option.default and f"default: {option.default}"]
            note = f" ({'; '.join(filter(None, notes))})" if any(notes) else ""
            text = textwrap.indent(fill(option.help + note, width - 26), " " * 26)
            head = f"  {option.usage}"
            lines.append(head + (text[len(head) :] if len(head) < 25 else f"\n{text}"))
    if len(chosen) < len(listed):
        lines += ["", f"'--help-all' shows all {len(listed)} options."]
    return "\n".join(lines)


def _values(annotation: Any) -> str:
    for mark in getattr(annotation, "__metadata__", ()):
        if metavar := getattr(mark, "metavar", None):
            return str(metavar)
    origin, parts = parts_of(annotation)
    if origin is types.UnionType:
        return "|".join(_values(part) for part in parts if part is not types.NoneType)
    if origin is Literal:
        return "|".join(map(str, parts))
    if origin is tuple:
        each = _values(parts[0])
        return f"{each} [{each} ...]" if ... in parts else " ".join(map(_values, parts))
    return _VALUES[origin]


def _choices(annotation: Any) -> tuple[str, ...]:
    origin, parts = parts_of(annotation)
    if origin is Literal:
        return tuple(map(str, parts))
    return tuple(itertools.chain(*map(_choices, parts)))


@functools.cache
def _docstrings(kind: Any) -> dict[str, str]:
    """Returns the docstrings of a dataclass' fields, which Python doesn't keep."""
    texts = {}
    for each in reversed(kind.__mro__[:-1]):
        with contextlib.suppress(OSError):  # a class from make_dataclass has no source
            [definition] = ast.parse(inspect.getsource(each)).body
            for statement, following in itertools.pairwise(getattr(definition, "body", ())):
                if isinstance(statement, ast.AnnAssign) and isinstance(following, ast.Expr):
                    texts[ast.unparse(statement.target)] = " ".join(ast.literal_eval(following.value).split())
    return texts
