"""Errors and faults as text for people: what it is about, the cause, the remedy."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable

from airflow_platform.errors import Fault, PlatformError


def describe(error: PlatformError) -> str:
    """An error as the lines that end a command: the message, its faults if it is a list of them, the hint."""
    return _describe(error, _width())


def describe_all(faults: Iterable[Fault]) -> str:
    """Faults as a list, one paragraph each."""
    width = _width()
    return "\n".join(_paragraph(f"{fault.thing}: {fault.cause} {fault.remedy}", width) for fault in faults)


def _describe(error: PlatformError, width: int) -> str:
    if "\n" in error.message or _is_list(error):
        lines = [_paragraph(f"error: {error.message}", width)]
        lines += [describe_all(error.faults())] if _is_list(error) else []
        return "\n".join([*lines, *([_paragraph(error.hint, width)] if error.hint else [])])
    return _paragraph(f"error: {error.message} {error.hint}", width)


def _is_list(error: PlatformError) -> bool:
    """Whether the error carries faults of its own; any other is one fault: itself."""
    return [fault.cause for fault in error.faults()] != [error.message]


def _paragraph(text: str, width: int) -> str:
    """Wrapped at `width`; lines that come from a program keep their own ends."""
    first, *rest = text.rstrip().split("\n")
    wrapped = textwrap.wrap(
        first, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
    return "\n".join([*wrapped, *(f"  {line}" for line in rest)])


def _width() -> int:
    return min(shutil.get_terminal_size((80, 24)).columns, 120)
