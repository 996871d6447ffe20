"""The `docker` runtime: containers on this machine, from the images that production runs."""

from __future__ import annotations

import contextlib
import datetime
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from airflow_platform import errors, secrets
from airflow_platform.config import built_images, package_recipes, paths, specs, state_files, versions
from airflow_platform.config.components import (
    AIRFLOW,
    API_SERVER,
    BROKER,
    FAKESNOW,
    METADATA_DATABASE,
    WORKER,
)
from airflow_platform.dags import branch_following, dag_repository
from airflow_platform.engine import plugins, signals, step, store
from airflow_platform.images import build_steps
from airflow_platform.programs import programs
from airflow_platform.runtimes import airflow_steps, contract, local_access, package_versions
from airflow_platform.runtimes.docker import (
    components,
    database_container,
    database_role,
    database_server,
    health,
    images,
    migration,
    network,
    resource_owner,
)
from airflow_platform.runtimes.docker import manifest as manifests
from airflow_platform.tenants import airflow_settings as manifest
from airflow_platform.tenants import keys, tenant_certificates, tenant_directory, tenant_ports
from airflow_platform.tenants.access import Access
from airflow_platform.tools import logs
from airflow_platform.tools.airflow import airflow_answers
from airflow_platform.tools.containers import engine_pin, engine_session
from airflow_platform.tools.containers.spec import FoundContainer
from airflow_platform.tools.postgresql import postgresql_server

if TYPE_CHECKING:
    from airflow_platform.tenants.contexts import TenantContext

STATES = {"running": "running", "restarting": "waiting"}
"""What the engine calls a component's state, in the contract's words; one that is paused or ended does not run."""


class DockerRuntime:
    """Tenants as containers."""

    name = "docker"

    def __init__(self, environment: specs.Environment) -> None:
        self._environment = environment
        self._place = state_files.EnvironmentFiles(paths.state(environment.name), own_users=False)
        self._owner = resource_owner.of(self._place)
        self._engine = engine_pin.Remembered(self._place.engine)

    def steps(self, options: contract.Options) -> Sequence[step.Step]:
        place, engine, docker = self._place, self._open, self._environment.docker
        built_in: tuple[step.Step, ...] = (
            images.ContainerImages(
                host=docker.host,
                record=paths.project().built_images,
                names=(*self.component_names(), METADATA_DATABASE),
                building=build_steps.Images(docker.host).base_faults,
            ).after(undone_by="docker image prune"),
            # Before the directories, so that on the way down these go when no tenant is left.
            database_server.DatabaseVolume(place, engine).after(before=["directory"]),
            database_server.DatabaseServer(place, engine).after("images", "database-volume"),
            dag_repository.DagRepository(
                place, checkout=paths.project().root, branch=branch_following.branch_if_any
            ).after(before=["directory"]),
            tenant_directory.TenantDirectory(place),
            keys.Keys(
                place,
                names=(*keys.NAMES, "database_password", "broker_password"),
                has_data=self._has_data,
            ).after("directory", undone_by="directory"),
            tenant_ports.TenantPorts(place, self._needs()).after("directory", undone_by="directory"),
            tenant_certificates.TenantCertificates(place).after("directory", undone_by="directory"),
            network.TenantNetwork(place, engine).after("database-server", "directory"),
            network.TenantVolumes(place, engine).after("images", "directory"),
            database_role.TenantDatabaseRole(
                server=self._server_if_any,
                password=database_role.from_file(place),
                owner=str(place.directory),
                limit=docker.connections,
            ).after("database-server", "directory", "keys"),
            database_server.DatabaseAccess(place, engine, record=paths.project().built_images).after("database-role"),
            migration.Migration(place, engine, self._server).after(
                "images", "database-server", "database-role", "network", "keys", "certificates", "ports",
                "dag-repository",
                undone_by="database-role",
            ),
            components.Containers(place, engine, self.access).after(
                "images", "ports", "keys", "certificates", "network", "volumes", "migration",
                "dag-repository",
            ),
            *airflow_steps.compose(
                self, local_access.SettingsFile(place), local_access.KeyFiles(place), undone_by="directory"
            ),
        )  # fmt: skip
        return (
            *built_in,
            *local_access.restarts(place, options.restart),
            *plugins.load(self._environment.steps),
        )

    def store(
        self, runner: programs.Programs, *, lock_timeout: float, on_note: Callable[[str], None]
    ) -> store.Store:
        return local_access.store(self._place, runner, lock_timeout=lock_timeout, on_note=on_note)

    def component_names(self) -> tuple[str, ...]:
        celery = (WORKER, BROKER) if self._environment.docker.has_celery else ()
        return (*AIRFLOW, *celery, FAKESNOW)

    def tenants_found(self) -> tuple[str, ...]:
        with contextlib.suppress(errors.PreflightError), self._open() as engine:
            everything = engine.containers.found(manifests.labels(str(self._place.directory)))
            found = {each.labels.get(manifests.TENANT, "") for each in everything}
            return tuple(sorted(name for name in found | {*self._place.found()} if specs.is_name(name)))
        # Without an engine nothing runs, and the directories say whose data there are.
        return tuple(name for name in self._place.found() if specs.is_name(name))

    def is_running(self, tenant: str) -> bool:
        return any(each.alive for each in self._found(tenant))

    def components(self, tenant: str) -> tuple[contract.Component, ...]:
        return tuple(
            contract.Component(
                each.labels.get(manifests.COMPONENT, each.name),
                STATES.get(each.state, "stopped"),
                each.restarts,
                each.last_exit,
            )
            for each in self._found(tenant)
        )

    def url(self, tenant: str) -> str:
        return local_access.url(self._place.tenant(tenant))

    def dag_commit(self, tenant: str) -> str:
        database = self._database(tenant)
        return postgresql_server.bundle_version(database, manifest.BUNDLE) if database else ""

    def dags_refreshed(self, tenant: str) -> datetime.datetime | None:
        database = self._database(tenant)
        return airflow_answers.moment(
            postgresql_server.bundle_refreshed(database, manifest.BUNDLE) if database else ""
        )

    def _database(self, tenant: str) -> postgresql_server.Server | None:
        """A tenant's metadata database, as the tenant; None when it cannot be reached by anybody."""
        with self._open() as engine:
            server = self._own(engine, manifests.server_name(self._environment.name))
        password = self._place.tenant(tenant).database_password
        if server is None or not server.ports or not password.is_file():
            return None
        role = database_role.name_of(self._environment.name, tenant)
        port, secret = server.ports[manifests.DATABASE_PORT], secrets.Secret(password.read_text())
        return postgresql_server.Server("127.0.0.1", port, role, secret, database=role)

    def access(self, tenant: str) -> AbstractContextManager[Access]:
        # The engine listens for containers, as root or as this user.
        return local_access.opened(
            self._place.tenant(tenant), lambda port: local_access.stranger(port, {0, os.getuid()})
        )

    def unwell(self, tenant: str) -> str:
        place, url = self._place.tenant(tenant), self.url(tenant)
        if not url or not place.admin_password.is_file():
            return "the file of its ports" if not url else f"the password of {manifest.ADMIN}"
        spec = next((each for each in self._environment.tenants if each.name == tenant), None)
        wanted = manifests.components(spec, self._environment) if spec else ()
        found = {each.labels.get(manifests.COMPONENT): each for each in self._found(tenant)}
        there = {name: found.get(name) for name in wanted}
        with self._open() as engine, self.access(tenant) as reached:
            return health.missing(engine.containers, there, reached.airflow)

    def log_names(self, tenant: str) -> tuple[str, ...]:
        return self.component_names()

    def last_lines(self, tenant: str, names: Sequence[str], count: int) -> Iterable[logs.Line]:
        with self._open() as engine:
            for name, container in self._containers(engine, tenant, names).items():
                for _, text in engine.containers.lines(container, last=count):
                    yield logs.Line(name, text)

    def new_lines(self, tenant: str, names: Sequence[str], wait: Callable[[], None]) -> Iterable[logs.Line]:
        with self._open() as engine:
            found = self._containers(engine, tenant, names)
            seen = {name: _latest(engine, container) for name, container in found.items()}
            while True:
                for name, container in found.items():
                    lines = engine.containers.lines(container, since=seen[name])
                    for seen[name], text in lines:
                        yield logs.Line(name, text)
                wait()

    def run_airflow(self, tenant: specs.Tenant, arguments: Sequence[str]) -> int:
        name = self._container(tenant.name, API_SERVER)
        with self._open() as engine:
            found = self._own(engine, name)
            if found is None or not found.running:
                raise errors.UsageError(
                    f"Tenant {tenant.name} is not up.",
                    hint=f"Run: inv tenant-up --env={self._environment.name}",
                )
            command, interruption = ("/entrypoint", "airflow", *arguments), programs.Interruption()
            with signals.handled(interruption):
                return engine.containers.execute(name, command, on_output=_pass_on, interruption=interruption)

    def versions(self) -> Mapping[str, contract.Version]:
        recorded = built_images.read()
        pinned = package_versions.pinned_version("apache-airflow", package_recipes.airflow().lock)
        return {
            "Airflow": contract.Version(versions.read().airflow, pinned, recorded.airflow if recorded else "")
        }

    def isolation(self) -> str:
        return (
            "Each tenant has containers, a network, keys and a database of its own; tenants share the "
            "database server, this machine's kernel and its Docker engine."
        )

    def _has_data(self, tenant: str) -> bool:
        """Whether a metadata database may have been encrypted with the tenant's key.

        Settings are what is encrypted first; in installations from before there was a mark they tell it.
        """
        place = self._place.tenant(tenant)
        return place.migrated.exists() or place.settings.exists()

    @contextlib.contextmanager
    def _open(self) -> Iterator[engine_session.Engine]:
        with engine_session.opened_here(self._environment.docker.host) as engine:
            self._engine.require(engine)
            yield engine

    def _needs(self) -> tenant_ports.Needs:
        return tenant_ports.Needs(("airflow",), lambda environment: environment.docker.ports, self._is_mine)

    def _is_mine(self, place: state_files.TenantFiles, port: int) -> bool:
        """Whether it is a container of the tenant's that is published on a port."""
        return any(port in each.ports.values() for each in self._found(place.directory.name))

    def _found(self, tenant: str) -> tuple[FoundContainer, ...]:
        with self._open() as engine:
            return engine.containers.found(manifests.labels(str(self._place.directory), tenant))

    def _container(self, tenant: str, component: str) -> str:
        return f"{manifests.prefix(self._environment.name, tenant)}.{component}"

    def _own(self, engine: engine_session.Engine, name: str) -> FoundContainer | None:
        """The container of that name, unless it is somebody else's."""
        found = engine.containers.named(name)
        return found if self._owner.owns(found) else None

    def _containers(
        self, engine: engine_session.Engine, tenant: str, components: Iterable[str]
    ) -> dict[str, str]:
        """The names that components' containers have or may come to have: somebody else may have taken one."""
        names = {each: self._container(tenant, each) for each in components}
        return {
            each: name
            for each, name in names.items()
            if not self._owner.stranger("container", engine.containers.named(name))
        }

    def _server(self, context: TenantContext) -> postgresql_server.Server:
        return self._server_at(context.outputs("database-server")["port"])

    def _server_if_any(self, context: TenantContext) -> postgresql_server.Server | None:
        """The same; on the way down as it is found, and None where it has no data either."""
        if context.goal is step.Goal.PRESENT:
            return self._server(context)
        name = manifests.server_name(self._environment.name)
        with self._open() as engine:
            found, volume = self._own(engine, name), engine.volumes.named(name)
        if found and not database_container.DatabaseContainer(self._place).missing(found):
            return self._server_at(found.ports[manifests.DATABASE_PORT])
        if self._owner.owns(volume):
            raise step.OutputsUnknown(database_server.DatabaseAccess.name)
        return None

    def _server_at(self, port: int) -> postgresql_server.Server:
        password = secrets.Secret(self._place.server_password.read_text())
        return postgresql_server.Server("127.0.0.1", port, database_container.USER, password)


def _latest(engine: engine_session.Engine, container: str) -> float:
    return max((when for when, _ in engine.containers.lines(container, last=1)), default=0.0)


def _pass_on(is_error: bool, data: bytes) -> None:
    stream = sys.stderr if is_error else sys.stdout
    stream.buffer.write(data)
    stream.flush()
