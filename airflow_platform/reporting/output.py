"""Standard output, where answers go, and a reader who has seen enough of them."""

from __future__ import annotations

import contextlib
import os
import select
import sys
from typing import TextIO


def answer(text: str, stream: TextIO | None = None) -> bool:
    """Print an answer; False when its reader has left early, as `head` does, which is no failure."""
    stream = stream or sys.stdout
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        discard(stream)
        return False
    return True


def is_abandoned(stream: TextIO | None = None) -> bool:
    """Whether nobody reads any more: a pipe whose reader has gone, a terminal that was closed."""
    look = select.poll()
    try:
        look.register((stream or sys.stdout).fileno(), 0)
    except (OSError, ValueError):  # No descriptor: a test's, or one that was closed.
        return False
    return bool(look.poll(0))


def discard(stream: TextIO) -> None:
    """Let what is still buffered, and the flush at exit, go nowhere instead of failing again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
