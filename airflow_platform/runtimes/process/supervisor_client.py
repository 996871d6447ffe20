"""The supervisor of a run directory: told what to run, started, told to look again, asked, stopped.

A supervisor lives as long as it holds its lock; what `status.json` says without that is history. Each
function may be killed at any line: called again, it finds what there is and goes on from there.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from airflow_platform import errors
from airflow_platform.config import paths
from airflow_platform.programs import programs
from airflow_platform.runtimes.process.supervisor import linux, lock
from airflow_platform.runtimes.process.supervisor.spec import (
    ALREADY_RUNNING,
    LOG_FILE,
    OWNER_VARIABLE,
    SPEC_FILE,
    STATUS_FILE,
    Spec,
    SpecError,
    Status,
    write_atomically,
)
from airflow_platform.tools import processes, users

_LOOK_EVERY = 0.02
_LARGEST_LOG = 10_000_000
_TAIL_BYTES = 4000
_TAIL_LINES = 12
_HINT_FULL = "Free space on its file system, or make it writable, and run this again."

Sleep = Callable[[float], None]
"""What passes the time between two looks; `Interruption.sleep` makes a wait end with the run."""


def write_spec(run_directory: Path, spec: Spec) -> None:
    """Say what is to run; `start` or `reload` makes it so.

    Raises:
        StateError: The file cannot be written; the one before it stays.
    """
    path = run_directory / SPEC_FILE
    try:
        write_atomically(path, spec.to_text())
    except OSError as error:
        raise errors.StateError(f"{path} cannot be written: {error}.", hint=_HINT_FULL) from error


def read_spec(run_directory: Path) -> Spec | None:
    """What was said last; None when nothing was, or when it cannot be read: then say it again."""
    try:
        return Spec.from_text((run_directory / SPEC_FILE).read_text())
    except (OSError, SpecError, UnicodeDecodeError):
        return None


def status(run_directory: Path) -> Status | None:
    """How the live supervisor and its components are; None when there is no live one."""
    holder = lock.look(run_directory).process
    return None if holder is None else _status_by(run_directory, holder.pid)


def processes_of(directory: Path) -> tuple[processes.Process, ...]:
    """Every living process of the tenant with this directory, whether or not its supervisor lives."""
    return processes.marked(OWNER_VARIABLE, str(directory), user=users.of_tenant(directory))


def is_held(run_directory: Path) -> bool:
    """Whether a supervisor lives there, starts there, or is still being cleaned up after."""
    return lock.look(run_directory).held


def start(run_directory: Path, *, python: Path, timeout: float, sleep: Sleep = time.sleep) -> Status:
    """Have a supervisor run what `write_spec` said; one that runs already is adopted as it is.

    One that is stopping is waited for, and followed by another. Whether an adopted one runs this very spec
    is for the caller to see, by `spec_digest`; `reload` makes it so.

    Args:
        run_directory: Its directory; exists.
        python: The interpreter that runs it; needs nothing but the standard library.
        timeout: Seconds until every component was started once, healthy or not.
        sleep: Passes the time between two looks.

    Raises:
        ProgramError: It did not start; has the last lines of its log.
    """
    deadline = time.monotonic() + timeout
    started = 0
    while True:
        found = status(run_directory)
        if found is not None and found.spec_digest and found.state == "running":
            _reap_loser(started, found.pid, deadline)
            return found
        if started and (code := _exit_code(started)) is not None:
            if code != ALREADY_RUNNING:
                raise _error(run_directory, code, "did not start")
            started = 0
        if not started and not is_held(run_directory):
            started = _start(run_directory, python)
        if time.monotonic() > deadline:
            raise _error(run_directory, 124, f"did not start within {timeout:g} s")
        sleep(_LOOK_EVERY)


def reload(run_directory: Path, timeout: float, *, sleep: Sleep = time.sleep) -> Status:
    """Have the live supervisor run what `write_spec` said: only what differs is started and stopped.

    Returns when what was removed or changed has ended and what is new was started once. Takes as long
    as the longest `stop_timeout` of what is stopped.

    Raises:
        ProgramError: There is no live supervisor, or it did not get there in time.
    """
    deadline = time.monotonic() + timeout
    wanted = read_spec(run_directory)
    holder = lock.look(run_directory).process
    if wanted is None or holder is None:
        raise _error(run_directory, 1, f"{'has no spec' if holder else 'is not running'}")
    linux.send(holder, signal.SIGHUP)
    while (found := _status_by(run_directory, holder.pid)) is None or (found.spec_digest != wanted.digest):
        if lock.look(run_directory).process != holder:
            raise _error(run_directory, 1, "ended while it was told what to run")
        if time.monotonic() > deadline:
            raise _error(run_directory, 124, f"did not take up its new spec within {timeout:g} s")
        sleep(_LOOK_EVERY)
    return found


def stop(run_directory: Path, timeout: float, *, sleep: Sleep = time.sleep) -> None:
    """Stop the supervisor and all that it runs; returns when its lock is free. None there is no fault.

    Args:
        run_directory: Its directory.
        timeout: Seconds; more than the longest `stop_timeout` of its components, and 15 more.
        sleep: Passes the time between two looks.

    Raises:
        ProgramError: It did not end in time; it goes on stopping.
    """
    deadline = time.monotonic() + timeout
    told: linux.Process | None = None
    while (holding := lock.look(run_directory)).held:
        if holding.process is not None and holding.process != told:
            told = holding.process
            linux.send(told, signal.SIGTERM)
        if time.monotonic() > deadline:
            raise _error(run_directory, 124, f"did not stop within {timeout:g} s")
        sleep(_LOOK_EVERY)
    if told is not None:
        _reap(told.parent, deadline)


def _start(run_directory: Path, python: Path) -> int:
    log = run_directory / LOG_FILE
    spec = read_spec(run_directory)
    path = os.environ.get("PATH", os.defpath)
    environment = {"PATH": path, "PYTHONPATH": str(paths.toolkit().import_path), "PYTHONUTF8": "1"}
    if spec is not None:
        environment[OWNER_VARIABLE] = spec.owner
    try:
        with contextlib.suppress(FileNotFoundError):
            if log.stat().st_size > _LARGEST_LOG:
                log.replace(log.with_name(log.name + ".1"))
        return programs.start_detached(
            [python, "-P", "-S", "-m", "airflow_platform.runtimes.process.supervisor", run_directory],
            env=environment,
            cwd=Path("/"),
            log=log,
        )
    except OSError as error:
        raise errors.StateError(
            f"The supervisor of {run_directory} cannot be started: {error}.", hint=_HINT_FULL
        ) from error


def _status_by(run_directory: Path, pid: int) -> Status | None:
    try:
        found = Status.from_text((run_directory / STATUS_FILE).read_text())
    except (OSError, SpecError, UnicodeDecodeError):
        return None
    return found if found.pid == pid else None


def _exit_code(pid: int) -> int | None:
    """Reap a supervisor that this very process started; None while it runs, or when it is not ours."""
    with contextlib.suppress(ChildProcessError):
        ended, wait_status = os.waitpid(pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(wait_status) if ended else None
    return None


def _reap_loser(started: int, winner: int, deadline: float) -> None:
    """Of two starts at once one supervisor finds the lock held; leave no zombie of it."""
    found = linux.process(winner)
    if started and found is not None and started not in (winner, found.parent):
        _reap(started, deadline)


def _reap(pid: int, deadline: float) -> None:
    """Leave no zombie of a guardian, or a supervisor, that is about to end; if it is our child at all."""
    with contextlib.suppress(ChildProcessError):
        while pid > 1 and not os.waitpid(pid, os.WNOHANG)[0]:
            if time.monotonic() > deadline:
                return
            time.sleep(_LOOK_EVERY / 10)


def _error(run_directory: Path, code: int, what: str) -> errors.ProgramError:
    log = run_directory / LOG_FILE
    lines: list[str] = []
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()[-_TAIL_LINES:]
    shown = "".join(f"\n    {line}" for line in lines)
    return errors.ProgramError(
        "supervisor",
        code,
        lines,
        message=f"The supervisor of {run_directory} {what}{'; its last lines:' if lines else '.'}{shown}",
        hint=f"Read {log} and run this again.",
    )
