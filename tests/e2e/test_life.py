"""What the supervisor of a tenant does beyond the contract of all runtimes, on real Airflow."""

from __future__ import annotations

import os
import signal

import pytest
from installations import wait_until
from on_processes import Processes

from airflow_platform.tools import processes

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(900)]


def test_the_idle_workers_of_a_killed_scheduler_are_ended(sandbox):
    before = sandbox.pids("analytics")
    os.kill(before["scheduler"], signal.SIGKILL)
    wait_until(
        lambda: sandbox.pids("analytics")["scheduler"] not in (0, before["scheduler"]),
        "the supervisor restarted it",
    )
    sandbox.up("--tenant=analytics")
    wait_until(lambda: len(_workers(sandbox, "analytics")) == 2, "two workers, all of the new scheduler")


def test_down_leaves_no_process_port_socket_or_lock(sandbox):
    ran = sandbox.down("--tenant=finance")
    (tenant,) = ran.report["tenants"]
    assert "no process, port, socket or lock" in tenant["outputs"]["left"]
    assert not list(sandbox.place.tenant("finance").run.glob("*.sock"))
    assert sandbox.status("analytics").state == "running"
    sandbox.up()


def _workers(sandbox: Processes, tenant: str) -> list[str]:
    titles = [processes.command_of(each) for each in sandbox.owned(tenant)]
    return [title for title in titles if "LocalExecutor" in title]
