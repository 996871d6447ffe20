"""Signals to a run, and what a killed run leaves working: ended in time, nothing left, convergence."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.crash import sandbox, snapshots

MOMENTS = ("database-template", "components", "dags")
"""Steps in the middle of which signals come."""


def until_in(box, moment):
    """Wait until a run is in the middle of a step."""
    found = {
        "database-template": lambda: any((box.home / "cache").rglob("migrating")),
        "components": (box.tenant().run / "status.json").exists,
        "dags": lambda: box.tenant().settings.exists() and '""' not in box.tenant().settings.read_text(),
    }[moment]
    sandbox.wait_until(found, f"{moment} is at work")


def is_ending(box):
    """Whether the migration has been told to end, and lingers."""
    return any(mark.read_text() == "ending" for mark in (box.home / "cache").rglob("migrating"))


def slow_down(box, moment, seconds):
    control = {"database-template": "migrate_for", "components": "answer_after", "dags": "serve_after"}
    box.control(control[moment], seconds)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda one: one.name)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal_ends_a_run_with_nothing_left(box, undisturbed, moment, number):
    slow_down(box, moment, 60)
    run = box.start()
    until_in(box, moment)
    run.process.send_signal(number)
    ended = run.end()  # What is at work would take 60 s.
    assert ended.code == 128 + number, ended
    assert ended.report["status"] == "interrupted"
    assert box.of_runs() == []
    assert box.locks() == []
    slow_down(box, moment, None)
    if moment != "database-template":  # The slow component goes on starting; it need not be waited for.
        assert box.down("--tenant=alpha").code == 0
    assert box.up().code == 0
    snapshots.check_same(box, undisturbed("up"), repetitions=True)


def test_a_second_signal_shortens_the_patience(box):
    box.control("migrate_for", 600)
    box.control("linger_for", 600)
    run = box.start(grace=600)
    until_in(box, "database-template")
    run.process.send_signal(signal.SIGTERM)
    sandbox.wait_until(lambda: is_ending(box), "the migration has been told")
    assert run.process.poll() is None, "the program has its grace"
    run.process.send_signal(signal.SIGINT)
    ended = run.end(60)  # The grace is longer than any test.
    assert ended.code == 143, "the first signal decides"
    assert box.of_runs() == []
    assert box.locks() == []


def test_a_programs_end_is_waited_for_after_a_signal(box):
    box.control("migrate_for", 60)
    box.control("linger_for", 2)
    run = box.start()
    until_in(box, "database-template")
    run.process.send_signal(signal.SIGINT)
    assert run.end().code == 130
    assert box.of_runs() == []


def test_the_program_of_a_killed_run_is_ended_and_holds_the_lock_until_then(box, undisturbed, count):
    box.control("migrate_for", 60)
    box.control("linger_for", 5)
    run = box.start()
    until_in(box, "database-template")
    killed_at = time.monotonic()
    os.kill(run.process.pid, signal.SIGKILL)
    run.process.wait()
    count("killed")
    # Of other steps that worked at that moment, short ones may still end.
    (left,) = sandbox.wait_until(lambda: len(found := box.of_runs()) == 1 and found, "the migration is alone")
    box.control("migrate_for", None)
    again = box.up()
    waited = time.monotonic() - killed_at
    assert again.code == 0, again
    assert waited > 5, "the program was still there"
    assert "is dead; waiting for its programs" in again.stderr
    assert left not in box.of_runs()
    snapshots.check_same(box, undisturbed("up"))
    count("converged")
    run.end()


def test_a_program_that_outlives_a_killed_run_for_long_keeps_others_out(box):
    box.control("migrate_for", 60)
    box.control("linger_for", 60)
    run = box.start()
    until_in(box, "database-template")
    os.kill(run.process.pid, signal.SIGKILL)
    run.process.wait()
    refused = box.up()
    assert refused.code == 5, refused
    assert f"process {run.process.pid} " in refused.stderr
    assert "a program that it started still works" in refused.stderr
    for one in box.of_runs():
        os.kill(one.pid, signal.SIGKILL)
    box.control("migrate_for", None)
    assert box.up().code == 0
    run.end()
