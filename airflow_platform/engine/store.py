"""What a run needs to keep: locks, a journal and the artifacts of its plans. Each runtime brings a `Store`.

`local_store`, `file_lock` and `sqlite_journal` are the kind for one machine. Whoever writes another kind runs
`tests/engine/test_stores.py` over it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from airflow_platform.engine.report import Node, Outcome
from airflow_platform.engine.step import Artifacts, Change


class Lock(Protocol):
    """A lock, or several, that this run holds."""

    def confirm(self) -> None:
        """Look again whether this run still holds it. The engine calls this before each `apply`.

        Raises:
            BusyError: The lock is lost: it was removed, or somebody else took it after it had expired.
        """


@dataclass(frozen=True)
class Unfinished:
    """A step that an earlier run began and never reported as ended."""

    run: int
    node: Node
    summary: str
    began: str


class Journal(Protocol):
    """What was begun and what ended. It never decides what a run does, so losing it loses only history."""

    def begin_run(self, task: str, tenants: Sequence[str]) -> str:
        """Open a run and return its id."""

    def unfinished(self) -> tuple[Unfinished, ...]:
        """What earlier runs left unfinished; each is returned once."""

    def expected(self) -> Mapping[Node, float]:
        """Seconds that each step took when it last changed something."""

    def begun(self, node: Node, change: Change) -> None:
        """Record durably that a step is about to change something."""

    def ended(self, node: Node, outcome: Outcome, reason: str, seconds: float) -> None:
        """Record durably how it ended."""

    def end_run(self, exit_code: int) -> None:
        """Close the run."""

    def close(self) -> None:
        """Release the file or connection."""


class Store(Protocol):
    """Locks, journal and artifacts of one environment."""

    def check(self) -> None:
        """Refuse state that this toolkit must not touch; changes nothing, for runs that only look.

        Raises:
            PreflightError: A newer version has written it, or it cannot be read.
        """

    def tenant_locks(
        self, tenants: Sequence[str], *, leaving: bool = False
    ) -> contextlib.AbstractContextManager[Lock]:
        """Hold the locks of these tenants; never waits for a living holder.

        Args:
            tenants: Their names.
            leaving: Whether the run takes the tenants away; `tenants_at_work` passes it on.

        Raises:
            BusyError: Somebody else holds one: says who, since when and where.
        """

    def environment_lock(self) -> contextlib.AbstractContextManager[Lock]:
        """Hold the environment's lock; waits for another run up to the lock timeout.

        It excludes other runs, not other threads: environment steps of one run hold it at the same time.
        """

    def tenants_at_work(self) -> Mapping[str, bool]:
        """The tenants whose lock some run holds now, and whether that run takes them away.

        Whoever asks while holding the environment's lock gets an answer that stays true for what the environment's
        steps decide: a run that takes a tenant's lock later has to wait before its own environment steps.
        """

    def open_journal(self) -> Journal:
        """The journal, opened."""

    def artifacts(self, run_id: str) -> Artifacts:
        """A new, empty place for a run's artifacts."""
