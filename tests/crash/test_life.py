"""Processes that die under a tenant's feet: restarted, told, and brought back."""

from __future__ import annotations

import os
import signal

import pytest

from airflow_platform.runtimes.process import supervisor_client
from airflow_platform.runtimes.process.supervisor import linux
from tests.crash import sandbox, snapshots


def component(box, name):
    status = supervisor_client.status(box.tenant().run)
    return next(each for each in status.components if each.name == name)


@pytest.mark.parametrize("name", ["scheduler", "api-server", "fakesnow"])
def test_a_killed_component_is_restarted_and_told(box, undisturbed, name):
    assert box.up().code == 0
    assert box.status().code == 0
    before = component(box, name)
    os.kill(before.pid, signal.SIGKILL)
    sandbox.wait_until(lambda: component(box, name).pid != before.pid, f"{name} is noticed to be gone")
    told = box.status()
    # Not healthy yet; or healthy again already, and the smoke DAG has not run since that start.
    assert told.code in (1, 3), told
    assert (told.code == 1) == (told.report["data"][0]["status"] != "healthy"), told
    again = box.up()
    assert again.code == 0, again
    after = component(box, name)
    assert after.restarts == 1
    assert after.last_exit == "signal 9"
    told = box.status()
    assert told.code == 0, told
    assert "1 restart" in told.stdout
    assert set(box.up().steps().values()) == {"unchanged"}
    assert processes_of(box) == undisturbed("up")["processes"]


@pytest.mark.parametrize("which", ["supervisor", "guardian"])
def test_everything_ends_with_its_supervisor_and_comes_back(box, undisturbed, which):
    assert box.up().code == 0
    pid = supervisor_client.status(box.tenant().run).pid
    if which == "guardian":
        pid = linux.process(pid).parent
    os.kill(pid, signal.SIGKILL)
    sandbox.wait_until(lambda: not box.processes(), "all has ended", 10)
    assert box.status().report["data"][0]["status"] == "stopped"
    again = box.up()
    assert again.code == 0, again
    snapshots.check_same(box, undisturbed("up"), repetitions=True)
    assert set(box.up().steps().values()) == {"unchanged"}


def test_supervisor_and_guardian_killed_at_once_leave_what_the_next_run_clears(box, undisturbed):
    assert box.up().code == 0
    status = supervisor_client.status(box.tenant().run)
    guardian = linux.process(status.pid).parent
    for pid in (guardian, status.pid):
        os.kill(pid, signal.SIGKILL)
    sandbox.wait_until(lambda: supervisor_client.status(box.tenant().run) is None, "the supervisor has ended")
    again = box.up()
    assert again.code == 0, again
    snapshots.check_same(box, undisturbed("up"), repetitions=True)


def test_a_run_that_was_killed_leaves_a_tenant_that_is_neither_healthy_nor_absent(box, count):
    kill = {"step": "settings", "tenant": "alpha", "phase": "before begin"}
    assert box.up(kill=kill).code == -9
    count("killed")
    told = box.status()
    assert told.code != 0, told
    assert "settings" in told.report["data"][0]["differs"]
    assert box.up().code == 0
    assert box.status().code == 0
    count("converged")


def processes_of(box):
    return snapshots.of(box)["processes"]
