"""The way to a PostgreSQL server, its errors in our words, and what we read in an Airflow's database there.

Whoever owns a database can put a view or a function of its own in the place of a table, and that runs
with the rights of whoever reads it. So what lies in a tenant's database is read as that tenant
(`Server.as_tenant`), never as the administrator, who needs the shared catalogs alone.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, LiteralString

from airflow_platform import secrets
from airflow_platform.tools.postgresql import server_errors
from airflow_platform.tools.postgresql.server_errors import StatementError

if TYPE_CHECKING:
    import psycopg

CONNECT_TIMEOUT = 10
"""Seconds to log in; a local server takes 0.01, one in the cloud 0.2."""

STATEMENT_TIMEOUT = 60.0
"""Seconds for one statement; the longest of ours makes an empty database, in 0.1 to 1."""

QUESTION_TIMEOUT = 10.0
"""Seconds for one question about a tenant's own tables."""

OLDEST = 15
"""Since this version nobody but its owner may make anything in the schema `public` of a database."""

_REVISION = re.compile(r"[0-9A-Za-z_]{1,32}")
"""What Alembic keeps in a column of 32 characters."""


@dataclass(frozen=True)
class Server:
    """A server, and as whom into which of its databases."""

    host: str
    port: int
    user: str
    password: secrets.Secret
    database: str = "postgres"
    """For an administrator a database that is no tenant's."""
    sslmode: str = "prefer"
    """As libpq has it. TLS when the server offers it, since a local one has no certificate; where others
    can listen or answer in its place it must be `verify-full`."""
    authorities: str = ""
    """File of the certificate authorities that `verify-full` trusts; "" for libpq's own place."""

    def as_tenant(self, name: str, password: secrets.Secret) -> Server:
        """The same server, for a tenant's role in its database, which has the same name."""
        return replace(self, user=name, password=password, database=name)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@contextlib.contextmanager
def connected(
    server: Server, *, timeout: float = STATEMENT_TIMEOUT
) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """A connection in which each statement commits by itself; rows are dicts.

    Args:
        server: Where to, and as whom.
        timeout: Seconds for one statement, and for the locks that it waits for.

    Raises:
        NotReachable: None answers there, or it is older than `OLDEST`.
        LoginRefused: It does not let this role in.
        NotAllowed: It refused a statement of the block.
        StatementError: Too many connections, connection lost, or any other fault of the block.
    """
    import psycopg  # noqa: PLC0415
    from psycopg import rows  # noqa: PLC0415

    milliseconds = int(timeout * 1000)
    try:
        connection = psycopg.connect(
            host=server.host,
            port=server.port,
            user=server.user,
            password=server.password.reveal(),
            dbname=server.database,
            connect_timeout=CONNECT_TIMEOUT,
            sslmode=server.sslmode,
            gssencmode="disable",
            # A server that asks for no password, or for one in clear, is not the one that we mean.
            require_auth="scram-sha-256,md5",
            # Whoever owns a database can set another search path for it, with other meanings of `=`.
            options=f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds} -c search_path=pg_catalog",
            application_name="airflow-platform",
            client_encoding="utf8",
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
            autocommit=True,
            row_factory=rows.dict_row,
            sslrootcert=server.authorities or None,
        )
    except psycopg.OperationalError as error:
        raise server_errors.of_login(str(server), server.user, server.database, str(error)) from error
    with server_errors.translated(str(server)), connection:
        _refuse_old(server, connection.info.server_version)
        yield connection


def revision(tenant: Server) -> str:
    """The revision of Alembic at which an Airflow's database is; "" when there is none, or no database.

    Args:
        tenant: From `Server.as_tenant`.

    Raises:
        StatementError: The table is there and holds no revision.
    """
    found = _ask(tenant, "SELECT version_num::text AS answer FROM public.alembic_version LIMIT 1")
    if found and not _REVISION.fullmatch(found):
        raise StatementError(
            f"The metadata database {tenant.database} says that it is at revision {found[:40]!r}.",
            state="",
            hint="Fix its table alembic_version, or start again: `inv tenant-down --delete-data`.",
        )
    return found


def bundle_version(tenant: Server, bundle: str) -> str:
    """The version of a DAG bundle that the dag-processor serves now; "" when it has none yet.

    Airflow has no public endpoint for it; the table is what its own components go by.

    Args:
        tenant: From `Server.as_tenant`.
        bundle: The bundle's name.
    """
    query: LiteralString = (
        "SELECT version::text AS answer FROM public.dag_bundle WHERE name = %s AND active LIMIT 1"
    )
    return _ask(tenant, query, bundle)


def bundle_refreshed(tenant: Server, bundle: str) -> str:
    """When the dag-processor looked for another version of a DAG bundle the last time; "" when it never did."""
    query: LiteralString = (
        "SELECT (last_refreshed AT TIME ZONE 'UTC')::text AS answer FROM public.dag_bundle "
        "WHERE name = %s AND active LIMIT 1"
    )
    return _ask(tenant, query, bundle)


def _refuse_old(server: Server, version: int) -> None:
    if version < OLDEST * 10_000:
        cause = f"It is version {version // 10_000}, and {OLDEST} is the oldest that keeps tenants apart."
        raise server_errors.not_reachable(str(server), cause, "Update the server.")


def _ask(tenant: Server, query: LiteralString, *arguments: str) -> str:
    """One value of a tenant's table; "" when it, the table or the database is not there."""
    import psycopg  # noqa: PLC0415

    try:
        with connected(tenant, timeout=QUESTION_TIMEOUT) as connection:
            try:
                row = connection.execute(query, arguments).fetchone()
            except psycopg.errors.UndefinedTable:
                return ""
    except StatementError as error:
        if error.state == server_errors.NO_DATABASE:
            return ""
        raise
    return str(row["answer"] or "") if row else ""
