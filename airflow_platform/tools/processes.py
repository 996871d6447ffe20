"""The processes and listeners of this machine, and the ending of processes.

Nothing here is remembered: each call looks. A process of another user is seen only as far as the
kernel allows; root sees all.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from airflow_platform import errors

Process = psutil.Process
"""A process; psutil compares start times, so a later one with the same id is another."""

_DEATH_AFTER_KILL = 5.0
"""Seconds; a process that is there after this long sleeps in the kernel."""

_STARTING = 1.0
"""Seconds that the kernel has for making a program of a process; it takes some milliseconds."""

_LISTENING = "0A"
"""The state of a listening socket in /proc/net/tcp: TCP_LISTEN of the kernel's tcp_states.h."""


@dataclass(frozen=True)
class Listener:
    """A process that accepts TCP connections at a port."""

    address: str
    port: int
    pid: int
    """0 when the kernel does not show it to this user."""
    command: str
    """The short name of that process; "" when it cannot be seen."""

    def __str__(self) -> str:
        by = f"process {self.pid} ({self.command})" if self.pid else "a process that cannot be seen"
        return f"{by} on {self.address}"


def marked(variable: str, value: str, *, user: int | None = None) -> tuple[Process, ...]:
    """Every living process that was started with this environment variable, or, with `user`, that runs as that user.

    Args:
        variable: The variable's name.
        value: Its value. Any process can set it, so it counts only where the process runs as the user who asks.
        user: The user id of one tenant; None where tenants have none of their own.

    Raises:
        PlatformError: This machine has no /proc, so that nobody can say that none is left.
    """
    _require_proc()
    if user is not None and user in (0, os.getuid()):
        raise ValueError(f"user {user} is not a tenant's own")
    found = []
    for each in _others():
        uid = user_of(each)
        if uid == user or (uid == os.geteuid() and _environment(each).get(variable) == value):
            found.append(each)
    return tuple(found)


def running_from(path: Path) -> tuple[Process, ...]:
    """Every living process, but for this one, whose program, libraries or arguments lie under a directory.

    Libraries too, because a program can give itself any title, and a virtual environment's Python is a
    link to one elsewhere.

    Raises:
        PlatformError: This machine has no /proc, so that nobody can say that there is none.
    """
    _require_proc()
    inside = tuple({f"{each}/" for each in (path.absolute(), path.resolve())})

    def uses(one: Process) -> bool:
        with contextlib.suppress(psutil.Error):
            return any(word.startswith(inside) for word in one.cmdline()) or any(
                each.path.startswith(inside) for each in one.memory_maps()
            )
        return False

    return tuple(each for each in _others() if uses(each))


def end(
    processes: Iterable[Process], *, grace: float, sleep: Callable[[float], None] = time.sleep
) -> tuple[Process, ...]:
    """End these very processes: SIGTERM, and after `grace` seconds SIGKILL; returns those still there.

    What is still there some seconds after SIGKILL sleeps in the kernel, or is not ours to end.
    """
    left = tuple(each for each in processes if _is_alive(each))
    for send, seconds in ((Process.terminate, grace), (Process.kill, _DEATH_AFTER_KILL)):
        for each in left:
            with contextlib.suppress(psutil.Error):
                send(each)
        deadline = time.monotonic() + seconds
        while left and time.monotonic() < deadline:
            sleep(0.02)
            left = tuple(each for each in left if _is_alive(each))
    return left


def listeners(port: int | None = None) -> tuple[Listener, ...]:
    """Every listening TCP socket of this network namespace, or those of one port.

    Raises:
        PlatformError: This machine has no /proc.
    """
    _require_proc()
    if port is not None and not any(listening == port for listening, _ in _listening_sockets()):
        return ()  # Cheap where nobody listens: no process is looked at.
    return tuple(
        Listener(each.laddr.ip, each.laddr.port, each.pid or 0, _name(each.pid))
        for each in psutil.net_connections("tcp")
        if each.laddr and each.status == psutil.CONN_LISTEN and (port is None or each.laddr.port == port)
    )


def users_listening(port: int) -> frozenset[int]:
    """The user ids of whoever listens on a port; every user may read them.

    Raises:
        PlatformError: This machine has no /proc.
    """
    _require_proc()
    return frozenset(user for listening, user in _listening_sockets() if listening == port)


def user_of(one: Process) -> int:
    """A process's real user id; -1 when the process has gone."""
    try:
        return one.uids().real
    except psutil.Error:
        return -1


def command_of(one: Process) -> str:
    """A process's title, as `ps` shows it; "" when it has gone."""
    with contextlib.suppress(psutil.Error):
        return " ".join(one.cmdline())
    return ""


def _others() -> Iterator[Process]:
    """Every living process but this one."""
    for (
        pid
    ) in psutil.pids():  # Not process_iter, which remembers and misses a process whose id was another's.
        with contextlib.suppress(psutil.NoSuchProcess):
            one = Process(pid)
            if pid != os.getpid() and _is_alive(one):
                yield one


def _is_alive(one: Process) -> bool:
    try:
        return one.is_running() and one.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def _listening_sockets() -> Iterator[tuple[int, int]]:
    """Port and user id of each listening TCP socket, from the kernel's own tables: psutil leaves the user out."""
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(FileNotFoundError):  # No IPv6 here.
            for line in Path("/proc/net", name).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING:
                    yield int(fields[1].rpartition(":")[2], 16), int(fields[7])


def _environment(one: Process) -> dict[str, str]:
    """What it was started with; empty when it has gone, or is not ours to look at.

    Between taking a new program up and giving it its arguments, the kernel shows neither these nor the
    environment, and whoever started the program has been told already that it runs.
    """
    deadline = time.monotonic() + _STARTING
    with contextlib.suppress(psutil.Error):
        while True:
            named, found = one.cmdline(), one.environ()
            # Only a program has an executable: no thread of the kernel's, no zombie.
            if found or named or not one.exe() or time.monotonic() > deadline:
                return found
            time.sleep(0.001)
    return {}


def _name(pid: int | None) -> str:
    with contextlib.suppress(psutil.Error):
        return Process(pid).name() if pid else ""
    return ""


def _require_proc() -> None:
    if sys.platform != "linux":
        raise errors.PlatformError(
            "This machine has no /proc: its processes and ports cannot be looked at.",
            hint="Use Linux, or look with ps and lsof.",
        )
