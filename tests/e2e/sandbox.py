"""A sandbox of the tests' own: a clone of this checkout with state of its own, and `inv` run in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_platform import secrets
from airflow_platform.config import paths, places
from airflow_platform.supervisor.spec import Status
from airflow_platform.tools import airflow, supervisor

UP_TIMEOUT = 600
"""Seconds for a tenant-up on a cold cache and a busy machine."""


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

    def steps(self) -> dict[str, str]:
        """Every step with its status: `finance/components` and, of the environment, `dag-repository`."""
        found = {step["name"]: step["status"] for step in self.report["steps"]}
        for tenant in self.report["tenants"]:
            found |= {f"{tenant['name']}/{step['name']}": step["status"] for step in tenant["steps"]}
        return found


class Sandbox:
    """A clone, its environment files, and its state."""

    name = "sandbox"

    def __init__(self, directory: Path) -> None:
        self.checkout = directory / "checkout"
        self.state = directory / "state"
        _git(directory, "clone", "--quiet", "--local", str(paths.CHECKOUT), str(self.checkout))
        self.place = places.EnvironmentPlace(self.state / self.name)

    @property
    def spec(self) -> Path:
        """The environment's file."""
        return self.checkout / "environments" / f"{self.name}.toml"

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

    def up(self, *words: str) -> Ran:
        """`tenant-up --json`, which must succeed."""
        ran = self.inv("tenant-up", f"--env={self.name}", "--json", *words)
        assert ran.code == 0, ran.stderr
        return ran

    def down(self, *words: str) -> Ran:
        """`tenant-down --json`, which must succeed."""
        ran = self.inv("tenant-down", f"--env={self.name}", "--json", *words)
        assert ran.code == 0, ran.stderr
        return ran

    def serve(self, source: Path) -> None:
        """Commit one more DAG file; the next `up` serves it."""
        shutil.copy(source, self.checkout / "dags")
        _git(self.checkout, "add", "dags")
        _git(self.checkout, "commit", "--quiet", "--message", f"Add {source.name}")

    def commit(self) -> str:
        """The commit that should be served."""
        return _git(self.checkout, "rev-parse", "HEAD").strip()

    def status(self, tenant: str) -> Status:
        """What the tenant's supervisor says."""
        found = supervisor.status(self.place.tenant(tenant).run)
        assert found is not None
        return found

    def pids(self, tenant: str) -> dict[str, int]:
        """The process id of each component."""
        return {each.name: each.pid for each in self.status(tenant).components}

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

    def client(self, tenant: str, *, password_of: str | None = None) -> airflow.Airflow:
        """A client of the tenant's api-server, with its own password or another tenant's."""
        password = secrets.Secret(self.key(password_of or tenant, "admin_password"))
        return airflow.Airflow(self.url(tenant), "admin", password)


def _git(directory: Path, *words: str) -> str:
    who = ["-c", "user.name=test", "-c", "user.email=test@example.invalid"]
    return subprocess.run(
        ["git", *who, *words], cwd=directory, check=True, capture_output=True, text=True, timeout=120
    ).stdout
