"""Seeded SIGKILLs of the real command on real Airflow: one rerun converges, the next changes nothing."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import tempfile
import time

import pytest
from sandbox import Sandbox

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(900)]

SEEDS = range(8)

LONGEST = {"tenant-up": 16.0, "tenant-down": 5.0}
"""Seconds within which a kill falls: about as long as the command works on one tenant."""

TRIES = 4
"""How often an earlier moment is drawn when the command ended before it was killed."""

killed: set[int] = set()
"""Seeds whose command was killed in the middle of its work."""


@pytest.mark.parametrize("seed", SEEDS)
def test_a_killed_command_is_taken_up_by_the_next(sandbox, seed):
    chance = random.Random(seed)
    task = "tenant-down" if seed % 4 == 3 else "tenant-up"
    before: list[str] = ["--delete-data"] if chance.random() < 0.5 else []
    others = sandbox.pids("analytics")
    after = _kill_in_the_middle(sandbox, task, before, chance)
    killed.add(seed)
    if task == "tenant-down":
        sandbox.down("--tenant=finance")
        assert set(sandbox.down("--tenant=finance").steps().values()) <= {"unchanged", "skipped"}
    ran = sandbox.up("--tenant=finance")
    assert ran.report["tenants"][0]["status"] == "healthy", f"seed {seed}, {task} killed after {after:.2f} s"
    again = sandbox.up("--tenant=finance")
    assert set(again.steps().values()) == {"unchanged"}, f"seed {seed}, {task} killed after {after:.2f} s"
    assert sandbox.pids("analytics") == others


def test_every_command_was_killed():
    assert killed == set(SEEDS)


def _kill_in_the_middle(sandbox: Sandbox, task: str, before: list[str], chance: random.Random) -> float:
    """Kill a command that has work to do, before it ends; returns after how many seconds."""
    latest = LONGEST[task]
    for _ in range(TRIES):
        if task == "tenant-up":
            sandbox.down("--tenant=finance", *before)
        else:
            sandbox.up("--tenant=finance")
        after = chance.uniform(0.2, latest)
        if _kill(sandbox, task, after):
            return after
        latest = after
    pytest.fail(f"{task} ended before each of {TRIES} kills; the last was to come after {latest:.2f} s")


def _kill(sandbox: Sandbox, task: str, after: float) -> bool:
    """Run a command and kill it after so many seconds; False when it had ended well before."""
    argv, environment = sandbox.command(task, "--env=sandbox", "--tenant=finance")
    with tempfile.TemporaryFile("w+") as output:
        child = subprocess.Popen(
            argv, env=environment, cwd="/", stdout=output, stderr=output, start_new_session=True
        )
        deadline = time.monotonic() + after
        while child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        if child.poll() is None:
            os.kill(child.pid, signal.SIGKILL)
        code = child.wait(timeout=30)
        output.seek(0)
        assert code in (0, -signal.SIGKILL), f"{task} ended with {code}:\n{output.read()}"
    return code == -signal.SIGKILL
