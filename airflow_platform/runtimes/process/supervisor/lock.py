"""The lock of a run directory: held as long as its supervisor lives, with its process id inside.

It is an flock: it goes when the last process that holds it goes, and never stays behind. The guardian
holds it too, so that a free lock means that nothing of the supervisor is left.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path

from airflow_platform.runtimes.process.supervisor import linux

LOCK_FILE = "supervisor.lock"

_GLANCE = 0.001
"""Seconds; somebody who only looks at the lock holds it, shared, for some microseconds."""


@dataclass(frozen=True)
class Holding:
    """Who holds a lock."""

    held: bool
    """Nobody may start a supervisor there."""
    process: linux.Process | None
    """The live supervisor; None while one starts, and while the guardian cleans up after a killed one."""


def take(directory: Path) -> int | None:
    """Take the lock for as long as the descriptor that is returned is open; None when it is held."""
    path = directory / LOCK_FILE
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if _try(descriptor, fcntl.LOCK_EX) and _is_still(path, descriptor):
            return descriptor
        held = not _try(descriptor, fcntl.LOCK_SH)
        os.close(descriptor)
        if held:
            return None
        time.sleep(_GLANCE)


def sign(descriptor: int) -> None:
    """Write this process's id, and when it was started, into the lock that it holds.

    Raises:
        OSError: The disk is full.
    """
    own = linux.process(os.getpid())
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()} {own.started if own else 0}\n".encode(), 0)


def look(directory: Path) -> Holding:
    """Who holds the lock of a directory now.

    Between the lock and the signature the file still names an earlier holder, whose id may be anybody's
    by now: that is why the start is compared.
    """
    try:
        descriptor = os.open(directory / LOCK_FILE, os.O_RDONLY)
    except FileNotFoundError:
        return Holding(held=False, process=None)
    try:
        if _try(descriptor, fcntl.LOCK_SH):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            return Holding(held=False, process=None)
        words = os.read(descriptor, 64).split()
    finally:
        os.close(descriptor)
    with contextlib.suppress(ValueError):
        pid, started = map(int, words)
        found = linux.process(pid)
        if found is not None and found.started == started and not found.zombie:
            return Holding(held=True, process=found)
    return Holding(held=True, process=None)


def _try(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether the file was not removed, or replaced, while we waited for its lock."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    return False
