"""The containers of one tenant of the `docker` runtime, and of the database server that tenants share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from airflow_platform import secrets
from airflow_platform.config import specs
from airflow_platform.config.components import (
    AIRFLOW,
    API_SERVER,
    ARGUMENTS,
    BROKER,
    DAG_PROCESSOR,
    FAKESNOW,
    METADATA_DATABASE,
    SCHEDULER,
    STOP_TIMEOUT,
    STOP_TIMEOUTS,
    TRIGGERER,
    WORKER,
)
from airflow_platform.tenants import airflow_settings
from airflow_platform.tools.containers.spec import Container, File

OWNER = "airflow-platform.owner"
"""The label that says whose an object is: the state directory of its environment."""

TENANT = "airflow-platform.tenant"
COMPONENT = "airflow-platform.component"

MIGRATION = "migration"
"""The container that migrates the metadata database, and ends."""

AIRFLOW_USER = 50000
"""The user id of Airflow's images: the official image's."""

SERVICE_USERS = {BROKER: 999, METADATA_DATABASE: 999, FAKESNOW: 50000}
"""The user ids of the other images; images/README.md says so."""

API_PORT, SNOWFLAKE_PORT, DATABASE_PORT, BROKER_PORT = 8080, 8443, 5432, 6379
"""Where they listen, each in its own container."""

SECRETS = "/run/airflow"
"""Where an Airflow container finds what nobody may see in its settings."""

REPOSITORY = "/srv/dags.git"
"""Where an Airflow container finds the repository with the DAGs."""

GIT_CONFIG = f"[safe]\n\tdirectory = {REPOSITORY}\n"
"""What lets Git read that repository, which belongs to the toolkit's user."""

MEMORY = {
    API_SERVER: 1024, SCHEDULER: 1024, DAG_PROCESSOR: 1024, TRIGGERER: 768, WORKER: 2048,
    BROKER: 128, FAKESNOW: 1024, METADATA_DATABASE: 1024,
}  # fmt: skip
"""MiB a container, where the spec says nothing: twice what was measured after some DAG runs."""

CPUS = 2.0
"""Cores a container, where the spec says nothing."""

MIB = 1024**2

SERVER_PASSWORD = "/run/metadata-database/password"  # noqa: S105 - where it is.
"""Where the database server finds its administrator's password."""

SET_PASSWORD = (
    "psql", "--username=postgres", "--dbname=postgres", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1",
    f"--command=DO $$BEGIN EXECUTE format('ALTER ROLE postgres PASSWORD %L', pg_read_file('{SERVER_PASSWORD}')); END$$",
)  # fmt: skip
"""What gives the administrator that password, inside the server's container: nobody needs one there."""

OWN_CONNECTIONS = 20
"""Connections of the database server that no tenant gets: the administrator's, and PostgreSQL's 3 reserved."""


@dataclass(frozen=True)
class Files:
    """What a tenant's containers are handed, by what it is for."""

    keys: Mapping[str, secrets.Secret]
    """By the names of the key files."""
    passwords: secrets.Secret
    """The document that SimpleAuthManager reads."""
    authorities: str
    """Certificate authorities that tasks trust."""
    certificate: str
    """fakesnow's."""
    certificate_key: secrets.Secret


@dataclass(frozen=True)
class Machine:
    """Where one tenant's containers are."""

    owner: str
    """What the label says: the environment's state directory."""
    port: int
    """On which people find the api-server."""
    images: Mapping[str, str]
    """Ids, by component."""
    repository: Path
    database: str
    role: str


def prefix(environment: str, tenant: str = "") -> str:
    """What the names of all objects of an environment or a tenant begin with; names have no dots."""
    return ".".join(part for part in ("airflow", environment, tenant) if part)


def server_name(environment: str) -> str:
    """The name of the database server's container, and of the volume with its data."""
    return f"{prefix(environment)}.{METADATA_DATABASE}"


def labels(owner: str, tenant: str = "", component: str = "") -> dict[str, str]:
    """What an object is marked with, and found by."""
    found = {OWNER: owner, TENANT: tenant, COMPONENT: component}
    return {key: value for key, value in found.items() if value}


def components(tenant: specs.Tenant, environment: specs.Environment) -> tuple[str, ...]:
    """The containers that a tenant has, those first that others need."""
    celery = environment.docker.has_celery
    return (
        *((FAKESNOW,) if tenant.snowflake.account is None else ()),
        *((BROKER,) if celery else ()),
        *AIRFLOW,
        *((WORKER,) if celery else ()),
    )


@dataclass(frozen=True)
class TenantContainers:
    """The containers of one tenant."""

    tenant: specs.Tenant
    environment: specs.Environment
    at: Machine
    files: Files
    generations: Mapping[str, str]
    """By component: another text restarts it."""

    def all(self) -> tuple[Container, ...]:
        """Those that run for as long as the tenant is up."""
        special = {FAKESNOW: self._fakesnow, BROKER: self._broker}
        names = components(self.tenant, self.environment)
        return tuple(special[name]() if name in special else self._airflow(name) for name in names)

    def migration(self) -> Container:
        """The one that brings the metadata database to the revision of its Airflow, and ends."""
        return replace(
            self._base(MIGRATION, image=API_SERVER),
            command=("airflow", "db", "migrate"),
            environment=airflow_settings.environment(
                self.tenant, self.environment.dags, self._installation()
            ),
            files=self._airflow_files(),
            owner=AIRFLOW_USER,
            restarts=False,
        )

    def _airflow(self, name: str) -> Container:
        settings = airflow_settings.environment_of(
            name, self.tenant, self.environment.dags, self._installation()
        )
        return replace(
            self._base(name),
            command=("airflow", *ARGUMENTS[name]),
            environment={**settings, "GIT_CONFIG_GLOBAL": f"{SECRETS}/gitconfig"},
            files=self._airflow_files(),
            owner=AIRFLOW_USER,
            binds={REPOSITORY: str(self.at.repository)},
            volumes={"/opt/airflow/logs": logs_volume(self.environment.name, self.tenant.name)},
            ports={API_PORT: self.at.port} if name == API_SERVER else {},
        )

    def _fakesnow(self) -> Container:
        arguments = {
            "--host": "0.0.0.0",  # noqa: S104 - in a network of the tenant's own; nothing is published.
            "--port": SNOWFLAKE_PORT,
            "--database-directory": "/var/lib/fakesnow",
            "--certificate": "/run/fakesnow/server.pem",
            "--key": "/run/fakesnow/server.key",
            "--password-file": "/run/fakesnow/password",
            "--database": self.tenant.snowflake.database,
            "--schema": self.tenant.snowflake.default_schema,
        }
        return replace(
            self._base(FAKESNOW),
            command=tuple(str(word) for pair in arguments.items() for word in pair),
            files={
                "/run/fakesnow/server.pem": File(secrets.Secret(self.files.certificate)),
                "/run/fakesnow/server.key": File(self.files.certificate_key),
                "/run/fakesnow/password": File(self.files.keys["snowflake_password"]),
            },
            owner=SERVICE_USERS[FAKESNOW],
            volumes={"/var/lib/fakesnow": snowflake_volume(self.environment.name, self.tenant.name)},
        )

    def _broker(self) -> Container:
        return replace(
            self._base(BROKER),
            environment={"REDIS_PASSWORD_FILE": "/run/broker/password"},
            files={"/run/broker/password": File(self.files.keys["broker_password"])},
            owner=SERVICE_USERS[BROKER],
        )

    def _base(self, name: str, *, image: str = "") -> Container:
        where = prefix(self.environment.name, self.tenant.name)
        return Container(
            name=f"{where}.{name}",
            image=self.at.images[image or name],
            network=where,
            hostname=name,
            memory=_memory(self.environment.docker, _limited_as(name, image)),
            cpus=_cpus(self.environment.docker, _limited_as(name, image)),
            stop_timeout=STOP_TIMEOUTS.get(name, STOP_TIMEOUT),
            labels=labels(self.at.owner, self.tenant.name, name),
            generation=self.generations.get(name, ""),
        )

    def _installation(self) -> airflow_settings.Installation:
        return airflow_settings.Installation(
            home="/opt/airflow",
            passwords=f"{SECRETS}/passwords.json",
            authorities=f"{SECRETS}/authorities.pem",
            repository=REPOSITORY,
            host="0.0.0.0",  # noqa: S104 - in a network of the tenant's own; published on 127.0.0.1.
            port=API_PORT,
            url=airflow_settings.address(self.at.port),
            inner_url=f"http://api-server:{API_PORT}",
            executor=self.environment.docker.executor,
        )

    def _airflow_files(self) -> dict[str, File]:
        """Variables by name under `environment/`, which the image's entrypoint reads; and other files."""
        keys = self.files.keys
        variables = {name: keys[key] for name, key in airflow_settings.KEYS.items()} | self._addresses()
        return {
            **{f"{SECRETS}/environment/{name}": File(value) for name, value in variables.items()},
            # SimpleAuthManager opens it for writing, too.
            f"{SECRETS}/passwords.json": File(self.files.passwords, mode=0o600),
            f"{SECRETS}/authorities.pem": File(secrets.Secret(self.files.authorities)),
            # The repository is the toolkit's user's; Git reads it only when told that this is meant.
            f"{SECRETS}/gitconfig": File(secrets.Secret(GIT_CONFIG)),
        }

    def _addresses(self) -> dict[str, secrets.Secret]:
        """Of services that ask for a password, which is part of the address."""
        keys = self.files.keys
        login = f"{_quoted(self.at.role)}:{_quoted(keys['database_password'].reveal())}"
        where = f"{login}@{METADATA_DATABASE}:{DATABASE_PORT}/{self.at.database}"
        found = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": secrets.Secret(f"postgresql+psycopg2://{where}")}
        if self.environment.docker.has_celery:
            broker = f"redis://:{_quoted(keys['broker_password'].reveal())}@{BROKER}:{BROKER_PORT}/0"
            found["AIRFLOW__CELERY__BROKER_URL"] = secrets.Secret(broker)
            found["AIRFLOW__CELERY__RESULT_BACKEND"] = secrets.Secret(f"db+postgresql://{where}")
        return found


def server(environment: specs.Environment, *, owner: str, image: str, password: secrets.Secret) -> Container:
    """The database server that the tenants of an environment share; each has a database of its own in it."""
    name, settings = server_name(environment.name), environment.docker
    return Container(
        name=name,
        image=image,
        command=(
            "postgres",
            "-c",
            f"max_connections={settings.server_connections}",
            "-c",
            "shared_buffers=64MB",
        ),
        environment={
            "POSTGRES_USER": "postgres",
            "POSTGRES_PASSWORD_FILE": SERVER_PASSWORD,
        },
        files={SERVER_PASSWORD: File(password)},
        owner=SERVICE_USERS[METADATA_DATABASE],
        volumes={"/var/lib/postgresql/data": name},
        network=prefix(environment.name),
        hostname=METADATA_DATABASE,
        ports={DATABASE_PORT: 0},
        memory=_memory(settings, METADATA_DATABASE),
        cpus=_cpus(settings, METADATA_DATABASE),
        shared_memory=256 * MIB,
        stop_timeout=STOP_TIMEOUTS[METADATA_DATABASE],
        labels=labels(owner, component=METADATA_DATABASE),
    )


def _quoted(part: str) -> str:
    """A part of an address, whatever it holds."""
    return quote(part, safe="")


def logs_volume(environment: str, tenant: str) -> str:
    """The volume with the logs of a tenant's tasks."""
    return f"{prefix(environment, tenant)}.logs"


def snowflake_volume(environment: str, tenant: str) -> str:
    """The volume with a tenant's fakesnow databases."""
    return f"{prefix(environment, tenant)}.snowflake"


def _limited_as(name: str, image: str) -> str:
    """Whose limits hold: those of a container's own name, where it has some, else of what it runs as."""
    return name if name in MEMORY else image


def _memory(settings: specs.Docker, name: str) -> int:
    found = {str(key): each.memory for key, each in settings.limits.items()}
    return found.get(name, MEMORY[name]) * MIB


def _cpus(settings: specs.Docker, name: str) -> float:
    found = {str(key): each.cpus for key, each in settings.limits.items()}
    return found.get(name, CPUS)
