"""The server with the real fakesnow and Snowflake's own connector, over TLS, in a process of its own."""

import datetime
import os
import signal
import socket
import ssl
import subprocess
import textwrap
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_platform.tools import certificates

VARIABLE = "AIRFLOW_PLATFORM_TEST_FAKESNOW"
PACKAGES = os.environ.get(VARIABLE, "")
SERVER = Path(__file__).parents[2] / "images" / "fakesnow" / "server.py"
PASSWORD = "correct-horse"

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.timeout(120),
    pytest.mark.skipif(
        not PACKAGES,
        reason=f"{VARIABLE} names no virtual environment made from images/fakesnow/requirements.lock",
    ),
]

CLIENT = """
import sys
import snowflake.connector

connection = snowflake.connector.connect(
    user="AIRFLOW", password=sys.argv[2], account="fakesnow", host="localhost", port=int(sys.argv[1]),
    database="ANALYTICS_SANDBOX", schema="PUBLIC", login_timeout=20,
    session_parameters={"CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED": False},
)
cursor = connection.cursor()
for statement in sys.stdin.read().split(";"):
    if statement.strip():
        print(cursor.execute(statement.strip()).fetchall())
"""


class Tenant:
    """One tenant's server and a client of it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.python = Path(PACKAGES, "bin", "python")
        (directory / "password").write_text(PASSWORD + "\n")
        certificates.create(directory, tenant="analytics", now=datetime.datetime.now(datetime.UTC))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        arguments = {
            "port": self.port,
            "database-directory": self.directory / "databases",
            "certificate": self.directory / "server.pem",
            "key": self.directory / "server.key",
            "password-file": self.directory / "password",
            "database": "ANALYTICS_SANDBOX",
            "schema": "PUBLIC",
        }
        argv = [str(self.python), str(SERVER), *(f"--{name}={value}" for name, value in arguments.items())]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while not self.is_ready():
            assert self.process.poll() is None, (self.directory / "log").read_text()
            assert time.monotonic() < deadline, (self.directory / "log").read_text()
            time.sleep(0.1)

    def is_ready(self) -> bool:
        context = ssl.create_default_context(cafile=str(self.directory / "ca.pem"))
        try:
            url = f"https://localhost:{self.port}/health"
            with urllib.request.urlopen(url, timeout=2, context=context) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self, number: int = signal.SIGTERM) -> float:
        """Send a signal; the seconds until the server was gone."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(timeout=20)
        return time.monotonic() - began

    def run(self, statements: str, password: str = PASSWORD) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.directory)}
        environment["REQUESTS_CA_BUNDLE"] = str(self.directory / "bundle.pem")
        return subprocess.run(
            [self.python, "-c", CLIENT, str(self.port), password],
            input=textwrap.dedent(statements),
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def rows(self, statements: str) -> list[str]:
        done = self.run(statements)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()


@pytest.fixture
def tenant(tmp_path: Path) -> Iterator[Tenant]:
    one = Tenant(tmp_path)
    one.start()
    yield one
    if one.process is not None and one.process.poll() is None:
        one.stop(signal.SIGKILL)


def test_rows_survive_a_sigkill(tenant: Tenant) -> None:
    tenant.rows("CREATE TABLE T (A INT); INSERT INTO T VALUES (1), (2)")
    tenant.stop(signal.SIGKILL)
    tenant.start()
    assert tenant.rows("SELECT COUNT(*) FROM T") == ["[(2,)]"]


def test_a_database_that_a_session_made_is_there_after_a_restart(tenant: Tenant) -> None:
    tenant.rows("CREATE DATABASE OTHER; CREATE SCHEMA OTHER.S; CREATE TABLE OTHER.S.T (A INT)")
    tenant.stop()
    tenant.start()
    assert tenant.rows("SELECT COUNT(*) FROM OTHER.S.T") == ["[(0,)]"]


def test_another_password_is_refused(tenant: Tenant) -> None:
    done = tenant.run("SELECT 1", password="of-another-tenant")
    assert done.returncode != 0
    assert "390100" in done.stderr
    assert "Incorrect username or password was specified" in done.stderr


@pytest.mark.parametrize(
    "statement", ["UNDROP TABLE T", "CREATE WAREHOUSE W", "COPY INTO @S/out/ FROM T", "EXPLAIN SELECT 1"]
)
def test_what_fakesnow_cannot_do_fails_at_once(tenant: Tenant, statement: str) -> None:
    began = time.monotonic()
    done = tenant.run(statement)
    assert "ProgrammingError" in done.stderr
    assert time.monotonic() - began < 10, "the connector did not repeat the statement"


def test_a_file_goes_through_a_stage_into_a_table(tenant: Tenant) -> None:
    file = tenant.directory / "orders.csv"
    file.write_text("id,amount\n1,10.50\n2,20.00\n")
    rows = tenant.rows(
        f"""
        CREATE STAGE S;
        CREATE TABLE T (ID INT, AMOUNT NUMBER(12, 2));
        PUT file://{file} @S/day/ OVERWRITE = TRUE;
        COPY INTO T FROM @S/day/ FILE_FORMAT = (TYPE = CSV SKIP_HEADER = 1) FORCE = TRUE;
        SELECT COUNT(*) FROM T WHERE AMOUNT IN (10.50, 20.00)
        """
    )
    assert rows[-1] == "[(2,)]"
    stored = list((tenant.directory / "databases" / "stages").rglob("orders.csv.gz"))
    assert len(stored) == 1
    assert stored[0].stat().st_mode & 0o077 == 0


def test_it_listens_only_on_loopback(tenant: Tenant) -> None:
    listening = Path("/proc/net/tcp").read_text().splitlines()
    port = f":{tenant.port:04X}"
    addresses = [line.split()[1] for line in listening if line.split()[1].endswith(port)]
    assert {address.split(":")[0] for address in addresses} == {"0100007F"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_promptly(tenant: Tenant, number: int) -> None:
    tenant.rows("SELECT 1")
    assert tenant.stop(number) < 5


def test_an_empty_password_is_refused(tmp_path: Path) -> None:
    tenant = Tenant(tmp_path)
    (tmp_path / "password").write_text("\n")
    with pytest.raises(AssertionError, match="anyone could log in"):
        tenant.start()
