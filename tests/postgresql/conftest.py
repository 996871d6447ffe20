"""One server for all tests, two kinds of administrators, and two tenants that must not reach each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg import sql

from airflow_platform import secrets
from airflow_platform.tools import postgresql, postgresql_catalog, postgresql_copies, postgresql_tenants
from tests.postgresql import server as servers

LIMIT = 3
MARK = "airflow-platform: of these tests"


@dataclass
class Tenant:
    """A tenant's name and password, and what the toolkit does for it."""

    admin: postgresql.Server
    name: str
    password: secrets.Secret
    limit: int = LIMIT

    @property
    def server(self) -> postgresql.Server:
        return self.admin.as_tenant(self.name, self.password)

    def bring(self) -> None:
        postgresql_tenants.bring(self.admin, self.name, password=self.password, mark=MARK, limit=self.limit)

    def take_away(self) -> None:
        postgresql_tenants.take_away(self.admin, self.name, mark=MARK)

    def described(self) -> postgresql_catalog.Described:
        return postgresql_catalog.describe(self.admin, self.name, self.password)

    def copies(self) -> tuple[str, ...]:
        """The names of the whole copies of its database."""
        whole = (each for each in self.described().copies if each.mark and not each.half_dropped)
        return tuple(each.name for each in whole if each.name != f"{self.name}.{postgresql_copies.DRAFT}")

    def differences(self) -> tuple[str, ...]:
        return postgresql_tenants.differences(self.described(), self.name, mark=MARK, limit=self.limit)


@pytest.fixture(scope="session")
def cluster() -> Iterator[servers.Cluster]:
    try:
        servers.programs()
    except RuntimeError as error:
        pytest.exit(str(error), returncode=1)
    with servers.cluster() as made:
        yield made


@pytest.fixture(scope="session")
def superuser(cluster) -> postgresql.Server:
    return cluster.server


@pytest.fixture(scope="session", params=["a superuser", "as on RDS"])
def admin(request, superuser) -> postgresql.Server:
    """A superuser; or what RDS gives: CREATEDB, CREATEROLE and the databases `postgres` and `template1`."""
    if request.param == "a superuser":
        return superuser
    password = secrets.Secret("the-master-password")
    run(superuser, f"CREATE ROLE master LOGIN CREATEDB CREATEROLE PASSWORD '{password.reveal()}'")
    for database in ("postgres", "template1"):
        run(superuser, f"ALTER DATABASE {database} OWNER TO master")
    return postgresql.Server(superuser.host, superuser.port, "master", password)


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


def connect(server: postgresql.Server, *, database: str = "", autocommit: bool = True) -> psycopg.Connection:
    """A plain connection, without what the toolkit sets for itself."""
    return psycopg.connect(
        host=server.host,
        port=server.port,
        user=server.user,
        password=server.password.reveal(),
        dbname=database or server.database,
        connect_timeout=5,
        autocommit=autocommit,
    )


def run(server: postgresql.Server, *statements: str, database: str = "") -> list[Any]:
    """Run statements, and return the rows of the last one."""
    with connect(server, database=database) as connection:
        for statement in statements:
            cursor = connection.execute(sql.SQL(statement))
        return cursor.fetchall() if cursor.description else []
