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
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import tyro

from pix2pix_tf.models.registry import TRAINED
from pix2pix_tf.validation import COMMON, Limits, fields_of, parts_of
from pix2pix_tf.wording import flag, shown

HELP_FLAGS = frozenset(("-h", "--help", "--help-all"))
_VALUES = {int: "INT", float: "NUMBER", Path: "PATH", str: "TEXT", bool: "True|False"}


@dataclasses.dataclass(frozen=True)
class Option:
    """A flag or a positional argument; ``value`` is its default, or ``MISSING`` if it is required."""

    kind: Any  # the dataclass of the field
    group: str  # such as "data" in training, or an empty text
    field: str
    annotation: Any
    value: Any

    @property
    def marks(self) -> tuple[Any, ...]:
        return getattr(self.annotation, "__metadata__", ())

    @property
    def is_positional(self) -> bool:
        return tyro.conf.Positional in self.marks

    @property
    def is_required(self) -> bool:
        return self.value is dataclasses.MISSING

    @property
    def is_common(self) -> bool:
        """Whether the short help lists it."""
        return COMMON in self.marks or self.is_positional or self.is_required

    @property
    def name(self) -> str:
        return self.field.upper() if self.is_positional else flag(self.field)

    @property
    def flags(self) -> tuple[str, ...]:
        """The name, and for a flag without a value also its opposite."""
        return (self.name, flag(f"no-{self.field}")) if parts_of(self.annotation)[0] is bool else (self.name,)

    @property
    def usage(self) -> str:
        """The name with its values: ``--direction AtoB|BtoA``."""
        if len(self.flags) > 1:
            return ", ".join(self.flags) if self.value else self.name
        if self.is_positional:
            return self.name
        return f"{self.name} {'|'.join(TRAINED) if self.name == '--model' else _values(self.annotation)}"

    @property
    def choices(self) -> tuple[str, ...]:
        """The values to choose from; empty if others are possible."""
        return TRAINED if self.name == "--model" else _choices(self.annotation)

    @property
    def help(self) -> str:
        return _docstrings(self.kind).get(self.field, "")

    @property
    def limits(self) -> str:
        return next((str(mark) for mark in self.marks if isinstance(mark, Limits)), "")

    @property
    def default(self) -> str:
        """The default as on the command line; empty if the help text describes it or there is none."""
        return "" if self.value in (None, (), dataclasses.MISSING) else shown(self.value)


def options_of(options: Any, group: str = "") -> Iterator[Option]:
    """Yields the options of a dataclass, or of an instance with the defaults, and of nested ones."""
    kind = options if isinstance(options, type) else type(options)
    for name, annotation, value in fields_of(options):
        if tyro.conf.Fixed in getattr(annotation, "__metadata__", ()):
            continue
        if dataclasses.is_dataclass(value):
            yield from options_of(value, name)
        else:
            yield Option(kind, group, name, annotation, value)


def overview(commands: Mapping[str, Any]) -> str:
    """Lists commands with the first line of the documentation of their options."""
    summaries = {name: inspect.getdoc(options) or "" for name, options in commands.items()}
    return "\n".join(f"  {name:<15}  {text.splitlines()[0]}" for name, text in summaries.items())


def help_text(options: Any, command: str, everything: bool) -> str:
    """Returns the help of a command: the common options, or all options in groups and with their limits."""
    width = min(shutil.get_terminal_size().columns, 100)
    fill = functools.partial(textwrap.fill, break_on_hyphens=False)
    listed = list(options_of(options))
    if not everything and any(COMMON in option.marks for option in listed):
        shown_options = [dataclasses.replace(option, group="") for option in listed if option.is_common]
    else:
        shown_options = listed
    arguments = [
        each.usage if each.is_required else f"[{each.name}]"
        for each in listed
        if each.is_required or each.is_positional
    ]
    lines = [" ".join(["usage: pix2pix", command, *arguments, "[options]"])]
    for paragraph in (inspect.getdoc(options) or "").split("\n\n"):
        lines += ["", paragraph if "\n  " in paragraph else fill(paragraph, width)]
    for group, members in itertools.groupby(shown_options, lambda option: option.group):
        lines += ["", f"{group.replace('_', ' ')} options:".strip().capitalize()]
        for option in members:
            default = f"default: {option.default}" if option.value is not False and option.default else ""
            notes = list(filter(None, (option.limits if everything else "", default)))
            note = f" ({'; '.join(notes)})" if notes else ""
            text = textwrap.indent(fill(option.help + note, width - 26), " " * 26)
            head = f"  {option.usage}"
            lines.append(head + (text[len(head) :] if len(head) < 25 else f"\n{text}"))
    if len(shown_options) < len(listed):
        lines += ["", f"'pix2pix {command} --help-all' lists all {len(listed)} options."]
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
