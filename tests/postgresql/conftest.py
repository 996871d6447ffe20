"""One server for all tests, two kinds of administrators, and two tenants that must not reach each other."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
import pytest
from psycopg import sql

from airflow_platform import errors, secrets
from airflow_platform.tools.postgresql import catalog, database_copies, postgresql_server, tenant_databases
from tests.postgresql import server as servers

LIMIT = 3
MARK = "airflow-platform: of these tests"

ADMINISTRATORS = {"a superuser": "superuser", "as on RDS": "master"}
"""The fixtures of both kinds."""

FULL = re.compile(r"too many (connections|clients)|remaining connection slots")
"""What a server says that has no room, or not for this role."""

ResultT = TypeVar("ResultT")


@dataclass
class Tenant:
    """A tenant's name and password, and what the toolkit does for it."""

    admin: postgresql_server.Server
    name: str
    password: secrets.Secret
    limit: int = LIMIT

    @property
    def server(self) -> postgresql_server.Server:
        return self.admin.as_tenant(self.name, self.password)

    def bring(self) -> None:
        tenant_databases.bring(self.admin, self.name, password=self.password, mark=MARK, limit=self.limit)

    def take_away(self) -> None:
        tenant_databases.take_away(self.admin, self.name, mark=MARK)

    def described(self) -> catalog.Described:
        return catalog.describe(self.admin, self.name, self.password)

    def copies(self) -> tuple[str, ...]:
        """The names of the whole copies of its database."""
        whole = (each for each in self.described().copies if each.mark and not each.half_dropped)
        return tuple(each.name for each in whole if each.name != f"{self.name}.{database_copies.DRAFT}")

    def differences(self) -> tuple[str, ...]:
        return tenant_databases.differences(self.described(), self.name, mark=MARK, limit=self.limit)


@pytest.fixture(scope="session")
def cluster() -> Iterator[servers.Cluster]:
    try:
        servers.programs()
    except RuntimeError as error:
        pytest.exit(str(error), returncode=1)
    with servers.cluster() as made:
        yield made


@pytest.fixture(scope="session")
def superuser(cluster) -> postgresql_server.Server:
    return cluster.server


@pytest.fixture(scope="session")
def master(superuser) -> postgresql_server.Server:
    """What RDS gives: CREATEDB, CREATEROLE and the databases `postgres` and `template1`."""
    password = secrets.Secret("the-master-password")
    run(superuser, f"CREATE ROLE master LOGIN CREATEDB CREATEROLE PASSWORD '{password.reveal()}'")
    for database in ("postgres", "template1"):
        run(superuser, f"ALTER DATABASE {database} OWNER TO master")
    return postgresql_server.Server(superuser.host, superuser.port, "master", password)


@pytest.fixture(scope="session", params=ADMINISTRATORS)
def admin(request) -> postgresql_server.Server:
    """Either kind. With several workers one may get to a kind again, so nothing is made here."""
    return request.getfixturevalue(ADMINISTRATORS[request.param])


@pytest.fixture
def tenant(admin) -> Iterator[Tenant]:
    """Not there yet, and gone afterwards."""
    made = Tenant(admin, "dev_alpha-one", secrets.Secret("alpha's %password\\"))
    yield made
    made.take_away()


@pytest.fixture(scope="module")
def pair(admin) -> Iterator[tuple[Tenant, Tenant]]:
    """Two tenants that are there."""
    made = tuple(Tenant(admin, name, secrets.Secret(f"password of {name}")) for name in ("dev_a", "dev_b"))
    for each in made:
        each.bring()
    yield made[0], made[1]
    for each in made:
        each.take_away()


def let_in(attempt: Callable[[], ResultT]) -> ResultT:
    """What an attempt comes to that there must be room for: a closed session counts until it has ended."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return attempt()
        except (psycopg.OperationalError, errors.StepError) as error:
            if not FULL.search(str(error)) or time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def connect(
    server: postgresql_server.Server, *, database: str = "", autocommit: bool = True
) -> psycopg.Connection:
    """A plain connection, without what the toolkit sets for itself, as soon as there is room."""
    return let_in(lambda: connect_at_once(server, database=database, autocommit=autocommit))


def connect_at_once(
    server: postgresql_server.Server, *, database: str = "", autocommit: bool = True
) -> psycopg.Connection:
    """A plain connection, or the refusal of a full server."""
    return psycopg.connect(
        host=server.host,
        port=server.port,
        user=server.user,
        password=server.password.reveal(),
        dbname=database or server.database,
        connect_timeout=5,
        autocommit=autocommit,
    )


def run(server: postgresql_server.Server, *statements: str, database: str = "") -> list[Any]:
    """Run statements, and return the rows of the last one."""
    with connect(server, database=database) as connection:
        for statement in statements:
            cursor = connection.execute(sql.SQL(statement))
        return cursor.fetchall() if cursor.description else []
