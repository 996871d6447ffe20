"""What a tenant has in PostgreSQL: its role, its database, and copies of that.

Only shared catalogs are read, which no tenant can write. A role is ours when its comment is our mark;
roles cannot change their own. A database is the tenant's when that role owns it: then the mark needs no
second place, which the owner could change.

What PostgreSQL does not hide from a tenant: the names, owners, comments and limits of all databases and
roles (`pg_database`, `pg_roles`), who is connected to what and since when (`pg_stat_activity`, without
the statements), counters of all databases (`pg_stat_database`), the server's settings. So a comment
holds no secret. What it does not divide: processor, memory, disk and the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, LiteralString

from airflow_platform import secrets
from airflow_platform.tools.postgresql import postgresql_server, server_errors
from airflow_platform.tools.postgresql.sql_statements import HALF_DROPPED

if TYPE_CHECKING:
    import psycopg

PUBLIC = "public"
"""All roles; no role can have this name."""

ATTRIBUTES: dict[str, LiteralString] = {
    "SUPERUSER": "ALTER ROLE {} NOSUPERUSER",
    "CREATEDB": "ALTER ROLE {} NOCREATEDB",
    "CREATEROLE": "ALTER ROLE {} NOCREATEROLE",
    "REPLICATION": "ALTER ROLE {} NOREPLICATION",
    "BYPASSRLS": "ALTER ROLE {} NOBYPASSRLS",
}
"""What a tenant's role must not have, and what takes it away."""


@dataclass(frozen=True)
class Role:
    """A role that is there."""

    mark: str
    """Its comment; "" for none."""
    attributes: tuple[str, ...]
    """Those of `ATTRIBUTES` that it has."""
    can_log_in: bool
    expires: bool
    limit: int
    """Sessions that it may have at the same time; -1 for any number."""
    member_of: tuple[str, ...]
    """Roles whose rights it has."""
    members: tuple[str, ...]
    """Roles that have its rights, without the administrator."""
    guest_of: tuple[str, ...]
    """Other databases on which it was given rights by name."""
    administered: bool
    """Whether the administrator may act for it, and so make and drop what belongs to it."""
    password_fits: bool


@dataclass(frozen=True)
class Database:
    """A database that is there."""

    owner: str
    is_open: bool
    """Whether its owner can connect: connections are allowed, and not limited by the database."""
    half_dropped: bool
    """Whether the server was stopped while dropping it; then it cannot be used any more."""
    guests: tuple[str, ...]
    """Roles besides the owner that have rights on it: at first `PUBLIC`."""


@dataclass(frozen=True)
class Copy:
    """A copy of a tenant's database, or the draft of one."""

    name: str
    mark: str
    """Its comment; "" for a draft."""
    owned: bool
    """Whether the administrator owns it."""
    half_dropped: bool
    """As of a database."""


@dataclass(frozen=True)
class Described:
    """All that a tenant has on a server."""

    role: Role | None = None
    database: Database | None = None
    copies: tuple[Copy, ...] = ()
    shared: tuple[str, ...] = ()
    """The server's own databases that all roles may enter, and that the administrator can close."""
    unclosable: tuple[str, ...] = ()
    """Those that it cannot: their owner must."""


def describe(server: postgresql_server.Server, name: str, password: secrets.Secret | None) -> Described:
    """What there is of a tenant.

    Args:
        server: As the administrator.
        name: Of the tenant's role and of its database.
        password: That the role should have: it is logged in with once. None on the way down.

    Raises:
        NotReachable: The server does not answer.
        LoginRefused: The administrator may not enter, or the server asks the role for no password.
        StatementError: What the server says no with.
    """
    with postgresql_server.connected(server) as connection:
        return described(connection, server, name, password)


def described(
    connection: psycopg.Connection[dict[str, Any]],
    server: postgresql_server.Server,
    name: str,
    password: secrets.Secret | None,
) -> Described:
    """The same, on a connection that there is."""
    names = {"name": name, "prefix": f"{name}.", "public": PUBLIC, "half_dropped": HALF_DROPPED}
    role = connection.execute(_ROLE, names).fetchone()
    database = connection.execute(_DATABASE, names).fetchone()
    copies = connection.execute(_COPIES, names).fetchall()
    shared = connection.execute(_SHARED).fetchall()
    fits = role is not None and password is not None and _fits(server.as_tenant(name, password))
    return Described(
        role=Role(**_tuples(role), password_fits=fits) if role else None,
        database=Database(**_tuples(database)) if database else None,
        copies=tuple(Copy(**row) for row in copies),
        shared=tuple(row["datname"] for row in shared if row["closable"]),
        unclosable=tuple(row["datname"] for row in shared if not row["closable"]),
    )


def _fits(tenant: postgresql_server.Server) -> bool:
    """Whether the role has this password; the limit of connections and the database come after that."""
    try:
        with postgresql_server.connected(tenant):
            return True
    except server_errors.LoginRefused as error:
        if "authentication method" in error.message:
            raise
        return False
    except (server_errors.NotAllowed, server_errors.StatementError):
        return True


def _tuples(row: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}


_ROLE = """
SELECT
  coalesce(shobj_description(r.oid, 'pg_authid'), '') AS mark,
  array_remove(ARRAY[
    CASE WHEN rolsuper THEN 'SUPERUSER' END, CASE WHEN rolcreatedb THEN 'CREATEDB' END,
    CASE WHEN rolcreaterole THEN 'CREATEROLE' END, CASE WHEN rolreplication THEN 'REPLICATION' END,
    CASE WHEN rolbypassrls THEN 'BYPASSRLS' END
  ], NULL) AS attributes,
  rolcanlogin AS can_log_in,
  coalesce(rolvaliduntil < 'infinity', false) AS expires,
  rolconnlimit AS limit,
  ARRAY(SELECT DISTINCT pg_get_userbyid(roleid)::text FROM pg_auth_members WHERE member = r.oid) AS member_of,
  ARRAY(
    SELECT DISTINCT rolname::text FROM pg_auth_members JOIN pg_roles m ON m.oid = member
    WHERE roleid = r.oid AND rolname <> session_user
  ) AS members,
  ARRAY(
    SELECT DISTINCT datname::text FROM pg_database, aclexplode(datacl) a
    WHERE a.grantee = r.oid AND datdba <> r.oid
  ) AS guest_of,
  pg_has_role(session_user, r.oid, 'USAGE') AS administered
FROM pg_roles r WHERE rolname = %(name)s
"""

_DATABASE = """
SELECT
  pg_get_userbyid(datdba)::text AS owner,
  datallowconn AND datconnlimit = -1 AS is_open,
  datconnlimit = %(half_dropped)s AS half_dropped,
  ARRAY(
    SELECT DISTINCT CASE a.grantee WHEN 0 THEN %(public)s ELSE pg_get_userbyid(a.grantee)::text END
    FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) a WHERE a.grantee <> datdba
  ) AS guests
FROM pg_database WHERE datname = %(name)s
"""

_COPIES = """
SELECT
  datname::text AS name,
  coalesce(shobj_description(oid, 'pg_database'), '') AS mark,
  pg_get_userbyid(datdba) = session_user AS owned,
  datconnlimit = %(half_dropped)s AS half_dropped
FROM pg_database WHERE starts_with(datname::text, %(prefix)s) ORDER BY 1
"""

_SHARED = """
SELECT datname::text, pg_has_role(session_user, datdba, 'USAGE') AS closable
FROM pg_database
WHERE datname IN ('postgres', 'template1', current_database()) AND EXISTS (
  SELECT FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) WHERE grantee = 0
)
ORDER BY 1
"""
"""Databases that a server has from the start. In them no tenant may even make a temporary table."""
