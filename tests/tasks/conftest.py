"""Environments of every kind in files of their own, and the real command line on them."""

from __future__ import annotations

import os

import pytest

from airflow_platform.config import paths, state_files
from airflow_platform.runtimes.process.supervisor import lock

TENANT = """
[[tenants]]
name = "{}"
snowflake = {{ database = "D", warehouse = "W", role = "R" }}
"""
EKS = 'eks = { account = "111111111111", region = "eu-central-1", cluster = "c" }\n'
FILES = {
    "sandbox": 'runtime = "process"\ndescription = "Here"\n'
    + TENANT.format("analytics")
    + TENANT.format("finance"),
    "prod": 'runtime = "process"\nprotected = true\n' + TENANT.format("analytics") + TENANT.format("finance"),
    "boxes": 'runtime = "docker"\n' + TENANT.format("analytics"),
    "cloud": f'runtime = "eks"\n{EKS}' + TENANT.format("analytics"),
}


@pytest.fixture
def environments(tmp_path, monkeypatch):
    """The directory of their files."""
    directory = tmp_path / "environments"
    directory.mkdir()
    for name, content in FILES.items():
        (directory / f"{name}.toml").write_text(content)
    monkeypatch.setenv("AIRFLOW_PLATFORM_ENVIRONMENTS", str(directory))
    return directory


@pytest.fixture
def command(environments, capsys):
    """Runs a command line; returns exit code, standard output and standard error."""
    from airflow_platform.tasks import collection, program

    def run(*words):
        code = program.PlatformProgram(collection.namespace).outcome(["inv", *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def settled():
    """Gives a tenant the directories of one that was up; its lock is held while it "runs"."""
    held = []

    def settle(environment, tenant, *, running=False):
        place = state_files.EnvironmentFiles(paths.state(environment)).tenant(tenant)
        for directory in (place.run, place.logs, place.keys):
            directory.mkdir(parents=True)
        if running:
            descriptor = lock.take(place.run)
            assert descriptor is not None
            held.append(descriptor)
        return place

    yield settle
    for descriptor in held:
        os.close(descriptor)
