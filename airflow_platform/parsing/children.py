"""The processes that import: forked from the warm worker, confined, read until they have answered or must end.

One file is one child. What it prints goes nowhere, for it may be a secret. Its one answer comes through a
pipe; a second one takes what Python's fault handler says of a crash or of an import that does not end.
"""

from __future__ import annotations

import contextlib
import faulthandler
import math
import os
import re
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_platform.parsing import confinement, protocol, scratch

PATIENCE = 1.0
"""Seconds between the fault handler's own end of an import and SIGKILL."""

_FRAME = re.compile(r'File "([^"]+)", line (\d+),? in')
_LARGEST_TRACE = 64 * 1024
_CHUNK = 1024**2


@dataclass(frozen=True)
class Slot:
    """What children have one after the other: where their directories are made, and as root a user id."""

    scratch: Path
    user: int | None

    def directory(self) -> Path:
        """A new directory that one child may write to.

        Raises:
            OSError: There can be none, which is not the fault of the file that would have had it.
        """
        return scratch.fresh(self.scratch, self.user)


@dataclass(eq=False)
class Child:
    """One import that is under way."""

    path: str
    pid: int
    slot: Slot
    directory: Path
    """Whoever ends it deletes it."""
    answer: int
    trace: int
    deadline: float
    """When it is killed, by the monotonic clock."""
    received: bytearray = field(default_factory=bytearray)
    late: bool = False

    def read(self) -> bool:
        """Take what there is of the answer; False when there will be no more."""
        chunk = os.read(self.answer, _CHUNK)
        self.received += chunk
        return bool(chunk) and len(self.received) <= protocol.LARGEST_ANSWER

    def end(self, root: str) -> dict[str, Any]:
        """End it, if it has not ended, and tell what it found, or how it came to its end."""
        os.close(self.answer)
        for kill in (os.killpg, os.kill):  # The group is there only once it has become its own session.
            with contextlib.suppress(ProcessLookupError):
                kill(self.pid, signal.SIGKILL)
        _, status, used = os.wait4(self.pid, 0)
        trace = _rest(self.trace)
        facts = self._facts() or self._end_of(status, trace, root)
        return {**facts, "cpu": used.ru_utime + used.ru_stime}

    def _facts(self) -> dict[str, Any] | None:
        if not self.received.endswith(protocol.WHOLE.encode()):
            return None
        with contextlib.suppress(protocol.Malformed):
            return protocol.decode(bytes(self.received))
        return None

    def _end_of(self, status: int, trace: str, root: str) -> dict[str, Any]:
        if not trace.startswith(_FAILED):
            return {"ended": self._ended(status, trace), **_place(_FRAME.findall(trace), root)}
        at = _place(reversed(_FRAME.findall(trace)), root)
        last = trace.strip().splitlines()[-1][:_LONGEST_REASON]
        if at:
            return {"ended": f"it made what imports it fail: {last}", **at}
        return {"ended": f"what imports it failed, a defect of airflow-platform and not of the file: {last}"}

    def _ended(self, status: int, trace: str) -> str:
        code = os.waitstatus_to_exitcode(status)
        if self.late or trace.startswith(_TOO_LATE):
            return protocol.LATE
        if len(self.received) > protocol.LARGEST_ANSWER:
            return "it told more than anybody wants to know"
        if code < 0 and code != -signal.SIGKILL:
            return f"it was ended by {signal.Signals(-code).name}"
        return "it ended without an answer" if code < 0 else f"it ended its process with code {code}"


_TOO_LATE = "Timeout ("
"""What Python's fault handler begins with when it ends a process whose time is over."""

_FAILED = "Failed:\n"
"""What stands before the traceback of an exception that left the work."""

_LONGEST_REASON = 300
"""Characters that are told of such an exception."""


def start(
    path: str,
    work: Callable[[bool], Mapping[str, Any]],
    slot: Slot,
    directory: Path,
    *,
    seconds: float,
    memory: int,
) -> Child:
    """Fork a child that does `work` and answers with what it returns.

    Args:
        path: The file that it imports.
        work: Gets whether the kernel refuses the child programs and sockets.
        slot: What it has, and nobody else while it runs.
        directory: One of the slot's.
        seconds: How long it may take.
        memory: MiB that it may take besides what the worker has.
    """
    answer, answering = os.pipe()
    trace, tracing = os.pipe()
    limits = {
        "worker": os.getpid(),
        "memory": memory,
        "user": slot.user,
        # More than it can use before its deadline: for the day on which nobody is left who keeps that.
        "processor": math.ceil(seconds + 2 * PATIENCE) * (os.cpu_count() or 1),
    }
    pid = os.fork()
    if pid == 0:
        _be_child(work, directory, (answering, tracing), seconds, limits)
    os.close(answering)
    os.close(tracing)
    deadline = time.monotonic() + seconds + PATIENCE
    return Child(path, pid, slot, directory, answer, trace, deadline)


def _be_child(
    work: Callable[[bool], Mapping[str, Any]],
    directory: Path,
    pipes: tuple[int, int],
    seconds: float,
    limits: dict[str, Any],
) -> None:
    """Confine this process, work, answer, end. Never returns."""
    leave = os._exit  # Before a DAG file could put something else in its place.
    answering, tracing = pipes
    try:
        _detach(directory, pipes)
        faulthandler.enable(tracing, all_threads=False)
        faulthandler.dump_traceback_later(seconds, file=tracing, exit=True)
        message = protocol.encode(work(confinement.confine(**limits)))
        faulthandler.cancel_dump_traceback_later()
        while message:
            message = message[os.write(answering, message) :]
        leave(0)
    except BaseException:  # noqa: BLE001 - nothing may come back into the worker's loop.
        with contextlib.suppress(BaseException):
            told = traceback.format_exc().encode(errors="replace")[-_LARGEST_TRACE // 2 :]
            os.write(tracing, _FAILED.encode() + told)
    finally:
        leave(2)


def _detach(directory: Path, kept: tuple[int, int]) -> None:
    """A session, signals, descriptors and a directory of its own."""
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    first, last = sorted(kept)
    os.closerange(3, first)
    os.closerange(first + 1, last)
    os.closerange(last + 1, os.sysconf("SC_OPEN_MAX"))
    os.chdir(directory)
    os.umask(0o077)
    os.environ.update(HOME=str(directory), TMPDIR=str(directory))


def _rest(descriptor: int) -> str:
    """What is left in a pipe; whoever still has its other end is not waited for."""
    os.set_blocking(descriptor, False)
    try:
        return os.read(descriptor, _LARGEST_TRACE).decode(errors="replace")
    except BlockingIOError:
        return ""
    finally:
        os.close(descriptor)


def _place(frames: Iterable[tuple[str, str]], root: str) -> dict[str, Any]:
    """File and line of the first of these frames, the innermost first, that is one of the DAG files."""
    for name, number in frames:
        if name.startswith(f"{root}/"):
            return {"file": name[len(root) + 1 :], "line": int(number)}
    return {}
