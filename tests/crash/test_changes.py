"""SIGKILL while a running tenant becomes what its changed spec says: packages, database, DAGs, settings, files."""

from __future__ import annotations

import pytest

from airflow_platform.engine import step
from airflow_platform.engine.phases import Phase
from tests.crash import snapshots
from tests.crash.test_kills import STEPS, check, kill_at, named

PHASES = [each.value for each in Phase]
KILLS = [(each, phase) for each in STEPS for phase in PHASES[1:3]]


def change(box):
    """Give every step something to do for a tenant that runs."""
    box.lock("airflow", "apache-airflow==3.3.3")
    box.lock("fakesnow", "fakesnow==0.12.2")
    box.commit("dags/another.py", "# one more\n")
    box.declare("alpha", colour="red", slots=9)
    box.hold_dags()
    place = box.tenant()
    place.logs.chmod(0o777)
    (place.keys / "jwt_secret").chmod(0o644)
    (place.certificates / "checked.json").unlink()
    (place.home / ".gitconfig").write_text("")
    place.ports.unlink()


@pytest.fixture(scope="session")
def changed(new_sandbox):
    """What an undisturbed change comes to, and the outcome of each step."""
    with new_sandbox() as box:
        assert box.up().code == 0
        change(box)
        ended = box.up()
        assert ended.code == 0, ended
        return snapshots.of(box), ended.steps()


@pytest.mark.parametrize(("which", "phase"), KILLS, ids=named)
def test_a_change_converges(box, changed, count, which, phase):
    expected, outcomes = changed
    name = f"alpha/{which.name}" if which.scope is step.Scope.TENANT else which.name
    assert outcomes[name] == "changed", f"`change` must give step {name} something to do"
    assert box.up().code == 0
    change(box)
    check(box, expected, count, box.up, kill_at(which, phase), "kept")


def test_the_backup_of_a_migration_is_of_before(box):
    """Stopped in the middle of a migration, the next run must not take half of one for the original."""
    assert box.up().code == 0
    change(box)
    assert box.up(kill=kill_at(step_named("database"), "after the effect")).code == -9
    assert box.up().code == 0
    (backup,) = box.tenant().backups.iterdir()
    assert backup.name == "airflow-aaaa0002.db"
    assert snapshots.revision(backup) == "aaaa0002"


def step_named(name):
    return next(each for each in STEPS if each.name == name)
