"""The only place that starts programs: argument lists, environments, deadlines, masking, groups, signals.

A program runs in a session of its own, so that a signal reaches it and all its children, and
nothing reaches it by accident. It is started from one thread that lives as long as the process:
Linux sends the parent-death signal when the *thread* that forked ends. The descriptors in
`held` are inherited, so that a lock stays taken while a child of a killed run still works; not by
programs that run as another user, whose code is not ours.
"""

from __future__ import annotations

import contextlib
import functools
import os
import queue
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from airflow_platform import errors, secrets
from airflow_platform.programs import output_reader, terminal

TAIL_LINES = 12
"""Lines of output that an error shows: a screen's third, and enough for a Python traceback's end."""

GRACE = 10.0
"""Seconds between SIGTERM and SIGKILL, for programs that do not state another: Docker's default, too."""


@dataclass(frozen=True)
class Completed:
    """How a program ended. `stdout` is as printed, for parsing; `tail` is masked, for people."""

    code: int
    stdout: str
    tail: tuple[str, ...]


class Interruption:
    """One flag for a run: a signal came, and everything that waits stops waiting.

    A signal handler may run between any two instructions of the main thread, so `request` takes
    no lock, and waiting is done in short slices instead of on an event.
    """

    SLICE = 0.05
    """Seconds; how late a wait may notice the signal. Unnoticeable, and idle costs nothing."""

    def __init__(self) -> None:
        self.signal_number = 0
        self.count = 0

    def request(self, signal_number: int) -> None:
        """Called for each signal; only the first one decides the exit code."""
        self.signal_number = self.signal_number or signal_number
        self.count += 1

    @property
    def requested(self) -> bool:
        return self.count > 0

    def error(self) -> errors.Interrupted:
        """The error that says which signal it was."""
        return errors.Interrupted(self.signal_number, signal.Signals(self.signal_number).name)

    def raise_if_requested(self) -> None:
        """Raise `Interrupted` when a signal came."""
        if self.requested:
            raise self.error()

    def sleep(self, seconds: float) -> None:
        """Wait; raise `Interrupted` as soon as a signal comes."""
        deadline = time.monotonic() + seconds
        self.raise_if_requested()
        while (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, self.SLICE))
            self.raise_if_requested()


class Programs:
    """Starts programs for one run; knows which are running, and passes signals on to them."""

    def __init__(
        self,
        *,
        mask: secrets.Mask | None = None,
        interruption: Interruption | None = None,
        marker: Mapping[str, str] | None = None,
    ) -> None:
        self.mask = mask or secrets.Mask()
        self.interruption = interruption or Interruption()
        self._marker = dict(marker or {})
        self._held: set[int] = set()
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()

    def hold(self, descriptor: int) -> None:
        """Let every program of our own user that is started from now on inherit this open lock."""
        with self._lock:
            self._held.add(descriptor)

    def release(self, descriptor: int) -> None:
        """Programs started from now on no longer inherit it, so it may be closed."""
        with self._lock:
            self._held.discard(descriptor)

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        timeout: float,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: str = "",
        check: bool = True,
        grace: float = GRACE,
        hint: str = "",
        on_line: Callable[[str], None] | None = None,
        user: int | None = None,
    ) -> Completed:
        """Run a program to its end.

        Args:
            argv: The program and its arguments; never a shell string, never a secret.
            timeout: Seconds until it is stopped.
            env: The whole environment; by default this process's own.
            stdin: Text that it reads.
            check: Whether a code other than 0 is an error.
            grace: Seconds that it has between SIGTERM and SIGKILL.
            hint: The remedy that an error shows.
            on_line: Called with each masked line of its standard error, as it comes.
            user: A user id to run it as; needs root. The group id is the same number.

        Raises:
            ProgramMissing: It is not on PATH.
            ProgramTimeout: It did not end in time.
            ProgramError: It ended with a code other than 0, and `check` is set.
            Interrupted: A signal ended the run.
        """
        self.interruption.raise_if_requested()
        words = [str(word) for word in argv]
        child = self._start(words, env, cwd, user, hint)
        try:
            streams = output_reader.Reading(child, self.mask, on_line, text=stdin, tail_lines=TAIL_LINES)
            ended = streams.until_end(timeout, grace, self.interruption)
        finally:
            _end_now(child)
            with self._lock:
                self._running.pop(child.pid, None)
        if self.interruption.requested or not ended:
            # Its first process has ended; what ignored the signal, as a shell's jobs do SIGINT, has not.
            output_reader.signal_group(child.pid, signal.SIGKILL)
        self.interruption.raise_if_requested()
        if not ended:
            raise errors.ProgramTimeout(words[0], timeout, streams.tail)
        if check and child.returncode != 0:
            raise errors.ProgramError(words[0], child.returncode, streams.tail, hint=hint)
        return Completed(child.returncode, streams.stdout, tuple(streams.tail))

    @contextlib.contextmanager
    def conversation(
        self, argv: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A program that is asked on its standard input and answers on its output; killed with its group at the end.

        Args:
            argv: The program and its arguments; never a shell string, never a secret.
            env: The whole environment.
            cwd: Where it runs.

        Raises:
            ProgramMissing: It is not on PATH.
            Interrupted: A signal came before it was started.
        """
        self.interruption.raise_if_requested()
        child = self._start([str(word) for word in argv], env, cwd, None, "")
        try:
            yield child
        finally:
            _end_now(child)
            output_reader.signal_group(child.pid, signal.SIGKILL)
            with self._lock:
                self._running.pop(child.pid, None)

    def signal(self, number: int) -> None:
        """Pass a signal on to the group of every running program."""
        with self._lock:
            running = list(self._running.values())
        for child in running:
            output_reader.signal_group(child.pid, number)

    def _start(
        self,
        words: list[str],
        env: Mapping[str, str] | None,
        cwd: Path | None,
        user: int | None,
        hint: str,
    ) -> subprocess.Popen[bytes]:
        environment = {**(os.environ if env is None else env), **self._marker}
        require(words[0], environment.get("PATH"), hint)

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                [*_parent_death_prefix(), *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                cwd=cwd,
                start_new_session=True,
                # What runs as a tenant could fork, and keep an inherited lock for ever.
                pass_fds=tuple(self._held) if user is None else (),
                umask=0o022 if user is None else 0o077,
                user=user,
                group=user,
                extra_groups=None if user is None else [],
            )

        with self._lock:  # A lock that is being released must not be closed under a start.
            child = _spawner().call(start)
            self._running[child.pid] = child
        return child


def require(program: str, path: str | None = None, hint: str = "") -> str:
    """The full path of a program.

    Raises:
        ProgramMissing: It is not on PATH, or the path given does not exist.
    """
    found = shutil.which(program, path=path)
    if found is None:
        raise errors.ProgramMissing(program, hint=hint or f"Install {program} and run this again.")
    return found


def start_detached(argv: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path, log: Path) -> int:
    """Start a program that outlives this one: own session, no inherited descriptor, output to `log`.

    Returns:
        Its process id.
    """
    with log.open("ab") as output:
        child = _spawner().call(
            lambda: subprocess.Popen(
                [str(word) for word in argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,
                close_fds=True,
            )
        )
    child.returncode = 0  # Not ours to wait for: keeps Popen from warning when it is collected.
    return child.pid


def run_in_foreground(
    argv: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path, user: int | None
) -> int:
    """Run a program to its end where our user sits, and return its exit code as shells have it.

    Ctrl-C reaches the program itself; this process waits until it has ended. A program that runs as
    another user never has this terminal: it gets one of its own, in a session of its own.

    Args:
        argv: The program and its arguments.
        env: The whole environment.
        cwd: Where it runs.
        user: A user id to run it as; needs root. The group id is the same number.
    """
    words = [str(word) for word in argv]
    if user is None:
        with subprocess.Popen(words, env=dict(env), cwd=cwd) as child, _ignored(signal.SIGINT):
            code = child.wait()
    else:
        code = _run_on_lent_terminal(words, dict(env), cwd, user)
    return 128 - code if code < 0 else code


def _run_on_lent_terminal(words: list[str], env: dict[str, str], cwd: Path, user: int) -> int:
    def start(streams: Sequence[int | None], prepare: Callable[[], None]) -> subprocess.Popen[bytes]:
        stdin, stdout, stderr = streams
        return subprocess.Popen(
            words,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=env,
            cwd=cwd,
            start_new_session=True,
            # One system call; nothing else makes the new terminal that of the session.
            preexec_fn=prepare,  # noqa: PLW1509
            umask=0o077,
            user=user,
            group=user,
            extra_groups=[],
        )

    return terminal.lend(start, grace=GRACE, owner=user)


class _Spawner:
    """A thread that starts programs and lives as long as this process."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[tuple[Callable[[], object], Future[object]]] = queue.SimpleQueue()
        threading.Thread(target=self._loop, name="spawner", daemon=True).start()

    def call(self, start: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        answer: Future[object] = Future()
        self._work.put((start, answer))
        child = answer.result()
        assert isinstance(child, subprocess.Popen)
        return child

    def _loop(self) -> None:
        while True:
            start, answer = self._work.get()
            try:
                answer.set_result(start())
            except BaseException as error:  # noqa: BLE001 - it is raised where the program was asked for.
                answer.set_exception(error)


@functools.cache
def _spawner() -> _Spawner:
    return _Spawner()


@functools.cache
def _parent_death_prefix() -> tuple[str, ...]:
    """On Linux, util-linux's `setpriv` has the kernel send SIGTERM when we die; elsewhere nothing does."""
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "TERM", "--") if setpriv else ()


def _end_now(child: subprocess.Popen[bytes]) -> None:
    """Leave nothing running and nothing open when reading was cut short by an exception."""
    if child.poll() is None:
        output_reader.signal_group(child.pid, signal.SIGKILL)
        child.wait()
    for stream in (child.stdin, child.stdout, child.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


@contextlib.contextmanager
def _ignored(number: int) -> Iterator[None]:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)
