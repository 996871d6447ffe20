"""The processes of one tenant of the `process` runtime, as its supervisor is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from airflow_platform.config import package_recipes, specs, state_files
from airflow_platform.config.components import (
    AIRFLOW,
    ARGUMENTS,
    FAKESNOW,
    SCHEDULER,
    STOP_TIMEOUT,
    STOP_TIMEOUTS,
)
from airflow_platform.runtimes.process.supervisor.spec import Component, Spec
from airflow_platform.tenants import airflow_settings

IDLE_WORKER = r"^airflow worker -- LocalExecutor: <idle>\s*$"
"""The title of a LocalExecutor worker without a task; one whose scheduler was killed never ends."""


@dataclass(frozen=True)
class Machine:
    """Where one tenant's processes are."""

    place: state_files.TenantFiles
    port: int
    """Of the api-server."""
    programs: Path
    """The directory with the program `airflow`."""
    repository: Path
    """The bare repository that is served."""

    @property
    def url(self) -> str:
        """Where people find it, and its components each other."""
        return airflow_settings.address(self.port)

    def installation(self) -> airflow_settings.Installation:
        """The same, as Airflow is told."""
        return airflow_settings.Installation(
            home=str(self.place.home),
            passwords=str(self.place.passwords),
            authorities=str(self.place.certificates / "bundle.pem"),
            repository=str(self.repository),
            host="127.0.0.1",
            port=self.port,
            url=self.url,
            inner_url=self.url,
            database=f"sqlite:///{self.place.database}",
        )


def supervised(
    tenant: specs.Tenant,
    dags: specs.Dags,
    at: Machine,
    *,
    user: int | None,
    snowflake: Component | None,
    generations: Mapping[str, str],
) -> Spec:
    """All processes of a tenant.

    Args:
        tenant: Whose.
        dags: What it serves.
        at: Where it is.
        user: The user id that they run as; None: ours.
        snowflake: The tenant's fakesnow, unless it uses an account.
        generations: By component: another text restarts it.
    """
    components = [_component(name, tenant, dags, at) for name in AIRFLOW]
    everything = [*([snowflake] if snowflake else []), *components]
    return Spec(
        owner=str(at.place.directory),
        user=user,
        components=tuple(replace(each, generation=generations.get(each.name, "")) for each in everything),
    )


def fakesnow(tenant: specs.Tenant, at: Machine, *, port: int, environment: Path) -> Component:
    """The tenant's fakesnow: a server on 127.0.0.1 over TLS that asks for the tenant's password."""
    place = at.place
    arguments = {
        "--port": port,
        "--database-directory": place.snowflake,
        "--certificate": place.certificates / "server.pem",
        "--key": place.certificates / "server.key",
        "--password-file": place.snowflake_password,
        "--database": tenant.snowflake.database,
        "--schema": tenant.snowflake.default_schema,
    }
    words = [str(word) for pair in arguments.items() for word in pair]
    return Component(
        name=FAKESNOW,
        argv=(str(environment / "bin/python"), str(environment / package_recipes.FAKESNOW_PROGRAM), *words),
        directory=str(place.snowflake),
        log=str(place.log(FAKESNOW)),
        environment={
            "PATH": "/usr/bin:/bin",
            "HOME": str(place.snowflake),
            "LANG": "C.UTF-8",
            "USER": "airflow",
        },
        stop_timeout=STOP_TIMEOUTS[FAKESNOW],
    )


def _component(name: str, tenant: specs.Tenant, dags: specs.Dags, at: Machine) -> Component:
    return Component(
        name=name,
        argv=(str(at.programs / "airflow"), *ARGUMENTS[name]),
        directory=str(at.place.home),
        log=str(at.place.log(name)),
        environment={
            **_process(at),
            **airflow_settings.environment_of(name, tenant, dags, at.installation()),
        },
        secret_environment=secret_environment(at.place),
        idle_title=IDLE_WORKER if name == SCHEDULER else "",
        stop_timeout=STOP_TIMEOUTS.get(name, STOP_TIMEOUT),
    )


def secret_environment(place: state_files.TenantFiles) -> dict[str, str]:
    """Variables whose values are read from files when a component starts."""
    return {variable: str(place.keys / name) for variable, name in airflow_settings.KEYS.items()}


def migration_environment(home: Path, programs: Path) -> dict[str, str]:
    """What `airflow db migrate` needs for a SQLite database `airflow.db` in `home`, and no more."""
    return {
        "PATH": _path(programs),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
    }


def _process(at: Machine) -> dict[str, str]:
    return {
        "PATH": _path(at.programs),
        "HOME": str(at.place.home),
        # The tenant's user id has no name on this machine, and Python asks for one.
        "USER": "airflow",
        "LOGNAME": "airflow",
        "LANG": "C.UTF-8",
    }


def _path(programs: Path) -> str:
    return f"{programs}:/usr/local/bin:/usr/bin:/bin"
