"""The worker that imports DAG files: found warm or started, asked, and replaced when it is killed."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from airflow_platform import errors, parsing, programs
from airflow_platform.parsing import place, protocol, scratch
from airflow_platform.tools import files

START_TIMEOUT = 120.0
"""Seconds until a worker must listen."""

SILENCE = 120.0
"""Seconds without a word after which a worker is stuck, and is ended. It says something every 10 s, except
while it imports Airflow: 2 s on a quiet machine, 5 where bytecode is missing."""

LISTING = 30.0
"""Seconds that Airflow may take to find out which files there are: as long as one import."""

_SWEEPING = 1.0
"""Seconds that a check spends on deleting what one dead worker has left."""

END_TIMEOUT = 10.0
"""Seconds that a worker may take to end; SIGKILL takes none unless the kernel itself is stuck."""

UNCONFINED = (
    "This machine's kernel does not confine the import of DAG files: native code in them can start programs and "
    "use the network (docs/security.md)."
)

_ATTEMPTS = 3
"""How often a worker is started that dies before it has begun anything."""

_LOOK_EVERY = 0.01
_TAIL_LINES = 12
_CHUNK = 1024**2
_START = """
import sys
sys.path.insert(0, {home!r})
from airflow_platform.parsing import worker
raise SystemExit(worker.main(sys.argv[1:]))
"""
"""What Airflow's Python executes; that folder is off its path again before the first DAG file is imported."""


@dataclass(frozen=True)
class Place:
    """Where a worker lives, and what it is."""

    directory: Path
    """Its socket, lock and log; 0700."""
    scratch: Path
    """What children may write to; 0711."""
    python: Path
    """The interpreter that has Airflow."""
    environment: Mapping[str, str]
    """Its whole environment: Airflow's settings, nothing of ours."""
    users: tuple[int | None, ...]
    """For each import at a time the user id that it has; None for our own."""
    idle: float
    """Seconds that it waits for the next check; 0 to end with this one."""
    tell: Callable[[str], None] = field(default=lambda text: None, compare=False)
    """Gets what its user should know of it, once."""


_E = TypeVar("_E", bound=errors.ProgramError)


class Refused(errors.StepError):
    """Airflow would import none of the files: the folder itself is wrong."""


class WorkerDied(errors.ProgramError):
    """The worker has gone while it was asked."""


def code_digest() -> str:
    """Changes with the program that imports; 16 hexadecimal digits."""
    folder = Path(parsing.__file__).parent
    found = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        found.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()[:16]


class Worker:
    """One client's line to the worker of a place."""

    def __init__(self, at: Place, runner: programs.Programs) -> None:
        self._at = at
        self._runner = runner
        self._line: socket.socket | None = None
        self._received = bytearray()
        self._dead = 0
        """The process of the worker that has died last."""

    def start(self) -> None:
        """Connect to the worker, or start one; does not wait until it has imported Airflow.

        Raises:
            ProgramError: None can be started; carries its last lines.
        """
        deadline = time.monotonic() + START_TIMEOUT
        started: int | None = None
        while (line := self._connected()) is None:
            if started is None:
                started = self._start()
            elif (code := _exit_code(started)) is not None:
                if code:
                    raise self._error(errors.ProgramError, code, f"exited {code}")
                # Another's worker was there first; if that one has gone as well, start again.
                started = None
            if time.monotonic() > deadline:
                raise self._error(WorkerDied, 124, f"did not listen within {START_TIMEOUT:g} s")
            self._runner.interruption.sleep(_LOOK_EVERY)
        self._line, self._received = line, bytearray()

    def _connected(self) -> socket.socket | None:
        """A line to a worker that lives: one that was killed is connected to as long as a child of it lives."""
        line = _connected(self._at.directory)
        if line is not None and place.listener(line) == self._dead != 0:
            line.close()
            return None
        return line

    def close(self) -> None:
        """Hang up; what it still does for us it gives up."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def files(self, root: Path) -> tuple[str, ...]:
        """The files below a folder that Airflow would import.

        Raises:
            Refused: It would import none; says why.
        """
        for attempt in range(_ATTEMPTS):
            try:
                self._say({"ask": "files", "root": str(root), "seconds": LISTING})
                while not (answer := self._hear()).keys() & {"files", "refused"}:
                    continue
                if "refused" in answer:
                    raise Refused(str(answer["refused"]))
                if answer.get("confined") is False:
                    self._at.tell(UNCONFINED)
                return tuple(answer["files"])
            except WorkerDied:
                self._restart(last=attempt == _ATTEMPTS - 1)
        raise AssertionError("one of the attempts has returned or raised")

    def facts(self, order: protocol.Order) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Import files; each one's facts as they come.

        A file during whose import the worker dies has `ended` as its facts. To be sure which one it was, the
        files that were not told are then imported one at a time.
        """
        left = {each.path: each for each in order.files}
        alone, vain = order.jobs, 0
        while left:
            begun: set[str] = set()
            wanted = dataclasses.replace(order, files=tuple(left.values()), jobs=alone)
            try:
                for path, found in self._ask(wanted, begun):
                    left.pop(path)
                    yield path, found
            except WorkerDied:
                suspects = begun & left.keys()
                # A worker that dies before it has begun anything was killed by somebody else, or was dying.
                vain = 0 if suspects else vain + 1
                if alone == 1:
                    for path in suspects:
                        left.pop(path)
                        yield path, {"ended": "the process that imports ended with it"}
                alone = 1
                self._restart(last=vain == _ATTEMPTS)

    def _ask(self, order: protocol.Order, begun: set[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Facts as they come; `begun` gets the files whose import has begun."""
        wanted = {each.path for each in order.files}
        self._say(order.to_json())
        while "done" not in (message := self._hear()):
            path, found = message.get("file"), message.get("facts")
            begun.add(message.get("begun", ""))
            if path in wanted and isinstance(found, dict):
                wanted.discard(path)
                yield path, found
        if wanted:
            raise self._error(WorkerDied, 1, "left files out")

    def _restart(self, *, last: bool) -> None:
        pid = place.listener(self._line) if self._line is not None else 0
        self._dead = 0 if pid == os.getpid() else pid
        self.close()
        if last:
            raise self._error(WorkerDied, 1, "ends again and again")
        self.start()

    def _say(self, message: Mapping[str, Any]) -> None:
        if self._line is None:
            self.start()
        assert self._line is not None
        try:
            self._line.settimeout(SILENCE)
            self._line.sendall(protocol.encode(message))
        except TimeoutError:
            raise self._stuck() from None
        except OSError as error:
            raise self._error(WorkerDied, 1, f"cannot be asked: {error}") from None

    def _hear(self) -> dict[str, Any]:
        """The next message; waits in slices, so that Ctrl-C is noticed."""
        deadline = time.monotonic() + SILENCE
        assert self._line is not None
        self._line.settimeout(self._runner.interruption.SLICE)
        while (end := self._received.find(protocol.WHOLE.encode())) < 0:
            self._runner.interruption.raise_if_requested()
            try:
                chunk = self._line.recv(_CHUNK)
            except TimeoutError:
                if time.monotonic() > deadline:
                    raise self._stuck() from None
                continue
            except OSError:
                chunk = b""
            if not chunk:
                raise self._error(WorkerDied, 1, "ended while it was asked")
            self._received += chunk
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        return self._understood(line)

    def _stuck(self) -> WorkerDied:
        """End a worker that says nothing: whoever connects would find it again."""
        assert self._line is not None
        pid = place.listener(self._line)
        if pid not in (0, os.getpid()):  # 0 is one in another container.
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + END_TIMEOUT
        while not place.is_free(self._at.directory) and time.monotonic() < deadline:
            self._runner.interruption.sleep(_LOOK_EVERY)
        return self._error(WorkerDied, 124, f"said nothing for {SILENCE:g} s")

    def _understood(self, line: bytes) -> dict[str, Any]:
        try:
            message = protocol.decode(line)
        except protocol.Malformed as error:
            raise self._error(WorkerDied, 1, f"answered {error}") from None
        if "error" in message:
            raise self._error(errors.ProgramError, 1, f"said: {message['error']}")
        return message

    def _start(self) -> int:
        """Start one; its directory may be swept away before it has locked it, and is then made again."""
        for attempt in range(_ATTEMPTS):
            try:
                return self._launched()
            except (FileNotFoundError, errors.StateError) as error:
                gone = error.__cause__ if isinstance(error, errors.StateError) else error
                if attempt == _ATTEMPTS - 1 or not isinstance(gone, FileNotFoundError):
                    raise
        raise AssertionError("one of the attempts has returned or raised")

    def _launched(self) -> int:
        told = {
            "directory": str(self._at.directory),
            "scratch": str(self._at.scratch),
            "idle": self._at.idle,
            "users": list(self._at.users),
        }
        files.make_directory(self._at.directory.parent, mode=0o711)
        files.make_directory(self._at.directory, mode=0o700)
        home = str(Path(programs.__file__).resolve().parents[1])
        log = self._at.directory / protocol.LOG
        with files.state_errors(log):
            log.write_bytes(b"")
            log.chmod(0o600)
        return programs.start_detached(
            [self._at.python, "-I", "-c", _START.format(home=home), json.dumps(told)],
            env=self._at.environment,
            cwd=Path("/"),
            log=log,
        )

    def _error(self, kind: type[_E], code: int, what: str) -> _E:
        log = self._at.directory / protocol.LOG
        lines: list[str] = []
        with contextlib.suppress(OSError):
            lines = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        shown = "".join(f"\n    {line}" for line in lines)
        return kind(
            "the worker that imports DAG files",
            code,
            lines,
            message=f"The worker that imports DAG files {what}{'; its last lines:' if lines else '.'}{shown}",
            hint=f"Run this again; its log is {log}.",
        )


def end_all(workers: Path, *, timeout: float = 10.0) -> None:
    """Have every worker below a directory end, and wait until it has; one that does not is left."""
    deadline = time.monotonic() + timeout
    for directory in sorted(workers.glob("*")) if workers.is_dir() else ():
        line = _connected(directory)
        if line is None:
            continue
        with line, contextlib.suppress(OSError):
            line.settimeout(max(0.1, deadline - time.monotonic()))
            line.sendall(protocol.encode({"ask": "end"}))
            while line.recv(_CHUNK):
                continue
        while not place.is_free(directory) and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY)


def sweep(workers: Path, scratches: Path, *, without: str) -> None:
    """Delete what dead workers have left of whom nobody asks any more, because code or packages have changed.

    Args:
        workers: Where the directories of workers are.
        scratches: Where what their imports write to is, under the same names.
        without: The name of the worker that is wanted, which may be starting.
    """
    for name in sorted((scratch.names(scratches) | scratch.names(workers)) - {without}):
        with contextlib.suppress(OSError):
            held = place.take(workers / name) if (workers / name).is_dir() else None
            if held is None and (workers / name).is_dir():
                continue
            # Their names go first: a worker that starts now makes its own. What is more goes with the next check.
            for tree in (scratches / name, workers / name):
                with contextlib.suppress(OSError):
                    scratch.discard(scratch.condemned(tree), seconds=_SWEEPING)
            if held is not None:
                os.close(held)


def _connected(directory: Path) -> socket.socket | None:
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with place.reachable(directory) as near:
            line.connect(f"{near}/{protocol.SOCKET}")
    except OSError:
        line.close()
        return None
    return line


def _exit_code(pid: int) -> int | None:
    """The exit code of a worker that we started, which is reaped; None while it runs."""
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None
