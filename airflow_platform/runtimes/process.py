"""The `process` runtime: plain processes on this machine, one small supervisor a tenant."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from airflow_platform import errors, programs
from airflow_platform.components import AIRFLOW, API_SERVER, FAKESNOW, GIT_SYNC
from airflow_platform.config import package_recipes, paths, places, specs, versions
from airflow_platform.dags.check import result_cache
from airflow_platform.engine import plugins, step, store
from airflow_platform.manifests import airflow as manifest
from airflow_platform.manifests import processes as manifests
from airflow_platform.runtimes import following, installed, reaching, runtime
from airflow_platform.steps import (
    components,
    dag_repository,
    keys,
    packages,
    restart,
    served_dags,
    settings,
    smoke,
    template,
    tenant_certificates,
    tenant_database,
    tenant_directory,
    tenant_ports,
)
from airflow_platform.supervisor.spec import OWNER_VARIABLE
from airflow_platform.tools import (
    airflow,
    airflow_answers,
    health,
    logs,
    metadata_database,
    processes,
    supervisor,
    users,
)


class ProcessRuntime:
    """Tenants as plain processes."""

    name = "process"

    def __init__(self, environment: specs.Environment) -> None:
        self._environment = environment
        self._place = places.EnvironmentPlace(paths.state(environment.name))

    def steps(self, options: runtime.Options) -> Sequence[step.Step]:
        place, settings_ = self._place, self._environment.process
        built_in: tuple[step.Step, ...] = (
            packages.AirflowPackages(
                package_recipes.AIRFLOW, cache=paths.cache(), ready=_ready(settings_.packages)
            ),
            packages.SnowflakePackages(
                package_recipes.FAKESNOW, cache=paths.cache(), ready=_ready(settings_.snowflake_packages)
            ),
            template.DatabaseTemplate(ready_cache=place.directory / "templates"),
            dag_repository.DagRepository(place, checkout=paths.CHECKOUT, branch=following.branch_if_any),
            tenant_directory.TenantDirectory(place),
            keys.Keys(place, names=keys.NAMES, has_data=lambda name: place.tenant(name).database.exists()),
            tenant_ports.TenantPorts(place, tenant_ports.ON_THIS_MACHINE),
            tenant_certificates.TenantCertificates(place),
            tenant_database.TenantDatabase(place),
            tenant_database.GitConfiguration(place),
            components.Components(place),
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
        bringing = (GIT_SYNC,) if self._environment.dags.delivery == GIT_SYNC else ()
        return (*AIRFLOW, FAKESNOW, *bringing)

    def tenants_found(self) -> tuple[str, ...]:
        return tuple(name for name in self._place.found() if specs.is_name(name))

    def is_running(self, tenant: str) -> bool:
        place = self._place.tenant(tenant)
        return supervisor.is_held(place.run) or bool(processes.owned(str(place.directory)))

    def components(self, tenant: str) -> tuple[runtime.Component, ...]:
        status = supervisor.status(self._place.tenant(tenant).run)
        if status is None:
            return ()
        return tuple(
            runtime.Component(each.name, each.state, each.restarts, each.last_exit)
            for each in status.components
        )

    def url(self, tenant: str) -> str:
        return reaching.url(self._place.tenant(tenant))

    def dag_commit(self, tenant: str) -> str:
        database = self._place.tenant(tenant).database
        return metadata_database.bundle_version(database, manifest.BUNDLE) if database.exists() else ""

    def dags_refreshed(self, tenant: str) -> datetime.datetime | None:
        database = self._place.tenant(tenant).database
        known = metadata_database.bundle_refreshed(database, manifest.BUNDLE) if database.exists() else ""
        return airflow_answers.moment(known)

    def links(self, tenant: str) -> Mapping[str, str]:
        if self._environment.dags.delivery != GIT_SYNC:
            return {}
        # Processes share one link: what one of them reads, all do.
        try:
            target = (self._place.tenant(tenant).git_sync / manifest.LINK).readlink().name
        except OSError:
            target = ""
        return {"all components": target}

    def connected(self, tenant: str) -> AbstractContextManager[airflow.Airflow]:
        return reaching.connected(self._place.tenant(tenant), self.url(tenant))

    def unwell(self, tenant: str) -> str:
        place = self._place.tenant(tenant)
        status, url = supervisor.status(place.run), self.url(tenant)
        if status is None or not url:
            return "the supervisor" if status is None else "the file of its ports"
        if not place.admin_password.is_file():
            return f"the password of {manifest.ADMIN}"
        with airflow.connected(url, manifest.ADMIN, place.admin_password) as client:
            return health.missing(status.components, client, user=users.of_tenant(place.directory))

    def log_names(self, tenant: str) -> tuple[str, ...]:
        return (*self.component_names(), "supervisor")

    def last_lines(self, tenant: str, names: Sequence[str], count: int) -> Iterable[logs.Line]:
        return logs.last(self._logs(tenant, names), count)

    def new_lines(self, tenant: str, names: Sequence[str], wait: Callable[[], None]) -> Iterable[logs.Line]:
        return logs.follow(self._logs(tenant, names), wait)

    def _logs(self, tenant: str, names: Sequence[str]) -> Mapping[str, Path]:
        place = self._place.tenant(tenant)
        known = {
            **{name: place.log(name) for name in self.component_names()},
            "supervisor": place.run / "supervisor.log",
        }
        return {name: known[name] for name in names}

    def run_airflow(self, tenant: specs.Tenant, arguments: Sequence[str]) -> int:
        place = self._place.tenant(tenant.name)
        spec = supervisor.read_spec(place.run)
        if spec is None:
            raise errors.UsageError(
                f"Tenant {tenant.name} was never up.",
                hint=f"Run: inv tenant-up --env={self._environment.name}",
            )
        api_server = next(each for each in spec.components if each.name == API_SERVER)
        hidden = {key: Path(path).read_text() for key, path in manifests.secret_environment(place).items()}
        environment = {
            **api_server.environment,
            **hidden,
            OWNER_VARIABLE: spec.owner,
            "TERM": os.environ.get("TERM", "dumb"),
        }
        return programs.run_in_foreground(
            [api_server.argv[0], *arguments],
            env=environment,
            cwd=place.home,
            user=users.of_tenant(place.directory),
        )

    def versions(self) -> Mapping[str, runtime.Version]:
        wanted, settings_, cache = versions.read(), self._environment.process, paths.cache()
        return {
            "Airflow": installed.version(
                "apache-airflow",
                wanted=wanted.airflow,
                lock=package_recipes.AIRFLOW.lock,
                entries=cache / packages.AirflowPackages.name,
                ready=_ready(settings_.packages),
            ),
            "fakesnow": installed.version(
                "fakesnow",
                wanted=wanted.fakesnow,
                lock=package_recipes.FAKESNOW.lock,
                entries=cache / packages.SnowflakePackages.name,
                ready=_ready(settings_.snowflake_packages),
            ),
        }

    def isolation(self) -> str:
        if users.of_tenant(self._place.directory) is None:
            if os.geteuid() == 0:
                return (
                    "Tenants run as root: this machine lends root too few user ids for one a tenant, so "
                    "nothing keeps a DAG's author from the other tenants or the machine. Use a host with "
                    "the whole range of ids, or the docker runtime."
                )
            return (
                "Tenants run as one user: own keys, ports and databases guard against mistakes, but a DAG's "
                "author can read the other tenants' files. Run as root for a user id a tenant."
            )
        return "Each tenant runs as a user id of its own, and reads nothing of the others."


def _ready(path: str | None) -> Path | None:
    return None if path is None else paths.CHECKOUT / path
