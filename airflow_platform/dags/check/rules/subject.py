"""What rules look at: the files of one DAG version and the tenants that are to serve it."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from airflow_platform.dags.check.facts import Dag, Imported, Location
from airflow_platform.dags.check.findings import FOLDER
from airflow_platform.dags.check.source import Source, Tree

TAG = "tenant:"
"""How the tag begins that says whose a DAG is."""

ALL = "all"
"""The tenant in the tag of a DAG that each tenant is to run."""

DEFAULT_POOL = "default_pool"
"""The pool that every Airflow has."""


@dataclass(frozen=True)
class Limits:
    """`config.dag_rules.Rules`, which documents each, without pydantic."""

    import_seconds: float
    import_deadline: int
    import_memory: int
    interval: int
    catchup: bool
    least_retries: int
    most_retries: int


@dataclass(frozen=True)
class Tenant:
    """A tenant, as far as a DAG can need something of it."""

    environment: str
    name: str
    connections: tuple[str, ...]
    pools: tuple[str, ...]
    executor: str = "LocalExecutor"
    """The only one that it has."""

    def __str__(self) -> str:
        return f"{self.environment}/{self.name}"


@dataclass(frozen=True)
class Violation:
    """What a rule says: a finding without what its rule always says."""

    at: Location
    message: str
    tenants: tuple[str, ...] = ()
    about: str = ""
    """See `Finding`."""


@dataclass(frozen=True)
class File:
    """A DAG file: what importing it found, and which other files it needs."""

    imported: Imported
    needs: tuple[str, ...] = ()
    """Files below the folder that it imports or reads, directly or through others."""
    perhaps: tuple[str, ...] = ()
    """Those of them that only imports load which may fail."""

    @property
    def path(self) -> str:
        """Relative to the folder of DAGs."""
        return self.imported.path

    @property
    def ended_at(self) -> Location:
        """Where its import came to its end; its first line where nobody knows."""
        return self.imported.ended_at or Location(self.path, 1)


@dataclass(frozen=True)
class Subject:
    """Everything that rules may look at."""

    files: tuple[File, ...]
    sources: Mapping[str, Source]
    """What the texts of all Python files say, by path; also of those that are no DAG files."""
    tenants: tuple[Tenant, ...]
    declared: frozenset[str]
    """Names of all tenants that are declared, also in environments that are not looked at."""
    rules: Limits
    smoke: frozenset[str] = frozenset()
    """Ids of the DAGs that tenant-up runs last."""
    tree: Tree = field(default_factory=Tree)
    """All paths of the version."""

    @property
    def dags(self) -> Iterator[Dag]:
        """All DAGs, in the order of their files."""
        return (dag for file in self.files for dag in file.imported.dags)

    def tenants_of(self, dags: Iterable[Dag]) -> tuple[Tenant, ...]:
        """The tenants that are to run these DAGs, by their tags."""
        names = {name for dag in dags for name in tenant_names(dag)}
        return tuple(each for each in self.tenants if each.name in names or ALL in names)

    def named(self, lacking: Iterable[Tenant]) -> tuple[str, ...]:
        """Tenants as a finding names them: none for all."""
        names = tuple(sorted(map(str, lacking)))
        return () if len(names) == len(self.tenants) else names

    @functools.cached_property
    def opened(self) -> Mapping[str, frozenset[str]]:
        """For each DAG file what its import read: itself, and what was executed for it."""
        return {
            file.path: frozenset({file.path, *map(self.tree.real, file.imported.reads)})
            for file in self.files
        }

    @functools.cached_property
    def users(self) -> Mapping[str, tuple[File, ...]]:
        """For each Python file the DAG files that it is part of: itself, and those that need it."""
        found: dict[str, list[File]] = {}
        for file in self.files:
            for path in (file.path, *file.needs):
                found.setdefault(path, []).append(file)
        return {path: tuple(files) for path, files in found.items()}


def tenant_names(dag: Dag) -> tuple[str, ...]:
    """The names in a DAG's tags `tenant:…`."""
    return tuple(tag.removeprefix(TAG) for tag in dag.tags if tag.startswith(TAG))


def shown(path: str) -> str:
    """A path of the folder of DAGs, relative to the repository."""
    return f"{FOLDER}/{path}" if path != "." else FOLDER
