"""Standard output, where answers go, and a reader who has seen enough of them."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TextIO


def answer(text: str, stream: TextIO | None = None) -> None:
    """Print an answer. A reader that left early, as `head` does, is no failure of the command."""
    stream = stream or sys.stdout
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        discard(stream)


def discard(stream: TextIO) -> None:
    """Let what is still buffered, and the flush at exit, go nowhere instead of failing again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
