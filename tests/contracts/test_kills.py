"""Seeded SIGKILLs of the real command on a real tenant: one rerun converges, the next changes nothing."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import tempfile
import time

import pytest
from installations import Installation

TRIES = 4
"""How often an earlier moment is drawn when the command ended before it was killed."""

killed: set[int] = set()
"""Seeds whose command was killed in the middle of its work."""


def test_a_killed_command_is_taken_up_by_the_next(installed, seed):
    chance = random.Random(seed)
    task = "tenant-down" if seed % 4 == 3 else "tenant-up"
    before: list[str] = ["--delete-data"] if chance.random() < 0.5 else []
    others = installed.identities("analytics")
    after = _kill_in_the_middle(installed, task, before, chance)
    killed.add(seed)
    if task == "tenant-down":
        installed.down("--tenant=finance")
        assert set(installed.down("--tenant=finance").steps().values()) <= {"unchanged", "skipped"}
    ran = installed.up("--tenant=finance")
    assert ran.report["tenants"][0]["status"] == "healthy", f"seed {seed}, {task} killed after {after:.2f} s"
    again = installed.up("--tenant=finance")
    assert set(again.steps().values()) == {"unchanged"}, f"seed {seed}, {task} killed after {after:.2f} s"
    assert installed.identities("analytics") == others


def test_every_command_was_killed(installed):
    assert killed == set(range(installed.seeds))


def _kill_in_the_middle(
    installed: Installation, task: str, before: list[str], chance: random.Random
) -> float:
    """Kill a command that has work to do, before it ends; returns after how many seconds."""
    latest = installed.longest[task]
    for _ in range(TRIES):
        if task == "tenant-up":
            installed.down("--tenant=finance", *before)
        else:
            installed.up("--tenant=finance")
        after = chance.uniform(0.2, latest)
        if _kill(installed, task, after):
            return after
        latest = after
    pytest.fail(f"{task} ended before each of {TRIES} kills; the last was to come after {latest:.2f} s")


def _kill(installed: Installation, task: str, after: float) -> bool:
    """Run a command and kill it after so many seconds; False when it had ended well before."""
    argv, environment = installed.command(task, f"--env={installed.name}", "--tenant=finance")
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
