"""What every tenant serves, read from all of them at the same time."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from airflow_platform import errors, programs
from airflow_platform.dags.check import commit_check, result_cache
from airflow_platform.manifests import airflow as manifest
from airflow_platform.runtimes import dag_places, following
from airflow_platform.tools import dag_branch, dag_changes, dag_serving, git_remote

REMOTE_TIMEOUT = 10.0
"""Seconds for the branch's server; what is known of it already will do."""

AT_ONCE = 32
"""Tenants that are asked at the same time; each waits for its own api-server."""


State = Literal["served", "down", "unreadable"]


@dataclass(frozen=True)
class Row:
    """What one tenant serves."""

    environment: str
    tenant: str
    state: State
    why: str = ""
    """Why it cannot be read; "" where it can."""
    version: str = ""
    """The tree that its dag-processor serves."""
    commit: str = ""
    """Of the branch, or of the project where nothing was synced."""
    source: str = ""
    """The project's commit."""
    behind: tuple[str, ...] = ()
    """DAGs that workers would still run from an older commit with other code, or that the version has no longer."""
    lacking: tuple[str, ...] | None = None
    """DAGs that the version has, and the tenant has not; None where nobody knows which it has."""
    ids: frozenset[str] = frozenset()
    """The DAGs of that version that it has."""
    age: float | None = None
    """Seconds since the commit was made."""
    failures: tuple[str, ...] = ()
    dags: int = 0
    elsewhere: str = ""
    """What git-sync has brought instead of what dag-processor parses; "" where that is the same."""
    declared: bool = True

    @property
    def readable(self) -> bool:
        """Whether it is up and answered."""
        return self.state == "served"

    def to_json(self) -> dict[str, object]:
        """As `--json` has it."""
        return {
            "environment": self.environment,
            "tenant": self.tenant,
            "state": self.state,
            "why": self.why,
            "version": self.version,
            "commit": self.commit,
            "source": self.source,
            "behind": list(self.behind),
            "lacking": None if self.lacking is None else list(self.lacking),
            "age": None if self.age is None else round(self.age),
            "import_errors": list(self.failures),
            "elsewhere": self.elsewhere,
            "dags": self.dags,
            "declared": self.declared,
        }


class Look:
    """One look at everything."""

    def __init__(
        self,
        revision: str,
        names: Sequence[str],
        on_note: Callable[[str], None],
        interruption: programs.Interruption | None = None,
    ) -> None:
        """Read what is declared.

        Args:
            revision: A commit whose DAGs must be what is served; "" for none.
            names: Of environments; none for all.
            on_note: Called with a line for people when what a killed run left is waited for.
            interruption: What ends it.

        Raises:
            UsageError, ConfigurationError: It does not fit.
        """
        self.runner = programs.Programs(interruption=interruption)
        self.wanted = commit_check.resolved(self.runner, revision).tree if revision else ""
        self.revision = revision
        self._on_note = on_note
        self._environments = dag_places.environments(names)
        self.places, self.elsewhere = dag_places.of(self._environments, self.runner, on_note)
        self.notes = [f"{each.environment}: {each.why}" for each in self.elsewhere]
        self.branch = following.branch_if_any(self.runner, on_note)
        self.head: dag_branch.Synced | None = None
        self.unsure: errors.PlatformError | None = None
        """Why what is known of the branch is no measure."""
        self.known = dag_changes.Known(self.runner)
        self._commits: dict[str, dag_branch.Synced] = {}
        self._ids = functools.cache(result_cache.dag_ids)

    @property
    def branch_name(self) -> str:
        """The branch's; "" where nothing can have been synced."""
        return self.branch.name if self.branch else ""

    def _learn_head(self) -> None:
        """Where the branch is; a server that is away is no reason to say nothing about tenants."""
        if self.branch is None:
            return
        try:
            self.branch.refresh(self.runner, timeout=REMOTE_TIMEOUT)
        except errors.Interrupted:
            raise
        except (git_remote.Rewritten, errors.RefusedError) as error:
            self.unsure = error
        except errors.PlatformError as error:
            self.notes.append(f"the branch as last known: {error.message}")
        self.head = self.branch.head(self.runner)

    def rows(self) -> tuple[Row, ...]:
        """All tenants and the branch's server, asked at the same time; those that nobody declares come last."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            learning = pool.submit(self._learn_head)
            looking = pool.submit(dag_places.left_running, self._environments, self.runner, self._on_note)
            rows = tuple(pool.map(self._row, self.places))
            others = tuple(map(self._row, looking.result()))
            learning.result()
        return (*rows, *(dataclasses.replace(each, declared=False) for each in others))

    def _row(self, place: dag_places.LocalPlace) -> Row:
        try:
            if place.down():
                return Row(place.environment, place.tenant, "down")
            with place.connected() as client:
                served = dag_serving.Bundle(client, manifest.BUNDLE, place.commit, place.links).look()
            return self._read(place, served)
        except errors.Interrupted:
            raise
        except errors.PlatformError as error:
            return Row(place.environment, place.tenant, "unreadable", error.message)

    def _read(self, place: dag_places.LocalPlace, served: dag_serving.Served) -> Row:
        sources = [path for path in (place.repository, self.branch and self.branch.repository) if path]

        def version(commit: str) -> dag_changes.Version | None:
            return self.known.version(commit, sources, manifest.FOLDER) if commit else None

        now = version(served.commit)

        def concerned(old: str) -> dag_changes.Concerned:
            return self.known.way(version(old), now) if now else dag_changes.ALL

        made = self._described(now, served.commit)
        expected = dag_serving.Expected(served.commit, concerned, self._ids(now.tree) if now else None)
        lacking = dag_serving.compared(served, expected)
        behind = (*lacking.behind, *lacking.left, *lacking.gone)
        return Row(
            environment=place.environment,
            tenant=place.tenant,
            state="served",
            version=now.tree if now else "",
            commit=served.commit,
            source=made.source if made else "",
            behind=tuple(sorted({dag.id for dag in behind})),
            lacking=tuple(sorted(lacking.new)) if expected.dags is not None else None,
            ids=frozenset({dag.id for dag in served.dags} - {dag.id for dag in behind}),
            age=_age(made.when) if made else None,
            failures=dag_serving.told(served.failures),
            dags=len(served.dags),
            elsewhere=served.elsewhere(served.commit),
        )

    def _described(self, now: dag_changes.Version | None, commit: str) -> dag_branch.Synced | None:
        if now is None:
            return None
        if commit not in self._commits:
            (made,) = dag_branch.described(self.runner, now.repository, commit, manifest.FOLDER)
            self._commits[commit] = made
        return self._commits[commit]


def _age(when: str) -> float:
    return max(0.0, time.time() - datetime.fromisoformat(when).astimezone(UTC).timestamp())
