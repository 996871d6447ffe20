"""Seeded SIGKILLs of the real command on a real tenant: one rerun converges, the next changes nothing.

The kills follow each other without a way back in between: what one has left is what the next begins with.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import tempfile
import time

from installations import Installation

WORK = (("tenant-up",), ("tenant-down", "--delete-data"), ("tenant-up",), ("tenant-down",))
"""What is killed, in turn: it comes up with its data, and from nothing."""

TRIES = 4
"""How often an earlier moment is drawn when the command ended before it was killed."""


def test_a_killed_command_is_taken_up_by_the_next(installed, seed):
    task, *words = command = [*WORK[seed % len(WORK)], "--tenant=finance"]
    others = installed.identities("analytics")
    after = _kill_in_the_middle(installed, command, random.Random(seed))
    told = f"seed {seed}, {task} killed after {after:.2f} s"
    run = installed.up if task == "tenant-up" else installed.down
    (tenant,) = run(*words).report["tenants"]
    assert tenant["status"] == _status(task, words), told
    if task == "tenant-down":
        left = installed.left if "--delete-data" in words else installed.running
        assert left("finance") == set(), told
    again = {"unchanged"} if task == "tenant-up" else {"unchanged", "skipped"}
    assert set(run(*words).steps().values()) <= again, told
    assert installed.identities("analytics") == others


def _status(task: str, words: list[str]) -> str:
    if task == "tenant-up":
        return "healthy"
    return "deleted" if "--delete-data" in words else "stopped"


def _kill_in_the_middle(installed: Installation, command: list[str], chance: random.Random) -> float:
    """Kill a command that has work to do, before it ends; returns after how many seconds."""
    task = command[0]
    latest = installed.longest[task]
    for _ in range(TRIES):
        _give_work(installed, task)
        after = chance.uniform(0.2, latest)
        if _kill(installed, command, after):
            return after
        latest = after
    raise AssertionError(f"{task} ended before each of {TRIES} kills, the last after {latest:.2f} s")


def _give_work(installed: Installation, task: str) -> None:
    """Let a command find the opposite of what it is for, where an earlier one has not left that."""
    is_up = installed.identities("finance").keys() == installed.components
    if task == "tenant-up" and is_up:
        installed.down("--tenant=finance")
    if task == "tenant-down" and not is_up:
        installed.up("--tenant=finance")


def _kill(installed: Installation, command: list[str], after: float) -> bool:
    """Run a command and kill it after so many seconds; False when it had ended well before."""
    argv, environment = installed.command(command[0], f"--env={installed.name}", *command[1:])
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
        assert code in (0, -signal.SIGKILL), f"{command} ended with {code}:\n{output.read()}"
    return code == -signal.SIGKILL
