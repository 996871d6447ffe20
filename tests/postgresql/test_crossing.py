"""Tenant A tries to get at tenant B, at the server and out of its limit; beside each a control that works."""

import contextlib

import psycopg
import pytest

from airflow_platform.tools.postgresql import database_copies
from tests.postgresql.conftest import LIMIT, connect, connect_at_once, run

DENIED = psycopg.errors.InsufficientPrivilege

NOT_ALLOWED = {
    "make a database": "CREATE DATABASE mine",
    "copy B's database": 'CREATE DATABASE mine TEMPLATE "dev_b"',
    "drop B's database": 'DROP DATABASE "dev_b"',
    "rename B's database": 'ALTER DATABASE "dev_b" RENAME TO mine',
    "take B's database": 'ALTER DATABASE "dev_b" OWNER TO "dev_a"',
    "comment on B's database": "COMMENT ON DATABASE \"dev_b\" IS 'mine'",
    "measure B's database": "SELECT pg_database_size('dev_b')",
    "close B's database": 'ALTER DATABASE "dev_b" ALLOW_CONNECTIONS false',
    "give its own database to B": 'ALTER DATABASE "dev_a" OWNER TO "dev_b"',
    "rename its own database": 'ALTER DATABASE "dev_a" RENAME TO mine',
    "make a role": "CREATE ROLE mine LOGIN",
    "become a superuser": 'ALTER ROLE "dev_a" SUPERUSER',
    "lift its limit": 'ALTER ROLE "dev_a" CONNECTION LIMIT 100',
    "rename B": 'ALTER ROLE "dev_b" RENAME TO mine',
    "forge its mark": "COMMENT ON ROLE \"dev_a\" IS 'mine'",
    "set B's password": "ALTER ROLE \"dev_b\" PASSWORD 'x'",
    "lock B out": 'ALTER ROLE "dev_b" NOLOGIN',
    "become B": 'SET ROLE "dev_b"',
    "become the superuser": "SET ROLE postgres",
    "log in as B": 'SET SESSION AUTHORIZATION "dev_b"',
    "join B": 'GRANT "dev_b" TO "dev_a"',
    "lend itself to B": 'GRANT "dev_a" TO "dev_b"',
    "join the readers of files": 'GRANT pg_read_server_files TO "dev_a"',
    "read the verifiers": "SELECT rolpassword FROM pg_authid",
    "read the verifiers elsewhere": "SELECT passwd FROM pg_shadow",
    "run a program": "COPY (SELECT 1) TO PROGRAM 'cat >/dev/null'",
    "write a file": "COPY (SELECT 1) TO '/dev/null'",
    "read a file": "SELECT pg_read_file('/etc/hostname')",
    "import a file": "SELECT lo_import('/etc/hostname')",
    "list files": "SELECT pg_ls_dir('.')",
    "load a library": "LOAD 'pgoutput'",
    "reach out by dblink": "CREATE EXTENSION dblink",
    "reach out by postgres_fdw": "CREATE EXTENSION postgres_fdw",
    "read files by file_fdw": "CREATE EXTENSION file_fdw",
    "define a function in C": (
        "CREATE FUNCTION f() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler'"
    ),
    "define an internal function": "CREATE FUNCTION f() RETURNS int LANGUAGE internal AS 'pg_backend_pid'",
    "change the server's settings": "ALTER SYSTEM SET work_mem = '1GB'",
    "hide from the log": "SET log_statement = 'none'",
    "load into each session": "SET session_preload_libraries = 'auto_explain'",
    "reload the settings": "SELECT pg_reload_conf()",
    "make a tablespace": "CREATE TABLESPACE t LOCATION '/nowhere'",
    "keep the log of changes": "SELECT pg_create_physical_replication_slot('mine')",
    "publish everything": "CREATE PUBLICATION p FOR ALL TABLES",
    "open the server's database": 'GRANT CONNECT ON DATABASE postgres TO "dev_a"',
    "switch the log of changes": "SELECT pg_switch_wal()",
}

UNDO = {
    "make a database": "DROP DATABASE mine",
    "copy B's database": "DROP DATABASE mine",
    "change the server's settings": "ALTER SYSTEM RESET work_mem",
    "keep the log of changes": "SELECT pg_drop_replication_slot('mine')",
}
"""What takes back a statement that no transaction does."""

CONTROLLED_ELSEWHERE = {
    "drop B's database": "the fixture drops it at the end",
    "make a tablespace": "its directory would have to exist; the superuser is told that it does not",
}


@pytest.fixture
def a(pair):
    return pair[0]


@pytest.fixture
def b(pair):
    return pair[1]


@pytest.mark.parametrize("attempt", NOT_ALLOWED)
def test_a_tenant_may_not(attempt, a, superuser):
    with connect(a.server) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(NOT_ALLOWED[attempt])
    if attempt in CONTROLLED_ELSEWHERE:
        return
    # The very same statement is none that nobody can run.
    with connect(superuser, autocommit=attempt in UNDO) as connection:
        connection.execute(NOT_ALLOWED[attempt])
        connection.execute(UNDO[attempt]) if attempt in UNDO else connection.rollback()


def test_what_a_tenant_may(a):
    with connect(a.server) as connection:
        for statement in (
            "CREATE TABLE t (x int)",
            "CREATE TEMPORARY TABLE u (x int)",
            "CREATE SCHEMA s",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "CREATE EXTENSION pgcrypto",
            "SELECT pg_database_size(current_database())",
            "DROP SCHEMA s",
            "DROP TABLE t",
            "DROP FUNCTION f()",
            "DROP EXTENSION pgcrypto",
        ):
            connection.execute(statement)


@pytest.mark.parametrize("database", ["dev_b", "postgres", "template1"])
def test_a_tenant_enters_no_other_database(database, a, b):
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        connect(a.server, database=database)
    with connect(a.server), connect(b.server), connect(a.admin, database=database):
        pass


def test_it_is_the_lack_of_rights_that_keeps_a_tenant_out(a, superuser):
    run(superuser, "CREATE DATABASE as_it_comes")
    try:
        with connect(a.server, database="as_it_comes"):
            pass
    finally:
        run(superuser, "DROP DATABASE as_it_comes WITH (FORCE)")


def test_nobody_enters_a_copy(a, b):
    database_copies.copy(a.admin, b.name, f"{b.name}.r1")
    for server in (a.server, b.server, a.admin):
        with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
            connect(server, database=f"{b.name}.r1")
    run(a.admin, f'ALTER DATABASE "{b.name}.r1" ALLOW_CONNECTIONS true')
    for server in (a.server, b.server):
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            connect(server, database=f"{b.name}.r1")
    with connect(a.admin, database=f"{b.name}.r1"):
        pass


@pytest.mark.parametrize("function", ["pg_terminate_backend", "pg_cancel_backend"])
def test_a_tenant_ends_only_its_own_sessions(function, a, b):
    with connect(a.server) as own, connect(a.server) as attacker, connect(b.server) as victim:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            attacker.execute(f"SELECT {function}(%s)", (victim.info.backend_pid,))
        assert victim.execute("SELECT 1").fetchone() == (1,)
        assert attacker.execute(f"SELECT {function}(%s)", (own.info.backend_pid,)).fetchone() == (True,)


def test_a_tenant_sees_no_statement_of_another(a, b):
    query = "SELECT query FROM pg_stat_activity WHERE usename = %s"
    with connect(a.server) as attacker, connect(b.server) as victim:
        victim.execute("SELECT 'a secret of B'")
        assert attacker.execute(query, (b.name,)).fetchall() == [("<insufficient privilege>",)]
        assert victim.execute(query, (b.name,)).fetchall() == [(query.replace("%s", "$1"),)]


def test_a_tenant_has_as_many_connections_as_it_may_and_the_others_theirs(a, b):
    with contextlib.ExitStack() as stack:
        for _ in range(LIMIT):
            stack.enter_context(connect(a.server))
        for _ in range(3):
            with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
                connect_at_once(a.server)
        for _ in range(LIMIT):
            stack.enter_context(connect(b.server))
        # The administrator comes in all the same, and takes a full house for no wrong password.
        assert a.differences() == ()
    with connect(a.server):
        pass


def test_the_limit_holds_whatever_the_tenant_says_of_its_database(a):
    run(a.server, 'ALTER DATABASE "dev_a" CONNECTION LIMIT 1000')
    with contextlib.ExitStack() as stack:
        for _ in range(LIMIT):
            stack.enter_context(connect(a.server))
        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
            connect_at_once(a.server)
    assert a.differences() == ("open the database to the tenant",)
    a.bring()
    assert a.differences() == ()


def test_what_a_tenant_sees_all_the_same(a, b):
    """Documented in tools/postgresql_catalog.py: PostgreSQL hides no names."""
    with connect(a.server) as connection:
        databases = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
        roles = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
        hidden = {text for (text,) in connection.execute("SELECT DISTINCT rolpassword FROM pg_roles")}
    assert b.name in databases
    assert b.name in roles
    assert hidden == {"********"}
