"""Where DAGs are served: every tenant of every environment."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from airflow_platform import errors
from airflow_platform.config import load, paths, specs, state_files
from airflow_platform.dags import branch_following
from airflow_platform.engine.store import Lock
from airflow_platform.programs import programs
from airflow_platform.runtimes import contract, runtime_table
from airflow_platform.tenants.access import Access


@dataclass(frozen=True)
class LocalTarget:
    """A tenant of an environment on this machine; see `dags.dag_contexts.Target`."""

    environment: str
    tenant: str
    runs_in: contract.Runtime
    runner: programs.Programs
    on_note: Callable[[str], None]
    """Called with a line for people when what a killed run left is waited for."""

    @property
    def name(self) -> str:
        return f"{self.environment}/{self.tenant}"

    @property
    def repository(self) -> Path | None:
        return state_files.EnvironmentFiles(paths.state(self.environment)).repository

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
        store = self.runs_in.store(
            self.runner, lock_timeout=branch_following.LOCK_TIMEOUT, on_note=self.on_note
        )
        return store.environment_lock()


@dataclass(frozen=True)
class Elsewhere:
    """An environment that cannot be looked into, and why."""

    environment: str
    why: str


def of(
    environments: Sequence[specs.Environment], runner: programs.Programs, on_note: Callable[[str], None]
) -> tuple[tuple[LocalTarget, ...], tuple[Elsewhere, ...]]:
    """The places of environments, and those environments whose runtime is not there yet."""
    found: list[LocalTarget] = []
    others: list[Elsewhere] = []
    for environment in environments:
        if environment.runtime not in runtime_table.RUNTIMES:
            why = f"its runtime, {environment.runtime}, is not there yet"
            others.append(Elsewhere(environment.name, why))
            continue
        runs_in = runtime_table.of(environment)
        found += [
            LocalTarget(environment.name, each.name, runs_in, runner, on_note) for each in environment.tenants
        ]
    return tuple(found), tuple(others)


def left_running(
    environments: Sequence[specs.Environment], runner: programs.Programs, on_note: Callable[[str], None]
) -> tuple[LocalTarget, ...]:
    """The places of tenants that run and are declared no longer: whatever they serve, nobody syncs them."""
    found: list[LocalTarget] = []
    for environment in environments:
        if environment.runtime in runtime_table.RUNTIMES:
            runs_in = runtime_table.of(environment)
            with contextlib.suppress(errors.PreflightError):  # Where what they run in is missing, none runs.
                names = contract.left_running(environment, runs_in)
                found += [LocalTarget(environment.name, name, runs_in, runner, on_note) for name in names]
    return tuple(found)


def environments(names: Sequence[str]) -> tuple[specs.Environment, ...]:
    """The environments of these names, or all.

    Raises:
        UsageError: There is none of a name.
        ConfigurationError: A file does not say what it must.
    """
    return tuple(map(load.environment, dict.fromkeys(names))) if names else load.all_environments()
