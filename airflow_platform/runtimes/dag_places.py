"""Where DAGs are served: every tenant of every environment."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from airflow_platform import errors, programs
from airflow_platform.config import load, paths, places, specs
from airflow_platform.engine.store import Lock
from airflow_platform.runtimes import choosing, following, runtime
from airflow_platform.tenants.access import Access


@dataclass(frozen=True)
class LocalPlace:
    """A tenant of an environment on this machine; see `steps.dag_contexts.Place`."""

    environment: str
    tenant: str
    runs_in: runtime.Runtime
    runner: programs.Programs
    on_note: Callable[[str], None]
    """Called with a line for people when what a killed run left is waited for."""

    @property
    def name(self) -> str:
        return f"{self.environment}/{self.tenant}"

    @property
    def repository(self) -> Path | None:
        return places.EnvironmentPlace(paths.state(self.environment)).repository

    def down(self) -> bool:
        try:
            return not self.runs_in.is_running(self.tenant)
        except errors.PreflightError:
            # What it runs in is missing here: nothing runs in that where nobody ever brought it up.
            if self.repository and not (self.repository / "HEAD").is_file():
                return True
            raise

    def commit(self) -> str:
        return self.runs_in.dag_commit(self.tenant)

    def refreshed(self) -> datetime.datetime | None:
        return self.runs_in.dags_refreshed(self.tenant)

    def access(self) -> AbstractContextManager[Access]:
        return self.runs_in.access(self.tenant)

    def turn(self) -> AbstractContextManager[Lock]:
        store = self.runs_in.store(self.runner, lock_timeout=following.LOCK_TIMEOUT, on_note=self.on_note)
        return store.environment_lock()


@dataclass(frozen=True)
class Elsewhere:
    """An environment that cannot be looked into, and why."""

    environment: str
    why: str


def of(
    environments: Sequence[specs.Environment], runner: programs.Programs, on_note: Callable[[str], None]
) -> tuple[tuple[LocalPlace, ...], tuple[Elsewhere, ...]]:
    """The places of environments, and those environments whose runtime is not there yet."""
    found: list[LocalPlace] = []
    others: list[Elsewhere] = []
    for environment in environments:
        if environment.runtime not in choosing.RUNTIMES:
            why = f"its runtime, {environment.runtime}, is not there yet"
            others.append(Elsewhere(environment.name, why))
            continue
        runs_in = choosing.of(environment)
        found += [
            LocalPlace(environment.name, each.name, runs_in, runner, on_note) for each in environment.tenants
        ]
    return tuple(found), tuple(others)


def left_running(
    environments: Sequence[specs.Environment], runner: programs.Programs, on_note: Callable[[str], None]
) -> tuple[LocalPlace, ...]:
    """The places of tenants that run and are declared no longer: whatever they serve, nobody syncs them."""
    found: list[LocalPlace] = []
    for environment in environments:
        if environment.runtime in choosing.RUNTIMES:
            runs_in = choosing.of(environment)
            with contextlib.suppress(errors.PreflightError):  # Where what they run in is missing, none runs.
                names = runtime.left_running(environment, runs_in)
                found += [LocalPlace(environment.name, name, runs_in, runner, on_note) for name in names]
    return tuple(found)


def environments(names: Sequence[str]) -> tuple[specs.Environment, ...]:
    """The environments of these names, or all.

    Raises:
        UsageError: There is none of a name.
        ConfigurationError: A file does not say what it must.
    """
    return tuple(map(load.environment, dict.fromkeys(names))) if names else load.all_environments()
