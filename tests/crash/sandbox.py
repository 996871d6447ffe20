"""One test's own world: checkout, state, cache and ports; the real command line works in it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_platform.config import state_files
from airflow_platform.runtimes.process.supervisor import linux
from airflow_platform.tools import interpreters, users

HERE = Path(__file__).parent

AIRFLOW, FAKESNOW = "apache-airflow==3.3.2\n", "fakesnow==0.12.1\n"
"""What is asked for and locked; nothing of it is installed."""
ENVIRONMENT = "crash"
PORTS = 16
"""Ports of one sandbox: more than its tenants need, so that a taken one does not stop a test."""

TENANT = """
[[tenants]]
name = "{name}"
snowflake = {{ database = "{upper}", warehouse = "WH", role = "{upper}" }}
variables = {{ colour = "{colour}" }}
secret_variables = {{ shared_secret = {{ env = "CRASH_VARIABLE" }} }}
pools = [{{ name = "snowflake", slots = {slots}, description = "limit" }}]
[[tenants.connections]]
id = "orders_api"
type = "http"
host = "orders.invalid"
password = {{ env = "CRASH_API_PASSWORD" }}
"""


Kill = Mapping[str, str | float | None] | None
"""Where SIGKILL hits the command line: a step, tenant and phase, or seconds from its start; None: nowhere."""


@dataclass(frozen=True)
class Ended:
    """How a command line ended: its exit code, minus the signal's number when a signal ended it."""

    code: int
    stdout: str
    stderr: str
    pid: int = 0

    @property
    def report(self) -> Any:
        """The document that `--json` printed."""
        return json.loads(self.stdout)

    def steps(self) -> dict[str, str]:
        """Outcome by `step` or `tenant/step`."""
        shared = {each["name"]: each["status"] for each in self.report["steps"]}
        for tenant in self.report["tenants"]:
            shared |= {f"{tenant['name']}/{each['name']}": each["status"] for each in tenant["steps"]}
        return shared

    def __str__(self) -> str:
        return f"code {self.code}\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"


class Server:
    """Forks of a process that has the toolkit's libraries imported: a command line without the waiting."""

    def __init__(self) -> None:
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(_import_path())}
        self._process = subprocess.Popen(
            [sys.executable, HERE / "driver.py", "serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )
        self._lock = threading.Lock()

    def run(self, request: Mapping[str, Any]) -> tuple[int, int]:
        """Process id and exit code of one request."""
        assert self._process.stdin
        assert self._process.stdout
        with self._lock:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            pid = int(self._process.stdout.readline())
            status = int(self._process.stdout.readline())
        return pid, os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        """End it."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


class Sandbox:
    """A state directory, a cache, an environment file, and the command line that works on them."""

    def __init__(self, home: Path, workshop: Path, first_port: int, server: Server) -> None:
        self.home = home
        self.workshop = workshop
        self.checkout = home / "checkout"
        self.first_port = first_port
        self._server = server
        self._runs = 0
        self._started: list[Started] = []
        self.secrets = {
            "CRASH_API_PASSWORD": f"canary-{secrets.token_hex(8)}",
            "CRASH_VARIABLE": f"canary-{secrets.token_hex(8)}",
        }
        self.variables = {
            **self.secrets,
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(home),
            "NO_COLOR": "1",
            "COLUMNS": "200",
            "TMPDIR": str(home / "tmp"),
            "AIRFLOW_PLATFORM_STATE": str(home / "state"),
            "AIRFLOW_PLATFORM_CACHE": str(home / "cache"),
            "AIRFLOW_PLATFORM_ENVIRONMENTS": str(home / "environments"),
            "PYTHONPATH": os.pathsep.join(_import_path()),
        }
        for name in ("tmp", "environments", "outputs", "controls"):
            (home / name).mkdir()
            (home / name).chmod(0o755)
        shutil.copytree(workshop / "checkout", self.checkout)
        self.declare("alpha")

    @property
    def place(self) -> state_files.EnvironmentFiles:
        """Where the toolkit keeps this environment."""
        return state_files.EnvironmentFiles(self.home / "state" / ENVIRONMENT)

    def tenant(self, name: str = "alpha") -> state_files.TenantFiles:
        """Where a tenant's files are."""
        return self.place.tenant(name)

    def declare(self, *tenants: str, colour: str = "blue", slots: int = 4, start_timeout: int = 60) -> None:
        """Write the environment's file."""
        ports = f"{{ first = {self.first_port}, last = {self.first_port + PORTS - 1} }}"
        text = f'runtime = "process"\nprocess = {{ ports = {ports}, start_timeout = {start_timeout} }}\n'
        text += "[dags]\nrefresh_interval = 1\n"
        for name in tenants:
            text += TENANT.format(name=name, upper=name.upper().replace("-", "_"), colour=colour, slots=slots)
        (self.home / "environments" / f"{ENVIRONMENT}.toml").write_text(text)

    def inv(self, *argv: str, kill: Kill = None, largest_file: int | None = None) -> Ended:
        """Run a command line to its end, in a fork."""
        self._runs += 1
        request = {**self._request(argv), "kill": kill, "largest_file": largest_file}
        pid, code = self._server.run(request)
        stdout, stderr = (Path(request[name]).read_text() for name in ("stdout", "stderr"))
        return Ended(code, stdout, stderr, pid)

    def up(self, *argv: str, **more: Any) -> Ended:
        """`tenant-up` with a report."""
        return self.inv("tenant-up", f"--env={ENVIRONMENT}", "--json", *argv, **more)

    def down(self, *argv: str, **more: Any) -> Ended:
        """`tenant-down` with a report."""
        return self.inv("tenant-down", f"--env={ENVIRONMENT}", "--json", *argv, **more)

    def status(self) -> Ended:
        """`tenant-status` with a report."""
        return self.inv("tenant-status", f"--env={ENVIRONMENT}", "--json")

    def start(
        self, *argv: str, clock: tuple[float, str] | None = None, grace: float | None = None
    ) -> Started:
        """Start `tenant-up` in a process of its own, with everything that it imports."""
        request = self._request(["tenant-up", f"--env={ENVIRONMENT}", "--json", *argv])
        del request["environment"]  # It holds secrets, and arguments can be read by everybody.
        words = [
            sys.executable,
            str(HERE / "driver.py"),
            "run",
            json.dumps({**request, "clock": clock, "grace": grace}),
        ]
        process = subprocess.Popen(
            words,
            env=self.variables,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._started.append(Started(process))
        return self._started[-1]

    def commit(self, name: str, content: str) -> str:
        """Commit a file of the checkout; the commit's id."""
        path = self.checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        git(self.checkout, "add", name)
        git(self.checkout, "commit", "--quiet", "-m", f"Change {name}")
        return git(self.checkout, "rev-parse", "HEAD").strip()

    def control(self, name: str, value: float | None) -> None:
        """Say how slow the stand-ins are, in seconds: see `standin/airflow.py`; None as usual."""
        path = self.home / "controls" / name
        path.unlink(missing_ok=True) if value is None else path.write_text(str(value))

    def hold_dags(self) -> None:
        """Have no commit be served before the step `dags` begins, which else finds nothing to do."""
        (self.home / "controls/hold_dags").touch()

    @contextlib.contextmanager
    def migration_held(self) -> Iterator[None]:
        """Have no migration come to its end before the block does."""
        hold = self.home / "controls/hold_migration"
        hold.touch()
        try:
            yield
        finally:
            hold.unlink()

    def lock(self, image: str, requirement: str) -> None:
        """Lock another version of Airflow or fakesnow."""
        for name in ("requirements.in", "requirements.lock"):
            (self.checkout / "images" / image / name).write_text(f"{requirement}\n")

    def lose_journal(self) -> None:
        """Delete the journal, as somebody who cleans up would."""
        for path in self.place.directory.glob("journal.sqlite*"):
            path.unlink()

    def of_runs(self) -> list[linux.Process]:
        """Command lines and the programs that they started: none outlives a run."""
        return [one for one in self.processes() if b"AIRFLOW_PLATFORM_RUN=" in _environ(one.pid)]

    def locks(self) -> list[str]:
        """The lock files of the environment: a run that ended leaves none."""
        return sorted(path.name for path in (self.place.directory / "locks").glob("*.lock"))

    def processes(self) -> list[linux.Process]:
        """Everything that was started in this sandbox and still runs, command lines apart."""
        needle = str(self.home).encode()
        return [one for one in linux.processes() if not one.zombie and needle in _environ(one.pid)]

    def close(self) -> None:
        """End what runs, by its ids, and remove the files."""
        for run in self._started:
            run.forget()
        deadline = time.monotonic() + 10
        while (left := self.processes()) and time.monotonic() < deadline:
            for one in left:
                linux.send(one, signal.SIGKILL)
            time.sleep(0.01)
        assert not left, f"cannot be ended: {left}"
        shutil.rmtree(self.home)

    def _request(self, argv: Sequence[str]) -> dict[str, Any]:
        return {
            "argv": list(argv),
            "environment": self.variables,
            "checkout": str(self.checkout),
            "uv": str(self.workshop / "bin/uv"),
            "stdout": str(self.home / "outputs" / f"{self._runs}.out"),
            "stderr": str(self.home / "outputs" / f"{self._runs}.err"),
            "kill": None,
            "largest_file": None,
            "clock": None,
            "grace": None,
            "release": {"step": "dags", "path": str(self.home / "controls/hold_dags")},
        }


@dataclass(frozen=True)
class Started:
    """A command line that runs."""

    process: subprocess.Popen[str]

    def forget(self) -> None:
        """End it if it still runs, and close what it had."""
        if self.process.returncode is None:
            self.process.kill()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()
        self.process.wait()

    def end(self, timeout: float = 30.0) -> Ended:
        """Wait for its end."""
        try:
            stdout, stderr = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.forget()
            raise
        return Ended(self.process.returncode, stdout, stderr, self.process.pid)


def wait_until(condition: Callable[[], Any], what: str, timeout: float = 20.0) -> Any:
    """The condition's first true value."""
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {timeout:g} s until {what}"
        time.sleep(0.01)
    return found


class Factory:
    """Makes sandboxes, each with its own directory and ports, and takes them down."""

    def __init__(self, workshop: Path, server: Server, ports: Iterator[int]) -> None:
        self._workshop = workshop
        self._server = server
        self._ports = ports

    @contextlib.contextmanager
    def __call__(self, directory: Path | None = None) -> Iterator[Sandbox]:
        """A new sandbox, until the end of the block."""
        home = Path(tempfile.mkdtemp(prefix="crash-", dir=directory))
        home.chmod(0o755)
        made = Sandbox(home, self._workshop, self._free_ports(), self._server)
        try:
            yield made
        finally:
            made.close()

    def _free_ports(self) -> int:
        for first in self._ports:
            with contextlib.suppress(OSError):
                for port in range(first, first + PORTS):
                    with socket.socket() as probe:
                        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                        probe.bind(("127.0.0.1", port))
                return first
        raise AssertionError("no ports are left")


def make_workshop(directory: Path) -> None:
    """The stand-ins with their programs, and a checkout with two DAGs: copied by every sandbox."""
    shutil.copytree(HERE / "standin", directory / "standin", ignore=shutil.ignore_patterns("__pycache__"))
    (directory / "bin").mkdir()
    for name in ("airflow", "python", "uv"):
        program = directory / "bin" / name
        program.write_text(
            f"#!{_interpreter()} -IS\nimport pathlib, sys\n"
            "sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'standin'))\n"
            f"import {name}\n{name}.main(sys.argv[1:])\n"
        )
        program.chmod(0o755)
    subprocess.run(
        [
            _interpreter(),
            "-m",
            "compileall",
            "-q",
            "--invalidation-mode=unchecked-hash",
            directory / "standin",
        ],
        check=True,
    )
    checkout = directory / "checkout"
    shutil.copytree(HERE.parents[1] / "images", checkout / "images")
    shutil.copy(HERE.parents[1] / "versions.toml", checkout)
    for name, text in {
        "dags/platform_smoke.py": "# the smoke DAG\n",
        "dags/orders_daily.py": "# another\n",
        **dict.fromkeys(("images/airflow/requirements.in", "images/airflow/requirements.lock"), AIRFLOW),
        **dict.fromkeys(("images/fakesnow/requirements.in", "images/fakesnow/requirements.lock"), FAKESNOW),
    }.items():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text(text)
    git(checkout, "init", "--quiet", "--initial-branch=main")
    git(checkout, "config", "user.name", "Test")
    git(checkout, "config", "user.email", "test@example.invalid")
    git(checkout, "add", ".")
    git(checkout, "commit", "--quiet", "-m", "Serve two DAGs")


def git(directory: Path, *arguments: str) -> str:
    """What git prints; the same commits everywhere."""
    date = "2026-01-01T00:00:00Z"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nowhere",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_DATE": date,
        "GIT_COMMITTER_DATE": date,
    }
    words = ["git", "-C", str(directory), *arguments]
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout


def _interpreter() -> str:
    """A Python that every user can run."""
    from airflow_platform.programs import programs

    found = interpreters.find(programs.Programs(), lowest=(3, 11), below=(3, 15), for_all_users=True)
    return str(found.path)


def _import_path() -> list[str]:
    return [str(HERE.parents[1])]


def _environ(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def user_of(sandbox: Sandbox, name: str) -> int | None:
    """The user id of a tenant."""
    return users.of_tenant(sandbox.tenant(name).directory)
