"""An installation of the tests' own: a clone of this checkout with state of its own, and `inv` run in it.

What is the same in every runtime is here; a subclass a runtime says what can be seen of its tenants from
outside of the toolkit, and does to them what an accident or a stranger would.
"""

from __future__ import annotations

import abc
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self, TextIO

from airflow_platform import secrets
from airflow_platform.config import load, paths, specs, state_files
from airflow_platform.tools.airflow import airflow_client

UP_TIMEOUT = 600
"""Seconds for a tenant-up on a cold cache and a busy machine."""

KILLED = -signal.SIGKILL
"""What `run_until` returns of a command that was killed."""

MOST = 100
"""Runs of one command that is killed each time; none has as many steps."""

PREFIX = "airflow-platform-contracts-"
"""Of the directories of all installations, by which those of killed sessions are found."""

TENANTS = ("analytics", "finance")


DAG = """
import datetime
import os
from airflow.sdk import dag, task
{extra}

@dag(
    schedule=None,
    start_date=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    default_args={{"owner": "tests", "retries": 1}},
    tags=["tenant:all"],
)
def {name}():
    @task
    def version() -> str:
        return "{version}"

    version()


{name}()
"""
"""A DAG file that keeps all rules, with a version of its own."""


@dataclass(frozen=True)
class Ran:
    """How a command line ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def report(self) -> dict[str, Any]:
        """The document that `--json` printed."""
        document: dict[str, Any] = json.loads(self.stdout)
        return document

    @property
    def text(self) -> str:
        """What people were told, without the breaks of its lines."""
        return " ".join(f"{self.stdout} {self.stderr}".split())

    def steps(self) -> dict[str, str]:
        """Every step with its status: `finance/components` and, of the environment, `dag-repository`."""
        found = {step["name"]: step["status"] for step in self.report["steps"]}
        for tenant in self.report["tenants"]:
            found |= {f"{tenant['name']}/{step['name']}": step["status"] for step in tenant["steps"]}
        return found

    def changed(self) -> set[str]:
        """The steps that changed something."""
        return {step for step, status in self.steps().items() if status == "changed"}


class Installation(abc.ABC):
    """A clone, its environment files, and its state."""

    runtime: ClassVar[str]
    shipped: ClassVar[str]
    """The environment of the repository whose file the tests' own is made from."""
    components: ClassVar[frozenset[str]]
    """Of each tenant."""
    parallelism: ClassVar[frozenset[str]]
    """The components that read a tenant's `parallelism`."""
    lost: ClassVar[frozenset[str]]
    """The components that are gone after `lose`."""
    keys: ClassVar[tuple[str, ...]]
    """The files with a tenant's keys and passwords."""
    longest: ClassVar[Mapping[str, float]]
    """Seconds within which a kill falls, by task: about as long as it works on one tenant."""

    def __init__(self, directory: Path, *, name: str = "") -> None:
        """Take a directory as it is; `make` fills one.

        Args:
            directory: Where everything is.
            name: The environment's; by default one of the directory's own.
        """
        self.directory = directory
        self.name = name or f"contract-{directory.name.rpartition('-')[2]}"
        self.checkout = directory / "checkout"
        self.state = directory / "state"
        self.place = state_files.EnvironmentFiles(self.state / self.name)
        self._alive: TextIO | None = None

    @classmethod
    def make(cls, *, name: str = "") -> Self:
        """Clone this checkout into a directory of its own, with the environment's file; nothing runs yet."""
        # Not below pytest's own directory: tenants run as users of their own and must get here.
        where = Path(tempfile.gettempdir(), f"{PREFIX}{cls.runtime}-{os.urandom(3).hex()}")
        where.mkdir(mode=0o755)
        made = cls(where, name=name)
        made._alive = _locked(where)
        git(where, "clone", "--quiet", "--local", str(paths.project().root), str(made.checkout))
        if not name:
            shipped = made.checkout / "environments" / f"{cls.shipped}.toml"
            made.spec.write_text(made.own_settings(shipped.read_text()))
        return made

    @classmethod
    def sweep(cls) -> None:
        """Take down what sessions that were killed have left; those that run are left alone."""
        for directory in Path(tempfile.gettempdir()).glob(f"{PREFIX}{cls.runtime}-*"):
            if lock := _locked(directory):
                with lock:
                    cls(directory).delete()

    def delete(self) -> None:
        """Take everything down and delete it, whatever it is like."""
        for path in self.state.glob("*"):
            if (self.checkout / "environments" / f"{path.name}.toml").exists():
                self.inv("tenant-down", f"--env={path.name}", "--delete-data")
        shutil.rmtree(self.directory, ignore_errors=True)
        self.close()

    def close(self) -> None:
        """Give back what a session holds open."""
        if self._alive:
            self._alive.close()

    @property
    def spec(self) -> Path:
        """The environment's file."""
        return self.checkout / "environments" / f"{self.name}.toml"

    def declared(self) -> specs.Environment:
        """What the environment's file says."""
        return load.environment(self.name, self.spec.parent)

    def command(self, *words: str) -> tuple[list[str], dict[str, str]]:
        """The argument list and environment of an `inv` command line."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.checkout),
            "AIRFLOW_PLATFORM_STATE": str(self.state),
            "NO_COLOR": "1",
        }
        return [sys.executable, "-m", "airflow_platform.tasks", *words], environment

    def inv(self, *words: str, timeout: float = UP_TIMEOUT) -> Ran:
        """Run `inv` with these words, from outside the checkout."""
        argv, environment = self.command(*words)
        done = subprocess.run(
            argv, env=environment, cwd="/", capture_output=True, text=True, timeout=timeout, check=False
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def run_until(
        self, argv: list[str], *, kill_after: float | None = None, timeout: float = UP_TIMEOUT
    ) -> tuple[int, str]:
        """Run a command line, and kill it when it has not ended after so many seconds; without them it must end.

        Returns:
            0, or `KILLED`; and what people were told.
        """
        _, environment = self.command()
        # No pipe: what a killed command has started may hold it for a while.
        with tempfile.TemporaryFile("w+") as output:
            child = subprocess.Popen(
                argv, env=environment, cwd="/", stdout=output, stderr=output, start_new_session=True
            )
            deadline = time.monotonic() + (timeout if kill_after is None else kill_after)
            while child.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            late = child.poll() is None
            if late:
                os.kill(child.pid, signal.SIGKILL)
            code = child.wait(timeout=30)
            output.seek(0)
            said = output.read()
        assert not late or kill_after is not None, f"{argv} did not end:\n{said}"
        assert code in (0, KILLED), f"{argv} ended with {code}:\n{said}\n{self.printed()}"
        return code, " ".join(said.split())

    def kill_in_each_step(
        self, ended: Path, *words: str, most: int = MOST, timeout: float = UP_TIMEOUT
    ) -> set[str]:
        """Run `inv` with these words again and again, killed in the middle of another step each time, until it ends.

        Args:
            ended: Where the moments are kept; not there yet.
            words: What follows `inv`.
            most: Times that it is run.
            timeout: Seconds for each.

        Returns:
            The names of the steps in which it was killed, before their effect and after it.
        """
        ended.touch()
        argv = [sys.executable, str(Path(__file__).with_name("dying.py")), str(ended), *words]
        in_the_middle_of = ""
        for _ in range(most):
            code, said = self.run_until(argv, timeout=timeout)
            assert f"was ended in the middle of {in_the_middle_of} " in said or not in_the_middle_of
            if code == 0:
                return {line.partition(" ")[0].rpartition("/")[2] for line in ended.read_text().splitlines()}
            in_the_middle_of = ended.read_text().splitlines()[-1].partition(" ")[0]
        raise AssertionError("it never ends")

    def run(self, task: str, *words: str) -> Ran:
        """Run a task on this environment."""
        return self.inv(task, f"--env={self.name}", *words)

    def up(self, *words: str) -> Ran:
        """`tenant-up --json`, which must succeed."""
        ran = self.run("tenant-up", "--json", *words)
        assert ran.code == 0, f"{ran.stderr}\n{self.printed()}"
        return ran

    def down(self, *words: str) -> Ran:
        """`tenant-down --json`, which must succeed."""
        ran = self.run("tenant-down", "--json", *words)
        assert ran.code == 0, ran.stderr
        return ran

    def printed(self) -> str:
        """What the components printed last, for whoever looks into a failure."""
        logs = {tenant: self.run("tenant-logs", f"--tenant={tenant}", "--lines=15") for tenant in TENANTS}
        return "\n".join(f"{tenant}:\n{ran.stdout}{ran.stderr}" for tenant, ran in logs.items())

    def serve(self, source: Path) -> None:
        """Commit one more DAG file; the next `up` serves it."""
        shutil.copy(source, self.checkout / "dags")
        git(self.checkout, "add", "dags")
        git(self.checkout, "commit", "--quiet", "--message", f"Add {source.name}")

    def commit(self) -> str:
        """The commit that should be served."""
        return git(self.checkout, "rev-parse", "HEAD").strip()

    def ports(self, tenant: str) -> dict[str, int]:
        """The tenant's ports."""
        found: dict[str, int] = json.loads(self.place.tenant(tenant).ports.read_text())
        return found

    def url(self, tenant: str) -> str:
        """The tenant's address."""
        return f"http://127.0.0.1:{self.ports(tenant)['airflow']}"

    def key(self, tenant: str, name: str) -> str:
        """One of the tenant's keys or passwords."""
        return (self.place.tenant(tenant).keys / name).read_text()

    def client(self, tenant: str, *, password_of: str | None = None) -> airflow_client.Airflow:
        """A client of the tenant's api-server, with its own password or another tenant's."""
        password = secrets.Secret(self.key(password_of or tenant, "admin_password"))
        return airflow_client.Airflow(self.url(tenant), "admin", password)

    def started(self) -> dict[str, dict[str, str]]:
        """The identities of all tenants: equal before and after what restarts nothing."""
        return {tenant: self.identities(tenant) for tenant in TENANTS}

    def restarted(self, tenant: str, since: Mapping[str, str]) -> set[str]:
        """The components that were started since then."""
        return {name for name, one in self.identities(tenant).items() if one != since.get(name)}

    def change(self, before: str, after: str) -> None:
        """Put one text for another into the environment's file, for the rest of the session."""
        text = self.spec.read_text()
        assert text.count(before) == 1, f"{self.spec} says {before!r} {text.count(before)} times"
        self.spec.write_text(text.replace(before, after))

    @abc.abstractmethod
    def own_settings(self, shipped: str) -> str:
        """The file of the tests' own environment, made from the shipped one."""

    @abc.abstractmethod
    def identities(self, tenant: str) -> dict[str, str]:
        """Every component that runs, with what is another after each start."""

    @abc.abstractmethod
    def crash(self, tenant: str, component: str) -> None:
        """End a component with SIGKILL, as a lack of memory would."""

    @abc.abstractmethod
    def lose(self, tenant: str) -> str:
        """Do by hand what nothing on this machine mends by itself; returns what was done."""

    @abc.abstractmethod
    def running(self, tenant: str) -> set[str]:
        """Whatever of a tenant runs, is bound or is held."""

    @abc.abstractmethod
    def left(self, tenant: str) -> set[str]:
        """Whatever of a tenant there is, with its data."""

    @abc.abstractmethod
    def left_at_all(self) -> set[str]:
        """Whatever of the environment there is, apart from directories without a tenant."""

    @abc.abstractmethod
    def listeners(self, tenant: str) -> set[tuple[str, int]]:
        """Addresses and ports at which this machine lets somebody reach the tenant."""

    @abc.abstractmethod
    def connection_password(self, tenant: str) -> str:
        """The encrypted password of the connection `snowflake_default`, from the metadata database."""

    @abc.abstractmethod
    def snowflake_login(self, tenant: str, password: str) -> dict[str, Any]:
        """What a tenant's fakesnow answers to a login."""

    @abc.abstractmethod
    def shown(self, tenant: str) -> Iterator[bytes]:
        """What this machine shows of a tenant to others than its owner, or keeps beside its keys."""


def wait_until(look: Callable[[], bool], what: str, *, seconds: float = 60.0) -> None:
    """Look again and again.

    Raises:
        AssertionError: It did not come about in time.
    """
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.2)


def git(directory: Path, *words: str) -> str:
    """Run Git, as somebody without a configuration."""
    who = ["-c", "user.name=test", "-c", "user.email=test@example.invalid"]
    return subprocess.run(
        ["git", *who, *words], cwd=directory, check=True, capture_output=True, text=True, timeout=120
    ).stdout


def _locked(directory: Path) -> TextIO | None:
    """The lock of a session, held for as long as it lives; None when it lives."""
    held = (directory / "session.lock").open("w")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        held.close()
        return None
    return held
