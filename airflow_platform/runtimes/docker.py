"""The `docker` runtime: containers on this machine, from the images that production runs."""

from __future__ import annotations

import contextlib
import datetime
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from airflow_platform import errors, programs, secrets
from airflow_platform.components import (
    AIRFLOW,
    API_SERVER,
    BROKER,
    DAG_PROCESSOR,
    FAKESNOW,
    GIT_SYNC,
    METADATA_DATABASE,
    SCHEDULER,
    WORKER,
)
from airflow_platform.config import built, paths, places, specs, versions
from airflow_platform.dags.check import result_cache
from airflow_platform.engine import plugins, signals, step, store
from airflow_platform.manifests import airflow as manifest
from airflow_platform.manifests import containers as manifests
from airflow_platform.runtimes import following, images, installed, reaching, runtime
from airflow_platform.steps import (
    container_images,
    containers,
    dag_repository,
    database_container,
    database_server,
    keys,
    migration,
    ownership,
    restart,
    served_dags,
    settings,
    smoke,
    tenant_certificates,
    tenant_directory,
    tenant_network,
    tenant_ports,
    tenant_postgresql,
)
from airflow_platform.tools import airflow, airflow_answers, logs, postgresql
from airflow_platform.tools.containers import opened, remembered, wellness
from airflow_platform.tools.containers.spec import Found

if TYPE_CHECKING:
    from airflow_platform.steps.contexts import TenantContext

LOCK = paths.CHECKOUT / "images" / "airflow" / "requirements.lock"


LINK_TIMEOUT = 10.0
"""Seconds to read a link in a container; a tenth of one on a quiet machine."""


STATES = {"running": "running", "restarting": "waiting"}
"""What the engine calls a component's state, in the contract's words; one that is paused or ended does not run."""


class DockerRuntime:
    """Tenants as containers."""

    name = "docker"

    def __init__(self, environment: specs.Environment) -> None:
        self._environment = environment
        self._place = places.EnvironmentPlace(paths.state(environment.name), own_users=False)
        self._owner = ownership.of(self._place)
        self._engine = remembered.Remembered(self._place.engine)

    def steps(self, options: runtime.Options) -> Sequence[step.Step]:
        place, engine, docker = self._place, self._open, self._environment.docker
        built_in: tuple[step.Step, ...] = (
            container_images.ContainerImages(
                host=docker.host,
                record=built.RECORD,
                names=self._images(),
                building=images.Images(docker.host).base_faults,
            ),
            database_server.DatabaseVolume(place, engine),
            database_server.DatabaseServer(place, engine),
            dag_repository.DagRepository(place, checkout=paths.CHECKOUT, branch=following.branch_if_any),
            tenant_directory.TenantDirectory(place),
            keys.Keys(
                place,
                names=(*keys.NAMES, "database_password", "broker_password"),
                has_data=self._has_data,
            ),
            tenant_ports.TenantPorts(place, self._needs()),
            tenant_certificates.TenantCertificates(place),
            tenant_network.TenantNetwork(place, engine),
            tenant_network.TenantVolumes(place, engine),
            tenant_postgresql.TenantDatabaseRole(
                server=self._server_if_any,
                password=tenant_postgresql.from_file(place),
                owner=str(place.directory),
                limit=docker.connections,
            ),
            database_server.DatabaseAccess(place, engine, record=built.RECORD),
            migration.Migration(place, engine, self._server),
            containers.Containers(place, engine),
            settings.Settings(place),
            served_dags.ServedDags(self.dag_commit, refreshed=self.dags_refreshed, dags=result_cache.dag_ids),
            smoke.Smoke(place),
        )
        asked = (restart.Restart(place, components=options.restart),) if options.restart else ()
        return (*built_in, *asked, *plugins.load(self._environment.steps))

    def store(
        self, runner: programs.Programs, *, lock_timeout: float, on_note: Callable[[str], None]
    ) -> store.Store:
        return reaching.store(self._place, runner, lock_timeout=lock_timeout, on_note=on_note)

    def component_names(self) -> tuple[str, ...]:
        celery = self._environment.docker.has_celery
        return (
            *AIRFLOW,
            *((WORKER, BROKER) if celery else ()),
            FAKESNOW,
            *((GIT_SYNC,) if self._syncs() else ()),
        )

    def tenants_found(self) -> tuple[str, ...]:
        with contextlib.suppress(errors.PreflightError), self._open() as engine:
            everything = engine.containers.found(manifests.labels(str(self._place.directory)))
            found = {each.labels.get(manifests.TENANT, "") for each in everything}
            return tuple(sorted(name for name in found | {*self._place.found()} if specs.is_name(name)))
        # Without an engine nothing runs, and the directories say whose data there are.
        return tuple(name for name in self._place.found() if specs.is_name(name))

    def is_running(self, tenant: str) -> bool:
        return any(each.alive for each in self._found(tenant))

    def components(self, tenant: str) -> tuple[runtime.Component, ...]:
        return tuple(
            runtime.Component(
                each.labels.get(manifests.COMPONENT, each.name),
                STATES.get(each.state, "stopped"),
                each.restarts,
                each.last_exit,
            )
            for each in self._found(tenant)
        )

    def url(self, tenant: str) -> str:
        return reaching.url(self._place.tenant(tenant))

    def dag_commit(self, tenant: str) -> str:
        database = self._database(tenant)
        return postgresql.bundle_version(database, manifest.BUNDLE) if database else ""

    def dags_refreshed(self, tenant: str) -> datetime.datetime | None:
        database = self._database(tenant)
        return airflow_answers.moment(
            postgresql.bundle_refreshed(database, manifest.BUNDLE) if database else ""
        )

    def _database(self, tenant: str) -> postgresql.Server | None:
        """A tenant's metadata database, as the tenant; None when it cannot be reached by anybody."""
        with self._open() as engine:
            server = self._own(engine, manifests.server_name(self._environment.name))
        password = self._place.tenant(tenant).database_password
        if server is None or not server.ports or not password.is_file():
            return None
        role = tenant_postgresql.name_of(self._environment.name, tenant)
        port, secret = server.ports[manifests.DATABASE_PORT], secrets.Secret(password.read_text())
        return postgresql.Server("127.0.0.1", port, role, secret, database=role)

    def links(self, tenant: str) -> Mapping[str, str]:
        if not self._syncs():
            return {}
        celery = self._environment.docker.has_celery
        readers = (DAG_PROCESSOR, WORKER if celery else SCHEDULER)
        with self._open() as engine:
            names = self._containers(engine, tenant, readers)
            return {reader: self._linked(engine, name) for reader, name in names.items()}

    def _linked(self, engine: opened.Engine, container: str) -> str:
        """The commit at the end of git-sync's link, as a container sees it; "" for none."""
        printed: list[bytes] = []
        command = ("readlink", f"{manifests.SYNCED}/{manifest.LINK}")
        try:
            engine.containers.execute(
                container, command, on_output=lambda _, data: printed.append(data), timeout=LINK_TIMEOUT
            )
        except errors.StepError:  # It is just being replaced.
            return ""
        return b"".join(printed).decode(errors="replace").strip().rpartition("/")[2]

    def connected(self, tenant: str) -> AbstractContextManager[airflow.Airflow]:
        return reaching.connected(self._place.tenant(tenant), self.url(tenant))

    def unwell(self, tenant: str) -> str:
        place, url = self._place.tenant(tenant), self.url(tenant)
        if not url or not place.admin_password.is_file():
            return "the file of its ports" if not url else f"the password of {manifest.ADMIN}"
        spec = next((each for each in self._environment.tenants if each.name == tenant), None)
        wanted = manifests.components(spec, self._environment) if spec else ()
        found = {each.labels.get(manifests.COMPONENT): each for each in self._found(tenant)}
        with (
            self._open() as engine,
            airflow.connected(url, manifest.ADMIN, place.admin_password) as client,
        ):
            return wellness.missing(engine.containers, {name: found.get(name) for name in wanted}, client)

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

    def versions(self) -> Mapping[str, runtime.Version]:
        recorded = built.read()
        pinned = installed.pinned_version("apache-airflow", LOCK)
        return {
            "Airflow": runtime.Version(versions.read().airflow, pinned, recorded.airflow if recorded else "")
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

    def _images(self) -> tuple[str, ...]:
        images = {GIT_SYNC: manifests.GIT_SYNC_IMAGE}
        return (*(images.get(name, name) for name in self.component_names()), METADATA_DATABASE)

    def _syncs(self) -> bool:
        return self._environment.dags.delivery == GIT_SYNC

    @contextlib.contextmanager
    def _open(self) -> Iterator[opened.Engine]:
        with opened.opened_here(self._environment.docker.host) as engine:
            self._engine.require(engine)
            yield engine

    def _needs(self) -> tenant_ports.Needs:
        return tenant_ports.Needs(("airflow",), lambda environment: environment.docker.ports, self._is_mine)

    def _is_mine(self, place: places.TenantPlace, port: int) -> bool:
        """Whether it is a container of the tenant's that is published on a port."""
        return any(port in each.ports.values() for each in self._found(place.directory.name))

    def _found(self, tenant: str) -> tuple[Found, ...]:
        with self._open() as engine:
            return engine.containers.found(manifests.labels(str(self._place.directory), tenant))

    def _container(self, tenant: str, component: str) -> str:
        return f"{manifests.prefix(self._environment.name, tenant)}.{component}"

    def _own(self, engine: opened.Engine, name: str) -> Found | None:
        """The container of that name, unless it is somebody else's."""
        found = engine.containers.named(name)
        return found if self._owner.owns(found) else None

    def _containers(self, engine: opened.Engine, tenant: str, components: Iterable[str]) -> dict[str, str]:
        """The names that components' containers have or may come to have: somebody else may have taken one."""
        names = {each: self._container(tenant, each) for each in components}
        return {
            each: name
            for each, name in names.items()
            if not self._owner.stranger("container", engine.containers.named(name))
        }

    def _server(self, context: TenantContext) -> postgresql.Server:
        return self._server_at(context.outputs("database-server")["port"])

    def _server_if_any(self, context: TenantContext) -> postgresql.Server | None:
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

    def _server_at(self, port: int) -> postgresql.Server:
        password = secrets.Secret(self._place.server_password.read_text())
        return postgresql.Server("127.0.0.1", port, database_container.USER, password)


def _latest(engine: opened.Engine, container: str) -> float:
    return max((when for when, _ in engine.containers.lines(container, last=1)), default=0.0)


def _pass_on(is_error: bool, data: bytes) -> None:
    stream = sys.stderr if is_error else sys.stdout
    stream.buffer.write(data)
    stream.flush()
