"""SIGKILL at every step × phase, up and down: one rerun ends where an undisturbed run ends, the next is idle."""

from __future__ import annotations

import functools
import json

import pytest

from airflow_platform.config import specs
from airflow_platform.engine import step
from airflow_platform.engine.phases import Phase
from airflow_platform.runtimes import contract
from airflow_platform.runtimes.process import process_runtime
from tests.crash import snapshots

STEPS = process_runtime.ProcessRuntime(
    specs.Environment(name="crash", runtime="process", tenants=(specs.undeclared("alpha"),))
).steps(contract.Options())
UNDOING = [each for each in STEPS if not each.undone_by]

PHASES = [each.value for each in Phase]
UP = [(each, phase) for each in STEPS for phase in PHASES]
DOWN = [(each, phase) for each in UNDOING if not each.keeps_data for phase in PHASES]
DELETE = [(each, phase) for each in UNDOING for phase in PHASES]

both_journals = pytest.mark.parametrize("journal", ["kept", "lost"])


def named(value):
    return value.name if isinstance(value, step.Step) else str(value).replace(" ", "-")


def kill_at(which, phase):
    tenant = "alpha" if which.scope is step.Scope.TENANT else None
    return {"step": which.name, "tenant": tenant, "phase": phase}


@both_journals
@pytest.mark.parametrize(("which", "phase"), UP, ids=named)
def test_up_converges(box, undisturbed, count, which, phase, journal):
    box.hold_dags()
    before = settle(box.tenant("settled"))
    box.declare("alpha", "settled")
    up = functools.partial(box.up, "--tenant=alpha")
    check(box, undisturbed("up"), count, up, kill_at(which, phase), journal)
    assert snapshots.exact(box.tenant("settled").directory) == before, "another tenant was touched"


@both_journals
@pytest.mark.parametrize(("which", "phase"), DOWN, ids=named)
def test_down_converges(box, undisturbed, count, which, phase, journal):
    assert box.up().code == 0
    check(box, undisturbed("down"), count, box.down, kill_at(which, phase), journal)


@both_journals
@pytest.mark.parametrize(("which", "phase"), DELETE, ids=named)
def test_deleting_converges(box, undisturbed, count, which, phase, journal):
    assert box.up().code == 0
    delete = functools.partial(box.down, "--delete-data")
    check(box, undisturbed("delete"), count, delete, kill_at(which, phase), journal)


def settle(place):
    """Lay down the files of a tenant that is stopped, and nobody's business: exactly as they are."""
    for path in (place.database, place.keys / "fernet_key", place.run / "status.json", place.settings):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("to be left alone")
    place.ports.write_text(json.dumps({"airflow": 1024, "snowflake": 1025}))
    return snapshots.exact(place.directory)


def check(box, expected, count, command, kill, journal):
    killed = command(kill=kill)
    assert killed.code == -9, f"{kill} never came about: {killed}"
    count("killed")
    keys = snapshots.keys(box)
    if journal == "lost":
        box.lose_journal()
    again = command()
    assert again.code == 0, again
    told = f"was ended in the middle of {kill['tenant'] + '/' if kill['tenant'] else ''}{kill['step']}"
    expects_word = journal == "kept" and kill["phase"] in PHASES[1:3]
    assert (told in again.stderr) == expects_word, again.stderr
    snapshots.check_same(box, expected)
    after = snapshots.keys(box)
    assert {name: after.get(name, digest) for name, digest in keys.items()} == keys, "a key was replaced"
    third = command()
    assert third.code == 0, third
    assert set(third.steps().values()) <= {"unchanged", "skipped"}, third
    count("converged")
