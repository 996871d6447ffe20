"""What an Airflow for tests is made of: the containers of a tenant of the `docker` runtime, as tests want them.

Pure functions; `bringing_up` does it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from airflow_platform import secrets
from airflow_platform.config import specs
from airflow_platform.config.components import BROKER, FAKESNOW, METADATA_DATABASE, SCHEDULER, TRIGGERER
from airflow_platform.runtimes.docker import manifest as manifests
from airflow_platform.testing import asking_snowflake, leftovers
from airflow_platform.tools.containers.spec import Container, File

ROLE = "airflow"
"""Name of the role and of the database; the database server is this Airflow's alone."""

SERVICES = (FAKESNOW, BROKER)
"""A tenant's containers that are no part of Airflow."""


@dataclass(frozen=True)
class AirflowSpec:
    """What is wanted."""

    environment: specs.Environment
    """With one tenant."""
    dags: Path
    """The folder that is served, as it is."""
    triggerer: bool
    """Whether there is one; deferred tasks need it."""
    scheduler: Mapping[str, str]
    """Settings that the scheduler has besides a tenant's."""
    images: Mapping[str, str]
    """Ids, by name."""
    timeout: float
    """Seconds until all components must be healthy."""

    @property
    def tenant(self) -> specs.Tenant:
        return self.environment.tenants[0]


@dataclass(frozen=True)
class Wanted:
    """The containers of an order."""

    order: AirflowSpec
    session: str
    """The value of the label that all of them bear."""
    files: manifests.Files
    repository: Path
    port: int = 0
    """Of the api-server on 127.0.0.1."""

    @property
    def network(self) -> str:
        return manifests.prefix(self.order.environment.name, self.order.tenant.name)

    @property
    def labels(self) -> dict[str, str]:
        return {leftovers.SESSION: self.session}

    def all(self) -> dict[str, Container]:
        """Those that run as long as the tests do, by component, without the database server."""
        everything = {each.labels[manifests.COMPONENT]: each for each in self._tenant().all()}
        if not self.order.triggerer:
            del everything[TRIGGERER]
        return {name: self._for_tests(name, spec) for name, spec in everything.items()}

    def migration(self) -> Container:
        """The one that makes the tables of the metadata database."""
        return self._marked(self._tenant().migration())

    def server(self) -> Container:
        """A database server whose administrator is the tenant."""
        spec = manifests.server(
            self.order.environment,
            owner=self._owner(),
            image=self.order.images[METADATA_DATABASE],
            password=self.files.keys["database_password"],
        )
        return replace(
            self._marked(spec),
            environment={**spec.environment, "POSTGRES_USER": ROLE, "POSTGRES_DB": ROLE},
            # Nobody needs these data after a crash.
            command=(*spec.command, "-c", "fsync=off", "-c", "full_page_writes=off"),
            network=self.network,
            ports={},
        )

    def _for_tests(self, name: str, spec: Container) -> Container:
        changed = self._marked(spec)
        if name == SCHEDULER:
            return replace(changed, environment={**spec.environment, **self.order.scheduler})
        if name == FAKESNOW:
            authorities = File(secrets.Secret(self.files.authorities))
            return replace(changed, files={**spec.files, asking_snowflake.AUTHORITIES: authorities})
        return changed

    def _marked(self, spec: Container) -> Container:
        return replace(spec, labels={**spec.labels, **self.labels})

    def _tenant(self) -> manifests.TenantContainers:
        at = manifests.Machine(
            owner=self._owner(),
            port=self.port,
            images=self.order.images,
            repository=self.repository,
            database=ROLE,
            role=ROLE,
        )
        return manifests.TenantContainers(self.order.tenant, self.order.environment, at, self.files, {})

    def _owner(self) -> str:
        return f"test session {self.session}"
