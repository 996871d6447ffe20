"""Local locks: `flock`, with a note in the file that says who holds it.

The kernel frees a lock when its holder and every program that inherited the descriptor are
gone, so a process id or a time is never what decides. The file is removed on release; one that
lies about unlocked is what a killed run left behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from airflow_platform import errors
from airflow_platform.programs import programs

ORPHAN_PATIENCE = 12.0
"""Seconds to wait for the programs of a killed run to end: they had SIGTERM and 10 s of grace."""

SIGNING = 1.0
"""Seconds to wait for a note in a file that is locked: its holder writes it right after locking."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lock."""

    pid: int
    host: str
    since: str
    command: str
    job: str = ""
    """The CI job's address, where there is one."""
    leaving: bool = False
    """Whether what is locked is being taken away."""

    @classmethod
    def me(cls, now: datetime, *, leaving: bool = False) -> Holder:
        """This process."""
        return cls(
            pid=os.getpid(),
            host=socket.gethostname(),
            since=now.isoformat(timespec="seconds"),
            command=" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            job=os.environ.get("CI_JOB_URL", ""),
            leaving=leaving,
        )

    @property
    def alive(self) -> bool:
        """Whether that process still runs; one of another host is taken to."""
        return self.host != socket.gethostname() or is_alive(self.pid)

    def __str__(self) -> str:
        job = f" ({self.job})" if self.job else ""
        return f"process {self.pid} on {self.host}, since {self.since}, running `{self.command}`{job}"


class FileLock:
    """An exclusive lock on a file, for one run; threads of one process share it."""

    def __init__(
        self,
        path: Path,
        thing: str,
        *,
        programs: programs.Programs,
        on_note: Callable[[str], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        leaving: bool = False,
    ) -> None:
        """Prepare; nothing is touched before it is held.

        Args:
            path: The lock file.
            thing: What the lock protects, for messages: "tenant analytics of sandbox".
            programs: Inherit the lock while it is held; whose interruption ends a wait.
            on_note: Called with a line for people when a dead holder is waited for or replaced.
            now: The wall clock, for the note about the holder.
            leaving: As the note says it.
        """
        self._path = path
        self._thing = thing
        self._programs = programs
        self._on_note = on_note
        self._now = now
        self._leaving = leaving
        self._users = 0
        self._mutex = threading.Lock()
        self._descriptor = -1

    @contextlib.contextmanager
    def held(self, *, timeout: float = 0.0) -> Iterator[FileLock]:
        """Hold the lock; programs started meanwhile hold it, too.

        Args:
            timeout: Seconds to wait for a living holder.

        Raises:
            BusyError: Somebody else holds it; says who, since when and where.
            StateError: The file cannot be written.
            Interrupted: A signal came while waiting.
        """
        with self._mutex:
            if self._users == 0:
                self._descriptor = self._acquire(timeout)
                self._programs.hold(self._descriptor)
            self._users += 1
        try:
            yield self
        finally:
            with self._mutex:
                self._users -= 1
                if self._users == 0:
                    self._release()

    def confirm(self) -> None:
        """Look again whether the locked file is still the one that others would lock.

        Raises:
            BusyError: The file was removed or replaced, so somebody else can hold the lock as well.
        """
        if self._is_ours(self._descriptor):
            return
        raise errors.BusyError(
            f"This run has lost the lock of {self._thing}: {self._path} was removed or replaced.",
            hint="Run this again. Do not delete lock files: the system frees a lock when its holder ends.",
        )

    def _acquire(self, timeout: float) -> int:
        started = time.monotonic()
        told = False
        while (descriptor := self._try()) < 0:
            holder = read_holder(self._path)
            orphaned = holder is not None and not holder.alive
            patience = max(timeout, ORPHAN_PATIENCE if orphaned else 0.0 if holder else SIGNING)
            if time.monotonic() - started >= patience:
                raise self._busy(holder)
            if orphaned and not told:
                told = True
                self._on_note(
                    f"The run that held the lock of {self._thing} is dead; waiting for its programs."
                )
            self._programs.interruption.sleep(0.1)
        self._sign(descriptor)
        return descriptor

    def _try(self) -> int:
        """The descriptor of the locked file, or -1 when somebody else has it."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise errors.StateError.of(self._path, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its last holder may have removed the file between our open and our lock.
            if os.path.samestat(os.fstat(descriptor), self._path.stat()):
                return descriptor
        except (BlockingIOError, FileNotFoundError):
            pass
        except OSError as error:
            os.close(descriptor)
            raise errors.StateError.of(self._path, error) from error
        os.close(descriptor)
        return -1

    def _sign(self, descriptor: int) -> None:
        left = read_holder(self._path)
        if left is not None:
            self._on_note(f"Took over the lock of {self._thing}: {left} has ended without releasing it.")
        try:
            me = Holder.me(self._now(), leaving=self._leaving)
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(asdict(me)).encode(), 0)
        except OSError as error:
            self._remove(descriptor)
            raise errors.StateError.of(self._path, error) from error

    def _release(self) -> None:
        self._programs.release(self._descriptor)
        self._remove(self._descriptor)
        self._descriptor = -1

    def _remove(self, descriptor: int) -> None:
        """Free the lock; a file that replaced ours is another run's, which may hold it now."""
        if self._is_ours(descriptor):
            with contextlib.suppress(OSError):
                self._path.unlink()
        os.close(descriptor)

    def _is_ours(self, descriptor: int) -> bool:
        """Whether the file at the path is the one that is open."""
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        except OSError:
            return False

    def _busy(self, holder: Holder | None) -> errors.BusyError:
        if holder is None:
            return errors.BusyError(f"The lock of {self._thing} is held.", hint="Try again in a moment.")
        if not holder.alive:
            return errors.BusyError(
                f"The lock of {self._thing} belongs to {holder}; that process is dead, "
                "but a program that it started still works.",
                hint="Wait until that program has ended, then run this again.",
            )
        return errors.BusyError(
            f"The lock of {self._thing} is held by {holder}.",
            hint="Wait for it, or stop it, then run this again.",
        )


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock of a file, this process included; also where that cannot be told.

    It is taken for an instant; who tries to take it meanwhile waits as long as for one that is being signed.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def read_holder(path: Path) -> Holder | None:
    """Who the lock file says holds it; None when it says nothing readable."""
    try:
        holder = Holder(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return holder if isinstance(holder.pid, int) else None


def is_alive(pid: object) -> bool:
    """Whether a process of this machine runs; one that has ended and was not reaped does not."""
    if not isinstance(pid, int) or not 0 < pid < 2**31:
        return False
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2][:1]
    except ProcessLookupError:
        return False
    except OSError:
        return True  # Somebody else's, or a system without /proc.
    return state != b"Z"
