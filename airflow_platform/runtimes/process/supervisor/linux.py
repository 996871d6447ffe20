"""What Linux knows of processes: who is whose child, who follows whom into death, and /proc.

Elsewhere there is neither; then orphans are not found and a killed supervisor leaves its components
running. macOS is such a place, and is unverified.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

AVAILABLE = sys.platform == "linux"

_PROC = Path("/proc")
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
# Loaded at import, because between fork and exec is no time to load a library.
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Process:
    """One process, told from a later one of the same id by when it was started."""

    pid: int
    started: int
    """Clock ticks since boot."""
    parent: int = field(compare=False)
    group: int = field(compare=False)
    session: int = field(compare=False)
    zombie: bool = field(compare=False)


def process(pid: int) -> Process | None:
    """What the kernel says of a process now; None when it has gone."""
    if not AVAILABLE:
        return _without_proc(pid)
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = text[text.rindex(b")") + 2 :].split()
    return Process(
        pid=pid,
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        started=int(fields[19]),
        zombie=fields[0] in (b"Z", b"X"),
    )


def processes() -> list[Process]:
    """Every process that can be seen."""
    if not AVAILABLE:
        return []
    pids = (int(path.name) for path in _PROC.iterdir() if path.name.isdigit())
    return [found for pid in pids if (found := process(pid)) is not None]


def descendants(root: int, without: Collection[int] = ()) -> list[Process]:
    """The living children of `root` and theirs, leaving out the processes `without` and theirs."""
    children: dict[int, list[Process]] = {}
    for one in processes():
        children.setdefault(one.parent, []).append(one)
    found: list[Process] = []
    waiting = [root]
    while waiting:
        of_this = [one for one in children.get(waiting.pop(), ()) if one.pid not in without]
        found += [one for one in of_this if not one.zombie]
        waiting += [one.pid for one in of_this]
    return found


def title(pid: int) -> str:
    """What `ps` shows as its command; empty when it has gone or is a zombie."""
    try:
        text = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    return text.replace(b"\0", b" ").decode(errors="replace").strip()


def send(target: Process, number: int) -> None:
    """Send a signal to this very process; nothing happens when it has gone, whoever has its id now.

    The handle is opened first and the process compared after: the handle then stays with it. A
    signal that may not be sent is not sent; who sends one looks whether it worked.
    """
    with contextlib.suppress(OSError):
        if not AVAILABLE:
            os.kill(target.pid, number)
            return
        handle = os.pidfd_open(target.pid)
        try:
            now = process(target.pid)
            if now == target:
                signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)


def adopt_orphans() -> None:
    """From now on a descendant whose parent has ended becomes our child, and not init's."""
    if AVAILABLE:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with(parent: int, number: int) -> None:
    """From now on the end of our parent sends us a signal. To be called after the last change of user,
    which would undo it, and only useful in a parent that has one thread.

    Raises:
        ProcessLookupError: The parent had ended before.
    """
    if not AVAILABLE:
        return
    _prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        raise ProcessLookupError(f"process {parent} has ended")


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def _without_proc(pid: int) -> Process | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return Process(pid=pid, parent=0, group=0, session=0, started=0, zombie=False)
