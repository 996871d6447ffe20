"""Log files: their last lines, and new lines as they come."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

BLOCK = 65536
"""Bytes that are read at a time, from the end."""


@dataclass(frozen=True)
class Line:
    """One line of a log."""

    source: str
    text: str


def last(logs: Mapping[str, Path], count: int) -> Iterator[Line]:
    """The last lines of each log, log by log; one that does not exist has none."""
    for source, path in logs.items():
        for text in _tail(path, count):
            yield Line(source, text)


def follow(logs: Mapping[str, Path], sleep: Callable[[], None]) -> Iterator[Line]:
    """Lines that are written from now on, for ever; a log that is rotated or begun later is taken up.

    Args:
        logs: By the name under which lines are given.
        sleep: Waits before the next look; ends the iteration by raising.
    """
    positions = {source: _size(path) for source, path in logs.items()}
    inodes = {source: _inode(path) for source, path in logs.items()}
    while True:
        for source, path in logs.items():
            inode = _inode(path)
            if inode != inodes[source] or _size(path) < positions[source]:
                inodes[source], positions[source] = inode, 0
            for text, position in _complete_lines(path, positions[source]):
                positions[source] = position
                yield Line(source, text)
        sleep()


def _tail(path: Path, count: int) -> list[str]:
    if count <= 0:
        return []
    try:
        with path.open("rb") as file:
            position = file.seek(0, os.SEEK_END)
            data = b""
            while position > 0 and data.count(b"\n") <= count:
                step = min(BLOCK, position)
                position -= step
                file.seek(position)
                data = file.read(step) + data
    except FileNotFoundError:
        return []
    return data.decode(errors="replace").splitlines()[-count:]


def _complete_lines(path: Path, position: int) -> Iterator[tuple[str, int]]:
    """Lines from a position on, each with the position behind it; a line that is not ended waits."""
    try:
        with path.open("rb") as file:
            file.seek(position)
            for raw in file:
                if not raw.endswith(b"\n"):
                    return
                position += len(raw)
                yield raw.decode(errors="replace").rstrip("\r\n"), position
    except FileNotFoundError:
        return


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0
