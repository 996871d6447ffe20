"""Dataclasses from what a case says, by their own type hints; what does not fit is refused."""

from __future__ import annotations

import dataclasses
import datetime
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def build(kind: Any, value: Any, where: str = "observed") -> Any:
    """The value of this type that a document describes.

    Raises:
        TypeError: A field does not exist, one is missing, or a value has another type; says where.
    """
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        (inner,) = (each for each in arguments if each is not type(None))
        return None if value is None else build(inner, value, where)
    if origin is tuple:
        kinds = [arguments[0]] * len(value) if Ellipsis in arguments else arguments
        return tuple(build(each, part, where) for each, part in zip(kinds, value, strict=True))
    if origin in (dict, Mapping):
        return {key: build(arguments[1], each, where) for key, each in value.items()}
    if kind in _READ:
        value = _READ[kind](value)
    elif type(value) is not kind:
        raise TypeError(f"{where} is {value!r}, not of type {kind}")
    return value


_READ: dict[Any, Any] = {
    Any: lambda value: value,
    Path: Path,
    datetime.datetime: datetime.datetime.fromisoformat,
}


def _dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise TypeError(f"{where} is {value!r}, not the fields of {kind.__qualname__}")
    hints = typing.get_type_hints(kind)
    known = {each.name for each in dataclasses.fields(kind)}
    if unknown := sorted(value.keys() - known):
        raise TypeError(f"{where}: {kind.__module__}.{kind.__qualname__} has no {', '.join(unknown)}")
    return kind(**{name: build(hints[name], each, f"{where}.{name}") for name, each in value.items()})
