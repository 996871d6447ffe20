"""A store in memory: locks, journal and history as the real one has them, gone with the test."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from airflow_platform import errors
from airflow_platform.engine.local_store import LocalArtifacts
from airflow_platform.engine.report import Node, Outcome
from airflow_platform.engine.step import Change
from airflow_platform.engine.store import Unfinished

ENVIRONMENT = "environment"
"""The name of the environment's lock in `MemoryStore.held`."""


@dataclass
class Entry:
    """One step in a journal; `outcome` is None until it has ended."""

    node: Node
    change: str
    """As JSON."""
    outcome: str | None = None
    reason: str = ""
    seconds: float = 0.0


@dataclass
class Run:
    """One run in a journal; `exit_code` is None until it has ended."""

    task: str
    tenants: tuple[str, ...]
    entries: list[Entry] = field(default_factory=list)
    exit_code: int | None = None
    closed: bool = False


class MemoryJournal:
    """A journal in a list; passes the same contract tests as `engine.sqlite_journal.SqliteJournal`."""

    def __init__(self, history: list[Run]) -> None:
        """Continue a history; tests read it."""
        self.history = history
        self._run: Run | None = None
        self._mutex = threading.Lock()

    def begin_run(self, task: str, tenants: Sequence[str]) -> str:
        assert self._run is None, "this journal has begun a run already"
        with self._mutex:
            self._run = Run(task, tuple(tenants))
            self.history.append(self._run)
            return str(len(self.history))

    def unfinished(self) -> tuple[Unfinished, ...]:
        found = []
        for number, run in enumerate(self.history, 1):
            over = run.closed or set(run.tenants) & set(self._current().tenants)
            if run is self._run or run.exit_code is not None or not over:
                continue
            for entry in run.entries:
                if entry.outcome is None:
                    entry.outcome = "unknown"
                    found.append(Unfinished(number, entry.node, json.loads(entry.change)["summary"], "then"))
        return tuple(found)

    def expected(self) -> Mapping[Node, float]:
        changed = Outcome.CHANGED.value
        return {
            entry.node: entry.seconds
            for run in self.history
            for entry in run.entries
            if entry.outcome == changed
        }

    def begun(self, node: Node, change: Change) -> None:
        with self._mutex:
            entries = self._current().entries
            assert all(entry.node != node for entry in entries), f"{node} was begun already"
            entries.append(Entry(node, json.dumps(change.to_json(), sort_keys=True)))

    def ended(self, node: Node, outcome: Outcome, reason: str, seconds: float) -> None:
        with self._mutex:
            (entry,) = (entry for entry in self._current().entries if entry.node == node)
            assert entry.outcome is None, f"{node} has ended already"
            entry.outcome, entry.reason, entry.seconds = outcome.value, reason, seconds

    def end_run(self, exit_code: int) -> None:
        self._current().exit_code = exit_code

    def close(self) -> None:
        if self._run is not None:
            self._run.closed = True

    def _current(self) -> Run:
        assert self._run is not None, "no run has begun"
        assert not self._run.closed, "this journal is closed"
        return self._run


class MemoryStore:
    """Locks and journal in memory; passes the same contract tests as `engine.local_store.LocalStore`.

    `held` names the locks that are held now, `history` is what the journals wrote. A test that takes a name out of
    `held` while a run goes on has that run lose the lock.
    """

    def __init__(self, directory: Path) -> None:
        """A store whose runs put their artifacts under `directory`."""
        self.directory = directory
        self.history: list[Run] = []
        self.held: dict[str, bool] = {}
        """Whether what is locked is being taken away, by the lock's name."""
        self._mutex = threading.Lock()
        self._users = 0

    def check(self) -> None:
        """Nothing is wrong with memory."""

    @contextlib.contextmanager
    def tenant_locks(self, tenants: Sequence[str], *, leaving: bool = False) -> Iterator[MemoryLock]:
        with self._mutex:
            for tenant in sorted(tenants):
                if tenant in self.held:
                    raise errors.BusyError(
                        f"The lock of tenant {tenant} is held.", hint="Wait for it, then run this again."
                    )
            self.held.update(dict.fromkeys(tenants, leaving))
        try:
            yield MemoryLock(self, tuple(tenants))
        finally:
            for tenant in tenants:
                self.held.pop(tenant, None)

    @contextlib.contextmanager
    def environment_lock(self) -> Iterator[MemoryLock]:
        with self._mutex:
            self._users += 1
            self.held[ENVIRONMENT] = False
        try:
            yield MemoryLock(self, (ENVIRONMENT,))
        finally:
            with self._mutex:
                self._users -= 1
                if not self._users:
                    self.held.pop(ENVIRONMENT, None)

    def tenants_at_work(self) -> Mapping[str, bool]:
        return {name: leaving for name, leaving in self.held.items() if name != ENVIRONMENT}

    def open_journal(self) -> MemoryJournal:
        return MemoryJournal(self.history)

    def artifacts(self, run_id: str) -> LocalArtifacts:
        directory = self.directory / "runs" / run_id
        directory.mkdir(mode=0o700, parents=True)
        return LocalArtifacts(directory)


@dataclass(frozen=True)
class MemoryLock:
    """Locks of a `MemoryStore` that a run holds."""

    store: MemoryStore
    names: tuple[str, ...]

    def confirm(self) -> None:
        for name in self.names:
            if name not in self.store.held:
                raise errors.BusyError(f"The lock of {name} is lost.", hint="Run this again.")


class RefusingStore:
    """A store for `--plan`: it is checked, names the running tenants, and is never asked for anything else."""

    def check(self) -> None:
        """Nothing is wrong with it."""

    def tenant_locks(
        self, tenants: Sequence[str], *, leaving: bool = False
    ) -> contextlib.AbstractContextManager[MemoryLock]:
        raise AssertionError(f"asked for the locks of {', '.join(tenants)}")

    def environment_lock(self) -> contextlib.AbstractContextManager[MemoryLock]:
        raise AssertionError("asked for the environment's lock")

    def tenants_at_work(self) -> Mapping[str, bool]:
        return {}

    def open_journal(self) -> MemoryJournal:
        raise AssertionError("asked for a journal")

    def artifacts(self, run_id: str) -> LocalArtifacts:
        raise AssertionError(f"asked for the artifacts of run {run_id}")
