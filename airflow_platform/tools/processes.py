"""The processes and listeners of this machine, as /proc shows them, and the ending of processes.

Nothing here is remembered: each call looks. A process of another user is seen only as far as the
kernel allows; root sees all.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from airflow_platform import errors
from airflow_platform.supervisor import linux
from airflow_platform.supervisor.spec import OWNER_VARIABLE

_LISTENING = "0A"
"""The state of a listening socket in /proc/net/tcp: TCP_LISTEN of the kernel's tcp_states.h."""

_DEATH_AFTER_KILL = 5.0
"""Seconds; a process that is there after this long sleeps in the kernel."""

_STARTING = 1.0
"""Seconds that the kernel has for making a program of a process; it takes some milliseconds."""


@dataclass(frozen=True)
class Process:
    """A running process; `started` tells it from a later one with the same id."""

    pid: int
    started: int
    """Clock ticks since boot."""
    user: int = field(compare=False)
    command: str = field(compare=False)
    """Its title, as `ps` shows it."""


@dataclass(frozen=True)
class Listener:
    """A socket that accepts TCP connections."""

    address: str
    port: int
    pid: int
    """0 when it is not ours to know."""
    command: str
    """The short name of that process; empty when it is not ours to know."""

    def __str__(self) -> str:
        by = f"process {self.pid} ({self.command})" if self.pid else "a process that cannot be seen"
        return f"{by} on {self.address}"


def owned(owner: str, *, user: int | None = None) -> tuple[Process, ...]:
    """Every living process that was started for this owner, or, with `user`, that runs as that user.

    Args:
        owner: The value of `AIRFLOW_PLATFORM_OWNER` in its environment.
        user: The user id of one tenant; never our own, which has processes of others too.

    Raises:
        PlatformError: This machine has no /proc, so that nobody can say that none is left.
    """
    _require_proc()
    if user is not None and user in (0, os.getuid()):
        raise ValueError(f"user {user} is not a tenant's own")
    needle = f"{OWNER_VARIABLE}={owner}".encode()
    found = []
    for one in linux.processes():
        if one.zombie or one.pid == os.getpid():
            continue
        uid = user_of(one.pid)
        if (user is not None and uid == user) or needle in _environment(one.pid):
            found.append(Process(one.pid, one.started, uid, linux.title(one.pid)))
    return tuple(found)


def running_from(path: Path) -> tuple[Process, ...]:
    """Every living process, but for this one, whose program, libraries or arguments lie under a directory.

    Libraries too, because a program can give itself any title, and a virtual environment's Python is a
    link to one elsewhere.

    Raises:
        PlatformError: This machine has no /proc, so that nobody can say that there is none.
    """
    _require_proc()
    inside = tuple({f"{each}/".encode() for each in (path.absolute(), path.resolve())})
    return tuple(
        Process(one.pid, one.started, user_of(one.pid), linux.title(one.pid))
        for one in linux.processes()
        if one.pid != os.getpid() and not one.zombie and _uses(one.pid, inside)
    )


def _uses(pid: int, directories: tuple[bytes, ...]) -> bool:
    here = Path(f"/proc/{pid}")
    with contextlib.suppress(OSError):  # It has gone, or is not ours to look at.
        if any(word.startswith(directories) for word in (here / "cmdline").read_bytes().split(b"\0")):
            return True
        # A line of the table ends with the file's path, and the program itself is one of them.
        table = (here / "maps").read_bytes()
        return any(b" " + each in table for each in directories)
    return False


def end(
    processes: Iterable[Process], *, grace: float, sleep: Callable[[float], None] = time.sleep
) -> tuple[Process, ...]:
    """End these very processes: SIGTERM, and after `grace` seconds SIGKILL; returns those still there.

    What is still there some seconds after SIGKILL sleeps in the kernel, or is not ours to end.
    """
    left = tuple(one for one in processes if _is_alive(one))
    for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, _DEATH_AFTER_KILL)):
        for one in left:
            if (target := linux.process(one.pid)) and target.started == one.started:
                linux.send(target, number)
        deadline = time.monotonic() + seconds
        while left and time.monotonic() < deadline:
            sleep(0.02)
            left = tuple(one for one in left if _is_alive(one))
    return left


def listeners() -> tuple[Listener, ...]:
    """Every listening TCP socket of this network namespace.

    Raises:
        PlatformError: This machine has no /proc.
    """
    return _listeners(None)


def listening(port: int) -> tuple[Listener, ...]:
    """Who listens on a port, on whatever address; empty: nobody. Cheap when it is nobody.

    Raises:
        PlatformError: This machine has no /proc.
    """
    return _listeners(port)


def _listeners(port: int | None) -> tuple[Listener, ...]:
    _require_proc()
    rows = [row for name in ("tcp", "tcp6") for row in _rows(Path("/proc/net") / name)]
    wanted = [row for row in rows if port is None or row[1] == port]
    holders = _holders({inode for _, _, inode in wanted}) if wanted else {}
    return tuple(
        Listener(address, number, pid, _name(pid))
        for address, number, inode in wanted
        for pid in (holders.get(inode, 0),)
    )


def _rows(table: Path) -> Iterator[tuple[str, int, int]]:
    """Address, port and inode of each listening socket in a table of the kernel's."""
    try:
        lines = table.read_text().splitlines()[1:]
    except FileNotFoundError:  # No IPv6 here.
        return
    for line in lines:
        fields = line.split()
        if fields[3] == _LISTENING:
            address, port = fields[1].split(":")
            yield _address(address), int(port, 16), int(fields[9])


def _address(text: str) -> str:
    """The kernel prints an address as 32-bit words, each in this machine's byte order."""
    words = [int(text[at : at + 8], 16) for at in range(0, len(text), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    return socket.inet_ntop(socket.AF_INET if len(words) == 1 else socket.AF_INET6, packed)


def _holders(inodes: set[int]) -> dict[int, int]:
    """The first process that holds each socket, as far as we may look."""
    links = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[int, int] = {}
    for one in linux.processes():
        for target in _descriptors(one.pid):
            if target in links:
                found.setdefault(links[target], one.pid)
        if len(found) == len(inodes):
            break
    return found


def _descriptors(pid: int) -> Iterator[str]:
    try:
        links = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return
    for link in links:
        with contextlib.suppress(OSError):  # Closed since, or the process has gone.
            yield str(link.readlink())


def _is_alive(one: Process) -> bool:
    now = linux.process(one.pid)
    return now is not None and now.started == one.started and not now.zombie


def _environment(pid: int) -> list[bytes]:
    """What it was started with; empty when it has gone, or is not ours to look at.

    Between taking a new program up and giving it its arguments, the kernel shows neither these nor the
    environment, and whoever started the program has been told already that it runs.
    """
    here, deadline = Path(f"/proc/{pid}"), time.monotonic() + _STARTING
    with contextlib.suppress(OSError):
        while True:
            named = (here / "cmdline").read_bytes()
            found = (here / "environ").read_bytes()
            if found or named or time.monotonic() > deadline:
                return found.split(b"\0")
            (here / "exe").readlink()  # Only a program has this link: no thread of the kernel's, no zombie.
            time.sleep(0.001)
    return []


def user_of(pid: int) -> int:
    """A process's real user id; -1 when the process has gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
    except OSError:
        return -1
    return next((int(line.split()[1]) for line in lines if line.startswith("Uid:")), -1)


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() if pid else ""
    except OSError:
        return ""


def _require_proc() -> None:
    if sys.platform != "linux":
        raise errors.PlatformError(
            "This machine has no /proc: its processes and ports cannot be looked at.",
            hint="Use Linux, or look with ps and lsof.",
        )
