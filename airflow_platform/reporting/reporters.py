"""Which reporter a run gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TextIO

from airflow_platform.engine.report import Reporter
from airflow_platform.reporting import lines, looks


def choose(stream: TextIO, environ: Mapping[str, str], *, json: bool = False) -> Reporter:
    """The board on a terminal; plain lines elsewhere, with `CI` set, and beside a JSON document.

    Args:
        stream: Where progress goes: standard error.
        environ: NO_COLOR, FORCE_COLOR, CI, TERM, COLUMNS and LINES are honoured.
        json: Whether standard output will get a document.
    """
    look = looks.look_of(stream, environ)
    if look.board and not json:
        from airflow_platform.reporting import board

        return board.BoardReporter(stream, look)
    return lines.LinesReporter(stream, look)
