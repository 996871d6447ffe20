"""Statements with names in them, and the lock under which those of one tenant run."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, LiteralString

from airflow_platform import errors
from airflow_platform.tools.postgresql import postgresql_server

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[dict[str, Any]]

LONGEST_NAME = 63
"""Bytes of an identifier; PostgreSQL cuts what is longer, and then two can be one."""

HALF_DROPPED = -2
"""What the server says in the place of a database's limit when it was stopped while dropping it. Nothing
but dropping it again can be done with it."""

_LIMIT = "SELECT datconnlimit FROM pg_database WHERE datname = %s"

_THROW_OUT = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s AND usesysid IS NOT NULL
"""
"""Clients, that is; each is waited for, at most 10 s."""


def run(connection: Connection, statement: LiteralString, *names: str, text: str | int | None = None) -> None:
    """Run a statement with identifiers, and then a text or number, in the place of its braces.

    Statements that define something take no parameters, so the library quotes both.
    """
    from psycopg import sql  # noqa: PLC0415

    parts: list[sql.Composable] = [sql.Identifier(checked_name(name)) for name in names]
    parts += [] if text is None else [sql.Literal(text)]
    connection.execute(sql.SQL(statement).format(*parts))


def drop_database(connection: Connection, name: str) -> None:
    """Drop a database, whole or half dropped, and throw out whoever is connected to it.

    `WITH (FORCE)` is for superusers: others it refuses while the server's autovacuum is at work there,
    which a plain `DROP DATABASE` ends.
    """
    row = connection.execute(_LIMIT, (name,)).fetchone()
    if row is not None and row["datconnlimit"] != HALF_DROPPED:
        # Its owner may have declared it a template, which cannot be dropped.
        run(connection, "ALTER DATABASE {} IS_TEMPLATE false ALLOW_CONNECTIONS false", name)
        connection.execute(_THROW_OUT, (name,))
    run(connection, "DROP DATABASE {}", name)


@contextlib.contextmanager
def locked(
    server: postgresql_server.Server, name: str, *, timeout: float = postgresql_server.STATEMENT_TIMEOUT
) -> Iterator[Connection]:
    """A connection that alone may change what belongs to a name.

    A server goes on with the statement of a client that was killed: until that has ended, its lock stands.

    Raises:
        BusyError: Somebody else has it for longer than `timeout` seconds.
    """
    with postgresql_server.connected(server, timeout=timeout) as connection, alone(connection, name):
        yield connection


@contextlib.contextmanager
def alone(connection: Connection, what: str) -> Iterator[None]:
    """Let nobody else who asks for the same lock go on until the block, or the connection, has ended.

    Raises:
        BusyError: Somebody else has it for longer than a statement of the connection may take.
    """
    import psycopg  # noqa: PLC0415

    key = int.from_bytes(hashlib.sha256(f"airflow-platform {what}".encode()).digest()[:8], "big", signed=True)
    try:
        connection.execute("SELECT pg_advisory_lock(%s)", (key,))
    except (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled) as error:
        raise errors.BusyError(
            f"Somebody else works on {what} in PostgreSQL.", hint="Wait for it, then run this again."
        ) from error
    try:
        yield
    finally:
        # A lost connection has given the lock back already, and the error that says so must not be hidden.
        with contextlib.suppress(psycopg.Error):
            connection.execute("SELECT pg_advisory_unlock(%s)", (key,))


def checked_name(name: str) -> str:
    """The name, when it can be a role's or a database's as it is.

    Raises:
        ValueError: It is empty, or PostgreSQL would cut it.
    """
    if not name or "\0" in name or len(name.encode()) > LONGEST_NAME:
        raise ValueError(f"{name!r} cannot be an identifier: 1 to {LONGEST_NAME} bytes")
    return name
