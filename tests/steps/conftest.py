"""An environment's directory that other users can enter, and doubles of what steps drive."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_platform.config import state_files
from airflow_platform.runtimes import local_access
from airflow_platform.tenants import keys, tenant_directory
from airflow_platform.tenants.access import OpenAccess
from airflow_platform.tools import users
from tests.steps import api_server, calling


@pytest.fixture
def place() -> Iterator[state_files.EnvironmentFiles]:
    """As root, tenants are users of their own; pytest's own directories are closed to those."""
    # In memory where there is one: what these tests are about needs no disk, and syncing one is slow.
    directory = Path(tempfile.mkdtemp(prefix="steps-", dir="/dev/shm" if _usable("/dev/shm") else None))
    directory.chmod(0o755)
    yield state_files.EnvironmentFiles(directory / "sandbox")
    shutil.rmtree(directory)


def _usable(directory: str) -> bool:
    """Whether files can be made there, and programs started; containers often refuse the latter."""
    return os.access(directory, os.W_OK) and not os.statvfs(directory).f_flag & os.ST_NOEXEC


@pytest.fixture
def unprivileged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have root behave as everybody else."""
    monkeypatch.setattr(users, "of_tenant", lambda directory: None)


@pytest.fixture
def tenant(place: state_files.EnvironmentFiles) -> state_files.TenantFiles:
    """The tenant analytics, with its directories as `TenantDirectory` makes them."""
    calling.Calls().run(tenant_directory.TenantDirectory(place))
    return place.tenant("analytics")


@pytest.fixture
def server() -> Iterator[api_server.ApiServer]:
    """An api-server; whatever it was not told about fails the test."""
    with api_server.ApiServer() as made:
        thread = api_server.serve(made)
        yield made
        made.shutdown()
        thread.join()
    assert made.refused == []


@pytest.fixture
def reached(server: api_server.ApiServer, tenant: state_files.TenantFiles) -> dict[str, dict[str, Any]]:
    """Outputs of the steps before the components answer; the tenant has the server's password."""
    calls = calling.Calls()
    place = state_files.EnvironmentFiles(tenant.directory.parents[1])
    calls.run(keys.Keys(place, names=keys.NAMES, has_data=lambda name: False))
    tenant.admin_password.write_text(api_server.PASSWORD)
    tenant.ports.write_text(json.dumps({"airflow": server.server_address[1], "snowflake": 18081}))
    return {
        "components": {
            "url": server.url,
            "user": "admin",
            "password_file": str(tenant.admin_password),
            "start": "start-1",
            "snowflake": {"host": "localhost", "port": 18081},
        },
        "keys": calls.outputs["keys"],
        "ports": {"airflow": server.server_address[1], "snowflake": 18081},
        "dag-repository": {"commit": "c" * 40, "tree": "t" * 40, "repository": "/nowhere/dags.git"},
        "settings": {"digest": "d1"},
    }


@pytest.fixture
def access(tenant: state_files.TenantFiles) -> OpenAccess:
    """The way to the double, by the tenant's files. The double listens in this very process, which is no tenant's."""
    return lambda name: local_access.opened(tenant, lambda port: "")
