"""What lies in files of this machine: the way to a tenant's api-server, its keys, and what steps remember of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from airflow_platform import errors, secrets
from airflow_platform.config import state_files
from airflow_platform.engine.local_store import LocalStore
from airflow_platform.engine.step import Step
from airflow_platform.programs import programs
from airflow_platform.tenants import access, restart
from airflow_platform.tenants import airflow_settings as manifest
from airflow_platform.tools import files, processes


def store(
    place: state_files.EnvironmentFiles,
    runner: programs.Programs,
    *,
    lock_timeout: float,
    on_note: Callable[[str], None],
) -> LocalStore:
    """The locks and the journal of an environment, whose name is its directory's; see `runtime.Runtime`."""
    return LocalStore(
        place.directory, place.directory.name, lock_timeout=lock_timeout, programs=runner, on_note=on_note
    )


def port(place: state_files.TenantFiles) -> int | None:
    """The port of a tenant's api-server; None when its file of ports is missing or was cut."""
    try:
        return int(json.loads(place.ports.read_text())["airflow"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def url(place: state_files.TenantFiles) -> str:
    """Where people find a tenant's api-server; "" when its port is not known."""
    known = port(place)
    return "" if known is None else manifest.address(known)


def opened(
    place: state_files.TenantFiles, stranger: Callable[[int], str]
) -> AbstractContextManager[access.Access]:
    """The way to a tenant's api-server on loopback, closed at the end.

    Args:
        place: Where the tenant's port and password are.
        stranger: Who listens on a port in place of the tenant; see `access.opened`.

    Raises:
        StepError: The tenant was never up, or has lost one of those files.
    """
    known = port(place)
    missing = "address" if known is None else "password" if not place.admin_password.is_file() else ""
    if known is None or missing:
        raise errors.StepError(
            f"The {missing} of tenant {place.directory.name} is not known.",
            hint="Run `inv tenant-up` for it first.",
        )
    password = secrets.Secret(place.admin_password.read_text())
    return access.opened(manifest.address(known), manifest.ADMIN, password, stranger=lambda: stranger(known))


def stranger(port: int, expected: Collection[int]) -> str:
    """Who listens on a port and runs as none of the expected users, for people; "" for nobody."""
    if sys.platform != "linux":  # There the kernel does not say; Docker Desktop listens as this user.
        return ""
    if foreign := processes.users_listening(port).difference(expected):
        known = (str(each) for each in processes.listeners(port) if each.pid)
        return next(known, f"a process of user {min(foreign)}")
    return ""


def restarts(place: state_files.EnvironmentFiles, components: Sequence[str]) -> tuple[Step, ...]:
    """The step of a command that asks for a restart of components; none when it names no component."""
    if not components:
        return ()
    asked = restart.Restart(place, components=components)
    return (asked.after("directory", before=["components"], undone_by="directory"),)


@dataclass(frozen=True)
class KeyFiles:
    """Keys and passwords of tenants, a file each."""

    place: state_files.EnvironmentFiles

    def __call__(self, tenant: str, name: str) -> secrets.Secret:
        """One of them: `snowflake_password` of `analytics`."""
        return secrets.Secret((self.place.tenant(tenant).keys / name).read_text())


@dataclass(frozen=True)
class SettingsFile:
    """What the settings step has written into tenants, with keyed digests; see `tenants.settings.Memory`."""

    place: state_files.EnvironmentFiles

    def read(self, tenant: str) -> Mapping[str, str]:
        try:
            found = json.loads(self.place.tenant(tenant).settings.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def write(self, tenant: str, digests: Mapping[str, str]) -> None:
        text = json.dumps(digests, indent=1, sort_keys=True) + "\n"
        files.write(self.place.tenant(tenant).settings, text, mode=0o600)
