"""The migrated database that tenants copy: made once for each environment of packages, whole or not at all."""

import json
import os

import pytest

from airflow_platform import errors
from airflow_platform.runtimes.process import database_template
from airflow_platform.tools import sqlite_metadata
from tests.steps import calling, programs


@pytest.fixture
def packages(place):
    return place.directory / "cache/airflow-packages/0123"


@pytest.fixture
def calls(packages):
    found = programs.airflow(packages / "venv", "bb22")
    versions = packages / "venv/lib/python3.11/site-packages/airflow/migrations/versions"
    versions.mkdir(parents=True)
    (versions / "0001.py").write_text('revision = "aa11"\ndown_revision = None\n')
    (versions / "0002.py").write_text('revision: str = "bb22"\ndown_revision = "aa11"\n')
    return calling.Calls(
        {"airflow-packages": {"programs": str(found), "directory": str(packages), "ready": False}}
    )


@pytest.fixture
def step(place):
    return database_template.DatabaseTemplate(ready_cache=place.directory / "templates")


def test_it_is_made_once(step, calls, packages):
    first, _ = calls.twice(step)
    database = packages / "template/airflow.db"
    assert first.outputs == {"database": str(database), "revision": "bb22", "known": ["aa11", "bb22"]}
    assert sqlite_metadata.revision(database) == "bb22"
    assert sorted(path.name for path in database.parent.iterdir()) == ["airflow.db", "template.json"]


def test_what_a_killed_run_left_is_replaced(step, calls, packages):
    home = packages / "template/home"
    home.mkdir(parents=True)
    (home / "airflow.db").write_text("half")
    calls.twice(step)
    assert sorted(path.name for path in home.parent.iterdir()) == ["airflow.db", "template.json"]


@pytest.mark.parametrize("text", ["", '{"revision": "bb22"', "[]", "{}"])
def test_a_damaged_description_is_made_anew(step, calls, packages, text):
    calls.run(step)
    (packages / "template/template.json").write_text(text)
    again, _ = calls.twice(step)
    assert again.changed


def test_a_description_without_its_database_is_made_anew(step, calls, packages):
    calls.run(step)
    (packages / "template/airflow.db").unlink()
    again, _ = calls.twice(step)
    assert again.changed


def test_a_migration_that_fails_leaves_no_template(step, calls, packages):
    (packages / "venv/bin/failing").touch()
    with pytest.raises(errors.ProgramError, match="the migration said no"):
        calls.run(step)
    assert list((packages / "template").iterdir()) == []


def test_a_database_without_a_revision_is_no_template(step, calls, packages):
    (packages / "venv/bin/migrated.db").unlink()
    programs.database(packages / "venv/bin/migrated.db", "")
    with pytest.raises(errors.StepError, match="without a revision"):
        calls.run(step)
    assert list((packages / "template").iterdir()) == []


def test_packages_that_somebody_else_built_have_their_templates_in_the_state(step, calls, packages, place):
    calls.outputs["airflow-packages"] = {**calls.outputs["airflow-packages"], "ready": True}
    first, _ = calls.twice(step)
    assert not (packages / "template").exists()
    assert first.outputs["database"].startswith(str(place.directory / "templates"))
    os.utime(packages / "venv/bin/airflow", ns=(0, 0))
    assert calls.run(step).changed, "another build of Airflow"
    assert len(list((place.directory / "templates").glob("*/template.json"))) == 2


def test_the_description_names_what_the_database_step_reads(step, calls, packages):
    calls.run(step)
    described = json.loads((packages / "template/template.json").read_text())
    assert described.keys() == {"database", "revision", "known"}
