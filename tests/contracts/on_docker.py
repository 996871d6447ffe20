"""The `docker` runtime, seen from outside: the engine by its SDK, by label and by name, and PostgreSQL."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import docker
import docker.errors
import psycopg
from installations import PREFIX, Installation
from on_processes import command_lines

from airflow_platform.config import paths
from airflow_platform.tools import ports as tcp_ports
from airflow_platform.tools import processes
from airflow_platform.tools.containers import labelled_objects

if TYPE_CHECKING:
    from docker.models.containers import Container

OWNER, TENANT, COMPONENT = (f"airflow-platform.{name}" for name in ("owner", "tenant", "component"))
"""Labels, as the documentation has them: not read from the code that writes them."""

SERVER = "metadata-database"

PORTS = "{ first = 28280, last = 28319 }"
"""Of the tests' environment: none of a `dev` on this machine, also while that is down."""

LIMITS = "{ triggerer = { memory = 700, cpus = 1.5 } }"
"""Of one container other than by default, so that it is seen whether the spec is followed."""

ATTEMPTS = Path(__file__).parent / "attempts.py"


class Containers(Installation):
    """Tenants as containers."""

    runtime = "docker"
    shipped = "dev"
    components = frozenset(
        {"api-server", "scheduler", "dag-processor", "triggerer", "worker", "broker", "fakesnow"}
    )
    parallelism = frozenset({"scheduler", "worker"})
    keys = (
        "fernet_key", "api_secret_key", "jwt_secret", "admin_password", "snowflake_password",
        "database_password", "broker_password",
    )  # fmt: skip
    lost = frozenset({"scheduler", "triggerer", "dag-processor"})
    longest: ClassVar[Mapping[str, float]] = {"tenant-up": 25.0, "tenant-down": 8.0}

    def __init__(self, directory: Path, *, name: str = "") -> None:
        super().__init__(directory, name=name)
        self.engine = docker.from_env()
        self.prefix = f"airflow.{self.name}"

    @classmethod
    def make(cls, *, name: str = "") -> Containers:
        made = super().make(name=name)
        ours = paths.project().built_images
        if not ours.exists():
            made.delete()
            raise AssertionError(f"There is no {ours}: run `scripts/inv build` first.")
        record = paths.Project(made.checkout).built_images
        record.parent.mkdir(exist_ok=True)
        shutil.copy(ours, record)
        return made

    @classmethod
    def sweep(cls) -> None:
        """Also what has lost its directory."""
        super().sweep()
        with contextlib.closing(docker.from_env()) as engine:
            _remove(engine, [each for each in _marked(engine, PREFIX) if not Path(_owner(each)).exists()])

    def close(self) -> None:
        # What a defect has left of us goes, too: the next session must not meet it.
        _remove(self.engine, _marked(self.engine, str(self.place.directory)))
        self.engine.close()
        super().close()

    def own_settings(self, shipped: str) -> str:
        line = 'runtime = "docker"\n'
        assert shipped.count(line) == 1
        return shipped.replace(line, f"{line}docker = {{ ports = {PORTS}, limits = {LIMITS} }}\n")

    def container(self, tenant: str, component: str) -> Container:
        """One container, by its name."""
        return self.engine.containers.get(".".join(part for part in (self.prefix, tenant, component) if part))

    def server(self) -> Container:
        """The database server that tenants share."""
        return self.container("", SERVER)

    def of(self, tenant: str, *, everything: bool = False) -> list[Container]:
        """The containers of a tenant by their label; those that run, or all."""
        labels = [f"{OWNER}={self.place.directory}", f"{TENANT}={tenant}"]
        return self.engine.containers.list(all=everything, filters={"label": labels}, ignore_removed=True)

    def identities(self, tenant: str) -> dict[str, str]:
        return {
            each.labels[COMPONENT]: f"{each.short_id} {each.attrs['State']['StartedAt']}"
            for each in self.of(tenant)
        }

    def crash(self, tenant: str, component: str) -> None:
        # From inside, as `docker kill` counts as a stop by hand, after which nothing is restarted.
        # Nobody waits for what it comes to: the engine cannot say that of a container that is gone.
        made = self.engine.api.exec_create(
            self.container(tenant, component).id, ["sh", "-c", "kill -KILL -1"]
        )
        self.engine.api.exec_start(made["Id"], detach=True)

    def lose(self, tenant: str) -> str:
        self.container(tenant, "scheduler").remove(force=True)
        self.container(tenant, "triggerer").kill()
        network = self.engine.networks.get(f"{self.prefix}.{tenant}")
        network.disconnect(self.container(tenant, "dag-processor"), force=True)
        return "the scheduler was removed, the triggerer killed, the dag-processor cut off from its network"

    def running(self, tenant: str) -> set[str]:
        found = {f"container {each.name}" for each in self.of(tenant, everything=True)}
        found |= {f"container {name}" for name in self._named("containers", tenant)}
        found |= {f"network {name}" for name in self._named("networks", tenant)}
        if self.place.tenant(tenant).ports.exists():
            taken = (port for port in self.ports(tenant).values() if not tcp_ports.is_free(port))
            found |= {f"port {port}" for port in taken}
        return found

    def left(self, tenant: str) -> set[str]:
        directory = self.place.tenant(tenant).directory
        return (
            self.running(tenant)
            | {f"volume {name}" for name in self._named("volumes", tenant)}
            | self._in_database(tenant)
            | ({str(directory)} if directory.exists() else set())
        )

    def left_at_all(self) -> set[str]:
        found = {str(self.place.tenant(tenant).directory) for tenant in self.place.found()}
        found |= {str(each) for each in _marked(self.engine, str(self.place.directory))}
        kinds = ("containers", "networks", "volumes")
        return found | {f"{kind} {name}" for kind in kinds for name in self._named(kind)}

    def listeners(self, tenant: str) -> set[tuple[str, int]]:
        told = {
            (at["HostIp"], int(at["HostPort"]))
            for each in self.of(tenant)
            for published in each.ports.values()
            for at in published or ()
        }
        bound = {
            (each.address, each.port)
            for each in processes.listeners()
            if each.port in {port for _, port in told}
        }
        return told | bound

    def connection_password(self, tenant: str) -> str:
        with self.as_administrator(self.database(tenant)) as connection:
            (encrypted,) = connection.execute(
                "SELECT password FROM connection WHERE conn_id = 'snowflake_default' AND is_encrypted"
            ).fetchone()
        return str(encrypted)

    def snowflake_login(self, tenant: str, password: str) -> dict[str, Any]:
        asked = {"answer": ("log in", "fakesnow", 8443, password)}
        found: dict[str, Any] = self.attempt(tenant, asked)["answer"]
        return found

    def shown(self, tenant: str) -> Iterator[bytes]:
        for each in (*self.of(tenant), self.server()):
            yield json.dumps(each.attrs).encode()
            yield json.dumps(each.image.attrs).encode()
            yield json.dumps(each.image.history()).encode()
            yield each.logs()
            yield json.dumps(each.top(ps_args="-eo pid,args")).encode()
        yield from command_lines()

    def attempt(
        self, tenant: str, asked: Mapping[str, Sequence[object]], *, component: str = "scheduler"
    ) -> dict[str, Any]:
        """What becomes of attempts of `attempts.py`, made inside a container of a tenant's, by their names."""
        code, output = self.container(tenant, component).exec_run(
            ["python", "-c", ATTEMPTS.read_text()], environment={"ATTEMPTS": json.dumps(asked)}, demux=True
        )
        assert code == 0, output
        found: dict[str, Any] = json.loads(output[0])
        return found

    def inside(self, tenant: str, component: str, *words: str) -> str:
        """What a program prints inside a container."""
        code, output = self.container(tenant, component).exec_run(list(words))
        assert code == 0, output
        return output.decode()

    def address_of(self, container: Container, network: str) -> str:
        """A container's address in a network."""
        return str(container.attrs["NetworkSettings"]["Networks"][network]["IPAddress"])

    @contextlib.contextmanager
    def as_administrator(self, database: str = "postgres") -> Iterator[psycopg.Connection]:
        """A connection to the database server, as whoever installed it."""
        (at,) = self.server().ports["5432/tcp"]
        with psycopg.connect(
            host="127.0.0.1",
            port=at["HostPort"],
            user="postgres",
            password=self.place.server_password.read_text(),
            dbname=database,
            connect_timeout=10,
            autocommit=True,
        ) as connection:
            yield connection

    def database(self, tenant: str) -> str:
        """The name of a tenant's database; its role has the same."""
        with self.as_administrator() as connection:
            rows = connection.execute(
                "SELECT datname FROM pg_database WHERE datname LIKE %s", (f"%{tenant}%",)
            ).fetchall()
        ((name,),) = rows
        return str(name)

    def _in_database(self, tenant: str) -> set[str]:
        """What the database server has of a tenant; nothing when it is down, because then all are."""
        try:
            running = self.server().status == "running"
        except docker.errors.NotFound:
            running = False
        if not running:
            return set()
        found = set()
        with self.as_administrator() as connection:
            for kind, query in (
                ("database", "SELECT datname FROM pg_database WHERE datname LIKE %s"),
                ("role", "SELECT rolname FROM pg_roles WHERE rolname LIKE %s"),
            ):
                rows = connection.execute(query, (f"%{tenant}%",)).fetchall()
                found |= {f"{kind} {name}" for (name,) in rows}
        return found

    def _named(self, kind: str, tenant: str = "") -> set[str]:
        """All objects whose names begin as a tenant's or the environment's do, whoever made them."""
        listing: Any = getattr(self.engine, kind)
        things = listing.list(all=True, ignore_removed=True) if kind == "containers" else listing.list()
        start = f"{self.prefix}.{tenant}" if tenant else self.prefix
        return {each.name for each in things if each.name == start or each.name.startswith(f"{start}.")}


class Marked:
    """A container, network or volume with our label."""

    def __init__(self, kind: str, thing: Any) -> None:
        self.kind, self.thing = kind, thing

    def __str__(self) -> str:
        return f"{self.kind} {self.thing.name}"

    @property
    def labels(self) -> Mapping[str, str]:
        attributes = self.thing.attrs
        return attributes.get("Labels") or attributes.get("Config", {}).get("Labels") or {}


def _marked(engine: docker.DockerClient, owner: str) -> list[Marked]:
    """Containers, then networks, then volumes whose label says an owner that this text is part of."""
    label = {"label": OWNER}
    containers = engine.containers.list(all=True, filters=label, ignore_removed=True)
    found = [Marked("container", each) for each in containers]
    found += [Marked("network", each) for each in engine.networks.list(filters=label)]
    found += [Marked("volume", each) for each in engine.volumes.list(filters=label)]
    return [each for each in found if owner in _owner(each)]


def _owner(thing: Marked) -> str:
    return thing.labels[OWNER]


def _remove(engine: docker.DockerClient, things: Sequence[Marked]) -> None:
    for each in things:
        if each.kind == "container":
            labelled_objects.remove_container(engine.api, each.thing.id)
            continue
        with contextlib.suppress(docker.errors.NotFound):
            each.thing.remove()
