"""PostgreSQL without a server: what libpq's texts mean, names, and who is not reached. The rest: tests/postgresql."""

import socket

import pytest

from airflow_platform import errors, secrets
from airflow_platform.tools.postgresql import (
    catalog,
    database_copies,
    postgresql_server,
    server_errors,
    sql_statements,
    tenant_databases,
)

HERE = 'connection failed: connection to server at "127.0.0.1", port 5432 failed: '
BY_NAME = 'connection failed: connection to server at "db.example.com" (10.0.0.1), port 5432 failed: '

# Texts of libpq 15 to 18 and PostgreSQL 15, the error that each becomes, and what of it is shown.
SAID = {
    "wrong password": (
        HERE + 'FATAL:  password authentication failed for user "u"',
        server_errors.WrongPassword,
        'password authentication failed for user "u".',
    ),
    "no rule": (
        BY_NAME + 'FATAL:  no pg_hba.conf entry for host "10.0.0.9", user "u", database "d", no encryption',
        server_errors.LoginRefused,
        "no pg_hba.conf entry",
    ),
    "no password wanted": (
        HERE + 'authentication method requirement "scram-sha-256,md5" failed: server did not complete authentication',
        server_errors.LoginRefused,
        'authentication method requirement "scram-sha-256,md5" failed',
    ),
    "no login": (HERE + 'FATAL:  role "u" is not permitted to log in', server_errors.NotAllowed, 'role "u" is'),
    "no CONNECT": (
        HERE + 'FATAL:  permission denied for database "d"\nDETAIL:  User does not have CONNECT privilege.',
        server_errors.NotAllowed,
        'into database d: permission denied for database "d" DETAIL: User does not have CONNECT privilege.',
    ),
    "closed": (
        HERE + 'FATAL:  database "d" is not currently accepting connections',
        server_errors.NotAllowed,
        "is not currently accepting",
    ),
    "half dropped": (
        HERE + 'FATAL:  cannot connect to invalid database "d"', server_errors.NotAllowed, "invalid database",
    ),
    "role is full": (
        HERE + 'FATAL:  too many connections for role "u"', server_errors.StatementError, "takes no more connections",
    ),
    "server is full": (
        HERE + "FATAL:  sorry, too many clients already", server_errors.StatementError, "takes no more connections",
    ),
    "only reserved ones": (
        HERE + "FATAL:  remaining connection slots are reserved for non-replication superuser connections",
        server_errors.StatementError,
        "takes no more connections",
    ),
    "no database": (
        HERE + 'FATAL:  database "d" does not exist', server_errors.StatementError, 'database "d" does not exist',
    ),
    "starting": (
        HERE + "FATAL:  the database system is starting up",
        server_errors.NotReachable,
        "the database system is starting up. Start it",
    ),
    "nobody listens": (
        HERE + "Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?",
        server_errors.NotReachable,
        "PostgreSQL at db:5432: Connection refused. Start it",
    ),
    "no such host": (
        "failed to resolve host 'db': [Errno -2] Name or service not known",
        server_errors.NotReachable,
        "failed to resolve host 'db'",
    ),
    "too late": ("connection timeout expired", server_errors.NotReachable, "connection timeout expired."),
    "another authority": (
        BY_NAME + "SSL error: certificate verify failed", server_errors.NotReachable, "certificate verify failed",
    ),
    "another language": (
        HERE + "FATAL:  Passwort-Authentifizierung für Benutzer »u« fehlgeschlagen",
        server_errors.NotReachable,
        "Passwort-Authentifizierung für Benutzer »u« fehlgeschlagen",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SAID)
def test_what_libpq_says_is_told_apart(case):
    said, kind, shown = SAID[case]
    error = server_errors.of_login("db:5432", "u", "d", said)
    assert type(error) is kind
    assert shown in str(error)
    assert "connection to server" not in str(error)
    assert all(fault.remedy for fault in error.faults())


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (server_errors.NotReachable, errors.ExitCode.PREFLIGHT),
        (server_errors.LoginRefused, errors.ExitCode.REFUSED),
        (server_errors.NotAllowed, errors.ExitCode.REFUSED),
        (server_errors.StatementError, errors.ExitCode.FAILED),
    ],
)
def test_each_error_has_its_exit_code(kind, code):
    assert kind.exit_code == code


def test_states_tell_a_full_house_from_a_missing_database():
    full = server_errors.of_login("db:5432", "u", "d", SAID["server is full"][0])
    missing = server_errors.of_login("db:5432", "u", "d", SAID["no database"][0])
    assert isinstance(full, server_errors.StatementError)
    assert isinstance(missing, server_errors.StatementError)
    assert (full.state, missing.state) == ("53300", "3D000")


def test_nobody_answers():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    nobody = postgresql_server.Server("127.0.0.1", port, "u", secrets.Secret("p-0815"))
    for ask in (
        lambda: postgresql_server.revision(nobody),
        lambda: postgresql_server.bundle_version(nobody, "dags"),
        lambda: catalog.describe(nobody, "d", None),
        lambda: tenant_databases.take_away(nobody, "d", mark="m"),
    ):
        with pytest.raises(server_errors.NotReachable) as caught:
            ask()
        assert "Connection refused." in str(caught.value)
        assert "p-0815" not in f"{caught.value} {nobody!r}"


def test_a_tenants_server_is_the_same_one_with_its_own_role_and_database():
    admin = postgresql_server.Server(
        "db", 5433, "admin", secrets.Secret("a"), sslmode="verify-full", authorities="/ca"
    )
    assert admin.as_tenant("dev_x", secrets.Secret("b")) == postgresql_server.Server(
        "db", 5433, "dev_x", secrets.Secret("b"), "dev_x", "verify-full", "/ca"
    )
    assert str(admin) == "db:5433"


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 64, "ü" * 32])
def test_a_name_that_postgresql_would_cut_is_refused(name):
    with pytest.raises(ValueError, match="cannot be an identifier"):
        sql_statements.checked_name(name)


def test_a_name_may_have_63_bytes():
    assert sql_statements.checked_name("ü" * 31 + "x") == "ü" * 31 + "x"


@pytest.mark.parametrize("target", ["dev_x", "dev_x.", "dev_x.draft", "dev_y.r1", "x" * 64])
def test_a_copy_that_is_named_otherwise_is_refused_before_anybody_is_asked(target):
    server = postgresql_server.Server("host.invalid", 1, "u", secrets.Secret("p"))
    with pytest.raises(ValueError, match=r"a copy of dev_x is called|cannot be an identifier"):
        database_copies.copy(server, "dev_x", target)
