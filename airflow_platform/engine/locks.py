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
from datetime import datetime, timezone
from pathlib import Path

from airflow_platform import errors

ORPHAN_PATIENCE = 12.0
"""Seconds to wait for the programs of a killed run to end: they had SIGTERM and 10 s of grace."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lock."""

    pid: int
    host: str
    since: str
    command: str
    job: str = ""
    """The CI job's address, where there is one."""

    @classmethod
    def me(cls) -> Holder:
        """This process."""
        return cls(
            pid=os.getpid(),
            host=socket.gethostname(),
            since=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            command=" ".join(["inv", *sys.argv[1:]]),
            job=os.environ.get("CI_JOB_URL", ""),
        )

    @property
    def alive(self) -> bool:
        """Whether that process still runs; one of another host is taken to."""
        if self.host != socket.gethostname():
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    def __str__(self) -> str:
        job = f" ({self.job})" if self.job else ""
        return f"process {self.pid} on {self.host}, since {self.since}, running `{self.command}`{job}"


class FileLock:
    """An exclusive lock on a file, for one run; threads of one process share it."""

    def __init__(self, path: Path, thing: str, *, on_takeover: Callable[[str], None]) -> None:
        """Prepare; nothing is touched before `acquire`.

        Args:
            path: The lock file.
            thing: What the lock protects, for messages: "tenant analytics of sandbox".
            on_takeover: Called with a line for people when a dead holder's lock is taken over.
        """
        self._path = path
        self._thing = thing
        self._on_takeover = on_takeover
        self._users = 0
        self._mutex = threading.Lock()
        self.descriptor = -1

    @contextlib.contextmanager
    def held(self, *, timeout: float = 0.0, sleep: Callable[[float], None] = time.sleep) -> Iterator[int]:
        """Hold the lock; yields its descriptor, for programs to inherit.

        Args:
            timeout: Seconds to wait for a living holder.
            sleep: How to wait; may raise to give up.

        Raises:
            BusyError: Somebody else holds it; says who, since when and where.
            StateError: The file cannot be written.
        """
        with self._mutex:
            if self._users == 0:
                self.descriptor = self._acquire(timeout, sleep)
            self._users += 1
        try:
            yield self.descriptor
        finally:
            with self._mutex:
                self._users -= 1
                if self._users == 0:
                    self._release()

    def _acquire(self, timeout: float, sleep: Callable[[float], None]) -> int:
        started = time.monotonic()
        while True:
            descriptor = self._try()
            if descriptor >= 0:
                return self._sign(descriptor)
            holder = read_holder(self._path)
            patience = timeout if holder is None or holder.alive else max(timeout, ORPHAN_PATIENCE)
            if time.monotonic() - started >= patience:
                raise self._busy(holder)
            sleep(0.1)

    def _try(self) -> int:
        """The descriptor of the locked file, or -1 when somebody else has it."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise state_error(self._path, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its last holder may have removed the file between our open and our lock.
            same = os.fstat(descriptor).st_ino == os.stat(self._path).st_ino
        except (BlockingIOError, FileNotFoundError):
            same = False
        if not same:
            os.close(descriptor)
            return -1
        return descriptor

    def _sign(self, descriptor: int) -> int:
        left = read_holder(self._path)
        if left is not None:
            self._on_takeover(f"Took over the lock of {self._thing}: {left} has ended without releasing it.")
        try:
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(asdict(Holder.me())).encode(), 0)
        except OSError as error:
            os.close(descriptor)
            raise state_error(self._path, error) from error
        return descriptor

    def _release(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink()
        os.close(self.descriptor)
        self.descriptor = -1

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


def read_holder(path: Path) -> Holder | None:
    """Who the lock file says holds it; None when it says nothing readable."""
    try:
        return Holder(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def state_error(path: Path, error: OSError) -> errors.StateError:
    """The error for a file of ours that the operating system would not let us have."""
    return errors.StateError(
        f"{path}: {error.strerror or error}.",
        hint="Free some space or mend the permissions there, then run this again; nothing was lost.",
    )
