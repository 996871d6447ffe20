"""SIGKILLs of the real command on real tenants: one rerun converges, the next changes nothing.

The kills follow each other without a way back in between: what one has left is what the next begins with.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from installations import KILLED, TENANTS, Installation

UP, DOWN, DELETE = ("tenant-up",), ("tenant-down",), ("tenant-down", "--delete-data")

WORK = (UP, DELETE, UP, DOWN)
"""What is killed at a moment of chance, in turn: it comes up with its data, and from nothing."""

TRIES = 4
"""How often an earlier moment is drawn when the command ended before it was killed."""


@pytest.mark.parametrize(
    ("command", "before"),
    [(DOWN, UP), (UP, DOWN), (DELETE, DOWN), (UP, DELETE)],
    ids=["down", "up with the data", "deletion", "up from nothing"],
)
def test_a_command_that_is_killed_in_each_of_its_steps(installed, command, before, tmp_path):
    """In each twice, before its effect and after it: of a tenant, and of what both share."""
    ran = installed.run(*before)
    assert ran.code == 0, ran.stderr
    planned = _planned(installed, command)
    killed = installed.kill_in_each_step(
        tmp_path / "ended", command[0], f"--env={installed.name}", *command[1:]
    )
    # And perhaps in one more: a server that was started to drop what is in it has to be stopped again.
    assert killed >= {name for name, reason in planned.items() if not reason.startswith("known after ")}
    _converges(installed, command, TENANTS, "killed in each step")


def test_a_command_that_is_killed_at_any_moment(installed, seed):
    command = WORK[seed % len(WORK)]
    others = installed.identities("analytics")
    after = _kill_in_the_middle(installed, command, random.Random(seed))
    _converges(installed, command, ["finance"], f"seed {seed}, {command[0]} killed after {after:.2f} s")
    assert installed.identities("analytics") == others


def _planned(installed: Installation, command: tuple[str, ...]) -> dict[str, str]:
    """The steps that would change something or cannot know it yet, each with the reason."""
    report = installed.run(*command, "--plan", "--json").report
    steps = [*report["steps"], *(each for tenant in report["tenants"] for each in tenant["steps"])]
    return {each["name"]: each["reason"] for each in steps if each["status"] == "pending"}


def _converges(installed: Installation, command: tuple[str, ...], tenants: Iterable[str], told: str) -> None:
    """Once more does what is left to do, and then there is nothing to do."""
    task, *words = [*command, *(f"--tenant={each}" for each in tenants)]
    run = installed.up if task == "tenant-up" else installed.down
    becomes = {UP: "healthy", DOWN: "stopped", DELETE: "deleted"}[command]
    found = {each["name"]: each["status"] for each in run(*words).report["tenants"]}
    assert found == dict.fromkeys(tenants, becomes), told
    if task == "tenant-down":
        left = installed.left if command == DELETE else installed.running
        assert set().union(*map(left, tenants)) == set(), told
    again = {"unchanged"} if task == "tenant-up" else {"unchanged", "skipped"}
    assert set(run(*words).steps().values()) <= again, told


def _kill_in_the_middle(installed: Installation, command: tuple[str, ...], chance: random.Random) -> float:
    """Kill a command that has work to do, before it ends; returns after how many seconds."""
    task = command[0]
    latest = installed.longest[task]
    argv, _ = installed.command(task, f"--env={installed.name}", "--tenant=finance", *command[1:])
    for _ in range(TRIES):
        _give_work(installed, task)
        after = chance.uniform(0.2, latest)
        code, _ = installed.run_until(argv, kill_after=after)
        if code == KILLED:
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
