"""One Airflow for all tests of this folder, with all that there is: Celery, a triggerer.

The example beside the DAGs, which test_leaving_nothing.py runs, has the smaller one that is the default.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from airflow_platform.testing import integration
from airflow_platform.tools.containers import engine

ROOT = Path(__file__).parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for each in items:
        if Path(__file__).parent in each.path.parents:
            each.add_marker(pytest.mark.docker)
            each.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """The DAGs of this repository, and some that misbehave; a folder that is in no repository."""
    made = tmp_path_factory.mktemp("project") / "pipelines"
    shutil.copytree(ROOT / "dags", made)
    shutil.copytree(Path(__file__).parent / "dags", made, dirs_exist_ok=True)
    return made


@pytest.fixture(scope="session")
def airflow(folder):
    options = {"executor": "CeleryExecutor", "triggerer": True, "variables": {"greeting": "It is"}}
    with integration.running_airflow(folder, **options) as running:
        yield running


@pytest.fixture(scope="session")
def client():
    """The engine, as somebody outside sees it."""
    with engine.connected(None) as connected:
        yield connected
