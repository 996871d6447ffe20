"""An environment's directory that other users can enter, and doubles of what steps drive."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_platform.config import places
from airflow_platform.tools import users


@pytest.fixture
def place() -> Iterator[places.EnvironmentPlace]:
    """As root, tenants are users of their own; pytest's own directories are closed to those."""
    # In memory where there is one: what these tests are about needs no disk, and syncing one is slow.
    directory = Path(tempfile.mkdtemp(prefix="steps-", dir="/dev/shm" if _usable("/dev/shm") else None))
    directory.chmod(0o755)
    yield places.EnvironmentPlace(directory / "sandbox")
    shutil.rmtree(directory)


def _usable(directory: str) -> bool:
    """Whether files can be made there, and programs started; containers often refuse the latter."""
    return os.access(directory, os.W_OK) and not os.statvfs(directory).f_flag & os.ST_NOEXEC


@pytest.fixture
def unprivileged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have root behave as everybody else."""
    monkeypatch.setattr(users, "of_tenant", lambda directory: None)


@pytest.fixture
def tenant(place: places.EnvironmentPlace) -> places.TenantPlace:
    """The tenant analytics, with its directories as `TenantDirectory` makes them."""
    from airflow_platform.steps import tenant_directory
    from tests.steps import calling

    calling.Calls().run(tenant_directory.TenantDirectory(place))
    return place.tenant("analytics")
