"""The contract of a runtime: which steps, which store, and answers about its tenants."""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from airflow_platform import errors
from airflow_platform.config import specs
from airflow_platform.engine import step, store
from airflow_platform.programs import programs
from airflow_platform.tenants.access import Access
from airflow_platform.tools import logs


@dataclass(frozen=True)
class Component:
    """One process or container of a tenant."""

    name: str
    state: str
    """running, waiting (to be started again), stopped."""
    restarts: int
    last_exit: str


CACHE_PRUNE = "inv cache-prune"
"""What removes the things in the cache that environments share."""


@dataclass(frozen=True)
class Options:
    """What a command asks for besides up or down."""

    restart: tuple[str, ...] = ()
    """Components that are to be restarted."""


@dataclass(frozen=True)
class Version:
    """Versions of one program that should be the same."""

    wanted: str
    """What `versions.toml` says."""
    pinned: str
    """What the lock says; "" when it names none."""
    installed: str
    """What tenants would be started with; "" when it is not installed yet."""

    def __str__(self) -> str:
        """For people: one version, and what differs from it."""
        found = f"{self.installed} is installed" if self.installed else "not installed yet"
        differs = ", which differs" if self.installed not in ("", self.wanted) else ""
        pinned = "" if self.pinned == self.wanted else f"; the lock pins {self.pinned or 'none'}"
        return f"{self.wanted} is wanted{pinned}; {found}{differs}"


class Runtime(Protocol):
    """Where tenants run."""

    name: str

    def steps(self, options: Options) -> Sequence[step.Step]:
        """What brings tenants up and, reversed, takes them down."""

    def store(
        self, runner: programs.Programs, *, lock_timeout: float, on_note: Callable[[str], None]
    ) -> store.Store:
        """Its locks and journal."""

    def component_names(self) -> tuple[str, ...]:
        """All components that a tenant can have."""

    def tenants_found(self) -> tuple[str, ...]:
        """Tenants that exist, declared or not; what has no name of a tenant is none of ours."""

    def is_running(self, tenant: str) -> bool:
        """Whether anything of a tenant runs."""

    def components(self, tenant: str) -> tuple[Component, ...]:
        """A tenant's components as they are now; none when it is down."""

    def url(self, tenant: str) -> str:
        """Where people find a tenant; "" when it was never up."""

    def dag_commit(self, tenant: str) -> str:
        """The commit whose DAGs a tenant serves now; "" when it serves none."""

    def dags_refreshed(self, tenant: str) -> datetime.datetime | None:
        """When a tenant's dag-processor looked for a new commit the last time; None when it never did."""

    def access(self, tenant: str) -> AbstractContextManager[Access]:
        """The way to a tenant's Airflow, closed at the end; raises StepError when its address is not known."""

    def unwell(self, tenant: str) -> str:
        """What a tenant waits for before it is healthy, in words that follow "waits for"; "" when it is healthy."""

    def log_names(self, tenant: str) -> tuple[str, ...]:
        """Whose logs there can be: the components, and whoever runs them."""

    def last_lines(self, tenant: str, names: Sequence[str], count: int) -> Iterable[logs.Line]:
        """The last lines of logs, log by log; a component that never ran has none."""

    def new_lines(self, tenant: str, names: Sequence[str], wait: Callable[[], None]) -> Iterable[logs.Line]:
        """Lines that are printed from now on, for ever.

        Args:
            tenant: Whose.
            names: Of the logs.
            wait: Waits before the next look; ends the iteration by raising.
        """

    def run_airflow(self, tenant: specs.Tenant, arguments: Sequence[str]) -> int:
        """Run Airflow's own CLI inside a tenant, on this terminal; its exit code."""

    def versions(self) -> Mapping[str, Version]:
        """The programs whose versions the toolkit decides, by the names that people know."""

    def isolation(self) -> str:
        """What keeps tenants apart here, in one sentence for people."""


def undeclared(spec: specs.Environment, runtime: Runtime) -> list[str]:
    """Tenants that exist and are declared nowhere."""
    declared = {tenant.name for tenant in spec.tenants}
    return [name for name in runtime.tenants_found() if name not in declared]


def left_running(spec: specs.Environment, runtime: Runtime) -> list[str]:
    """Tenants that run and are declared nowhere."""
    return [name for name in undeclared(spec, runtime) if runtime.is_running(name)]


def require_component(chosen: Sequence[str], known: Sequence[str]) -> None:
    """Refuse components that are not there.

    Raises:
        UsageError: Names the first, and the nearest match.
    """
    for name in chosen:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]}? " if near else ""
            raise errors.UsageError(
                f"There is no component {name!r}.", hint=f"{hint}Known: {', '.join(known)}."
            )
