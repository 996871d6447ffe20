"""The api-server of a tenant whose keys are files on this machine."""

from __future__ import annotations

from contextlib import AbstractContextManager

from airflow_platform import errors
from airflow_platform.config import places
from airflow_platform.manifests import airflow as manifest
from airflow_platform.tools import airflow


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
