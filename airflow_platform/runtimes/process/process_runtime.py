"""The `process` runtime: plain processes on this machine, one small supervisor a tenant."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from airflow_platform import errors
from airflow_platform.config import package_recipes, paths, specs, state_files, versions
from airflow_platform.config.components import AIRFLOW, API_SERVER, FAKESNOW
from airflow_platform.dags import branch_following, dag_repository
from airflow_platform.engine import plugins, step, store
from airflow_platform.programs import programs
from airflow_platform.runtimes import airflow_steps, contract, local_access, package_versions
from airflow_platform.runtimes.process import components, database, database_template, supervisor_client
from airflow_platform.runtimes.process import manifest as manifests
from airflow_platform.runtimes.process.supervisor.spec import OWNER_VARIABLE
from airflow_platform.tenants import airflow_settings as manifest
from airflow_platform.tenants import (
    health,
    keys,
    packages,
    tenant_certificates,
    tenant_directory,
    tenant_ports,
)
from airflow_platform.tenants.access import Access
from airflow_platform.tools import logs, processes, sqlite_metadata, users
from airflow_platform.tools.airflow import airflow_answers


class ProcessRuntime:
    """Tenants as plain processes."""

    name = "process"

    def __init__(self, environment: specs.Environment) -> None:
        self._environment = environment
        self._place = state_files.EnvironmentFiles(paths.state(environment.name))

    def steps(self, options: contract.Options) -> Sequence[step.Step]:
        place, settings_ = self._place, self._environment.process
        built_in: tuple[step.Step, ...] = (
            packages.AirflowPackages(
                package_recipes.airflow(), cache=paths.cache(), ready=_ready(settings_.packages)
            ).after(undone_by=contract.CACHE_PRUNE),
            packages.SnowflakePackages(
                package_recipes.fakesnow(), cache=paths.cache(), ready=_ready(settings_.snowflake_packages)
            ).after(undone_by=contract.CACHE_PRUNE),
            database_template.DatabaseTemplate(ready_cache=place.directory / "templates").after(
                "airflow-packages", undone_by=contract.CACHE_PRUNE
            ),
            # Before the directories, so that on the way down it goes when no tenant is left.
            dag_repository.DagRepository(
                place, checkout=paths.project().root, branch=branch_following.branch_if_any
            ).after(before=["directory"]),
            tenant_directory.TenantDirectory(place),
            keys.Keys(
                place, names=keys.NAMES, has_data=lambda name: place.tenant(name).database.exists()
            ).after("directory", undone_by="directory"),
            tenant_ports.TenantPorts(place, PORTS).after(
                "directory", undone_by="directory"
            ),
            tenant_certificates.TenantCertificates(place).after("directory", undone_by="directory"),
            database.TenantDatabase(place).after(
                "directory", "keys", "airflow-packages", "database-template", "dag-repository",
                undone_by="directory",
            ),
            database.GitConfiguration(place).after(
                "directory", "dag-repository", undone_by="directory"
            ),
            components.Components(place, self.access).after(
                "airflow-packages", "snowflake-packages", "ports", "keys", "certificates", "database",
                "git-configuration", "dag-repository",
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
        return (*AIRFLOW, FAKESNOW)

    def tenants_found(self) -> tuple[str, ...]:
        return tuple(name for name in self._place.found() if specs.is_name(name))

    def is_running(self, tenant: str) -> bool:
        place = self._place.tenant(tenant)
        return supervisor_client.is_held(place.run) or bool(supervisor_client.processes_of(place.directory))

    def components(self, tenant: str) -> tuple[contract.Component, ...]:
        status = supervisor_client.status(self._place.tenant(tenant).run)
        if status is None:
            return ()
        return tuple(
            contract.Component(each.name, each.state, each.restarts, each.last_exit)
            for each in status.components
        )

    def url(self, tenant: str) -> str:
        return local_access.url(self._place.tenant(tenant))

    def dag_commit(self, tenant: str) -> str:
        database = self._place.tenant(tenant).database
        return sqlite_metadata.bundle_version(database, manifest.BUNDLE) if database.exists() else ""

    def dags_refreshed(self, tenant: str) -> datetime.datetime | None:
        database = self._place.tenant(tenant).database
        known = sqlite_metadata.bundle_refreshed(database, manifest.BUNDLE) if database.exists() else ""
        return airflow_answers.moment(known)

    def access(self, tenant: str) -> AbstractContextManager[Access]:
        place = self._place.tenant(tenant)
        return local_access.opened(place, lambda port: _stranger(place, port))

    def unwell(self, tenant: str) -> str:
        place = self._place.tenant(tenant)
        status, url = supervisor_client.status(place.run), self.url(tenant)
        if status is None or not url:
            return "the supervisor" if status is None else "the file of its ports"
        if not place.admin_password.is_file():
            return f"the password of {manifest.ADMIN}"
        with self.access(tenant) as opened:
            return health.missing(status.components, opened.airflow)

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
        spec = supervisor_client.read_spec(place.run)
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

    def versions(self) -> Mapping[str, contract.Version]:
        wanted, settings_, cache = versions.read(), self._environment.process, paths.cache()
        return {
            "Airflow": package_versions.version(
                "apache-airflow",
                wanted=wanted.airflow,
                lock=package_recipes.airflow().lock,
                entries=cache / packages.AirflowPackages.name,
                ready=_ready(settings_.packages),
            ),
            "fakesnow": package_versions.version(
                "fakesnow",
                wanted=wanted.fakesnow,
                lock=package_recipes.fakesnow().lock,
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


def _stranger(place: state_files.TenantFiles, port: int) -> str:
    """Who listens on a port in place of a tenant's processes; "" for nobody.

    As root the kernel says which user listens, and each tenant has its own. Otherwise all tenants run as one user, and
    the process must be one that was started for this tenant.
    """
    user = users.of_tenant(place.directory)
    if found := local_access.stranger(port, {os.getuid() if user is None else user}):
        return found
    if user is None:
        mine = {each.pid for each in supervisor_client.processes_of(place.directory)}
        return next((str(each) for each in processes.listeners(port) if each.pid not in mine), "")
    return ""


def _is_mine(place: state_files.TenantFiles, port: int) -> bool:
    """Whether a tenant listens on a port; also a process that a killed supervisor left: the way up ends those."""
    if supervisor_client.status(place.run) is not None:
        return True
    holders = {each.pid for each in processes.listeners(port)}
    return bool(holders) and holders <= {each.pid for each in supervisor_client.processes_of(place.directory)}


PORTS = tenant_ports.Needs(tenant_ports.USES, lambda environment: environment.process.ports, _is_mine)
"""What tenants need ports for."""


def _ready(path: str | None) -> Path | None:
    return None if path is None else paths.project().root / path
