"""Frozen dataclasses from JSON: strict about types, because a DAG file may have written it."""

from __future__ import annotations

import dataclasses
import functools
import re
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any

LONGEST = 1000
"""Characters of a text for people."""

Text = Annotated[str, "for people"]
"""A text that is shown: on one line, cut, and without what would steer a terminal."""


class MisfitError(ValueError):
    """JSON that is no such record."""


def plain(words: str) -> str:
    """A text that somebody else chose, on one line and without what would steer a terminal or break XML."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]", "?", words)


def read(kind: Any, value: Any) -> Any:
    """A value of a type: a dataclass, a tuple, frozenset or mapping of such, an optional one, or a plain type.

    Raises:
        MisfitError: It is none.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        _require(isinstance(value, dict))
        given = {
            name: read(each, value[name])
            for name, each in _fields(typing.cast("type", kind)).items()
            if name in value
        }
        try:
            return kind(**given)  # type: ignore[operator]
        except TypeError as error:
            raise MisfitError(str(error)) from None
    if origin in (tuple, frozenset):
        _require(isinstance(value, list))
        return origin(read(arguments[0], each) for each in value)
    if origin is Mapping:
        _require(isinstance(value, dict))
        return {name: read(arguments[1], each) for name, each in value.items()}
    if origin is types.UnionType:
        return None if value is None else read(arguments[0], value)
    return value if kind is Any else _plain_value(kind, value)


def _plain_value(kind: Any, value: Any) -> Any:
    if kind is Text:
        _require(isinstance(value, str))
        return plain(value[:LONGEST])
    if kind is float:
        _require(isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 10**12)
    elif typing.get_origin(kind) is typing.Literal:
        _require(value in typing.get_args(kind))
    else:
        _require(type(value) is kind)
    return value


@functools.cache
def _fields(kind: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _require(fits: bool) -> None:
    if not fits:
        raise MisfitError("not what it should be")
