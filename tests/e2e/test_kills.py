"""Seeded SIGKILLs of the real command on real Airflow: one rerun converges, the next changes nothing."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time

import pytest
from sandbox import Sandbox

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(900)]

SEEDS = range(8)

LONGEST = {"tenant-up": 16.0, "tenant-down": 5.0}
"""Seconds within which a kill falls: about as long as the command works on one tenant."""


@pytest.mark.parametrize("seed", SEEDS)
def test_a_killed_command_is_taken_up_by_the_next(sandbox, seed):
    chance = random.Random(seed)
    task = "tenant-down" if seed % 4 == 3 else "tenant-up"
    after = chance.uniform(0.2, LONGEST[task])
    if task == "tenant-up":
        sandbox.down("--tenant=finance", *(["--delete-data"] if chance.random() < 0.5 else []))
    others = sandbox.pids("analytics")
    _kill(sandbox, task, after)
    if task == "tenant-down":
        ran = sandbox.down("--tenant=finance")
        assert set(sandbox.down("--tenant=finance").steps().values()) <= {"unchanged", "skipped"}
    ran = sandbox.up("--tenant=finance")
    assert ran.report["tenants"][0]["status"] == "healthy", f"seed {seed}, {task} killed after {after:.2f} s"
    again = sandbox.up("--tenant=finance")
    assert set(again.steps().values()) == {"unchanged"}, f"seed {seed}, {task} killed after {after:.2f} s"
    assert sandbox.pids("analytics") == others


def _kill(sandbox: Sandbox, task: str, after: float) -> None:
    argv, environment = sandbox.command(task, "--env=sandbox", "--tenant=finance")
    child = subprocess.Popen(
        argv, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + after
    while child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    if child.poll() is None:
        os.kill(child.pid, signal.SIGKILL)
    child.wait(timeout=30)
