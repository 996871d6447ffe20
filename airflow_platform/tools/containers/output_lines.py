"""What a program in a container prints: its lines as they come, and the last ones, which an error shows."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Iterator

TAIL = 15
"""Lines that an error shows: a screen's third, and enough for a Python traceback's end."""


class Printed:
    """Passes on the lines of a program, and keeps the last ones."""

    def __init__(self, progress: Callable[[str], None]) -> None:
        """Prepare; `progress` is called with each line."""
        self._progress = progress
        self._last: collections.deque[str] = collections.deque(maxlen=TAIL)

    def follow(self, chunks: Iterable[bytes]) -> None:
        """Read to the end; what raises meanwhile leaves the last lines here."""
        for line in lines(chunks):
            self._last.append(line)
            self._progress(line)

    @property
    def last(self) -> tuple[str, ...]:
        """The last lines, at most `TAIL`."""
        return tuple(self._last)


def lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """The lines of what comes in pieces, which may end in the middle of a line, or of a character; no empty ones."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
        yield from filter(None, (line.decode(errors="replace").rstrip() for line in whole))
    if rest.strip():
        yield rest.decode(errors="replace").rstrip()


def indented(lines: Iterable[str]) -> str:
    """Lines as an error shows them, each on one of its own; "" for none."""
    return "".join(f"\n    {line}" for line in lines)
