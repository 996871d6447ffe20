"""The specs: what an environment and its tenants should be. Frozen, typed, each field documented."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import pydantic

from airflow_platform.config import components

NAME_PATTERN = r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$"
"""Names become parts of the Kubernetes namespace `<environment>-<tenant>`."""

NAMESPACE_LENGTH = 63
"""Characters of a Kubernetes namespace (RFC 1123 label)."""

Name = Annotated[str, pydantic.StringConstraints(pattern=NAME_PATTERN)]
Identifier = Annotated[str, pydantic.StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_$]{0,254}$")]
AirflowKey = Annotated[str, pydantic.StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,200}$")]
Port = Annotated[int, pydantic.Field(ge=1024, le=65535)]


SNOWFLAKE_CONNECTION = "snowflake_default"
"""The connection that the table `snowflake` becomes: the default of the provider's operators."""


def _refuse_twice(what: str, names: list[str]) -> None:
    for name in sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two {what} {name}")


class Spec(pydantic.BaseModel):
    """The base of all specs: frozen, no unknown keys, field docstrings in the JSON Schema."""

    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, strict=True
    )


class SecretReference(Spec):
    """Where a secret is, never the secret: exactly one of the fields."""

    env: Annotated[str, pydantic.StringConstraints(pattern=r"^[A-Z_][A-Z0-9_]*$")] | None = None
    """Name of an environment variable of the caller. How GitLab CI hands over masked variables."""
    file: str | None = None
    """Path of a file that holds the value and nothing else; relative to the repository's root."""

    @pydantic.model_validator(mode="after")
    def _one(self) -> SecretReference:
        if (self.env is None) == (self.file is None):
            raise ValueError("name exactly one of env and file")
        return self

    def __str__(self) -> str:
        return f"environment variable {self.env}" if self.env else f"file {self.file}"


class Connection(Spec):
    """One Airflow connection of a tenant; it is written into the tenant's metadata database."""

    id: AirflowKey
    """Connection id, as DAGs name it."""
    type: Annotated[str, pydantic.StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$")]
    """Airflow's connection type, such as `http`, `postgres` or `aws`."""
    host: str | None = None
    """Host name or address; what it means depends on the type."""
    port: Annotated[int, pydantic.Field(ge=1, le=65535)] | None = None
    """TCP port; by default the type's own."""
    login: str | None = None
    """User name; not a secret."""
    database_schema: Annotated[str | None, pydantic.Field(alias="schema")] = None
    """Airflow's `schema` field: for databases the database's name."""
    password: SecretReference | None = None
    """The password, by reference."""
    extra: dict[str, Any] = {}
    """Further settings, as the type documents them; no secrets here."""
    description: str = ""
    """Shown in Airflow's list of connections."""


class Pool(Spec):
    """One Airflow pool of a tenant: a limit on tasks that run at the same time."""

    name: Annotated[str, pydantic.StringConstraints(min_length=1, max_length=250)]
    """Pool name, as DAGs name it."""
    slots: Annotated[int, pydantic.Field(ge=0, le=10000)]
    """Task slots; 0 stops all its tasks."""
    description: str = ""
    """Shown in Airflow's list of pools."""


class Snowflake(Spec):
    """What a tenant's connection `snowflake_default` points to."""

    account: Annotated[str, pydantic.StringConstraints(pattern=r"^[A-Za-z0-9._-]+$")] | None = None
    """Snowflake account identifier, `organization-account`. Without one, process and docker serve the
    tenant from a fakesnow of its own."""
    user: str = "AIRFLOW"
    """Snowflake user; fakesnow takes any."""
    password: SecretReference | None = None
    """The user's password or programmatic access token, by reference. Needed with `account` unless a
    private key is given."""
    private_key: SecretReference | None = None
    """The user's private key (PEM), by reference: Snowflake's recommendation for services."""
    database: Identifier
    """Database of the tenant in this environment. No default: environments must not share one by accident."""
    # The provider calls it `schema`, which pydantic reserves.
    default_schema: Annotated[Identifier, pydantic.Field(alias="schema")] = "PUBLIC"
    """Schema that unqualified names mean; Snowflake creates `PUBLIC` in each database."""
    warehouse: Identifier
    """Virtual warehouse that pays for the tenant's queries."""
    role: Identifier
    """Role that the tenant's tasks take; its grants are what isolates tenants inside Snowflake."""

    @pydantic.model_validator(mode="after")
    def _credentials(self) -> Snowflake:
        if self.account and not (self.password or self.private_key):
            raise ValueError("an account needs password or private_key")
        if self.password and self.private_key:
            raise ValueError("name one of password and private_key")
        return self


class Tenant(Spec):
    """One Airflow installation of one team in one environment."""

    name: Name
    """Unique in the environment; becomes part of a namespace, a database and a role."""
    description: str = ""
    """Whose it is and what for; shown by env-show."""
    owner: str = ""
    """Who to ask: a team or an address; shown when something is wrong."""
    parallelism: Annotated[int, pydantic.Field(ge=1, le=64)] = 2
    """Tasks that run at the same time. 2, because each idle LocalExecutor worker costs 26-48 MB."""
    snowflake: Snowflake
    """The tenant's Snowflake database, warehouse and role."""
    connections: tuple[Connection, ...] = ()
    """Further Airflow connections."""
    variables: dict[AirflowKey, str] = {}
    """Airflow variables; values are plain text, so no secrets."""
    secret_variables: dict[AirflowKey, SecretReference] = {}
    """Airflow variables whose values are secrets, by reference."""
    pools: tuple[Pool, ...] = ()
    """Airflow pools."""

    @pydantic.model_validator(mode="after")
    def _declared_once(self) -> Tenant:
        _refuse_twice("connections are called", [each.id for each in self.connections])
        _refuse_twice("pools are called", [each.name for each in self.pools])
        _refuse_twice("variables are called", [*self.variables, *self.secret_variables])
        if any(each.id == SNOWFLAKE_CONNECTION for each in self.connections):
            raise ValueError(f"connection {SNOWFLAKE_CONNECTION} comes from the table snowflake")
        return self


class PortRange(Spec):
    """An inclusive range of TCP ports on 127.0.0.1."""

    first: Port
    """The lowest port."""
    last: Port
    """The highest port."""

    @pydantic.model_validator(mode="after")
    def _ordered(self) -> PortRange:
        if self.last < self.first:
            raise ValueError("last is lower than first")
        return self


class Process(Spec):
    """Where the `process` runtime lives: plain processes on this machine."""

    ports: PortRange = PortRange(first=18080, last=18279)
    """Ports that tenants get, two each; kept once given. Above the well-known ones, below Linux's
    ephemeral range (32768)."""
    packages: str | None = None
    """A ready virtual environment with Airflow to use instead of the locked one that the toolkit builds.
    For trying other versions; nothing checks what is in it."""
    snowflake_packages: str | None = None
    """The same for fakesnow."""
    start_timeout: Annotated[int, pydantic.Field(ge=10, le=3600)] = 180
    """Seconds until a tenant must be healthy: ten times a quiet machine's 10-16 s, because several start at once."""


class Limits(Spec):
    """What one container may use at most."""

    memory: Annotated[int, pydantic.Field(ge=16, le=1_048_576)]
    """MiB, without swap; the container is killed and started again when it needs more."""
    cpus: Annotated[float, pydantic.Field(gt=0, le=1024)] = 2.0
    """Cores. 2, so that one tenant that starts does not take a whole laptop."""


class Docker(Spec):
    """Where the `docker` runtime lives: containers on this machine."""

    host: str | None = None
    """Docker host, as DOCKER_HOST has it; by default the engine that Docker's own programs use. It must be on
    this machine: the DAGs' repository is mounted."""
    executor: Literal["CeleryExecutor", "LocalExecutor"] = "CeleryExecutor"
    """Which of Airflow's executors: with CeleryExecutor each tenant has a broker and a worker, as in
    production; LocalExecutor runs tasks in the scheduler and saves 400 MB a tenant."""
    ports: PortRange = PortRange(first=18280, last=18479)
    """Ports on 127.0.0.1 that tenants get, one each; kept once given. Behind those of `process`."""
    connections: Annotated[int, pydantic.Field(ge=10, le=1000)] = 60
    """Connections to the database server that one tenant may have at the same time; five components
    with SQLAlchemy's pools of 5 + 10 need some 40."""
    server_connections: Annotated[int, pydantic.Field(ge=50, le=10_000)] = 500
    """Connections that the database server has for all tenants together. A number of its own, not so many a
    tenant, because another number restarts the server under all of them. 500 are enough for eight tenants and
    cost 18 MB of memory more than 140."""
    limits: dict[components.Name, Limits] = {}
    """What each container may use at most, by its name. docs/reference.md lists under Limits what those may
    use that are left out."""
    start_timeout: Annotated[int, pydantic.Field(ge=10, le=3600)] = 300
    """Seconds until a tenant must be healthy: ten times a quiet machine's 30, because several start at once."""

    @property
    def has_celery(self) -> bool:
        """Whether each tenant has a broker and a worker."""
        return self.executor == "CeleryExecutor"


class Eks(Spec):
    """Where the `eks` runtime lives."""

    account: Annotated[str, pydantic.StringConstraints(pattern=r"^[0-9]{12}$")]
    """AWS account id; commands refuse to run with credentials of another."""
    region: Annotated[str, pydantic.StringConstraints(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$")]
    """AWS region."""
    cluster: Name
    """EKS cluster name."""


class Registry(Spec):
    """Where the environment's images are: in AWS ECR."""

    account: Annotated[str, pydantic.StringConstraints(pattern=r"^[0-9]{12}$")] | None = None
    """AWS account id of the registry; by default that of [eks]. Another one where environments share a
    registry. Commands refuse to push with credentials of another account."""
    region: Annotated[str, pydantic.StringConstraints(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$")] | None = None
    """AWS region of the registry; by default that of [eks]."""
    profile: Annotated[str, pydantic.StringConstraints(min_length=1)] | None = None
    """A profile in the AWS configuration of whoever runs the commands, for credentials of that account; by
    default AWS's usual chain. `promote` between two accounts needs one for either, or leave to read."""
    host: (
        Annotated[str, pydantic.StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]*(:[0-9]{1,5})?$")] | None
    ) = None
    """Name of the registry's host, where it is reached by another than ECR's own, such as a private link.
    Plain HTTP is spoken to this machine only."""
    prefix: Annotated[
        str, pydantic.StringConstraints(pattern=r"^[a-z0-9]+([._/-][a-z0-9]+)*$", max_length=200)
    ] = "airflow-platform"
    """What all names of repositories begin with: airflow-platform/scheduler."""
    images: tuple[Name, ...] = (components.BASE_IMAGE, *components.IMAGES)
    """The images that are pushed and promoted: by default Airflow's. metadata-database, broker and
    fakesnow stand in locally for what AWS and Snowflake provide; name them where they are to run there."""

    @pydantic.field_validator("images")
    @classmethod
    def _distinct(cls, images: tuple[Name, ...]) -> tuple[Name, ...]:
        if not images:
            raise ValueError("name at least one image")
        _refuse_twice("images are called", list(images))
        return images


class Dags(Spec):
    """Which DAGs the environment serves."""

    smoke: AirflowKey = "platform_smoke"
    """The DAG that tenant-up runs last: green means that tasks, Snowflake and DAG delivery work."""
    smoke_timeout: Annotated[int, pydantic.Field(ge=10, le=3600)] = 120
    """Seconds until the smoke DAG must have succeeded; it takes about 5 on a quiet machine."""
    refresh_interval: Annotated[int, pydantic.Field(ge=1, le=3600)] = 5
    """Seconds between two looks for a new DAG version; Airflow's own default is 300."""
    parse_interval: Annotated[int, pydantic.Field(ge=5, le=86400)] = 300
    """Seconds until a file that has not changed is parsed again, for what it reads from elsewhere; Airflow's own
    default is 30. Parsing 500 files takes two minutes of a core: raise it where DAGs depend on nothing else."""


class Environment(Spec):
    """One environment: a runtime, where it lives, and its tenants."""

    name: Name
    """The file's name without `.toml`; not written in the file."""
    description: str = ""
    """What it is for; shown by env-list."""
    runtime: Literal["process", "docker", "eks"]
    """Where tenants run."""
    protected: bool = False
    """Whether going down needs `--tenant` and `--confirm`. True for stage and prod."""
    process: Process = Process()
    """Settings of the `process` runtime."""
    docker: Docker = Docker()
    """Settings of the `docker` runtime."""
    eks: Eks | None = None
    """Settings of the `eks` runtime; needed by it."""
    registry: Registry | None = None
    """Where its images are; by default, on eks, the ECR of [eks]'s account and region. process and docker have
    none: they run what is on this machine."""
    dags: Dags = Dags()
    """Which DAGs it serves."""
    steps: tuple[str, ...] = ()
    """Names of steps of other packages (entry points `airflow_platform.steps`) to run here as well."""
    tenants: tuple[Tenant, ...]
    """The tenants; at least one."""

    @pydantic.field_validator("tenants")
    @classmethod
    def _distinct(cls, tenants: tuple[Tenant, ...]) -> tuple[Tenant, ...]:
        if not tenants:
            raise ValueError("declare at least one [[tenants]]")
        _refuse_twice("tenants are called", [tenant.name for tenant in tenants])
        return tenants

    @pydantic.model_validator(mode="after")
    def _runtime_has_a_place(self) -> Environment:
        if self.runtime == "eks" and self.eks is None:
            raise ValueError("runtime eks needs a table [eks] with account, region and cluster")
        return self

    @pydantic.model_validator(mode="after")
    def _namespaces_fit(self) -> Environment:
        for tenant in self.tenants:
            namespace = f"{self.name}-{tenant.name}"
            if len(namespace) > NAMESPACE_LENGTH:
                raise ValueError(
                    f"the namespace {namespace} has {len(namespace)} characters, and Kubernetes "
                    f"takes {NAMESPACE_LENGTH}: shorten one of the names"
                )
        return self

    def tenant(self, name: str) -> Tenant:
        """The tenant of that name.

        Raises:
            KeyError: There is none.
        """
        return {tenant.name: tenant for tenant in self.tenants}[name]


def undeclared(name: str) -> Tenant:
    """A spec for a tenant that was found but is declared nowhere: only its name means something."""
    nothing = Snowflake(database="UNDECLARED", warehouse="UNDECLARED", role="UNDECLARED")
    return Tenant(name=name, description="not declared", snowflake=nothing)


def is_name(text: str) -> bool:
    """Whether a text can name an environment or a tenant."""
    return re.match(NAME_PATTERN, text) is not None
