"""The one file of versions says what the locks and the packaging say."""

import re
import tomllib

import pytest

from airflow_platform.config import versions


def pinned(lock, package):
    return re.search(rf"^{package}==(\S+)", lock.read_text(), re.MULTILINE)[1]


def test_the_locks_have_these_versions(checkout):
    found = versions.read()
    assert pinned(checkout / "images/airflow/requirements.lock", "apache-airflow") == found.airflow
    assert pinned(checkout / "images/fakesnow/requirements.lock", "fakesnow") == found.fakesnow


def test_the_toolkit_accepts_the_pythons_that_it_says(checkout):
    told = tomllib.loads((checkout / "versions.toml").read_text())["python"]["toolkit"]
    packaged = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]["requires-python"]
    assert told == packaged


@pytest.mark.parametrize("field", ["airflow", "fakesnow"])
def test_versions_are_exact(field):
    assert re.fullmatch(r"\d+\.\d+\.\d+", getattr(versions.read(), field))
