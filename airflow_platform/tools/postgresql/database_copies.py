"""Copies of a tenant's database, for the way back from a migration."""

from __future__ import annotations

from airflow_platform.tools.postgresql import catalog, postgresql_server, sql_statements, tenant_databases

COPY_TIMEOUT = 600.0
"""Seconds for one statement; a gigabyte takes some 10."""

DRAFT = "draft"
"""What a copy is called after the dot until it is whole."""


def copy(server: postgresql_server.Server, source: str, target: str) -> None:
    """Copy a tenant's database, whole or not at all; replaces an older copy of that name.

    The administrator owns the copy, and nobody can connect to it until the administrator says
    `ALTER DATABASE … ALLOW_CONNECTIONS true`; the tenant cannot even then. It has the tenant's mark, and
    goes when the tenant goes.

    Args:
        server: As the administrator.
        source: The tenant's database. Nobody may be connected to it.
        target: The copy's name: the source's, a dot, and anything but `DRAFT`.

    Raises:
        Foreign: There is no such tenant, or something of the copy's name is somebody else's.
        BusyError: Somebody else works on the tenant's database.
        StatementError: Somebody is connected to it (state 55006), or the disk is full; the older copy is
            as it was.
    """
    name, _, suffix = sql_statements.checked_name(target).partition(".")
    if name != source or not suffix or suffix == DRAFT:
        raise ValueError(f"a copy of {source} is called {source}.<anything>, not {target}")
    draft = f"{source}.{DRAFT}"
    with sql_statements.locked(server, source, timeout=COPY_TIMEOUT) as connection:
        found = catalog.described(connection, server, source, None)
        if found.role is None or found.database is None or not found.role.mark:
            raise tenant_databases.Foreign(f"{server} has no database {source} of a tenant.")
        tenant_databases.require_ours(found, source, found.role.mark)
        there = {each.name for each in found.copies}
        if draft in there:
            sql_statements.drop_database(connection, draft)
        run = sql_statements.run
        run(connection, "CREATE DATABASE {} TEMPLATE {} ALLOW_CONNECTIONS false", draft, source)
        run(connection, "REVOKE ALL ON DATABASE {} FROM PUBLIC", draft)
        run(connection, "COMMENT ON DATABASE {} IS {}", draft, text=found.role.mark)
        if target in there:
            sql_statements.drop_database(connection, target)
        run(connection, "ALTER DATABASE {} RENAME TO {}", draft, target)
