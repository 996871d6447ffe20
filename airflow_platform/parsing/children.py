"""The processes that import: forked from the warm worker, confined, read until they have answered or must end.

One file is one child. What it prints goes nowhere, for it may be a secret. Its one answer comes through a
pipe; a second one takes what Python's fault handler says of a crash or of an import that does not end.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import re
import shutil
import signal
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_platform.parsing import confinement, protocol

PATIENCE = 1.0
"""Seconds between the fault handler's own end of an import and SIGKILL."""

_FRAME = re.compile(r'File "([^"]+)", line (\d+) in')
_LARGEST_TRACE = 64 * 1024
_CHUNK = 1024**2


@dataclass(frozen=True)
class Slot:
    """What children have one after the other: a directory, and as root a user id."""

    scratch: Path
    user: int | None

    def prepare(self) -> None:
        """Make the directory as no child has touched it."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(mode=0o700)
        if self.user is not None:
            os.chown(self.scratch, self.user, self.user)


@dataclass
class Child:
    """One import that is under way."""

    path: str
    pid: int
    slot: Slot
    answer: int
    trace: int
    deadline: float
    seconds: float
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
        self._clean()
        facts = self._facts() or {"ended": self._ended(status, trace), **_place(trace, root)}
        return {**facts, "cpu": used.ru_utime + used.ru_stime}

    def _facts(self) -> dict[str, Any] | None:
        if not self.received.endswith(protocol.WHOLE.encode()):
            return None
        with contextlib.suppress(protocol.Malformed):
            return protocol.decode(bytes(self.received))
        return None

    def _ended(self, status: int, trace: str) -> str:
        code = os.waitstatus_to_exitcode(status)
        if self.late or code == -signal.SIGXCPU or trace.startswith(_TOO_LATE):
            return protocol.LATE
        if len(self.received) > protocol.LARGEST_ANSWER:
            return "it told more than anybody wants to know"
        if code < 0 and code != -signal.SIGKILL:
            return f"it was ended by {signal.Signals(-code).name}"
        return "it ended without an answer" if code < 0 else f"it ended its process with code {code}"

    def _clean(self) -> None:
        with contextlib.suppress(OSError):
            if any(self.slot.scratch.iterdir()):
                self.slot.prepare()


_TOO_LATE = "Timeout ("
"""What Python's fault handler begins with when it ends a process whose time is over."""


def start(
    path: str,
    work: Callable[[], Mapping[str, Any]],
    slot: Slot,
    *,
    seconds: float,
    memory: int,
) -> Child:
    """Fork a child that does `work` and answers with what it returns."""
    answer, answering = os.pipe()
    trace, tracing = os.pipe()
    limits = {"worker": os.getpid(), "memory": memory, "seconds": seconds, "user": slot.user}
    pid = os.fork()
    if pid == 0:
        _be_child(work, slot, answering, tracing, limits)
    os.close(answering)
    os.close(tracing)
    deadline = time.monotonic() + seconds + PATIENCE
    return Child(path, pid, slot, answer, trace, deadline, seconds)


def _be_child(
    work: Callable[[], Mapping[str, Any]], slot: Slot, answering: int, tracing: int, limits: dict[str, Any]
) -> None:
    """Confine this process, work, answer, end. Never returns."""
    leave = os._exit  # Before a DAG file could put something else in its place.
    try:
        _detach(slot, {answering, tracing})
        faulthandler.enable(tracing, all_threads=False)
        faulthandler.dump_traceback_later(limits["seconds"], file=tracing, exit=True)
        confinement.confine(**limits)
        message = protocol.encode(work())
        faulthandler.cancel_dump_traceback_later()
        while message:
            message = message[os.write(answering, message) :]
        leave(0)
    except BaseException:  # noqa: BLE001 - nothing may come back into the worker's loop.
        with contextlib.suppress(BaseException):
            os.write(tracing, traceback.format_exc().encode()[-_LARGEST_TRACE // 2 :])
    finally:
        leave(2)


def _detach(slot: Slot, kept: set[int]) -> None:
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
    os.chdir(slot.scratch)
    os.umask(0o077)
    os.environ.update(HOME=str(slot.scratch), TMPDIR=str(slot.scratch))


def _rest(descriptor: int) -> str:
    """What is left in a pipe; whoever still has its other end is not waited for."""
    os.set_blocking(descriptor, False)
    try:
        return os.read(descriptor, _LARGEST_TRACE).decode(errors="replace")
    except BlockingIOError:
        return ""
    finally:
        os.close(descriptor)


def _place(trace: str, root: str) -> dict[str, Any]:
    """File and line of the innermost frame of the DAG files in what the fault handler wrote."""
    for name, number in _FRAME.findall(trace):
        if name.startswith(f"{root}/"):
            return {"file": name[len(root) + 1 :], "line": int(number)}
    return {}
