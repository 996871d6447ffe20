"""A PostgreSQL server of the tests' own: Debian's programs as child processes, on a free port of 127.0.0.1."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from airflow_platform import errors, secrets
from airflow_platform.tools.postgresql import postgresql_server
from tests import makers

OLDEST = 15
PASSWORD = secrets.Secret("the-superuser's own pass%word")
READY_TIMEOUT = 60.0
PREFIX = "airflow-platform-postgresql-"
"""Of the directories of all servers; the name of the tests' process follows."""

PORTS = 5
"""Ports that are tried: one that was free may be taken before the server has it, which then ends."""


@dataclass
class Cluster:
    """A running server, and what it wrote into its log: every statement."""

    server: postgresql_server.Server
    directory: Path
    programs: Path
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()

    def stop(self) -> None:
        """At once, as when the machine loses power."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(20)

    def start(self) -> None:
        self.start_blindly()
        assert _is_ready(self), self.log

    def start_blindly(self) -> None:
        """Start, and wait until somebody listens: for a server that lets nobody of ours in."""
        self.process = _start(self.programs, self.directory, self.server.port)
        deadline = time.monotonic() + READY_TIMEOUT
        while "cannot be used" in _missing(self) and time.monotonic() < deadline:
            time.sleep(0.02)


def programs() -> Path:
    """Where `initdb` and `postgres` are.

    Raises:
        RuntimeError: There are none that are new enough; says what to install.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    on_path = [Path(path).parent for path in [shutil.which("initdb")] if path]
    for directory in (*reversed(found), *on_path):
        if all(os.access(directory / name, os.X_OK) for name in ("initdb", "postgres")):
            return directory
    raise RuntimeError(
        f"No PostgreSQL server is installed. On Debian: apt-get install postgresql-{OLDEST} "
        "(or brew install postgresql); its service need not run."
    )


def user() -> int | None:
    """Whose processes they are: PostgreSQL refuses to be root's. None for our own."""
    if os.geteuid() != 0:
        return None
    names = {each.pw_name: each.pw_uid for each in pwd.getpwall()}
    return names.get("postgres", names["nobody"])


@contextlib.contextmanager
def cluster(*settings: str) -> Iterator[Cluster]:
    """A new server; `settings` as `name=value`. Its data lies in memory where there is some."""
    found, owner = programs(), user()
    where = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(tempfile.gettempdir())
    sweep(where)
    directory = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{makers.this()}-", dir=where))
    try:
        if owner is not None:
            os.chown(directory, owner, -1)
        _initialise(found, directory, settings)
        made = _started(found, directory)
        try:
            yield made
        finally:
            if made.process.poll() is None:
                made.stop()
    finally:
        shutil.rmtree(directory)


def sweep(where: Path) -> None:
    """Delete what killed tests left; their servers ended with them."""
    for directory in where.glob(f"{PREFIX}*"):
        if not makers.lives(directory.name.removeprefix(PREFIX).rpartition("-")[0]):
            shutil.rmtree(directory, ignore_errors=True)


def _initialise(found: Path, directory: Path, settings: tuple[str, ...]) -> None:
    password = directory / "password"
    password.write_text(PASSWORD.reveal())
    password.chmod(0o644)
    result = subprocess.run(
        [
            found / "initdb", "--pgdata", directory / "data", "--username=postgres", "--auth=scram-sha-256",
            f"--pwfile={password}", "--encoding=UTF8", "--no-locale", "--no-sync", "--no-instructions",
        ],
        user=user(), cwd="/", capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    lines = [
        "listen_addresses = '127.0.0.1'",
        f"unix_socket_directories = '{directory}'",
        # These tests kill clients, not machines.
        "fsync = off",
        "full_page_writes = off",
        "shared_buffers = 16MB",
        "log_statement = all",
        *(line.replace("=", " = ", 1) for line in settings),
    ]
    with (directory / "data" / "postgresql.conf").open("a") as file:
        file.write("\n".join(["", *lines, ""]))


def _started(found: Path, directory: Path) -> Cluster:
    """A server on a port that nobody else has."""
    for _ in range(PORTS):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        made = Cluster(
            server=postgresql_server.Server("127.0.0.1", port, "postgres", PASSWORD),
            directory=directory,
            programs=found,
            process=_start(found, directory, port),
        )
        try:
            if _is_ready(made):
                return made
        except BaseException:
            made.stop()
            raise
    raise AssertionError(made.log)


def _start(found: Path, directory: Path, port: int) -> subprocess.Popen[bytes]:
    log = directory / "log"
    # The signal for an end at once, when these tests are killed.
    with_us = ["setpriv", "--pdeathsig", "QUIT"] if shutil.which("setpriv") else []
    with log.open("ab") as file:
        return subprocess.Popen(
            [*with_us, found / "postgres", "-D", directory / "data", "-p", str(port)],
            user=user(), cwd="/", stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
        )  # fmt: skip


def _is_ready(made: Cluster) -> bool:
    """Wait until it answers; False when it has ended instead."""
    deadline = time.monotonic() + READY_TIMEOUT
    while missing := _missing(made):
        if made.process.poll() is not None:
            return False
        assert time.monotonic() < deadline, f"{missing}\n{made.log}"
        time.sleep(0.02)
    return True


def _missing(made: Cluster) -> str:
    try:
        with postgresql_server.connected(made.server) as connection:
            data = connection.execute("SHOW data_directory").fetchall()[0]["data_directory"]
    except errors.PlatformError as error:
        return str(error)
    # Tests that run at the same time have servers with the same password.
    return "" if Path(data) == made.directory / "data" else f"the server of {data} answers"
