"""The `process` runtime, seen from outside: /proc, sockets, files."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import ssl
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from installations import Installation, wait_until

from airflow_platform.runtimes.process import supervisor_client
from airflow_platform.runtimes.process.supervisor.spec import Status
from airflow_platform.tools import processes


class Processes(Installation):
    """Tenants as plain processes."""

    runtime = "process"
    shipped = "sandbox"
    components = frozenset({"api-server", "scheduler", "dag-processor", "triggerer", "fakesnow"})
    parallelism = frozenset({"scheduler"})
    keys = ("fernet_key", "api_secret_key", "jwt_secret", "admin_password", "snowflake_password")
    lost = components
    longest: ClassVar[Mapping[str, float]] = {"tenant-up": 16.0, "tenant-down": 5.0}

    def own_settings(self, shipped: str) -> str:
        return shipped

    def status(self, tenant: str) -> Status:
        """What the tenant's supervisor says."""
        found = supervisor_client.status(self.place.tenant(tenant).run)
        assert found is not None
        return found

    def pids(self, tenant: str) -> dict[str, int]:
        """The process id of each component; 0 for one that waits to be started again."""
        return {each.name: each.pid for each in self.status(tenant).components}

    def identities(self, tenant: str) -> dict[str, str]:
        if supervisor_client.status(self.place.tenant(tenant).run) is None:
            return {}
        return {name: str(pid) for name, pid in self.pids(tenant).items() if pid}

    def crash(self, tenant: str, component: str) -> None:
        os.kill(self.pids(tenant)[component], signal.SIGKILL)

    def lose(self, tenant: str) -> str:
        lost = self.status(tenant).pid
        os.kill(lost, signal.SIGKILL)
        wait_until(
            lambda: supervisor_client.status(self.place.tenant(tenant).run) is None, "the supervisor's end"
        )
        return "the supervisor was killed"

    def owned(self, tenant: str) -> tuple[processes.Process, ...]:
        """All processes of a tenant, and, where it has a user of its own, all of that user."""
        directory = self.place.tenant(tenant).directory
        return supervisor_client.processes_of(directory)

    def running(self, tenant: str) -> set[str]:
        place = self.place.tenant(tenant)
        found = {f"process {each.pid} ({processes.command_of(each)})" for each in self.owned(tenant)}
        if supervisor_client.is_held(place.run):
            found.add("the supervisor's lock")
        if place.ports.exists():
            ports = self.ports(tenant).values()
            found |= {f"port {port}: {each}" for port in ports for each in processes.listeners(port)}
        return found

    def left(self, tenant: str) -> set[str]:
        directory = self.place.tenant(tenant).directory
        return self.running(tenant) | ({str(directory)} if directory.exists() else set())

    def left_at_all(self) -> set[str]:
        found = {str(self.place.tenant(tenant).directory) for tenant in self.place.found()}
        return found | {str(each) for each in processes.running_from(self.state)}

    def listeners(self, tenant: str) -> set[tuple[str, int]]:
        mine = {each.pid for each in self.owned(tenant)}
        return {(each.address, each.port) for each in processes.listeners() if each.pid in mine}

    def connection_password(self, tenant: str) -> str:
        database = self.place.tenant(tenant).database
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            (encrypted,) = connection.execute(
                "SELECT password FROM connection WHERE conn_id = 'snowflake_default' AND is_encrypted"
            ).fetchone()
        return str(encrypted)

    def snowflake_login(self, tenant: str, password: str) -> dict[str, Any]:
        certificates = self.place.tenant(tenant).certificates
        trust = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
        data = {"LOGIN_NAME": "AIRFLOW", "PASSWORD": password, "SESSION_PARAMETERS": {}}
        request = urllib.request.Request(
            f"https://localhost:{self.ports(tenant)['snowflake']}/session/v1/login-request",
            data=json.dumps({"data": data}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30, context=trust) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def shown(self, tenant: str) -> Iterator[bytes]:
        for path in self.place.tenant(tenant).run.iterdir():
            if path.is_file():
                yield path.read_bytes()
        yield from command_lines()


def command_lines() -> Iterator[bytes]:
    """The arguments of every process of this machine."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes()
        except OSError:  # It has gone.
            continue
