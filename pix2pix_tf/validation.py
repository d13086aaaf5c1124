"""Checks values against annotations: types, choices and numeric limits."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pix2pix_tf.errors import ConfigError
from pix2pix_tf.wording import flag, shown

Function = TypeVar("Function", bound=Callable[..., Any])
COMMON = "common"
"""Annotates an option that ``--help`` lists; ``--help-all`` lists all."""

_LARGEST = sys.float_info.max
_DESCRIPTIONS = {int: "a whole number", float: "a number", Path: "a path", str: "text", bool: "True or False"}


@dataclasses.dataclass(frozen=True)
class Limits:
    """A closed range; ``None`` for ``high`` means no upper limit."""

    low: float
    high: float | None = None

    def __str__(self) -> str:
        low = shown(self.low)
        return f"at least {low}" if self.high is None else f"from {low} to {shown(self.high)}"

    def contain(self, value: float) -> bool:
        """Returns whether ``value`` is in the range; False for NaN, infinity and too large integers."""
        return self.low <= value <= (_LARGEST if self.high is None else self.high)


def fields_of(settings: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yields name, annotation and value of the fields of a dataclass or instance.

    The value of a dataclass' required field is ``dataclasses.MISSING``.
    """
    kind = settings if isinstance(settings, type) else type(settings)
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(settings):
        yield field.name, hints[field.name], getattr(settings, field.name, field.default_factory)


def check_limits(settings: Any) -> None:
    """Raises `ConfigError` if a dataclass field has a wrong type or is outside its limits."""
    for name, annotation, value in fields_of(settings):
        if not fits(annotation, value):
            raise ConfigError(f"{flag(name)} takes {description(annotation)}; got {value!r:.200}")
        for limits in getattr(annotation, "__metadata__", ()):
            if isinstance(limits, Limits) and value is not None and not limits.contain(value):
                raise ConfigError(f"{flag(name)} must be {limits}, got {value}")


def check_range(name: str, values: tuple[float, ...] | None) -> None:
    """Raises `ConfigError` unless the values are two finite numbers in ascending order."""
    if values is not None and not (len(values) == 2 and -_LARGEST <= values[0] < values[1] <= _LARGEST):
        raise ConfigError(f"{flag(name)} takes two numbers, the lower one first; got {shown(values)}")


def checked(function: Function) -> Function:
    """Wraps a function to raise `TypeError` for arguments of the wrong type."""
    signature = inspect.signature(function)
    # The return type may exist only for type checkers.
    annotations = {name: kind for name, kind in function.__annotations__.items() if name != "return"}
    declared = types.SimpleNamespace(__annotations__=annotations)

    @functools.wraps(function)
    def call(*given: Any, **named: Any) -> Any:
        hints = typing.get_type_hints(declared, function.__globals__, include_extras=True)
        for name, value in signature.bind(*given, **named).arguments.items():
            if not fits(hints[name], value):
                takes = description(hints[name])
                raise TypeError(f"{function.__name__}: `{name}` must be {takes}, not {value!r:.80}")
        return function(*given, **named)

    return typing.cast(Function, call)


def fits(annotation: Any, value: Any) -> bool:
    """Returns whether a value has the annotated type. Integers are valid floats; bools are not numbers."""
    origin, parts = parts_of(annotation)
    if origin is types.UnionType:
        return any(fits(part, value) for part in parts)
    if origin is Literal:
        return value in parts
    if origin is tuple:
        return isinstance(value, tuple) and all(fits(parts[0], each) for each in value)
    if origin in (int, float):
        return isinstance(value, (int, origin)) and not isinstance(value, bool)
    return origin is Any or isinstance(value, origin)


def description(annotation: Any) -> str:
    """Describes the values that an annotation allows."""
    origin, parts = parts_of(annotation)
    if origin is types.UnionType:
        return " or ".join(description(part) for part in parts if part is not types.NoneType)
    if origin is Literal:
        return f"one of {', '.join(map(str, parts))}"
    if origin is tuple:
        return f"{'' if ... in parts else f'{len(parts)} '}values, each {description(parts[0])}"
    return _DESCRIPTIONS.get(origin, origin.__name__)


def parts_of(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """Returns a type without ``Annotated``, and its type arguments; all unions become ``UnionType``."""
    origin, parts = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
    if origin is Annotated:
        return parts_of(parts[0])
    return (types.UnionType if origin is typing.Union else origin), parts
