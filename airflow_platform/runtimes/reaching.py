"""What is reached by files on this machine: the api-server of a tenant, locks and journal of an environment."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager

from airflow_platform import errors, programs
from airflow_platform.config import places
from airflow_platform.engine import store as stores
from airflow_platform.manifests import airflow as manifest
from airflow_platform.tools import airflow


def store(
    place: places.EnvironmentPlace,
    runner: programs.Programs,
    *,
    lock_timeout: float,
    on_note: Callable[[str], None],
) -> stores.Store:
    """The locks and the journal of an environment, whose name is its directory's; see `runtime.Runtime`."""
    return stores.LocalStore(
        place.directory, place.directory.name, lock_timeout=lock_timeout, programs=runner, on_note=on_note
    )


def url(place: places.TenantPlace) -> str:
    """Where people find a tenant's api-server; "" when its file of ports is not there, or cut."""
    try:
        port = json.loads(place.ports.read_text())["airflow"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return manifest.address(port)


def connected(place: places.TenantPlace, url: str) -> AbstractContextManager[airflow.Airflow]:
    """A client, closed at the end.

    Args:
        place: Where the tenant's password is.
        url: Where its api-server is; "" when that is not known.

    Raises:
        StepError: The tenant was never up, or has lost one of those files.
    """
    missing = "address" if not url else "password" if not place.admin_password.is_file() else ""
    if missing:
        raise errors.StepError(
            f"The {missing} of tenant {place.directory.name} is not known.",
            hint="Run `inv tenant-up` for it first.",
        )
    return airflow.connected(url, manifest.ADMIN, place.admin_password)
