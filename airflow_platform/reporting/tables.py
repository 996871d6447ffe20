"""Answers of queries on standard output: aligned columns, or names with values."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import TextIO

from airflow_platform.reporting import looks, output

_GAP = "  "

_NARROWEST = 20
"""Columns: a narrower last column is not wrapped, because nobody could read it."""


def write(headings: Sequence[str], rows: Sequence[Sequence[object]], *, stream: TextIO | None = None) -> None:
    """Print a table. On a terminal the last column is wrapped at its width; a pipe gets a line a row."""
    stream = stream or sys.stdout
    output.answer(table(headings, rows, width=_width(stream)), stream)


def write_details(values: Mapping[str, object], *, stream: TextIO | None = None) -> None:
    """Print names with their values, one a line."""
    output.answer(details(values), stream)


def objects(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> list[dict[str, object]]:
    """A table's rows as JSON has them, by their headings."""
    return [dict(zip(headings, row, strict=True)) for row in rows]


def table(headings: Sequence[str], rows: Sequence[Sequence[object]], *, width: int = 0) -> str:
    """Headings in capitals and rows in aligned columns; a `width` of 0 wraps nothing."""
    cells = [[heading.upper() for heading in headings], *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    return "".join(_row(row, widths, width) for row in cells)


def details(values: Mapping[str, object], *, indent: str = "") -> str:
    """Names, padded, with their values."""
    width = max((len(name) for name in values), default=0)
    return "".join(
        f"{indent}{name:<{width}}{_GAP}{_cell(value)}".rstrip() + "\n" for name, value in values.items()
    )


def _row(row: Sequence[str], widths: Sequence[int], width: int) -> str:
    *first, last = row
    start = "".join(f"{cell:<{size}}{_GAP}" for cell, size in zip(first, widths, strict=False))
    room = width - len(start)
    if room < _NARROWEST:
        return (start + last).rstrip() + "\n"
    lines = textwrap.wrap(last, room, break_long_words=False) or [""]
    return "".join(f"{begin}{line}".rstrip() + "\n" for begin, line in _beside(start, lines))


def _beside(start: str, lines: Sequence[str]) -> list[tuple[str, str]]:
    return [(start if number == 0 else " " * len(start), line) for number, line in enumerate(lines)]


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_cell(item) for item in value)
    return str(value)


def _width(stream: TextIO) -> int:
    return looks.look_of(stream, os.environ).width if stream.isatty() else 0
