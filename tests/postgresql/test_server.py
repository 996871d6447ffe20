"""What goes wrong with a server, in our words: gone, full, old, in the way, asking for no password."""

import contextlib
import re
import socket
import threading

import psycopg
import pytest

from airflow_platform import errors, secrets
from airflow_platform.tools.postgresql import catalog, postgresql_server, server_errors
from tests.postgresql import server as servers
from tests.postgresql.conftest import Tenant, connect, let_in, run


@pytest.fixture(scope="module")
def own():
    """A small server, to be stopped and started."""
    with servers.cluster("max_connections=6", "superuser_reserved_connections=1") as made:
        yield made


@pytest.fixture
def guest(own):
    made = Tenant(own.server, "dev_guest", secrets.Secret("guest"), limit=20)
    let_in(made.bring)
    yield made
    let_in(made.take_away)


def use(server, *actions, timeout=postgresql_server.STATEMENT_TIMEOUT):
    """Connect as the toolkit does, and do something in between."""
    with postgresql_server.connected(server, timeout=timeout) as connection:
        for action in actions:
            action(connection)


def test_a_full_server_is_told_from_a_refused_login(own, guest):
    sessions = [connect(own.server) for _ in range(6)]
    try:
        for server in (own.server, guest.server):
            with pytest.raises(server_errors.StatementError) as caught:
                use(server)
            assert caught.value.state == server_errors.TOO_MANY_CONNECTIONS
            assert "max_connections" in caught.value.hint
    finally:
        for each in sessions:
            each.close()


def test_a_server_that_dies_is_told_and_waited_for(own):
    tenant = Tenant(own.server, "dev_later", secrets.Secret("later"))
    let_in(tenant.bring)
    with pytest.raises(server_errors.StatementError, match="the connection was lost") as caught:
        use(own.server, lambda _: own.stop(), lambda connection: connection.execute("SELECT 1"))
    assert caught.value.state == ""
    assert "run this again" in caught.value.hint
    with pytest.raises(server_errors.NotReachable) as missing:
        tenant.differences()
    (fault,) = missing.value.faults()
    assert fault.cause == "Connection refused."
    own.start()
    assert tenant.differences() == ()
    tenant.take_away()


def test_a_session_that_an_administrator_ended_is_a_lost_connection(superuser):
    def end(connection):
        run(superuser, f"SELECT pg_terminate_backend({connection.info.backend_pid})")

    with pytest.raises(server_errors.StatementError, match="the connection was lost"):
        use(superuser, end, lambda connection: connection.execute("SELECT 1"))


def test_a_statement_has_its_time(superuser):
    with pytest.raises(server_errors.StatementError, match="did not end in time"):
        use(superuser, lambda connection: connection.execute("SELECT pg_sleep(30)"), timeout=0.1)


def test_a_wrong_password_is_a_refusal_that_shows_no_password(superuser):
    wrong = postgresql_server.Server(superuser.host, superuser.port, "postgres", secrets.Secret("wrong-0815"))
    with pytest.raises(server_errors.LoginRefused, match="password authentication failed") as caught:
        use(wrong)
    assert caught.value.exit_code == errors.ExitCode.REFUSED
    assert "wrong-0815" not in f"{caught.value}{wrong!r}{caught.value.__cause__!r}"


def test_a_database_that_is_not_there_is_named(superuser):
    elsewhere = postgresql_server.Server(
        superuser.host, superuser.port, "postgres", superuser.password, database="nowhere"
    )
    with pytest.raises(server_errors.StatementError, match='database "nowhere" does not exist') as caught:
        use(elsewhere)
    assert caught.value.state == server_errors.NO_DATABASE


def test_without_tls_nobody_is_asked_where_tls_is_wanted(superuser):
    strict = postgresql_server.Server(
        superuser.host, superuser.port, "postgres", superuser.password, sslmode="verify-full"
    )
    with pytest.raises(server_errors.NotReachable) as caught:
        use(strict)
    assert re.search("SSL|certificate", str(caught.value))


def test_a_server_that_asks_for_no_password_is_not_trusted(own, guest):
    """It would let every tenant be every other."""
    rules = own.directory / "data" / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text("host all all 127.0.0.1/32 trust\n")
    try:
        own.stop()
        own.start_blindly()
        for ask in (
            lambda: catalog.describe(own.server, guest.name, guest.password),
            lambda: postgresql_server.revision(guest.server),
        ):
            with pytest.raises(server_errors.LoginRefused, match="authentication method requirement"):
                ask()
        with psycopg.connect(host="127.0.0.1", port=own.server.port, user=guest.name, dbname=guest.name):
            pass
    finally:
        rules.write_text(before)
        own.stop()
        own.start()


def test_an_old_server_is_refused(monkeypatch, superuser):
    monkeypatch.setattr(postgresql_server, "OLDEST", 99)
    with pytest.raises(server_errors.NotReachable) as caught:
        use(superuser)
    (fault,) = caught.value.faults()
    assert fault.cause.endswith("and 99 is the oldest that keeps tenants apart.")


def test_what_listens_there_and_is_no_postgresql(monkeypatch):
    monkeypatch.setattr(postgresql_server, "CONNECT_TIMEOUT", 2)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            with contextlib.suppress(OSError):
                while True:
                    accepted, _ = listener.accept()
                    with accepted, contextlib.suppress(OSError):
                        accepted.recv(8)
                        accepted.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        nobody = postgresql_server.Server("127.0.0.1", listener.getsockname()[1], "u", secrets.Secret("p"))
        try:
            with pytest.raises(server_errors.NotReachable):
                use(nobody)
        finally:
            # Wakes the thread, which would otherwise fail the next test when this socket is closed.
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_what_listens_there_and_says_nothing_is_not_waited_for_long(monkeypatch):
    monkeypatch.setattr(postgresql_server, "CONNECT_TIMEOUT", 2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        silent = postgresql_server.Server("127.0.0.1", listener.getsockname()[1], "u", secrets.Secret("p"))
        with pytest.raises(server_errors.NotReachable) as caught:
            use(silent)
    assert "timeout" in str(caught.value)
