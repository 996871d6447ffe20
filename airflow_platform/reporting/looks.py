"""What a stream can show: width, colour, symbols, and whether lines can be drawn over."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

from airflow_platform.engine.report import Outcome

COLOURS = {
    Outcome.CHANGED: "green",
    Outcome.UNCHANGED: "",
    Outcome.PENDING: "yellow",
    Outcome.SKIPPED: "",
    Outcome.BLOCKED: "yellow",
    Outcome.FAILED: "red",
    Outcome.BROKEN: "red",
}
"""Colours by name; an outcome that asks for no attention has none."""

_CODES = {"green": "32", "yellow": "33", "red": "31"}
_UNICODE = "✓✗○●→…"


@dataclass(frozen=True)
class Symbols:
    """Signs in front of steps, and the two that stand in texts."""

    good: str = "✓"
    bad: str = "✗"
    waiting: str = "○"
    running: str = "●"
    arrow: str = "→"
    ellipsis: str = "…"

    def of(self, outcome: Outcome) -> str:
        """The sign of an ended step."""
        return self.good if outcome.good else self.bad


ASCII = Symbols(good="+", bad="x", waiting=".", running="*", arrow="->", ellipsis="...")
"""For streams whose encoding has nothing else."""


@dataclass(frozen=True)
class Look:
    """How one stream is written to."""

    width: int = 80
    """Columns."""
    height: int = 24
    """Lines; only a board asks."""
    colour: bool = False
    board: bool = False
    """Whether lines can be drawn over: a terminal, and nobody who keeps a log."""
    symbols: Symbols = Symbols()

    def paint(self, text: str, colour: str) -> str:
        """The text in a colour, where the stream has colours."""
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if self.colour and colour else text


def look_of(stream: TextIO, environ: Mapping[str, str]) -> Look:
    """What `stream` can show: NO_COLOR, FORCE_COLOR, CI, TERM, COLUMNS and LINES have their say."""
    terminal = stream.isatty() and environ.get("TERM") != "dumb"
    width, height = _size(stream, environ)
    return Look(
        width=width,
        height=height,
        colour=_has_colour(environ, terminal=terminal and not environ.get("CI")),
        board=terminal and not environ.get("CI"),
        symbols=Symbols() if _can_encode(stream) else ASCII,
    )


def _has_colour(environ: Mapping[str, str], *, terminal: bool) -> bool:
    if environ.get("NO_COLOR"):
        return False
    return bool(environ.get("FORCE_COLOR")) or terminal


def _size(stream: TextIO, environ: Mapping[str, str]) -> tuple[int, int]:
    try:
        columns, lines = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        columns, lines = 80, 24
    return _number(environ.get("COLUMNS")) or columns or 80, _number(environ.get("LINES")) or lines or 24


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0


def _can_encode(stream: TextIO) -> bool:
    try:
        _UNICODE.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
