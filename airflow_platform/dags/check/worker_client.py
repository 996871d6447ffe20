"""The worker that imports DAG files, from our side: started for one check, asked, and started again if it dies."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import selectors
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from airflow_platform import errors
from airflow_platform.config import paths
from airflow_platform.dags.check.worker import messages
from airflow_platform.programs import programs

SILENCE = 120.0
"""Seconds without an answer, besides the deadline of one import, after which a worker is stuck. Importing Airflow
takes 2 s on a quiet machine, 5 where bytecode is missing."""

LISTING = 30.0
"""Seconds that Airflow may take to find out which files there are: as long as one import."""

MEMORY = 1024
"""MiB that it may use for that."""

UNCONTAINED = (
    "This system does not let root make namespaces: DAG files that are imported can use the network by native code "
    "and leave files and processes behind (docs/security.md)."
)

_ATTEMPTS = 3
"""How often in a row a worker is started that dies before it has begun anything."""

_MOST_JOBS = 8
"""Imports at the same time; each may take a GB."""

_NAMESPACES = ("unshare", "--mount", "--pid", "--net", "--ipc", "--mount-proc", "--kill-child")
"""No network, no process of others, nothing that outlives the worker; the mounts are those of `_OWN_FILES`."""

_OWN_FILES = """
set -e
mkdir -p "$0"
mount -t tmpfs -o mode=0755,size=512m tmpfs "$0"
cd "$0"
for each in /tmp /var/tmp /dev/shm; do
    mkdir -p ".$each/written" ".$each/work"
    chmod 1777 ".$each/written"
    mount -t overlay -o "lowerdir=$each,upperdir=.$each/written,workdir=.$each/work" overlay "$each"
done
exec "$@"
"""
"""What is written where everybody can write is gone with the worker."""

_START = """
import sys
sys.path.insert(0, {home!r})
from airflow_platform.dags.check.worker import worker
worker.main(sys.argv[1:])
"""
"""What Airflow's Python executes. That folder leaves its path before Airflow is imported; site packages join it only
after the worker has given up its rights."""

_E = TypeVar("_E", bound=errors.ProgramError)


class RefusedError(errors.StepError):
    """Airflow would import none of the files: the folder itself is wrong."""


class WorkerDiedError(errors.ProgramError):
    """The worker has ended while it was asked."""


@dataclass(frozen=True)
class Launch:
    """What a worker is started with."""

    python: Path
    """The interpreter that has Airflow."""
    settings: Callable[[Path], Mapping[str, str]]
    """Its whole environment, for a home: Airflow's settings, nothing of ours."""
    user: int | None
    """The user id that it becomes; None to stay who we are."""
    note: Callable[[str], None] = lambda text: None
    """Gets what its user should know."""


class Worker:
    """A worker for one folder of DAGs."""

    def __init__(self, launch: Launch, root: Path, runner: programs.Programs) -> None:
        """Start it; does not wait until it has imported Airflow. `close` ends it.

        Args:
            launch: What it is started with.
            root: The folder of DAGs; imports write to a folder beside it, which goes with whoever made both.
            runner: Starts programs; its interruption ends all waiting.
        """
        self._root = root
        self._runner = runner
        self._running = contextlib.ExitStack()
        scratch = root.parent / "scratch"
        home = scratch / "home"
        with errors.state_errors(scratch):
            for each in (scratch, home):
                each.mkdir(mode=0o700)
                if launch.user is not None:
                    os.chown(each, launch.user, launch.user)
        told = json.dumps({"root": str(root), "scratch": str(scratch), "user": launch.user})
        code = _START.format(home=str(paths.toolkit().import_path))
        self._environment = launch.settings(home)
        self._argv: list[str | Path] = [*self._contained(launch), launch.python, "-I", "-S", "-c", code, told]
        self._start()

    def _contained(self, launch: Launch) -> list[str]:
        """As root: how a program gets namespaces of its own, where the system allows it."""
        if launch.user is None:
            return []
        argv = [*_NAMESPACES, "sh", "-c", _OWN_FILES, str(self._root.parent / "mounts")]
        with contextlib.suppress(errors.ProgramMissing):
            if self._runner.run([*argv, "true"], timeout=30, check=False).code == 0:
                return argv
        launch.note(UNCONTAINED)
        return []

    def _start(self) -> None:
        self._child = self._running.enter_context(
            self._runner.conversation(self._argv, env=self._environment, cwd=Path("/"))
        )
        self._received, self._printed = bytearray(), bytearray()
        self._selector = self._running.enter_context(selectors.DefaultSelector())
        for stream, taken in ((self._child.stdout, self._received), (self._child.stderr, self._printed)):
            assert stream is not None
            self._selector.register(stream, selectors.EVENT_READ, taken)

    def close(self) -> None:
        """End it, and with it what it is doing."""
        self._running.close()

    def files(self) -> tuple[str, ...]:
        """The files below the folder that Airflow would import.

        Raises:
            RefusedError: It would import none; says why.
            ProgramError: The worker cannot say.
        """
        self._say({"ask": "files", "seconds": LISTING, "memory": MEMORY})
        answer = self._hear(LISTING)
        while "begun" in answer:
            answer = self._hear(LISTING)
        ended = answer.get("ended")
        if "refused" in answer or ended == messages.MEMORY:
            raise RefusedError(
                answer.get("refused") or f"Airflow takes more than {MEMORY} MiB to list the files."
            )
        if ended == messages.LATE:
            # No refusal, which would be kept: this machine may have been busy.
            raise self._error(
                errors.ProgramError,
                f"had not listed the files after {LISTING:g} s: a link may lead to what has no end",
            )
        if "files" not in answer:
            raise self._error(errors.ProgramError, f"could not list the files: {ended}")
        return tuple(answer["files"])

    def facts(self, order: messages.ImportRequest) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Import files; each one's facts as they come.

        A file that ended its process may have been ended by another one, as the worker may: such files are imported
        again, one at a time, and what they then do is their own.
        """
        left = {each.path: each for each in order.files}
        jobs, vain = _jobs(), 0
        while left:
            begun: set[str] = set()
            alone = jobs == 1
            try:
                wanted = dataclasses.replace(order, files=tuple(left.values()), jobs=jobs)
                for path, found in self._ask(wanted, begun):
                    if alone or found.get("ended") in (None, messages.LATE, messages.MEMORY):
                        del left[path]
                        yield path, found
            except WorkerDiedError:
                suspects = begun & left.keys()
                # A worker that dies before it has begun anything was killed by somebody else, or cannot start.
                vain = 0 if suspects else vain + 1
                if vain == _ATTEMPTS:
                    raise
                for path in suspects if alone else ():
                    del left[path]
                    yield path, {"ended": "the process that imports ended with it", "cpu": 0.0}
                self._running.close()
                self._start()
            jobs = 1

    def _ask(self, order: messages.ImportRequest, begun: set[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Facts as they come; `begun` gets the files whose import has begun."""
        wanted = {each.path for each in order.files}
        self._say(order.to_json())
        while "done" not in (message := self._hear(order.seconds)):
            path, found = message.get("file"), message.get("facts")
            begun.add(message.get("begun", ""))
            if path in wanted and isinstance(found, dict):
                wanted.discard(path)
                yield path, found
        if wanted:
            raise self._error(WorkerDiedError, "left files out")

    def _say(self, message: Mapping[str, Any]) -> None:
        assert self._child.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # Who listens for the answer finds out why.
            self._child.stdin.write(messages.encode(message))
            self._child.stdin.flush()

    def _hear(self, seconds: float) -> dict[str, Any]:
        """The next message; waits in slices, so that Ctrl-C is noticed."""
        deadline = time.monotonic() + seconds + SILENCE
        while (end := self._received.find(messages.END)) < 0:
            self._runner.interruption.raise_if_requested()
            if not self._read():
                self._read()  # What it has printed last.
                raise self._error(WorkerDiedError, "ended while it was asked")
            if time.monotonic() > deadline:
                raise self._error(errors.ProgramError, f"said nothing for {seconds + SILENCE:g} s")
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        try:
            return messages.decode(line)
        except messages.MalformedError as error:
            raise self._error(WorkerDiedError, f"answered {error}") from None

    def _read(self) -> bool:
        """Take what it says and prints; False when it will say no more."""
        for key, _ in self._selector.select(self._runner.interruption.SLICE):
            chunk = os.read(key.fd, 1024**2)
            key.data.extend(chunk)
            if not chunk:
                self._selector.unregister(key.fileobj)
                if key.data is self._received:
                    return False
        return True

    def _error(self, kind: type[_E], what: str) -> _E:
        lines = self._printed.decode(errors="replace").splitlines()[-programs.TAIL_LINES :]
        shown = "".join(f"\n    {line}" for line in lines)
        return kind(
            "the worker that imports DAG files",
            1,
            lines,
            message=f"The worker that imports DAG files {what}{'; its last lines:' if lines else '.'}{shown}",
            hint="Run this again.",
        )


def _jobs() -> int:
    """Imports at the same time: as many as this process may use cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(_MOST_JOBS, cores)
