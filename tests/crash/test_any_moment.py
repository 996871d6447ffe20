"""SIGKILL at a moment of chance, in the middle of whatever happens then; the seed is in the test's name."""

from __future__ import annotations

import os
import random

import pytest

from tests.crash import snapshots

SEEDS = range(int(os.environ.get("CRASH_SEEDS", "10")))
"""More of them find more: 240 take three minutes."""
SPAN = 2.0
"""Seconds: a little longer than an undisturbed run takes."""


@pytest.mark.parametrize("seed", SEEDS)
def test_up_converges(box, undisturbed, count, seed):
    chance = random.Random(seed)
    kills = 0
    for _ in range(chance.choice((1, 1, 3))):
        kills += box.up(kill={"seconds": chance.uniform(0.0, SPAN)}).code == -9
    for _ in range(kills):
        count("killed")
    again = box.up()
    assert again.code == 0, again
    # A kill in the middle of a start may cost another start, and with it another job and smoke run.
    snapshots.check_same(box, undisturbed("up"), repetitions=True)
    assert set(box.up().steps().values()) == {"unchanged"}
    for _ in range(kills):
        count("converged")


@pytest.mark.parametrize("seed", SEEDS[: len(SEEDS) // 2])
def test_deleting_converges(box, undisturbed, count, seed):
    chance = random.Random(seed)
    assert box.up().code == 0
    killed = box.down("--delete-data", kill={"seconds": chance.uniform(0.0, SPAN / 2)}).code == -9
    if killed:
        count("killed")
    again = box.down("--delete-data")
    assert again.code == 0, again
    snapshots.check_same(box, undisturbed("delete"))
    if killed:
        count("converged")
