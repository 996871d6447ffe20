"""Creates, repairs and drops a tenant's role and database in PostgreSQL.

Each function looks first and makes only what is missing, so it can be killed between any two statements
and run again. Nothing needs a superuser: a role with CREATEROLE and CREATEDB is enough, as on RDS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_platform import errors, secrets
from airflow_platform.tools.postgresql import catalog, postgresql_server, sql_statements
from airflow_platform.tools.postgresql.catalog import PUBLIC, Database, Described, Role
from airflow_platform.tools.postgresql.sql_statements import run

if TYPE_CHECKING:
    from airflow_platform.tools.postgresql.sql_statements import Connection

DROP_TIMEOUT = 600.0
"""Seconds for one statement: dropping a database of many files on a slow disk takes minutes."""


class Foreign(errors.StepError):
    """A role or database of that name belongs to somebody else, and is not touched."""


def differences(found: Described, name: str, *, mark: str, limit: int) -> tuple[str, ...]:
    """What `bring` would do, for people; () when all is as it must be. Arguments as there.

    Raises:
        Foreign: The role or the database is somebody else's.
    """
    require_ours(found, name, mark)
    says = [f"close {', '.join(found.shared)} to other roles"] if found.shared else []
    if found.role is None:
        says.append(f"make role {name} for at most {limit} connections")
    else:
        says += _role_differences(found.role, limit)
    if found.database is None or found.database.half_dropped:
        says += [f"finish dropping database {name}"] if found.database else []
        return (*says, f"make database {name}")
    says += [f"take the rights on the database from {each}" for each in found.database.guests]
    return tuple(says if found.database.is_open else [*says, "open the database to the tenant"])


def _role_differences(role: Role, limit: int) -> list[str]:
    says = [f"take {each} from the role" for each in role.attributes]
    says += [f"take membership in {each} from the role" for each in role.member_of]
    says += [f"take membership in the role from {each}" for each in role.members]
    says += [f"take the rights on database {each} from the role" for each in role.guest_of]
    says += [] if role.limit == limit else [f"limit the role to {limit} connections instead of {role.limit}"]
    says += [] if role.can_log_in and not role.expires else ["let the role log in"]
    says += [] if role.password_fits else ["set the role's password"]
    return says if role.administered else [*says, "let the administrator act for the role"]


def require_ours(found: Described, name: str, mark: str) -> None:
    """Let nothing happen to what is not ours.

    Raises:
        Foreign: The role has another mark, the database another owner, or a copy another mark.
    """
    if found.role is not None and found.role.mark != mark:
        says = f"its comment is {found.role.mark!r}" if found.role.mark else "it has no comment"
        raise Foreign(
            f"Role {name} is somebody else's: {says}, and not {mark!r}.",
            hint="Rename the tenant, or have the role's owner rename or drop it.",
        )
    if found.database is not None and (found.role is None or found.database.owner != name):
        raise Foreign(
            f"Database {name} is somebody else's: it belongs to role {found.database.owner}.",
            hint="Rename the tenant, or have the database's owner rename or drop it.",
        )
    for copy in found.copies:
        # One without a mark is a draft, whose maker was killed, if the administrator owns it.
        if copy.mark != mark and (copy.mark or not copy.owned):
            raise Foreign(
                f"Database {copy.name} is somebody else's, though named like a copy of {name}.",
                hint="Have its owner rename or drop it.",
            )


def bring(
    server: postgresql_server.Server, name: str, *, password: secrets.Secret, mark: str, limit: int
) -> None:
    """Create or repair a tenant's role and database.

    Args:
        server: As the administrator.
        name: Of both.
        password: That the role shall have. The server gets a SCRAM-SHA-256 verifier, never the password.
        mark: The comment by which the role is known as ours; every role can read it.
        limit: Sessions that the role may have at the same time. Its database has no limit of its own:
            the tenant could change that one, and it would keep the administrator out.

    Raises:
        Foreign: Role or database are somebody else's; nothing was changed.
        BusyError: Somebody else works on them.
        NotAllowed: The administrator may not do that.
        StatementError: The server said no, or the connection was lost; it is safe to run this again.
    """
    with sql_statements.locked(server, name) as connection:
        found = catalog.described(connection, server, name, password)
        require_ours(found, name, mark)
        _close(connection, found.shared)
        if found.role is None:
            _make_role(connection, name, password, mark, limit)
        else:
            _mend_role(connection, name, found.role, password, limit)
        if found.role is None or not found.role.administered:
            run(connection, "GRANT {} TO CURRENT_USER", name)
        _open(connection, name, _made_database(connection, name, found.database))
        found = catalog.described(connection, server, name, password)
    if left := differences(found, name, mark=mark, limit=limit):
        raise errors.StepError(
            f"{server} took every statement, and yet this is left to do: {'; '.join(left)}.",
            hint="Ask whoever granted it, or a superuser, to fix it.",
        )


def take_away(server: postgresql_server.Server, name: str, *, mark: str) -> None:
    """Drop a tenant's database, all copies of it, and its role; whoever is connected is thrown out.

    Raises:
        Foreign: Something of that name is somebody else's; nothing was changed.
        BusyError: Somebody else works on them.
        StatementError: The role owns something in a database of others, or the server said no otherwise.
    """
    with sql_statements.locked(server, name, timeout=DROP_TIMEOUT) as connection:
        found = catalog.described(connection, server, name, None)
        require_ours(found, name, mark)
        if found.role is not None and not found.role.administered:
            run(connection, "GRANT {} TO CURRENT_USER", name)
        if found.role is not None and found.role.can_log_in:
            run(connection, "ALTER ROLE {} NOLOGIN", name)
        for copy in found.copies:
            sql_statements.drop_database(connection, copy.name)
        if found.database is not None:
            sql_statements.drop_database(connection, name)
        # The role goes last: it is what the rest is known as ours by.
        if found.role is not None:
            run(connection, "DROP OWNED BY {}", name)
            run(connection, "DROP ROLE {}", name)


def _close(connection: Connection, shared: tuple[str, ...]) -> None:
    """Take the rights on the server's own databases from `PUBLIC`; two at once would fail each other."""
    if not shared:
        return
    with sql_statements.alone(connection, "the server's own databases"):
        for each in shared:
            run(connection, "REVOKE ALL ON DATABASE {} FROM PUBLIC", each)


def _make_role(connection: Connection, name: str, password: secrets.Secret, mark: str, limit: int) -> None:
    # In one transaction: there is no moment in which the role is there without its mark.
    with connection.transaction():
        run(connection, "CREATE ROLE {} LOGIN", name)
        run(connection, "COMMENT ON ROLE {} IS {}", name, text=mark)
        _set_limit(connection, name, limit)
        _set_password(connection, name, password)


def _made_database(connection: Connection, name: str, database: Database | None) -> Database:
    """The database that is there, or a new one."""
    if database is not None and not database.half_dropped:
        return database
    if database is not None:
        sql_statements.drop_database(connection, name)
    # Nobody may connect before the rights of `PUBLIC` are taken away. template0 is as it was delivered.
    run(
        connection,
        "CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING 'UTF8' ALLOW_CONNECTIONS false",
        name,
        name,
    )
    return Database(owner=name, is_open=False, half_dropped=False, guests=(PUBLIC,))


def _mend_role(connection: Connection, name: str, role: Role, password: secrets.Secret, limit: int) -> None:
    # Only what differs: whoever is no superuser may not even name an attribute like SUPERUSER.
    for attribute in role.attributes:
        run(connection, catalog.ATTRIBUTES[attribute], name)
    for each in role.member_of:
        run(connection, "REVOKE {} FROM {} CASCADE", each, name)
    for each in role.members:
        run(connection, "REVOKE {} FROM {} CASCADE", name, each)
    for each in role.guest_of:
        run(connection, "REVOKE ALL ON DATABASE {} FROM {} CASCADE", each, name)
    if role.limit != limit:
        _set_limit(connection, name, limit)
    if not role.can_log_in or role.expires:
        run(connection, "ALTER ROLE {} LOGIN VALID UNTIL 'infinity'", name)
    if not role.password_fits:
        _set_password(connection, name, password)


def _open(connection: Connection, name: str, database: Database) -> None:
    for guest in database.guests:
        if guest == PUBLIC:
            run(connection, "REVOKE ALL ON DATABASE {} FROM PUBLIC", name)
        else:
            run(connection, "REVOKE ALL ON DATABASE {} FROM {} CASCADE", name, guest)
    if not database.is_open:
        run(connection, "ALTER DATABASE {} ALLOW_CONNECTIONS true CONNECTION LIMIT -1", name)


def _set_limit(connection: Connection, name: str, limit: int) -> None:
    run(connection, "ALTER ROLE {} CONNECTION LIMIT {}", name, text=limit)


def _set_password(connection: Connection, name: str, password: secrets.Secret) -> None:
    """Hand over a verifier that is computed here, so that no log or view of the server has the password."""
    verifier = connection.pgconn.encrypt_password(password.reveal().encode(), name.encode(), b"scram-sha-256")
    run(connection, "ALTER ROLE {} PASSWORD {}", name, text=verifier.decode())
